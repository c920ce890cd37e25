#pragma once
/* session_fork: what the two files of it share: session_fork.c decides, session_copy.c does. */

#include "pool/internal.h"

typedef enum ForkPhase { FORK_FILES, FORK_PROCESS } ForkPhase;

struct Fork {
        Fork *next;
        Pool *pool;
        Session *source, *target; /* NULL: it has ended, or lost its process; of a canary: none */
        ForkCallback callback;
        ForkPhase phase;
        bool has_files;
        int files_result;
        Slot *source_slot, *host; /* host: whose listener speaks for the source */
        unsigned tries;
        bool waits;       /* for a slot, or for a sweep */
        bool is_ordered;  /* the source has been told, and has not answered … */
        bool has_process; /* … and the copy has said who it is */
        bool is_late;
        int source_error;
        Copy copy;
};

/* The most that the files of a copy of it may have together. */
uint64_t fork_bytes_max(const Session *source);
/* Its files, by a thread; has_files tells. */
_must_check_ int fork_start_files(Fork *fork);
/* Tells the source to copy its process, or waits for a slot, or for a sweep. As session_fork(). */
_must_check_ int fork_order_copy(Fork *fork);
/* … into that slot, which has its place and its host. */
_must_check_ int fork_order_into(Fork *fork, Slot *guest);
/* A process may be about that has not said who it is. */
bool fork_is_unnamed(const Fork *fork);
void fork_close_copy(Fork *fork);

#pragma once
/*
 * janitor: the slow work on files that hostile runs can make slower: removing what they left, and
 * adding up what they hold, freeing it. It is done by one thread, so that a million files delay
 * nobody. The thread touches nothing of the pool but what stands here.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kit/cleanup.h"
#include "pool/held.h"

typedef struct Janitor Janitor;

/* trash_fd: a directory that the janitor empties, again and again; borrowed. Names in it are for
 * the caller to make unique. */
_must_check_ int janitor_new(int trash_fd, Janitor **ret_janitor);

/* Empties the trash once more and ends the thread. */
Janitor *janitor_free(Janitor *janitor);
DEFINE_CLEANUP(Janitor, janitor_free)
/* Likewise; what cannot be removed by that time (kit/clock.h) stays. */
Janitor *janitor_free_by(Janitor *janitor, uint64_t end_ns);

/* Closes the descriptor some time later: the last one of a file system frees all that is in it. */
void janitor_close(Janitor *janitor, int fd);

/* Something has been moved into the trash. */
void janitor_wake(Janitor *janitor);

/* Asks for the bytes under a directory (work/ and tmp/ of a slot) and for what its process holds
 * without a name (pool/held.h): *result is set some time later, atomically, to bytes + 1. *result
 * must live until janitor_free(). One question at a time for each result; at most 8192. */
void janitor_measure_run(Janitor *janitor, int directory_fd, const HeldBy *by, uid_t uid,
                         uint64_t *result);
/* Likewise of one folder itself, and of no process. */
void janitor_measure_folder(Janitor *janitor, int folder_fd, uint64_t *result);
/* What is asked of a member of a home (pool/home.h); the descriptors stay the caller's. */
typedef struct MemberQuestion {
        int home_fd;
        unsigned member;
        uid_t uid;    /* of its files; 0: no uid of its own */
        HeldBy by[2]; /* processes whose files without a name count as its own */
} MemberQuestion;

typedef struct MemberAnswer {
        uint64_t bytes_and_1; /* 0: not known yet; to be loaded with acquire, before the others */
        unsigned entries;     /* at most MEASURE_ENTRIES_MAX */
        bool is_whole;        /* its processes could be looked at */
} MemberAnswer;

/* Likewise of a member, with what lies in its work/ and is no other member's, and its tmp/: a plain
 * user's session may write beside its workspace. What cannot be
 * counted is UINT64_MAX - 1 bytes. */
void janitor_measure_member(Janitor *janitor, const MemberQuestion *question, MemberAnswer *answer);

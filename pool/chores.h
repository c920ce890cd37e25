#pragma once
/*
 * chores: work on files that may take long, done by threads of its own so that the loop goes on:
 * writing an upload, copying a workspace, linking packages, removing a home. A chore touches
 * nothing of the pool or the server but what its maker has put into it.
 */

#include <stdbool.h>

#include "kit/cleanup.h"

typedef struct Chores Chores;
typedef struct Chore Chore;

/* To be the first member of what a chore works on; its maker frees that, in done() at the earliest.
 */
struct Chore {
        /* In a thread. Returns 0 or -errno, or what its maker likes. */
        int (*work)(Chore *chore);
        /* In the loop's thread, from chores_dispatch(); exactly once. */
        void (*done)(Chore *chore, int result);
        Chore *next;
        int result;
};

/* At most queue_max chores may wait or be under way. */
_must_check_ int chores_new(unsigned n_threads, unsigned queue_max, Chores **ret_chores);
/* Does what waits, calls done() of all, ends the threads. */
Chores *chores_free(Chores *chores);
DEFINE_CLEANUP(Chores, chores_free)

/* Readable when chores_dispatch() has something to say. */
int chores_fd(const Chores *chores);
void chores_dispatch(Chores *chores);

/* Returns 0, or -EAGAIN when too many wait. */
_must_check_ int chores_add(Chores *chores, Chore *chore);

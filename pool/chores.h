#pragma once
/*
 * chores: work on files that may take long, done by threads of its own so that the loop goes on:
 * writing an upload, copying a workspace, linking packages, removing a home. A chore touches
 * nothing of the pool or the server but what its maker has put into it.
 *
 * There are two lanes with threads of their own, so that what takes seconds holds up nothing that
 * takes milliseconds. Which of the two a chore is, it finds out by itself: each begins in the short
 * lane, does no more there than a bounded part of its work, and asks for the long one if that was
 * not all.
 */

#include <stdint.h>
#include <stdbool.h>

#include "kit/cleanup.h"

typedef struct Chores Chores;
typedef struct Chore Chore;

/* To be the first member of what a chore works on; its maker frees that, in done() at the earliest.
 */
struct Chore {
        /* In a thread. Returns 0 or -errno, or what its maker likes; or, while !is_long,
         * CHORE_IS_LONG, and is called once more in the other lane. */
        int (*work)(Chore *chore);
        /* In the loop's thread, from chores_dispatch(); exactly once. */
        void (*done)(Chore *chore, int result);
        Chore *next;
        int result;
        bool is_long;
};

#define CHORE_IS_LONG INT32_MIN

/* What a chore may do in the short lane: so many entries of folders, and bytes of content. Some
 * hundredths of a second. */
#define CHORE_SHORT_ENTRIES 4096
#define CHORE_SHORT_BYTES   (16ULL << 20)

/* n_threads for each lane. At most queue_max chores may wait or be under way; of these no more than
 * half in the long lane, where one too many ends with -EAGAIN. */
_must_check_ int chores_new(unsigned n_threads, unsigned queue_max, Chores **ret_chores);
/* Does what waits, calls done() of all, ends the threads. */
Chores *chores_free(Chores *chores);
DEFINE_CLEANUP(Chores, chores_free)

/* Readable when chores_dispatch() has something to say. */
int chores_fd(const Chores *chores);
void chores_dispatch(Chores *chores);

/* Returns 0, or -EAGAIN when too many wait. */
_must_check_ int chores_add(Chores *chores, Chore *chore);

#pragma once
/* fork: copies of this process, which must have one thread and hold the GIL. */

#include <sys/types.h>

/* How many threads this process has; -errno when /proc does not say. */
int fork_count_threads(void);

/* Looks up what the children will need. Call it once, before the first fork. */
void fork_prepare(void);

/* Makes a child of our *parent*. Returns 0 in it, its pid here, or -errno. */
pid_t fork_sibling(void);

/* Makes an ordinary child, to be waited for. Returns as fork_sibling(). */
pid_t fork_child(void);

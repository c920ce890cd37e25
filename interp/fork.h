#pragma once
/* fork: copies of this process, which must hold the GIL and, but for fork_copy(), have one thread.
 */

#include <sys/types.h>

/* How many threads this process has; -errno when /proc does not say. */
int fork_count_threads(void);

/* Looks up what the children will need. Call it once, before the first fork. */
void fork_prepare(void);

/* Makes a child of our *parent*, in the control group of that folder (version 2), or in ours (-1).
 * Returns 0 in it, its pid here, or -errno. */
pid_t fork_sibling(int cgroup_fd);

/* Makes an ordinary child, to be waited for. Returns as fork_sibling(). */
pid_t fork_child(void);

/* A sibling that is a copy of a session. There may be other threads: they are not in it, and locks
 * of C libraries that they hold stay locked there for ever. Says nothing of a failure. */
pid_t fork_copy(void);

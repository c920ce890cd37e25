#pragma once
/* fork: copies of this process, which must have one thread and hold the GIL. */

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

#pragma once
/* worker: what a forked copy of the zygote does for the rest of its life. */

#include <stdbool.h>
#include <sys/types.h>

#include "wire/zygote.h"

/* fds: _SPAWN_FDS of them. parent: pid of the supervisor, as seen from here. */
_Noreturn void worker_main(const SpawnCommand *command, int *fds, pid_t parent);

/* Runs nothing and typical work with the template's imports, and its warm-up file (a path, or
 * NULL), so many times, as runs whose results are dropped. In the zygote this imports what modules
 * put off until they are used, fills caches, and lets CPython specialize the bytecode, all of which
 * workers then share. Returns 0, or -1 with a Python exception set. */
int worker_practise(const char *warm_up, bool common_only, unsigned times);

/* The common part of it once, in a process that is thrown away, for touch_record(). */
void worker_record(void *warm_up);

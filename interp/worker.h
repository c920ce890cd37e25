#pragma once
/* worker: what a forked copy of the zygote does for the rest of its life. */

#include <sys/types.h>

#include "wire/zygote.h"

/* fds: _SPAWN_FDS of them. parent: pid of the supervisor, as seen from here. */
_Noreturn void worker_main(const SpawnCommand *command, int *fds, pid_t parent);

/* What the zygote has done once in a process that is thrown away, to learn which pages it takes:
 * coming up, typical work with the template's imports, and its warm-up file (a path, or NULL). */
void worker_rehearse_heavy(void *warm_up);

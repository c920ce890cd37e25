#pragma once
/*
 * confine_filter: shuts off the system calls that a worker has no use for. The rules are in
 * filter/policy.c; they are compiled when hatchery is built.
 */

#include <stdbool.h>

/* For this process and all that come from it, for ever; needs no_new_privs or CAP_SYS_ADMIN, and a
 * process of one thread. Without subprocesses it may signal nobody but itself. Returns 0 or -errno.
 */
int confine_system_calls(bool subprocesses);

/* Likewise, for the worker of a session: besides threads, it may make a copy of itself, if the
 * filter beneath lets it (confine_copy.c). */
int confine_session_calls(void);

/*
 * Where a worker has the server's own user and sees the host's files: for Landlock rules no change
 * of modes, and one run that takes the owner's rights away from the server's folders ends all
 * others. The calls do nothing from here on, and say that they have worked, since whoever copies a
 * file makes them. To be called before confine_system_calls(). Returns 0 or -errno.
 */
int confine_modes(void);

/* Once, before a run of a worker that was confined with subprocesses: the run gets the stricter
 * filter on top if it may not have them, and nobody can add a filter from then on. Returns 0 or
 * -errno. */
int confine_run_system_calls(bool subprocesses);

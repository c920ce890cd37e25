#pragma once
/*
 * user_map: user namespaces, and which ids they have. There are two ways to map:
 *   - "own": the one uid and gid of the process, each to itself. Needs no privilege. setgroups(2)
 * is given up for it.
 *   - "all": every id that there is, each to itself, so that workers can have a uid of their own.
 *     Needs CAP_SETUID and CAP_SETGID (root in a container without CAP_SYS_ADMIN), and has to be
 *     written from outside the namespace.
 */

#include <stdbool.h>

#include "kit/cleanup.h"
#include "wire/cells.h"

/* Moves the calling process into a new user namespace. proc_fd: /proc of its pid namespace. Maps
 * all ids when it may, and says so. Returns 0, or -errno with the report filled. */
_must_check_ int user_map_enter(int proc_fd, CellReport *report, bool *ret_all);

/* Maps the own ids of a process that was born in a user namespace of its own; uid and gid are what
 * it had before. Returns as above. */
_must_check_ int user_map_own(int proc_fd, unsigned uid, unsigned gid, CellReport *report);

#pragma once
/* cgroup_server: the server's own folder in one hierarchy of control groups, and what is done about
 * those of servers that are no more. A folder is its server's as long as that holds its lock. */

#include "kit/cleanup.h"

typedef struct CgroupFolder CgroupFolder;

/* Removes stale folders in folder->own_fd, then makes and locks one: sets fd and name. 0 or
 * -errno, with nothing logged. */
_must_check_ int cgroup_server_make(CgroupFolder *folder);

/* Removes it, when nothing is in it any more, and closes both descriptors. Takes one that was never
 * made. */
void cgroup_server_remove(CgroupFolder *folder);

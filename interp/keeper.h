#pragma once
/*
 * keeper: the process that holds one cell. It is born into the cell's namespaces, mounts the cell's
 * folders, hands the descriptors to the supervisor, gives away all that it has and can do, and
 * waits to be killed. As pid 1 of its pid namespace it takes everything in there along.
 *
 * It is a copy of the cell maker, and there may be hundreds: what it writes to costs memory for as
 * long as the cell lives. Hence no allocation and no log here.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "interp/cell_root.h"
#include "kit/cleanup.h"
#include "wire/cells.h"

typedef struct KeeperOrder {
        CellCommand command;
        LayerMask layers;            /* of those a cell has for itself: pidns, mountns, userns */
        int socket_fd;               /* to the supervisor */
        int proc_fd;                 /* /proc of the supervisor's pid namespace; O_PATH */
        unsigned uid, gid;           /* of the maker */
        int home_fds[CELL_HOME_FDS]; /* cell_root_open_home(); borrowed */
} KeeperOrder;

/*
 * Forks one, as a child of the supervisor. It holds its report back until it reads a byte from the
 * descriptor that is returned in ret_gate_fd, so that the maker can tell of it first; when that is
 * closed without a byte, it ends. Returns its pid, or -errno with the report filled.
 */
_must_check_ pid_t keeper_fork(const KeeperOrder *order, CellReport *report, int *ret_gate_fd);

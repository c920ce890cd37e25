#pragma once
/*
 * cell_root: the read-only root directory that all cells of a maker have in common, in the maker's
 * own mount namespace, which each cell then gets a copy of. On a small tmpfs: what interp/view.c
 * lists, a handful of files in /etc that say nothing of the host, and empty /work, /packages, /tmp
 * and /dev/shm for a cell to put its own over.
 *
 * The folder of all homes (pool/home.h) is mounted there too, for parts of it to be copied, and
 * covered at once. The cover belongs to the same copy of the namespace that a cell gets, so in a
 * user namespace of its own even one with all capabilities cannot take it off
 * (mount_namespaces(7)): no cell sees any home but what is mounted in it.
 */

#include <stdint.h>

#include "interp/view.h"
#include "kit/cleanup.h"
#include "wire/cells.h"

/* Of a home, in this order: work/, to be seen as /work, and packages/, read-only, as /packages. */
#define CELL_HOME_FDS 2

typedef struct CellRoot {
        int writable_fd; /* the same tmpfs by a mount that is not read-only and in no namespace */
        int homes_fd;    /* O_PATH: the folder of all homes, below its cover; -1: there is none */
        uint32_t uids[1024];
        uint32_t n_uids;
} CellRoot;

/* Moves the calling process there: a mount namespace of its own, nothing left of the old root. All
 * steps need CAP_SYS_ADMIN in the user namespace, and Linux 5.12. homes_fd: the folder of all
 * homes, which becomes the current directory for a moment, or -1. Returns 0, or -errno with the
 * report filled. */
_must_check_ int cell_root_enter(const ViewOptions *options, int homes_fd, CellReport *report,
                                 CellRoot *ret_root);

/* Gives uid and gid the name "runner" in all cells. Once per uid; past the first 1024 a uid has no
 * name. Returns as above. */
_must_check_ int cell_root_name(CellRoot *root, uint32_t uid, uint32_t gid, CellReport *report);

/* Copies of the mounts of a home's folders, which are nowhere mounted yet; the caller closes them.
 * -1 each when the name is empty. Returns as above. */
_must_check_ int cell_root_open_home(const CellRoot *root, const char *name,
                                     int ret_fds[CELL_HOME_FDS], CellReport *report);

#pragma once
/*
 * cell_root: the read-only root directory that all cells of a maker have in common, in the maker's
 * own mount namespace, which each cell then gets a copy of. On a small tmpfs: what interp/view.c
 * lists, a handful of files in /etc that say nothing of the host, and empty /work, /tmp and
 * /dev/shm for a cell to put its own over.
 */

#include <stdint.h>

#include "interp/view.h"
#include "kit/cleanup.h"
#include "wire/cells.h"

typedef struct CellRoot {
        int writable_fd; /* the same tmpfs by a mount that is not read-only and in no namespace */
        uint32_t uids[1024];
        uint32_t n_uids;
} CellRoot;

/* Moves the calling process there: a mount namespace of its own, nothing left of the old root. All
 * steps need CAP_SYS_ADMIN in the user namespace, and Linux 5.12. Returns 0, or -errno with the
 * report filled. */
_must_check_ int cell_root_enter(const ViewOptions *options, CellReport *report,
                                 CellRoot *ret_root);

/* Gives uid and gid the name "runner" in all cells. Once per uid; past the first 1024 a uid has no
 * name. Returns as above. */
_must_check_ int cell_root_name(CellRoot *root, uint32_t uid, uint32_t gid, CellReport *report);

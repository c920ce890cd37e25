#pragma once
/*
 * tree: work on folders that a hostile process may be changing meanwhile. Everything goes by
 * descriptors and single names, and no link is ever followed. All of it blocks for as long as it
 * takes: it is for chores and for threads, but for the first functions.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"

/* A folder deeper than this counts as over any limit. */
#define TREE_DEPTH_MAX 64
/* More than there are anywhere. */
#define TREE_ENTRIES_MAX 1000000

/* A folder for reading (not O_PATH), or -errno; -ELOOP, -ENOTDIR: something else has that name. One
 * that is closed to us, its owner, in any way, is opened up. Raises nothing. */
_must_check_ int tree_open_folder(int parent_fd, const char *name);

/* Whether a failure of what is below, an errno below 0, may be the work of a program that moves,
 * closes or removes meanwhile what is worked on: then it is no failure of the machine. */
bool tree_is_disturbed(int error);

/* Makes a folder of that mode, whatever the umask is, and opens it. uid: its owner, and its group
 * of the same number; (uid_t) -1: the server's own. */
_must_check_ int tree_make_folder(int parent_fd, const char *name, mode_t mode, uid_t uid,
                                  int *ret_fd);

/* Like mkdir -p; only folders made here get the mode. path: absolute, less than 256 bytes. what:
 * what it is to the operator, "the work directory". */
_must_check_ int tree_make_path(const char *path, mode_t mode, const char *what);

/* Copies what is in one workspace to another, empty one: regular files (shared blocks where the
 * file system can, FICLONE; holes stay holes), folders, symbolic links as they are, modes but for
 * set-user-id and the like, times; what else there is is left out, and so are files of another
 * owner that have a second name. -EDQUOT when there is more than bytes_max (of content, or of
 * shared blocks) or entries_max, or it is deeper than TREE_DEPTH_MAX; what has been copied stays.
 * Owner: uid, and the group of the same number, if not -1. */
_must_check_ int tree_copy(int from_fd, int to_fd, uid_t uid, uint64_t bytes_max,
                           uint64_t entries_max);

/* Likewise with hard links for the files, which are never written to again; copies where they
 * cannot be linked (EXDEV, EMLINK). Existing files stay, and folders are joined. */
_must_check_ int tree_link(int from_fd, int to_fd, uint64_t entries_max);

/* Bytes (of blocks) and entries below a directory; files with several names count with each.
 * -EDQUOT: more than entries_max, or deeper than TREE_DEPTH_MAX. */
_must_check_ int tree_measure(int fd, uint64_t entries_max, uint64_t *ret_bytes,
                              uint64_t *ret_entries);

#pragma once
/*
 * view: what of the system a worker sees: programs and libraries, the few settings that honest
 * programs read, five devices, and what the operator adds. One list for two readers: the cell maker
 * builds a root directory of nothing else (interp/cell_maker.c), and Landlock rules allow nothing
 * else where there is no such root (interp/confine.c).
 *
 * Not in it: /proc, /sys, /home, /root, /opt, /srv, /run, /var, and of /etc all that tells of
 * users, secrets or the network. A cell adds files of its own making (/etc/passwd, /etc/hosts, …;
 * see interp/cell_root.c) and its folders (/work, /packages, /tmp, /dev/shm). In there, all that
 * can be seen may be read.
 */

#include <stdbool.h>
#include <stddef.h>

#include "kit/cleanup.h"

#define VIEW_OPTIONS_MAX 32 /* of each kind */
#define VIEW_PATHS_MAX   128

typedef struct ViewOptions {
        const char *views[VIEW_OPTIONS_MAX]; /* --view: absolute paths, read-only */
        size_t n_views;
        const char *data[VIEW_OPTIONS_MAX]; /* --data: absolute paths, writable */
        size_t n_data;
} ViewOptions;

typedef enum ViewKind {
        VIEW_DIRECTORY, /* with all below it */
        VIEW_FILE,
        VIEW_SYMLINK, /* the link itself; what it points to is in the list, or below one that is */
        VIEW_DEVICE,  /* a character device */
} ViewKind;

typedef enum ViewAccess {
        VIEW_READ, /* read, list, execute, map */
        VIEW_WRITE,
} ViewAccess;

typedef struct ViewPath {
        const char *path; /* absolute; lives as long as the process, or as the options do */
        ViewKind kind;
        ViewAccess access; /* VIEW_WRITE: what is --data, and devices */
} ViewPath;

/*
 * Fills paths with those of the list that exist here and now, parents before what is below them.
 * Returns how many; never more than max, for which VIEW_PATHS_MAX is enough. What an operator names
 * and does not exist is left out here; view_check() tells of it.
 */
size_t view_paths(const ViewOptions *options, ViewPath *paths, size_t max);

/* Returns 0, or -errno when a path of the options cannot be shown; ret_why then has a line for the
 * operator. Cells have their own /work, /packages, /tmp and /dev/shm, so nothing can be shown below
 * them. */
_must_check_ int view_check(const ViewOptions *options, char *ret_why, size_t size);

/* Adds one --view (VIEW_READ) or --data (VIEW_WRITE). Returns false when there are too many. */
bool view_add(ViewOptions *options, ViewAccess access, const char *path);

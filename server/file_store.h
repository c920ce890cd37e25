#pragma once
/*
 * file_store: files in the workspace of a session, from outside. The workspace may be hostile and
 * may change at any time: names are opened one by one (openat2 with RESOLVE_BENEATH,
 * RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV), no link is followed, only regular
 * files are read, and no open waits for a FIFO. Paths have been judged by file_path_problem(). All
 * of it may take long: it is for chores.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "kit/cleanup.h"
#include "server/body.h"
#include "server/file_condition.h"

/* What a workspace holds, for files that are put there one after the other: it is added up again
 * only when somebody else has put a file there meanwhile. */
typedef struct FileRoom {
        bool is_known;
        uint64_t serial; /* of the last file that was put */
        uint64_t bytes, entries;
} FileRoom;

typedef struct FilePut {
        int workspace_fd;
        const char *path;
        uid_t uid;        /* who owns it then, and its folders; (uid_t) -1: the server's user */
        const Body *body; /* its content … */
        uint64_t offset, size;   /* … lies here in it */
        uint64_t disk_bytes_max; /* of all that is in the workspace then */
        uint64_t entries_max;    /* likewise, files and folders */
        bool is_short;           /* it may not take long: see -EBUSY */
        FileRoom *room;
        FileCondition condition;
        bool replaced;            /* out: there was a file of that name */
        uint64_t disk_bytes;      /* out, after -EDQUOT: what is in use without it */
        char etag[FILE_ETAG_MAX]; /* out: of the file as it is then */
} FilePut;

/*
 * Writes a file, as a whole or not at all: it appears under its name when it is complete. Folders
 * on the way are made. Returns 0, or
 *     -EISDIR    a folder has that name
 *     -ENOTDIR   a component before the last is no folder
 *     -ELOOP     a component is a symbolic link (at the end of the path one is replaced)
 *     -EDQUOT    the workspace would hold more than it may; disk_bytes is UINT64_MAX if it is
 *                files, or folders in folders, that are too many
 *     -ESTALE    the condition does not hold; not done
 *     -EBUSY     is_short: it would take longer than a chore may in the short lane; not done
 *     -ENOSPC    the disk is full
 * or another -errno. The first six are not raised.
 */
_must_check_ int file_put(FilePut *put);

/* Opens a regular file for reading; -ENOENT, -ENOTDIR, -ELOOP; -EISDIR: a folder; -EINVAL:
 * something else, such as a FIFO. Raises nothing. */
_must_check_ int file_open(int workspace_fd, const char *path, struct stat *ret_status);

/* Removes a file, a link (not what it leads to), or a folder, and with recursive what is in it.
 * -ENOENT, -ENOTDIR, -ELOOP, -ENOTEMPTY; -ESTALE: the condition (NULL: none) does not hold. Who
 * adds to a folder meanwhile may make it -ENOTEMPTY, too. Raises nothing. */
_must_check_ int file_remove(int workspace_fd, const char *path, bool recursive,
                             const FileCondition *condition);

/* Opens a folder below the workspace; "": the workspace itself. -ENOENT, -ENOTDIR, -ELOOP. */
_must_check_ int file_open_folder(int workspace_fd, const char *path);

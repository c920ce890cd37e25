/* file_remove: the part of file_store.h that removes. */

#include "server/file_store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "pool/tree.h"
#include "pool/tree_walk.h"

#define REMOVE_DEPTH  32
#define REMOVE_PASSES 4096

/* What is too deep below top to be removed on the way down is moved up there, for another pass. */
static int empty_folder(int fd, unsigned depth, int top_fd) {
        DIR *directory = tree_read(fd);
        const char *name;
        int r = 0;

        if (!directory)
                return -errno;
        while (r == 0 && (name = tree_next_name(directory))) {
                _autoclose_ int below_fd = -1;

                if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
                        continue;
                if (errno != EISDIR && errno != EPERM)
                        r = -errno;
                else if (unlinkat(fd, name, AT_REMOVEDIR) == 0)
                        continue;
                if (r == 0 && depth == REMOVE_DEPTH) {
                        char hidden[FILE_HIDDEN_MAX];

                        file_hidden_name(hidden);
                        if (renameat(fd, name, top_fd, hidden) < 0 && errno != ENOENT)
                                r = -errno;
                        continue;
                }
                if (r < 0)
                        break;
                below_fd = tree_open_folder(fd, name);
                if (below_fd == -ENOENT)
                        continue;
                r = below_fd < 0 ? below_fd : empty_folder(below_fd, depth + 1, top_fd);
                if (r == 0 && unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT &&
                    errno != ENOTEMPTY)
                        r = -errno;
        }
        (void) closedir(directory);
        return r;
}

static int remove_folder(int parent_fd, const char *name, bool recursive) {
        _autoclose_ int fd = -1;
        int r = 0;

        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0)
                return 0;
        if (errno != ENOTEMPTY && errno != EEXIST)
                return -errno;
        if (!recursive)
                return -ENOTEMPTY;
        fd = tree_open_folder(parent_fd, name);
        if (fd < 0)
                return fd;
        for (unsigned pass = 0; r == 0 && pass < REMOVE_PASSES; pass++) {
                r = empty_folder(fd, 0, fd);
                if (r == 0 && unlinkat(parent_fd, name, AT_REMOVEDIR) == 0)
                        return 0;
                if (r == 0 && errno != ENOTEMPTY && errno != EEXIST)
                        r = -errno;
        }
        return r < 0 ? r : -ENOTEMPTY;
}

int file_remove(int workspace_fd, const char *path, bool recursive,
                const FileCondition *condition) {
        FileWay way = {.fd = -1};
        struct stat status;
        int r = file_walk(workspace_fd, path, false, 0, &way);

        if (r < 0)
                return r;
        /* What is not there is not found, whatever was demanded of it (RFC 9110, 13.2.1). */
        if (condition && fstatat(way.fd, way.name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            !file_condition_holds(condition, &status)) {
                r = -ESTALE;
        } else if (unlinkat(way.fd, way.name, 0) < 0) {
                r = -errno;
                if (r == -EISDIR || r == -EPERM)
                        r = remove_folder(way.fd, way.name, recursive);
        }
        close_fd(&way.fd);
        return r;
}

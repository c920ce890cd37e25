#include "pool/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kit/error.h"
#include "pool/tree_walk.h"

int tree_open(int parent_fd, const char *name, int flags) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_NOFOLLOW | O_CLOEXEC),
                .mode = flags & O_CREAT ? 0600 : 0,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                           RESOLVE_NO_XDEV,
        };
        int fd = (int) syscall(SYS_openat2, parent_fd, name, &how, sizeof(how));

        return fd < 0 ? -errno : fd;
}

void tree_open_up(int folder_fd) {
        struct stat status;

        if (fstat(folder_fd, &status) == 0 && (status.st_mode & 0700) != 0700 &&
            status.st_uid == geteuid())
                (void) fchmod(folder_fd, (status.st_mode & 07777) | 0700);
}

/* A description of its own: a position that nobody else moves. */
int tree_open_again(int folder_fd) {
        int fd = tree_open(folder_fd, ".", O_RDONLY | O_DIRECTORY);

        if (fd != -EACCES)
                return fd;
        tree_open_up(folder_fd);
        return tree_open(folder_fd, ".", O_RDONLY | O_DIRECTORY);
}

DIR *tree_read(int fd) {
        int own_fd = tree_open_again(fd);
        DIR *directory;

        if (own_fd < 0) {
                errno = -own_fd;
                return NULL;
        }
        directory = fdopendir(own_fd);
        if (!directory)
                (void) close(own_fd);
        return directory;
}

const char *tree_next_name(DIR *directory) {
        struct dirent *entry;

        do
                entry = readdir(directory);
        while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
        return entry ? entry->d_name : NULL;
}

int tree_open_folder(int parent_fd, const char *name) {
        int fd = tree_open(parent_fd, name, O_RDONLY | O_DIRECTORY);

        /* Whatever has taken its place meanwhile, no link is followed. */
        if (fd == -EACCES && fchmodat(parent_fd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
                fd = tree_open(parent_fd, name, O_RDONLY | O_DIRECTORY);
        /* What can be read may be closed for all else. */
        if (fd >= 0)
                tree_open_up(fd);
        return fd;
}

bool tree_is_disturbed(int error) {
        switch (-error) {
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case EEXIST:
        case ENOTEMPTY:
        case ELOOP:
        case EACCES:
        case EPERM:
        case EXDEV:
        case EINVAL: /* a folder would come to lie in itself */
                return true;
        default:
                return false;
        }
}

int tree_make_folder(int parent_fd, const char *name, mode_t mode, uid_t uid, int *ret_fd) {
        _autoclose_ int fd = -1;

        if (mkdirat(parent_fd, name, 0700) < 0)
                return raise_errno("make folder %s", name);
        fd = tree_open(parent_fd, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return raise_error(fd, "open folder %s", name);
        if (uid != (uid_t) -1 && fchown(fd, uid, (gid_t) uid) < 0)
                return raise_errno("give folder %s to uid %u", name, uid);
        if (mode != 0700 && fchmod(fd, mode) < 0)
                return raise_errno("set the mode of folder %s", name);
        *ret_fd = take_fd(fd);
        return 0;
}

int tree_make_path(const char *path, mode_t mode, const char *what) {
        char copy[256];
        int r;

        if (path[0] != '/' || strlen(path) >= sizeof(copy))
                return raise_error(-EINVAL,
                                   "%s must be an absolute path of less than %zu bytes: %s", what,
                                   sizeof(copy), path);
        (void) snprintf(copy, sizeof(copy), "%s", path);
        for (char *at = copy + 1; *at; at++) {
                if (*at != '/')
                        continue;
                *at = '\0';
                r = mkdir(copy, mode);
                *at = '/';
                if (r < 0 && errno != EEXIST)
                        return raise_errno("make folder %s", copy);
        }
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
                return raise_errno("make folder %s", copy);
        return 0;
}

typedef struct Sum {
        uint64_t bytes, entries, entries_max;
} Sum;

static int measure(int fd, unsigned depth, Sum *sum) {
        DIR *directory;
        const char *name;
        int r = 0;

        if (depth > TREE_DEPTH_MAX)
                return -EDQUOT;
        directory = tree_read(fd);
        if (!directory)
                return raise_errno("read a folder to measure it");
        while (r == 0 && (name = tree_next_name(directory))) {
                struct stat status;

                if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                        continue; /* it has just gone */
                if (++sum->entries > sum->entries_max)
                        r = -EDQUOT;
                sum->bytes += (uint64_t) status.st_blocks * 512;
                if (r == 0 && S_ISDIR(status.st_mode)) {
                        _autoclose_ int below_fd = tree_open_folder(fd, name);

                        if (below_fd >= 0)
                                r = measure(below_fd, depth + 1, sum);
                }
        }
        (void) closedir(directory);
        return r;
}

int tree_measure(int fd, uint64_t entries_max, uint64_t *ret_bytes, uint64_t *ret_entries) {
        Sum sum = {.entries_max = entries_max};
        int r = measure(fd, 0, &sum);

        if (r < 0)
                return r;
        *ret_bytes = sum.bytes;
        *ret_entries = sum.entries;
        return 0;
}

#include "pool/cgroup_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "kit/log.h"
#include "pool/cgroup.h"
#include "pool/cgroup_folder.h"

#define PREFIX "hatchery-"

/* The first name is free unless a server in another pid namespace has the same number. */
#define NAMES_MAX 16

/* "hatchery-<number>", or "hatchery-<number>.<number>". */
static bool is_ours(const char *name) {
        size_t digits;

        if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0)
                return false;
        name += sizeof(PREFIX) - 1;
        digits = strspn(name, "0123456789");
        if (digits > 0 && name[digits] == '.') {
                name += digits + 1;
                digits = strspn(name, "0123456789");
        }
        return digits > 0 && name[digits] == '\0';
}

/* A process number would not do: it may be another's by now, or of another pid namespace. The
 * kernel lets go of the lock when the server has ended, however it did. */
static void remove_if_stale(int own_fd, const char *name) {
        _autoclose_ int fd = cgroup_folder_open(own_fd, name);
        int r;

        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
                return;
        r = cgroup_folder_remove(own_fd, name);
        if (r < 0)
                log_warning("cannot remove the control group %s of an earlier server: %s", name,
                            strerror(-r));
        else
                log_info("removed the control group %s of an earlier server", name);
}

static void remove_stale(int own_fd) {
        int list_fd = cgroup_folder_open(own_fd, ".");
        DIR *directory = list_fd < 0 ? NULL : fdopendir(list_fd);
        struct dirent *entry;

        if (!directory) {
                close_fd(&list_fd);
                return;
        }
        while ((entry = readdir(directory))) {
                if (is_ours(entry->d_name))
                        remove_if_stale(own_fd, entry->d_name);
        }
        (void) closedir(directory);
}

/* Returns 1 when it is ours; 0 when another server took it for stale before the lock was there; or
 * -errno. */
static int make_locked(CgroupFolder *folder) {
        _autoclose_ int fd = -1;
        struct stat made, found;

        if (mkdirat(folder->own_fd, folder->name, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        fd = cgroup_folder_open(folder->own_fd, folder->name);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? 0 : -errno;
        if (fstat(fd, &made) < 0)
                return -errno;
        if (fstatat(folder->own_fd, folder->name, &found, AT_SYMLINK_NOFOLLOW) < 0 ||
            made.st_ino != found.st_ino)
                return 0;
        folder->fd = take_fd(fd);
        return 1;
}

int cgroup_server_make(CgroupFolder *folder) {
        int r = 0;

        remove_stale(folder->own_fd);
        for (int i = 0; r == 0 && i < NAMES_MAX; i++) {
                if (i == 0)
                        (void) snprintf(folder->name, sizeof(folder->name), PREFIX "%d", getpid());
                else
                        (void) snprintf(folder->name, sizeof(folder->name), PREFIX "%d.%d",
                                        getpid(), i);
                r = make_locked(folder);
        }
        if (r == 0)
                return -EEXIST;
        return r < 0 ? r : 0;
}

void cgroup_server_remove(CgroupFolder *folder) {
        if (folder->fd >= 0 && unlinkat(folder->own_fd, folder->name, AT_REMOVEDIR) < 0 &&
            errno != ENOENT)
                log_warning("cannot remove control group %s: %s", folder->name, strerror(errno));
        close_fd(&folder->fd);
        close_fd(&folder->own_fd);
}

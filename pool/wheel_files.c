/* wheel_take_over(): what pip has unpacked becomes the server's own, or is refused. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"
#include "pool/wheel_cache.h"

typedef struct Taking {
        uint64_t bytes, entries;
        bool changes_owner;
} Taking;

static int own(const Taking *taking, int fd, mode_t mode) {
        if (taking->changes_owner && fchown(fd, 0, 0) < 0)
                return -errno;
        return fchmod(fd, mode) < 0 ? -errno : 0;
}

static int refuse(const char *name, const char *what) {
        log_warning("a wheel has brought %s: %s", what, name);
        return -EBADMSG;
}

/* No owner but the installer's user and no reader has had it open for writing since that process
 * has gone, so what is checked here is what it stays. */
static int take_file(const Taking *taking, int parent_fd, const char *name,
                     const struct stat *status) {
        _autoclose_ int fd = -1;

        /* A second name could be one that somebody else writes to. */
        if (status->st_nlink != 1)
                return refuse(name, "a file with several names");
        fd = tree_open(parent_fd, name, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        return own(taking, fd, status->st_mode & 0100 ? 0555 : 0444);
}

static int take_folder(Taking *taking, int fd, unsigned depth);

static int take_entry(Taking *taking, int parent_fd, const char *name, unsigned depth) {
        struct stat status;

        if (++taking->entries > WHEEL_ENTRIES_MAX)
                return refuse(name, "too many files");
        if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        taking->bytes += (uint64_t) status.st_blocks * 512;
        if (S_ISDIR(status.st_mode)) {
                _autoclose_ int fd = tree_open_folder(parent_fd, name);

                return fd < 0 ? fd : take_folder(taking, fd, depth + 1);
        }
        if (!S_ISREG(status.st_mode))
                return refuse(name, "something that is neither a file nor a folder");
        return take_file(taking, parent_fd, name, &status);
}

/* The folder first: from then on nobody else can change what is in it. */
static int take_folder(Taking *taking, int fd, unsigned depth) {
        DIR *directory;
        const char *name;
        int r = own(taking, fd, 0755);

        if (r < 0)
                return r;
        if (depth > TREE_DEPTH_MAX)
                return refuse("", "folders too deep");
        directory = tree_read(fd);
        if (!directory)
                return -errno;
        while (r == 0 && (name = tree_next_name(directory)))
                r = take_entry(taking, fd, name, depth);
        (void) closedir(directory);
        return r;
}

static int write_about(int folder_fd, const CachedWheel *about) {
        _autoclose_ int fd = tree_open(folder_fd, "about", O_WRONLY | O_CREAT | O_EXCL);
        char text[512];
        int size = snprintf(text, sizeof(text), WHEEL_FORMAT " %s %s %llu\n", about->name,
                            about->version, (unsigned long long) about->bytes);

        if (fd < 0)
                return fd;
        return write(fd, text, (size_t) size) == size ? 0 : -EIO;
}

int wheel_take_over(int staging_fd, const char *folder, CachedWheel *about) {
        Taking taking = {.changes_owner = geteuid() == 0};
        _autoclose_ int work_fd = tree_open(staging_fd, "work", O_RDONLY | O_DIRECTORY);
        _autoclose_ int files_fd =
                work_fd < 0 ? work_fd : tree_open(work_fd, folder, O_RDONLY | O_DIRECTORY);
        _autoclose_ int folder_fd = -1;
        int r;

        if (files_fd < 0)
                return refuse(folder, "no folder");
        r = take_folder(&taking, files_fd, 0);
        if (r == 0 && taking.entries == 0)
                r = refuse(folder, "nothing");
        about->bytes = taking.bytes;
        if (r == 0)
                r = tree_make_folder(staging_fd, folder, 0755, (uid_t) -1, &folder_fd);
        if (r == 0)
                r = write_about(folder_fd, about);
        if (r == 0 && renameat(work_fd, folder, folder_fd, "files") < 0)
                r = -errno;
        return r < 0 && r != -EBADMSG ? raise_error(r, "take a wheel over") : r;
}

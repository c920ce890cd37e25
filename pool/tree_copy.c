/* tree_copy() and tree_link(): one walk over what is to be taken along, two ways to take a file. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit/error.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"

#define MODE_KEPT 0777
/* By hand, where the kernel does not copy between the two file systems. */
#define COPY_CHUNK 65536

typedef struct Walk {
        uid_t uid;        /* of what is made; -1: the server's own */
        uid_t source_uid; /* of the folder that is copied */
        bool links;       /* hard links for files; folders are joined */
        uint64_t bytes, bytes_max;
        uint64_t entries, entries_max;
        char *chunk; /* COPY_CHUNK, once it is needed */
} Walk;

/* --- one file's content --- */

static int spend(Walk *walk, uint64_t bytes) {
        if (bytes > walk->bytes_max - walk->bytes)
                return -EDQUOT;
        walk->bytes += bytes;
        return 0;
}

static bool is_no_way_between_files(int error) {
        return error == EXDEV || error == EINVAL || error == EOPNOTSUPP || error == ENOSYS ||
               error == EPERM;
}

/* Returns the bytes copied, 0 at the end of the file, or -errno. */
static ssize_t copy_by_hand(Walk *walk, int from_fd, int to_fd, off_t at, size_t size) {
        ssize_t n, written = 0;

        if (!walk->chunk)
                walk->chunk = malloc(COPY_CHUNK);
        if (!walk->chunk)
                return -ENOMEM;
        n = pread(from_fd, walk->chunk, size < COPY_CHUNK ? size : COPY_CHUNK, at);
        if (n < 0)
                return -errno;
        while (written < n) {
                ssize_t m =
                        pwrite(to_fd, walk->chunk + written, (size_t) (n - written), at + written);

                if (m < 0)
                        return -errno;
                written += m;
        }
        return n;
}

static int copy_range(Walk *walk, int from_fd, int to_fd, off_t at, off_t end) {
        bool by_hand = false;

        while (at < end) {
                off_t from = at, to = at;
                size_t size = (size_t) (end - at);
                ssize_t n;

                /* A file of gigabytes shall not be one system call. */
                if (size > (size_t) 64 << 20)
                        size = (size_t) 64 << 20;
                if (by_hand) {
                        n = copy_by_hand(walk, from_fd, to_fd, at, size);
                } else {
                        n = copy_file_range(from_fd, &from, to_fd, &to, size, 0);
                        if (n < 0 && is_no_way_between_files(errno)) {
                                by_hand = true;
                                continue;
                        }
                        n = n < 0 ? -errno : n;
                }
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        return 0; /* it has become shorter */
                at += n;
        }
        return 0;
}

/* Data only: a hole of a terabyte is as quickly copied as made. */
static int copy_data(Walk *walk, int from_fd, int to_fd, off_t size) {
        off_t at = 0;

        while (at < size) {
                off_t data = lseek(from_fd, at, SEEK_DATA), end;
                int r;

                if (data < 0)
                        return errno == ENXIO ? 0 : -errno;
                end = lseek(from_fd, data, SEEK_HOLE);
                if (end < 0)
                        return errno == ENXIO ? 0 : -errno;
                if (end > size)
                        end = size;
                if (data >= end)
                        return 0;
                r = spend(walk, (uint64_t) (end - data));
                if (r == 0)
                        r = copy_range(walk, from_fd, to_fd, data, end);
                if (r < 0)
                        return r;
                at = end;
        }
        return 0;
}

static int copy_content(Walk *walk, int from_fd, int to_fd, const struct stat *status) {
        int r;

        if (status->st_size == 0)
                return 0;
        if (ioctl(to_fd, FICLONE, from_fd) == 0)
                return spend(walk, (uint64_t) status->st_blocks * 512);
        r = copy_data(walk, from_fd, to_fd, status->st_size);
        /* What ends in a hole. */
        if (r == 0 && ftruncate(to_fd, status->st_size) < 0)
                r = -errno;
        return r;
}

/* --- one entry --- */

static int set_attributes(const Walk *walk, int fd, const struct stat *status) {
        struct timespec times[2] = {status->st_atim, status->st_mtim};

        if (walk->uid != (uid_t) -1 && fchown(fd, walk->uid, (gid_t) walk->uid) < 0)
                return -errno;
        if (fchmod(fd, status->st_mode & MODE_KEPT) < 0 || futimens(fd, times) < 0)
                return -errno;
        return 0;
}

/* Opens what its owner may have closed to itself, when we are that owner. *ret_opened: it has been
 * given rights for as long as that takes, see close_again(). Whatever has taken its place
 * meanwhile, no link is followed. */
static int open_source(int parent_fd, const char *name, int flags, const struct stat *status,
                       bool *ret_opened) {
        mode_t needed = S_ISDIR(status->st_mode) ? 0500 : 0400;

        *ret_opened = (status->st_mode & needed) != needed && status->st_uid == geteuid() &&
                      fchmodat(parent_fd, name, (status->st_mode & MODE_KEPT) | needed,
                               AT_SYMLINK_NOFOLLOW) == 0;
        return tree_open(parent_fd, name, flags);
}

static void close_again(int fd, const struct stat *status, bool opened) {
        if (opened && fd >= 0)
                (void) fchmod(fd, status->st_mode & 07777);
}

static bool is_out_of_descriptors(int error) {
        return error == -EMFILE || error == -ENFILE;
}

static int copy_file(Walk *walk, int from_fd, int to_fd, const char *name,
                     const struct stat *before) {
        bool opened;
        _autoclose_ int source_fd =
                open_source(from_fd, name, O_RDONLY | O_NONBLOCK, before, &opened);
        _autoclose_ int fd = -1;
        struct stat status;
        int r;

        close_again(source_fd, before, opened);
        /* It has just gone, or something else has taken its place. */
        if (source_fd < 0 || fstat(source_fd, &status) < 0 || !S_ISREG(status.st_mode))
                return is_out_of_descriptors(source_fd) ? source_fd : 0;
        /* A name that was given to a file from elsewhere, which its owner may not be able to read.
         */
        if (status.st_nlink > 1 && status.st_uid != walk->source_uid && !walk->links)
                return 0;
        fd = tree_open(to_fd, name, O_WRONLY | O_CREAT | O_EXCL);
        if (fd == -EEXIST)
                return 0;
        if (fd < 0)
                return fd;
        r = copy_content(walk, source_fd, fd, &status);
        return r < 0 ? r : set_attributes(walk, fd, &status);
}

static int link_file(Walk *walk, int from_fd, int to_fd, const char *name,
                     const struct stat *status) {
        if (linkat(from_fd, name, to_fd, name, 0) == 0 || errno == EEXIST)
                return 0;
        /* EPERM: a file system that has no hard links. */
        if (errno == EXDEV || errno == EMLINK || errno == EPERM || errno == EOPNOTSUPP)
                return copy_file(walk, from_fd, to_fd, name, status);
        return -errno;
}

static int copy_symlink(Walk *walk, int from_fd, int to_fd, const char *name,
                        const struct stat *status) {
        struct timespec times[2] = {status->st_atim, status->st_mtim};
        char target[PATH_MAX];
        ssize_t size = readlinkat(from_fd, name, target, sizeof(target));

        if (size <= 0 || (size_t) size == sizeof(target))
                return 0;
        target[size] = '\0';
        if (symlinkat(target, to_fd, name) < 0)
                return errno == EEXIST ? 0 : -errno;
        if (walk->uid != (uid_t) -1 &&
            fchownat(to_fd, name, walk->uid, (gid_t) walk->uid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        (void) utimensat(to_fd, name, times, AT_SYMLINK_NOFOLLOW);
        return 0;
}

static int walk_folder(Walk *walk, int from_fd, int to_fd, unsigned depth);

/* Into a folder that is there already, or is made. */
static int fill_folder(Walk *walk, int source_fd, int to_fd, const char *name,
                       const struct stat *status, unsigned depth) {
        bool is_new = mkdirat(to_fd, name, 0700) == 0;
        _autoclose_ int fd = -1;
        int r;

        if (!is_new && errno != EEXIST)
                return -errno;
        fd = tree_open(to_fd, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0) /* a file has that name, and stays */
                return fd == -ENOTDIR || fd == -ELOOP ? 0 : fd;
        /* Of those that are read meanwhile, or are left half full. */
        if (is_new && walk->links && fchmod(fd, (status->st_mode & MODE_KEPT) | 0700) < 0)
                return -errno;
        r = walk_folder(walk, source_fd, fd, depth + 1);
        return r < 0 || !is_new ? r : set_attributes(walk, fd, status);
}

static int copy_folder(Walk *walk, int from_fd, int to_fd, const char *name,
                       const struct stat *status, unsigned depth) {
        bool opened;
        _autoclose_ int source_fd =
                open_source(from_fd, name, O_RDONLY | O_DIRECTORY, status, &opened);
        int r;

        if (source_fd < 0)
                return is_out_of_descriptors(source_fd) ? source_fd : 0;
        r = fill_folder(walk, source_fd, to_fd, name, status, depth);
        close_again(source_fd, status, opened);
        return r;
}

static int copy_entry(Walk *walk, int from_fd, int to_fd, const char *name, unsigned depth) {
        struct stat status;

        if (++walk->entries > walk->entries_max)
                return -EDQUOT;
        if (fstatat(from_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                return 0; /* it has just gone */
        if (S_ISDIR(status.st_mode))
                return copy_folder(walk, from_fd, to_fd, name, &status, depth);
        if (S_ISLNK(status.st_mode))
                return copy_symlink(walk, from_fd, to_fd, name, &status);
        if (!S_ISREG(status.st_mode))
                return 0;
        return walk->links ? link_file(walk, from_fd, to_fd, name, &status)
                           : copy_file(walk, from_fd, to_fd, name, &status);
}

static int walk_folder(Walk *walk, int from_fd, int to_fd, unsigned depth) {
        DIR *directory;
        const char *name;
        int r = 0;

        if (depth > TREE_DEPTH_MAX)
                return -EDQUOT;
        directory = tree_read(from_fd);
        if (!directory)
                return -errno;
        while (r == 0 && (name = tree_next_name(directory)))
                r = copy_entry(walk, from_fd, to_fd, name, depth);
        (void) closedir(directory);
        return r;
}

static int take_along(Walk *walk, int from_fd, int to_fd, const char *what) {
        struct stat status;
        int r;

        if (fstat(from_fd, &status) < 0)
                return raise_errno("%s", what);
        walk->source_uid = status.st_uid;
        tree_open_up(from_fd);
        r = walk_folder(walk, from_fd, to_fd, 0);
        free(walk->chunk);
        return r < 0 && r != -EDQUOT ? raise_error(r, "%s", what) : r;
}

int tree_copy(int from_fd, int to_fd, uid_t uid, uint64_t bytes_max, uint64_t entries_max) {
        Walk walk = {.uid = uid, .bytes_max = bytes_max, .entries_max = entries_max};

        return take_along(&walk, from_fd, to_fd, "copy a workspace");
}

int tree_link(int from_fd, int to_fd, uint64_t entries_max) {
        Walk walk = {
                .uid = (uid_t) -1,
                .links = true,
                .bytes_max = UINT64_MAX,
                .entries_max = entries_max,
        };

        return take_along(&walk, from_fd, to_fd, "link packages");
}

#include "server/file_store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/error.h"
#include "pool/chores.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"
#include "server/file_path.h"

#define COPY_BYTES (256U << 10)
#define ROOM_LOCKS 64

void file_hidden_name(char *ret_name) {
        uint64_t random[2];

        arc4random_buf(random, sizeof(random));
        (void) snprintf(ret_name, FILE_HIDDEN_MAX, ".hatchery-%016llx%016llx",
                        (unsigned long long) random[0], (unsigned long long) random[1]);
}

/* ── Ways ── */

/* Makes a folder, and opens it; somebody else may do so at the same time. */
static int make_folder(int parent_fd, const char *name, uid_t uid) {
        bool is_ours = mkdirat(parent_fd, name, 0755) == 0;
        int fd;

        if (!is_ours && errno != EEXIST)
                return raise_errno("make a folder for an upload");
        fd = tree_open_folder(parent_fd, name);
        if (fd < 0 || !is_ours)
                return fd;
        if ((uid != (uid_t) -1 && fchown(fd, uid, (gid_t) uid) < 0) || fchmod(fd, 0755) < 0) {
                int error = errno;

                (void) close(fd);
                return raise_error(-error, "give a folder to uid %u", uid);
        }
        return fd;
}

/* With O_DIRECTORY the kernel says -ENOTDIR of a link, too. */
static int why_no_folder(int parent_fd, const char *name) {
        struct stat status;

        if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode))
                return -ELOOP;
        return -ENOTDIR;
}

int file_walk(int workspace_fd, const char *path, bool make, uid_t uid, FileWay *ret_way) {
        _autoclose_ int fd = tree_open_again(workspace_fd);

        if (fd < 0)
                return fd;
        tree_open_up(fd);
        for (;;) {
                const char *slash = strchr(path, '/');
                size_t size = slash ? (size_t) (slash - path) : strlen(path);
                int next_fd;

                if (size == 0 || size > FILE_NAME_MAX)
                        return -ENOENT;
                memcpy(ret_way->name, path, size);
                ret_way->name[size] = '\0';
                if (!slash)
                        break;
                next_fd = tree_open_folder(fd, ret_way->name);
                if (next_fd == -ENOENT && make)
                        next_fd = make_folder(fd, ret_way->name, uid);
                if (next_fd == -ENOTDIR)
                        return why_no_folder(fd, ret_way->name);
                if (next_fd < 0)
                        return next_fd;
                close_fd(&fd);
                fd = next_fd;
                path = slash + 1;
        }
        ret_way->fd = take_fd(fd);
        return 0;
}

/* ── Writing ── */

static int write_all(int fd, const uint8_t *bytes, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, bytes, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return raise_errno("write an upload");
                bytes += n;
                size -= (size_t) n;
        }
        return 0;
}

/* In the kernel, and with shared blocks where the file system has them. Stops where that cannot be
 * done. */
static void copy_in_kernel(int from_fd, int to_fd, uint64_t *offset, uint64_t *size) {
        while (*size > 0) {
                off_t at = (off_t) *offset;
                ssize_t n = copy_file_range(from_fd, &at, to_fd, NULL, *size, 0);

                if (n <= 0)
                        return;
                *offset += (uint64_t) n;
                *size -= (uint64_t) n;
        }
}

static int copy_content(const FilePut *put, int fd) {
        uint64_t offset = put->offset, left = put->size;
        _autofree_ uint8_t *room = NULL;
        int r = 0;

        if (put->body->fd < 0)
                return write_all(fd, put->body->memory.data + offset, (size_t) left);
        copy_in_kernel(put->body->fd, fd, &offset, &left);
        if (left == 0)
                return 0;
        room = malloc(COPY_BYTES);
        if (!room)
                return raise_error(-ENOMEM, "copy an upload");
        while (r == 0 && left > 0) {
                ssize_t n = body_read(put->body, offset, room,
                                      left < COPY_BYTES ? (size_t) left : COPY_BYTES);

                if (n <= 0)
                        return n < 0 ? (int) n : raise_error(-EIO, "copy an upload");
                r = write_all(fd, room, (size_t) n);
                offset += (uint64_t) n;
                left -= (uint64_t) n;
        }
        return r;
}

/* A file that is not there yet. */
typedef struct Pending {
        int fd;
        char hidden[FILE_HIDDEN_MAX]; /* its name; "": it has none */
} Pending;

/* Without a name, nothing of it is left whatever ends the server. Not every file system can. */
static int open_pending(int folder_fd, Pending *ret_pending) {
        ret_pending->hidden[0] = '\0';
        ret_pending->fd = openat(folder_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (ret_pending->fd >= 0)
                return 0;
        /* ext4 says so of a folder that has been removed meanwhile (ext4_new_inode()). */
        if (errno == EPERM)
                return -ENOENT;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
                return raise_errno("make a file for an upload");
        file_hidden_name(ret_pending->hidden);
        ret_pending->fd = tree_open(folder_fd, ret_pending->hidden, O_CREAT | O_EXCL | O_WRONLY);
        if (ret_pending->fd == -ENOENT || ret_pending->fd == -EPERM)
                return -ENOENT;
        return ret_pending->fd < 0 ? raise_error(ret_pending->fd, "make a file for an upload") : 0;
}

static int link_pending(const Pending *pending, int folder_fd, const char *name) {
        char path[40];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", pending->fd);
        return linkat(AT_FDCWD, path, folder_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Gives it its name, in place of the file that has it. */
static int name_pending(Pending *pending, const FileWay *way, bool exists) {
        int r;

        if (pending->hidden[0] == '\0') {
                if (!exists) {
                        r = link_pending(pending, way->fd, way->name);
                        if (r != -EEXIST)
                                return r;
                }
                file_hidden_name(pending->hidden);
                r = link_pending(pending, way->fd, pending->hidden);
                if (r < 0) {
                        pending->hidden[0] = '\0';
                        return r;
                }
        }
        if (renameat(way->fd, pending->hidden, way->fd, way->name) < 0)
                return -errno;
        pending->hidden[0] = '\0';
        return 0;
}

static void drop_pending(Pending *pending, const FileWay *way) {
        if (pending->hidden[0] != '\0')
                (void) unlinkat(way->fd, pending->hidden, 0);
}

static uint64_t disk_bytes_of(const struct stat *status) {
        uint64_t blocks = (uint64_t) status->st_blocks * 512;

        return blocks > (uint64_t) status->st_size ? blocks : (uint64_t) status->st_size;
}

/* What the workspace holds is only known by looking, so two files that come at once are looked at
 * one after the other. */
typedef struct RoomLock {
        pthread_mutex_t mutex;
        uint64_t serial; /* of the last file that was put under it */
} RoomLock;

static RoomLock *room_lock(int workspace_fd) {
        static RoomLock locks[ROOM_LOCKS] = {
                [0 ... ROOM_LOCKS - 1] = {.mutex = PTHREAD_MUTEX_INITIALIZER}};
        struct stat status = {0};

        (void) fstat(workspace_fd, &status);
        return &locks[status.st_ino % ROOM_LOCKS];
}

static int know_room(FilePut *put, const RoomLock *lock) {
        FileRoom *room = put->room;
        int r;

        if (room->is_known && room->serial == lock->serial)
                return 0;
        r = tree_measure(put->workspace_fd, put->is_short ? CHORE_SHORT_ENTRIES : put->entries_max,
                         &room->bytes, &room->entries);
        room->is_known = r == 0;
        room->serial = lock->serial;
        return r == -EDQUOT && put->is_short ? -EBUSY : r;
}

/* old: what the file replaces, or NULL. */
static int check_room(FilePut *put, const struct stat *status, const struct stat *old) {
        uint64_t freed = old && old->st_nlink == 1 ? (uint64_t) old->st_blocks * 512 : 0;
        FileRoom *room = put->room;

        put->disk_bytes = room->bytes - (freed <= room->bytes ? freed : 0);
        if (put->disk_bytes > put->disk_bytes_max ||
            disk_bytes_of(status) > put->disk_bytes_max - put->disk_bytes)
                return -EDQUOT;
        if (!old && room->entries >= put->entries_max) {
                put->disk_bytes = UINT64_MAX;
                return -EDQUOT;
        }
        return 0;
}

static int commit(FilePut *put, RoomLock *lock, Pending *pending, const FileWay *way) {
        struct stat status, old;
        bool exists = fstatat(way->fd, way->name, &old, AT_SYMLINK_NOFOLLOW) == 0;
        int r;

        if (exists && S_ISDIR(old.st_mode))
                return -EISDIR;
        if (!file_condition_holds(&put->condition, exists ? &old : NULL))
                return -ESTALE;
        if (fstat(pending->fd, &status) < 0)
                return raise_errno("look at an upload");
        r = know_room(put, lock);
        if (r == -EDQUOT)
                put->disk_bytes = UINT64_MAX;
        if (r == 0)
                r = check_room(put, &status, exists ? &old : NULL);
        if (r < 0)
                return r;
        if (fchmod(pending->fd, 0644) < 0 ||
            (put->uid != (uid_t) -1 && fchown(pending->fd, put->uid, (gid_t) put->uid) < 0))
                return raise_errno("give an upload to uid %u", put->uid);
        put->replaced = exists;
        file_etag(&status, put->etag);
        r = name_pending(pending, way, exists);
        if (r == 0) {
                put->room->bytes = put->disk_bytes + disk_bytes_of(&status);
                put->room->entries += !exists;
                put->room->serial = ++lock->serial;
        }
        return r;
}

static int commit_locked(FilePut *put, Pending *pending, const FileWay *way) {
        RoomLock *lock = room_lock(put->workspace_fd);
        int r;

        /* Whoever has it may be looking at a large workspace. */
        if (!put->is_short) {
                (void) pthread_mutex_lock(&lock->mutex);
        } else if (pthread_mutex_trylock(&lock->mutex) != 0) {
                drop_pending(pending, way);
                return -EBUSY;
        }
        r = commit(put, lock, pending, way);
        (void) pthread_mutex_unlock(&lock->mutex);
        drop_pending(pending, way);
        return r;
}

/* A body that is the file, and lies on the same file system, need not be copied. False: it must. */
static bool commit_body(FilePut *put, const FileWay *way, int *ret_r) {
        Pending pending = {.fd = put->body->fd};

        if (pending.fd < 0 || put->offset != 0 || put->size != put->body->size)
                return false;
        *ret_r = commit_locked(put, &pending, way);
        return *ret_r != -EXDEV && *ret_r != -ENOENT && *ret_r != -EPERM && *ret_r != -EMLINK;
}

int file_put(FilePut *put) {
        FileWay way = {.fd = -1};
        Pending pending = {.fd = -1};
        bool may_make = !file_condition_wants_a_file(&put->condition);
        int r = file_walk(put->workspace_fd, put->path, may_make, put->uid, &way);

        if (r < 0)
                return r == -ENOENT && !may_make ? -ESTALE : r;
        if (!commit_body(put, &way, &r)) {
                r = put->is_short && put->size > CHORE_SHORT_BYTES ? -EBUSY
                                                                   : open_pending(way.fd, &pending);
                if (r == 0)
                        r = copy_content(put, pending.fd);
                if (r == 0)
                        r = commit_locked(put, &pending, &way);
                else
                        drop_pending(&pending, &way);
        }
        close_fd(&pending.fd);
        close_fd(&way.fd);
        return r;
}

/* ── Reading ── */

int file_open(int workspace_fd, const char *path, struct stat *ret_status) {
        _autoclose_ int fd = -1;
        FileWay way = {.fd = -1};
        int r = file_walk(workspace_fd, path, false, 0, &way);

        if (r < 0)
                return r;
        /* Opening a FIFO would wait for a writer, and a device might do anything. */
        fd = tree_open(way.fd, way.name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        close_fd(&way.fd);
        if (fd < 0)
                return fd == -ENXIO ? -EINVAL : fd;
        if (fstat(fd, ret_status) < 0)
                return -errno;
        if (!S_ISREG(ret_status->st_mode))
                return S_ISDIR(ret_status->st_mode) ? -EISDIR : -EINVAL;
        return take_fd(fd);
}

int file_open_folder(int workspace_fd, const char *path) {
        FileWay way = {.fd = -1};
        int fd, r;

        if (path[0] == '\0')
                return tree_open_again(workspace_fd);
        r = file_walk(workspace_fd, path, false, 0, &way);
        if (r < 0)
                return r;
        fd = tree_open_folder(way.fd, way.name);
        if (fd == -ENOTDIR)
                fd = why_no_folder(way.fd, way.name);
        close_fd(&way.fd);
        return fd;
}

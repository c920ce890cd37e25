#pragma once
/* folders: a temporary folder for a test, and trees such as hostile runs leave behind. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helpers.h"
#include "kit/cleanup.h"

typedef struct Folder {
        char path[128];
        int fd;
} Folder;

/* Containers give /dev/shm 64 MiB as a rule, which some tests mean to overrun. */
#define ROOM_MIN (512ULL << 20)

static inline const char *folder_parent(void) {
        struct statvfs room;

        if (access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &room) == 0 &&
            room.f_bavail * room.f_frsize >= ROOM_MIN)
                return "/dev/shm";
        return "/tmp";
}

/* In memory where that is possible: some tests make tens of thousands of files. */
static inline void folder_make(Folder *folder) {
        const char *parent = getenv("TMPDIR");

        if (!parent || strlen(parent) >= 64)
                parent = folder_parent();
        (void) snprintf(folder->path, sizeof(folder->path), "%s/hatchery-test-XXXXXX", parent);
        assert_non_null(mkdtemp(folder->path));
        /* Workers of other uids pass through. */
        assert_int_equal(chmod(folder->path, 0711), 0);
        folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(folder->fd >= 0);
}

static inline void file_write(int folder_fd, const char *name, const void *content, size_t size) {
        _autoclose_ int fd =
                openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, size), size);
}

static inline void file_make(int folder_fd, const char *name) {
        file_write(folder_fd, name, name, strlen(name));
}

static inline void folder_make_in(int folder_fd, const char *name) {
        assert_int_equal(mkdirat(folder_fd, name, 0700), 0);
}

static inline int folder_open_in(int folder_fd, const char *name) {
        int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

/* Folders in folders, each with a file, deeper than any path name reaches. */
static inline void make_deep(int folder_fd, unsigned depth) {
        int fd = fcntl(folder_fd, F_DUPFD_CLOEXEC, 0);

        for (unsigned i = 0; i < depth; i++) {
                int next;

                folder_make_in(fd, "d");
                file_make(fd, "f");
                next = folder_open_in(fd, "d");
                (void) close(fd);
                fd = next;
        }
        (void) close(fd);
}

/* Root's power to open whatever it likes: taken away, or given back. Nothing changes for another
 * user, nor in threads that are there already. */
static inline void set_override(bool on) {
        struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[2];
        uint32_t powers = 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH;

        assert_int_equal(syscall(SYS_capget, &head, sets), 0);
        sets[0].effective = on ? sets[0].permitted : sets[0].effective & ~powers;
        assert_int_equal(syscall(SYS_capset, &head, sets), 0);
}

static inline unsigned count_entries(int folder_fd) {
        int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fdopendir(fd);
        unsigned n = 0;

        assert_non_null(directory);
        while (readdir(directory))
                n++;
        (void) closedir(directory);
        return n - 2;
}

static inline unsigned count_open_descriptors(void) {
        _autoclose_ int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return count_entries(fd) - 1;
}

/* What a test has left, and the folder itself; for trees of a few entries. */
static inline void remove_tree(int parent_fd, const char *name) {
        int fd;
        DIR *directory;
        struct dirent *entry;

        if (unlinkat(parent_fd, name, 0) == 0)
                return;
        if (fchmodat(parent_fd, name, 0700, 0) < 0)
                return;
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        directory = fd < 0 ? NULL : fdopendir(fd);
        while (directory && (entry = readdir(directory))) {
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        remove_tree(fd, entry->d_name);
        }
        if (directory)
                (void) closedir(directory);
        (void) unlinkat(parent_fd, name, AT_REMOVEDIR);
}

static inline void folder_remove(Folder *folder) {
        remove_tree(AT_FDCWD, folder->path);
        close_fd(&folder->fd);
}

#include "pool/held.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N_PLACES       (2 * HELD_FILES_MAX)
#define DEPTH_MAX      32 /* of processes that have started processes */
#define MAPS_BYTES_MAX 8192
#define DELETED        " (deleted)"

typedef struct Walk {
        dev_t devices[2]; /* of folders and of files: overlayfs may tell them apart */
        uid_t uid;
        bool is_own_uid;      /* nobody else's files belong to it */
        bool is_closed;       /* something could not be looked at */
        unsigned looks;       /* at descriptors and mappings */
        unsigned n_files;     /* that count */
        ino_t seen[N_PLACES]; /* their inodes, hashed; 0: none */
        uint64_t bytes;
} Walk;

static bool is_over(const Walk *walk) {
        return walk->n_files > HELD_FILES_MAX || walk->looks > HELD_LOOKS_MAX;
}

/* --- one file --- */

static bool is_new(Walk *walk, ino_t inode) {
        size_t place = (size_t) (inode % N_PLACES);

        while (walk->seen[place] != 0) {
                if (walk->seen[place] == inode)
                        return false;
                place = (place + 1) % N_PLACES;
        }
        walk->seen[place] = inode;
        return true;
}

static void count(Walk *walk, const struct stat *status) {
        if (status->st_nlink > 0 || status->st_uid != walk->uid || is_over(walk) ||
            (status->st_dev != walk->devices[0] && status->st_dev != walk->devices[1]) ||
            !is_new(walk, status->st_ino))
                return;
        walk->n_files++;
        walk->bytes += (uint64_t) status->st_blocks * 512;
}

static bool has_ended(int error) {
        return error == ENOENT || error == ESRCH;
}

/* name: a magic link. It leads to the file itself, whatever names its process gave it: nothing is
 * opened, and no name of the process's making is followed. */
static void look_at(Walk *walk, int directory_fd, const char *name) {
        struct stat status;

        walk->looks++;
        if (fstatat(directory_fd, name, &status, 0) == 0)
                count(walk, &status);
        else if (!has_ended(errno))
                walk->is_closed = true;
}

/* --- descriptors --- */

static DIR *read_folder(Walk *walk, int parent_fd, const char *name) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

        if (!directory && fd >= 0)
                (void) close(fd);
        else if (fd < 0 && !has_ended(errno))
                walk->is_closed = true;
        return directory;
}

static void look_at_descriptors(Walk *walk, int thread_fd) {
        DIR *directory = read_folder(walk, thread_fd, "fd");
        struct dirent *entry;

        if (!directory)
                return;
        while (!is_over(walk) && (entry = readdir(directory))) {
                if (entry->d_name[0] != '.')
                        look_at(walk, dirfd(directory), entry->d_name);
        }
        (void) closedir(directory);
}

/* --- mappings --- */

static bool is_of_deleted(const char *line) {
        size_t length = strlen(line);

        return length > strlen(DELETED) && strcmp(line + length - strlen(DELETED), DELETED) == 0;
}

/* A line of maps: "from-to perms offset device inode path". The kernel writes a newline in a path
 * as \012. */
static void look_at_mapping(Walk *walk, int thread_fd, const char *line) {
        unsigned long long from, to;
        char permissions[5], link[64];

        if (sscanf(line, "%llx-%llx %4s", &from, &to, permissions) != 3)
                return;
        if (!walk->is_own_uid && permissions[3] != 's')
                return;
        (void) snprintf(link, sizeof(link), "map_files/%llx-%llx", from, to);
        look_at(walk, thread_fd, link);
}

/* Returns false when this thread has no memory any more: it has ended, and others go on. */
static bool look_at_mappings(Walk *walk, int thread_fd) {
        int fd = openat(thread_fd, "maps", O_RDONLY | O_CLOEXEC);
        FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
        char line[MAPS_BYTES_MAX];
        bool is_any = false, is_start = true;

        if (!maps) {
                if (fd >= 0)
                        (void) close(fd);
                else if (!has_ended(errno))
                        walk->is_closed = true;
                return fd < 0 && !has_ended(errno);
        }
        while (!is_over(walk) && fgets(line, sizeof(line), maps)) {
                size_t length = strcspn(line, "\n");
                bool is_whole = line[length] == '\n';

                line[length] = '\0';
                is_any = true;
                /* Of a path that is too long, the file itself tells whether it has a name; as it
                 * does of one whose name ends so. */
                if (is_start && (!is_whole || is_of_deleted(line)))
                        look_at_mapping(walk, thread_fd, line);
                is_start = is_whole;
        }
        (void) fclose(maps);
        return is_any;
}

/* --- processes --- */

static void look_at_process(Walk *walk, int process_fd, pid_t pid, unsigned depth);

static pid_t parent_of(int process_fd) {
        char text[512];
        _autoclose_ int fd = openat(process_fd, "stat", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        const char *end;
        int parent;

        if (n <= 0)
                return 0;
        text[n] = '\0';
        /* Its name is its own to choose, and may have parentheses in it. */
        end = strrchr(text, ')');
        return end && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

static int open_process(pid_t pid) {
        char path[32];

        (void) snprintf(path, sizeof(path), "/proc/%d", pid);
        /* Stands for this process, and for no later one of its number. */
        return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void look_at_children(Walk *walk, int process_fd, pid_t pid, const char *thread,
                             unsigned depth) {
        char path[64];
        FILE *children;
        int child, fd;

        (void) snprintf(path, sizeof(path), "task/%.20s/children", thread);
        fd = openat(process_fd, path, O_RDONLY | O_CLOEXEC);
        children = fd >= 0 ? fdopen(fd, "r") : NULL;
        if (!children) {
                if (fd >= 0)
                        (void) close(fd);
                return;
        }
        while (!is_over(walk) && fscanf(children, "%d", &child) == 1) {
                _autoclose_ int child_fd = open_process(child);

                if (child_fd >= 0 && parent_of(child_fd) == pid)
                        look_at_process(walk, child_fd, child, depth + 1);
        }
        (void) fclose(children);
}

static bool share_descriptors(pid_t one, pid_t other) {
        return one != 0 && syscall(SYS_kcmp, one, other, KCMP_FILES, 0UL, 0UL) == 0;
}

/* By threads, as a thread may have descriptors of its own (CLOSE_RANGE_UNSHARE), and the first one
 * may have ended: then what is in /proc/<pid> itself is empty. */
static void look_at_process(Walk *walk, int process_fd, pid_t pid, unsigned depth) {
        DIR *threads = depth < DEPTH_MAX ? read_folder(walk, process_fd, "task") : NULL;
        struct dirent *entry;
        bool has_mappings = false;
        pid_t last = 0;

        if (!threads) {
                walk->is_closed |= depth == DEPTH_MAX;
                return;
        }
        while (!is_over(walk) && (entry = readdir(threads))) {
                pid_t thread = entry->d_name[0] != '.' ? atoi(entry->d_name) : 0;
                _autoclose_ int thread_fd = thread > 0 ? open_process(thread) : -1;

                /* Still there, so it was this thread that has been opened. */
                if (thread_fd < 0 || faccessat(dirfd(threads), entry->d_name, F_OK, 0) < 0)
                        continue;
                walk->looks++;
                if (!share_descriptors(last, thread))
                        look_at_descriptors(walk, thread_fd);
                last = thread;
                if (!has_mappings)
                        has_mappings = look_at_mappings(walk, thread_fd);
                look_at_children(walk, process_fd, pid, entry->d_name, depth);
        }
        (void) closedir(threads);
}

bool held_finds(const HeldBy *by) {
        return by->pidfd >= 0 &&
               (syscall(SYS_pidfd_send_signal, by->pidfd, 0, NULL, 0) == 0 || errno == EPERM);
}

bool held_measure(const HeldBy *by, size_t n_by, int folder_fd, uid_t uid, uint64_t *bytes) {
        Walk walk = {.uid = uid != 0 ? uid : geteuid(), .is_own_uid = uid != 0};
        struct stat status;

        if (fstat(folder_fd, &status) < 0)
                return true;
        walk.devices[0] = walk.devices[1] = status.st_dev;
        if (fstatat(folder_fd, "0.session", &status, AT_SYMLINK_NOFOLLOW) == 0)
                walk.devices[1] = status.st_dev;
        for (size_t i = 0; i < n_by; i++) {
                _autoclose_ int process_fd = by[i].pidfd >= 0 ? open_process(by[i].pid) : -1;

                if (process_fd >= 0 && held_finds(&by[i]))
                        look_at_process(&walk, process_fd, by[i].pid, 0);
        }
        *bytes += is_over(&walk) ? UINT64_MAX / 4 : walk.bytes;
        return !walk.is_closed;
}

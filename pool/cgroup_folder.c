#include "pool/cgroup_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "kit/clock.h"

/* Processes that are looked at at once. */
#define BATCH 128

/* Rounds of killing by number. With pids.max at 0, the second one finds nobody new. */
#define ROUNDS_MAX 64

#define REMOVE_TIMEOUT_NS (1 * NS_PER_S)

int cgroup_folder_open(int parent_fd, const char *name) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int cgroup_write(int folder_fd, const char *file, const char *text) {
        _autoclose_ int fd = openat(folder_fd, file, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_write_number(int folder_fd, const char *file, uint64_t number) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%ju", (uintmax_t) number);
        return cgroup_write(folder_fd, file, text);
}

uint64_t cgroup_read_count(int fd, const char *word) {
        char text[1024];
        size_t size = strlen(word);
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        if (n <= 0)
                return 0;
        text[n] = '\0';
        for (const char *line = text; line; line = strchr(line, '\n')) {
                uint64_t number = 0;

                line += *line == '\n';
                if (strncmp(line, word, size) != 0 || line[size] != ' ')
                        continue;
                for (line += size + 1; *line >= '0' && *line <= '9'; line++)
                        number = number * 10 + (uint64_t) (*line - '0');
                return number;
        }
        return 0;
}

/* The first processes in the list, which changes all the time. Those that this process cannot see
 * (other pid namespaces) are 0. Returns how many, or -errno. */
static int read_processes(int folder_fd, pid_t ret_pids[BATCH]) {
        _autoclose_ int fd = openat(folder_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        char text[4096];
        size_t used = 0;
        ssize_t n = 1;
        int count = 0;

        if (fd < 0)
                return -errno;
        while (n > 0 && used < sizeof(text) - 1) {
                n = read(fd, text + used, sizeof(text) - 1 - used);
                if (n < 0)
                        return -errno;
                used += (size_t) n;
        }
        /* A number that the end of the room has cut is another process's. */
        while (used > 0 && text[used - 1] != '\n')
                used--;
        text[used] = '\0';
        for (const char *line = text; *line && count < BATCH; line = strchr(line, '\n') + 1)
                ret_pids[count++] = (pid_t) strtol(line, NULL, 10);
        return count;
}

int cgroup_folder_is_empty(int folder_fd) {
        _autoclose_ int events_fd = openat(folder_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        pid_t pids[BATCH];
        int n;

        /* Version 2 counts what is below, too. */
        if (events_fd >= 0)
                return cgroup_read_count(events_fd, "populated") == 0;
        n = read_processes(folder_fd, pids);
        return n < 0 ? n : n == 0;
}

static bool is_among(pid_t pid, const pid_t *pids, int n) {
        for (int i = 0; i < n; i++) {
                if (pids[i] == pid)
                        return true;
        }
        return false;
}

/*
 * A number that was read may be another process's by the time of the kill, so each process is held
 * by a pidfd first, and then must be in the list still. Returns how many were there.
 */
static int kill_batch(int folder_fd) {
        pid_t pids[BATCH], again[BATCH];
        int pidfds[BATCH];
        int n = read_processes(folder_fd, pids), n_again;

        for (int i = 0; i < n; i++)
                pidfds[i] = pids[i] > 0 ? (int) syscall(SYS_pidfd_open, pids[i], 0) : -1;
        n_again = n > 0 ? read_processes(folder_fd, again) : 0;
        for (int i = 0; i < n; i++) {
                if (pidfds[i] >= 0 && is_among(pids[i], again, n_again))
                        (void) syscall(SYS_pidfd_send_signal, pidfds[i], SIGKILL, NULL, 0);
                close_fd(&pidfds[i]);
        }
        return n;
}

void cgroup_folder_kill(int folder_fd, int limit_fd, unsigned processes) {
        if (cgroup_write(folder_fd, "cgroup.kill", "1") == 0)
                return;
        (void) cgroup_write(limit_fd, "pids.max", "0");
        /* A fork that was under way when the limit fell may still come out of it, once. */
        for (unsigned round = 0; round < ROUNDS_MAX; round++) {
                if (kill_batch(folder_fd) <= 0)
                        break;
        }
        /* Who has been sent SIGKILL does not fork any more. */
        if (processes > 0)
                (void) cgroup_write_number(limit_fd, "pids.max", processes);
}

static int remove_children(int fd);

static int remove_one(int parent_fd, const char *name, uint64_t deadline_ns) {
        _autoclose_ int fd = cgroup_folder_open(parent_fd, name);
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        r = remove_children(fd);
        if (r < 0)
                return r;
        while (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0) {
                if (errno == ENOENT)
                        return 0;
                if (errno != EBUSY || clock_now_ns() >= deadline_ns)
                        return -errno;
                cgroup_folder_kill(fd, fd, 0);
                (void) nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
        }
        return 0;
}

static int remove_children(int fd) {
        int list_fd = cgroup_folder_open(fd, ".");
        DIR *directory = list_fd < 0 ? NULL : fdopendir(list_fd);
        struct dirent *entry;
        int r = 0;

        if (!directory) {
                close_fd(&list_fd);
                return -ENOMEM;
        }
        while (r == 0 && (entry = readdir(directory))) {
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        r = remove_one(fd, entry->d_name, clock_now_ns() + REMOVE_TIMEOUT_NS);
        }
        (void) closedir(directory);
        return r;
}

int cgroup_folder_remove(int parent_fd, const char *name) {
        return remove_one(parent_fd, name, clock_now_ns() + REMOVE_TIMEOUT_NS);
}

#include "interp/user_map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interp/cell_report.h"

/* The kernel takes up to 340 lines, in one write, of a page at most. */
#define MAP_BYTES 4096

static int write_once(int proc_fd, const char *path, const char *text) {
        _autoclose_ int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int user_map_own(int proc_fd, unsigned uid, unsigned gid, CellReport *report) {
        const char *paths[] = {"self/uid_map", "self/setgroups", "self/gid_map"};
        char texts[N_ELEMENTS(paths)][32];

        (void) snprintf(texts[0], sizeof(texts[0]), "%u %u 1\n", uid, uid);
        (void) snprintf(texts[1], sizeof(texts[1]), "deny");
        (void) snprintf(texts[2], sizeof(texts[2]), "%u %u 1\n", gid, gid);

        /* The files belong to root while the process is not dumpable. */
        if (prctl(PR_SET_DUMPABLE, 1) < 0)
                return cell_report_failure(report, "become dumpable");
        for (size_t i = 0; i < N_ELEMENTS(paths); i++) {
                int r = write_once(proc_fd, paths[i], texts[i]);

                if (r < 0) {
                        errno = -r;
                        return cell_report_failure(report, "write %s", paths[i]);
                }
        }
        return 0;
}

static bool may_set_ids(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2];
        const uint32_t needed = 1U << CAP_SETUID | 1U << CAP_SETGID;

        return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

/* The ids that this namespace knows, each to itself. Returns 0 or -errno. */
static int identity_of(int proc_fd, const char *path, char out[MAP_BYTES]) {
        _autoclose_ int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
        char known[MAP_BYTES], *rest = known;
        unsigned first, count;
        size_t used = 0;
        ssize_t n;
        int length;

        if (fd < 0)
                return -errno;
        n = read(fd, known, sizeof(known) - 1);
        if (n < 0)
                return -errno;
        known[n] = 0;
        while (sscanf(rest, "%u %*u %u%n", &first, &count, &length) == 2) {
                used += (size_t) snprintf(out + used, MAP_BYTES - used, "%u %u %u\n", first, first,
                                          count);
                if (used >= MAP_BYTES)
                        return -E2BIG;
                rest += length;
        }
        return used > 0 ? 0 : -EINVAL;
}

/* In a child that has stayed outside: maps all ids of the process pid. Returns 0 or an errno. */
static int map_all_of(int proc_fd, pid_t pid) {
        static const char *const names[] = {"uid_map", "gid_map"};

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                char path[64], text[MAP_BYTES];
                int r;

                (void) snprintf(path, sizeof(path), "self/%s", names[i]);
                r = identity_of(proc_fd, path, text);
                if (r < 0)
                        return -r;
                (void) snprintf(path, sizeof(path), "%d/%s", (int) pid, names[i]);
                r = write_once(proc_fd, path, text);
                if (r < 0)
                        return -r;
        }
        return 0;
}

/* Forks the child that stays outside. It goes to work at a byte of the pipe, and ends at once when
 * the pipe is closed. */
static pid_t fork_mapper(int proc_fd, int pipe_fds[2]) {
        pid_t mapped = getpid(), pid = fork();

        if (pid == 0) {
                char go;

                (void) close(pipe_fds[1]);
                if (read(pipe_fds[0], &go, 1) != 1)
                        _exit(ECANCELED);
                _exit(map_all_of(proc_fd, mapped));
        }
        return pid;
}

/* Returns 0 or an errno. */
static int await_mapper(pid_t mapper) {
        int status;

        if (waitpid(mapper, &status, 0) < 0)
                return errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static int enter_with_all(int proc_fd, CellReport *report) {
        _autoclose_ int read_fd = -1, write_fd = -1;
        int pipe_fds[2], error;
        pid_t mapper;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return cell_report_failure(report, "make a pipe");
        read_fd = pipe_fds[0];
        write_fd = pipe_fds[1];
        mapper = fork_mapper(proc_fd, pipe_fds);
        if (mapper < 0)
                return cell_report_failure(report, "fork what maps the ids");
        if (unshare(CLONE_NEWUSER) < 0) {
                int r = cell_report_failure(report, "unshare(CLONE_NEWUSER)");

                close_fd(&write_fd);
                (void) await_mapper(mapper);
                return r;
        }
        error = write(write_fd, "", 1) == 1 ? 0 : errno;
        close_fd(&write_fd);
        errno = await_mapper(mapper);
        if (error || errno)
                return cell_report_failure(report, "map all ids of a user namespace");
        return 0;
}

int user_map_enter(int proc_fd, CellReport *report, bool *ret_all) {
        unsigned uid = geteuid(), gid = getegid();

        *ret_all = may_set_ids();
        if (*ret_all)
                return enter_with_all(proc_fd, report);
        if (unshare(CLONE_NEWUSER) < 0)
                return cell_report_failure(report, "unshare(CLONE_NEWUSER)");
        return user_map_own(proc_fd, uid, gid, report);
}

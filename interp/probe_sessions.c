/* probe_sessions: attempts that only the worker of a session can make, and those of its copies. */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/confine.h"
#include "interp/probe_attempts.h"
#include "kit/cleanup.h"
#include "wire/session.h"

#define PATH_SIZE 320

/* The server turns in microseconds. Were this too short, a busy machine would look broken. */
#define HANG_UP_MS 5000

static bool is_in_session(const ProbeRequest *request) {
        return request->flags & PROBE_IN_SESSION;
}

static bool is_in_copy(const ProbeRequest *request) {
        return request->flags & PROBE_IN_COPY;
}

/* --- files of others --- */

/* By the server's path; and in a cell by that at which its maker has all homes, beneath what each
 * keeper mounts there. */
static int try_home(const ProbeRequest *request, const char *home, const char *below,
                    int (*attempt)(const char *path)) {
        char path[PATH_SIZE];
        int outcome;

        if (!is_in_session(request))
                return PROBE_SKIPPED;
        (void) snprintf(path, sizeof(path), "%s/%s%s", request->homes_path, home, below);
        outcome = attempt(path);
        if (outcome == PROBE_SUCCEEDED || request->home_path[0])
                return outcome;
        (void) snprintf(path, sizeof(path), "/tmp/%s%s", home, below);
        return attempt(path);
}

int probe_read_other_home(const ProbeRequest *request) {
        return try_home(request, request->other_home, "/work/0/secret", probe_file_for_reading);
}

int probe_write_other_home(const ProbeRequest *request) {
        return try_home(request, request->other_home, "/work/0", probe_file_in);
}

int probe_write_home(const ProbeRequest *request) {
        return try_home(request, request->own_home, "", probe_file_in);
}

int probe_list_homes(const ProbeRequest *request) {
        _autoclose_ int fd = -1;

        if (!is_in_session(request))
                return PROBE_SKIPPED;
        fd = open(request->homes_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? errno : PROBE_SUCCEEDED;
}

/* --- files of its home that are not its own --- */

static int try_own_home(const ProbeRequest *request, const char *below,
                        int (*attempt)(const char *path)) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof(path), "%s%s", request->home_path, below);
        return attempt(path);
}

int probe_write_packages(const ProbeRequest *request) {
        char below[32];

        if (!is_in_session(request))
                return PROBE_SKIPPED;
        (void) snprintf(below, sizeof(below), "/packages/%u", request->member);
        return try_own_home(request, below, probe_file_in);
}

int probe_write_beside_workspace(const ProbeRequest *request) {
        return is_in_session(request) ? try_own_home(request, "/work", probe_file_in)
                                      : PROBE_SKIPPED;
}

int probe_read_source(const ProbeRequest *request) {
        return is_in_copy(request) ? try_own_home(request, "/work/0/secret", probe_file_for_reading)
                                   : PROBE_SKIPPED;
}

int probe_write_source(const ProbeRequest *request) {
        return is_in_copy(request) ? try_own_home(request, "/work/0", probe_file_in)
                                   : PROBE_SKIPPED;
}

/* Its memory-backed files, too, where it has some. */
int probe_write_source_temporary(const ProbeRequest *request) {
        int outcome;

        if (!is_in_copy(request))
                return PROBE_SKIPPED;
        outcome = try_own_home(request, "/tmp", probe_file_in);
        return outcome == PROBE_SUCCEEDED || request->home_path[0] ? outcome
                                                                   : probe_file_in("/dev/shm");
}

int probe_change_mode_source(const ProbeRequest *request) {
        return is_in_copy(request) ? try_own_home(request, "/work/0/secret", probe_mode_of)
                                   : PROBE_SKIPPED;
}

/* --- processes --- */

int probe_signal_source(const ProbeRequest *request) {
        return is_in_copy(request) ? probe_signal(request->source_pid) : PROBE_SKIPPED;
}

int probe_source_memory(const ProbeRequest *request) {
        return is_in_copy(request) ? probe_process_memory(request->source_pid) : PROBE_SKIPPED;
}

/* What is made is a child of the server's, who waits for it. */
static int try_to_clone(unsigned long flags) {
        long pid = syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);

        if (pid == 0)
                _exit(0);
        return pid < 0 ? errno : PROBE_SUCCEEDED;
}

/* The very call that the server allows when it has asked for a copy. The kernel looks at the lower
 * half of the flags only. */
int probe_copy_untold(const ProbeRequest *request) {
        int outcome;

        if (!is_in_session(request))
                return PROBE_SKIPPED;
        outcome = try_to_clone(CLONE_PARENT | SIGCHLD);
        return outcome == PROBE_SUCCEEDED ? outcome
                                          : try_to_clone(1UL << 32 | CLONE_PARENT | SIGCHLD);
}

int probe_copy_otherwise(const ProbeRequest *request) {
        static const unsigned long flags[] = {
                CLONE_PARENT,
                CLONE_PARENT | SIGUSR1,
                CLONE_PARENT | CLONE_FILES | SIGCHLD,
                CLONE_PARENT | CLONE_FS | SIGCHLD,
                CLONE_PARENT | CLONE_NEWUSER | SIGCHLD,
        };
        int outcome = PROBE_SUCCEEDED;

        if (!is_in_session(request))
                return PROBE_SKIPPED;
        for (size_t i = 0; i < N_ELEMENTS(flags); i++) {
                outcome = try_to_clone(flags[i]);
                if (outcome == PROBE_SUCCEEDED)
                        break;
        }
        return outcome;
}

/* Who listens answers, and could allow. The filter itself allows all. */
static int make_listener(void) {
        struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        struct sock_fprog program = {.len = 1, .filter = &code};
        _autoclose_ int fd = (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                           SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);

        return fd < 0 ? errno : PROBE_SUCCEEDED;
}

int probe_own_listener(const ProbeRequest *request) {
        return is_in_session(request) ? probe_in_child(make_listener) : PROBE_SKIPPED;
}

/* --- the control socket --- */

/* None has been sent, so a kernel that goes to look for one (EAGAIN) has let the call through. */
int probe_receive_descriptor(const ProbeRequest *request) {
        struct msghdr message = {0};
        int pair[2], outcome = PROBE_SUCCEEDED;

        if (!is_in_session(request))
                return PROBE_SKIPPED;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return errno;
        if (recvmsg(pair[0], &message, MSG_DONTWAIT) < 0 && errno != EAGAIN)
                outcome = errno;
        (void) close(pair[0]);
        (void) close(pair[1]);
        return outcome;
}

int probe_control_descriptor(const ProbeRequest *request) {
        return is_in_session(request) ? probe_send_descriptor(WORKER_FD_CONTROL, STDIN_FILENO)
                                      : PROBE_SKIPPED;
}

/* Whoever says more than it was asked for is not listened to any more. */
int probe_control_unasked(const ProbeRequest *request) {
        ControlMessage text = {.kind = CONTROL_FORKED};
        struct pollfd control = {.fd = WORKER_FD_CONTROL};

        if (!is_in_session(request))
                return PROBE_SKIPPED;
        if (send(WORKER_FD_CONTROL, &text, sizeof(text), MSG_NOSIGNAL) < 0)
                return errno;
        if (poll(&control, 1, HANG_UP_MS) < 0)
                return errno;
        return control.revents & (POLLHUP | POLLERR) ? EPIPE : PROBE_SUCCEEDED;
}

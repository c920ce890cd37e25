/* probe_processes: attempts at other processes, and at having more of one's own. */

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interp/probe_attempts.h"
#include "kit/cleanup.h"

#define HIGH_BIT ((uint64_t) 1 << 32)

/* In a pid namespace of one's own, another process's number may be one's own. */
static bool is_target(int32_t pid) {
        return pid > 0 && pid != getpid();
}

int probe_signal(int32_t pid) {
        if (!is_target(pid))
                return PROBE_SKIPPED;
        if (kill(pid, 0) == 0 || syscall(SYS_kill, HIGH_BIT | (uint64_t) pid, 0) == 0 ||
            syscall(SYS_tgkill, pid, pid, 0) == 0)
                return PROBE_SUCCEEDED;
        return errno;
}

int probe_signal_server(const ProbeRequest *request) {
        return probe_signal(request->server_pid);
}

int probe_signal_zygote(const ProbeRequest *request) {
        return probe_signal(request->zygote_pid);
}

int probe_signal_neighbour(const ProbeRequest *request) {
        return probe_signal(request->neighbour_pid);
}

int probe_own_pipe_signal(const ProbeRequest *request) {
        int fds[2], outcome = PROBE_SUCCEEDED;

        if (!is_target(request->server_pid))
                return PROBE_SKIPPED;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return errno;
        /* O_ASYNC is not set, so no signal is sent. */
        if (fcntl(fds[0], F_SETOWN, request->server_pid) < 0 &&
            syscall(SYS_fcntl, fds[0], HIGH_BIT | F_SETOWN, request->server_pid) < 0)
                outcome = errno;
        (void) close(fds[0]);
        (void) close(fds[1]);
        return outcome;
}

static int open_pidfd(int32_t pid) {
        return (int) syscall(SYS_pidfd_open, pid, 0);
}

int probe_pidfd_server(const ProbeRequest *request) {
        _autoclose_ int fd = -1;

        if (!is_target(request->server_pid))
                return PROBE_SKIPPED;
        fd = open_pidfd(request->server_pid);
        return fd < 0 ? errno : PROBE_SUCCEEDED;
}

/* Not by fork(3), which may choose one of them. */
int probe_fork(void) {
        struct clone_args arguments = {.exit_signal = SIGCHLD};
        long pid = -1;

#ifdef SYS_fork
        pid = syscall(SYS_fork);
#endif
        if (pid < 0)
                pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid < 0)
                pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
        return pid < 0 ? -errno : (int) pid;
}

static int wait_for(int pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0) {
                if (errno != EINTR)
                        return errno;
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

int probe_in_child(int (*attempt)(void)) {
        int pid = probe_is_filtered() ? -EPERM : probe_fork();

        if (pid < 0)
                return attempt();
        if (pid == 0)
                _exit(attempt());
        return wait_for(pid);
}

int probe_new_process(const ProbeRequest *request) {
        int pid = probe_fork();

        if (pid < 0)
                return -pid;
        if (pid == 0)
                _exit(0);
        (void) wait_for(pid);
        return PROBE_SUCCEEDED;
}

/* A program that was started would take this one's place, so none is named. A kernel that goes to
 * look for it (ENOENT) has let the call through. */
int probe_new_program(const ProbeRequest *request) {
        static char *const nothing[] = {NULL};

        (void) syscall(SYS_execve, "", nothing, nothing);
        if (errno == ENOENT)
                return PROBE_SUCCEEDED;
        (void) syscall(SYS_execveat, AT_FDCWD, "", nothing, nothing, 0);
        return errno == ENOENT ? PROBE_SUCCEEDED : errno;
}

int probe_outlive(const ProbeRequest *request) {
        if (prctl(PR_SET_PDEATHSIG, 0) < 0)
                return errno;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        return PROBE_SUCCEEDED;
}

/* --- forbidden calls --- */

/* Seized and not attached, so that it goes on. The kernel lets it go when this process ends. */
int probe_trace_server(const ProbeRequest *request) {
        if (!is_target(request->server_pid))
                return PROBE_SKIPPED;
        return ptrace(PTRACE_SEIZE, request->server_pid, NULL, NULL) < 0 ? errno : PROBE_SUCCEEDED;
}

/* No address is known, but a kernel that looks for it (EFAULT) has let the call through. */
int probe_read_server_memory(const ProbeRequest *request) {
        char byte;
        struct iovec here = {&byte, 1}, there = {NULL, 1};

        if (!is_target(request->server_pid))
                return PROBE_SKIPPED;
        if (process_vm_readv(request->server_pid, &here, 1, &there, 1, 0) < 0 && errno != EFAULT)
                return errno;
        return PROBE_SUCCEEDED;
}

int probe_take_descriptor(const ProbeRequest *request) {
        _autoclose_ int pidfd = -1, taken = -1;

        if (!is_target(request->server_pid))
                return PROBE_SKIPPED;
        pidfd = open_pidfd(request->server_pid);
        taken = (int) syscall(SYS_pidfd_getfd, pidfd, STDERR_FILENO, 0);
        return taken < 0 ? errno : PROBE_SUCCEEDED;
}

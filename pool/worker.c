#include "pool/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/error.h"

/* The end that stays here is non-blocking; the worker's end is another open file description, so
 * what the worker does to its flags stays with it. */
static int make_pipe(int *ret_ours, int *ret_child, bool we_write) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return raise_errno("make a pipe for a worker");
        *ret_ours = fds[we_write ? 1 : 0];
        *ret_child = fds[we_write ? 0 : 1];
        if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
                return raise_errno("make a pipe non-blocking");
        return 0;
}

int worker_open(Worker *worker, int ret_child_fds[_SPAWN_FDS]) {
        int r;

        *worker = WORKER_NONE;
        for (int i = 0; i < _SPAWN_FDS; i++)
                ret_child_fds[i] = -1;
        r = make_pipe(&worker->request_fd, &ret_child_fds[SPAWN_FD_REQUEST], true);
        if (r == 0)
                r = make_pipe(&worker->result_fd, &ret_child_fds[SPAWN_FD_RESULT], false);
        if (r == 0)
                r = make_pipe(&worker->stream_fds[RUN_STDOUT], &ret_child_fds[SPAWN_FD_STDOUT],
                              false);
        if (r == 0)
                r = make_pipe(&worker->stream_fds[RUN_STDERR], &ret_child_fds[SPAWN_FD_STDERR],
                              false);
        if (r < 0) {
                worker_close(worker);
                close_child_fds(ret_child_fds);
        }
        return r;
}

void close_child_fds(int fds[_SPAWN_FDS]) {
        for (int i = 0; i < SPAWN_FD_DIRECTORY; i++)
                close_fd(&fds[i]);
        close_fd(&fds[SPAWN_FD_CONTROL]);
}

int worker_attach(Worker *worker, pid_t pid) {
        worker->pid = pid;
        /* The worker is our child (CLONE_PARENT) and nobody else waits for it, so the number cannot
         * have been given to another process. */
        worker->pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        if (worker->pidfd < 0)
                return raise_errno("open a pidfd of worker %d", pid);
        return meter_open(&worker->meter, pid);
}

void worker_kill(const Worker *worker) {
        if (worker->pidfd >= 0)
                (void) syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0);
        else if (worker->pid > 0)
                (void) kill(worker->pid, SIGKILL);
}

int worker_wait(const Worker *worker, int *ret_status, struct rusage *ret_usage) {
        pid_t pid = wait4(worker->pid, ret_status, WNOHANG, ret_usage);

        if (pid < 0)
                return raise_errno("wait for worker %d", worker->pid);
        return pid == worker->pid;
}

void worker_close_pipes(Worker *worker) {
        close_fd(&worker->request_fd);
        close_fd(&worker->result_fd);
        for (int i = 0; i < _RUN_STREAMS; i++)
                close_fd(&worker->stream_fds[i]);
        close_fd(&worker->control_fd);
}

void worker_close(Worker *worker) {
        worker_close_pipes(worker);
        close_fd(&worker->pidfd);
        meter_close(&worker->meter);
        *worker = WORKER_NONE;
}

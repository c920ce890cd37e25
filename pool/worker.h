#pragma once
/*
 * worker: the supervisor's ends of one worker process: four pipes, a pidfd, a meter. Reads and
 * writes never block; what the bytes mean is decided elsewhere.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "pool/meter.h"
#include "pool/run.h"
#include "wire/zygote.h"

typedef struct Worker {
        pid_t pid; /* 0: not known yet */
        int pidfd;
        int request_fd; /* write end */
        int result_fd;  /* read ends */
        int stream_fds[_RUN_STREAMS];
        int control_fd;             /* of a session's worker (wire/session.h); else -1 */
        bool control_is_introduced; /* CONTROL_LISTENER has come */
        Meter meter;
} Worker;

#define WORKER_NONE                                                                                \
        ((Worker){.pidfd = -1,                                                                     \
                  .request_fd = -1,                                                                \
                  .result_fd = -1,                                                                 \
                  .stream_fds = {-1, -1},                                                          \
                  .control_fd = -1,                                                                \
                  .meter = {.status_fd = -1}})

/* Makes the pipes. The worker's ends go into ret_child_fds (all but SPAWN_FD_DIRECTORY); the caller
 * closes them once they have been sent. */
_must_check_ int worker_open(Worker *worker, int ret_child_fds[_SPAWN_FDS]);

/* The process has been forked: opens its pidfd and its meter. */
_must_check_ int worker_attach(Worker *worker, pid_t pid);

void worker_kill(const Worker *worker);

/* Waits for the process if it has ended. Returns 1 and its status and usage, 0 if it lives, -errno.
 */
struct rusage;
_must_check_ int worker_wait(const Worker *worker, int *ret_status, struct rusage *ret_usage);

/* Closes the pipes; the process may live on. */
void worker_close_pipes(Worker *worker);
void worker_close(Worker *worker);

/* Makes a child's ends of pipes closed. */
void close_child_fds(int fds[_SPAWN_FDS]);

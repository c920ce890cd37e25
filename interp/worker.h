#pragma once
/* worker: what a forked copy of the zygote does for the rest of its life. */

#include <stdbool.h>
#include <sys/types.h>

#include "interp/report.h"
#include "interp/request.h"
#include "wire/zygote.h"

/* fds: _SPAWN_FDS of them. parent: pid of the supervisor, as seen from here. */
_Noreturn void worker_main(const SpawnCommand *command, int *fds, pid_t parent);

/* --- for session.c, where a worker does not end with a run --- */

/* A folder of the server, and one below it for each generation of copies. */
#define SESSION_PATH_SIZE 512

typedef struct Worker {
        const SpawnCommand *command;
        uint64_t address_bytes; /* of the warm interpreter */
        Buffer bytes;           /* what has been read of the request */
        Report report;
        unsigned n_runs;    /* that are over */
        unsigned n_sources; /* … of these, that had one */

        /* Of a session: */
        pid_t parent;
        bool is_copy;
        pid_t source_pid; /* of a copy: of what it was copied from */
        char home[SESSION_PATH_SIZE], temporary[SESSION_PATH_SIZE]; /* absolute */
} Worker;

/* Blocks until a whole request is there. Returns true when it is a run, and false when it was
 * something else, which is answered already. */
bool worker_receive(Worker *worker, Request *ret_request);
int worker_apply_limits(Worker *worker, const RequestOptions *options);

/* --- in the zygote --- */

/* Runs nothing and typical work with the template's imports, and its warm-up file (a path, or
 * NULL), so many times, as runs whose results are dropped. In the zygote this imports what modules
 * put off until they are used, fills caches, and lets CPython specialize the bytecode, all of which
 * workers then share. Returns 0, or -1 with a Python exception set. */
int worker_practise(const char *warm_up, bool common_only, unsigned times);

/* The common part of it once, in a process that is thrown away, for touch_record(). */
void worker_record(void *warm_up);

#include "interp/reset.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interp/confine.h"
#include "interp/pyref.h"
#include "interp/runtime.h"
#include "kit/cleanup.h"

/* Address space that runs may leave behind in all, in caches and in a heap with holes. */
#define LEFT_BEHIND_MAX ((uint64_t) 64 << 20)

#define N_STREAMS 3

typedef struct Baseline {
        struct stat streams[N_STREAMS];
        int stream_flags[N_STREAMS];
        rlim_t maxima[RLIM_NLIMITS];
        rlim_t soft_files, soft_stack;
        uint64_t address_bytes;
} Baseline;

static Baseline baseline;
static PyObject *run_context;

/* One read of /proc/self/stat tells the number of threads, of C code too, and the address space:
 * fields 20 and 23. */
static int read_statistics(uint64_t *ret_threads, uint64_t *ret_address_bytes) {
        char text[1024], *field;
        ssize_t n = pread(WORKER_FD_STATISTICS, text, sizeof(text) - 1, 0);

        if (n <= 0)
                return -1;
        text[n] = 0;
        field = strrchr(text, ')'); /* the name before it may hold anything */
        for (int number = 2; field && number < 20; number++)
                field = strchr(field + 1, ' ');
        if (!field || sscanf(field, "%lu %*s %*s %lu", ret_threads, ret_address_bytes) != 2)
                return -1;
        return 0;
}

static int look_at_streams(struct stat *stats, int *flags) {
        for (int fd = 0; fd < N_STREAMS; fd++) {
                flags[fd] = fcntl(fd, F_GETFL);
                if (flags[fd] < 0 || fstat(fd, &stats[fd]) < 0)
                        return -1;
        }
        return 0;
}

static bool streams_are_the_same(void) {
        struct stat stats[N_STREAMS];
        int flags[N_STREAMS];

        if (look_at_streams(stats, flags) < 0)
                return false;
        for (int fd = 0; fd < N_STREAMS; fd++) {
                if (stats[fd].st_dev != baseline.streams[fd].st_dev ||
                    stats[fd].st_ino != baseline.streams[fd].st_ino ||
                    flags[fd] != baseline.stream_flags[fd])
                        return false;
        }
        return true;
}

/* poll(2) says POLLNVAL for each number that is not open: one call for all of them. */
static bool has_open_descriptors(void) {
        enum { FIRST = N_STREAMS, COUNT = WORKER_FD_LIMIT - FIRST };
        struct pollfd fds[COUNT];

        for (int i = 0; i < COUNT; i++)
                fds[i] = (struct pollfd){.fd = FIRST + i};
        for (int i = WORKER_FD_REQUEST; i < WORKER_FD_CONTROL; i++)
                fds[i - FIRST].fd = -1;
        return poll(fds, COUNT, 0) != COUNT - (WORKER_FD_CONTROL - WORKER_FD_REQUEST);
}

static bool limits_are_the_same(void) {
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit limit;

                if (getrlimit((__rlimit_resource_t) i, &limit) < 0 ||
                    limit.rlim_max != baseline.maxima[i])
                        return false;
                if ((i == RLIMIT_NOFILE && limit.rlim_cur != baseline.soft_files) ||
                    (i == RLIMIT_STACK && limit.rlim_cur != baseline.soft_stack))
                        return false;
        }
        return true;
}

static bool has_children(void) {
        siginfo_t info;

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

int reset_prepare(void) {
        _pyowned_ PyObject *result = NULL;
        uint64_t threads;

        for (int i = 0; i < RLIM_NLIMITS; i++) {
                struct rlimit limit = {0};

                (void) getrlimit((__rlimit_resource_t) i, &limit);
                baseline.maxima[i] = limit.rlim_max;
                if (i == RLIMIT_NOFILE)
                        baseline.soft_files = limit.rlim_cur;
                if (i == RLIMIT_STACK)
                        baseline.soft_stack = limit.rlim_cur;
        }
        if (look_at_streams(baseline.streams, baseline.stream_flags) < 0 ||
            read_statistics(&threads, &baseline.address_bytes) < 0) {
                (void) PyErr_SetFromErrno(PyExc_OSError);
                return -1;
        }
        result = runtime_call_plain(RUNTIME_TAKE_BASELINE);
        return result ? 0 : -1;
}

void reset_enter(void) {
        run_context = PyContext_New();
        if (!run_context || PyContext_Enter(run_context) < 0)
                PyErr_Clear(); /* leaving it will fail, and so retire the worker */
}

static int leave_context(void) {
        _pyowned_ PyObject *context = run_context;

        run_context = NULL;
        return context && PyContext_Exit(context) == 0 ? 0 : -1;
}

int reset_leave(PyObject *namespace) {
        _pyowned_ PyObject *result = NULL;
        uint64_t threads, address_bytes;

        if (leave_context() < 0)
                return -1;
        result = runtime_call_one(RUNTIME_MAKE_NEW, namespace);
        if (!result)
                return -1;
        if (has_open_descriptors() || has_children() || !limits_are_the_same() ||
            !streams_are_the_same())
                return -1;
        if (read_statistics(&threads, &address_bytes) < 0 || threads != 1 ||
            address_bytes > baseline.address_bytes + LEFT_BEHIND_MAX)
                return -1;
        return 0;
}

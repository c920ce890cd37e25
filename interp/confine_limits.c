/* Resource limits, of the worker and of each run, and the out-of-memory score. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "interp/confine_steps.h"
#include "kit/cleanup.h"
#include "kit/error.h"

/* What getting ready takes beyond the warm interpreter: rehearsal, page tables, the request's own
 * bytes. */
#define ADDRESS_HEADROOM ((uint64_t) 64 << 20)
/* What a run takes before its first line: its source, its arguments, in two shapes. */
#define RUN_HEADROOM ((uint64_t) 16 << 20)
/* A worker that has more than one run lives on one account of processor time. When it is nearly
 * spent, a worker that is made new after each run retires. */
#define LIFE_CPU_SECONDS ((uint64_t) 100000)

#define WORKER_OOM_SCORE "1000"

/* --- resource limits --- */

/* Address space of the warm interpreter, as RLIMIT_AS counts it. */
static uint64_t warm_address_bytes;

int confine_limits_prepare(void) {
        _autoclose_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        char text[128];
        ssize_t n;

        if (fd < 0)
                return raise_errno("open /proc/self/statm");
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return raise_errno("read /proc/self/statm");
        text[n] = 0;
        warm_address_bytes = strtoull(text, NULL, 10) * (uint64_t) sysconf(_SC_PAGESIZE);
        return 0;
}

/* Whole seconds of processor time used so far, rounded up. */
static uint64_t used_cpu_seconds(void) {
        struct timespec used;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        return (uint64_t) used.tv_sec + 1;
}

static int set_limit(int resource, uint64_t soft, uint64_t hard) {
        struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

        return setrlimit((__rlimit_resource_t) resource, &limit) < 0 ? -errno : 0;
}

/*
 * Every limit is finite: RLIM_INFINITY would be a promise that nothing keeps. The last of them,
 * RLIMIT_RTTIME, is of Linux 2.6.25. RLIMIT_NPROC counts per user and, since Linux 5.14, per user
 * namespace; it does not bind uid 0, nor one with CAP_SYS_RESOURCE, so it holds only together with
 * the layers that drop those.
 */
int confine_limits_take(Confinement *confinement) {
        const SpawnCommand *command = confinement->command;
        uint64_t more_seconds =
                command->flags & (SPAWN_RESET | SPAWN_SESSION) ? LIFE_CPU_SECONDS : 0;
        uint64_t cpu_seconds = used_cpu_seconds() + command->cpu_seconds + 2;
        uint64_t address_bytes = warm_address_bytes + command->memory_bytes + ADDRESS_HEADROOM;
        const struct {
                int resource;
                uint64_t soft, hard;
        } limits[] = {
                {RLIMIT_CORE, 0, 0},
                {RLIMIT_NOFILE, WORKER_FD_LIMIT, WORKER_FD_LIMIT},
                {RLIMIT_NPROC, command->tasks, command->tasks},
                {RLIMIT_FSIZE, command->file_bytes, command->file_bytes},
                {RLIMIT_CPU, cpu_seconds, cpu_seconds + more_seconds},
                {RLIMIT_STACK, (uint64_t) 8 << 20, (uint64_t) 64 << 20},
                {RLIMIT_MEMLOCK, 0, 0},
                {RLIMIT_MSGQUEUE, 0, 0},
                {RLIMIT_SIGPENDING, 64, 64},
                {RLIMIT_RTPRIO, 0, 0},
                {RLIMIT_NICE, 0, 0},
                {RLIMIT_RTTIME, 1000000, 1000000},
                {RLIMIT_AS, address_bytes, address_bytes},
        };

        confinement->address_bytes = warm_address_bytes;
        for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
                int r;

                if (limits[i].resource == RLIMIT_NPROC && command->tasks == 0)
                        continue;
                r = set_limit(limits[i].resource, limits[i].soft, limits[i].hard);
                if (r < 0)
                        return r;
        }
        return 0;
}

bool confine_has_cpu_left(uint64_t cpu_seconds) {
        struct rlimit limit;

        return getrlimit(RLIMIT_CPU, &limit) == 0 &&
               used_cpu_seconds() + cpu_seconds + 1 <= limit.rlim_max;
}

/*
 * The maximum stays what it is, and the code of an earlier run may have lowered it. Most have not:
 * one call does, and only where the remembered maximum is refused (EPERM) is there a look at it.
 */
static int set_below_maximum(int resource, uint64_t value) {
        static uint64_t maxima[RLIMIT_NLIMITS]; /* 0: not known yet */
        uint64_t *maximum = &maxima[resource];
        struct rlimit limit;
        int r = -EPERM;

        if (*maximum > 0)
                r = set_limit(resource, value < *maximum ? value : *maximum, *maximum);
        if (r != -EPERM)
                return r;
        if (getrlimit((__rlimit_resource_t) resource, &limit) < 0)
                return -errno;
        *maximum = limit.rlim_max;
        return set_limit(resource, value < *maximum ? value : *maximum, *maximum);
}

int confine_run(const RunLimits *limits) {
        uint64_t cpu_seconds = used_cpu_seconds() + limits->cpu_seconds + 1;
        struct {
                int resource;
                uint64_t value;
        } values[] = {
                {RLIMIT_AS, limits->address_bytes + RUN_HEADROOM},
                {RLIMIT_CPU, cpu_seconds},
                {RLIMIT_FSIZE, limits->file_bytes},
                {RLIMIT_NPROC, limits->tasks},
        };
        size_t n = N_ELEMENTS(values) - (limits->tasks == 0);

        for (size_t i = 0; i < n; i++) {
                int r;

                if (limits->keep_maxima)
                        r = set_below_maximum(values[i].resource, values[i].value);
                else
                        r = set_limit(values[i].resource, values[i].value, values[i].value);
                if (r < 0)
                        return r;
        }
        return 0;
}

void confine_rest(void) {
        (void) set_below_maximum(RLIMIT_CPU, UINT64_MAX);
}

/* --- out-of-memory score --- */

/*
 * The kernel shall take workers before it takes the server: /proc/PID/oom_score_adj, Linux 2.6.36.
 * A worker cannot write its own, since files in /proc of a process that is not dumpable belong to
 * root. But a fork inherits the score, and a descriptor that was opened before goes on working: so
 * the zygote raises its own for the time of the fork. Raising it takes no rights, and neither does
 * lowering it to where it had been (oom_score_adj_min in the kernel's fs/proc/base.c).
 */
static int oom_score_fd = -1;
static int oom_score_error; /* why the last worker has not got its score */

static int write_oom_score(const char *score) {
        if (oom_score_fd < 0)
                return oom_score_error;
        return pwrite(oom_score_fd, score, strlen(score), 0) < 0 ? -errno : 0;
}

/* A host where that fails may still do without the layer, so that is not for here to decide. */
int confine_oom_score_prepare(void) {
        oom_score_fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        oom_score_error = oom_score_fd < 0 ? -errno : 0;
        return 0;
}

int confine_oom_score_raise(void) {
        oom_score_error = write_oom_score(WORKER_OOM_SCORE);
        return 0;
}

int confine_oom_score_lower(void) {
        return oom_score_error < 0 ? 0 : write_oom_score(CONFINE_ZYGOTE_OOM_SCORE);
}

int confine_oom_score_check(Confinement *confinement) {
        return oom_score_error;
}

#pragma once
/*
 * confine: how a new worker shuts itself in, before any byte of a client exists for it. One list of
 * named steps, in one order; the first that fails ends the worker.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/zygote.h"

/* The worker's pipes, out of the way of descriptors that a run opens, and below RLIMIT_NOFILE. */
enum {
        WORKER_FD_REQUEST = 250,
        WORKER_FD_RESULT = 251,
        WORKER_FD_STATISTICS = 252, /* /proc/self/stat, under the policy `reset` only */
        WORKER_FD_END = 253,        /* one above the last */
        WORKER_FD_LIMIT = 256,      /* RLIMIT_NOFILE */
};

/* A worker that could not be prepared, or was told nonsense, ends with one of these. */
enum {
        WORKER_EXIT_UNCONFINED = 119,
        WORKER_EXIT_PROTOCOL = 120,
};

typedef struct Confinement {
        const SpawnCommand *command;
        int *fds;     /* _SPAWN_FDS of them; close_range() ends them */
        pid_t parent; /* whose child the worker must be, else its parent has died meanwhile */
        uint64_t address_bytes; /* set here: address space of the warm interpreter */
        const char *failed_step;
} Confinement;

/* Returns 0; or -errno with failed_step set, and then WORKER_FD_RESULT may or may not be open yet.
 */
int confine(Confinement *confinement);

/* Address space in use, in bytes, as RLIMIT_AS counts it; -errno when /proc does not say. */
int64_t confine_address_space(void);

/* Sets the limits of one run. Limits are final unless keep_maxima, as under `reset`, where only the
 * soft ones change. Returns 0 or -errno. */
typedef struct RunLimits {
        uint64_t address_bytes;
        uint64_t cpu_seconds;
        uint64_t file_bytes;
        bool keep_maxima;
} RunLimits;
int confine_run(const RunLimits *limits);

/* Whole seconds of processor time used so far, rounded up. */
uint64_t confine_cpu_seconds(void);

/* Whether the hard limit leaves room for a run of so many seconds. */
bool confine_has_cpu_left(uint64_t cpu_seconds);

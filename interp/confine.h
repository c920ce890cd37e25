#pragma once
/*
 * confine: how a new worker shuts itself in, before any byte of a client exists for it. One list of
 * named steps, in one order (confine.c); each belongs to a layer (wire/layers.h) and is taken if
 * its worker is told to, or is taken by every worker. The first that fails ends the worker.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "interp/view.h"
#include "wire/zygote.h"

/* The worker's pipes, out of the way of descriptors that a run opens, and below RLIMIT_NOFILE. */
enum {
        WORKER_FD_REQUEST = 250,
        WORKER_FD_RESULT = 251,
        WORKER_FD_STATISTICS = 252, /* /proc/self/stat, under the policy `reset` only */
        WORKER_FD_CONTROL = 253,    /* of a session only (wire/session.h) */
        WORKER_FD_END = 254,        /* one above the last */
        WORKER_FD_LIMIT = 256,      /* RLIMIT_NOFILE */
};

/* A worker that could not be prepared, or was told nonsense, ends with one of these. */
enum {
        WORKER_EXIT_UNCONFINED = 119,
        WORKER_EXIT_PROTOCOL = 120,
};

/* --- in the zygote --- */

#define CONFINE_ENTER_MAX 8

/* The zygote is killed after its workers, and before the server. */
#define CONFINE_ZYGOTE_OOM_SCORE "500"

/* Joins the namespaces that all workers share: first of all, while the process has one thread.
 * Closes the descriptors. Returns 0 or -errno. */
int confine_enter_shared(const int *fds, size_t n);

/* Learns, once, what its workers cannot or need not find out by themselves: they may have no /proc.
 * Keeps descriptors open for as long as the zygote lives. Returns 0 or -errno. */
int confine_prepare(const ViewOptions *view);

/* Right before a fork and right after it in the zygote: the pid namespace of that worker, and what
 * it inherits. fds: _SPAWN_FDS of them. Returns 0 or -errno: then there must be no fork. */
int confine_before_fork(const SpawnCommand *command, const int *fds);
int confine_after_fork(const SpawnCommand *command);

/* --- in a new worker --- */

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

/* Sets the limits of one run. Limits are final unless keep_maxima, as under `reset` and in a
 * session, where only the soft ones change. Returns 0 or -errno. */
typedef struct RunLimits {
        uint64_t address_bytes;
        uint64_t cpu_seconds;
        uint64_t file_bytes;
        uint64_t tasks; /* threads and processes; 0: what the worker's command said */
        bool keep_maxima;
} RunLimits;
int confine_run(const RunLimits *limits);

/* Of the worker of a session: its workspace below work/, and by path where its temporary files go.
 * A member of a home that is no cell's shares tmp/ with the first one. */
#define CONFINE_FOLDER_SIZE sizeof(((SpawnCommand *) 0)->folder)
const char *confine_session_folder(const SpawnCommand *command, char buffer[CONFINE_FOLDER_SIZE]);
void confine_session_temporary(const SpawnCommand *command, char *ret_path, size_t size);

/* --- in a copy of a session's worker --- */

typedef struct CopyPlaces {
        const char *work; /* its workspace, and the folder for those of its own copies, by path */
        const char *container;
        const char *temporary;
        const char *packages;      /* of all members of the home */
        const char *shared_memory; /* NULL: none, as that of the cell is the source's */
        bool is_of_copy;           /* its source is a copy itself */
} CopyPlaces;

/* Right after it was made, before any code of the session runs in it: it leaves its source's group
 * of processes, and cannot reach the source's files, nor signal anybody. What the source has given
 * up stays given up. Allocates nothing. Without Landlock it can reach the files of all members of
 * its home. Returns 0 or -errno. */
int confine_copy(const Confinement *confinement, const CopyPlaces *places,
                 const char **ret_failed_step);

/* Between two runs of a session: what its threads use then counts for its life, and for no run. */
void confine_rest(void);

/* Whether the hard limit leaves room for a run of so many seconds. */
bool confine_has_cpu_left(uint64_t cpu_seconds);

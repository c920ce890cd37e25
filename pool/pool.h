#pragma once
/*
 * pool: keeps warm workers, gives each run to one of them, and enforces its limits. To its caller
 * it is one file descriptor: when pool_fd() is readable, pool_dispatch() does all that there is to
 * do, and never blocks. One thread only.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/chores.h"
#include "pool/isolation.h"
#include "pool/proof.h"
#include "pool/run.h"
#include "pool/template.h"

typedef struct Pool Pool;
typedef struct Run Run;

/* What the caller must handle; any negative value is an -errno to pass up. */
enum {
        POOL_OK = 0,
        POOL_E_QUEUE_FULL, /* answer 503 with Retry-After: pool_retry_after_s() */
        POOL_E_DRAINING,   /* answer 503 */
        POOL_E_TOO_LARGE,  /* the request does not fit into one message to a worker: answer 413 */
};

typedef struct PoolConfig {
        const char *python_program; /* path of hatchery-python */
        const char *work_directory; /* absolute; a private folder is made inside and removed at the
                                       end */
        const TemplateConfig *templates; /* the first one is "default"; borrowed */
        size_t n_templates;
        unsigned queue_max;          /* runs that may wait, all templates together */
        uint64_t queue_wait_ms;      /* a run that waited longer is refused */
        const char *state_directory; /* absolute; homes of sessions are in sessions/ of it. NULL:
                                        there are no sessions */
        unsigned sessions_max;       /* at once, all templates and APIs together; at most
                                        SESSIONS_MAX */
        unsigned session_queue_max;  /* runs of one session that may wait */
        bool sessions_evict;         /* else a session too many is refused */
        uint64_t session_disk_mb;    /* the most that the limits of a session say */
        uint64_t session_files_max;  /* files and folders of a session, as with its disk_mb; at most
                                        SESSION_FILES_MAX */
        uint64_t state_reserve_mb;   /* of the file system of state_directory: with less, nothing is
                                        made or stored there; at most a quarter of it. 0: none */
        uint64_t interrupt_grace_ms; /* a run that goes on for so long after KeyboardInterrupt is
                                        killed, with its session's process */
        uint64_t value_bytes_max;    /* cap of a value, of a display, of the variables document */
        uint64_t collect_bytes_max;  /* of all collected files of a run together */
        unsigned collect_files_max;
        const IsolationPlan *isolation; /* which layers workers take; borrowed */
        uint32_t worker_uid_base;       /* with LAYER_UID: slot n runs as this + n */
        uint16_t probe_port;        /* TCP port of the server on loopback, for the canary to try; 0:
                                       none */
        uint64_t start_timeout_ms;  /* a zygote that is not ready by then is replaced; a worker: a
                                       fifth of it */
        uint64_t zygote_max_age_ms; /* a new generation is started after that; 0: never */
        const char *log_level;      /* handed to hatchery-python */
} PoolConfig;

typedef struct RunCallbacks {
        /* What the run writes, as it comes; at most output_bytes of each stream. NULL: not wanted.
         */
        void (*output)(void *data, RunStream stream, Slice bytes);
        /* A display, as it comes: a JSON object. NULL: not wanted. */
        void (*display)(void *data, Slice document);
        /* The end; called exactly once, from pool_dispatch(), unless the run was cancelled. */
        void (*done)(void *data, const RunResult *result);
} RunCallbacks;

/* Starts the zygotes; they become ready later. Fails when the work directory or the program cannot
 * be used. */
_must_check_ int pool_new(const PoolConfig *config, Pool **ret_pool);
/* Kills every worker and zygote, waits for them, removes the work directory. Runs in flight get no
 * callback. */
Pool *pool_free(Pool *pool);
DEFINE_CLEANUP(Pool, pool_free)

/* Readable when pool_dispatch() has work; owned by the pool. */
int pool_fd(const Pool *pool);
_must_check_ int pool_dispatch(Pool *pool);

/* The template's index, or -1. An empty name is "default". */
int pool_find_template(const Pool *pool, Slice name);
const TemplateConfig *pool_template(const Pool *pool, unsigned index);

/* done is never called from inside. On POOL_OK, *ret_run is valid until done has been called or
 * pool_cancel(). */
_must_check_ int pool_submit(Pool *pool, const RunRequest *request, const RunCallbacks *callbacks,
                             void *data, Run **ret_run);
/* Takes it out of the queue, or kills its worker. No callback of it is called any more. */
void pool_cancel(Pool *pool, Run *run);

/* Seconds after which a refused caller may try again: at least 1. */
unsigned pool_retry_after_s(const Pool *pool);

/* Starts a new generation of every zygote; runs in flight go on, idle spares of the old generation
 * are replaced as those of the new one come up. */
void pool_reload(Pool *pool);

/* Refuses new runs from now on; what runs or waits goes on. pool_is_idle() says when it has ended.
 */
void pool_drain(Pool *pool);
bool pool_is_idle(const Pool *pool);

typedef struct ProbeCount {
        unsigned tried, stopped;
} ProbeCount;

typedef struct TemplateState {
        bool ready;       /* its zygote can fork, and a canary has shown that its layers hold */
        LayerMask layers; /* that its workers take */
        LayerMask proven; /* of those, that the last canary has shown to hold */
        ProbeCount probes[_PROOFS]; /* of the generation that serves; none: not tried */
        const char *broken;         /* where none serves: the probe that was not stopped, … */
        const char *broken_subject; /* … and who made it: "a worker"; or NULL */
        bool serves_sessions; /* new ones can be made: a canary has shown that they are kept in */
        bool copies_sessions; /* … and copied, likewise */
        const char *sessions_broken; /* why they are not served: a sentence, or NULL */
        unsigned generation;         /* zygotes started so far */
        unsigned restarts;           /* of those, because the one before died or hung */
        pid_t zygote_pid;            /* 0: none */
        const char *doing;           /* while it starts: what is being imported. Never NULL */
        const char *failure;  /* why the last start failed, or what it started was refused; NULL
                               * as soon as another one serves */
        const char *obstacle; /* "step: why", when workers cannot be shut in, or NULL */
        const char *about;    /* the JSON object of ZYGOTE_READY: python, packages; "{}" before */
        uint64_t start_ms;    /* what the last start took */
        unsigned workers;     /* slots */
        unsigned starting, idle, touched, busy, retiring; /* of these; touched are among the idle */
        unsigned queued;
        unsigned session_spares; /* ready for sessions to be made */
} TemplateState;

void pool_template_state(const Pool *pool, unsigned index, TemplateState *ret_state);

typedef struct PoolCounters {
        uint64_t runs[_RUN_STATUSES]; /* ended, by status */
        uint64_t refused;             /* waited too long, or found the queue full */
        uint64_t workers_started;
        uint64_t workers_failed; /* died or failed before they were ready */
        uint64_t minor_faults; /* of all workers that have been reaped, from their fork to their end
                                */
        uint64_t worker_cpu_ns; /* likewise */
        uint64_t quarantined;   /* slots given up because they could not be made empty */
        unsigned queued;
        unsigned busy;
        unsigned sessions; /* alive; of these: */
        unsigned sessions_lost;
        uint64_t sessions_made, sessions_expired, sessions_evicted;
} PoolCounters;

void pool_counters(const Pool *pool, PoolCounters *ret_counters);

/* Children of this process that are not the pool's: it kills those that nobody knows, where it
 * looks for what runs have left. At most POOL_ADOPTED_MAX, until they have been waited for. */
#define POOL_ADOPTED_MAX 16
void pool_adopt(Pool *pool, pid_t pid);
void pool_disown(Pool *pool, pid_t pid);

/* For whoever has long work with files. */
Chores *pool_chores(const Pool *pool);

/* Less than the reserve is left for what sessions store, or would be with so many bytes more. */
bool pool_disk_is_short(Pool *pool, uint64_t more_bytes);

/* True once every template can take a run, or has taken one before. */
bool pool_is_ready(const Pool *pool);

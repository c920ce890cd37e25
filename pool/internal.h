#pragma once
/*
 * internal: what the files of the pool share, and nobody else sees.
 *
 *     pool.c        life, the descriptor, what a caller may ask
 *     pool_slots.c  the table of slots: which there are, what they begin and end with
 *     queue.c       runs that wait
 *     spares.c      keeps the slots filled, touches pages, gives runs to idle workers
 *     sweep.c       kills and reaps children that nobody knows
 *     cells.c       the cells of the slots: asks for them, looks after them, ends them
 *     slot_cgroup.c the control groups of the slots: their limits, and who is in them
 *     canary*.c     have workers of each generation try to break out, before the others are used
 *     supervise.c   slots: carries out the moves
 *     hear.c        what workers say, turned into events
 *     run_watch.c   looks after one run while it runs: its request, its limits
 *     run_streams.c … what it prints, and where among that its displays belong
 *     retire.c      how a worker leaves its slot, and the slot is made empty
 *     answer.c      turns what came of a run into its result
 *     generation*.c, obstacle.c  templates: what makes their workers; see template_internal.h
 *     session*.c    sessions; see session_internal.h
 */
#include "kit/clock.h"
#include "pool/canary.h"
#include "pool/cell.h"
#include "pool/cell_maker.h"
#include "pool/cgroup.h"
#include "pool/copy.h"
#include "pool/janitor.h"
#include "pool/output.h"
#include "pool/pool.h"
#include "pool/result.h"
#include "pool/session_internal.h"
#include "pool/slot.h"
#include "pool/template_internal.h"
#include "pool/timer.h"
#include "pool/verdict.h"
#include "pool/worker.h"
#include "pool/workspace.h"

/* What can wait is done when nobody has asked for anything for this long. */
#define SPARES_QUIET_NS (3 * NS_PER_MS)

/* Uids from the first worker's: of the slots, of the homes of sessions, of whoever installs
 * packages; then of the canaries for runs, one for each template. */
#define CANARY_UIDS (SLOTS_MAX + HOMES_MAX + 1)

typedef struct Place Place;

/* One accepted run, from pool_submit() to its callback. */
struct Run {
        Pool *pool;
        Template *template;
        Slot *slot;             /* NULL while it waits */
        Run *previous, *next;   /* in the template's queue, or in its session's */
        Session *session;       /* NULL: none, or it has ended or been reset meanwhile */
        uint64_t number;        /* in its session, from 1 */
        const char *began_anew; /* RunInSession */
        bool is_in_session;     /* or was */
        bool is_cancelled;      /* its session has ended, and it waits to be answered so */
        bool is_refused;        /* … or it has waited too long, likewise */
        bool is_abandoned;      /* nobody wants its answer any more */
        bool is_binding;        /* of our own: see session_bind() */
        bool interrupt_first;
        bool has_displays; /* may have */
        Buffer message;    /* the frames for the worker */
        RunCallbacks callbacks;
        void *data;
        RunLimits limits;
        Buffer collect; /* patterns, each behind a size_t */
        bool output_overrun_kills;
        bool heavy; /* its code names a module that the template preloads */
        uint64_t submitted_ns;
};

struct Slot {
        unsigned number;
        Template *template;
        SlotState state;
        Slot *next; /* in the list of its state: idle or empty ones only */
        Timer timer;
        unsigned generation; /* of the zygote that was asked for its worker */
        bool spawn_reported; /* the zygote has said the pid, or that there is none */
        bool touched;
        bool was_ready;   /* since it was forked */
        bool is_unwanted; /* ended before it was ready, and not because something had failed */
        Worker worker;
        SlotFolders folders; /* on disk; none where the cell has them */
        Cell cell;
        SlotCgroup cgroup;
        Trial *trial;          /* a canary's, of no run and no session; NULL: it is not */
        unsigned cgroup_looks; /* in a row, that found somebody in it who should have gone */
        uid_t uid;             /* 0: the server's own */
        ResultReader result;

        /* The run it has: */
        Run *run;
        size_t message_sent;
        bool request_watched, streams_watched;
        OutputCapture output[_RUN_STREAMS];
        uint64_t started_ns, queue_ns, wall_deadline_ns;
        VerdictCause cause;
        bool out_of_memory; /* the kernel has killed in its control group */
        bool exited;
        int wait_status;
        RunUsage usage;
        uint64_t disk_answer;    /* set by the janitor's thread: bytes + 1 */
        uint64_t disk_asked_ns;  /* 0: no question is open */
        uint64_t disk_asked_run; /* started_ns of the run the question was about */
        /* What only slots of sessions have (session_internal.h): */
        bool of_sessions;
        bool is_free;     /* in the pool's list, of no template */
        bool is_spare;    /* its worker waits for a session to be made */
        bool answers;     /* its run is being answered: no other one is handed over meanwhile */
        bool is_given_up; /* its session ended while its cell was being made: that is waited for */
        bool is_deaf;     /* it has closed its result pipe while it was held */
        Session *session;
        Place *place;                    /* its files; NULL: free, or waiting for its cell to go */
        Slot *host;                      /* a copy: whose cell it lives in */
        ForkListener listener;           /* of the processes in its cell */
        unsigned n_guests;               /* copies that live in its cell */
        uint64_t baseline_cpu_ns;        /* of its process when it was ready … */
        uint64_t life_cpu_ns;            /* … and after its last run */
        uint64_t look_ns, looked_cpu_ns; /* between two looks while held; CPU time at the last */
        uint64_t interrupt_ns;           /* when KeyboardInterrupt was asked for; 0: it was not */
        uint64_t interrupt_kill_ns;      /* its process is killed then */
        uint64_t interrupt_wait_ns, interrupt_again_ns; /* to the next one; when */
        uint64_t interrupt_cpu_ns;                      /* of the process when it was sent last */
        bool interrupt_sent;
};

struct Pool {
        PoolConfig config;
        int epoll_fd;
        TimerHeap timers;
        Timer sweep_timer, quiet_timer;
        Workspace workspace;
        CgroupTree cgroups;
        CanaryTargets targets;
        Template *templates;
        Slot *slots;
        unsigned n_slots, n_queued, n_busy, n_touching;
        SlotList free_slots; /* of sessions */
        Sessions sessions;
        Chores *chores;
        unsigned n_cores;
        pid_t adopted[POOL_ADOPTED_MAX]; /* 0: none */
        bool draining, sweep_wanted;
        uint64_t last_activity_ns;
        uint64_t run_ns; /* moving average of the wall time of runs, for Retry-After */
        PoolCounters counters;
};

/* Whose turn it is when a timer is due. */
typedef enum TimerOwner {
        TIMER_SLOT,
        TIMER_CELL,
        TIMER_QUEUE,
        TIMER_ZYGOTE,
        TIMER_SPAWN,
        TIMER_SWEEP,
        TIMER_QUIET,
        TIMER_SESSION,
        TIMER_RESERVE,
} TimerOwner;

static inline uint32_t timer_what(TimerOwner owner, unsigned index) {
        return (uint32_t) owner << 16 | index;
}

/* What a readable descriptor is, in its epoll data. */
typedef enum Source {
        SOURCE_TIMERS,
        SOURCE_RESULT,
        SOURCE_EXIT,
        SOURCE_STDOUT,
        SOURCE_STDERR,
        SOURCE_REQUEST,
        SOURCE_KEEPER,
        SOURCE_ZYGOTE, /* index: template; extra: generation */
        SOURCE_MAKER,  /* likewise */
        SOURCE_CHORES,
        SOURCE_CONTROL,  /* the control socket of a session's worker */
        SOURCE_LISTENER, /* its seccomp listener */
} Source;

static inline uint64_t source_data(Source source, unsigned index, unsigned extra) {
        return (uint64_t) source << 56 | (uint64_t) (index & 0xffffff) << 32 | extra;
}

/* Watches a descriptor for reading (or writing, for SOURCE_REQUEST). */
_must_check_ int pool_watch(Pool *pool, int fd, Source source, unsigned index, unsigned extra);
void pool_unwatch(Pool *pool, int fd);
/* The set that a slot is counted in. */
static inline SlotSet *slot_set(Slot *slot) {
        if (slot->trial)
                return &slot->template->canaries;
        return slot->of_sessions ? &slot->template->sessions : &slot->template->runs;
}

/* Another turn no later than that. */
void pool_wake_at(Pool *pool, uint64_t ns);
/* The layers that workers of a template take. */
LayerMask template_layers(const Pool *pool, const TemplateConfig *config);
/* How many tasks, which are threads and processes, a worker of it may have with all it starts. */
unsigned template_tasks(const Template *template);

/* pool_slots.c */
_must_check_ int slots_new(Pool *pool);
/* Runs in flight get no callback any more: who frees the pool has drained it, or wants to go at
 * once. */
void slots_free(Pool *pool);
/* The slots of a template, of both kinds: NULL after the last; *position starts at 0. */
Slot *template_next_slot(const Template *template, unsigned *position);
/* How many slots there are for runs without a session, and how many for sessions; without those of
 * canaries. */
unsigned run_slots(const PoolConfig *config);
unsigned session_slots(const PoolConfig *config);
/* All of them. */
unsigned all_slots(const PoolConfig *config);
void timer_init(Timer *timer, TimerOwner owner, unsigned index);

/* queue.c */
_must_check_ int run_new(Pool *pool, const RunRequest *request, Run **ret_run);
Run *run_free(Run *run);
void queue_push(Run *run);
void queue_push_front(Run *run);
Run *queue_pop(Template *template);
void queue_remove(Run *run);
/* Refuses runs that have waited too long. */
void queue_expire(Template *template, uint64_t now_ns);

/* spares.c */
void slot_list_push(SlotList *list, Slot *slot);
void slot_list_remove(SlotList *list, Slot *slot);
Slot *slot_list_first(const SlotList *list);
/* Gives waiting runs to idle workers. */
void spares_assign(Template *template);
/* What the zygote is told for a worker of that slot. */
SpawnCommand spares_command(const Slot *slot);
/* Asks for new workers, retires old ones, touches. */
void spares_refill(Template *template);

/* sweep.c */
/* Kills and reaps children of ours that nobody knows: what subprocesses have left where there is no
 * pid namespace to end them, and what was on its way when its maker or zygote died. */
void spares_sweep(Pool *pool);

/* cells.c */
/* Asks for cells for empty slots, and ends those of makers that serve no more. */
void cells_refill(Template *template);
/* Whether a worker can be made for the slot: it needs no cell, or has one of the right kind. */
bool slot_has_cell(const Slot *slot);
/* Its worker has gone: keeps the cell if it can be made as new, and ends it if not. */
void slot_clean_cell(Slot *slot);
void slot_end_cell(Slot *slot);
/* Kills the worker and all that it may have started, while the folders are still needed. */
void slot_kill_tree(Slot *slot);
/* At the end of the pool. */
void slot_free_cell(Slot *slot);
/* A maker of that generation says nothing any more. */
void cells_lose(Template *template, unsigned generation);
/* Takes the descriptors. Returns -EPROTO when it may not say that. */
_must_check_ int cells_on_report(Template *template, unsigned generation, const CellReport *report,
                                 int *fds);
void slot_on_keeper_exit(Slot *slot);
void slot_on_cell_timer(Slot *slot);

/* slot_cgroup.c */
/* Finds the tree, where the plan wants groups. Fails when there is none any more. */
_must_check_ int cgroups_open(Pool *pool);
/* Removes all groups, when nobody is in them any more. */
void cgroups_close(Pool *pool);
/* Of these layers, those that workers of such a template can have with that tree. */
LayerMask cgroups_layers(const CgroupTree *tree, const TemplateConfig *config, LayerMask layers);
/* All of these do nothing for slots that have no group. */
_must_check_ int slot_make_cgroup(Slot *slot);
/* Adds its descriptors to a spawn command. */
void slot_add_cgroup(const Slot *slot, SpawnCommand *command, int fds[_SPAWN_FDS]);
/* Sets what the slot's run may use. */
_must_check_ int slot_limit_cgroup(Slot *slot);
/* Whether the kernel has killed in it for memory, in this run. */
bool slot_is_out_of_memory(Slot *slot);
/* Between two runs. */
void slot_forget_out_of_memory(Slot *slot);
/* Kills what a run may have left where no cell does it. */
void slot_kill_cgroup(Slot *slot);
/* 0 when nobody is in it; -EBUSY when somebody is, who is killed; or -errno. Gives the slot up when
 * that does not end. */
_must_check_ int slot_check_cgroup(Slot *slot);

/* supervise.c */
void slot_move(Slot *slot, SlotEvent event);
void slot_on_request_writable(Slot *slot);
void slot_on_exit(Slot *slot);
void slot_on_timer(Slot *slot, uint64_t now_ns);
/* The run has ended, one way or another, while the process may live: what can be read is read now.
 * Returns false when a callback has cancelled the run over it. */
bool slot_settle(Slot *slot);
/* Ends the run for that reason. */
void slot_end_run(Slot *slot, VerdictCause cause);

/* hear.c */
/* Reads what it says, and hands on what is held of its output. */
void slot_on_result(Slot *slot);

/* run_streams.c */
void slot_on_stream(Slot *slot, RunStream stream);
/* Whether output has been read that may have to wait for a display. */
bool slot_holds_output(const Slot *slot);
/* No display comes before it. */
void slot_hand_on_output(Slot *slot);
/* Hands on the output up to a place that the worker has named, as far as it has come; tells how far
 * that was. A callback may cancel the run over it. */
void slot_reach_place(Slot *slot, StreamPlace *place);
/* At the end of a run: all that can be read is handed on. */
void slot_drain_streams(Slot *slot);

/* retire.c */
/* Kills the worker, and all that it may have started; its pipes are closed. */
void slot_kill_worker(Slot *slot);
/* Drops what was kept of a run. */
void slot_forget_run(Slot *slot);
/* The worker has been waited for. Where it may have left processes in its cell, the slot is not
 * empty before those have gone, too: the keeper's exit tells. */
void slot_leave(Slot *slot, bool was_killed);
/* There is no process of it, known or on its way. */
bool slot_worker_is_gone(const Slot *slot);
/* Closes, empties, frees. */
void slot_release(Slot *slot);
/* Empties the folders while the worker stays. */
_must_check_ int slot_empty_in_place(Slot *slot);

/* run_watch.c */
void slot_send_run(Slot *slot);
void slot_send_touch(Slot *slot);
void slot_check_limits(Slot *slot, uint64_t now_ns);
void slot_take_usage(Slot *slot);
/* Puts the run back into the queue if its dead worker has read nothing of it. */
bool slot_take_back_unread(Slot *slot);

/* answer.c */
void slot_answer(Slot *slot);

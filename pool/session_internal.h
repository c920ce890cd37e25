#pragma once
/*
 * session_internal: what the files of the session engine share with one another and with the rest
 * of the pool; included by pool/internal.h.
 *
 *     session.c          what a caller may ask: make, find, reset, end, inspect
 *     session_table.c    the table of moves of a session, names
 *     session_registry.c which sessions there are: by id, in order of creation, by index
 *     session_place.c    the files of sessions: who uses them, and until when
 *     session_slots.c    the slots of sessions: taken, made ready, given to sessions, freed; spares
 *     session_runs.c     the queue of one session; what a run tells of its session
 *     session_bind.c     the run of our own that comes first in an interpreter
 *     session_watch.c    the limits of a session while a run is under way, and between runs
 *     session_reserve.c  what is to be left of the disk
 *     session_interrupt.c KeyboardInterrupt, and what follows when it does not help
 *     session_life.c     loss, expiry, eviction
 *     session_fork.c     copies of live sessions: what comes of them; session_copy.c: how they are
 *                        made
 *     session_record.c   what a later server finds of it
 *
 * A *slot* is used up by one process: when that has gone, its cell goes, too, and the slot is free
 * for any session of any template. What stays is the session, and its place.
 */

#include "pool/home.h"
#include "pool/home_record.h"
#include "pool/session.h"
#include "pool/slot.h"
#include "pool/timer.h"
#include "pool/verdict.h"

typedef struct Slot Slot;
typedef struct Place Place;
typedef struct Template Template;
typedef struct Fork Fork;

/* --- the life of a session (session_table.c) --- */

typedef enum SessionEvent {
        SESSION_EV_WANT,    /* it needs a new interpreter */
        SESSION_EV_HELD,    /* it has one */
        SESSION_EV_RUN,     /* a run has been handed over */
        SESSION_EV_RUN_END, /* … and has ended, and the process lives */
        SESSION_EV_FORK,    /* its process makes a copy of itself */
        SESSION_EV_FORK_END,
        SESSION_EV_LOSE, /* its process has gone */
        _SESSION_EVENTS,
} SessionEvent;

/* The state that follows; _SESSION_STATES: nobody has decided about this pair, so it is a bug. */
SessionState session_next_state(SessionState state, SessionEvent event);
const char *session_event_name(SessionEvent event);

/* --- files (session_place.c) --- */

/* A home, shared by the places in it. */
typedef struct SharedHome {
        Pool *pool;
        Homes *homes;
        Home home;
        unsigned users;
} SharedHome;

/* The files of one session, or of a spare that waits for one: a member of a home. A session uses
 * it, and so does every slot whose process may still write there. */
struct Place {
        SharedHome *shared;
        HomeMember member;
        uint64_t serial; /* no two of a pool have the same */
        unsigned users;
        bool is_doomed; /* its files go with the last user */
};

/* With its first user. */
_must_check_ int place_make(Pool *pool, bool has_tmp, Place **ret_place);
/* Its workspace below work/. */
const char *place_folder(const Place *place);
/* Another member of the same home, empty. */
_must_check_ int place_add(Place *beside, Place **ret_place);
/* That member of a home that was there; takes the home over if shared is NULL. */
_must_check_ int place_open(SharedHome *shared, unsigned member, Place **ret_place);
void shared_home_leave(SharedHome *shared);
Place *place_use(Place *place);
/* Returns NULL. The last user leaves: the files are closed, and removed if they are doomed. */
Place *place_leave(Place *place);
/* Its files are not wanted any more. No later server takes them for a session. */
void place_doom(Place *place);

/* --- the session --- */

struct Session {
        Pool *pool;
        unsigned index;
        Session *next_of_hash;
        Session *previous, *next; /* all of them, in order of creation */
        Session *next_starting;   /* of those that wait for an interpreter */
        bool is_listed_starting;

        SessionSpace space;
        char id[SESSION_ID_MAX + 1];
        char alias[SESSION_ID_MAX + 1], forked_from[SESSION_ID_MAX + 1]; /* "": none */
        char workspace_path[320];
        Template *template;
        RunLimits limits;
        uint64_t idle_ms, life_cpu_ms;
        bool forgets;
        unsigned bind_flags; /* session_bind() */
        bool is_bound;       /* in its present interpreter, or on the way to be */
        bool cannot_be_bound;

        SessionState state;
        Place *place;
        Slot *slot;  /* NULL: lost, or none could be had yet */
        Timer timer; /* idle or lost: the end of its life; starting: runs wait no longer */
        Run *queue_first, *queue_last;
        unsigned n_queued;
        const char *lost; /* why, while nobody has been told */
        bool packages_changed;
        uint64_t created_s, sequence, used_ns, touched_ns, runs, touched_runs;
        Fork *fork;                              /* under way, of it or to it */
        uint64_t cpu_before_ns;                  /* of processes that have gone */
        uint64_t disk_bytes, disk_allowed_bytes; /* measured last; when its run began */
        uint64_t disk_entries, entries_allowed;
        bool is_measured;      /* its present workspace has been, once */
        bool has_unseen_files; /* its process may hold some that nobody may look at */
        /* When the disk became short, or when it was measured first; at the last look at the
         * reserve. */
        uint64_t reserve_disk_bytes, reserve_cpu_ns;

        void (*interrupted)(void *data, bool was_lost);
        void *interrupt_data;
};

/* A question to the janitor: how large is that workspace? One for each session, at its index, as
 * the answer may come when the session has gone. */
typedef struct DiskQuestion {
        MemberAnswer answer; /* set by the janitor's thread */
        uint64_t asked_ns;   /* 0: never */
        uint64_t place;      /* its serial */
} DiskQuestion;

/* What is to be left of the file system of their files (session_reserve.c). */
typedef struct Reserve {
        uint64_t wanted_bytes;    /* 0: nothing */
        uint64_t bytes;           /* at most a quarter of the file system */
        uint64_t free_bytes;      /* at the last look */
        uint64_t last_free_bytes; /* when the timer was due last */
        uint64_t alarm_end_ns;    /* until then, it is filling fast */
        bool is_short;
        Timer timer;
} Reserve;

/* What the pool has of sessions. */
typedef struct Sessions {
        Homes homes;
        Reserve reserve;
        bool is_open;            /* there can be sessions */
        Session **by_index;      /* n_max; NULL: free */
        Session **hash;          /* n_hash lists */
        DiskQuestion *questions; /* n_max */
        unsigned n_max, n_hash, n, n_lost, next_index;
        Session *first, *last;
        Session *starting;
        Fork *forks;                           /* under way */
        unsigned n_copies_unnamed;             /* processes may be about that nobody knows yet */
        Run *cancelled_first, *cancelled_last; /* to be answered so in the next turn */
        unsigned n_queued;
        uint64_t sequence, place_serial, seed;
        uint64_t place_retry_ns; /* no new home before that, for a spare */
} Sessions;

/* session_registry.c */
_must_check_ int sessions_open(Pool *pool);
/* Their files stay. */
void sessions_close(Pool *pool);
/* -ENOMEM; -ENOSPC: there are too many. Sets index and order. */
_must_check_ int session_register(Session *session);
void session_unregister(Session *session);

/* session_table.c */
void session_move(Session *session, SessionEvent event);

/* session_slots.c */
/* What follows from all that has happened: sessions that wait get slots, workers that are ready
 * their sessions, and spares are made. */
void sessions_settle(Pool *pool);
/* Makes slots for spares, as many as the template is to have. */
void session_spares_refill(Template *template);
/* A slot for a copy's process, in the cell of another one; NULL: none is free. */
Slot *session_take_guest(Session *session, Slot *host);
/* A spare whose worker may be trusted, or NULL. */
Slot *session_spare(Template *template);
/* The session has that slot, whose worker is ready, from now on. */
void session_hold(Session *session, Slot *slot);
/* Waits for an interpreter. */
void session_want(Session *session);
void session_want_no_more(Session *session);
/* They know nothing of one another any more; a run under way is ended as cancelled. The slot ends
 * with its worker. */
void session_detach(Session *session);
/* The slot's worker has gone. */
void session_slot_release(Slot *slot);
/* Takes a canary's slot for a process with that place, in the cell of its host, or in one of its
 * own (NULL). */
_must_check_ int session_slot_occupy(Slot *slot, Place *place, Slot *host);
/* It has no process, and is not to get one for its place. */
void session_slot_drop(Slot *slot);
/* It is not wanted any more, and has no process; its cell is there, or not. */
void session_slot_give_up(Slot *slot);
/* Its cell has gone, or a guest of it. */
void session_slot_try_free(Slot *slot);
/* The slot leaves its session, or the spares, as its process is condemned or has gone. */
void session_slot_lost(Slot *slot, SlotEvent event);
/* What a spawn command has besides, for a worker of a session. */
struct SpawnCommand;
void session_spawn_command(const Slot *slot, struct SpawnCommand *command);

/* session_runs.c */
/* Hands the next run over, if there is one and the session is idle. */
void session_assign(Session *session);
void session_queue_push_front(Run *run);
/* Takes it back from wherever it is: it is not answered. */
void session_cancel(Run *run);
/* The run of the slot has ended so: what is told of its session, which may be lost by it. */
void session_on_answer(Slot *slot, const Run *run, VerdictCause cause, const Verdict *verdict,
                       RunInSession *ret_told);
/* … and it has been answered. */
void session_after_answer(Slot *slot);
/* All that wait are answered `cancelled` in the next turn. */
void session_cancel_queue(Session *session);
/* … and now: */
void sessions_answer_cancelled(Pool *pool);
/* Its interpreter does not come: those that have waited long enough are refused. */
void session_refuse_waiting(Session *session, uint64_t now_ns);
/* Before a run is sent: what has been written since the last one is dropped. */
void session_drop_output(Slot *slot);

/* session_bind.c */
/* The run that has to come first in its interpreter; NULL: none. It is the caller's. */
Run *session_binding(Session *session);
/* Whether runs wait for it. */
bool session_is_being_bound(const Session *session);
void session_on_bound(Session *session, const Verdict *verdict);

/* session_watch.c */
/* Looks at the answer to the last question, and asks anew. */
void session_measure(Session *session, uint64_t now_ns);
uint64_t session_disk_bytes(const Session *session);
/* It was ended for its files. It may run again, so that they can be made less. */
void session_allow_disk(Session *session);
/* When the next look must be, at the latest next_ns from now. */
uint64_t session_next_look_ns(const Slot *slot, uint64_t now_ns, uint64_t next_ns);
/* Of the run under way. Returns the cause to end it for, or CAUSE_NONE. */
VerdictCause session_check_limits(Slot *slot, uint64_t now_ns);
/* Between runs. */
void session_look(Slot *slot, uint64_t now_ns);
void session_arm_look(Slot *slot);
/* Its files have been changed by others than its process: the next look is a whole one. */
void session_look_closely(Session *session);
uint64_t session_cpu_ns(const Session *session);

/* It has used its processor since the last look between runs. */
bool session_works(const Slot *slot);

/* session_reserve.c */
/* There are sessions. */
void session_reserve_start(Pool *pool);
void session_reserve_on_timer(Pool *pool, uint64_t now_ns);

/* session_interrupt.c */
/* Asks for KeyboardInterrupt in the run under way; its process is killed after kill_after_ms. */
void session_interrupt_run(Slot *slot, uint64_t kill_after_ms);
/* Sends it when it is time, at each look. */
void session_press_interrupt(Slot *slot, uint64_t now_ns);
/* No run is under way any more. */
void session_end_interrupt(Slot *slot);
/* Whoever has asked for it hears what came of it. */
void session_tell_interrupted(Session *session, bool was_lost);

/* session_life.c */
#define SESSION_LOSS_OF_MEMORY                                                                     \
        "its process used more memory than it may (memory_mb) between two runs"
#define SESSION_LOSS_OF_DISK                                                                       \
        "its files took more room than they may (disk_mb), or were too many (session-files)"
#define SESSION_LOSS_OF_RESERVE                                                                    \
        "the server's disk is nearly full (state-reserve-mb), and it went on writing"
void session_lose(Session *session, const char *why);
const char *session_loss_of_run(VerdictCause cause, const Verdict *verdict);
const char *session_loss_of_event(SlotEvent event);
/* Its process has done what it was for: the next run gets another one. */
void session_forget(Session *session);
void session_on_timer(Session *session, uint64_t now_ns);
/* Its life ends when it has been idle for long enough. */
void session_arm_end(Session *session);
/* It has been used now. */
void session_use(Session *session);
/* Makes room for one more. Returns whether there is. */
bool sessions_evict_one(Pool *pool);
/* Ends it for a reason of ours, counted by the caller. */
void session_remove(Session *session);

/* session.c */
Session *session_new(Pool *pool, Template *template);
/* Everything but a place and an index. As session_create(). */
_must_check_ int session_prepare(Pool *pool, const SessionOptions *options, Session **ret_session);
/* Takes the caller's use of it. */
void session_set_place(Session *session, Place *place);

/* session_copy.c */
void session_on_control(Slot *slot);
void session_on_listener(Slot *slot);
/* The time of its copy is over. */
void session_fork_on_deadline(Slot *slot);
/* session_fork.c */
/* What follows from all that has happened to the forks under way. */
void sessions_settle_forks(Pool *pool);
/* It has ended, or lost its process: a fork that it is the source or the target of comes to
 * nothing.
 */
void session_fork_gone(Session *session);
void sessions_free_forks(Pool *pool);

/* session_record.c */
void session_write_record(const Session *session);
_must_check_ int sessions_restore(Pool *pool);

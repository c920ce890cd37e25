#pragma once
/*
 * session: an interpreter that remembers. A session is a worker that is not recycled between runs:
 * its variables live on in its process, its files in its home (pool/home.h), until it is ended, has
 * been idle too long, or makes room for another one. Its runs are serial, in order of arrival.
 *
 * A session outlives its process. When that has died (the program ended it, a limit killed it, the
 * server was started anew), the session is *lost*: its files and packages are there, its variables
 * are not. The next run gets a new interpreter, and its result says so.
 *
 * All of this is called from the thread of pool_dispatch(), as everything of the pool.
 */

#include "pool/pool.h"

/* Who asks: ids of different APIs never meet. */
typedef enum SessionSpace {
        SESSION_NATIVE,      /* /v1/sessions */
        SESSION_INTERPRETER, /* the code interpreter with sessions: session_id */
        SESSION_CONTAINER,   /* the per-user container: user_id */
        SESSION_JUPYTER,     /* the Jupyter-like sessions: user_id */
        _SESSION_SPACES,
} SessionSpace;

/* "native", "interpreter", "container", "jupyter" */
const char *session_space_name(SessionSpace space);

typedef enum SessionState {
        SESSION_STARTING, /* its interpreter is being made; runs wait for it */
        SESSION_IDLE,
        SESSION_BUSY,    /* a run is under way */
        SESSION_FORKING, /* it is being copied; runs wait */
        SESSION_LOST,    /* it has no process; the next run gets a new one */
        _SESSION_STATES,
} SessionState;

/* "starting", "idle", "busy", "forking", "lost" */
const char *session_state_name(SessionState state);

/* Ids are given by clients: one path component of valid UTF-8, and no more than so many bytes. */
#define SESSION_ID_MAX 128

/* Whether it can be an id: 1 to SESSION_ID_MAX bytes of UTF-8, no control character, no "/", not
 * "." or "..". Returns NULL, or what is wrong with it, as a sentence's end: "has a slash in it". */
const char *session_id_problem(Slice id);

typedef struct Session Session;

typedef struct SessionOptions {
        SessionSpace space;
        Slice id;          /* empty: one is made of 128 random bits */
        unsigned template; /* index, from pool_find_template() */
        RunLimits limits;  /* of each run, when it names none, and the most it may ask for; disk_mb
                              is  for the whole workspace, processes holds for life */
        uint64_t idle_ms;  /* it ends when it has not been used for so long; 0: never */
        uint64_t life_cpu_ms; /* its process is killed when it has used so much since its start; 0:
                                 no limit */
        bool forgets;         /* a new interpreter for each run: files stay, variables do not */
        const char *alias; /* a name in /tmp that leads to the workspace, or NULL; a path component.
                              Needs a mount namespace */
} SessionOptions;

/* Each generation of copies is shut off by a layer of Landlock of its own, and a process can have
 * 16 (LANDLOCK_MAX_NUM_LAYERS; Linux 5.13 and later). */
#define SESSION_GENERATIONS_MAX 15

/* What only sessions can answer; besides POOL_OK and those of pool.h. */
enum {
        SESSION_E_EXISTS = 100, /* 409 */
        SESSION_E_UNPROVEN,     /* 503: a canary has shown that they are not kept in here */
        SESSION_E_TOO_MANY,     /* 503 with Retry-After; nothing may be evicted */
        SESSION_E_QUEUE_FULL,   /* 429 with Retry-After: too many runs of this session wait */
        SESSION_E_BUSY,         /* 409: cannot be done while a run is under way */
        SESSION_E_LOST,         /* 409: there is no process to copy */
        SESSION_E_UNFORKABLE,   /* 409: this template, or this machine, cannot copy a process */
        SESSION_E_TOO_DEEP,  /* 409: a copy of a copy …, of SESSION_GENERATIONS_MAX generations */
        SESSION_E_TOO_LARGE, /* 409: its files are more, or deeper, than can be copied */
        SESSION_E_NO_DISK,   /* 503 with Retry-After: the disk is short (state_reserve_mb) */
        SESSION_E_WORN_OUT,  /* 409: it and its copies have been copied HOME_MEMBERS_MAX times */
        SESSION_E_DISTURBED, /* 409: its code has moved or closed what was being copied */
};

/*
 * Makes a session; it is there at once, its interpreter at once if a spare is ready. May end
 * another one to make room, the least recently used idle one, if the configuration says so. Returns
 * POOL_OK, SESSION_E_EXISTS, SESSION_E_TOO_MANY, SESSION_E_UNPROVEN, SESSION_E_NO_DISK,
 * POOL_E_DRAINING, or -errno.
 */
_must_check_ int session_create(Pool *pool, const SessionOptions *options, Session **ret_session);

/* NULL when there is none. A session that is found stays valid until the loop's next turn, or until
 * it is ended. */
Session *session_find(Pool *pool, SessionSpace space, Slice id);
/* The sessions of a space, in order of creation; NULL before the first and after the last. */
Session *session_next(Pool *pool, SessionSpace space, const Session *after);

/* Ends it: its process is killed, a run under way and those that wait are answered `cancelled`, and
 * all its files are removed, off the loop. */
void session_end(Session *session);

/*
 * Queues a run. The limits in the request are within the session's: the caller has checked. As
 * pool_submit(), with SESSION_E_QUEUE_FULL. pool_cancel() takes it back: a run under way is
 * interrupted, and the session's process is killed if that does not help.
 */
_must_check_ int session_submit(Session *session, const RunRequest *request,
                                const RunCallbacks *callbacks, void *data, Run **ret_run);

/*
 * Binds names in the session, as flags of RequestFlag (REQUEST_BIND_*) say: at once if nothing
 * runs, and from now on in each new interpreter before its first run, so that no run's limits pay
 * for the imports. Runs wait meanwhile. A run of the pool's own does it, which has no number and
 * nobody is told of; when it fails, this is not tried again before session_reset().
 */
void session_bind(Session *session, unsigned flags);

/*
 * KeyboardInterrupt for the run under way; its process is killed when the run goes on for
 * kill_after_ms more. done (may be NULL) is called once: was_lost tells that it had to be killed.
 * Returns false when nothing runs, and then done is not called.
 */
bool session_interrupt(Session *session, uint64_t kill_after_ms,
                       void (*done)(void *data, bool was_lost), void *data);

/* A new interpreter in place of the old one, at once; a run under way is answered `cancelled`, runs
 * that wait go on waiting. Files and packages stay if keep_files. 0 or -errno. */
_must_check_ int session_reset(Session *session, bool keep_files);

/* What a copy does not have. */
typedef struct ForkNotes {
        uint32_t threads;    /* of the source; only the one that runs snippets is copied */
        uint32_t sockets;    /* open in the source; closed in the copy */
        uint32_t open_files; /* shared with the source: a position, or an old path */
} ForkNotes;

typedef struct ForkCallback {
        /* r: POOL_OK and copy is set, or as session_fork(), or -errno. By then the copy may have
         * been ended: -ECANCELED; or the source, or it has lost its process: SESSION_E_LOST. */
        void (*done)(void *data, int r, Session *copy, const ForkNotes *notes);
        void *data;
} ForkCallback;

/*
 * Copies a live session: variables, modules, workspace, packages. options: space, id, idle_ms,
 * life_cpu_ms of the copy; the rest comes from the source. The source must be idle. Returns POOL_OK
 * when done will be called (never from inside), or why not: SESSION_E_*, POOL_E_DRAINING, -errno.
 */
_must_check_ int session_fork(Session *source, const SessionOptions *options,
                              const ForkCallback *callback);

typedef struct SessionInfo {
        SessionSpace space;
        const char *id;
        const char *template;
        SessionState state;
        const char *lost; /* why its variables are gone, while nobody has been told; or NULL */
        const char *forked_from; /* id, or NULL */
        uint64_t created_s;      /* since the epoch */
        uint64_t sequence;       /* no two have the same, though they may have the same id */
        uint64_t idle_ms;        /* since its last use; 0 while busy */
        uint64_t expires_ms;     /* from now, if it is not used; UINT64_MAX: never */
        uint64_t runs;           /* since its creation */
        unsigned queued;
        uint64_t disk_bytes; /* of its workspace, when last measured */
        RunLimits limits;
} SessionInfo;

/* What the pool knows by itself: no system call, since every run of a session asks. */
void session_inspect(const Session *session, SessionInfo *ret_info);

typedef struct SessionUsage {
        uint64_t memory_bytes; /* that its process has taken since it was made; 0: no process */
        uint64_t cpu_ns;       /* of all its processes so far */
} SessionUsage;

/* What the kernel has to be asked for. */
SessionUsage session_usage(const Session *session);

/* --- its files; see pool/home.h for what may be done with them off the loop --- */

/* A directory, open for reading (not O_PATH): the workspace. Borrowed; a hostile process may be
 * changing what is in it: names are opened with openat2(2), RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
 * RESOLVE_NO_MAGICLINKS. */
int session_workspace_fd(const Session *session);
/* The directory behind "/packages", likewise; its process may only read it. */
int session_packages_fd(const Session *session);
/* The folder of the home itself, where the process sees nothing: records of the server. */
int session_record_fd(const Session *session);
/* Its number among the members of its home; its records there begin with it: "0.session",
 * "0.cells". */
unsigned session_member(const Session *session);
/* Who owns the files of the workspace; (uid_t) -1: the server's own user. */
uid_t session_uid(const Session *session);
/* How the snippet sees its workspace: "/work/0", or a path of the host without a mount namespace.
 */
const char *session_workspace_path(const Session *session);
/* Files have been changed from outside: it has been used, and its disk is measured again. */
void session_touch(Session *session);
/* New packages are there: the next run's imports find them. */
void session_packages_changed(Session *session);

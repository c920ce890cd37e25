#pragma once
/*
 * install_internal: what the files of the installer share.
 *
 *     installer.c        life of the whole, turns of the loop
 *     install.c          one installation, from step to step
 *     install_request.c  what a caller asks
 *     install_process.c  pip's process: starts it, listens to it, ends it
 *     install_work.c     what is done with files, off the loop
 *     install_memory.c   which requirements have led to which wheels
 *     install_answer.c   what the caller gets
 */

#include "kit/bytes.h"
#include "pool/chores.h"
#include "pool/install.h"
#include "pool/packages.h"
#include "pool/program.h"
#include "pool/timer.h"
#include "pool/wheel_cache.h"
#include "wire/install.h"

#define INSTALLS_RUNNING_MAX 8
#define INSTALL_KEY_MAX      16384
#define INSTALL_LOG_MAX      65536
#define INSTALL_SENTENCE_MAX 2048

/* Besides POOL_E_*: results of chores. */
typedef enum InstallStep {
        INSTALL_QUEUED,  /* for an earlier one of the same session */
        INSTALL_LOOKS,   /* what the session has (chore) */
        INSTALL_WAITS,   /* for a place among those that run */
        INSTALL_STAGES,  /* a folder for pip (chore) */
        INSTALL_RUNS,    /* pip */
        INSTALL_ENDS,    /* pip has been killed, or has said all; it is waited for */
        INSTALL_TAKES,   /* over what pip has unpacked (chore) */
        INSTALL_LINKS,   /* the wheels into the session (chore) */
        INSTALL_ANSWERS, /* at the next turn */
} InstallStep;

typedef struct InstallWheel {
        CachedWheel about;   /* sha256, name, version; bytes once it is taken over */
        CachedWheel *cached; /* pinned, or NULL */
        bool was_cached, wanted, unpacked;
} InstallWheel;

struct Install {
        Chore chore; /* first */
        Installer *installer;
        Install *previous, *next;
        InstallStep step;
        bool is_cancelled;
        InstallCallback callback;

        /* Whose: the session may end meanwhile, and another one may get its id. */
        SessionSpace space;
        char session_id[SESSION_ID_MAX + 1];
        dev_t packages_device;
        ino_t packages_inode;
        int packages_fd;
        unsigned template;

        char *texts; /* of the requirements, each with a NUL behind it */
        size_t texts_size;
        Requirement *requirements;
        size_t n_requirements;

        PackageList in_session, in_template;
        Buffer key; /* of install_memory.c; empty: it is not to be remembered */
        InstallWheel *wheels;
        size_t n_wheels;

        /* pip: */
        unsigned place; /* among those that run */
        char staging[STAGING_NAME_SIZE];
        int staging_fd;
        Program program;
        int pid_fd;
        Timer timer;
        uint64_t deadline_ns;
        bool is_resolved;

        InstallOutcome outcome;
        char why[INSTALL_SENTENCE_MAX];
        Buffer log;
};

typedef struct Memory Memory;

/* One that may run: how much its staging folder holds is asked from time to time. */
typedef struct InstallPlace {
        Install *install; /* NULL: free */
        uint64_t staged;  /* by the janitor's thread: bytes + 1 */
        uint64_t
                asked_for_ns; /* deadline of the install it was asked for; 0: no question is open */
} InstallPlace;

struct Installer {
        InstallerConfig config;
        int epoll_fd, wake_fd;
        TimerHeap timers;
        Chores *chores;
        WheelCache cache;
        Memory *memory;
        Install *first, *last;
        unsigned n_installs;
        InstallPlace places[INSTALLS_RUNNING_MAX];
};

/* What an event of epoll is about: an Install, or one of these. */
enum {
        EVENT_WAKE = 0,
        EVENT_TIMERS,
        EVENT_CHORES,
        _EVENTS,
};

/* install.c */
void install_free(Install *install);
/* The outcome, with a sentence, unless there is one already. */
void install_fail(Install *install, InstallOutcome outcome, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Has work done off the loop; its end is heard of in that step. */
void install_start_work(Install *install, InstallStep step, int (*work)(Chore *chore));
void install_move(Install *install, InstallStep step);
/* What it waits for may have come: its turn, a place. */
void install_go_on(Install *install);
/* pip's process has gone: there is an outcome, or all is unpacked. */
void install_on_process_end(Install *install);

/* install_process.c */
/* 0, or the outcome has been set. */
_must_check_ int install_process_start(Install *install);
void install_process_on_event(Install *install);
void install_process_on_timer(Install *install, uint64_t now_ns);
/* Kills it; its end is noticed later. */
void install_process_kill(Install *install);
/* Kills and waits; at the end of the server. */
void install_process_free(Install *install);

/* install_work.c */
int install_work_look(Chore *chore);
int install_work_stage(Chore *chore);
int install_work_take(Chore *chore);
int install_work_link(Chore *chore);

/* install_memory.c */
_must_check_ int memory_new(Memory **ret_memory);
Memory *memory_free(Memory *memory);
/* Makes the key of an installation, from all that its result depends on. */
void memory_make_key(Install *install);
/* Fills the wheels, if they are known and all of them are in the cache; they are pinned. */
bool memory_recall(Memory *memory, WheelCache *cache, Install *install);
void memory_keep(Memory *memory, const Install *install);

/* install_answer.c */
/* Whether the requirement is met by what is there; then which. */
const Package *install_has(const Install *install, const Requirement *requirement);
void install_answer(Install *install);

#pragma once
/*
 * install: packages for sessions. What the template or the session has already is answered without
 * any work, what was asked for a few minutes ago with hard links alone; else pip runs, in a process
 * of its own that is shut in (interp/install.h), finds out what is needed, and unpacks what the
 * shared cache of wheels (pool/wheel_cache.h) does not have. Nothing is ever built from source:
 * that would run code of the package's author where there is a network.
 *
 * To its caller it is one file descriptor, like the pool; one thread only. A session's
 * installations are serial, in order of arrival; its runs go on meanwhile.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/requirement.h"
#include "pool/session.h"

typedef struct Installer Installer;
typedef struct Install Install;

typedef struct InstallerConfig {
        Pool *pool;                  /* whose templates and sessions; lives longer */
        const char *python_program;  /* path of hatchery-python */
        const char *state_directory; /* absolute; wheels/ is made in it */
        const char *index_url; /* NULL: what pip is set to on this machine; "none": nothing can
                                  be installed but what is there */
        uint64_t timeout_ms;   /* of one installation, from the start of its process */
        uint64_t packages_bytes_max; /* that one session has installed */
        uint64_t cache_bytes_max;    /* of the shared cache */
        unsigned running_max;        /* processes at once; further installations wait … */
        unsigned queue_max;          /* … and so many at most */
        uid_t uid;                   /* of these processes; 0: the server's own */
        bool copies; /* sessions can write to their packages: no hard links into the cache */
        const char *log_level;
} InstallerConfig;

/* Takes stock of the cache that an earlier server has left. */
_must_check_ int installer_new(const InstallerConfig *config, Installer **ret_installer);
/* Kills what runs; installations under way get no callback. */
Installer *installer_free(Installer *installer);
DEFINE_CLEANUP(Installer, installer_free)

/* Readable when installer_dispatch() has work; owned by the installer. */
int installer_fd(const Installer *installer);
_must_check_ int installer_dispatch(Installer *installer);

/*
 * How an installation has ended. Whoever may choose packages chooses what is in them, so whatever
 * a wheel brings about is the caller's, and no failure of the server.
 */
typedef enum InstallOutcome {
        INSTALL_DONE,
        INSTALL_NOT_FOUND,   /* 422: no such project, no such version, none for this Python, or no
                                wheel */
        INSTALL_CONFLICT,    /* 422: the requirements exclude each other, or what is there */
        INSTALL_NO_INDEX,    /* 502: the index cannot be reached, or gives no proper answer */
        INSTALL_BAD_WHEEL,   /* 422: not what the index has promised, or not a proper wheel */
        INSTALL_TIMEOUT,     /* 504: before all wheels were there */
        INSTALL_TOO_LARGE,   /* 413: more than a session may have, or can be unpacked in time */
        INSTALL_NO_SPACE,    /* 507: the server's disk is full */
        INSTALL_ENDED,       /* 404: the session has ended meanwhile */
        INSTALL_UNAVAILABLE, /* 503: the process could not be started, or died */
        _INSTALL_OUTCOMES,
} InstallOutcome;

typedef struct InstalledPackage {
        const char *name; /* as it calls itself */
        const char *version;
        bool already;    /* was there before: in the template, or in the session */
        bool from_cache; /* linked, neither loaded nor unpacked */
} InstalledPackage;

/* Valid for the time of the callback only. */
typedef struct InstallResult {
        InstallOutcome outcome;
        const char *why;                  /* a sentence for the caller; NULL: INSTALL_DONE */
        const InstalledPackage *packages; /* INSTALL_DONE: those asked for, and what they need */
        size_t n_packages;
        Slice log; /* what pip has said, its tail if it was much; UTF-8, may be empty */
} InstallResult;

typedef struct InstallCallback {
        /* Called once, from installer_dispatch(), unless it was cancelled. */
        void (*done)(void *data, const InstallResult *result);
        void *data;
} InstallCallback;

/* What install_start() may answer besides POOL_OK and -errno. */
enum {
        INSTALL_E_REQUIREMENT = 200, /* 422; *ret_problem says which, and why */
        INSTALL_E_QUEUE_FULL,        /* 503 with Retry-After */
        INSTALL_E_NO_DISK,           /* 507 with Retry-After: the disk is short */
        INSTALL_E_SWITCHED_OFF,      /* 403: the operator has set no index, and it is not there */
};

typedef struct InstallProblem {
        size_t index;    /* of the requirement */
        const char *why; /* a sentence's end: "is empty" */
} InstallProblem;

/*
 * Installs into a session. requirements: as clients give them, 1 to REQUIREMENTS_MAX of them,
 * copied. On POOL_OK *ret_install is valid until done has been called, or install_cancel(); done is
 * never called from inside.
 */
_must_check_ int install_start(Installer *installer, Session *session, const Slice *requirements,
                               size_t n_requirements, const InstallCallback *callback,
                               Install **ret_install, InstallProblem *ret_problem);
/* Nobody waits for it any more: it ends, unless files are being linked; no callback. */
void install_cancel(Install *install);

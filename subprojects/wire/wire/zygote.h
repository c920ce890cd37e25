#pragma once
/*
 * zygote: the commands between the supervisor and a zygote, over one SOCK_SEQPACKET socket.
 * Commands have a fixed size and hold no byte that a client sent. Reports are small too; the last
 * field of a report is text.
 *
 * A worker is forked with CLONE_PARENT, so it is the supervisor's child and not the zygote's: the
 * supervisor waits for it, and a dead or hung zygote takes no running worker and no exit status
 * with it.
 *
 * hatchery-python is started as
 *     hatchery-python --socket FD --template NAME [--venv DIR] [--import MODULE]... [--warm-up
 * FILE] [--prelude FILE] [--enter NAMESPACE-FD]... [--view PATH]... [--data PATH]
 *                     [--log-level LEVEL]
 * (--enter: namespaces of the template's cell maker, joined first of all, in this order; --view and
 * --data as in wire/cells.h)
 * with an environment of its own making. It ends when the other end of the socket closes.
 */

#include <stdint.h>

#include "wire/layers.h"

/* Descriptors that come with ZYGOTE_SPAWN, in this order, and then those optional ones whose bit
 * (1 << number) is in the command's optional_fds. */
typedef enum SpawnFd {
        SPAWN_FD_REQUEST,   /* read end of a pipe of the worker's */
        SPAWN_FD_RESULT,    /* write end */
        SPAWN_FD_STDOUT,    /* write end */
        SPAWN_FD_STDERR,    /* write end */
        SPAWN_FD_DIRECTORY, /* O_PATH directory of the slot; holds work/ and tmp/ */
        _SPAWN_FDS_ALWAYS,
        SPAWN_FD_PID_NAMESPACE = _SPAWN_FDS_ALWAYS, /* of the slot's cell */
        SPAWN_FD_MOUNT_NAMESPACE,
        SPAWN_FD_USER_NAMESPACE,
        SPAWN_FD_CGROUP,        /* version 2: the slot's folder, to be born in */
        SPAWN_FD_CGROUP_MEMORY, /* version 1: cgroup.procs of the slot, opened for writing */
        SPAWN_FD_CGROUP_PIDS,
        SPAWN_FD_CONTROL, /* SPAWN_SESSION: socket to the supervisor (wire/session.h) */
        _SPAWN_FDS,
} SpawnFd;

typedef enum SpawnFlag {
        SPAWN_REHEARSE =
                1 << 0, /* run an empty snippet before RESULT_READY, so that its pages are mapped */
        SPAWN_RESET = 1 << 1,        /* recycle policy `reset`: stay after a run, made new */
        SPAWN_SUBPROCESSES = 1 << 2, /* new programs are allowed */
        SPAWN_SESSION = 1 << 3, /* its namespace stays from run to run; the folder of the slot is
                                 * a home (pool/home.h): its workspace is work/<folder>, its
                                 * packages are packages/<member>. All but member 0 are kept to
                                 * their own by Landlock, as copies are */
} SpawnFlag;

/* RLIMIT_NPROC counts the threads and processes of a uid, in its user namespace. A worker may have
 * so many threads besides its processes. Where a slot has neither a uid nor a user namespace of its
 * own, all share the server's uid with whatever else runs under it, and the bound can only be a
 * coarse one. */
#define SPAWN_THREADS_MAX  64
#define SPAWN_TASKS_SHARED 4096

typedef struct SpawnCommand {
        uint32_t kind;  /* ZYGOTE_SPAWN */
        uint32_t slot;  /* for the log and the report only */
        uint32_t flags; /* of SpawnFlag */
        uint32_t uid;
        uint32_t gid;
        uint32_t tasks;   /* RLIMIT_NPROC; 0: leave it */
        LayerMask layers; /* that the worker must take; it takes no other, and ends if one fails */
        uint32_t optional_fds; /* bits of SpawnFd */
        uint64_t memory_bytes; /* the most that any request may ask for, as RequestOptions has them
                                */
        uint64_t file_bytes;
        uint64_t cpu_seconds;
        uint32_t member;     /* SPAWN_SESSION */
        char directory[196]; /* the slot's directory by path, for HOME and TMPDIR: absolute, or
                              * empty in a mount namespace, where it is /work and /tmp */
        char folder[128]; /* SPAWN_SESSION: of its workspace, below work/ (wire/session.h); empty:
                           * the member's number */
} SpawnCommand;
_Static_assert(sizeof(SpawnCommand) == 384, "no padding on the wire");

#define ZYGOTE_SPAWN 1U

typedef enum ZygoteReportKind {
        ZYGOTE_PROGRESS = 1, /* text: what is being imported; value: milliseconds since the start */
        ZYGOTE_READY,   /* text: a JSON object {"python": "3.11.2", "packages": {"numpy": "1.24.2"},
                         * "distributions": {"scikit-learn": "1.2.1"}}: versions of the imports, and
                         * of all that is installed; value: milliseconds the start took */
        ZYGOTE_FAILED,  /* text: why it cannot serve, for instance a Python traceback; it exits next
                         */
        ZYGOTE_SPAWNED, /* slot; value: pid as the supervisor sees it */
        ZYGOTE_SPAWN_FAILED, /* slot; value: errno */
} ZygoteReportKind;

#define ZYGOTE_REPORT_TEXT_MAX 16384

typedef struct ZygoteReport {
        uint32_t kind; /* of ZygoteReportKind */
        uint32_t slot;
        int64_t value;
        char text[ZYGOTE_REPORT_TEXT_MAX]; /* NUL-terminated; only the used part is sent */
} ZygoteReport;

#define ZYGOTE_REPORT_HEAD 16
_Static_assert(__builtin_offsetof(ZygoteReport, text) == ZYGOTE_REPORT_HEAD,
               "no padding on the wire");

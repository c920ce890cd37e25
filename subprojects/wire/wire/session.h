#pragma once
/*
 * session: the control socket of a worker that keeps its namespace (SPAWN_SESSION), one
 * SOCK_SEQPACKET pair whose other end the supervisor has. The worker listens to it only while it
 * waits for a run.
 *
 * Worker to supervisor: right after it was forked and before it is shut in, one CONTROL_LISTENER
 * with the descriptor of its seccomp listener (SECCOMP_FILTER_FLAG_NEW_LISTENER): every attempt of
 * the worker to make a process waits for the supervisor's word, which allows one for each
 * CONTROL_FORK that it has sent, and else answers EPERM. There is no other way to be copied.
 * (Templates that allow subprocesses have no listener and send CONTROL_LISTENER without one.)
 *
 * Supervisor to worker: CONTROL_FORK with descriptors. The worker copies itself (clone(2) with
 * CLONE_PARENT, so the copy is the supervisor's child), and the copy takes the descriptors in place
 * of its own, shuts itself off from its source (interp/confine.h, confine_copy()), says
 * CONTROL_HELLO on its own control socket, so that the kernel tells who it is (SCM_CREDENTIALS),
 * and RESULT_READY with ForkNotes on its own result pipe. The source answers on its own control
 * socket with CONTROL_FORKED.
 */

#include <stdint.h>

typedef enum ControlKind {
        CONTROL_LISTENER = 1, /* worker; one descriptor, or none */
        CONTROL_FORK,         /* supervisor; descriptors: ControlFd */
        CONTROL_FORKED,       /* worker; value: 0 or errno */
        CONTROL_HELLO,        /* a copy, first of all */
} ControlKind;

/* Descriptors that come with CONTROL_FORK, in this order. */
typedef enum ControlFd {
        CONTROL_FD_REQUEST, /* as SpawnFd has them */
        CONTROL_FD_RESULT,
        CONTROL_FD_STDOUT,
        CONTROL_FD_STDERR,
        CONTROL_FD_CONTROL, /* the copy's own control socket */
        _CONTROL_FDS,
} ControlFd;

typedef struct ControlMessage {
        uint32_t kind;   /* of ControlKind */
        uint32_t member; /* CONTROL_FORK: number of the copy's workspace */
        int64_t value;
        char directory[200]; /* CONTROL_FORK: as in SpawnCommand: empty in a mount namespace */
        char folder[128];    /* CONTROL_FORK: of the copy's workspace, below work/ */
} ControlMessage;
_Static_assert(sizeof(ControlMessage) == 344, "no padding on the wire");

/*
 * A copy may enter its own folders only, and neither may what is copied from it: a layer of
 * Landlock cannot be widened. So the workspaces of its copies lie beneath a folder of its own,
 * which has this behind its name: "3" is a copy of the first member, "3+/5" a copy of that one,
 * "3+/5+/6" of that one in turn.
 */
#define COPY_CONTAINER_SUFFIX "+"
/* In there: what the copy itself has for a temporary folder. Its source's /tmp has one size for all
 * who are in it, so that a copy that fills it would take its source's room. */
#define COPY_TEMPORARY "tmp"

/* The body of a copy's RESULT_READY. Its own words: for the caller, never for a decision. */
typedef struct WireForkNotes {
        uint32_t threads, sockets, open_files, reserved;
} WireForkNotes;
_Static_assert(sizeof(WireForkNotes) == 16, "no padding on the wire");

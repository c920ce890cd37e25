#pragma once
/*
 * copy: the supervisor's side of how a live worker is copied (wire/session.h). It knows processes
 * and descriptors; which slot or session they belong to is for the caller to know. Everything that
 * is read here comes from processes that run anybody's code, so nothing of it is believed but what
 * the kernel adds: who has sent it, and whose child that is.
 *
 *     caller                                 source                     copy
 *     copy_order()       CONTROL_FORK →      clone(): waits
 *     fork_listener_answer()        ← attempt of a pid that may     →   (is made)
 *     copy_receive()                                             ←      CONTROL_HELLO
 *     control_receive()  ← CONTROL_FORKED
 *                                                                ←      RESULT_READY, on its pipe
 */

#include <stdbool.h>
#include <sys/types.h>

#include "pool/worker.h"
#include "wire/session.h"

/* From CONTROL_FORK to RESULT_READY it takes milliseconds. A copy that takes longer has come to a
 * lock that another thread of its source held; the next one may not. */
#define COPY_TIMEOUT_NS (2 * NS_PER_S)
#define COPY_TRIES      3U

/* --- control sockets --- */

/* Makes one. Ours does not block, and tells who has sent what. Both are the caller's. */
_must_check_ int control_open(int *ret_ours, int *ret_theirs);

typedef struct ControlNews {
        ControlKind kind;
        pid_t sender; /* says the kernel */
        int error;    /* CONTROL_FORKED: 0 or an errno */
        int fd;       /* CONTROL_LISTENER: the caller's from now on; -1: it has none */
} ControlNews;

/* Reads one message. Returns 1; 0 when none is there; -EPIPE at the end; -EBADMSG when it is none
 * that a worker may send, and then the socket is not worth another look. */
_must_check_ int control_receive(int control_fd, ControlNews *ret_news);

/* --- attempts to make a process --- */

/* One for a worker and all copies that come from it: they share its filters. */
typedef struct ForkListener {
        int fd;
        pid_t allowed; /* may make one process; 0: nobody */
        unsigned refused;
} ForkListener;

/* Each refusal is work of the loop's that no limit of the session's counts. After so many the
 * kernel refuses by itself, with ENOSYS, and there are no copies any more. */
#define FORK_REFUSALS_MAX 10000U

#define FORK_LISTENER_NONE ((ForkListener){.fd = -1})

/* Takes the descriptor. -EINVAL when it is no listener. */
_must_check_ int fork_listener_take(ForkListener *listener, int fd);
/* Answers one attempt, if there is one: to be called when the descriptor is readable. Never blocks.
 * Returns 0, or -errno when the listener is of no use any more, and to be closed; -EDQUOT: it has
 * been asked too often. -ENOENT is not among it: an attempt
 * may vanish, with its thread. */
_must_check_ int fork_listener_answer(ForkListener *listener);
void fork_listener_close(ForkListener *listener);

/* --- a copy --- */

typedef struct Copy {
        Worker worker; /* pid 0: nobody has said CONTROL_HELLO yet */
        int control_fd;
        pid_t source;
} Copy;

#define COPY_NONE ((Copy){.worker = WORKER_NONE, .control_fd = -1})

typedef struct CopyOrder {
        pid_t source;
        int source_control_fd;
        ForkListener *listener;
        unsigned member;
        const char *folder;    /* of its workspace, below work/ */
        const char *directory; /* of the home; "" in a mount namespace */
} CopyOrder;

/* Asks for one, and allows the source to make it. Returns 0, or -errno: -ENOTSUP when there is no
 * listener, or no socket of the source's; -EAGAIN when the source does not listen. */
_must_check_ int copy_order(Copy *copy, const CopyOrder *order);

/* To be called when the copy's control socket is readable. Returns 1 when it has said who it is:
 * its pid is that of a child of ours which is not its source, and is not set in the worker yet: the
 * caller knows whether it is another one's, and calls worker_attach(). 0: nothing yet; -EPROTO:
 * what was said is no good; -EPIPE: nobody has the other end. */
_must_check_ int copy_receive(Copy *copy, pid_t *ret_pid);

/* Nothing may be made any more, and what has been made and said nothing is a stranger. Closes all;
 * kills nobody. */
void copy_close(Copy *copy, ForkListener *listener);

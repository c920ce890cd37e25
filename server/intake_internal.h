#pragma once
/* intake_internal: what the files of intake.h share. */

#include "server/chunked.h"
#include "server/intake.h"
#include "server/request_head.h"
#include "server/spool.h"
#include "server/stream_bodies.h"

/* A body that is no larger stays in memory, on a route for files, too. */
#define SMALL_BODY_BYTES (64U << 10)
#define REFUSAL_MAX      256

struct Intakes {
        App *app;
        h2o_context_t *context;
        int folder_fd;
        uint64_t memory_bytes, disk_bytes; /* held now, by all */
        h2o_socket_cb http1_read;          /* by which libh2o reads HTTP/1; NULL: not seen yet */
};

typedef enum IntakeState {
        INTAKE_HEAD,      /* a request's head is awaited */
        INTAKE_PASSED,    /* libh2o has the request */
        INTAKE_RECEIVING, /* its body goes to the spool */
        INTAKE_WRITING,   /* … and has come in whole */
        INTAKE_READY,     /* libh2o is shown the head */
} IntakeState;

struct Intake {
        Intakes *all;
        h2o_socket_t *sock;
        h2o_socket_cb next_read; /* libh2o's */
        bool *gone;              /* set when libh2o, which is at it, has closed the socket */
        bool is_http2;
        IntakeState state;
        size_t searched; /* bytes of the input that hold no end of a head */
        RequestHead head;
        size_t later_size;   /* bytes of the input behind the request, hidden from libh2o */
        h2o_buffer_t *later; /* … when it has ended; NULL: none */
        h2o_timeout_entry_t resume;
        StreamBodies *streams; /* of HTTP/2; NULL: none had a body yet */
        Chunked chunked;
        uint64_t received, limit;
        Spool *spool;
        int body_fd;
        uint64_t body_size;
        uint64_t memory_bytes, disk_bytes; /* counted in all's */
        int refusal_status;
        char refusal[REFUSAL_MAX];
        bool drops_all;      /* the rest is not waited for: the connection ends */
        bool sends_continue; /* "100 Continue" is on its way */
};

/* ── intake.c ── */

/* The callback that reads HTTP/1 before libh2o does. */
void intake_on_read(h2o_socket_t *sock, const char *err);
Intake *intake_of(h2o_socket_t *sock);

/* ── intake_file.c: a large body that goes to a file, or is read to be dropped ── */

/* Whether the body of the head that has come is taken here: it goes to a file, or is larger than it
 * may be. libh2o would refuse the latter at once and close the connection, so that a client that
 * is still writing would find it reset, and never read why. */
bool intake_takes(const Intake *intake);
/* The head has come; the input has all of it, and may have more. */
void intake_file_begin(Intake *intake);
/* More has come. */
void intake_file_receive(Intake *intake);
/* The request has ended, or the connection. */
void intake_file_end(Intake *intake);

/* ── intake_http2.c ── */

/* libh2o reads HTTP/2 now: counts the bodies from here on. */
void intake_hook_http2(Intake *intake);
bool intake_is_hooked_http2(const Intake *intake);
/* Counts what the input has before libh2o reads it, and sees to the bound when it has. */
void intake_count_streams(Intake *intake);
void intake_bound_streams(Intake *intake);

/* ── intake.c, too ── */

/* Lets libh2o read; err as for a socket's callback. Returns whether the connection is still there.
 */
_must_check_ bool intake_call_libh2o(Intake *intake, const char *err);

/* What is held is counted in all's. */
void intake_hold_memory(Intake *intake, uint64_t bytes);
void intake_hold_disk(Intake *intake, uint64_t bytes);
/* libh2o reads as much as the kernel has, in one go: bounds that. */
void intake_bound_reads(const Intake *intake);
/* Whether all hold more than they may, and this one a part of it. */
bool intake_holds_too_much(const Intake *intake);
/* Says so in the log. Returns the error to end the connection with. */
const char *intake_too_much(const Intake *intake);

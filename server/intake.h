#pragma once
/*
 * intake: the bodies of requests, as they come in. libh2o 2.2 gathers a whole body in memory before
 * it says that there is a request; the files that it can map instead are sparse, so that a full
 * disk is a SIGBUS, and writing to them holds up the loop (lib/common/memory.c,
 * h2o_buffer_reserve()). So over HTTP/1 the socket is read here first. A large body that goes to a
 * route for files is taken off the socket's input piece by piece and written to a file (spool.h);
 * libh2o is shown the head when all of it has come, and the head says then that there is no body.
 * Everything else is passed on untouched, but counted: all bodies in memory together, and all in
 * files together, are bounded.
 *
 * Over HTTP/2 a body stays in memory, and no larger than that of any other request. The frames are
 * counted as they come in, see stream_bodies.h; a connection that goes over the bound of all is
 * ended.
 */

#include <h2o.h>

#include "server/app.h"
#include "server/body.h"
#include "server/respond.h"

typedef struct Intakes Intakes; /* what all share */
typedef struct Intake Intake;   /* of one connection */

/* NULL when memory is short. The folder for files is the state directory. The context is borrowed.
 */
Intakes *intakes_new(App *app, h2o_context_t *context);
Intakes *intakes_free(Intakes *all);
DEFINE_CLEANUP(Intakes, intakes_free)

/* What a socket's on_close.data points to begins with this; its on_close.cb calls intake_free(). */
typedef struct IntakeOwner {
        Intake *intake;
} IntakeOwner;

Intake *intake_new(Intakes *all, h2o_socket_t *sock);
Intake *intake_free(Intake *intake);
DEFINE_CLEANUP(Intake, intake_free)

/* Hands the socket over to libh2o, after a TLS handshake if there is one, and reads it first. */
void intake_accept(Intake *intake, h2o_accept_ctx_t *accept, bool is_http2);

/* libh2o sets its callback anew before each request: reads the socket first again. To be called at
 * the end of the loop's turn in which intake_request_ended() was. */
void intake_hook(Intake *intake);
bool intake_is_http2(const Intake *intake);

/* Whether a body is on its way to a file; *ret_moved differs when it has moved. */
bool intake_is_receiving(const Intake *intake, uint64_t *ret_moved);
/* Whether a body over HTTP/2 has begun before limit_ns and is not complete. */
bool intake_is_late(Intake *intake, uint64_t limit_ns);

/* --- for the request that libh2o has been shown, over HTTP/1 --- */

/* It is with its handler now: what came behind it waits for its end. */
void intake_request_began(Intake *intake, const h2o_req_t *req);

/* Why its body was not taken, or NULL; the client's connection is to be closed after the answer if
 * *ret_close. The text lives until the request ends. */
const char *intake_refusal(const Intake *intake, ErrorAnswer *ret_answer, bool *ret_close);
/* The file with its body; the caller's from now on. False: it lies in memory. */
bool intake_take_body(Intake *intake, Body *ret_body);
/* The request has ended. */
void intake_request_ended(Intake *intake);

/* --- for one over HTTP/2 --- */

/* Returns the stream whose body is counted; 0: none. */
uint32_t intake_stream_began(Intake *intake, h2o_req_t *req);
/* The request has been disposed of, and its body with it. */
void intake_stream_ended(Intake *intake, uint32_t stream_id);

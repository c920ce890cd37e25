#pragma once
/*
 * connection: the table of open connections, and the deadlines that libh2o 2.2 does not keep. It
 * knows one timer for an HTTP/1 connection, which runs from the end of the last answer and closes
 * without a word, and none for a client that does not read. So a few times a second every
 * connection is looked at: what is it doing, since when, and has it moved? One that is late is shut
 * down with shutdown(2), which makes libh2o close it by itself.
 */

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

#include "kit/cleanup.h"
#include "server/intake.h"
#include "server/options.h"

typedef struct Connection Connection;
typedef struct ConnectionTable ConnectionTable;

/* What waits in memory until a client takes it. Zeroed: nothing. */
typedef struct HeldAnswer {
        uint64_t bytes;
        uint64_t since_sum; /* for each byte the time, in ms, since when; modulo 2^64 */
} HeldAnswer;

/* The options, intakes and count are borrowed; count always holds the number of open connections.
 * closed is called after each end of one. */
ConnectionTable *connection_table_new(h2o_loop_t *loop, const Options *options, Intakes *intakes,
                                      unsigned *count, void (*closed)(void *data), void *data);
/* All connections must have ended. */
ConnectionTable *connection_table_free(ConnectionTable *table);
DEFINE_CLEANUP(ConnectionTable, connection_table_free)

/* Takes the socket's on_close callback. Returns NULL when memory is short. accept is borrowed; it
 * says whether there is a TLS handshake. */
Connection *connection_add(ConnectionTable *table, h2o_socket_t *sock, h2o_accept_ctx_t *accept);
/* Hands the socket to libh2o, at the end of its handshake if there is one. */
void connection_accept(Connection *connection);

/* The connection of a request, or NULL. */
Connection *connection_of(const ConnectionTable *table, h2o_req_t *req);

/* A request has arrived in whole; it has been disposed of. The first returns the stream_id for the
 * second. */
uint32_t connection_request_began(Connection *connection, h2o_req_t *req);
void connection_request_ended(Connection *connection, bool is_http2, uint32_t stream_id);

/* So many bytes more of an answer are in memory; what is there is new; its request has ended. The
 * first may end connections. */
void connection_hold_answer(Connection *connection, HeldAnswer *answer, uint64_t bytes);
void connection_renew_answer(Connection *connection, HeldAnswer *answer);
void connection_answer_ended(Connection *connection, const HeldAnswer *answer);

/* What reads the bodies of its requests. */
Intake *connection_intake(Connection *connection);

/* After each turn of the loop: sees that the next requests are read by intake.h first. */
void connection_table_turned(ConnectionTable *table);

/* From now on a connection that waits for a request is ended at once. */
void connection_table_drain(ConnectionTable *table);
/* Ends all. Those that answer a request notice when they write. */
void connection_table_shut_down(ConnectionTable *table);

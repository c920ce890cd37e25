#pragma once
/* request: what the edge itself remembers of a request, from its arrival to its end. */

#include <h2o.h>
#include <stdint.h>

#include "server/body.h"
#include "server/connection.h"
#include "server/route.h"

#define REQUEST_ID_SIZE 65

typedef struct RequestNote {
        char id[REQUEST_ID_SIZE]; /* of X-Request-Id */
        uint64_t start_ns;        /* when the whole request had arrived */
        ErrorStyle errors;        /* of its route; ERRORS_PROBLEM before there is one */
        bool is_ours;             /* a handler of ours answers, not libh2o by itself */
        Connection *connection;   /* whose count of requests in flight holds this one, or NULL */
        bool is_http2;            /* … and how it counts it */
        uint32_t stream_id;
        HeldAnswer held; /* that its connection has been told of */
} RequestNote;

/* The note of a request, made when it is first asked for; in the request's pool. */
RequestNote *request_note(h2o_req_t *req);

/* So much memory holds its answer until it ends, be it that its client does not read. */
void request_hold_answer(h2o_req_t *req, uint64_t bytes);
/* What was there has left; other bytes, as many, are in its place. */
void request_renew_answer(h2o_req_t *req);

/* A header's value, or an empty slice. */
Slice request_header(h2o_req_t *req, const char *lower_case_name);

/* Likewise of one that is a list, which may come in several lines (RFC 9110, 5.3): all of them. */
Slice request_header_list(h2o_req_t *req, const char *lower_case_name);

/* The body, in memory or in a file; a file's descriptor is the caller's then. What is in memory
 * lives as long as the request. */
Body request_take_body(h2o_req_t *req);

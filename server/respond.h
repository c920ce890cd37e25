#pragma once
/* respond: every complete answer leaves through here. */

#include <h2o.h>

#include "kit/bytes.h"
#include "server/route.h"

/* The reason phrase of a status. */
const char *respond_reason(int status);

/* Sends body as application/json and empties it: the bytes move to the request. */
void respond_json(h2o_req_t *req, int status, Buffer *body);

/* Likewise as any type; content_type is borrowed for as long as the request lives. */
void respond_buffer(h2o_req_t *req, int status, const char *content_type, Buffer *body);

/* 204, without a body. */
void respond_nothing(h2o_req_t *req);

/* Sends bytes of the given type; body is copied into the request's pool. */
void respond_bytes(h2o_req_t *req, int status, const char *content_type, Slice body);

/* An error in the style of the route. field names the member of the request that is at fault, or is
 * NULL. The text is one or two sentences that say what was wrong, where, and what to do. 503 and
 * 429 carry Retry-After when retry_after_s is not 0. */
#define DISK_RETRY_S 60 /* a disk has room again when somebody has made it */

typedef struct ErrorAnswer {
        int status;
        const char *field;
        unsigned retry_after_s;
} ErrorAnswer;

void respond_error(h2o_req_t *req, ErrorStyle style, ErrorAnswer answer, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* What an error says in a batch line or an event, without an HTTP answer: appends the JSON object.
 */
_must_check_ int respond_error_document(Buffer *out, ErrorStyle style, ErrorAnswer answer,
                                        const char *detail);

/* An error in the form of RFC 9457 as it goes over the wire, head included, for a connection that
 * has no request. Cut at size; returns how many bytes there are. */
size_t respond_raw_error(char *ret_bytes, size_t size, ErrorAnswer answer, const char *detail);

/* The request's id, made by the server or taken from X-Request-Id when that is 1 to 64 of
 * [A-Za-z0-9._-]; sent back as X-Request-Id and written to the access log. In the request's pool.
 */
const char *request_id(h2o_req_t *req);

/* "run_" and 22 random characters, into a buffer of RUN_ID_SIZE. */
#define RUN_ID_SIZE 32
void make_run_id(char *ret_id);

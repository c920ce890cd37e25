#pragma once
/* response: one HTTP/1.1 answer, read as it comes in. */

#include <stdbool.h>

#include "kit/bytes.h"

#define RESPONSE_BYTES_MAX (64U << 20)

typedef struct Response {
        Buffer received;     /* of this answer, raw */
        Buffer unchunked;    /* its body, when it came in chunks */
        size_t head_size;    /* with the empty line; 0: not complete yet */
        size_t body_size;    /* as Content-Length says */
        size_t chunk_offset; /* where the next chunk begins in received */
        int status;
        bool chunked;
        bool closes; /* the server ends the connection after it */
} Response;

#define RESPONSE_INIT                                                                              \
        ((Response){.received = {.limit = RESPONSE_BYTES_MAX},                                     \
                    .unchunked = {.limit = RESPONSE_BYTES_MAX}})

typedef enum ResponseProgress { RESPONSE_INCOMPLETE, RESPONSE_COMPLETE } ResponseProgress;

/* Looks at what has been added to received. Returns a ResponseProgress, or -EPROTO for what is no
 * answer, or that holds more than the one answer that was asked for. */
int response_advance(Response *response);

/* Of a complete response; valid until the next reset. */
Slice response_body(const Response *response);

/* Makes it ready for the next answer; keeps the memory. */
void response_reset(Response *response);
void response_done(Response *response);

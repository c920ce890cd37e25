#pragma once
/*
 * stream_bodies: the bodies of one HTTP/2 connection. libh2o 2.2 gathers each in memory, of up to
 * 100 streams at once, opens the windows again as it reads, and tells of a request when its body is
 * complete: too late for a bound. So the frames are counted here before libh2o reads them (RFC
 * 9113, 4.1 and 6.1).
 *
 * Streams end in ways that cannot be seen from the frames. So what is counted is an upper bound,
 * until stream_bodies_keep() is told which streams there are.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kit/bytes.h"

/* libh2o refuses a stream beyond its 100. More are counted without a name. */
#define STREAM_BODIES_MAX 128

typedef struct StreamBody {
        uint32_t stream_id;
        bool is_complete; /* a request has been made of it */
        uint64_t bytes;
        uint64_t since_ns; /* of the first frame */
} StreamBody;

typedef struct StreamBodies {
        uint64_t bytes;       /* of all */
        uint64_t other_bytes; /* … of those without a name */
        unsigned n;
        StreamBody of[STREAM_BODIES_MAX];
} StreamBodies;

/* Whether an input, at the start of a frame or of a connection, has a body's bytes in it; then
 * stream_bodies_count() is worth its table. */
bool stream_bodies_has_data(Slice input);

/* Counts the complete frames of the input; libh2o consumes the same ones. A body has no more than
 * body_bytes_max. */
void stream_bodies_count(StreamBodies *bodies, Slice input, uint64_t body_bytes_max,
                         uint64_t now_ns);

/* The request of that stream is with a handler; it has been disposed of. Unknown ones are passed
 * over. */
void stream_bodies_complete(StreamBodies *bodies, uint32_t stream_id);
void stream_bodies_remove(StreamBodies *bodies, uint32_t stream_id);

/* Removes all of which is_live says no. */
void stream_bodies_keep(StreamBodies *bodies, bool (*is_live)(uint32_t stream_id, void *data),
                        void *data);

/* When the oldest that is not complete began; UINT64_MAX: there is none. */
uint64_t stream_bodies_oldest_ns(const StreamBodies *bodies);

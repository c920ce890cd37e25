#pragma once
/* output: keeps what a stream carries, up to a limit: all of it, or, past the limit, its head and
 * its tail. */

#include <stdint.h>

#include "pool/run.h"

typedef struct OutputCapture {
        size_t limit;
        Buffer head;   /* everything while total ≤ limit, then the first half of the limit */
        uint8_t *ring; /* NULL until the limit is passed; then the last bytes, limit - limit / 2 of
                          them */
        size_t ring_next; /* where the next byte goes; the oldest stands there */
        uint64_t total;
} OutputCapture;

void output_start(OutputCapture *capture, size_t limit);
void output_done(OutputCapture *capture);

/* Returns 0 or -ENOMEM. */
_must_check_ int output_append(OutputCapture *capture, Slice bytes);

/* Puts the tail in order; the slices point into the capture. */
RunOutput output_finish(OutputCapture *capture);

#include "pool/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void output_start(OutputCapture *capture, size_t limit) {
        *capture = (OutputCapture){.limit = limit};
}

void output_done(OutputCapture *capture) {
        buffer_done(&capture->head);
        free(capture->ring);
        *capture = (OutputCapture){0};
}

static size_t ring_size(const OutputCapture *capture) {
        return capture->limit - capture->limit / 2;
}

static void ring_append(OutputCapture *capture, Slice bytes) {
        size_t size = ring_size(capture);

        if (size == 0)
                return;
        if (bytes.size > size)
                bytes = slice_of(bytes.data + bytes.size - size, size);
        while (bytes.size > 0) {
                size_t room = size - capture->ring_next;
                size_t n = bytes.size < room ? bytes.size : room;

                memcpy(capture->ring + capture->ring_next, bytes.data, n);
                capture->ring_next = (capture->ring_next + n) % size;
                bytes = slice_of(bytes.data + n, bytes.size - n);
        }
}

int output_append(OutputCapture *capture, Slice bytes) {
        size_t fits = 0;
        int r;

        if (!capture->ring) {
                size_t room = capture->limit - capture->head.size;

                fits = bytes.size < room ? bytes.size : room;
                r = buffer_append(&capture->head, bytes.data, fits);
                if (r < 0)
                        return r;
        }
        capture->total += bytes.size;
        if (fits == bytes.size)
                return 0;

        if (!capture->ring) {
                /* The second half of what was kept so far is the tail, as far as it goes. */
                capture->ring = malloc(ring_size(capture) + 1);
                if (!capture->ring)
                        return -ENOMEM;
                ring_append(capture,
                            slice_of(capture->head.data + capture->limit / 2, ring_size(capture)));
                capture->head.size = capture->limit / 2;
        }
        ring_append(capture, slice_of(bytes.data + fits, bytes.size - fits));
        return 0;
}

static void reverse(uint8_t *from, uint8_t *to) {
        while (from < to) {
                uint8_t byte = *from;

                *from++ = *--to;
                *to = byte;
        }
}

RunOutput output_finish(OutputCapture *capture) {
        size_t size = ring_size(capture);
        RunOutput output = {.head = buffer_slice(&capture->head), .total_bytes = capture->total};

        if (!capture->ring)
                return output;

        /* Rotate so that the oldest byte comes first: reverse both parts, then the whole. */
        reverse(capture->ring, capture->ring + capture->ring_next);
        reverse(capture->ring + capture->ring_next, capture->ring + size);
        reverse(capture->ring, capture->ring + size);
        capture->ring_next = 0;
        output.tail = slice_of(capture->ring, size);
        output.truncated = true;
        return output;
}

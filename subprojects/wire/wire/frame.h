#pragma once
/*
 * frame: what travels on the two pipes of a worker, in both directions: a header of fixed size and
 * a body of bytes. Both ends run on one host and come from one build, so numbers are in host byte
 * order. The worker's end may be hostile: the decoder has no state, allocates nothing and believes
 * nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit/bytes.h"

/* No body is longer than this, whatever the sender says. */
#define FRAME_BODY_MAX (256U << 20)

typedef struct FrameHeader {
        uint32_t magic;
        uint32_t kind;
        uint64_t size; /* bytes of the body, which follows at once */
} FrameHeader;
_Static_assert(sizeof(FrameHeader) == 16, "no padding on the wire");

typedef struct Frame {
        uint32_t kind;
        Slice body; /* points into the bytes that were parsed */
} Frame;

typedef enum FrameParse {
        FRAME_COMPLETE,
        FRAME_INCOMPLETE, /* a longer prefix may become complete */
        FRAME_MALFORMED,  /* no continuation can make it a frame */
} FrameParse;

/*
 * Looks for one frame at the start of bytes. On FRAME_COMPLETE, *ret_frame is set and *ret_used
 * says how many bytes it took. body_max (at most FRAME_BODY_MAX) is the longest body the reader is
 * willing to hold. Which kinds are allowed is for the reader to say.
 */
FrameParse frame_parse(Slice bytes, size_t body_max, Frame *ret_frame, size_t *ret_used);

/* Appends one frame. Returns as buffer_append(). */
_must_check_ int frame_append(Buffer *out, uint32_t kind, Slice body);

/* Fills a header for a body that is sent apart from it. */
FrameHeader frame_header(uint32_t kind, uint64_t size);

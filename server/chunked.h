#pragma once
/* chunked: the chunked transfer coding (RFC 9112, 7.1), read strictly: lines end with CR LF. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit/cleanup.h"

#define CHUNKED_EXTRAS_MAX 16384 /* of all extensions and trailers together */

typedef struct Chunked {
        enum {
                CHUNKED_SIZE,
                CHUNKED_EXTENSION,
                CHUNKED_SIZE_FEED,
                CHUNKED_DATA,
                CHUNKED_DATA_RETURN,
                CHUNKED_DATA_FEED,
                CHUNKED_TRAILER_START,
                CHUNKED_TRAILER,
                CHUNKED_TRAILER_FEED,
                CHUNKED_END_FEED,
                CHUNKED_END,
        } state;
        unsigned digits; /* of the size so far */
        uint64_t left;   /* of the chunk */
        size_t extras;
} Chunked;

/*
 * Decodes in place: the data is at the start of bytes then, *ret_data_size of it. Returns how many
 * bytes were taken, which are all until the state is CHUNKED_END, or -EBADMSG. Start with a zeroed
 * state.
 */
_must_check_ ssize_t chunked_decode(Chunked *chunked, uint8_t *bytes, size_t size,
                                    size_t *ret_data_size);

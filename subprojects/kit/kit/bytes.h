#pragma once
/* bytes: a view of bytes that somebody else owns (Slice) and a growing, bounded store (Buffer). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kit/cleanup.h"

typedef struct Slice {
        const uint8_t *data; /* may be NULL when size is 0 */
        size_t size;
} Slice;

#define SLICE_NULL          ((Slice){NULL, 0})
#define SLICE_LITERAL(text) ((Slice){(const uint8_t *) (text), sizeof(text) - 1})

static inline Slice slice_of(const void *data, size_t size) {
        return (Slice){data, size};
}

static inline Slice slice_of_text(const char *text) {
        return (Slice){(const uint8_t *) text, strlen(text)};
}

static inline bool slice_equals(Slice slice, const char *text) {
        size_t size = strlen(text);

        return slice.size == size && (size == 0 || memcmp(slice.data, text, size) == 0);
}

typedef struct Buffer {
        uint8_t *data;
        size_t size;     /* bytes in use */
        size_t capacity; /* bytes allocated */
        size_t limit;    /* the most it may ever hold; 0 means SIZE_MAX */
} Buffer;

#define BUFFER_INIT(limit_) ((Buffer){NULL, 0, 0, (limit_)})

/* Frees the store; the buffer can be used again. Takes a zeroed buffer. */
void buffer_done(Buffer *buffer);

/* Makes room for size more bytes. Returns 0, -EMSGSIZE past the limit, or -ENOMEM; then nothing has
 * changed. */
_must_check_ int buffer_reserve(Buffer *buffer, size_t size);

/* Appends a copy. Returns as buffer_reserve(). */
_must_check_ int buffer_append(Buffer *buffer, const void *data, size_t size);

/* Drops the first size bytes. */
void buffer_consume(Buffer *buffer, size_t size);

static inline Slice buffer_slice(const Buffer *buffer) {
        return (Slice){buffer->data, buffer->size};
}

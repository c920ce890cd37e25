#include "kit/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 256

void buffer_done(Buffer *buffer) {
        free(buffer->data);
        *buffer = BUFFER_INIT(buffer->limit);
}

int buffer_reserve(Buffer *buffer, size_t size) {
        size_t limit = buffer->limit ? buffer->limit : SIZE_MAX;
        size_t capacity;
        uint8_t *data;

        if (size > limit || buffer->size > limit - size)
                return -EMSGSIZE;
        if (buffer->size + size <= buffer->capacity)
                return 0;

        capacity = buffer->capacity ? buffer->capacity : CAPACITY_MIN;
        while (capacity < buffer->size + size)
                capacity = capacity > limit / 2 ? limit : capacity * 2;

        data = realloc(buffer->data, capacity);
        if (!data)
                return -ENOMEM;
        buffer->data = data;
        buffer->capacity = capacity;
        return 0;
}

int buffer_append(Buffer *buffer, const void *data, size_t size) {
        int r;

        if (size == 0)
                return 0;
        r = buffer_reserve(buffer, size);
        if (r < 0)
                return r;
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
        return 0;
}

void buffer_consume(Buffer *buffer, size_t size) {
        assert(size <= buffer->size);
        buffer->size -= size;
        if (buffer->size > 0)
                memmove(buffer->data, buffer->data + size, buffer->size);
}

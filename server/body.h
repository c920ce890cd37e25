#pragma once
/* body: the body of a request, wherever it lies: in memory, or, when it was large, in a file of the
 * server's own that has no name. */

#include <stdbool.h>
#include <sys/types.h>

#include "kit/bytes.h"

typedef struct Body {
        Slice memory; /* all of it, when fd is -1 */
        int fd;       /* -1, or where it lies, from offset 0 on; borrowed */
        uint64_t size;
} Body;

static inline Body body_in_memory(Slice bytes) {
        return (Body){.memory = bytes, .fd = -1, .size = bytes.size};
}

/* Copies bytes out, at most size and at most to the end; returns how many, or -errno. A file is
 * read, so this may block. */
_must_check_ ssize_t body_read(const Body *body, uint64_t offset, void *out, size_t size);

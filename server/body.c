#include "server/body.h"

#include <errno.h>
#include <unistd.h>

#include "kit/error.h"

ssize_t body_read(const Body *body, uint64_t offset, void *out, size_t size) {
        size_t copied = 0;

        if (offset >= body->size)
                return 0;
        if (size > body->size - offset)
                size = (size_t) (body->size - offset);
        if (body->fd < 0) {
                memcpy(out, body->memory.data + offset, size);
                return (ssize_t) size;
        }
        while (copied < size) {
                ssize_t n = pread(body->fd, (uint8_t *) out + copied, size - copied,
                                  (off_t) (offset + copied));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return raise_errno("read the body of a request");
                /* The file is ours, and shorter than we have written it. */
                if (n == 0)
                        return raise_error(-EIO, "read the body of a request");
                copied += (size_t) n;
        }
        return (ssize_t) copied;
}

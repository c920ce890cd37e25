/* encode_line: the part of encode.h that keeps an answer on one line. */

#include "server/api/encode.h"

/* The bytes of a character beyond ASCII that some libraries take for a line break: U+0085, U+2028
 * and U+2029. They stand in strings only, so an escape can take their place. Returns 0 when at is
 * none of them. */
static size_t line_separator(const uint8_t *at, const uint8_t *end) {
        if (end - at >= 2 && at[0] == 0xc2 && at[1] == 0x85)
                return 2;
        if (end - at >= 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9))
                return 3;
        return 0;
}

#define ESCAPE_SIZE 6 /* \uXXXX */

/* How much longer the text becomes when they are escaped. */
static size_t growth(const uint8_t *start, const uint8_t *end) {
        static const uint8_t leads[] = {0xc2, 0xe2};
        size_t more = 0;

        for (size_t i = 0; i < N_ELEMENTS(leads); i++) {
                const uint8_t *at = start;

                while (at < end && (at = memchr(at, leads[i], (size_t) (end - at)))) {
                        size_t size = line_separator(at, end);

                        more += size > 0 ? ESCAPE_SIZE - size : 0;
                        at++;
                }
        }
        return more;
}

static int escape_line_separators(Buffer *out, size_t offset) {
        size_t old_size = out->size;
        size_t more = growth(out->data + offset, out->data + old_size);
        const uint8_t *from;
        uint8_t *to;
        int r;

        if (more == 0)
                return 0;
        r = buffer_reserve(out, more);
        if (r < 0)
                return r;
        /* First to the end of the room, then forward, so that nothing is overwritten before it is
         * read. */
        memmove(out->data + offset + more, out->data + offset, old_size - offset);
        out->size += more;
        from = out->data + offset + more;
        to = out->data + offset;
        while (from < out->data + out->size) {
                size_t size = line_separator(from, out->data + out->size);

                if (size == 0) {
                        *to++ = *from++;
                        continue;
                }
                memcpy(to,
                       size == 2         ? "\\u0085"
                       : from[2] == 0xa8 ? "\\u2028"
                                         : "\\u2029",
                       ESCAPE_SIZE);
                to += ESCAPE_SIZE;
                from += size;
        }
        return 0;
}

int answer_make_one_line(Buffer *out, size_t offset) {
        for (int i = 0; i < 2; i++) {
                uint8_t *at = out->data + offset;
                uint8_t *end = out->data + out->size;

                while (at < end && (at = memchr(at, "\n\r"[i], (size_t) (end - at))))
                        *at++ = ' ';
        }
        return escape_line_separators(out, offset);
}

#include "kit/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(Slice slice, Buffer *out) {
        uint8_t *to;
        size_t i;
        int r;

        r = buffer_reserve(out, (slice.size + 2) / 3 * 4);
        if (r < 0)
                return r;
        to = out->data + out->size;

        for (i = 0; i + 2 < slice.size; i += 3) {
                const uint8_t *from = slice.data + i;

                *to++ = (uint8_t) alphabet[from[0] >> 2];
                *to++ = (uint8_t) alphabet[(from[0] & 3) << 4 | from[1] >> 4];
                *to++ = (uint8_t) alphabet[(from[1] & 15) << 2 | from[2] >> 6];
                *to++ = (uint8_t) alphabet[from[2] & 63];
        }
        if (i < slice.size) {
                uint8_t first = slice.data[i];
                uint8_t second = i + 1 < slice.size ? slice.data[i + 1] : 0;

                *to++ = (uint8_t) alphabet[first >> 2];
                *to++ = (uint8_t) alphabet[(first & 3) << 4 | second >> 4];
                *to++ = i + 1 < slice.size ? (uint8_t) alphabet[(second & 15) << 2] : '=';
                *to++ = '=';
        }
        out->size += (slice.size + 2) / 3 * 4;
        return 0;
}

static int sextet(uint8_t c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == '+')
                return 62;
        return c == '/' ? 63 : -1;
}

int base64_decode(Slice text, Buffer *out) {
        size_t padding = 0, used = 0;
        uint8_t *to;
        int r;

        if (text.size % 4 != 0)
                return -EINVAL;
        while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=')
                padding++;

        r = buffer_reserve(out, text.size / 4 * 3);
        if (r < 0)
                return r;
        if (text.size == 0)
                return 0;
        to = out->data + out->size;

        for (size_t i = 0; i < text.size; i += 4) {
                size_t n = i + 4 == text.size ? 4 - padding : 4;
                uint32_t bits = 0;

                for (size_t j = 0; j < 4; j++) {
                        int value = j < n ? sextet(text.data[i + j]) : 0;

                        if (value < 0)
                                return -EINVAL;
                        bits = bits << 6 | (uint32_t) value;
                }
                /* Bits past the last whole byte must be zero, or two texts would mean the same
                 * bytes. */
                if ((n == 2 && (bits & 0xffff)) || (n == 3 && (bits & 0xff)))
                        return -EINVAL;
                to[used++] = (uint8_t) (bits >> 16);
                if (n > 2)
                        to[used++] = (uint8_t) (bits >> 8);
                if (n > 3)
                        to[used++] = (uint8_t) bits;
        }
        out->size += used;
        return 0;
}

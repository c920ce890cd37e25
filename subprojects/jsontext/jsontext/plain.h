#pragma once
/* plain: classes of bytes that the parts of jsontext share. Not for its users. */

#include <endian.h>
#include <stdint.h>

#include "kit/bytes.h"

#define PLAIN_REPEAT(byte) ((uint64_t) (byte) *0x0101010101010101ULL)

/* White space between the tokens of a JSON text; no other byte is. */
static inline bool is_json_space(uint8_t c) {
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What a JSON string holds as it stands: ASCII from the space on (so DEL too), but neither quote
 * nor backslash. */
static inline bool is_plain(uint8_t c) {
        return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/*
 * Length of the longest plain prefix, eight bytes at a time. A byte minus a bound borrows into its
 * top bit when it is below that bound, and a byte from 0x80 on keeps that bit in at least one of
 * the three differences. A borrow can also mark bytes after it wrongly, but only after: in
 * little-endian order the lowest mark is always true.
 */
static inline size_t plain_prefix(Slice text) {
        size_t i = 0;

        for (; text.size - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
                uint64_t word, marks;

                memcpy(&word, text.data + i, sizeof(word));
                word = le64toh(word);
                marks = word - PLAIN_REPEAT(0x20);
                marks |= (word ^ PLAIN_REPEAT('"')) - PLAIN_REPEAT(1);
                marks |= (word ^ PLAIN_REPEAT('\\')) - PLAIN_REPEAT(1);
                marks &= PLAIN_REPEAT(0x80);
                if (marks)
                        return i + (size_t) __builtin_ctzll(marks) / 8;
        }
        while (i < text.size && is_plain(text.data[i]))
                i++;
        return i;
}

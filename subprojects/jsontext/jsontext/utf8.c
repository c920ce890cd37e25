#include "jsontext/utf8.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define HIGH_BITS 0x8080808080808080ULL

/* Length that the lead byte of a sequence announces; 0 for a byte that leads none, ASCII included.
 */
static size_t announced(uint8_t lead) {
        if (lead < 0xc2 || lead > 0xf4)
                return 0;
        if (lead < 0xe0)
                return 2;
        return lead < 0xf0 ? 3 : 4;
}

/* The second byte carries all that table 3-7 refuses: overlong forms, surrogates, and what lies
 * past U+10FFFF. */
static bool second_fits(uint8_t lead, uint8_t second) {
        switch (lead) {
        case 0xe0:
                return second >= 0xa0 && second <= 0xbf;
        case 0xed:
                return second >= 0x80 && second <= 0x9f;
        case 0xf0:
                return second >= 0x90 && second <= 0xbf;
        case 0xf4:
                return second >= 0x80 && second <= 0x8f;
        default:
                return second >= 0x80 && second <= 0xbf;
        }
}

/* How many bytes from the lead on fit together: the whole sequence when it is valid, else its
 * maximal subpart. */
static size_t fitting(const uint8_t *at, size_t size, size_t length) {
        size_t n = 1;

        if (n < size && n < length && second_fits(at[0], at[1])) {
                n++;
                while (n < size && n < length && (at[n] & 0xc0) == 0x80)
                        n++;
        }
        return n;
}

static size_t ascii_prefix(Slice text) {
        size_t i = 0;

        for (; text.size - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
                uint64_t word;

                memcpy(&word, text.data + i, sizeof(word));
                if (word & HIGH_BITS)
                        break;
        }
        while (i < text.size && text.data[i] < 0x80)
                i++;
        return i;
}

size_t utf8_valid_wide_prefix(Slice text) {
        size_t i = 0;

        while (i < text.size) {
                size_t length = announced(text.data[i]);

                if (length == 0 || fitting(text.data + i, text.size - i, length) < length)
                        break;
                i += length;
        }
        return i;
}

size_t utf8_valid_prefix(Slice text) {
        size_t i = 0;

        while (i < text.size) {
                size_t step;

                i += ascii_prefix(slice_of(text.data + i, text.size - i));
                if (i == text.size)
                        break;
                step = utf8_valid_wide_prefix(slice_of(text.data + i, text.size - i));
                if (step == 0)
                        break;
                i += step;
        }
        return i;
}

size_t utf8_bad_bytes(Slice text) {
        size_t length;

        assert(text.size > 0);
        length = announced(text.data[0]);
        return length == 0 ? 1 : fitting(text.data, text.size, length);
}

size_t utf8_unfinished_tail(Slice text) {
        for (size_t n = 1; n <= 3 && n <= text.size; n++) {
                const uint8_t *at = text.data + text.size - n;

                if ((at[0] & 0xc0) == 0x80)
                        continue;
                return announced(at[0]) > n && fitting(at, n, announced(at[0])) == n ? n : 0;
        }
        return 0;
}

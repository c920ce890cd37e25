/* unescape: the part of reader.h that looks inside strings. */

#include "server/api/reader.h"

#define NAME_MAX_COMPARED 32

static unsigned hex_value(uint8_t c) {
        if (c <= '9')
                return c - '0';
        return (c | 0x20) - 'a' + 10U;
}

/* The code unit of \uXXXX at text, which the scanner has proven to be complete. */
static uint32_t code_unit(const uint8_t *text) {
        return hex_value(text[2]) << 12 | hex_value(text[3]) << 8 | hex_value(text[4]) << 4 |
               hex_value(text[5]);
}

static size_t put_utf8(uint32_t point, uint8_t *out) {
        if (point < 0x80) {
                out[0] = (uint8_t) point;
                return 1;
        }
        if (point < 0x800) {
                out[0] = (uint8_t) (0xc0 | point >> 6);
                out[1] = (uint8_t) (0x80 | (point & 0x3f));
                return 2;
        }
        if (point < 0x10000) {
                out[0] = (uint8_t) (0xe0 | point >> 12);
                out[1] = (uint8_t) (0x80 | (point >> 6 & 0x3f));
                out[2] = (uint8_t) (0x80 | (point & 0x3f));
                return 3;
        }
        out[0] = (uint8_t) (0xf0 | point >> 18);
        out[1] = (uint8_t) (0x80 | (point >> 12 & 0x3f));
        out[2] = (uint8_t) (0x80 | (point >> 6 & 0x3f));
        out[3] = (uint8_t) (0x80 | (point & 0x3f));
        return 4;
}

/* Reads \uXXXX, or the two of a surrogate pair, at the start of text; returns how many bytes that
 * were. */
static size_t unescape_point(Slice text, uint32_t *ret_point, bool *ret_lone) {
        uint32_t unit = code_unit(text.data), second;

        *ret_point = unit;
        if (unit < 0xd800 || unit > 0xdfff)
                return 6;
        if (unit < 0xdc00 && text.size >= 12 && text.data[6] == '\\' && text.data[7] == 'u') {
                second = code_unit(text.data + 6);
                if (second >= 0xdc00 && second <= 0xdfff) {
                        *ret_point = 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
                        return 12;
                }
        }
        *ret_point = 0xfffd;
        *ret_lone = true;
        return 6;
}

static uint8_t unescape_letter(uint8_t letter) {
        switch (letter) {
        case 'b':
                return '\b';
        case 'f':
                return '\f';
        case 'n':
                return '\n';
        case 'r':
                return '\r';
        case 't':
                return '\t';
        default:
                return letter; /* the quote, the slash and the backslash stand for themselves */
        }
}

size_t reader_unescape(Slice inside, uint8_t *out, bool *ret_lone) {
        size_t used = 0, i = 0;
        bool lone = false;

        while (i < inside.size) {
                const uint8_t *from = inside.data + i;
                const uint8_t *escape = memchr(from, '\\', inside.size - i);
                size_t plain = escape ? (size_t) (escape - from) : inside.size - i;
                uint32_t point;

                memcpy(out + used, from, plain);
                used += plain;
                i += plain;
                if (!escape)
                        break;
                if (escape[1] != 'u') {
                        out[used++] = unescape_letter(escape[1]);
                        i += 2;
                        continue;
                }
                i += unescape_point(slice_of(escape, inside.size - i), &point, &lone);
                used += put_utf8(point, out + used);
        }
        if (ret_lone)
                *ret_lone = lone;
        return used;
}

static size_t smallest(size_t a, size_t b, size_t c) {
        size_t ab = a < b ? a : b;

        return ab < c ? ab : c;
}

/* How many letters have to be put in, taken out or changed (Levenshtein); both are at most
 * NAME_MAX_COMPARED long. */
static size_t distance(Slice a, Slice b) {
        size_t row[NAME_MAX_COMPARED + 1];

        for (size_t j = 0; j <= b.size; j++)
                row[j] = j;
        for (size_t i = 1; i <= a.size; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= b.size; j++) {
                        size_t above = row[j];
                        bool same = (a.data[i - 1] | 0x20) == (b.data[j - 1] | 0x20);

                        row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1));
                        diagonal = above;
                }
        }
        return row[b.size];
}

const char *reader_nearest(Slice name, const Member *members, size_t n_members) {
        const char *nearest = NULL;
        size_t best = 3;

        if (name.size == 0 || name.size > NAME_MAX_COMPARED)
                return NULL;
        for (size_t i = 0; i < n_members; i++) {
                Slice candidate = slice_of_text(members[i].name);
                size_t far = distance(name, candidate);

                /* Short names are all near to one another; at most half of the letters may be
                 * wrong. */
                if (far < best && 2 * far <= candidate.size) {
                        best = far;
                        nearest = members[i].name;
                }
        }
        return nearest;
}

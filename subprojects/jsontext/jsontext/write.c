#include "jsontext/write.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jsontext/plain.h"
#include "jsontext/utf8.h"
#include "kit/base64.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

#define DECIMAL_DIGITS_MAX 17

/* A sign, the 309 digits of DBL_MAX, and NUL. */
#define WHOLE_SIZE 311

static void put(JsonWriter *writer, const void *data, size_t size) {
        if (writer->error == 0)
                writer->error = buffer_append(writer->out, data, size);
}

static void put_byte(JsonWriter *writer, char c) {
        put(writer, &c, 1);
}

/* Every item passes through here: a comma when one stands before it, and one wanted after it. */
static void begin_item(JsonWriter *writer) {
        if (writer->comma)
                put_byte(writer, ',');
        writer->comma = true;
}

static void open_container(JsonWriter *writer, char bracket) {
        begin_item(writer);
        put_byte(writer, bracket);
        writer->comma = false;
}

static void close_container(JsonWriter *writer, char bracket) {
        put_byte(writer, bracket);
        writer->comma = true;
}

void json_begin_object(JsonWriter *writer) {
        open_container(writer, '{');
}

void json_end_object(JsonWriter *writer) {
        close_container(writer, '}');
}

void json_begin_array(JsonWriter *writer) {
        open_container(writer, '[');
}

void json_end_array(JsonWriter *writer) {
        close_container(writer, ']');
}

void json_key(JsonWriter *writer, const char *name) {
        Slice text = slice_of_text(name);

        assert(plain_prefix(text) == text.size);
        begin_item(writer);
        put_byte(writer, '"');
        put(writer, text.data, text.size);
        put(writer, "\":", 2);
        writer->comma = false;
}

static void put_escape(JsonWriter *writer, uint8_t c) {
        static const char hex[] = "0123456789abcdef";
        static const char letters[0x20] = {
                ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
        };
        char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

        if (c == '"' || c == '\\')
                escape[1] = (char) c;
        else if (letters[c])
                escape[1] = letters[c];
        put(writer, escape, escape[1] == 'u' ? 6 : 2);
}

static Slice after(Slice text, size_t size) {
        /* A pointer that may be NULL must not be moved, not even by nothing. */
        return size == 0 ? text : slice_of(text.data + size, text.size - size);
}

/* What stands between the quotes. */
static void put_text(JsonWriter *writer, Slice text) {
        /* Nothing comes out shorter than it went in, so this cannot fail where the whole would have
         * fitted. */
        if (writer->error == 0)
                writer->error = buffer_reserve(writer->out, text.size);

        while (text.size > 0 && writer->error == 0) {
                size_t size = plain_prefix(text);

                if (size == 0 && text.data[0] >= 0x80)
                        size = utf8_valid_wide_prefix(text);
                if (size > 0) {
                        put(writer, text.data, size);
                } else if (text.data[0] < 0x80) {
                        put_escape(writer, text.data[0]);
                        size = 1;
                } else {
                        put(writer, REPLACEMENT, strlen(REPLACEMENT));
                        size = utf8_bad_bytes(text);
                }
                text = after(text, size);
        }
}

void json_text(JsonWriter *writer, Slice text) {
        begin_item(writer);
        put_byte(writer, '"');
        put_text(writer, text);
        put_byte(writer, '"');
}

/* A sequence that the head begins is finished with the first bytes of the tail, or fails together
 * with them. */
static void put_joined(JsonWriter *writer, Slice head, Slice tail) {
        size_t unfinished = utf8_unfinished_tail(head);
        size_t borrowed = tail.size < 3 ? tail.size : 3;
        uint8_t bytes[6];
        Slice seam = slice_of(bytes, unfinished + borrowed);

        put_text(writer, slice_of(head.data, head.size - unfinished));
        if (unfinished > 0) {
                memcpy(bytes, head.data + head.size - unfinished, unfinished);
                if (borrowed > 0)
                        memcpy(bytes + unfinished, tail.data, borrowed);
                /* This is the length of a sequence that is valid, too: all of its bytes fit
                 * together. */
                seam.size = utf8_bad_bytes(seam);
                put_text(writer, seam);
                tail = after(tail, seam.size - unfinished);
        }
        put_text(writer, tail);
}

/* Bytes at the start that only continue a sequence whose lead is missing: 0 to 3. */
static size_t orphans(Slice text) {
        size_t n = 0;

        while (n < 3 && n < text.size && (text.data[n] & 0xc0) == 0x80)
                n++;
        return n;
}

void json_text_pieces(JsonWriter *writer, Slice head, Slice between, Slice tail) {
        begin_item(writer);
        put_byte(writer, '"');
        if (between.size == 0) {
                put_joined(writer, head, tail);
        } else {
                size_t cut = orphans(tail);

                put_text(writer, head);
                put_text(writer, between);
                if (cut > 0)
                        put(writer, REPLACEMENT, strlen(REPLACEMENT));
                put_text(writer, after(tail, cut));
        }
        put_byte(writer, '"');
}

static void put_base64(JsonWriter *writer, Slice bytes) {
        if (writer->error == 0)
                writer->error = base64_encode(bytes, writer->out);
}

void json_base64(JsonWriter *writer, Slice head, Slice tail) {
        /* Padding may stand at the end only, so the pieces are parted where a group of three ends.
         */
        size_t left = head.size % 3;
        size_t borrowed = left == 0 ? 0 : 3 - left;
        uint8_t group[3];

        if (borrowed > tail.size)
                borrowed = tail.size;

        begin_item(writer);
        put_byte(writer, '"');
        put_base64(writer, slice_of(head.data, head.size - left));
        if (left > 0) {
                memcpy(group, head.data + head.size - left, left);
                if (borrowed > 0)
                        memcpy(group + left, tail.data, borrowed);
                put_base64(writer, slice_of(group, left + borrowed));
        }
        put_base64(writer, after(tail, borrowed));
        put_byte(writer, '"');
}

void json_literal(JsonWriter *writer, const char *text) {
        json_text(writer, slice_of_text(text));
}

/* Writes number in decimal so that it ends just before `end`; returns where it begins. */
static char *digits_before(char *end, uint64_t number) {
        do {
                *--end = (char) ('0' + number % 10);
                number /= 10;
        } while (number > 0);
        return end;
}

void json_integer(JsonWriter *writer, int64_t value) {
        char text[20]; /* INT64_MIN: a sign and 19 digits */
        char *end = text + sizeof(text);
        char *start = digits_before(end, value < 0 ? -(uint64_t) value : (uint64_t) value);

        if (value < 0)
                *--start = '-';
        begin_item(writer);
        put(writer, start, (size_t) (end - start));
}

/* printf() would take the point from the locale. */
static void put_decimal(JsonWriter *writer, double size, bool negative, int digits) {
        char text[1 + 16 + 1 + DECIMAL_DIGITS_MAX]; /* sign, the digits of 2^53, point, fraction */
        char *end = text + sizeof(text), *point = end - digits, *start;
        uint64_t whole = (uint64_t) size, scale = 1, fraction;

        for (int i = 0; i < digits; i++)
                scale *= 10;
        /* What is left after the whole is exact; only the scaling rounds. */
        fraction = (uint64_t) ((size - (double) whole) * (double) scale + 0.5);
        if (fraction >= scale) {
                whole++;
                fraction -= scale;
        }
        negative = negative && (whole > 0 || fraction > 0);

        memset(point, '0', (size_t) digits);
        if (fraction > 0)
                (void) digits_before(end, fraction);
        while (end > point && end[-1] == '0')
                end--;
        start = point;
        if (end > point)
                *--start = '.';
        else
                end = start;
        start = digits_before(start, whole);
        if (negative)
                *--start = '-';
        put(writer, start, (size_t) (end - start));
}

void json_decimal(JsonWriter *writer, double value, int digits) {
        char text[WHOLE_SIZE];

        assert(digits >= 0 && digits <= DECIMAL_DIGITS_MAX);
        if (!isfinite(value)) {
                json_null(writer);
                return;
        }

        begin_item(writer);
        if (fabs(value) < 0x1p53) {
                put_decimal(writer, fabs(value), value < 0, digits);
                return;
        }
        /* From 2^53 on a double has no fraction, so there is no point to write either. */
        put(writer, text, (size_t) snprintf(text, sizeof(text), "%.0f", value));
}

void json_boolean(JsonWriter *writer, bool value) {
        json_raw(writer, value ? SLICE_LITERAL("true") : SLICE_LITERAL("false"));
}

void json_null(JsonWriter *writer) {
        json_raw(writer, SLICE_LITERAL("null"));
}

void json_raw(JsonWriter *writer, Slice document) {
        begin_item(writer);
        put(writer, document.data, document.size);
}

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

/* The 309 digits of DBL_MAX, more than those of 2^53 scaled, and NUL. */
#define DECIMAL_SIZE 310

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

void json_integer(JsonWriter *writer, int64_t value) {
        char digits[20]; /* INT64_MIN: a sign and 19 digits */
        uint64_t rest = value < 0 ? -(uint64_t) value : (uint64_t) value;
        size_t at = sizeof(digits);

        do {
                digits[--at] = (char) ('0' + rest % 10);
                rest /= 10;
        } while (rest > 0);
        if (value < 0)
                digits[--at] = '-';

        begin_item(writer);
        put(writer, digits + at, sizeof(digits) - at);
}

void json_decimal(JsonWriter *writer, double value, int digits) {
        char text[DECIMAL_SIZE];
        double scale = 1;
        size_t size, whole;

        assert(digits >= 0 && digits <= DECIMAL_DIGITS_MAX);
        if (!isfinite(value)) {
                json_null(writer);
                return;
        }

        /* From 2^53 on a double has no fraction, and scaling it might leave its range. */
        if (fabs(value) >= 0x1p53)
                digits = 0;
        for (int i = 0; i < digits; i++)
                scale *= 10;
        /* Without a fraction, printf() has no use for the point of the locale; the zeros before the
         * number are those that stand behind the point. */
        size = (size_t) snprintf(text, sizeof(text), "%0*.0f", digits + 1, fabs(value) * scale);
        whole = size - (size_t) digits;
        while (size > whole && text[size - 1] == '0')
                size--;

        begin_item(writer);
        if (value < 0 && strspn(text, "0") < size)
                put_byte(writer, '-');
        put(writer, text, whole);
        if (size > whole) {
                put_byte(writer, '.');
                put(writer, text + whole, size - whole);
        }
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

#pragma once
/*
 * write: appends JSON to a Buffer, one token at a time; the caller says where commas go by saying
 * what comes next. The writer remembers the first failure and does nothing after it, so that only
 * the end needs a check; what the buffer holds then is cut somewhere and of no use.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kit/bytes.h"

typedef struct JsonWriter {
        Buffer *out;
        int error;  /* first failure of the buffer (-EMSGSIZE, -ENOMEM), or 0 */
        bool comma; /* the next item needs one before it */
} JsonWriter;

#define JSON_WRITER(out_) ((JsonWriter){.out = (out_)})

void json_begin_object(JsonWriter *writer);
void json_end_object(JsonWriter *writer);
void json_begin_array(JsonWriter *writer);
void json_end_array(JsonWriter *writer);

/* A member's name; plain ASCII that needs no escape. The value follows. */
void json_key(JsonWriter *writer, const char *name);

/* Bytes as a string; what is not valid UTF-8 becomes U+FFFD, one for each maximal subpart (Unicode
 * 15, §3.9). */
void json_text(JsonWriter *writer, Slice text);

/* Two pieces as one string, for a head and a tail. When between is empty nothing is missing, and a
 * character that lies across the seam comes out whole. Else between stands for what was cut out: a
 * character that the cut divided becomes one U+FFFD at the end of the head, one at the beginning of
 * the tail. */
void json_text_pieces(JsonWriter *writer, Slice head, Slice between, Slice tail);

/* The bytes of head and tail, as if they were one, as a string in base64. */
void json_base64(JsonWriter *writer, Slice head, Slice tail);

/* A NUL-terminated string, escaped as json_text() does. */
void json_literal(JsonWriter *writer, const char *text);

void json_integer(JsonWriter *writer, int64_t value);

/* A number with at most that many digits (0 to 17) after the point, without zeros at its end,
 * whatever the locale. NaN and infinities become null. */
void json_decimal(JsonWriter *writer, double value, int digits);

void json_boolean(JsonWriter *writer, bool value);
void json_null(JsonWriter *writer);

/* A document that has passed json_check(), as it stands. */
void json_raw(JsonWriter *writer, Slice document);

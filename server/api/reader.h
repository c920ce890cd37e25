#pragma once
/*
 * reader: takes the JSON body of a request into C. It works on the bytes where they lie: a string
 * without escapes is a slice of the body, one with escapes is written once, into a store that the
 * reader owns. Every failure leaves an HTTP status, the path of the member at fault and a sentence
 * for the client.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jsontext/scan.h"
#include "kit/bytes.h"

#define READER_FIELD_MAX 96
#define READER_TEXT_MAX  384

/* Why a body cannot be used, for the client. */
typedef struct ReaderError {
        int status; /* 400: not JSON, or unclear; 422: JSON of the wrong shape; 503: no memory */
        char field[READER_FIELD_MAX]; /* "limits.wall_ms", "files[2].path"; empty: the body as a
                                         whole */
        char text[READER_TEXT_MAX];
} ReaderError;

typedef struct Reader {
        Slice body;
        uint8_t *texts; /* unescaped strings and decoded bytes, made when the first one comes */
        size_t texts_used;
        ReaderError error; /* valid after a failure only */
} Reader;

/* Proves that body is one JSON object. Slices that the reader gives out point into body or into the
 * reader. */
bool reader_start(Reader *reader, Slice body);
/* Frees the texts; the error stays. Takes a zeroed reader. */
void reader_done(Reader *reader);

/* Sets the error; returns false for the caller to pass on. field may be "". */
bool reader_fail(Reader *reader, int status, const char *field, const char *format, ...)
        __attribute__((format(printf, 4, 5), cold));
/* Puts a formatted prefix before the error's field, on the way out of a nested value; returns
 * false. */
bool reader_inside(Reader *reader, const char *format, ...)
        __attribute__((format(printf, 2, 3), cold));

/* One member of an object that is read by a table. */
typedef bool (*MemberRead)(Reader *reader, void *target, const JsonItem *item);
typedef struct Member {
        const char *name;
        MemberRead read; /* not called for null, which means the same as absent */
} Member;

#define READER_MEMBERS_MAX 32

/* Calls read for each member in the order of the text. The same member twice is refused (400); one
 * that is in no table is refused with the nearest name (422), or skipped when ignore_unknown. */
bool reader_object(Reader *reader, Slice object, const Member *members, size_t n_members,
                   bool ignore_unknown, void *target);

/* The text of a string; bytes, UTF-8, NUL allowed. Half a surrogate pair is refused (400). */
bool reader_text(Reader *reader, const JsonItem *item, const char *field, Slice *ret_text);
/* As reader_text(), of a key. */
bool reader_key(Reader *reader, const JsonItem *item, const char *field, Slice *ret_key);
/* The bytes that a string of base64 stands for. */
bool reader_base64(Reader *reader, const JsonItem *item, const char *field, Slice *ret_bytes);
/* A whole number from minimum to maximum, written in digits alone. */
bool reader_whole_number(Reader *reader, const JsonItem *item, const char *field, uint64_t minimum,
                         uint64_t maximum, uint64_t *ret_number);

/* Fails unless the item is of that kind. */
bool reader_expect(Reader *reader, const JsonItem *item, JsonKind kind, const char *field);
/* The number of items of an array or object; fails above maximum. */
bool reader_count(Reader *reader, const JsonItem *item, const char *field, size_t maximum,
                  size_t *ret_count);
/* calloc() whose failure is a 503. */
void *reader_allocate(Reader *reader, size_t count, size_t size);

/* Writes the text of a string's inside (without its quotes) to out, which has room for inside.size
 * bytes; returns its length. Half a surrogate pair becomes U+FFFD, and sets *ret_lone unless that
 * is NULL. */
size_t reader_unescape(Slice inside, uint8_t *out, bool *ret_lone);

/* The name that was most likely meant, or NULL. */
const char *reader_nearest(Slice name, const Member *members, size_t n_members);

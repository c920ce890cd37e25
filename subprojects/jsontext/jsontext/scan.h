#pragma once
/*
 * scan: finds where things are in a JSON text (RFC 8259) without turning it into a tree. A document
 * that Python will read (any number of digits, any nesting up to a bound) is passed on as the bytes
 * it came in, so it has to be proven well-formed first: a request's `data`, and every document that
 * a worker sends, which may be hostile. No recursion, no allocation, time linear in the size.
 */

#include <stdbool.h>
#include <stddef.h>

#include "kit/bytes.h"

/* CPython's json recurses for each level and gives up near sys.getrecursionlimit(), 1000 by
 * default; what passes here must not fail there. */
#define JSON_DEPTH_MAX 256

typedef enum JsonProblem {
        JSON_FINE,
        JSON_EMPTY,      /* nothing but white space */
        JSON_SYNTAX,     /* a character that cannot stand there */
        JSON_TRUNCATED,  /* ends in the middle of a value */
        JSON_TRAILING,   /* something follows the value */
        JSON_TOO_DEEP,   /* nested more than JSON_DEPTH_MAX */
        JSON_BAD_UTF8,   /* also a sequence that the end of the text cuts */
        JSON_BAD_ESCAPE, /* a backslash and something other than RFC 8259 §7 lists, or \u cut by the
                            end */
        JSON_LONE_SURROGATE, /* \ud800 without its pair; only where it is refused */
        JSON_CONTROL,        /* a control character (below U+0020) inside a string */
} JsonProblem;

typedef enum JsonKind {
        JSON_OBJECT,
        JSON_ARRAY,
        JSON_STRING,
        JSON_NUMBER, /* NaN and the infinities too, where they are allowed */
        JSON_TRUE,
        JSON_FALSE,
        JSON_NULL,
} JsonKind;

typedef struct JsonError {
        JsonProblem problem;
        size_t offset; /* byte at which it was noticed; the size of the text when it ends too early
                        */
} JsonError;

typedef enum JsonFlag {
        JSON_REFUSE_LONE_SURROGATES = 1 << 0,
        JSON_ALLOW_NAN =
                1 << 1, /* NaN, Infinity, -Infinity, as Python's json writes and reads them */
} JsonFlag;

/* Proves that text is exactly one JSON value with optional white space around it. Equal keys of one
 * object pass, as RFC 8259 §4 allows; a byte order mark does not. */
JsonError json_check(Slice text, unsigned flags);

/* As json_check(), and the value must be of that kind. */
bool json_is(Slice text, JsonKind kind, unsigned flags);

/* One sentence, without a final full stop, for instance "a value ends in the middle". */
const char *json_problem_text(JsonProblem problem);

/* The kind of a checked value. */
JsonKind json_kind(Slice text);

/* The members of an object or the elements of an array whose text has passed json_check(), in
 * order. */
typedef struct JsonCursor {
        Slice rest;
        JsonKind container;
} JsonCursor;

typedef struct JsonItem {
        Slice key;            /* between the quotes, escapes as they stand; empty in an array */
        bool key_has_escapes; /* then compare only after decoding: "\u0061" is "a" */
        Slice value;          /* from its first to its last byte; json_check() holds for it too */
        JsonKind kind;
} JsonItem;

/* Returns false when text is neither an object nor an array. */
bool json_enter(Slice text, JsonCursor *ret_cursor);

/* Returns false when there is no further item. Reads inside the text even when it was never
 * checked. */
bool json_next(JsonCursor *cursor, JsonItem *ret_item);

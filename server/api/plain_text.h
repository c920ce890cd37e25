#pragma once
/* plain_text: what came of a run as text, for the APIs that answer with text alone. All of them
 * append, and return as buffer_append(). */

#include "jsontext/write.h"
#include "pool/run.h"

/* A stream; where it was cut, with a marker. */
_must_check_ int plain_text_stream(Buffer *out, const RunOutput *output);

/* "text/plain" of a value or a display, which may have none. */
_must_check_ int plain_text_document(Buffer *out, Slice document);

/* Whether the program did what it wanted to. */
bool plain_text_is_success(const RunResult *result);

/* Why it did not: a traceback, "Type: message" or a sentence. */
_must_check_ int plain_text_failure(Buffer *out, const RunResult *result);

/* A line break, unless out is empty or ends with one. */
_must_check_ int plain_text_end_line(Buffer *out);

/* Writes the lines of a text as an array of strings. What follows the last line break is one, too,
 * unless it is empty. */
void plain_text_write_lines(JsonWriter *writer, Slice text);

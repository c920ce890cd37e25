#pragma once
/* encode: what came of a run, as the native API says it. */

#include "kit/bytes.h"
#include "pool/run.h"

typedef struct AnswerOptions {
        const char *id;       /* of the run */
        bool base64;          /* stdout and stderr as bytes */
        bool variables;       /* they were asked for */
        bool without_streams; /* the client has had stdout, stderr, displays and result as events */
} AnswerOptions;

/* Appends the JSON object of the answer; it holds no raw line break, whatever a worker has sent.
 * Returns as buffer_append(). The run must not have been refused. */
_must_check_ int answer_encode(const RunResult *result, const AnswerOptions *options, Buffer *out);

/* Why a run that raised no exception did not end well, in a sentence for its author: limits,
 * crashes, our own failures. False, and nothing is written, for a run that ended as its program
 * wished or with an exception. */
bool answer_explain(const RunResult *result, char *ret_text, size_t size);
#define ANSWER_EXPLANATION_MAX 256

/* What stands between the head and the tail of output that was cut; empty when it was not. */
#define ANSWER_MARKER_MAX 64
Slice answer_marker(const RunOutput *output, char *ret_text, size_t size);

/* Makes every raw line break from offset on a space. In JSON one can only stand between tokens,
 * where a worker may have put it to end an event or a line early. */
void answer_flatten(Buffer *out, size_t offset);

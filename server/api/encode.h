#pragma once
/* encode: what came of a run, as the native API says it. */

#include "kit/bytes.h"
#include "pool/run.h"

typedef struct AnswerOptions {
        const char *id;         /* of the run */
        bool base64;            /* stdout and stderr as bytes */
        bool variables;         /* they were asked for */
        const char *session_id; /* of the session, for a run in one */
        bool without_streams; /* the client has had stdout, stderr, displays and result as events */
} AnswerOptions;

/* Appends the JSON object of the answer, on one line, whatever a worker has sent.
 * Returns as buffer_append(). The run must not have been refused. */
_must_check_ int answer_encode(const RunResult *result, const AnswerOptions *options, Buffer *out);

/* Why a run that raised no exception did not end well, in a sentence for its author: limits,
 * crashes, our own failures. False, and nothing is written, for a run that ended as its program
 * wished or with an exception. */
bool answer_explain(const RunResult *result, char *ret_text, size_t size);
#define ANSWER_EXPLANATION_MAX 256

/* What stands in error.type of such a run: "Timeout", "Crash", …; NULL for the others. */
const char *answer_verdict_type(RunStatus status);

/* What stands between the head and the tail of output that was cut; empty when it was not. */
#define ANSWER_MARKER_MAX 64
Slice answer_marker(const RunOutput *output, char *ret_text, size_t size);

/* What stands where displays were dropped, for readers of text: RunResult.displays_truncated. */
#define ANSWER_DISPLAYS_LEFT_OUT                                                                   \
        "\u2026 further displays are left out: they were too many, or too large \u2026"

/* Makes the JSON from offset on one line for every reader: a raw line break, which can only stand
 * between tokens, becomes a space, and U+0085, U+2028 and U+2029, at which Python's
 * str.splitlines() breaks too, become escapes. A worker may have put any of them there to end an
 * event or a line of a batch early and begin one of its own. Returns as buffer_append(). */
_must_check_ int answer_make_one_line(Buffer *out, size_t offset);

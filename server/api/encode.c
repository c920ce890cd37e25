#include "server/api/encode.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "jsontext/write.h"
#include "kit/clock.h"

/* The smallest answers fit, so that most runs cost one allocation. */
#define ANSWER_ROOM 1536

static double milliseconds(uint64_t ns) {
        return (double) ns / (double) NS_PER_MS;
}

/* 1234567 → 1,234,567 */
static void group_digits(uint64_t number, char *text, size_t size) {
        char digits[24];
        int n = snprintf(digits, sizeof(digits), "%" PRIu64, number);
        size_t used = 0;

        for (int i = 0; i < n && used + 2 < size; i++) {
                if (i > 0 && (n - i) % 3 == 0)
                        text[used++] = ',';
                text[used++] = digits[i];
        }
        text[used] = '\0';
}

Slice answer_marker(const RunOutput *output, char *ret_text, size_t size) {
        uint64_t kept = output->head.size + output->tail.size;
        char number[32];

        if (!output->truncated || output->total_bytes <= kept)
                return SLICE_NULL;
        group_digits(output->total_bytes - kept, number, sizeof(number));
        (void) snprintf(ret_text, size, "\n[\u2026 %s bytes left out \u2026]\n", number);
        return slice_of_text(ret_text);
}

static void write_stream(JsonWriter *writer, const RunOutput *output, bool base64) {
        char marker[ANSWER_MARKER_MAX];

        if (base64)
                json_base64(writer, output->head, output->tail);
        else
                json_text_pieces(writer, output->head,
                                 answer_marker(output, marker, sizeof(marker)), output->tail);
}

static void write_streams(JsonWriter *writer, const RunResult *result,
                          const AnswerOptions *options) {
        json_key(writer, "stdout");
        write_stream(writer, &result->output[RUN_STDOUT], options->base64);
        json_key(writer, "stderr");
        write_stream(writer, &result->output[RUN_STDERR], options->base64);
}

static void write_truncated(JsonWriter *writer, const RunResult *result) {
        json_key(writer, "truncated");
        json_begin_object(writer);
        json_key(writer, "stdout");
        json_boolean(writer, result->output[RUN_STDOUT].truncated);
        json_key(writer, "stderr");
        json_boolean(writer, result->output[RUN_STDERR].truncated);
        if (result->displays_truncated) {
                json_key(writer, "displays");
                json_boolean(writer, true);
        }
        json_end_object(writer);
}

static void write_document(JsonWriter *writer, Slice document) {
        if (document.size > 0)
                json_raw(writer, document);
        else
                json_null(writer);
}

static void write_values(JsonWriter *writer, const RunResult *result) {
        json_key(writer, "result");
        write_document(writer, result->value);
        json_key(writer, "displays");
        json_begin_array(writer);
        for (size_t i = 0; i < result->n_displays; i++)
                json_raw(writer, result->displays[i]);
        json_end_array(writer);
}

static void write_variables(JsonWriter *writer, const RunResult *result, bool wanted) {
        json_key(writer, "variables");
        if (!wanted) {
                json_null(writer);
                return;
        }
        json_raw(writer, result->variables.size > 0 ? result->variables : SLICE_LITERAL("{}"));
        json_key(writer, "variables_repr");
        json_raw(writer,
                 result->variables_repr.size > 0 ? result->variables_repr : SLICE_LITERAL("[]"));
}

static void write_files(JsonWriter *writer, const RunResult *result) {
        json_key(writer, "files");
        json_begin_array(writer);
        for (size_t i = 0; i < result->n_files; i++) {
                const RunCollected *file = &result->files[i];

                json_begin_object(writer);
                json_key(writer, "path");
                json_text(writer, file->path);
                json_key(writer, "size");
                json_integer(writer, (int64_t) file->size);
                if (file->skipped) {
                        json_key(writer, "skipped");
                        json_literal(writer, file->skipped);
                } else {
                        json_key(writer, "content_base64");
                        json_base64(writer, file->content, SLICE_NULL);
                }
                json_end_object(writer);
        }
        json_end_array(writer);
        if (result->files_truncated) {
                json_key(writer, "files_truncated");
                json_boolean(writer, true);
        }
}

const char *answer_verdict_type(RunStatus status) {
        switch (status) {
        case RUN_TIMEOUT:
                return "Timeout";
        case RUN_CPU_LIMIT:
                return "CpuLimit";
        case RUN_MEMORY_LIMIT:
                return "MemoryLimit";
        case RUN_OUTPUT_LIMIT:
                return "OutputLimit";
        case RUN_VIOLATION:
                return "Violation";
        case RUN_CRASHED:
                return "Crash";
        case RUN_CANCELLED:
                return "Cancelled";
        case RUN_LOST:
                return "Lost";
        case RUN_OK:
        case RUN_ERROR:
        case RUN_EXIT:
        case _RUN_STATUSES:
                break;
        }
        return NULL;
}

static void explain_signal(const RunResult *result, char *ret_text, size_t size) {
        const char *name = sigabbrev_np(result->signal);

        if (result->signal == 0)
                (void) snprintf(ret_text, size,
                                "The interpreter ended without handing over a result, or broke the "
                                "channel that carries it.");
        else
                (void) snprintf(ret_text, size, "The interpreter crashed with signal %d (SIG%s).",
                                result->signal, name ? name : "?");
}

static void explain_excess(const RunResult *result, char *ret_text, size_t size) {
        const uint64_t *limits = result->limits.of;

        switch (result->excess) {
        case RUN_EXCESS_OUTPUT:
                (void) snprintf(ret_text, size,
                                "The run was ended when it wrote more than %" PRIu64
                                " bytes to one of its streams.",
                                limits[LIMIT_OUTPUT_BYTES]);
                return;
        case RUN_EXCESS_FILES:
                (void) snprintf(ret_text, size,
                                "The run was ended when it had more than %" PRIu64
                                " MB of files%s.",
                                limits[LIMIT_DISK_MB],
                                result->session.is_in_session
                                        ? ", or more files than a session may have (session-files)"
                                        : "");
                return;
        case RUN_EXCESS_DISK:
                (void) snprintf(ret_text, size,
                                "The run was ended because it went on writing when the server's "
                                "disk was nearly full (state-reserve-mb).");
                return;
        case RUN_EXCESS_NONE:
        case _RUN_EXCESSES:
                break;
        }
        assert(false);
}

bool answer_explain(const RunResult *result, char *ret_text, size_t size) {
        const uint64_t *limits = result->limits.of;

        switch (result->status) {
        case RUN_OK:
        case RUN_ERROR:
        case RUN_EXIT:
        case _RUN_STATUSES:
                return false;
        case RUN_TIMEOUT:
                (void) snprintf(ret_text, size,
                                "The run was ended after %" PRIu64 " ms of wall time.",
                                limits[LIMIT_WALL_MS]);
                return true;
        case RUN_CPU_LIMIT:
                (void) snprintf(ret_text, size,
                                "The run was ended after %" PRIu64 " ms of processor time.",
                                limits[LIMIT_CPU_MS]);
                return true;
        case RUN_MEMORY_LIMIT:
                (void) snprintf(ret_text, size,
                                "The run needed more than its %" PRIu64 " MB of memory.",
                                limits[LIMIT_MEMORY_MB]);
                return true;
        case RUN_OUTPUT_LIMIT:
                explain_excess(result, ret_text, size);
                return true;
        case RUN_VIOLATION:
                (void) snprintf(ret_text, size,
                                "The run was ended at a system call that is forbidden here.");
                return true;
        case RUN_CRASHED:
                explain_signal(result, ret_text, size);
                return true;
        case RUN_CANCELLED:
                (void) snprintf(ret_text, size, "The run was cancelled.");
                return true;
        case RUN_LOST:
                (void) snprintf(ret_text, size,
                                "The server lost the run through a failure of its own; it may be "
                                "sent again.");
                return true;
        }
        return false;
}

static void write_error_object(JsonWriter *writer, Slice type, Slice message, Slice traceback,
                               uint32_t line) {
        json_begin_object(writer);
        json_key(writer, "type");
        json_text(writer, type);
        json_key(writer, "message");
        json_text(writer, message);
        json_key(writer, "traceback");
        if (traceback.size > 0)
                json_text(writer, traceback);
        else
                json_null(writer);
        json_key(writer, "line");
        if (line > 0)
                json_integer(writer, line);
        else
                json_null(writer);
        json_end_object(writer);
}

static void write_error(JsonWriter *writer, const RunResult *result) {
        const RunError *error = &result->error;
        char text[ANSWER_EXPLANATION_MAX];

        json_key(writer, "error");
        if (error->type.size > 0)
                write_error_object(writer, error->type, error->message, error->traceback,
                                   error->line);
        else if (answer_explain(result, text, sizeof(text)))
                write_error_object(writer, slice_of_text(answer_verdict_type(result->status)),
                                   slice_of_text(text), SLICE_NULL, 0);
        else
                json_null(writer);

        json_key(writer, "exit_code");
        if (result->has_exit_code)
                json_integer(writer, result->exit_code);
        else
                json_null(writer);
        if (result->signal != 0) {
                json_key(writer, "signal");
                json_integer(writer, result->signal);
        }
}

static void write_usage(JsonWriter *writer, const RunResult *result) {
        const RunUsage *usage = &result->usage;

        json_key(writer, "usage");
        json_begin_object(writer);
        json_key(writer, "wall_ms");
        json_decimal(writer, milliseconds(usage->wall_ns), 3);
        json_key(writer, "cpu_ms");
        json_decimal(writer, milliseconds(usage->cpu_ns), 3);
        json_key(writer, "peak_memory_kb");
        json_integer(writer, (int64_t) usage->peak_memory_kb);
        json_key(writer, "queue_ms");
        json_decimal(writer, milliseconds(usage->queue_ns), 3);
        json_key(writer, "stdout_bytes");
        json_integer(writer, (int64_t) result->output[RUN_STDOUT].total_bytes);
        json_key(writer, "stderr_bytes");
        json_integer(writer, (int64_t) result->output[RUN_STDERR].total_bytes);
        json_end_object(writer);
}

static void write_limits(JsonWriter *writer, const RunLimits *limits) {
        json_key(writer, "limits");
        json_begin_object(writer);
        for (int i = 0; i < _LIMITS; i++) {
                json_key(writer, limit_infos[i].name);
                json_integer(writer, (int64_t) limits->of[i]);
        }
        json_end_object(writer);
}

static void write_sentence(JsonWriter *writer, const char *name, const char *sentence) {
        json_key(writer, name);
        if (sentence)
                json_literal(writer, sentence);
        else
                json_null(writer);
}

static void write_session(JsonWriter *writer, const RunInSession *session, const char *id) {
        json_key(writer, "session");
        json_begin_object(writer);
        json_key(writer, "id");
        json_literal(writer, id);
        json_key(writer, "run");
        json_integer(writer, (int64_t) session->number);
        json_key(writer, "state");
        json_literal(writer, session->lost ? "lost" : "idle");
        write_sentence(writer, "began_anew", session->began_anew);
        write_sentence(writer, "lost", session->lost);
        json_end_object(writer);
}

/* What the answer takes when nothing has to be escaped: a guess that saves the growing, not a
 * bound. */
static size_t expected_size(const RunResult *result) {
        size_t size = ANSWER_ROOM + result->value.size + result->variables.size +
                      result->variables_repr.size + result->error.message.size +
                      result->error.traceback.size + result->error.traceback.size / 8;

        for (int i = 0; i < _RUN_STREAMS; i++) {
                size_t kept = result->output[i].head.size + result->output[i].tail.size;

                size += kept + kept / 8;
        }
        for (size_t i = 0; i < result->n_displays; i++)
                size += result->displays[i].size + 1;
        for (size_t i = 0; i < result->n_files; i++)
                size += result->files[i].path.size + result->files[i].content.size / 3 * 4 + 64;
        return size;
}

int answer_encode(const RunResult *result, const AnswerOptions *options, Buffer *out) {
        JsonWriter writer = JSON_WRITER(out);
        size_t start = out->size;
        int r;

        assert(!result->refused);
        r = buffer_reserve(out, expected_size(result));
        if (r < 0)
                return r;
        json_begin_object(&writer);
        json_key(&writer, "id");
        json_literal(&writer, options->id);
        json_key(&writer, "status");
        json_literal(&writer, run_status_name(result->status));
        if (!options->without_streams)
                write_streams(&writer, result, options);
        write_truncated(&writer, result);
        if (!options->without_streams)
                write_values(&writer, result);
        write_variables(&writer, result, options->variables);
        write_files(&writer, result);
        write_error(&writer, result);
        write_usage(&writer, result);
        write_limits(&writer, &result->limits);
        if (options->session_id)
                write_session(&writer, &result->session, options->session_id);
        json_end_object(&writer);
        if (writer.error < 0)
                return writer.error;
        return answer_make_one_line(out, start);
}

/* data_analysis: the data-analysis sandbox's POST /api/execute, {"code"} → {"status", "output"}. */

#include "server/api/api.h"

#include <stdio.h>

#include "jsontext/write.h"
#include "kit/clock.h"
#include "server/api/encode.h"
#include "server/api/exchange.h"
#include "wire/run.h"

typedef struct AnalysisRequest {
        Slice code;
        bool has_code;
} AnalysisRequest;

static bool read_code(Reader *reader, void *target, const JsonItem *item) {
        AnalysisRequest *request = target;

        request->has_code = true;
        return reader_text(reader, item, "code", &request->code);
}

static const Member members[] = {{"code", read_code}};

/* Whether the program did what it wanted to. */
static bool is_success(const RunResult *result) {
        return result->status == RUN_OK || (result->status == RUN_EXIT && result->exit_code == 0);
}

static int append_line_break(Buffer *out) {
        if (out->size == 0 || out->data[out->size - 1] == '\n')
                return 0;
        return buffer_append(out, "\n", 1);
}

static int append_on_new_line(Buffer *out, Slice text) {
        int r = text.size > 0 ? append_line_break(out) : 0;

        return r < 0 ? r : buffer_append(out, text.data, text.size);
}

static int append_stream(Buffer *out, const RunOutput *output) {
        char marker_text[ANSWER_MARKER_MAX];
        Slice marker = answer_marker(output, marker_text, sizeof(marker_text));
        int r = append_on_new_line(out, output->head);

        if (r == 0)
                r = buffer_append(out, marker.data, marker.size);
        if (r == 0)
                r = buffer_append(out, output->tail.data, output->tail.size);
        return r;
}

/* The value of the last expression as text, where a notebook would show it. */
static int append_value(Buffer *out, Slice value) {
        JsonCursor cursor;
        JsonItem item;
        int r;

        if (value.size == 0 || !json_enter(value, &cursor))
                return 0;
        while (json_next(&cursor, &item)) {
                Slice inside;

                if (!slice_equals(item.key, "text/plain") || item.kind != JSON_STRING)
                        continue;
                inside = slice_of(item.value.data + 1, item.value.size - 2);
                r = append_line_break(out);
                if (r == 0)
                        r = buffer_reserve(out, inside.size + 1);
                if (r < 0)
                        return r;
                out->size += reader_unescape(inside, out->data + out->size, NULL);
                return buffer_append(out, "\n", 1);
        }
        return 0;
}

static int append_failure(Buffer *out, const RunResult *result) {
        char text[ANSWER_EXPLANATION_MAX];

        if (result->error.traceback.size > 0)
                return append_on_new_line(out, result->error.traceback);
        if (result->error.type.size > 0)
                (void) snprintf(text, sizeof(text), "%.*s: %.*s", (int) result->error.type.size,
                                (const char *) result->error.type.data,
                                (int) result->error.message.size,
                                (const char *) result->error.message.data);
        else if (result->status == RUN_TIMEOUT)
                (void) snprintf(text, sizeof(text), "Execution timed out after %g seconds",
                                (double) result->limits.of[LIMIT_WALL_MS] / 1000);
        else if (!answer_explain(result, text, sizeof(text)))
                (void) snprintf(text, sizeof(text), "The program ended with exit code %d.",
                                result->exit_code);
        return append_on_new_line(out, slice_of_text(text));
}

static int gather(const RunResult *result, Buffer *out) {
        int r = append_stream(out, &result->output[RUN_STDOUT]);

        if (r == 0)
                r = append_stream(out, &result->output[RUN_STDERR]);
        if (r == 0)
                r = is_success(result) ? append_value(out, result->value)
                                       : append_failure(out, result);
        return r;
}

static void send_answer(Exchange *exchange, const RunResult *result) {
        _cleanup_(buffer_done) Buffer output = BUFFER_INIT(0);
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        int r = gather(result, &output);

        json_begin_object(&writer);
        json_key(&writer, "status");
        json_literal(&writer, is_success(result) ? "Success" : "Error");
        json_key(&writer, "output");
        json_text(&writer, buffer_slice(&output));
        json_end_object(&writer);
        if (r < 0 || writer.error < 0)
                respond_error(exchange->req, exchange->errors, (ErrorAnswer){.status = 503},
                              "The run has ended, but the server has no memory for its answer.");
        else
                respond_json(exchange->req, 200, &body);
}

void handle_data_analysis_execute(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(reader_done) Reader reader;
        AnalysisRequest request = {0};
        RunRequest run = standard_run(app);
        bool is_read = reader_start(&reader, request_body(req)) &&
                       reader_object(&reader, request_body(req), members, N_ELEMENTS(members), true,
                                     &request);

        if (is_read && !request.has_code)
                is_read = reader_fail(&reader, 422, "code",
                                      "The member \"code\" is required: the Python source to run.");
        if (!is_read) {
                respond_reader_error(req, match->errors, &reader.error);
                return;
        }
        run.code = request.code;
        run.flags = REQUEST_WANT_VALUE;
        exchange_submit(exchange_new(app, req, match, send_answer), &run);
}

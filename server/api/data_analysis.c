/* data_analysis: the data-analysis sandbox's POST /api/execute, {"code"} → {"status", "output"}. */

#include "server/api/api.h"

#include <stdio.h>

#include "jsontext/write.h"
#include "server/api/exchange.h"
#include "server/api/plain_text.h"
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

static int append_stream(Buffer *out, const RunOutput *output) {
        int r = output->head.size > 0 ? plain_text_end_line(out) : 0;

        return r < 0 ? r : plain_text_stream(out, output);
}

/* The value of the last expression as text, where a notebook would show it. */
static int append_value(Buffer *out, Slice value) {
        _cleanup_(buffer_done) Buffer text = BUFFER_INIT(0);
        int r = plain_text_document(&text, value);

        if (r < 0 || text.size == 0)
                return r;
        r = plain_text_end_line(out);
        if (r == 0)
                r = buffer_append(out, text.data, text.size);
        return r < 0 ? r : buffer_append(out, "\n", 1);
}

static int append_failure(Buffer *out, const RunResult *result) {
        char text[64];
        int r = plain_text_end_line(out);

        if (r < 0 || result->status != RUN_TIMEOUT || result->error.type.size > 0)
                return r < 0 ? r : plain_text_failure(out, result);
        (void) snprintf(text, sizeof(text), "Execution timed out after %g seconds",
                        (double) result->limits.of[LIMIT_WALL_MS] / 1000);
        return buffer_append(out, text, strlen(text));
}

static int gather(const RunResult *result, Buffer *out) {
        int r = append_stream(out, &result->output[RUN_STDOUT]);

        if (r == 0)
                r = append_stream(out, &result->output[RUN_STDERR]);
        if (r < 0)
                return r;
        return plain_text_is_success(result) ? append_value(out, result->value)
                                             : append_failure(out, result);
}

static void send_answer(Exchange *exchange, const RunResult *result) {
        _cleanup_(buffer_done) Buffer output = BUFFER_INIT(0);
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        int r = gather(result, &output);

        json_begin_object(&writer);
        json_key(&writer, "status");
        json_literal(&writer, plain_text_is_success(result) ? "Success" : "Error");
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
                is_read = reader_fail(&reader, 422, "",
                                      "The member \"code\" is required: the Python source to run.");
        if (!is_read) {
                respond_reader_error(req, match->errors, &reader.error);
                return;
        }
        run.code = request.code;
        run.flags = REQUEST_WANT_VALUE;
        exchange_submit(exchange_new(app, req, match, send_answer), &run);
}

/* code_sandbox: the code-execution sandbox's POST /execute_code, and the data that its clients keep
 * here by key. What is uploaded is stored and given back; a run gets its data from its own request.
 */

#include "server/api/api.h"

#include <stdio.h>

#include "jsontext/write.h"
#include "kit/clock.h"
#include "server/api/encode.h"
#include "server/api/exchange.h"
#include "server/api/validation.h"
#include "server/store.h"
#include "wire/run.h"

typedef struct SandboxRequest {
        Slice code, input_data;
        bool has_code;
} SandboxRequest;

static bool read_code(Reader *reader, void *target, const JsonItem *item) {
        SandboxRequest *request = target;

        request->has_code = true;
        return reader_text(reader, item, "code", &request->code);
}

static bool read_input_data(Reader *reader, void *target, const JsonItem *item) {
        ((SandboxRequest *) target)->input_data = item->value;
        return reader_expect(reader, item, JSON_OBJECT, "input_data");
}

static const Member members[] = {{"code", read_code}, {"input_data", read_input_data}};

static const FieldType types[] = {{"code", "type_error.str"}};

/* ── Runs ── */

/* What went wrong in one sentence; false when the program did what it wanted to. */
static bool find_failure(const RunResult *result, char *text, size_t size, Slice *ret_failure) {
        if (result->error.type.size > 0) {
                *ret_failure = result->error.message;
                return true;
        }
        if (!answer_explain(result, text, size)) {
                if (result->status != RUN_EXIT || result->exit_code == 0)
                        return false;
                (void) snprintf(text, size, "The program ended with exit code %d.",
                                result->exit_code);
        }
        *ret_failure = slice_of_text(text);
        return true;
}

static void write_stdout(JsonWriter *writer, const RunOutput *output) {
        char marker[ANSWER_MARKER_MAX];

        json_key(writer, "stdout");
        json_text_pieces(writer, output->head, answer_marker(output, marker, sizeof(marker)),
                         output->tail);
}

/* The traceback, or the sentence that stands for it, ends what the program wrote. */
static int write_stderr(JsonWriter *writer, const RunOutput *output, Slice last) {
        _cleanup_(buffer_done) Buffer text = BUFFER_INIT(0);
        char marker_text[ANSWER_MARKER_MAX];
        Slice marker = answer_marker(output, marker_text, sizeof(marker_text));
        int r;

        r = buffer_append(&text, output->head.data, output->head.size);
        if (r == 0)
                r = buffer_append(&text, marker.data, marker.size);
        if (r == 0)
                r = buffer_append(&text, output->tail.data, output->tail.size);
        if (r == 0 && last.size > 0 && text.size > 0)
                r = buffer_append(&text, "\n", 1);
        if (r == 0)
                r = buffer_append(&text, last.data, last.size);
        json_key(writer, "stderr");
        json_text(writer, buffer_slice(&text));
        return r;
}

static int write_answer(const RunResult *result, Buffer *body) {
        JsonWriter writer = JSON_WRITER(body);
        char text[ANSWER_EXPLANATION_MAX];
        Slice failure = SLICE_NULL, last = SLICE_NULL;
        bool has_failed = find_failure(result, text, sizeof(text), &failure);
        int r;

        if (has_failed)
                last = result->error.traceback.size > 0 ? result->error.traceback : failure;
        json_begin_object(&writer);
        json_key(&writer, "result");
        if (has_failed)
                json_null(&writer);
        else
                json_raw(&writer,
                         result->variables.size > 0 ? result->variables : SLICE_LITERAL("{}"));
        write_stdout(&writer, &result->output[RUN_STDOUT]);
        r = write_stderr(&writer, &result->output[RUN_STDERR], last);
        if (has_failed) {
                json_key(&writer, "error");
                json_text(&writer, failure);
        }
        json_key(&writer, "execution_time");
        json_decimal(&writer, (double) result->usage.wall_ns / (double) NS_PER_S, 6);
        json_end_object(&writer);
        return r < 0 ? r : writer.error;
}

static void send_answer(Exchange *exchange, const RunResult *result) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);

        if (write_answer(result, &body) < 0)
                respond_error(exchange->req, exchange->errors, (ErrorAnswer){.status = 503},
                              "The run has ended, but the server has no memory for its answer.");
        else
                respond_json(exchange->req, 200, &body);
}

void handle_sandbox_execute(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(reader_done) Reader reader = {0};
        SandboxRequest request = {0};
        RunRequest run = standard_run(app);

        if (!reader_start(&reader, request_body(req)) ||
            !reader_object(&reader, request_body(req), members, N_ELEMENTS(members), true,
                           &request)) {
                respond_unread(req, &reader.error, types, N_ELEMENTS(types));
                return;
        }
        if (!request.has_code) {
                respond_missing(req, FIELD_IN_BODY, "code");
                return;
        }
        run.code = request.code;
        run.data = request.input_data;
        run.flags = REQUEST_WANT_ALL_VARIABLES | REQUEST_PLAIN_VARIABLES | REQUEST_BIND_ANALYSIS;
        exchange_submit(exchange_new(app, req, match, send_answer), &run);
}

/* ── Uploaded data ── */

static void respond_message(h2o_req_t *req, const char *text) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);

        json_begin_object(&writer);
        json_key(&writer, "message");
        json_literal(&writer, text);
        json_end_object(&writer);
        if (writer.error < 0)
                respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 503},
                              "The server has no memory right now.");
        else
                respond_json(req, 200, &body);
}

static void respond_store_error(h2o_req_t *req, int r) {
        if (r == STORE_E_TOO_MANY_KEYS)
                respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 413},
                              "Too many keys are stored; GET /clear_data removes all of them.");
        else if (r == STORE_E_TOO_MANY_BYTES)
                respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 413},
                              "The stored data would become too large; GET /clear_data removes all "
                              "of it.");
        else
                respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 500},
                              "The data could not be stored or read; the server's log says why.");
}

static bool check_key(h2o_req_t *req, Slice key) {
        if (key.size <= STORE_KEY_MAX && !memchr(key.data, '\0', key.size))
                return true;
        respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 422},
                      "A key has at most %d bytes, none of them NUL.", STORE_KEY_MAX);
        return false;
}

void handle_sandbox_upload(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(reader_done) Reader reader = {0};
        Slice key = match->parameters[0];
        char text[STORE_KEY_MAX + 64];
        int r;

        if (!check_key(req, key))
                return;
        if (!reader_start(&reader, request_body(req))) {
                respond_unread(req, &reader.error, types, N_ELEMENTS(types));
                return;
        }
        r = store_put(app->store, key, request_body(req));
        if (r != STORE_OK) {
                respond_store_error(req, r);
                return;
        }
        (void) snprintf(text, sizeof(text), "Data for key '%.*s' uploaded successfully",
                        (int) key.size, (const char *) key.data);
        respond_message(req, text);
}

void handle_sandbox_get(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(buffer_done) Buffer value = BUFFER_INIT(0);
        Slice key = match->parameters[0];
        int r;

        if (!check_key(req, key))
                return;
        r = store_get(app->store, key, &value);
        if (r == STORE_E_NOT_FOUND)
                respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 404},
                              "No data found for key '%.*s'", (int) key.size,
                              (const char *) key.data);
        else if (r != STORE_OK)
                respond_store_error(req, r);
        else
                respond_json(req, 200, &value);
}

/* That a GET removes something is the service's own; a HEAD, of which programs believe that it can
 * do no harm, does not. */
void handle_sandbox_clear(App *app, h2o_req_t *req, const RouteMatch *match) {
        bool is_head = h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
        int r = is_head ? STORE_OK : store_clear(app->store);

        if (r == STORE_OK)
                respond_message(req, "All data cleared");
        else
                respond_store_error(req, r);
}

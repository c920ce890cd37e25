/*
 * user_container: the per-user container's POST /run. Each user has a workspace whose files stay;
 * each run gets a new interpreter, and hands back its variable `result` and a listing of the
 * workspace.
 */

#include "server/api/api.h"

#include <stdio.h>

#include "jsontext/write.h"
#include "server/api/plain_text.h"
#include "server/api/session_exchange.h"
#include "server/api/workspace_listing.h"
#include "wire/run.h"

typedef struct ContainerRequest {
        Slice user_id, code, data;
} ContainerRequest;

/* ── The request ── */

/* Clients number their users, too. */
static bool read_user_id(Reader *reader, void *target, const JsonItem *item) {
        ContainerRequest *request = target;

        if (item->kind == JSON_NUMBER) {
                request->user_id = item->value;
                return true;
        }
        return reader_text(reader, item, "user_id", &request->user_id);
}

static bool read_code(Reader *reader, void *target, const JsonItem *item) {
        return reader_text(reader, item, "code", &((ContainerRequest *) target)->code);
}

static bool read_data(Reader *reader, void *target, const JsonItem *item) {
        ((ContainerRequest *) target)->data = item->value;
        return reader_expect(reader, item, JSON_OBJECT, "data");
}

static const Member members[] = {
        {"user_id", read_user_id},
        {"code", read_code},
        {"data", read_data},
};

static bool read_body(h2o_req_t *req, Reader *reader, ContainerRequest *request) {
        const ErrorAnswer bad = {.status = 400};
        const char *problem;

        if (!reader_start(reader, request_body(req)) ||
            !reader_object(reader, request_body(req), members, N_ELEMENTS(members), true,
                           request)) {
                int status = reader->error.status == 503 ? 503 : 400;
                const char *field = reader->error.field;

                respond_error(req, ERRORS_ERROR, (ErrorAnswer){.status = status}, "%s%s%s", field,
                              field[0] != '\0' ? ": " : "", reader->error.text);
                return false;
        }
        if (request->code.size == 0 || request->user_id.size == 0) {
                respond_error(req, ERRORS_ERROR, bad, "Code and user_id required");
                return false;
        }
        problem = session_id_problem(request->user_id);
        if (problem)
                respond_error(req, ERRORS_ERROR, bad, "user_id: This id %s.", problem);
        return !problem;
}

/* ── The answer ── */

/* The document of one variable in the object of all that were reported; empty: there is none. */
static Slice find_member(Slice object, const char *name) {
        JsonCursor cursor;
        JsonItem item;

        if (object.size == 0 || !json_enter(object, &cursor))
                return SLICE_NULL;
        while (json_next(&cursor, &item)) {
                if (slice_equals(item.key, name))
                        return item.value;
        }
        return SLICE_NULL;
}

/* What went wrong, as the end of "Error running code: …". Appends nothing when all is well: the
 * variable is there, and is said in JSON and not by its repr. */
static int explain(const RunResult *result, Slice value, Buffer *out) {
        static const char unset[] = "NameError: name 'result' is not defined";
        static const char unsaid[] =
                "TypeError: the value of result cannot be written as JSON, or is too large";
        int r;

        if (!plain_text_is_success(result)) {
                r = plain_text_stream(out, &result->output[RUN_STDERR]);
                if (r == 0)
                        r = plain_text_end_line(out);
                return r < 0 ? r : plain_text_failure(out, result);
        }
        if (value.size == 0 && result->status == RUN_OK)
                return buffer_append(out, unset, strlen(unset));
        if (result->variables_repr.size > 2)
                return buffer_append(out, unsaid, strlen(unsaid));
        return 0;
}

static int write_error(JsonWriter *writer, const RunResult *result, const Buffer *failure) {
        _cleanup_(buffer_done) Buffer text = BUFFER_INIT(0);
        int r = buffer_append(&text, "Error running code: ", 20);

        if (r == 0)
                r = buffer_append(&text, failure->data, failure->size);
        if (r == 0)
                r = buffer_append(&text, "\nSTDOUT:\n", 9);
        if (r == 0)
                r = plain_text_stream(&text, &result->output[RUN_STDOUT]);
        json_key(writer, "error");
        json_text(writer, buffer_slice(&text));
        return r;
}

/* The answer up to its last member, for the listing to follow. */
static int write_head(const RunResult *result, Buffer *body) {
        _cleanup_(buffer_done) Buffer failure = BUFFER_INIT(0);
        Slice value = find_member(result->variables, "result");
        JsonWriter writer = JSON_WRITER(body);
        int r = explain(result, value, &failure);

        json_begin_object(&writer);
        if (r == 0 && failure.size > 0)
                r = write_error(&writer, result, &failure);
        json_key(&writer, "result");
        if (failure.size > 0 || value.size == 0)
                json_null(&writer);
        else
                json_raw(&writer, value);
        json_key(&writer, "workspace_files");
        return r < 0 ? r : writer.error;
}

static void send_answer(Exchange *exchange, const RunResult *result) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        int r = write_head(result, &body);

        if (r < 0)
                respond_error(exchange->req, exchange->errors, (ErrorAnswer){.status = 503},
                              "The run has ended, but the server has no memory for its answer.");
        else
                respond_with_listing(exchange->app, exchange->req, session_of_exchange(exchange),
                                     &body);
}

void handle_container_run(App *app, h2o_req_t *req, const RouteMatch *match) {
        static const Slice wanted = {(const uint8_t *) "result", 6};
        _cleanup_(reader_done) Reader reader = {0};
        ContainerRequest request = {0};
        SessionOptions options;
        Session *session;
        RunRequest run;
        int r;

        if (!read_body(req, &reader, &request) || !sessions_are_served(app, req, match->errors))
                return;
        options = session_standard_options(app, SESSION_CONTAINER, request.user_id);
        options.forgets = true;
        r = session_obtain(app, &options, &session);
        if (r != POOL_OK) {
                respond_session_problem(app, req, match->errors, r);
                return;
        }
        run = session_standard_run(app, session);
        run.code = request.code;
        run.data = request.data;
        run.variables = &wanted;
        run.n_variables = 1;
        run.flags = REQUEST_BIND_JSON;
        session_exchange_submit(exchange_new(app, req, match, send_answer), session, &run);
}

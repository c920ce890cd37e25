/*
 * code_interpreter: the code interpreter with sessions. POST /install and /upload make a session of
 * the client's session_id, /execute runs in it, /terminate ends it. Its files are in
 * interpreter_files.c.
 */

#include "server/api/code_interpreter.h"

#include <stdio.h>

#include "jsontext/write.h"
#include "server/api/api.h"
#include "server/api/install_exchange.h"
#include "server/api/interpreter_session.h"
#include "server/api/plain_text.h"
#include "server/api/session_exchange.h"
#include "server/api/validation.h"

typedef struct InterpreterRequest {
        Slice session_id, code;
        bool has_session_id, has_code, has_packages;
        RunVariable *environment;
        size_t n_environment;
        Slice packages[REQUIREMENTS_MAX];
        size_t n_packages;
} InterpreterRequest;

static void request_done(InterpreterRequest *request) {
        free(request->environment);
}

/* ── The request ── */

static bool read_session_id(Reader *reader, void *target, const JsonItem *item) {
        InterpreterRequest *request = target;

        request->has_session_id = true;
        return reader_text(reader, item, "session_id", &request->session_id);
}

static bool read_code(Reader *reader, void *target, const JsonItem *item) {
        InterpreterRequest *request = target;

        request->has_code = true;
        return reader_text(reader, item, "code", &request->code);
}

/* Numbers are taken as they are written, as services that check with pydantic 1 do. */
static bool read_variable(Reader *reader, const JsonItem *item, RunVariable *ret_variable) {
        if (!reader_key(reader, item, "env", &ret_variable->name))
                return false;
        if (ret_variable->name.size == 0 ||
            memchr(ret_variable->name.data, '=', ret_variable->name.size) ||
            memchr(ret_variable->name.data, '\0', ret_variable->name.size))
                return reader_fail(reader, 422, "env",
                                   "A name of the environment is not empty and has neither \"=\" "
                                   "nor a NUL character.");
        ret_variable->value = item->value;
        if (item->kind != JSON_NUMBER && !reader_text(reader, item, "env", &ret_variable->value))
                return false;
        if (ret_variable->value.size > 0 &&
            memchr(ret_variable->value.data, '\0', ret_variable->value.size))
                return reader_fail(reader, 422, "env",
                                   "A value of the environment may not hold a NUL character.");
        return true;
}

static bool read_environment(Reader *reader, void *target, const JsonItem *item) {
        InterpreterRequest *request = target;

        return decode_environment(reader, item, read_variable, &request->environment,
                                  &request->n_environment);
}

static bool read_packages(Reader *reader, void *target, const JsonItem *item) {
        InterpreterRequest *request = target;
        JsonCursor cursor;
        JsonItem element;
        size_t count;

        request->has_packages = true;
        if (!reader_expect(reader, item, JSON_ARRAY, "packages") ||
            !reader_count(reader, item, "packages", REQUIREMENTS_MAX, &count))
                return false;
        (void) json_enter(item->value, &cursor);
        while (json_next(&cursor, &element)) {
                if (!reader_text(reader, &element, "packages",
                                 &request->packages[request->n_packages++]))
                        return false;
        }
        return true;
}

static const FieldType types[] = {
        {"session_id", "type_error.str"},
        {"code", "type_error.str"},
        {"packages", "type_error.list"},
};

/* Reads a body that needs a session_id and what else the members say; answers when that fails. */
static bool read_body(h2o_req_t *req, Reader *reader, const Member *members, size_t n_members,
                      InterpreterRequest *request) {
        const char *problem;
        char text[128];

        if (!reader_object(reader, request_body(req), members, n_members, true, request)) {
                respond_unread(req, &reader->error, types, N_ELEMENTS(types));
                return false;
        }
        if (!request->has_session_id) {
                respond_missing(req, FIELD_IN_BODY, "session_id");
                return false;
        }
        problem = session_id_problem(request->session_id);
        if (problem) {
                (void) snprintf(text, sizeof(text), "This id %s.", problem);
                respond_invalid(req, FIELD_IN_BODY, "session_id", text, "value_error");
                return false;
        }
        return true;
}

static bool start_and_read_body(h2o_req_t *req, Reader *reader, const Member *members,
                                size_t n_members, InterpreterRequest *request) {
        if (reader_start(reader, request_body(req)))
                return read_body(req, reader, members, n_members, request);
        respond_unread(req, &reader->error, NULL, 0);
        return false;
}

static void respond_not_found(h2o_req_t *req) {
        respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 404}, "Session not found.");
}

static void respond_no_memory(h2o_req_t *req) {
        respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 503},
                      "The server has no memory for its answer.");
}

/* ── Runs ── */

/* An exception, or an exit code, is the program's own end, and a success of the service; a limit
 * that has ended it is not. */
static bool is_own_end(const RunResult *result) {
        return result->status == RUN_OK || result->status == RUN_ERROR ||
               result->status == RUN_EXIT;
}

static int gather_errors(const RunResult *result, Buffer *out) {
        int r = plain_text_stream(out, &result->output[RUN_STDERR]);

        if (r < 0 || result->status == RUN_OK || result->status == RUN_EXIT)
                return r;
        r = plain_text_end_line(out);
        return r < 0 ? r : plain_text_failure(out, result);
}

static void send_answer(Exchange *exchange, const RunResult *result) {
        _cleanup_(buffer_done) Buffer output = BUFFER_INIT(0);
        _cleanup_(buffer_done) Buffer errors = BUFFER_INIT(0);
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        int r = plain_text_stream(&output, &result->output[RUN_STDOUT]);

        if (r == 0)
                r = gather_errors(result, &errors);
        json_begin_object(&writer);
        json_key(&writer, "status");
        json_literal(&writer, is_own_end(result) ? "success" : "error");
        json_key(&writer, "output");
        json_text(&writer, buffer_slice(&output));
        json_key(&writer, "errors");
        json_text(&writer, buffer_slice(&errors));
        if (result->session.began_anew) {
                json_key(&writer, "notice");
                json_literal(&writer, result->session.began_anew);
        }
        json_end_object(&writer);
        if (r < 0 || writer.error < 0)
                respond_no_memory(exchange->req);
        else
                respond_json(exchange->req, 200, &body);
}

void interpreter_execute(App *app, h2o_req_t *req, const RouteMatch *match, Reader *reader) {
        static const Member members[] = {
                {"session_id", read_session_id},
                {"code", read_code},
                {"env", read_environment},
        };
        _cleanup_(request_done) InterpreterRequest request = {0};
        Session *session;
        RunRequest run;

        if (!read_body(req, reader, members, N_ELEMENTS(members), &request))
                return;
        if (!request.has_code) {
                respond_missing(req, FIELD_IN_BODY, "code");
                return;
        }
        session = session_find(app->pool, SESSION_INTERPRETER, request.session_id);
        if (!session) {
                respond_not_found(req);
                return;
        }
        run = session_standard_run(app, session);
        run.code = request.code;
        run.environment = request.environment;
        run.n_environment = request.n_environment;
        session_exchange_submit(exchange_new(app, req, match, send_answer), session, &run);
}

/* ── Packages ── */

/* The names that a request asks for, copied to its pool: the answer comes later. */
typedef struct Wanted {
        char session_id[SESSION_ID_MAX + 1];
        size_t n;
        Slice names[];
} Wanted;

static Wanted *keep_wanted(h2o_req_t *req, const InterpreterRequest *request) {
        Wanted *wanted = h2o_mem_alloc_pool(&req->pool,
                                            sizeof(*wanted) + request->n_packages * sizeof(Slice));

        (void) snprintf(wanted->session_id, sizeof(wanted->session_id), "%.*s",
                        (int) request->session_id.size, (const char *) request->session_id.data);
        wanted->n = request->n_packages;
        for (size_t i = 0; i < request->n_packages; i++) {
                const Slice *name = &request->packages[i];
                h2o_iovec_t copy = h2o_strdup(&req->pool, (const char *) name->data, name->size);

                wanted->names[i] = slice_of(copy.base, copy.len);
        }
        return wanted;
}

static void send_packages(App *app, h2o_req_t *req, const Wanted *wanted) {
        Session *session =
                session_find(app->pool, SESSION_INTERPRETER, slice_of_text(wanted->session_id));
        _cleanup_(buffer_done) Buffer names = BUFFER_INIT(0);
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        int r;

        if (!session) {
                respond_not_found(req);
                return;
        }
        r = interpreter_add_packages(session, wanted->names, wanted->n, &names);
        if (r < 0) {
                respond_session_problem(app, req, ERRORS_DETAIL, r);
                return;
        }
        json_begin_object(&writer);
        json_key(&writer, "status");
        json_literal(&writer, "success");
        json_key(&writer, "installed_packages");
        json_raw(&writer, buffer_slice(&names));
        json_end_object(&writer);
        if (writer.error < 0)
                respond_no_memory(req);
        else
                respond_json(req, 200, &body);
}

static void on_installed(InstallExchange *exchange, const InstallResult *result) {
        if (result->outcome == INSTALL_DONE)
                send_packages(exchange->app, exchange->req, exchange->data);
        else
                respond_error(exchange->req, exchange->errors,
                              install_error_answer(exchange, result->outcome), "%s", result->why);
}

void handle_interpreter_install(App *app, h2o_req_t *req, const RouteMatch *match) {
        static const Member members[] = {
                {"session_id", read_session_id},
                {"packages", read_packages},
        };
        _cleanup_(request_done) InterpreterRequest request = {0};
        _cleanup_(reader_done) Reader reader = {0};
        InstallExchange *exchange;
        Session *session;
        int r;

        if (!start_and_read_body(req, &reader, members, N_ELEMENTS(members), &request))
                return;
        if (!request.has_packages) {
                respond_missing(req, FIELD_IN_BODY, "packages");
                return;
        }
        if (!sessions_are_served(app, req, match->errors))
                return;
        r = interpreter_obtain(app, request.session_id, &session);
        if (r != POOL_OK) {
                respond_session_problem(app, req, match->errors, r);
                return;
        }
        if (request.n_packages == 0) {
                send_packages(app, req, keep_wanted(req, &request));
                return;
        }
        exchange = install_exchange_new(app, req, match, on_installed);
        exchange->data = keep_wanted(req, &request);
        install_exchange_start(exchange, session, request.packages, request.n_packages);
}

/* ── The end ── */

void handle_interpreter_terminate(App *app, h2o_req_t *req, const RouteMatch *match) {
        static const Member members[] = {{"session_id", read_session_id}};
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        InterpreterRequest request = {0};
        _cleanup_(reader_done) Reader reader = {0};
        JsonWriter writer = JSON_WRITER(&body);
        char text[SESSION_ID_MAX + 64];
        Session *session;

        if (!start_and_read_body(req, &reader, members, N_ELEMENTS(members), &request))
                return;
        session = session_find(app->pool, SESSION_INTERPRETER, request.session_id);
        if (!session) {
                respond_not_found(req);
                return;
        }
        session_end(session);
        (void) snprintf(text, sizeof(text), "Session %.*s terminated successfully.",
                        (int) request.session_id.size, (const char *) request.session_id.data);
        json_begin_object(&writer);
        json_key(&writer, "status");
        json_literal(&writer, "success");
        json_key(&writer, "message");
        json_literal(&writer, text);
        json_end_object(&writer);
        if (writer.error < 0)
                respond_no_memory(req);
        else
                respond_json(req, 200, &body);
}

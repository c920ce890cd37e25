/*
 * jupyter_sessions: kernels as the Jupyter-like API has them, one for each user_id. POST
 * /start_session makes one or makes it new, /execute runs in it, /reset gives it a new interpreter,
 * /end_session ends it; packages are in jupyter_packages.c. What is run stands in the user's
 * notebook, a file.
 */

#include "server/api/jupyter_sessions.h"

#include "jsontext/write.h"
#include "server/api/api.h"
#include "server/api/jupyter_answer.h"
#include "server/api/session_exchange.h"
#include "server/api/validation.h"
#include "server/form.h"
#include "server/notebook.h"
#include "wire/run.h"

/* ── Forms with a user_id ── */

/* FastAPI: a body that is no form has no fields. */
static void respond_bad_form(h2o_req_t *req, const ReaderError *error) {
        if (error->status == 415)
                respond_invalid(req, FIELD_IN_BODY, "user_id",
                                "field required, in a form: multipart/form-data or "
                                "application/x-www-form-urlencoded; the body is said to be neither",
                                "value_error.missing");
        else
                respond_reader_error(req, ERRORS_DETAIL, error);
}

/* The id is copied into the request's pool. Answers when there is none that can be used. */
static bool read_form(h2o_req_t *req, Slice *ret_user_id) {
        _cleanup_(form_done) Form form = {0};
        const FormPart *part;
        ReaderError error;
        h2o_iovec_t copy;

        if (!form_read(req, &form, &error)) {
                respond_bad_form(req, &error);
                return false;
        }
        part = form_find(&form, "user_id");
        if (!part) {
                respond_missing(req, FIELD_IN_BODY, "user_id");
                return false;
        }
        if (!jupyter_check_id(req, part->value))
                return false;
        copy = h2o_strdup(&req->pool, (const char *) part->value.data, part->value.size);
        *ret_user_id = slice_of(copy.base, copy.len);
        return true;
}

static Session *find_or_answer(App *app, h2o_req_t *req, Slice user_id) {
        Session *session = session_find(app->pool, SESSION_JUPYTER, user_id);

        if (!session)
                jupyter_respond_not_found(req);
        return session;
}

/* ── Sessions ── */

/* The names that the code may use without an import. */
#define BOUND (REQUEST_BIND_ANALYSIS | REQUEST_BIND_PLOT)

static void respond_started(const App *app, h2o_req_t *req, Slice user_id) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        char path[NOTEBOOK_PATH_MAX];

        notebook_path(app->notebooks, user_id, path, sizeof(path));
        json_begin_object(&writer);
        json_key(&writer, "message");
        json_literal(&writer, "Session started successfully");
        json_key(&writer, "notebook_path");
        json_literal(&writer, path);
        json_end_object(&writer);
        if (writer.error < 0)
                jupyter_respond_no_memory(req);
        else
                respond_json(req, 200, &body);
}

/* A session that is there gets a new interpreter; its files, packages and notebook stay. */
void handle_jupyter_start(App *app, h2o_req_t *req, const RouteMatch *match) {
        SessionOptions options;
        Session *session;
        Slice user_id;
        int r;

        if (!read_form(req, &user_id) || !sessions_are_served(app, req, match->errors))
                return;
        session = session_find(app->pool, SESSION_JUPYTER, user_id);
        if (session) {
                r = session_reset(session, true);
                notebook_add_note(app->notebooks, session, "The session was started anew.");
        } else {
                options = session_standard_options(app, SESSION_JUPYTER, user_id);
                r = session_create(app->pool, &options, &session);
        }
        if (r != POOL_OK) {
                respond_session_problem(app, req, match->errors, r);
                return;
        }
        session_bind(session, BOUND);
        notebook_save(app->notebooks, session);
        respond_started(app, req, user_id);
}

void handle_jupyter_reset(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session;
        Slice user_id;
        int r;

        if (!read_form(req, &user_id))
                return;
        session = find_or_answer(app, req, user_id);
        if (!session)
                return;
        r = session_reset(session, true);
        if (r < 0) {
                respond_session_problem(app, req, match->errors, r);
                return;
        }
        notebook_add_note(app->notebooks, session, "The kernel was reset.");
        notebook_save(app->notebooks, session);
        jupyter_respond_message(req, "Kernel reset successful");
}

void handle_jupyter_end(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session;
        Slice user_id;

        if (!read_form(req, &user_id))
                return;
        session = find_or_answer(app, req, user_id);
        if (!session)
                return;
        session_end(session);
        jupyter_respond_message(req, "Session ended successfully");
}

/* ── Runs ── */

typedef struct JupyterRequest {
        Slice user_id, code;
        bool has_user_id, has_code;
} JupyterRequest;

static bool read_user_id(Reader *reader, void *target, const JsonItem *item) {
        JupyterRequest *request = target;

        request->has_user_id = true;
        return reader_text(reader, item, "user_id", &request->user_id);
}

static bool read_code(Reader *reader, void *target, const JsonItem *item) {
        JupyterRequest *request = target;

        request->has_code = true;
        return reader_text(reader, item, "code", &request->code);
}

static const FieldType types[] = {{"user_id", "type_error.str"}, {"code", "type_error.str"}};

static void send_answer(Exchange *exchange, const RunResult *result) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        int status = jupyter_answer(result, &body);

        if (status < 0)
                jupyter_respond_no_memory(exchange->req);
        else
                respond_json(exchange->req, status, &body);
}

void jupyter_execute(App *app, h2o_req_t *req, const RouteMatch *match, Reader *reader) {
        static const Member members[] = {{"user_id", read_user_id}, {"code", read_code}};
        JupyterRequest request = {0};
        Session *session;
        RunRequest run;

        if (!reader_object(reader, request_body(req), members, N_ELEMENTS(members), true,
                           &request)) {
                respond_unread(req, &reader->error, types, N_ELEMENTS(types));
                return;
        }
        if (!request.has_code) {
                respond_missing(req, FIELD_IN_BODY, "code");
                return;
        }
        if (!jupyter_check_id(req, request.user_id))
                return;
        session = find_or_answer(app, req, request.user_id);
        if (!session)
                return;
        run = session_standard_run(app, session);
        run.code = request.code;
        run.flags = REQUEST_WANT_VALUE | REQUEST_WANT_DISPLAYS | BOUND;
        run.interrupt_first = true;
        /* One that an earlier server has left has not been told. */
        session_bind(session, BOUND);
        session_exchange_submit(exchange_new(app, req, match, send_answer), session, &run);
}

/* interpreter_files: POST /upload and GET /download of the code interpreter. */

#include <stdio.h>

#include "jsontext/write.h"
#include "server/api/api.h"
#include "server/api/download.h"
#include "server/api/interpreter_session.h"
#include "server/api/session_exchange.h"
#include "server/api/upload.h"
#include "server/api/validation.h"

static void respond_not_found(h2o_req_t *req) {
        respond_error(req, ERRORS_DETAIL, (ErrorAnswer){.status = 404}, "Session not found.");
}

static bool check_id(h2o_req_t *req, FieldPlace place, Slice session_id) {
        const char *problem = session_id_problem(session_id);
        char text[128];

        if (!problem)
                return true;
        (void) snprintf(text, sizeof(text), "This id %s.", problem);
        respond_invalid(req, place, "session_id", text, "value_error");
        return false;
}

/* ── Upload ── */

/* What is behind the last separator of the sender's system. */
static Slice last_component(Slice path) {
        size_t start = path.size;

        while (start > 0 && path.data[start - 1] != '/' && path.data[start - 1] != '\\')
                start--;
        return slice_of(path.data + start, path.size - start);
}

static int write_stored(const App *app, const Session *session, const UploadItem *item,
                        Buffer *body) {
        _cleanup_(buffer_done) Buffer location = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(body);
        int r = interpreter_location(app, session, slice_of_text(item->path), &location);

        json_begin_object(&writer);
        json_key(&writer, "filename");
        json_literal(&writer, item->path);
        json_key(&writer, "location");
        json_text(&writer, buffer_slice(&location));
        json_end_object(&writer);
        return r < 0 ? r : writer.error;
}

static void have_stored(Upload *upload) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        const FormPart *id = form_find(&upload->form, "session_id");
        Session *session = session_find(upload->app->pool, SESSION_INTERPRETER, id->value);

        if (!session)
                respond_not_found(upload->req);
        else if (write_stored(upload->app, session, &upload->items[0], &body) < 0)
                respond_error(upload->req, ERRORS_DETAIL, (ErrorAnswer){.status = 503},
                              "The server has no memory for its answer.");
        else
                respond_json(upload->req, 200, &body);
}

static void have_form(Upload *upload) {
        const FormPart *id = form_find(&upload->form, "session_id");
        const FormPart *file = form_find(&upload->form, "file");
        Session *session;
        int r;

        if (!id || id->is_file) {
                respond_missing(upload->req, FIELD_IN_BODY, "session_id");
                return;
        }
        if (file && !file->is_file) {
                respond_invalid(upload->req, FIELD_IN_BODY, "file",
                                "This must be sent as a file, with a file name: with curl, "
                                "-F file=@PATH.",
                                "value_error.missing");
                return;
        }
        if (!file || file->filename.size == 0) {
                respond_missing(upload->req, FIELD_IN_BODY, "file");
                return;
        }
        if (!check_id(upload->req, FIELD_IN_BODY, id->value))
                return;
        if (!upload_add(upload, "file", last_component(file->filename), file->offset, file->size))
                return;
        r = interpreter_obtain(upload->app, id->value, &session);
        if (r != POOL_OK)
                respond_session_problem(upload->app, upload->req, ERRORS_DETAIL, r);
        else
                upload_store(upload, session, have_stored);
}

void handle_interpreter_upload(App *app, h2o_req_t *req, const RouteMatch *match) {
        if (sessions_are_served(app, req, match->errors))
                upload_read_form(upload_new(app, req, match), have_form);
}

/* ── Download ── */

/* Answers when it is not there. */
static bool find_parameter(h2o_req_t *req, const char *name, Slice *ret_value) {
        int r = query_find(req, name, ret_value);

        if (r == 1)
                return true;
        if (r == 0)
                respond_missing(req, FIELD_IN_QUERY, name);
        else
                respond_invalid(req, FIELD_IN_QUERY, name,
                                "A % is not followed by two hexadecimal digits.", "value_error");
        return false;
}

void handle_interpreter_download(App *app, h2o_req_t *req, const RouteMatch *match) {
        const DownloadOptions options = {.attachment = true, .not_found = "File not found."};
        Slice session_id, filename;
        Session *session;

        if (!find_parameter(req, "session_id", &session_id) ||
            !find_parameter(req, "filename", &filename) ||
            !check_id(req, FIELD_IN_QUERY, session_id))
                return;
        session = session_find(app->pool, SESSION_INTERPRETER, session_id);
        if (!session)
                respond_not_found(req);
        else
                download_file(app, req, match, session, filename, &options);
}

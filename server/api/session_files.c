/* session_files: /v1/sessions/{id}/files and what is below it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "jsontext/write.h"
#include "kit/error.h"
#include "pool/chores.h"
#include "pool/tree.h"
#include "server/api/api.h"
#include "server/api/download.h"
#include "server/api/session_exchange.h"
#include "server/api/upload.h"
#include "server/file_list.h"
#include "server/file_path.h"
#include "server/file_store.h"
#include "server/request.h"
#include "server/respond.h"

/* ── Chores that are answered when they are done: lists, removals ── */

typedef struct FileChore FileChore;

/* Outlives the request, and shares nothing with it. */
struct FileChore {
        Chore chore;
        App *app;
        struct FileRequest *request; /* NULL: it has ended */
        bool busy;
        void (*answer)(FileChore *chore, h2o_req_t *req, int r);
        int workspace_fd;
        bool recursive;
        FileCondition condition;
        void *condition_bytes;
        Buffer document;
        char path[FILE_PATH_MAX + 2]; /* room for a slash */
        char id[SESSION_ID_MAX + 1];
};

typedef struct FileRequest {
        h2o_req_t *req;
        FileChore *chore;
} FileRequest;

static FileChore *file_chore_free(FileChore *chore) {
        if (!chore)
                return NULL;
        kit_close_fd(&chore->workspace_fd);
        buffer_done(&chore->document);
        free(chore->condition_bytes);
        free(chore);
        return NULL;
}

static void request_dispose(void *data) {
        FileChore *chore = take_ptr(((FileRequest *) data)->chore);

        if (!chore)
                return;
        chore->request = NULL;
        if (!chore->busy)
                (void) file_chore_free(chore);
}

static void chore_done(Chore *done, int r) {
        FileChore *chore = (FileChore *) done;

        chore->busy = false;
        if (chore->request && !chore->app->is_closed) {
                chore->answer(chore, chore->request->req, r);
                return;
        }
        if (chore->request)
                chore->request->chore = NULL;
        (void) file_chore_free(chore);
}

static void respond_busy(h2o_req_t *req) {
        respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 503, .retry_after_s = 1},
                      "The server is busy with the files of others; try again later.");
}

/* Answers when it cannot be begun. */
static void start_chore(App *app, h2o_req_t *req, const Session *session, Slice path,
                        FileChore *chore) {
        FileRequest *request = h2o_mem_alloc_shared(&req->pool, sizeof(*request), request_dispose);
        SessionInfo info;

        *request = (FileRequest){.req = req, .chore = chore};
        if (!chore) {
                respond_busy(req);
                return;
        }
        session_inspect(session, &info);
        (void) snprintf(chore->id, sizeof(chore->id), "%s", info.id);
        chore->app = app;
        chore->request = request;
        chore->chore.done = chore_done;
        if (path.size > 0)
                memcpy(chore->path, path.data, path.size);
        chore->workspace_fd = fcntl(session_workspace_fd(session), F_DUPFD_CLOEXEC, 3);
        if (chore->workspace_fd < 0 || chores_add(pool_chores(app->pool), &chore->chore) < 0)
                respond_busy(req);
        else
                chore->busy = true;
}

/* Why a path that can be one does not lead to what was wanted; false: that is not it. */
static bool respond_no_way(h2o_req_t *req, int r) {
        if (r != -ENOENT && r != -ENOTDIR && r != -ELOOP)
                return false;
        respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 404, .field = "path"}, "%s",
                      r == -ELOOP ? "A symbolic link stands in the way; none is followed."
                      : r == -ENOTDIR
                              ? "Something on this path is a file, where a folder is expected."
                              : "There is nothing of this name in the session's workspace; "
                                "GET .../files lists what there is.");
        return true;
}

static void respond_failure(h2o_req_t *req, int r) {
        if (r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EAGAIN)
                respond_busy(req);
        else if (tree_is_disturbed(r))
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 409, .field = "path"},
                              "The session's program changes these files meanwhile; try again "
                              "later.");
        else
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 500},
                              "The server could not do this; its log says why.");
}

/* Whether it can be a path; else that has been answered. */
static bool check_path(h2o_req_t *req, Slice path) {
        const char *problem = file_path_problem(path);

        if (problem)
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 422, .field = "path"},
                              "The path %s.", problem);
        return !problem;
}

/* A switch of the query: "1" and "true" are on, "0", "false" and nothing off. */
static bool read_switch(h2o_req_t *req, const char *name, bool *ret_on) {
        Slice value;
        int r = query_find(req, name, &value);

        *ret_on = slice_equals(value, "1") || slice_equals(value, "true");
        if (r == 0 || *ret_on || slice_equals(value, "0") || slice_equals(value, "false"))
                return true;
        respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 422, .field = name},
                      "This must be 1 or 0; true and false will do.");
        return false;
}

/* ── GET …/files ── */

static int list_work(Chore *work) {
        FileChore *chore = (FileChore *) work;
        _autoclose_ int fd = file_open_folder(chore->workspace_fd, chore->path);

        if (fd < 0)
                return fd;
        if (chore->path[0] != '\0')
                (void) strcat(chore->path, "/");
        return file_list(fd, chore->path, &chore->document);
}

static void answer_list(FileChore *chore, h2o_req_t *req, int r) {
        if (r == 0)
                respond_json(req, 200, &chore->document);
        else if (!respond_no_way(req, r))
                respond_failure(req, r);
}

void handle_session_files_list(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = session_of_path(app, req, match);
        FileChore *chore;
        Slice path;
        int r;

        if (!session)
                return;
        r = query_find(req, "path", &path);
        if (r < 0) {
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 400, .field = "path"},
                              "A %% is not followed by two hexadecimal digits.");
                return;
        }
        if (path.size > 0 && !check_path(req, path))
                return;
        chore = calloc(1, sizeof(*chore));
        if (chore) {
                chore->chore.work = list_work;
                chore->answer = answer_list;
        }
        start_chore(app, req, session, path, chore);
}

/* ── DELETE …/files/{path} ── */

static bool is_large(const FileChore *chore) {
        _autoclose_ int fd = file_open_folder(chore->workspace_fd, chore->path);
        uint64_t bytes, entries;

        return fd >= 0 && tree_measure(fd, CHORE_SHORT_ENTRIES, &bytes, &entries) < 0;
}

static int delete_work(Chore *work) {
        FileChore *chore = (FileChore *) work;

        if (!work->is_long && chore->recursive && is_large(chore))
                return CHORE_IS_LONG;
        return file_remove(chore->workspace_fd, chore->path, chore->recursive, &chore->condition);
}

static void respond_no_content(h2o_req_t *req) {
        static h2o_generator_t generator = {NULL, NULL};

        req->res.status = 204;
        req->res.reason = respond_reason(204);
        h2o_start_response(req, &generator);
        h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
}

static void answer_delete(FileChore *chore, h2o_req_t *req, int r) {
        Session *session = session_find(chore->app->pool, SESSION_NATIVE, slice_of_text(chore->id));

        if (session)
                session_touch(session);
        if (r == 0)
                respond_no_content(req);
        else if (r == -ESTALE)
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 412},
                              "What has this name is not what the request demands (If-Match, "
                              "If-None-Match, If-Unmodified-Since); nothing was removed.");
        else if (r == -ENOTEMPTY)
                respond_error(
                        req, ERRORS_PROBLEM, (ErrorAnswer){.status = 409, .field = "path"}, "%s",
                        chore->recursive ? "The folder could not be emptied: something goes on "
                                           "writing to it."
                                         : "This is a folder with something in it; ?recursive=1 "
                                           "removes that, too.");
        else if (!respond_no_way(req, r))
                respond_failure(req, r == -EAGAIN ? r
                                                  : raise_error(r, "remove a file of session %s",
                                                                chore->id));
}

void handle_session_file_delete(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = session_of_path(app, req, match);
        FileCondition condition;
        FileChore *chore;
        bool recursive;

        if (!session || !check_path(req, match->parameters[1]) ||
            !read_switch(req, "recursive", &recursive))
                return;
        condition = file_condition_read(req);
        chore = calloc(1, sizeof(*chore));
        if (chore &&
            file_condition_copy(&condition, &chore->condition, &chore->condition_bytes) < 0)
                chore = file_chore_free(chore);
        if (chore) {
                chore->chore.work = delete_work;
                chore->answer = answer_delete;
                chore->recursive = recursive;
        }
        start_chore(app, req, session, match->parameters[1], chore);
}

/* ── GET …/files/{path} ── */

void handle_session_file_get(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = session_of_path(app, req, match);
        DownloadOptions options = {0};

        if (!session || !check_path(req, match->parameters[1]) ||
            !read_switch(req, "download", &options.attachment))
                return;
        download_file(app, req, match, session, match->parameters[1], &options);
}

/* ── PUT …/files/{path} ── */

static void write_item(JsonWriter *writer, const UploadItem *item) {
        json_begin_object(writer);
        json_key(writer, "path");
        json_literal(writer, item->path);
        json_key(writer, "size");
        json_integer(writer, (int64_t) item->size);
        json_key(writer, "replaced");
        json_boolean(writer, item->replaced);
        json_end_object(writer);
}

static void respond_written(h2o_req_t *req, JsonWriter *writer) {
        if (writer->error < 0)
                respond_busy(req);
        else
                respond_json(req, 201, writer->out);
}

static void answer_put(Upload *upload) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        const char *etag = upload->items[0].etag;
        h2o_req_t *req = upload->req;
        h2o_iovec_t copy = h2o_strdup(&req->pool, etag, strlen(etag));

        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ETAG, NULL, copy.base, copy.len);
        if (upload->items[0].replaced) {
                respond_no_content(upload->req);
                return;
        }
        write_item(&writer, &upload->items[0]);
        respond_written(upload->req, &writer);
}

void handle_session_file_put(App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = session_of_path(app, req, match);
        FileCondition condition;
        Upload *upload;

        if (!session)
                return;
        /* A client that goes on with an upload that was cut off sends the rest, and says so. */
        if (request_header(req, "content-range").size > 0) {
                respond_error(req, ERRORS_PROBLEM, (ErrorAnswer){.status = 400},
                              "This body is a part of a file (Content-Range), and would replace "
                              "the whole; send all of it.");
                return;
        }
        condition = file_condition_read(req);
        upload = upload_new(app, req, match);
        if (upload_demand(upload, &condition) &&
            upload_add(upload, "path", match->parameters[1], 0, upload->body.size))
                upload_store(upload, session, answer_put);
}

/* ── POST …/files ── */

static void answer_post(Upload *upload) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);

        json_begin_object(&writer);
        json_key(&writer, "files");
        json_begin_array(&writer);
        for (size_t i = 0; i < upload->n_items; i++)
                write_item(&writer, &upload->items[i]);
        json_end_array(&writer);
        json_end_object(&writer);
        respond_written(upload->req, &writer);
}

/* A file is called as its sender called it, or, without a name, as its field. */
static bool add_file(Upload *upload, const FormPart *part) {
        char field[READER_FIELD_MAX];

        (void) snprintf(field, sizeof(field), "%.*s",
                        (int) (part->name.size < sizeof(field) ? part->name.size : 0),
                        part->name.size > 0 ? (const char *) part->name.data : "");
        return upload_add(upload, field, part->filename.size > 0 ? part->filename : part->name,
                          part->offset, part->size);
}

static void have_form(Upload *upload) {
        Session *session = session_of_path(upload->app, upload->req, &upload->match);

        if (!session)
                return;
        for (size_t i = 0; i < upload->form.n_parts; i++) {
                const FormPart *part = &upload->form.parts[i];

                /* What a browser sends for a field of files in which none was chosen. */
                if (part->is_file && part->filename.size == 0 && part->size == 0)
                        continue;
                if (part->is_file && !add_file(upload, part))
                        return;
        }
        if (upload->n_items > 0)
                upload_store(upload, session, answer_post);
        else
                respond_error(upload->req, ERRORS_PROBLEM, (ErrorAnswer){.status = 422},
                              "The form has no file in it; send one or more as "
                              "multipart/form-data, each with a file name.");
}

void handle_session_files_post(App *app, h2o_req_t *req, const RouteMatch *match) {
        if (session_of_path(app, req, match))
                upload_read_form(upload_new(app, req, match), have_form);
}

#include "server/api/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "kit/error.h"
#include "pool/chores.h"
#include "pool/tree.h"
#include "server/api/exchange.h"
#include "server/api/session_exchange.h"
#include "server/file_path.h"
#include "server/file_store.h"
#include "server/options.h"
#include "server/request.h"
#include "server/respond.h"

/* What a chore works on: it outlives the request, and shares nothing with it. */
typedef struct UploadWork {
        Chore chore;
        App *app;
        Upload *upload; /* NULL: the request has ended */
        bool busy;      /* a chore holds it */
        Body body;
        Buffer bytes; /* a body in memory: the request's own ends with it */
        char *content_type;
        Form form;
        bool form_is_read;
        ReaderError error;
        void (*read)(Upload *upload);
        void (*stored)(Upload *upload);
        UploadItem *items;
        FileRoom room;
        FileCondition condition;
        void *condition_bytes;
        size_t n_items, n_stored;
        uint64_t size; /* of all items */
        SessionSpace space;
        char id[SESSION_ID_MAX + 1];
        uint64_t sequence; /* tells the session from a later one of the same id */
        int workspace_fd;
        uid_t uid;
        uint64_t disk_bytes_max, disk_bytes, entries_max;
} UploadWork;

static UploadWork *work_free(UploadWork *work) {
        if (!work)
                return NULL;
        form_done(&work->form);
        for (size_t i = 0; i < work->n_items; i++)
                free(work->items[i].path);
        free(work->items);
        free(work->condition_bytes);
        free(work->content_type);
        buffer_done(&work->bytes);
        kit_close_fd(&work->body.fd);
        kit_close_fd(&work->workspace_fd);
        free(work);
        return NULL;
}

static void upload_dispose(void *data) {
        UploadWork *work = take_ptr(((Upload *) data)->work);

        if (!work)
                return;
        work->upload = NULL;
        if (!work->busy)
                (void) work_free(work);
}

static void fail(Upload *upload, ErrorAnswer answer, const char *text) {
        respond_error(upload->req, upload->match.errors, answer, "%s", text);
}

static void fail_no_memory(Upload *upload) {
        fail(upload, (ErrorAnswer){.status = 503, .retry_after_s = 1},
             "The server has no memory for this request right now.");
}

Upload *upload_new(App *app, h2o_req_t *req, const RouteMatch *match) {
        Upload *upload = h2o_mem_alloc_shared(&req->pool, sizeof(*upload), upload_dispose);
        UploadWork *work = calloc(1, sizeof(*work));
        Slice content_type = request_header(req, "content-type");

        *upload = (Upload){.app = app, .req = req, .match = *match, .work = work};
        if (!work)
                return upload;
        work->app = app;
        work->upload = upload;
        work->workspace_fd = -1;
        work->body = request_take_body(req);
        if (work->body.fd < 0 && work->body.size > 0 &&
            buffer_append(&work->bytes, work->body.memory.data, work->body.memory.size) < 0) {
                upload->work = work_free(work);
                return upload;
        }
        if (work->body.fd < 0)
                work->body.memory = buffer_slice(&work->bytes);
        work->content_type = strndup(content_type.size > 0 ? (const char *) content_type.data : "",
                                     content_type.size);
        if (work->content_type)
                upload->body = work->body;
        else
                upload->work = work_free(work);
        return upload;
}

/* Gives the work to a thread, or answers that there are too many. */
static void start(UploadWork *work, int (*in_thread)(Chore *chore),
                  void (*done)(Chore *chore, int result)) {
        work->chore = (Chore){.work = in_thread, .done = done};
        if (chores_add(pool_chores(work->app->pool), &work->chore) == 0)
                work->busy = true;
        else
                fail(work->upload, (ErrorAnswer){.status = 503, .retry_after_s = 1},
                     "Too many files are being written; try again later.");
}

/* Whether there is still somebody to answer; else nothing is left of the work. */
static bool is_wanted(UploadWork *work) {
        work->busy = false;
        if (work->upload && !work->app->is_closed)
                return true;
        if (work->upload)
                work->upload->work = NULL;
        (void) work_free(work);
        return false;
}

/* ── The form ── */

static int parse_work(Chore *chore) {
        UploadWork *work = (UploadWork *) chore;

        work->form_is_read = form_parse(slice_of_text(work->content_type), &work->body, &work->form,
                                        &work->error);
        return 0;
}

static void have_form(UploadWork *work) {
        Upload *upload = work->upload;

        if (!work->form_is_read) {
                respond_reader_error(upload->req, upload->match.errors, &work->error);
                return;
        }
        upload->form = work->form;
        work->read(upload);
}

static void parse_done(Chore *chore, int result) {
        if (is_wanted((UploadWork *) chore))
                have_form((UploadWork *) chore);
}

void upload_read_form(Upload *upload, void (*read)(Upload *upload)) {
        UploadWork *work = upload->work;

        if (!work) {
                fail_no_memory(upload);
                return;
        }
        work->read = read;
        if (work->body.fd >= 0) {
                start(work, parse_work, parse_done);
                return;
        }
        (void) parse_work(&work->chore);
        have_form(work);
}

/* ── The files ── */

bool upload_add(Upload *upload, const char *field, Slice path, uint64_t offset, uint64_t size) {
        UploadWork *work = upload->work;
        const char *problem = file_path_problem(path);
        UploadItem *items;
        char *copy;

        if (problem) {
                respond_error(upload->req, upload->match.errors,
                              (ErrorAnswer){.status = 422, .field = field},
                              "The name of the file %s.", problem);
                return false;
        }
        if (size > upload->app->options->sessions.file_bytes_max) {
                respond_error(upload->req, upload->match.errors,
                              (ErrorAnswer){.status = 413, .field = field},
                              "The file has %llu bytes; this server takes files of at most %llu "
                              "(file-bytes).",
                              (unsigned long long) size,
                              (unsigned long long) upload->app->options->sessions.file_bytes_max);
                return false;
        }
        items = work ? reallocarray(work->items, work->n_items + 1, sizeof(*items)) : NULL;
        if (items)
                work->items = items;
        copy = items ? strndup((const char *) path.data, path.size) : NULL;
        if (!copy) {
                fail_no_memory(upload);
                return false;
        }
        items[work->n_items++] = (UploadItem){.path = copy, .offset = offset, .size = size};
        work->size += size;
        upload->items = items;
        upload->n_items = work->n_items;
        return true;
}

bool upload_demand(Upload *upload, const FileCondition *condition) {
        UploadWork *work = upload->work;

        if (work && file_condition_copy(condition, &work->condition, &work->condition_bytes) == 0)
                return true;
        fail_no_memory(upload);
        return false;
}

static int store_work(Chore *chore) {
        UploadWork *work = (UploadWork *) chore;
        int r = 0;

        while (r == 0 && work->n_stored < work->n_items) {
                UploadItem *item = &work->items[work->n_stored];
                FilePut put = {
                        .workspace_fd = work->workspace_fd,
                        .path = item->path,
                        .uid = work->uid,
                        .body = &work->body,
                        .offset = item->offset,
                        .size = item->size,
                        .disk_bytes_max = work->disk_bytes_max,
                        .entries_max = work->entries_max,
                        .is_short = !chore->is_long,
                        .room = &work->room,
                        .condition = work->condition,
                };

                r = file_put(&put);
                /* What has been stored by then stays. */
                if (r == -EBUSY && !chore->is_long)
                        return CHORE_IS_LONG;
                item->replaced = put.replaced;
                work->disk_bytes = put.disk_bytes;
                memcpy(item->etag, put.etag, sizeof(item->etag));
                if (r == 0)
                        work->n_stored++;
        }
        return r;
}

static void respond_quota(UploadWork *work) {
        const Upload *upload = work->upload;
        const UploadItem *item = &work->items[work->n_stored];

        if (work->disk_bytes == UINT64_MAX) {
                respond_error(
                        upload->req, upload->match.errors,
                        (ErrorAnswer){.status = 413, .field = "path"},
                        "The workspace holds more files, or deeper folders, than a session may "
                        "have; remove some.");
                return;
        }
        respond_error(
                upload->req, upload->match.errors, (ErrorAnswer){.status = 413, .field = "path"},
                "The workspace holds %llu bytes, and with the %llu of \"%.200s\" it would hold "
                "more than the %llu that the session may have (disk_mb).",
                (unsigned long long) work->disk_bytes, (unsigned long long) item->size, item->path,
                (unsigned long long) work->disk_bytes_max);
}

/* The status of the answer, and its sentence. */
static int store_problem(const UploadWork *work, int r, const char **ret_text) {
        switch (r) {
        case -EISDIR:
                *ret_text = "A folder has the name of the file; remove it first, or take another "
                            "name.";
                return 409;
        case -ENOTDIR:
                *ret_text = "What comes before the last slash of the file's name is no folder; "
                            "remove it first, or take another name.";
                return 409;
        case -ELOOP:
                *ret_text = "A symbolic link stands in the way of the file's name; none is "
                            "followed.";
                return 409;
        case -ENOENT:
        case -EEXIST:
                *ret_text = "A folder on the way to the file was moved or removed meanwhile.";
                return 409;
        case -ESTALE:
                *ret_text = "What has this name, or that nothing has it, is not what the request "
                            "demands (If-Match, If-None-Match, If-Unmodified-Since); nothing was "
                            "written.";
                return 412;
        case -ENOSPC:
                *ret_text = "The server's disk is full; nothing of the file has been kept.";
                return 507;
        case -EMFILE:
        case -ENFILE:
        case -ENOMEM:
        case -EAGAIN:
                *ret_text = "The server cannot write files right now; try again later.";
                return 503;
        default:
                (void) raise_error(r, "write a file of session %s", work->id);
                *ret_text = tree_is_disturbed(r)
                                    ? "The session's program changes the folder while the file is "
                                      "written; try again later."
                                    : "The file could not be written; the server's log says why.";
                return tree_is_disturbed(r) ? 409 : 500;
        }
}

static void respond_store_error(UploadWork *work, int r) {
        const char *text;
        int status;

        if (r == -EDQUOT) {
                respond_quota(work);
                return;
        }
        status = store_problem(work, r, &text);
        fail(work->upload,
             (ErrorAnswer){.status = status,
                           .field = status == 409 ? "path" : NULL,
                           .retry_after_s = status == 503   ? 1
                                            : status == 507 ? DISK_RETRY_S
                                                            : 0},
             text);
}

static void store_done(Chore *chore, int result) {
        UploadWork *work = (UploadWork *) chore;
        Session *session = NULL;
        SessionInfo info;

        if (!work->app->is_closed)
                session = session_find(work->app->pool, work->space, slice_of_text(work->id));
        if (session) {
                session_inspect(session, &info);
                if (info.sequence != work->sequence)
                        session = NULL;
        }
        if (session)
                session_touch(session);
        if (!is_wanted(work))
                return;
        if (!session)
                fail(work->upload, (ErrorAnswer){.status = 404},
                     "The session has ended while its file was written.");
        else if (result < 0)
                respond_store_error(work, result);
        else
                work->stored(work->upload);
}

void upload_store(Upload *upload, Session *session, void (*stored)(Upload *upload)) {
        UploadWork *work = upload->work;
        SessionInfo info;

        if (!work) {
                fail_no_memory(upload);
                return;
        }
        session_inspect(session, &info);
        (void) snprintf(work->id, sizeof(work->id), "%s", info.id);
        work->space = info.space;
        work->sequence = info.sequence;
        work->uid = session_uid(session);
        work->disk_bytes_max = info.limits.of[LIMIT_DISK_MB] << 20;
        work->entries_max = upload->app->options->sessions.files_max;
        work->stored = stored;
        /* Nothing need be written to know that. */
        if (work->n_items > 0 && work->size > work->disk_bytes_max) {
                work->disk_bytes = info.disk_bytes;
                respond_quota(work);
                return;
        }
        /* A body that lies in a file lies on that disk already. */
        if (pool_disk_is_short(upload->app->pool, work->body.fd < 0 ? work->size : 0)) {
                fail(upload, (ErrorAnswer){.status = 507, .retry_after_s = DISK_RETRY_S},
                     "The server's disk is nearly full; nothing has been stored. Try again later.");
                return;
        }
        work->workspace_fd = fcntl(session_workspace_fd(session), F_DUPFD_CLOEXEC, 3);
        if (work->workspace_fd < 0) {
                respond_store_error(work, -errno);
                return;
        }
        start(work, store_work, store_done);
}

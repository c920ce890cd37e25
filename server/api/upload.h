#pragma once
/*
 * upload: a request whose body goes to files of a session. Its route has BODY_FILES, and its body
 * may lie in a file of the server's. Reading a form and writing files are chores; the request
 * waits. When it ends before them, what has begun is finished (a file is there as a whole or not at
 * all), and nobody is answered.
 *
 * How an API uses it, for a form:
 *
 *     upload_read_form(upload_new(app, req, match), have_form);
 *
 *     static void have_form(Upload *upload) {
 *             const FormPart *id = form_find(&upload->form, "session_id");
 *             …                                       (find the session, or answer upload->req)
 *             if (!upload_add(upload, "file", part->filename, part->offset, part->size))
 *                     return;                         (has been answered)
 *             upload_store(upload, session, have_stored);
 *     }
 *
 *     static void have_stored(Upload *upload) {       (answer upload->req; all is written)
 *     }
 *
 * and for a body that is the file itself: upload_add(upload, …, 0, upload->body.size),
 * upload_store(). Whatever fails on the way has been answered in the route's style: 400 and 415 for
 * the form, 422 for a name, 409 where a folder stands, 413 past the session's disk limit, 507 on a
 * full disk, 503.
 */

#include "pool/session.h"
#include "server/app.h"
#include "server/body.h"
#include "server/file_condition.h"
#include "server/form.h"
#include "server/route.h"

typedef struct UploadItem {
        char *path; /* relative to the workspace */
        uint64_t offset, size;
        bool replaced;            /* a file of that name was there */
        char etag[FILE_ETAG_MAX]; /* when it has been written */
} UploadItem;

typedef struct Upload {
        App *app;
        h2o_req_t *req;
        RouteMatch match; /* copied; its slices live as long as req */
        Body body;
        Form form;         /* after upload_read_form() */
        UploadItem *items; /* in the order of upload_add() */
        size_t n_items;
        void *data;              /* the caller's */
        struct UploadWork *work; /* upload.c's own */
} Upload;

/* Takes the body of the request. In the request's pool; never NULL. */
Upload *upload_new(App *app, h2o_req_t *req, const RouteMatch *match);

/* read is called from the event loop, maybe from inside. */
void upload_read_form(Upload *upload, void (*read)(Upload *upload));

/* Adds a file. field: of the request, for errors. False: the path cannot be, and that has been
 * answered. */
bool upload_add(Upload *upload, const char *field, Slice path, uint64_t offset, uint64_t size);

/* Holds for each file that is written: where it does not, 412. False: that has been answered.
 * Without a call, nothing is demanded. */
bool upload_demand(Upload *upload, const FileCondition *condition);

/* Writes the files one after another; stored is called from the event loop, never from inside, when
 * all are written, and the session is still there. */
void upload_store(Upload *upload, Session *session, void (*stored)(Upload *upload));

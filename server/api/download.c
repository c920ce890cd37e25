#include "server/api/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "pool/chores.h"
#include "server/api/download_head.h"
#include "server/file_path.h"
#include "server/file_store.h"
#include "server/request.h"
#include "server/respond.h"

#define CHUNK_BYTES (256U << 10)

/* What a chore works on: it outlives the request, and shares nothing with it. */
typedef struct DownloadWork {
        Chore chore;
        App *app;
        struct Download *download; /* NULL: the request has ended */
        bool busy;                 /* a chore holds it */
        int workspace_fd, fd;
        struct stat status;
        uint64_t offset, left; /* of what is still to be read */
        size_t capacity, size; /* of the piece in bytes[] */
        uint8_t *bytes;
        char path[FILE_PATH_MAX + 1];
} DownloadWork;

typedef struct Download {
        h2o_generator_t super;
        h2o_req_t *req;
        ErrorStyle errors;
        DownloadOptions options;
        DownloadWork *work;
} Download;

static DownloadWork *work_free(DownloadWork *work) {
        if (!work)
                return NULL;
        kit_close_fd(&work->workspace_fd);
        kit_close_fd(&work->fd);
        free(work->bytes);
        free(work);
        return NULL;
}

static void download_dispose(void *data) {
        DownloadWork *work = take_ptr(((Download *) data)->work);

        if (!work)
                return;
        work->download = NULL;
        if (!work->busy)
                (void) work_free(work);
}

static bool is_wanted(DownloadWork *work) {
        work->busy = false;
        if (work->download && !work->app->is_closed)
                return true;
        if (work->download)
                work->download->work = NULL;
        (void) work_free(work);
        return false;
}

static bool start(DownloadWork *work, int (*in_thread)(Chore *chore),
                  void (*done)(Chore *chore, int result)) {
        work->chore = (Chore){.work = in_thread, .done = done};
        if (chores_add(pool_chores(work->app->pool), &work->chore) < 0)
                return false;
        work->busy = true;
        return true;
}

/* ── Pieces ── */

/* Fills the piece. Returns 0, or -EIO when the file ends before it should. */
static int read_piece(DownloadWork *work) {
        size_t wanted = work->left < work->capacity ? (size_t) work->left : work->capacity;

        for (work->size = 0; work->size < wanted;) {
                ssize_t n = pread(work->fd, work->bytes + work->size, wanted - work->size,
                                  (off_t) (work->offset + work->size));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return raise_errno("read a file of a session");
                if (n == 0)
                        return -EIO;
                work->size += (size_t) n;
        }
        work->offset += work->size;
        work->left -= work->size;
        return 0;
}

static int piece_work(Chore *chore) {
        return read_piece((DownloadWork *) chore);
}

static void send_piece(DownloadWork *work, int r) {
        h2o_req_t *req = work->download->req;
        h2o_iovec_t piece = {(char *) work->bytes, work->size};
        h2o_send_state_t state = H2O_SEND_STATE_IN_PROGRESS;

        if (r < 0) {
                /* Less can come than has been promised: the client has to see that. */
                req->http1_is_persistent = 0;
                state = H2O_SEND_STATE_ERROR;
        } else if (work->left == 0) {
                state = H2O_SEND_STATE_FINAL;
        }
        h2o_send(req, &piece, piece.len > 0 && r == 0 ? 1 : 0, state);
}

static void piece_done(Chore *chore, int result) {
        DownloadWork *work = (DownloadWork *) chore;

        if (is_wanted(work))
                send_piece(work, result);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req) {
        DownloadWork *work = ((Download *) generator)->work;

        request_renew_answer(req);
        /* Where no thread is free, the loop reads for itself. */
        if (!start(work, piece_work, piece_done))
                send_piece(work, read_piece(work));
}

static void on_stop(h2o_generator_t *generator, h2o_req_t *req) {
}

/* ── The beginning ── */

static void respond_no_file(Download *download, int r) {
        ErrorAnswer answer = {.status = 404};
        const char *text =
                download->options.not_found
                        ? download->options.not_found
                        : "The session has no file of this name; GET .../files lists what "
                          "there is.";

        if (r == -EISDIR && !download->options.not_found) {
                answer.status = 409;
                text = "This is a folder; GET .../files?path= lists what is in it.";
        } else if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) {
                answer = (ErrorAnswer){.status = 503, .retry_after_s = 1};
                text = "The server cannot open files right now; try again later.";
        }
        respond_error(download->req, download->errors, answer, "%s", text);
}

/* The head says what is to come; what has been read is of the file's beginning. */
static void begin(Download *download, DownloadWork *work) {
        h2o_req_t *req = download->req;
        DownloadHead head;

        download_head_make(req, work->path, download->options.attachment, &work->status, &head);
        if (head.status == 412) {
                respond_error(req, download->errors, (ErrorAnswer){.status = 412},
                              "The file is not the one that the request demands (If-Match, "
                              "If-Unmodified-Since).");
                return;
        }
        if (head.status == 416) {
                respond_error(req, download->errors, (ErrorAnswer){.status = 416},
                              "The range begins behind the end of the file, which has %llu bytes.",
                              (unsigned long long) work->status.st_size);
                return;
        }
        req->res.status = head.status;
        req->res.reason = respond_reason(head.status);
        if (head.status != 304)
                req->res.content_length = (size_t) head.size;
        h2o_start_response(req, &download->super);
        if (!head.has_body || head.size == 0) {
                h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
        } else if (head.offset == 0 && head.size >= work->size) {
                work->left = head.size - work->size;
                send_piece(work, 0);
        } else {
                work->offset = head.offset;
                work->left = head.size;
                on_proceed(&download->super, req);
        }
}

static int open_work(Chore *chore) {
        DownloadWork *work = (DownloadWork *) chore;
        uint64_t size;

        work->fd = file_open(work->workspace_fd, work->path, &work->status);
        close_fd(&work->workspace_fd);
        if (work->fd < 0)
                return work->fd;
        size = (uint64_t) work->status.st_size;
        work->capacity = size < CHUNK_BYTES ? (size_t) size : CHUNK_BYTES;
        work->bytes = malloc(work->capacity > 0 ? work->capacity : 1);
        if (!work->bytes)
                return raise_error(-ENOMEM, "send a file");
        work->left = work->capacity;
        return read_piece(work);
}

static void open_done(Chore *chore, int result) {
        DownloadWork *work = (DownloadWork *) chore;

        if (!is_wanted(work))
                return;
        /* It has shrunk before a byte of it was sent: it is sent as it is now. */
        if (result == -EIO && work->fd >= 0 && fstat(work->fd, &work->status) == 0 &&
            (uint64_t) work->status.st_size == work->size)
                result = 0;
        if (result < 0)
                respond_no_file(work->download, result);
        else
                begin(work->download, work);
}

void download_file(App *app, h2o_req_t *req, const RouteMatch *match, Session *session, Slice path,
                   const DownloadOptions *options) {
        Download *download = h2o_mem_alloc_shared(&req->pool, sizeof(*download), download_dispose);
        DownloadWork *work = calloc(1, sizeof(*work));

        *download = (Download){
                .super = {on_proceed, on_stop},
                .req = req,
                .errors = match->errors,
                .options = *options,
                .work = work,
        };
        if (!work || file_path_problem(path)) {
                respond_no_file(download, work ? -ENOENT : -ENOMEM);
                return;
        }
        /* As much as any: the descriptors are dearer than what a small file takes. */
        request_hold_answer(req, CHUNK_BYTES);
        work->app = app;
        work->download = download;
        work->fd = -1;
        memcpy(work->path, path.data, path.size);
        work->workspace_fd = fcntl(session_workspace_fd(session), F_DUPFD_CLOEXEC, 3);
        if (work->workspace_fd < 0)
                respond_no_file(download, -errno);
        else if (!start(work, open_work, open_done))
                respond_no_file(download, -ENOMEM);
}

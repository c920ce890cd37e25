#include "server/api/stream.h"

#include <errno.h>
#include <strings.h>

#include "kit/log.h"
#include "server/api/encode.h"
#include "server/api/event_queue.h"
#include "server/api/outflow.h"
#include "server/api/session_exchange.h"
#include "server/options.h"
#include "server/request.h"
#include "wire/run.h"

/* A comment is sent after so many seconds without an event, for proxies that end quiet ones. */
#define HEARTBEAT_S 15
/* Events are written while less than this waits for libh2o; the rest stays raw: it is smaller. */
#define WRITTEN_MAX (64U << 10)

typedef struct Stream {
        App *app;
        h2o_req_t *req;
        ErrorStyle errors;
        Run *run;
        SessionRun *session; /* NULL: the run is in no session */
        HangupWatch hangup;
        Outflow flow;
        char id[RUN_ID_SIZE];
        bool base64, variables;
        bool has_ended;  /* the last event is in the queue */
        bool has_failed; /* there was no room for an event: the answer is cut off */
        EventQueue queue;
        h2o_timeout_entry_t tick;
        unsigned quiet_s;
} Stream;

bool stream_is_wanted(h2o_req_t *req) {
        static const char wanted[] = "text/event-stream";
        Slice accept = request_header(req, "accept");

        for (size_t i = 0; i + sizeof(wanted) - 1 <= accept.size; i++) {
                if (strncasecmp((const char *) accept.data + i, wanted, sizeof(wanted) - 1) == 0)
                        return true;
        }
        return false;
}

static void cancel_run(Stream *stream) {
        hangup_unwatch(stream->app->hangups, &stream->hangup);
        if (stream->run)
                pool_cancel(stream->app->pool, take_ptr(stream->run));
}

static void stream_dispose(void *data) {
        Stream *stream = data;

        cancel_run(stream);
        h2o_timeout_unlink(&stream->tick);
        outflow_done(&stream->flow);
        event_queue_done(&stream->queue);
}

/* The run may be in the middle of a callback, where it cannot be cancelled: the timer does the rest
 * at once. */
static void fail(Stream *stream) {
        stream->has_failed = true;
        h2o_timeout_unlink(&stream->tick);
        h2o_timeout_link(stream->req->conn->ctx->loop, &stream->req->conn->ctx->zero_timeout,
                         &stream->tick);
}

static void end_failed(Stream *stream) {
        log_error("an event stream was cut off, for lack of room id=%s queued=%zu", stream->id,
                  stream->queue.bytes.size);
        cancel_run(stream);
        if (stream->flow.has_begun)
                outflow_break(&stream->flow);
        else
                respond_error(stream->req, stream->errors, (ErrorAnswer){.status = 503},
                              "The server has no memory for the output of this run.");
}

static void pump(void *data) {
        Stream *stream = data;

        if (stream->flow.in_flight || stream->flow.sent_last || stream->has_failed)
                return;
        if (event_queue_write(&stream->queue, &stream->flow.next, WRITTEN_MAX) < 0) {
                fail(stream);
                return;
        }
        if (stream->flow.next.size > 0)
                stream->quiet_s = 0;
        if (stream->has_ended && event_queue_is_empty(&stream->queue))
                outflow_end(&stream->flow);
        else
                outflow_flush(&stream->flow);
}

/* ── What the run says ── */

static void on_output(void *data, RunStream which, Slice bytes) {
        Stream *stream = data;

        if (stream->has_failed)
                return;
        if (event_queue_output(&stream->queue, which, bytes) < 0)
                fail(stream);
        else
                pump(stream);
}

static void on_display(void *data, Slice document) {
        Stream *stream = data;

        if (stream->has_failed)
                return;
        if (event_queue_push(&stream->queue, EVENT_DISPLAY, document) < 0)
                fail(stream);
        else
                pump(stream);
}

static int push_end(Stream *stream, const RunResult *result) {
        const AnswerOptions options = {
                .id = stream->id,
                .base64 = stream->base64,
                .variables = stream->variables,
                .session_id = stream->session ? stream->session->id : NULL,
                .without_streams = true,
        };
        _cleanup_(buffer_done) Buffer document = BUFFER_INIT(0);

        if (event_queue_end_output(&stream->queue) < 0)
                return -ENOMEM;
        if (result->value.size > 0 &&
            event_queue_push(&stream->queue, EVENT_RESULT, result->value) < 0)
                return -ENOMEM;
        if (answer_encode(result, &options, &document) < 0)
                return -ENOMEM;
        return event_queue_push(&stream->queue, EVENT_DONE, buffer_slice(&document));
}

static void end_refused(Stream *stream) {
        const char *text;
        ErrorAnswer answer = refused_problem(stream->app, &text);
        _cleanup_(buffer_done) Buffer document = BUFFER_INIT(0);

        if (!stream->flow.has_begun) {
                h2o_timeout_unlink(&stream->tick);
                respond_error(stream->req, stream->errors, answer, "%s", text);
                return;
        }
        stream->has_ended = true;
        if (respond_error_document(&document, ERRORS_PROBLEM, answer, text) < 0 ||
            event_queue_push(&stream->queue, EVENT_ERROR, buffer_slice(&document)) < 0)
                fail(stream);
        else
                pump(stream);
}

static void on_done(void *data, const RunResult *result) {
        Stream *stream = data;

        stream->run = NULL;
        hangup_unwatch(stream->app->hangups, &stream->hangup);
        if (stream->session && !result->refused)
                session_run_record(stream->session, stream->id, result);
        if (stream->has_failed)
                return;
        if (result->refused) {
                end_refused(stream);
                return;
        }
        stream->has_ended = true;
        if (push_end(stream, result) < 0) {
                fail(stream);
                return;
        }
        /* Until now there was a worker for it, of which there are not many. */
        request_hold_answer(stream->req, stream->queue.bytes.size - stream->queue.start);
        pump(stream);
}

static void on_gone(void *data) {
        Stream *stream = data;

        cancel_run(stream);
        h2o_timeout_unlink(&stream->tick);
        if (stream->flow.has_begun) {
                outflow_break(&stream->flow);
                return;
        }
        stream->req->http1_is_persistent = 0;
        respond_error(stream->req, stream->errors, (ErrorAnswer){.status = 499},
                      "The client closed its side of the connection before the run had ended.");
}

/* ── Life ── */

static void on_tick(h2o_timeout_entry_t *entry) {
        Stream *stream = H2O_STRUCT_FROM_MEMBER(Stream, tick, entry);

        if (stream->has_failed) {
                end_failed(stream);
                return;
        }
        if (stream->flow.sent_last || stream->flow.broken)
                return;
        if (++stream->quiet_s >= HEARTBEAT_S && !stream->flow.in_flight) {
                stream->quiet_s = 0;
                if (buffer_append(&stream->flow.next, ": waiting\n\n", 11) == 0)
                        outflow_flush(&stream->flow);
        }
        h2o_timeout_link(stream->req->conn->ctx->loop, &stream->req->conn->ctx->one_sec_timeout,
                         &stream->tick);
}

/* What a run can produce at most, unless it writes single bytes to both streams in turn to a client
 * that does not read; such a stream is cut off. */
static size_t queue_limit(const Options *options, const RunRequest *run) {
        return 2 * run->limits.of[LIMIT_OUTPUT_BYTES] +
               (RESULT_DISPLAYS_MAX + 3) * options->value_bytes_max +
               2 * options->collect_bytes_max + (8U << 20);
}

static Stream *stream_new(App *app, h2o_req_t *req, const RouteMatch *match,
                          const ExecuteRequest *request) {
        Stream *stream = h2o_mem_alloc_shared(&req->pool, sizeof(*stream), stream_dispose);

        *stream = (Stream){
                .app = app,
                .req = req,
                .errors = match->errors,
                .base64 = request->base64,
                .variables = request->wants_variables,
                .tick.cb = on_tick,
        };
        make_run_id(stream->id);
        event_queue_init(&stream->queue, queue_limit(app->options, &request->run), request->base64);
        outflow_init(&stream->flow, req, "text/event-stream; charset=utf-8", pump, stream);
        return stream;
}

void stream_execute(App *app, h2o_req_t *req, const RouteMatch *match,
                    const ExecuteRequest *request, Session *session) {
        static const RunCallbacks callbacks = {
                .output = on_output,
                .display = on_display,
                .done = on_done,
        };
        Stream *stream = stream_new(app, req, match, request);
        const char *text;
        int r;

        if (session)
                r = session_run_submit(app, req, session, &request->run, &callbacks, stream,
                                       &stream->session, &stream->run);
        else
                r = pool_submit(app->pool, &request->run, &callbacks, stream, &stream->run);
        if (r != POOL_OK) {
                ErrorAnswer answer =
                        session ? session_problem(app, r, &text) : submit_problem(app, r, &text);

                respond_error(req, match->errors, answer, "%s", text);
                return;
        }
        hangup_watch(app->hangups, req, &stream->hangup, on_gone, stream);
        h2o_timeout_link(req->conn->ctx->loop, &req->conn->ctx->one_sec_timeout, &stream->tick);
}

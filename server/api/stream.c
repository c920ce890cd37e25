#include "server/api/stream.h"

#include <assert.h>
#include <errno.h>
#include <strings.h>

#include "jsontext/utf8.h"
#include "jsontext/write.h"
#include "kit/log.h"
#include "server/api/encode.h"
#include "server/api/outflow.h"
#include "server/options.h"
#include "server/request.h"
#include "wire/run.h"

/* A comment is sent after so many seconds without an event, for proxies that end quiet connections.
 */
#define HEARTBEAT_S 15
/* Events are written while less than this waits for libh2o; the rest stays raw, which is smaller.
 */
#define WRITTEN_MAX (64U << 10)
#define PIECE_MAX   (32U << 10)

typedef enum EventKind {
        EVENT_STDOUT,
        EVENT_STDERR,
        EVENT_DISPLAY,
        EVENT_RESULT,
        EVENT_DONE,
        EVENT_ERROR,
        _EVENTS
} EventKind;

static const char *const event_names[_EVENTS] = {
        [EVENT_STDOUT] = "stdout", [EVENT_STDERR] = "stderr", [EVENT_DISPLAY] = "display",
        [EVENT_RESULT] = "result", [EVENT_DONE] = "done",     [EVENT_ERROR] = "error",
};

/* In the queue, each event is one of these and its bytes. */
typedef struct Event {
        uint32_t kind;
        uint32_t size;
} Event;

typedef struct Stream {
        App *app;
        h2o_req_t *req;
        ErrorStyle errors;
        Run *run;
        HangupWatch hangup;
        Outflow flow;
        char id[RUN_ID_SIZE];
        bool base64, variables;
        bool has_ended;                /* the last event is in the queue */
        bool has_failed;               /* there was no room for an event: the answer is cut off */
        Buffer queue;                  /* events that are not written yet, in order */
        size_t queue_start;            /* the bytes before it have been taken */
        size_t last_event;             /* offset of the newest one; valid while there is one */
        uint8_t held[_RUN_STREAMS][4]; /* the beginning of a character whose end has not come yet */
        size_t held_size[_RUN_STREAMS];
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
        buffer_done(&stream->queue);
}

/* ── From the queue to the client ── */

static int write_event(Buffer *out, EventKind kind, Slice bytes, bool base64) {
        JsonWriter writer = JSON_WRITER(out);
        size_t data_start;
        int r;

        if (buffer_append(out, "event: ", 7) < 0 ||
            buffer_append(out, event_names[kind], strlen(event_names[kind])) < 0 ||
            buffer_append(out, "\ndata: ", 7) < 0)
                return -ENOMEM;
        data_start = out->size;
        if (kind == EVENT_STDOUT || kind == EVENT_STDERR) {
                json_begin_object(&writer);
                json_key(&writer, base64 ? "base64" : "text");
                if (base64)
                        json_base64(&writer, bytes, SLICE_NULL);
                else
                        json_text(&writer, bytes);
                json_end_object(&writer);
                r = writer.error;
        } else
                r = buffer_append(out, bytes.data, bytes.size);
        if (r < 0)
                return r;
        answer_flatten(out, data_start);
        return buffer_append(out, "\n\n", 2);
}

/* How much of an event's bytes to write now: streams may be cut, between characters. */
static size_t piece_size(const Stream *stream, EventKind kind, Slice bytes) {
        Slice piece = slice_of(bytes.data, PIECE_MAX);

        if (bytes.size <= PIECE_MAX || (kind != EVENT_STDOUT && kind != EVENT_STDERR))
                return bytes.size;
        return stream->base64 ? PIECE_MAX / 3 * 3 : PIECE_MAX - utf8_unfinished_tail(piece);
}

static int write_next(Stream *stream) {
        uint8_t *at = stream->queue.data + stream->queue_start;
        Event event;
        size_t size;
        int r;

        memcpy(&event, at, sizeof(event));
        size = piece_size(stream, event.kind, slice_of(at + sizeof(event), event.size));
        r = write_event(&stream->flow.next, event.kind, slice_of(at + sizeof(event), size),
                        stream->base64);
        if (r < 0)
                return r;
        if (size == event.size) {
                stream->queue_start += sizeof(event) + size;
                return 0;
        }
        /* The rest becomes an event of its own; its head takes the place of bytes that have been
         * written. */
        if (stream->last_event == stream->queue_start)
                stream->last_event += size;
        stream->queue_start += size;
        event.size -= (uint32_t) size;
        memcpy(stream->queue.data + stream->queue_start, &event, sizeof(event));
        return 0;
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
                  stream->queue.size - stream->queue_start);
        cancel_run(stream);
        if (stream->flow.has_begun)
                outflow_break(&stream->flow);
        else
                respond_error(stream->req, stream->errors, (ErrorAnswer){.status = 503},
                              "The server has no memory for the output of this run.");
}

/* Moves the queue to the front once most of it has been taken, so that each byte is moved about
 * once. */
static void compact(Stream *stream) {
        if (stream->queue_start < stream->queue.size &&
            stream->queue_start < stream->queue.size / 2)
                return;
        buffer_consume(&stream->queue, stream->queue_start);
        stream->last_event -= stream->queue_start;
        stream->queue_start = 0;
}

static void pump(void *data) {
        Stream *stream = data;

        if (stream->flow.in_flight || stream->flow.sent_last || stream->has_failed)
                return;
        while (stream->queue_start < stream->queue.size && stream->flow.next.size < WRITTEN_MAX) {
                if (write_next(stream) < 0) {
                        fail(stream);
                        return;
                }
        }
        compact(stream);
        if (stream->flow.next.size > 0)
                stream->quiet_s = 0;
        if (stream->has_ended && stream->queue.size == 0)
                outflow_end(&stream->flow);
        else
                outflow_flush(&stream->flow);
}

/* ── From the run to the queue ── */

/* Output that follows output of the same stream joins it while it waits. */
static int push(Stream *stream, EventKind kind, Slice bytes) {
        bool joins = stream->queue_start < stream->queue.size &&
                     (kind == EVENT_STDOUT || kind == EVENT_STDERR);
        Event event = {.kind = kind, .size = (uint32_t) bytes.size};
        Event last;
        int r;

        if (joins) {
                memcpy(&last, stream->queue.data + stream->last_event, sizeof(last));
                joins = last.kind == kind;
        }
        r = buffer_reserve(&stream->queue, sizeof(event) + bytes.size);
        if (r < 0)
                return r;
        if (!joins) {
                stream->last_event = stream->queue.size;
                r = buffer_append(&stream->queue, &event, sizeof(event));
                assert(r == 0);
                return buffer_append(&stream->queue, bytes.data, bytes.size);
        }
        last.size += event.size;
        memcpy(stream->queue.data + stream->last_event, &last, sizeof(last));
        return buffer_append(&stream->queue, bytes.data, bytes.size);
}

/* Adds bytes to a character that was begun, until it is complete or can be none. */
static int push_held(Stream *stream, RunStream which, EventKind kind, Slice *bytes) {
        uint8_t *held = stream->held[which];
        size_t *size = &stream->held_size[which];
        int r = 0;

        while (*size > 0 && bytes->size > 0 && r == 0) {
                size_t unfinished;

                held[(*size)++] = *bytes->data;
                *bytes = slice_of(bytes->data + 1, bytes->size - 1);
                unfinished = utf8_unfinished_tail(slice_of(held, *size));
                if (unfinished < *size)
                        r = push(stream, kind, slice_of(held, *size - unfinished));
                memmove(held, held + (*size - unfinished), unfinished);
                *size = unfinished;
        }
        return r;
}

static int push_output(Stream *stream, RunStream which, Slice bytes) {
        EventKind kind = which == RUN_STDOUT ? EVENT_STDOUT : EVENT_STDERR;
        size_t unfinished;
        int r;

        if (stream->base64)
                return push(stream, kind, bytes);
        r = push_held(stream, which, kind, &bytes);
        if (r < 0 || bytes.size == 0)
                return r;
        unfinished = utf8_unfinished_tail(bytes);
        memcpy(stream->held[which], bytes.data + bytes.size - unfinished, unfinished);
        stream->held_size[which] = unfinished;
        if (bytes.size == unfinished)
                return 0;
        return push(stream, kind, slice_of(bytes.data, bytes.size - unfinished));
}

static void on_output(void *data, RunStream which, Slice bytes) {
        Stream *stream = data;

        if (stream->has_failed)
                return;
        if (push_output(stream, which, bytes) < 0)
                fail(stream);
        else
                pump(stream);
}

static void on_display(void *data, Slice document) {
        Stream *stream = data;

        if (stream->has_failed)
                return;
        if (push(stream, EVENT_DISPLAY, document) < 0)
                fail(stream);
        else
                pump(stream);
}

static int push_end(Stream *stream, const RunResult *result) {
        const AnswerOptions options = {
                .id = stream->id,
                .base64 = stream->base64,
                .variables = stream->variables,
                .without_streams = true,
        };
        _cleanup_(buffer_done) Buffer document = BUFFER_INIT(0);

        for (int i = 0; i < _RUN_STREAMS; i++) {
                Slice held = slice_of(stream->held[i], stream->held_size[i]);

                if (held.size > 0 &&
                    push(stream, i == RUN_STDOUT ? EVENT_STDOUT : EVENT_STDERR, held) < 0)
                        return -ENOMEM;
        }
        if (result->value.size > 0 && push(stream, EVENT_RESULT, result->value) < 0)
                return -ENOMEM;
        if (answer_encode(result, &options, &document) < 0)
                return -ENOMEM;
        return push(stream, EVENT_DONE, buffer_slice(&document));
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
            push(stream, EVENT_ERROR, buffer_slice(&document)) < 0)
                fail(stream);
        else
                pump(stream);
}

static void on_done(void *data, const RunResult *result) {
        Stream *stream = data;

        stream->run = NULL;
        hangup_unwatch(stream->app->hangups, &stream->hangup);
        if (stream->has_failed)
                return;
        if (result->refused) {
                end_refused(stream);
                return;
        }
        stream->has_ended = true;
        if (push_end(stream, result) < 0)
                fail(stream);
        else
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
                .queue = BUFFER_INIT(queue_limit(app->options, &request->run)),
                .tick.cb = on_tick,
        };
        make_run_id(stream->id);
        outflow_init(&stream->flow, req, "text/event-stream; charset=utf-8", pump, stream);
        return stream;
}

void stream_execute(App *app, h2o_req_t *req, const RouteMatch *match,
                    const ExecuteRequest *request) {
        static const RunCallbacks callbacks = {
                .output = on_output,
                .display = on_display,
                .done = on_done,
        };
        Stream *stream = stream_new(app, req, match, request);
        const char *text;
        int r;

        r = pool_submit(app->pool, &request->run, &callbacks, stream, &stream->run);
        if (r != POOL_OK) {
                ErrorAnswer answer = submit_problem(app, r, &text);

                respond_error(req, match->errors, answer, "%s", text);
                return;
        }
        hangup_watch(app->hangups, req, &stream->hangup, on_gone, stream);
        h2o_timeout_link(req->conn->ctx->loop, &req->conn->ctx->one_sec_timeout, &stream->tick);
        app->pool_submitted(app);
}

/* batch: POST /v1/batch. Runs are decoded and submitted one by one as others end, and answers leave
 * in the order in which they come, so neither the length of a batch nor a client that reads slowly
 * makes anything here grow. */

#include "server/api/api.h"

#include <strings.h>

#include "jsontext/write.h"
#include "kit/clock.h"
#include "kit/log.h"
#include "server/api/batch_input.h"
#include "server/api/encode.h"
#include "server/api/exchange.h"
#include "server/api/outflow.h"
#include "server/options.h"
#include "server/request.h"

/* No run is submitted while so many bytes of answers wait for the client. */
#define UNREAD_MAX (1U << 20)
#define HELD_STEP  (64U << 10)

typedef struct Batch Batch;

typedef struct BatchRun {
        Batch *batch;
        Run *run; /* NULL: this place is free */
        size_t index;
        Slice client_id;
        bool base64, variables;
        char id[RUN_ID_SIZE];
} BatchRun;

struct Batch {
        App *app;
        h2o_req_t *req;
        ErrorStyle errors;
        HangupWatch hangup;
        Outflow flow;
        Reader reader;
        DecodeContext context;
        BatchInput input;
        BatchRun *runs; /* as many as may be under way, in the request's pool */
        unsigned n_under_way, runs_max;
        size_t held; /* the most that has waited to be read, as its connection knows it */
        h2o_timeout_entry_t retry;
        uint64_t refused_since_ns; /* the queue has been full for this batch since then; 0: it was
                                      not */
};

static void advance(void *data);

static void cancel_all(Batch *batch) {
        hangup_unwatch(batch->app->hangups, &batch->hangup);
        h2o_timeout_unlink(&batch->retry);
        for (unsigned i = 0; i < batch->runs_max; i++) {
                if (batch->runs[i].run)
                        pool_cancel(batch->app->pool, take_ptr(batch->runs[i].run));
        }
        batch->n_under_way = 0;
}

static void batch_dispose(void *data) {
        Batch *batch = data;

        cancel_all(batch);
        outflow_done(&batch->flow);
        reader_done(&batch->reader);
}

static void on_gone(void *data) {
        Batch *batch = data;

        cancel_all(batch);
        if (batch->flow.has_begun) {
                outflow_break(&batch->flow);
                return;
        }
        batch->req->http1_is_persistent = 0;
        respond_error(batch->req, batch->errors, (ErrorAnswer){.status = 499},
                      "The client closed its side of the connection before the batch had ended.");
}

/* ── Lines of the answer ── */

static void begin_line(JsonWriter *writer, size_t index, Slice client_id) {
        json_begin_object(writer);
        json_key(writer, "index");
        json_integer(writer, (int64_t) index);
        json_key(writer, "id");
        if (client_id.size > 0)
                json_raw(writer, client_id);
        else
                json_null(writer);
}

static int end_line(JsonWriter *writer) {
        json_end_object(writer);
        return writer->error < 0 ? writer->error : buffer_append(writer->out, "\n", 1);
}

static int try_write_result(Buffer *out, const BatchRun *run, const RunResult *result) {
        const AnswerOptions options = {
                .id = run->id,
                .base64 = run->base64,
                .variables = run->variables,
        };
        JsonWriter writer = JSON_WRITER(out);
        int r;

        begin_line(&writer, run->index, run->client_id);
        json_key(&writer, "result");
        r = writer.error < 0 ? writer.error : answer_encode(result, &options, out);
        return r < 0 ? r : end_line(&writer);
}

static int try_write_error(Buffer *out, size_t index, Slice client_id, ErrorAnswer answer,
                           const char *text) {
        JsonWriter writer = JSON_WRITER(out);
        int r;

        begin_line(&writer, index, client_id);
        json_key(&writer, "error");
        r = writer.error < 0 ? writer.error
                             : respond_error_document(out, ERRORS_PROBLEM, answer, text);
        return r < 0 ? r : end_line(&writer);
}

static void write_error(Batch *batch, size_t index, Slice client_id, ErrorAnswer answer,
                        const char *text) {
        if (try_write_error(&batch->flow.next, index, client_id, answer, text) == 0)
                return;
        /* Without room for one line more, the client can only learn that the answer is not whole.
         */
        log_error("a batch was cut off, for lack of memory index=%zu", index);
        cancel_all(batch);
        batch->flow.broken = true;
}

static void write_result(Batch *batch, const BatchRun *run, const RunResult *result) {
        size_t start = batch->flow.next.size;

        if (try_write_result(&batch->flow.next, run, result) == 0)
                return;
        batch->flow.next.size = start;
        write_error(batch, run->index, run->client_id, (ErrorAnswer){.status = 503},
                    "The run has ended, but the server has no memory for its answer.");
}

/* ── Runs ── */

static size_t unread_bytes(const Batch *batch) {
        return batch->flow.next.size + (batch->flow.in_flight ? batch->flow.sending.size : 0);
}

/* Small ones are not worth it. */
static void hold(Batch *batch) {
        size_t unread = unread_bytes(batch);

        if (unread < batch->held + HELD_STEP)
                return;
        request_hold_answer(batch->req, unread - batch->held);
        batch->held = unread;
}

static void on_done(void *data, const RunResult *result) {
        BatchRun *run = data;
        Batch *batch = run->batch;
        const char *text;

        run->run = NULL;
        batch->n_under_way--;
        if (result->refused) {
                ErrorAnswer answer = refused_problem(batch->app, &text);

                write_error(batch, run->index, run->client_id, answer, text);
        } else
                write_result(batch, run, result);
        hold(batch);
        advance(batch);
}

static BatchRun *free_place(Batch *batch) {
        for (unsigned i = 0; i < batch->runs_max; i++) {
                if (!batch->runs[i].run)
                        return &batch->runs[i];
        }
        return NULL;
}

/* The queue is full: whether to try the same run again, later. */
static bool is_worth_waiting(Batch *batch) {
        uint64_t now_ns = clock_now_ns();

        if (batch->refused_since_ns == 0)
                batch->refused_since_ns = now_ns;
        return batch->n_under_way > 0 ||
               now_ns - batch->refused_since_ns < batch->app->options->queue_wait_ms * NS_PER_MS;
}

/* Returns false when the element has to wait. */
static bool submit(Batch *batch, const ExecuteRequest *request) {
        static const RunCallbacks callbacks = {.done = on_done};
        BatchRun *run = free_place(batch);
        const char *text;
        int r;

        *run = (BatchRun){
                .batch = batch,
                .index = batch->input.index,
                .client_id = request->id,
                .base64 = request->base64,
                .variables = request->wants_variables,
        };
        make_run_id(run->id);
        r = pool_submit(batch->app->pool, &request->run, &callbacks, run, &run->run);
        if (r == POOL_E_QUEUE_FULL && is_worth_waiting(batch))
                return false;
        if (r == POOL_OK) {
                batch->refused_since_ns = 0;
                batch->n_under_way++;
        } else {
                ErrorAnswer answer = submit_problem(batch->app, r, &text);

                run->run = NULL;
                write_error(batch, run->index, run->client_id, answer, text);
        }
        return true;
}

static bool take_element(Batch *batch) {
        _cleanup_(execute_request_done) ExecuteRequest request;
        const ReaderError *error = &request.reader.error;
        Slice element = batch->input.element;

        if (execute_request_decode(&request, &batch->context, element))
                return submit(batch, &request);
        write_error(batch, batch->input.index, batch_element_id(element),
                    (ErrorAnswer){.status = error->status,
                                  .field = error->field[0] ? error->field : NULL},
                    error->text);
        return true;
}

static bool may_take(const Batch *batch) {
        return batch->input.has_element && !batch->flow.broken &&
               unread_bytes(batch) < UNREAD_MAX && batch->n_under_way < batch->runs_max;
}

/* When nothing of this batch is under way, no end of a run will bring us back: time does. */
static void retry_later(Batch *batch) {
        if (batch->n_under_way == 0 && !h2o_timeout_is_linked(&batch->retry))
                h2o_timeout_link(batch->req->conn->ctx->loop,
                                 &batch->req->conn->ctx->hundred_ms_timeout, &batch->retry);
}

static void advance(void *data) {
        Batch *batch = data;

        while (may_take(batch)) {
                if (!take_element(batch)) {
                        retry_later(batch);
                        break;
                }
                batch_input_advance(&batch->input);
        }
        if (batch->flow.broken)
                outflow_break(&batch->flow);
        else if (!batch->input.has_element && batch->n_under_way == 0) {
                hangup_unwatch(batch->app->hangups, &batch->hangup);
                outflow_end(&batch->flow);
        } else
                outflow_flush(&batch->flow);
}

static void on_retry(h2o_timeout_entry_t *entry) {
        advance(H2O_STRUCT_FROM_MEMBER(Batch, retry, entry));
}

static bool says_lines(h2o_req_t *req) {
        Slice type = request_header(req, "content-type");
        static const char *const names[] = {"application/x-ndjson", "application/ndjson",
                                            "application/jsonl", "application/x-jsonlines",
                                            "application/jsonlines"};

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                size_t size = strlen(names[i]);

                if (type.size >= size && strncasecmp((const char *) type.data, names[i], size) == 0)
                        return true;
        }
        return false;
}

void handle_batch(App *app, h2o_req_t *req, const RouteMatch *match) {
        unsigned runs_max = app->options->batch_runs_max > 0 ? app->options->batch_runs_max : 1;
        BatchRun *runs = h2o_mem_alloc_pool(&req->pool, runs_max * sizeof(*runs));
        Batch *batch = h2o_mem_alloc_shared(&req->pool, sizeof(*batch), batch_dispose);

        memset(runs, 0, runs_max * sizeof(*runs));
        *batch = (Batch){
                .app = app,
                .req = req,
                .errors = match->errors,
                .context = decode_context(app),
                .runs = runs,
                .runs_max = runs_max,
                .retry.cb = on_retry,
        };
        batch->context.allow_id = true;
        outflow_init(&batch->flow, req, "application/x-ndjson", advance, batch);
        if (!batch_input_open(&batch->input, &batch->reader, &batch->context, request_body(req),
                              says_lines(req))) {
                respond_reader_error(req, match->errors, &batch->reader.error);
                return;
        }
        hangup_watch(app->hangups, req, &batch->hangup, on_gone, batch);
        advance(batch);
}

#include "server/api/exchange.h"

#include "server/options.h"

/* libh2o frees the request: the answer is out, or the client is gone. It may call this twice. */
static void exchange_dispose(void *data) {
        Exchange *exchange = data;

        hangup_unwatch(exchange->app->hangups, &exchange->hangup);
        if (exchange->run)
                pool_cancel(exchange->app->pool, take_ptr(exchange->run));
}

/* The answer to a client that has gone only makes libh2o write, notice, and free the request; and
 * it is what the access log shows. Who has closed no more than its sending side reads why nothing
 * came. */
static void on_gone(void *data) {
        Exchange *exchange = data;

        pool_cancel(exchange->app->pool, take_ptr(exchange->run));
        exchange->req->http1_is_persistent = 0;
        respond_error(exchange->req, exchange->errors, (ErrorAnswer){.status = 499},
                      "The client closed its side of the connection before the run had ended.");
}

Exchange *exchange_new(App *app, h2o_req_t *req, const RouteMatch *match,
                       void (*answer)(Exchange *exchange, const RunResult *result)) {
        Exchange *exchange = h2o_mem_alloc_shared(&req->pool, sizeof(*exchange), exchange_dispose);

        *exchange = (Exchange){.app = app, .req = req, .errors = match->errors, .answer = answer};
        make_run_id(exchange->id);
        return exchange;
}

void exchange_done(void *data, const RunResult *result) {
        Exchange *exchange = data;
        const char *text;

        exchange->run = NULL;
        hangup_unwatch(exchange->app->hangups, &exchange->hangup);
        if (result->refused) {
                ErrorAnswer answer = refused_problem(exchange->app, &text);

                respond_error(exchange->req, exchange->errors, answer, "%s", text);
                return;
        }
        if (!exchange->ended) {
                exchange->answer(exchange, result);
                return;
        }
        h2o_mem_addref_shared(exchange);
        if (exchange->session)
                h2o_mem_addref_shared(exchange->session);
        exchange->answer(exchange, result);
        exchange->ended(exchange, result);
        if (exchange->session)
                h2o_mem_release_shared(exchange->session);
        h2o_mem_release_shared(exchange);
}

void exchange_wait(Exchange *exchange) {
        hangup_watch(exchange->app->hangups, exchange->req, &exchange->hangup, on_gone, exchange);
}

void exchange_submit(Exchange *exchange, const RunRequest *run) {
        static const RunCallbacks callbacks = {.done = exchange_done};
        App *app = exchange->app;
        const char *text;
        int r;

        r = pool_submit(app->pool, run, &callbacks, exchange, &exchange->run);
        if (r != POOL_OK) {
                ErrorAnswer answer = submit_problem(app, r, &text);

                respond_error(exchange->req, exchange->errors, answer, "%s", text);
                return;
        }
        exchange_wait(exchange);
}

Slice request_body(const h2o_req_t *req) {
        return slice_of(req->entity.base, req->entity.len);
}

DecodeContext decode_context(const App *app) {
        return (DecodeContext){
                .templates = app->options->templates,
                .n_templates = app->options->n_templates,
        };
}

RunRequest standard_run(const App *app) {
        return (RunRequest){
                .limits = limit_policy_defaults(&app->options->templates[0].limits),
        };
}

ErrorAnswer submit_problem(const App *app, int r, const char **ret_text) {
        switch (r) {
        case POOL_E_QUEUE_FULL:
                *ret_text = "Every worker is busy and the queue is full; try again later.";
                return (ErrorAnswer){.status = 503, .retry_after_s = pool_retry_after_s(app->pool)};
        case POOL_E_DRAINING:
                *ret_text = "The server is shutting down and takes no more runs.";
                return (ErrorAnswer){.status = 503, .retry_after_s = pool_retry_after_s(app->pool)};
        case POOL_E_TOO_LARGE:
                *ret_text = "The run's code, data and files together are too large for a worker.";
                return (ErrorAnswer){.status = 413};
        default:
                *ret_text = "The server could not take the run, through a failure of its own.";
                return (ErrorAnswer){.status = 500};
        }
}

ErrorAnswer refused_problem(const App *app, const char **ret_text) {
        *ret_text = "The run waited too long for a worker and was not started; try again later.";
        return (ErrorAnswer){.status = 503, .retry_after_s = pool_retry_after_s(app->pool)};
}

/* Only a problem document has a member of its own for the field. */
void respond_reader_error(h2o_req_t *req, ErrorStyle style, const ReaderError *error) {
        bool has_field = error->field[0] != '\0';
        bool is_in_text = has_field && style != ERRORS_PROBLEM;

        respond_error(req, style,
                      (ErrorAnswer){
                              .status = error->status,
                              .field = has_field ? error->field : NULL,
                      },
                      "%s%s%s", is_in_text ? error->field : "", is_in_text ? ": " : "",
                      error->text);
}

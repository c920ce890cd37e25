#pragma once
/*
 * exchange: one HTTP request that waits for one run. It lives in the request's memory pool, so it
 * ends with the request however that ends; a run still under way is cancelled then. The answer
 * leaves exactly once.
 */

#include <h2o.h>

#include "pool/pool.h"
#include "server/api/decode.h"
#include "server/hangup.h"
#include "server/respond.h"
#include "server/route.h"

typedef struct Exchange Exchange;
typedef struct SessionRun SessionRun; /* session_exchange.h */

struct Exchange {
        App *app;
        h2o_req_t *req;
        ErrorStyle errors;
        Run *run; /* NULL before it is submitted and once it has ended */
        HangupWatch hangup;
        char id[RUN_ID_SIZE];
        /* Sends the answer of a run that took place. */
        void (*answer)(Exchange *exchange, const RunResult *result);
        /* Called after it, while nobody waits any more; or NULL. */
        void (*ended)(Exchange *exchange, const RunResult *result);
        /* What the answer has to know of the request. */
        bool base64;
        bool variables;
        SessionRun *session; /* NULL: the run is in no session */
        void *data;          /* of the API, in the request's pool */
};

/* In the request's pool; never NULL (libh2o ends the process when it has no memory). */
Exchange *exchange_new(App *app, h2o_req_t *req, const RouteMatch *match,
                       void (*answer)(Exchange *exchange, const RunResult *result));

/* Submits the run, or answers that it cannot be. Borrows run for the time of the call. */
void exchange_submit(Exchange *exchange, const RunRequest *run);

/* The two halves of that, for who submits in another way: the run's callback (data is the
 * exchange), and what is to be done once exchange->run is set. */
void exchange_done(void *data, const RunResult *result);
void exchange_wait(Exchange *exchange);

/* The native API's answer to a run, in execute.c. */
void execute_answer(Exchange *exchange, const RunResult *result);

/* The body of a request. */
Slice request_body(const h2o_req_t *req);

/* The templates to decode against. */
DecodeContext decode_context(const App *app);

/* A run of the standard template with the standard limits and nothing set, for the compatible APIs.
 */
RunRequest standard_run(const App *app);

/* What to tell of a submission that has failed with r, which is not POOL_OK; ret_text is a
 * sentence. */
ErrorAnswer submit_problem(const App *app, int r, const char **ret_text);
/* … of a run that was refused after it had waited. */
ErrorAnswer refused_problem(const App *app, const char **ret_text);

/* Answers with the reader's error. */
void respond_reader_error(h2o_req_t *req, ErrorStyle style, const ReaderError *error);

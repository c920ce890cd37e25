/* execute: POST /v1/execute. */

#include "server/api/api.h"
#include "server/api/encode.h"
#include "server/api/exchange.h"
#include "server/api/session_exchange.h"
#include "server/api/stream.h"

void execute_answer(Exchange *exchange, const RunResult *result) {
        const AnswerOptions options = {
                .id = exchange->id,
                .base64 = exchange->base64,
                .variables = exchange->variables,
                .session_id = exchange->session ? exchange->session->id : NULL,
        };
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);

        if (answer_encode(result, &options, &body) < 0) {
                respond_error(exchange->req, exchange->errors, (ErrorAnswer){.status = 503},
                              "The run has ended, but the server has no memory for its answer.");
                return;
        }
        respond_json(exchange->req, 200, &body);
}

void handle_execute(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(execute_request_done) ExecuteRequest request;
        DecodeContext context = decode_context(app);
        Exchange *exchange;

        if (!execute_request_decode(&request, &context, request_body(req))) {
                respond_reader_error(req, match->errors, &request.reader.error);
                return;
        }
        if (stream_is_wanted(req)) {
                stream_execute(app, req, match, &request, NULL);
                return;
        }
        exchange = exchange_new(app, req, match, execute_answer);
        exchange->base64 = request.base64;
        exchange->variables = request.wants_variables;
        exchange_submit(exchange, &request.run);
}

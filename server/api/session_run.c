/* session_run: POST /v1/sessions/{id}/execute. */

#include "server/api/api.h"
#include "server/api/session_exchange.h"
#include "server/api/stream.h"
#include "server/options.h"

/* The session's template, in which no run may have more than the session has. */
static TemplateConfig template_within(const App *app, const RunRequest *standard) {
        TemplateConfig template = app->options->templates[standard->template];

        for (unsigned limit = 0; limit < _LIMITS; limit++) {
                template.limits.standard[limit] = standard->limits.of[limit];
                template.limits.maximum[limit] = standard->limits.of[limit];
        }
        return template;
}

void handle_session_execute(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(execute_request_done) ExecuteRequest request = {0};
        Session *session = session_of_path(app, req, match);
        DecodeContext context;
        TemplateConfig template;
        RunRequest standard;
        Exchange *exchange;

        if (!session)
                return;
        standard = session_standard_run(app, session);
        template = template_within(app, &standard);
        context = (DecodeContext){.templates = &template, .n_templates = 1, .in_session = true};
        if (!execute_request_decode(&request, &context, request_body(req))) {
                respond_reader_error(req, match->errors, &request.reader.error);
                return;
        }
        request.run.template = standard.template;
        if (stream_is_wanted(req)) {
                stream_execute(app, req, match, &request, session);
                return;
        }
        exchange = exchange_new(app, req, match, execute_answer);
        exchange->base64 = request.base64;
        exchange->variables = request.wants_variables;
        session_exchange_submit(exchange, session, &request.run);
}

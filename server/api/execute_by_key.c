/* execute_by_key: two APIs have a POST /execute. A body with a session_id is for the code
 * interpreter, whatever else it has; one with a user_id for the Jupyter-like sessions. */

#include "server/api/api.h"
#include "server/api/code_interpreter.h"
#include "server/api/exchange.h"
#include "server/api/jupyter_sessions.h"
#include "server/api/validation.h"

typedef struct Keys {
        bool session_id, user_id;
} Keys;

static bool see_session_id(Reader *reader, void *target, const JsonItem *item) {
        ((Keys *) target)->session_id = true;
        return true;
}

static bool see_user_id(Reader *reader, void *target, const JsonItem *item) {
        ((Keys *) target)->user_id = true;
        return true;
}

void handle_execute_by_key(App *app, h2o_req_t *req, const RouteMatch *match) {
        static const Member members[] = {{"session_id", see_session_id}, {"user_id", see_user_id}};
        _cleanup_(reader_done) Reader reader = {0};
        Keys keys = {0};

        if (!reader_start(&reader, request_body(req)) ||
            !reader_object(&reader, request_body(req), members, N_ELEMENTS(members), true, &keys))
                respond_unread(req, &reader.error, NULL, 0);
        else if (keys.session_id)
                interpreter_execute(app, req, match, &reader);
        else if (keys.user_id)
                jupyter_execute(app, req, match, &reader);
        else
                respond_invalid(req, FIELD_IN_BODY, "session_id",
                                "field required: session_id for a session of the code "
                                "interpreter, or user_id for one of POST /start_session",
                                "value_error.missing");
}

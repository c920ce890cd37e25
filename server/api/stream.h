#pragma once
/* stream: a run whose output leaves while it is written, as server-sent events. */

#include "pool/session.h"
#include "server/api/exchange.h"

/* Whether the request's Accept names text/event-stream. */
bool stream_is_wanted(h2o_req_t *req);

/* Submits the run, to the session unless that is NULL, and answers with its events, or with an
 * error when it cannot be run. */
void stream_execute(App *app, h2o_req_t *req, const RouteMatch *match,
                    const ExecuteRequest *request, Session *session);

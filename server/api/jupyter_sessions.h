#pragma once
/* jupyter_sessions: what of the Jupyter-like sessions is called from beside it. */

#include <h2o.h>

#include "server/api/reader.h"
#include "server/route.h"

/* POST /execute of a body that has a user_id; the reader has proven it. */
void jupyter_execute(App *app, h2o_req_t *req, const RouteMatch *match, Reader *reader);

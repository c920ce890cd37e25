#pragma once
/* code_interpreter: what of the code interpreter with sessions is called from beside it. */

#include <h2o.h>

#include "server/api/reader.h"
#include "server/route.h"

/* POST /execute of a body that has a session_id; the reader has proven it. */
void interpreter_execute(App *app, h2o_req_t *req, const RouteMatch *match, Reader *reader);

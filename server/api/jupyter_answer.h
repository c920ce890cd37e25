#pragma once
/* jupyter_answer: what the Jupyter-like API answers, in its own words. */

#include <h2o.h>

#include "pool/run.h"

/* Appends what came of a run: {"output": …}; 400 {"detail": {"error": "Execution error",
 * "traceback": [lines]}}; 408. Returns the HTTP status, or -ENOMEM. */
_must_check_ int jupyter_answer(const RunResult *result, Buffer *body);

/* Whether it can be the id of a session; else 422 has been answered. */
bool jupyter_check_id(h2o_req_t *req, Slice user_id);

void jupyter_respond_message(h2o_req_t *req, const char *text);
void jupyter_respond_not_found(h2o_req_t *req);
void jupyter_respond_no_memory(h2o_req_t *req);

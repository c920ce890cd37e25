#pragma once
/* api: the handlers that the routing table names. Each answers now or arranges that the answer
 * comes later. */

#include "server/route.h"

/* api/execute.c */
void handle_execute(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/batch.c */
void handle_batch(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/data_analysis.c */
void handle_data_analysis_execute(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/code_sandbox.c */
void handle_sandbox_execute(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_sandbox_upload(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_sandbox_get(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_sandbox_clear(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/status.c */
void handle_health(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_ready(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_templates(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/capabilities.c */
void handle_capabilities(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/root.c */
void handle_root(App *app, h2o_req_t *req, const RouteMatch *match);

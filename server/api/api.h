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

/* api/execute_by_key.c */
void handle_execute_by_key(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/code_interpreter.c */
void handle_interpreter_install(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_interpreter_terminate(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/interpreter_files.c */
void handle_interpreter_upload(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_interpreter_download(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/user_container.c */
void handle_container_run(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/jupyter_sessions.c */
void handle_jupyter_start(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_jupyter_reset(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_jupyter_end(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/jupyter_packages.c */
void handle_jupyter_install(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/status.c */
void handle_health(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_ready(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_templates(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/capabilities.c */
void handle_capabilities(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/root.c */
void handle_root(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/session_packages.c */
void handle_session_packages_list(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_packages_install(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/session_files.c */
void handle_session_files_list(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_files_post(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_file_get(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_file_put(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_file_delete(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/sessions.c */
void handle_sessions_create(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_sessions_list(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_get(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_delete(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/session_run.c */
void handle_session_execute(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/session_actions.c */
void handle_session_reset(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_interrupt(App *app, h2o_req_t *req, const RouteMatch *match);
void handle_session_fork(App *app, h2o_req_t *req, const RouteMatch *match);

/* api/session_notebook.c */
void handle_session_notebook(App *app, h2o_req_t *req, const RouteMatch *match);

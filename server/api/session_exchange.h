#pragma once
/*
 * session_exchange: one HTTP request that waits for one run in a session, for every API that has
 * sessions. It is an Exchange (exchange.h) whose run goes to session_submit(); the rest is the
 * same: it ends with the request, a client that hangs up cancels its run, the answer leaves exactly
 * once. Besides, the run is taken down in the session's notebook, where the API has a way to read
 * one (/v1 and the Jupyter-like API).
 *
 * How an API uses it:
 *
 *     Session *session = session_find(app->pool, SESSION_JUPYTER, user);   (or session_obtain())
 *     Exchange *exchange = exchange_new(app, req, match, send_answer);
 *     RunRequest run = session_standard_run(app, session);
 *
 *     run.code = code;                 (and what else it has; borrowed for the time of the call)
 *     exchange->data = …;              (what send_answer has to know; in the request's pool)
 *     session_exchange_submit(exchange, session, &run);
 *
 * send_answer(exchange, result) is called when the run has ended, however it did; result->session
 * tells what only sessions can tell, and exchange->session whose run it was. The session may have
 * ended by then: it is to be found anew with session_of_exchange(). A run that could not be
 * submitted, or waited too long, has been answered in the route's style (429, 503, 413), and
 * send_answer is not called.
 */

#include "pool/session.h"
#include "server/api/exchange.h"

/* Whose run it is, and what its notebook will have of it. In the request's pool; copies of its own
 * throughout: the session may end before. */
struct SessionRun {
        App *app;
        SessionSpace space;
        char id[SESSION_ID_MAX + 1];
        uint64_t sequence; /* tells it from a later session of the same id */
        bool is_recorded;
        Slice source;
};

/* Submits the run to the session, or answers that it cannot be. Borrows run for the time of the
 * call. The notebook of a session of SESSION_JUPYTER is saved as a file, too, after each run
 * (notebook.h). */
void session_exchange_submit(Exchange *exchange, Session *session, const RunRequest *run);
/* As before, for a run that the notebook shall not have: one of the server's own making. */
void session_exchange_submit_unrecorded(Exchange *exchange, Session *session,
                                        const RunRequest *run);

/* The session of an exchange's run, for its answer function; NULL when it has ended. */
Session *session_of_exchange(const Exchange *exchange);

/* How the operator wants the sessions of a space: the standard template, its limits, and the idle
 * time of that API. */
SessionOptions session_standard_options(const App *app, SessionSpace space, Slice id);

/* Finds the session of that id or makes one from these options. Returns as session_create(). */
_must_check_ int session_obtain(const App *app, const SessionOptions *options,
                                Session **ret_session);

/* A run of the session's template with the session's limits, and nothing set. */
RunRequest session_standard_run(const App *app, const Session *session);

/* What to tell of r, which is SESSION_E_*, POOL_E_* or -errno; ret_text is a sentence. */
ErrorAnswer session_problem(const App *app, int r, const char **ret_text);
/* … in the route's style. */
void respond_session_problem(const App *app, h2o_req_t *req, ErrorStyle style, int r);

/* Whether runs can be sent to sessions at all: false, and 404 has been answered, where the operator
 * wants none (--sessions 0). */
bool sessions_are_served(const App *app, h2o_req_t *req, ErrorStyle style);

/* The session that a path of /v1/sessions/{id} names; NULL: 404 has been answered. */
Session *session_of_path(const App *app, h2o_req_t *req, const RouteMatch *match);

/* --- for those that submit without an exchange: streams --- */

/* As session_submit(); what it returns besides is to be given to session_run_record() when the run
 * has ended and its answer is on its way. */
_must_check_ int session_run_submit(App *app, h2o_req_t *req, Session *session,
                                    const RunRequest *run, const RunCallbacks *callbacks,
                                    void *data, SessionRun **ret_session_run, Run **ret_run);
void session_run_record(const SessionRun *session_run, const char *run_id, const RunResult *result);

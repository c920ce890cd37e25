#include "server/api/session_exchange.h"

#include <errno.h>
#include <stdio.h>

#include "server/notebook.h"
#include "server/options.h"
#include "wire/run.h"

/* ── Sessions as the operator wants them ── */

static uint64_t idle_ms_of(const SessionSettings *settings, SessionSpace space) {
        switch (space) {
        case SESSION_INTERPRETER:
                return settings->interpreter_idle_ms;
        case SESSION_CONTAINER:
                return settings->container_idle_ms;
        case SESSION_JUPYTER:
                return settings->jupyter_idle_ms;
        case SESSION_NATIVE:
        case _SESSION_SPACES:
                break;
        }
        return settings->idle_ms;
}

SessionOptions session_standard_options(const App *app, SessionSpace space, Slice id) {
        const SessionSettings *settings = &app->options->sessions;
        SessionOptions options = {
                .space = space,
                .id = id,
                .limits = limit_policy_defaults(&app->options->templates[0].limits),
                .idle_ms = idle_ms_of(settings, space),
                .life_cpu_ms = settings->life_cpu_ms,
        };

        options.limits.of[LIMIT_DISK_MB] = settings->disk_mb;
        return options;
}

int session_obtain(const App *app, const SessionOptions *options, Session **ret_session) {
        *ret_session = session_find(app->pool, options->space, options->id);
        return *ret_session ? POOL_OK : session_create(app->pool, options, ret_session);
}

RunRequest session_standard_run(const App *app, const Session *session) {
        SessionInfo info;
        int index;

        session_inspect(session, &info);
        index = pool_find_template(app->pool, slice_of_text(info.template));
        return (RunRequest){
                .template = index < 0 ? 0 : (unsigned) index,
                .flags = REQUEST_WANT_VALUE | REQUEST_WANT_DISPLAYS,
                .limits = info.limits,
        };
}

/* ── What cannot be done ── */

/* Why a session cannot be copied, 409; NULL: it is not that. */
static const char *why_not_copied(int r) {
        switch (r) {
        case SESSION_E_LOST:
                return "The session has no interpreter at the moment, so there is nothing to "
                       "copy; its next run gets a new one.";
        case SESSION_E_UNFORKABLE:
                return "This session cannot be copied: its template or this machine does not "
                       "allow it, or its code has tried to copy it.";
        case SESSION_E_TOO_LARGE:
                return "The session's files are more, or deeper in folders, than a copy may have.";
        case SESSION_E_WORN_OUT:
                return "The session and its copies have been copied as often as they may be.";
        case SESSION_E_DISTURBED:
                return "The session's code has moved, closed or removed files while they were "
                       "copied.";
        case SESSION_E_TOO_DEEP:
                return "The session is a copy of the 15th generation, which is the last; copy "
                       "one of those before it.";
        default:
                return NULL;
        }
}

ErrorAnswer session_problem(const App *app, int r, const char **ret_text) {
        unsigned later_s = pool_retry_after_s(app->pool);

        *ret_text = why_not_copied(r);
        if (*ret_text)
                return (ErrorAnswer){.status = 409};
        switch (r) {
        case SESSION_E_EXISTS:
                *ret_text = "There is a session of this id already.";
                return (ErrorAnswer){.status = 409, .field = "id"};
        case SESSION_E_UNPROVEN:
                *ret_text =
                        "There are no sessions of this template here: the server has found that "
                        "they would not be kept in.";
                return (ErrorAnswer){.status = 503, .retry_after_s = later_s};
        case SESSION_E_TOO_MANY:
        case -EUSERS:
                *ret_text = "There are as many sessions as there may be; end one, or try later.";
                return (ErrorAnswer){.status = 503, .retry_after_s = later_s};
        case SESSION_E_NO_DISK:
                *ret_text = "The server's disk is nearly full; try again later.";
                return (ErrorAnswer){.status = 503, .retry_after_s = DISK_RETRY_S};
        case SESSION_E_QUEUE_FULL:
                *ret_text = "Too many runs of this session wait already; try again later.";
                return (ErrorAnswer){.status = 429, .retry_after_s = later_s};
        case SESSION_E_BUSY:
                *ret_text = "This cannot be done while the session is busy; try again later.";
                return (ErrorAnswer){.status = 409};
        case -ECANCELED:
                *ret_text = "The session was ended in the meantime.";
                return (ErrorAnswer){.status = 409};
        case -ENOSPC:
        case -EDQUOT:
                *ret_text = "There is no room on the server's disk at the moment.";
                return (ErrorAnswer){.status = 503, .retry_after_s = later_s};
        case -ENOMEM:
        case -EMFILE:
        case -ENFILE:
        case -EAGAIN:
                *ret_text = "The server has no room for this at the moment; try again later.";
                return (ErrorAnswer){.status = 503, .retry_after_s = later_s};
        default:
                return submit_problem(app, r, ret_text);
        }
}

void respond_session_problem(const App *app, h2o_req_t *req, ErrorStyle style, int r) {
        const char *text;
        ErrorAnswer answer = session_problem(app, r, &text);

        respond_error(req, style, answer, "%s", text);
}

bool sessions_are_served(const App *app, h2o_req_t *req, ErrorStyle style) {
        if (app->options->sessions.count_max > 0)
                return true;
        respond_error(req, style, (ErrorAnswer){.status = 404}, "This server has no sessions.");
        return false;
}

Session *session_of_path(const App *app, h2o_req_t *req, const RouteMatch *match) {
        Session *session = NULL;

        if (!sessions_are_served(app, req, match->errors))
                return NULL;
        if (!session_id_problem(match->parameters[0]))
                session = session_find(app->pool, SESSION_NATIVE, match->parameters[0]);
        if (!session)
                respond_error(req, match->errors, (ErrorAnswer){.status = 404},
                              "There is no session of this id; POST /v1/sessions makes one.");
        return session;
}

/* ── Runs ── */

static SessionRun *session_run_new(App *app, h2o_req_t *req, const Session *session, Slice source) {
        SessionRun *session_run =
                h2o_mem_alloc_shared(&req->pool, sizeof(*session_run) + source.size, NULL);
        SessionInfo info;

        session_inspect(session, &info);
        *session_run = (SessionRun){
                .app = app,
                .space = info.space,
                .sequence = info.sequence,
                .is_recorded = info.space == SESSION_NATIVE || info.space == SESSION_JUPYTER,
                .source = slice_of(session_run + 1, source.size),
        };
        (void) snprintf(session_run->id, sizeof(session_run->id), "%s", info.id);
        if (source.size > 0)
                memcpy(session_run + 1, source.data, source.size);
        return session_run;
}

int session_run_submit(App *app, h2o_req_t *req, Session *session, const RunRequest *run,
                       const RunCallbacks *callbacks, void *data, SessionRun **ret_session_run,
                       Run **ret_run) {
        *ret_session_run = session_run_new(app, req, session, run->code);
        return session_submit(session, run, callbacks, data, ret_run);
}

static Session *find_session(const SessionRun *session_run) {
        Session *session = session_find(session_run->app->pool, session_run->space,
                                        slice_of_text(session_run->id));
        SessionInfo info;

        if (!session)
                return NULL;
        session_inspect(session, &info);
        return info.sequence == session_run->sequence ? session : NULL;
}

Session *session_of_exchange(const Exchange *exchange) {
        return exchange->session ? find_session(exchange->session) : NULL;
}

void session_run_record(const SessionRun *session_run, const char *run_id,
                        const RunResult *result) {
        const Session *session = find_session(session_run);
        Notebooks *notebooks = session_run->app->notebooks;
        char note[512];

        if (!session || !session_run->is_recorded)
                return;
        if (result->session.began_anew) {
                (void) snprintf(note, sizeof(note), "*The variables of earlier runs are gone: %s.*",
                                result->session.began_anew);
                notebook_add_note(notebooks, session, note);
        }
        notebook_add_run(notebooks, session, run_id, session_run->source, result);
        if (session_run->space == SESSION_JUPYTER)
                notebook_save(notebooks, session);
}

static void record(Exchange *exchange, const RunResult *result) {
        session_run_record(exchange->session, exchange->id, result);
}

/* exchange_submit() with session_submit() in it. */
static void submit(Exchange *exchange, Session *session, const RunRequest *run, bool is_recorded) {
        static const RunCallbacks callbacks = {.done = exchange_done};
        App *app = exchange->app;
        int r;

        exchange->ended = record;
        r = session_run_submit(app, exchange->req, session, run, &callbacks, exchange,
                               &exchange->session, &exchange->run);
        exchange->session->is_recorded = exchange->session->is_recorded && is_recorded;
        if (r == POOL_OK)
                exchange_wait(exchange);
        else
                respond_session_problem(app, exchange->req, exchange->errors, r);
}

void session_exchange_submit(Exchange *exchange, Session *session, const RunRequest *run) {
        submit(exchange, session, run, true);
}

void session_exchange_submit_unrecorded(Exchange *exchange, Session *session,
                                        const RunRequest *run) {
        submit(exchange, session, run, false);
}

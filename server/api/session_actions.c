/* session_actions: POST /v1/sessions/{id}/reset, …/interrupt and …/fork. */

#include "server/api/api.h"
#include "server/api/session_exchange.h"
#include "server/api/session_object.h"

#include <errno.h>
#include <stdio.h>

#include "kit/log.h"
#include "server/api/facts.h"
#include "server/api/later.h"
#include "server/notebook.h"
#include "server/options.h"

#define KILL_AFTER_MS_MAX (3600ULL * 1000)

/* A body may be left out altogether. False: it has been answered. */
static bool read_body(h2o_req_t *req, const RouteMatch *match, Reader *reader,
                      const Member *members, size_t n_members, void *target) {
        Slice body = request_body(req);

        if (body.size == 0 || (reader_start(reader, body) &&
                               reader_object(reader, body, members, n_members, false, target)))
                return true;
        respond_reader_error(req, match->errors, &reader->error);
        return false;
}

/* ── Reset ── */

static bool read_keep_files(Reader *reader, void *target, const JsonItem *item) {
        *(bool *) target = item->kind == JSON_TRUE;
        if (item->kind == JSON_TRUE || item->kind == JSON_FALSE)
                return true;
        return reader_fail(reader, 422, "keep_files", "This must be true or false.");
}

void handle_session_reset(App *app, h2o_req_t *req, const RouteMatch *match) {
        static const Member members[] = {{"keep_files", read_keep_files}};
        _cleanup_(reader_done) Reader reader = {0};
        Session *session = session_of_path(app, req, match);
        bool keep_files = true;
        int r;

        if (!session || !read_body(req, match, &reader, members, N_ELEMENTS(members), &keep_files))
                return;
        r = session_reset(session, keep_files);
        if (r < 0) {
                respond_session_problem(app, req, match->errors, r);
                return;
        }
        notebook_add_note(app->notebooks, session,
                          keep_files ? "*The session was reset; its files were kept.*"
                                     : "*The session was reset, and its files were removed.*");
        session_object_respond(req, 200, session);
}

/* ── Interrupt ── */

typedef struct Interruption {
        Later later;
        char id[SESSION_ID_MAX + 1];
} Interruption;

static void answer_interrupt(const App *app, h2o_req_t *req, const char *id, bool was_interrupted,
                             bool was_lost) {
        static const RouteMatch match = {.errors = ERRORS_PROBLEM};
        const Session *session = session_find(app->pool, SESSION_NATIVE, slice_of_text(id));
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        SessionInfo info;

        json_begin_object(&writer);
        json_key(&writer, "interrupted");
        json_boolean(&writer, was_interrupted);
        json_key(&writer, "lost");
        json_boolean(&writer, was_lost);
        json_key(&writer, "state");
        if (session) {
                session_inspect(session, &info);
                json_literal(&writer, session_state_name(info.state));
        } else {
                json_null(&writer);
        }
        json_end_object(&writer);
        facts_respond(req, &match, 200, &writer, &body);
}

static void on_interrupted(void *data, bool was_lost) {
        Interruption *interruption = data;

        if (interruption->later.req)
                answer_interrupt(interruption->later.app, interruption->later.req, interruption->id,
                                 true, was_lost);
        (void) later_free(interruption);
}

static bool read_kill_after(Reader *reader, void *target, const JsonItem *item) {
        return reader_whole_number(reader, item, "kill_after_ms", 0, KILL_AFTER_MS_MAX, target);
}

void handle_session_interrupt(App *app, h2o_req_t *req, const RouteMatch *match) {
        static const Member members[] = {{"kill_after_ms", read_kill_after}};
        _cleanup_(reader_done) Reader reader = {0};
        Session *session = session_of_path(app, req, match);
        uint64_t kill_after_ms = app->options->sessions.interrupt_grace_ms;
        Interruption *interruption;
        SessionInfo info;

        if (!session ||
            !read_body(req, match, &reader, members, N_ELEMENTS(members), &kill_after_ms))
                return;
        interruption = later_new(app, req, sizeof(*interruption));
        if (!interruption) {
                respond_session_problem(app, req, match->errors, -ENOMEM);
                return;
        }
        session_inspect(session, &info);
        (void) snprintf(interruption->id, sizeof(interruption->id), "%s", info.id);
        if (session_interrupt(session, kill_after_ms, on_interrupted, interruption))
                return;
        answer_interrupt(app, req, interruption->id, false, false);
        (void) later_free(interruption);
}

/* ── Fork ── */

typedef struct Forking {
        Later later;
        char source_id[SESSION_ID_MAX + 1];
        char copy_id[SESSION_ID_MAX + 1];
        ForkNotes notes;
} Forking;

typedef struct ForkRequest {
        SessionOptions options;
        uint64_t life_cpu_ms_max; /* 0: none */
} ForkRequest;

static bool read_fork_id(Reader *reader, void *target, const JsonItem *item) {
        return session_object_read_id(reader, item, &((ForkRequest *) target)->options);
}

static bool read_fork_idle(Reader *reader, void *target, const JsonItem *item) {
        return session_object_read_idle(reader, item, &((ForkRequest *) target)->options);
}

static bool read_fork_cpu(Reader *reader, void *target, const JsonItem *item) {
        ForkRequest *request = target;

        return session_object_read_cpu(reader, item, request->life_cpu_ms_max, &request->options);
}

/* The copy has its notebook, or goes without; a copy that nobody knows of is ended. */
static void on_notebook_copied(void *data, int r) {
        Forking *forking = data;
        const App *app = forking->later.app;
        Session *copy;

        later_look(&forking->later);
        copy = session_find(app->pool, SESSION_NATIVE, slice_of_text(forking->copy_id));
        if (!forking->later.req && copy)
                session_end(copy);
        else if (forking->later.req && copy)
                session_object_respond_copy(forking->later.req, copy, &forking->notes);
        else if (forking->later.req)
                respond_session_problem(app, forking->later.req, ERRORS_PROBLEM, -ECANCELED);
        (void) later_free(forking);
}

static void on_forked(void *data, int r, Session *copy, const ForkNotes *notes) {
        Forking *forking = data;
        App *app = forking->later.app;
        const Session *source;
        SessionInfo info;

        if (r != POOL_OK) {
                if (forking->later.req)
                        respond_session_problem(app, forking->later.req, ERRORS_PROBLEM, r);
                (void) later_free(forking);
                return;
        }
        session_inspect(copy, &info);
        (void) snprintf(forking->copy_id, sizeof(forking->copy_id), "%s", info.id);
        forking->notes = *notes;
        source = session_find(app->pool, SESSION_NATIVE, slice_of_text(forking->source_id));
        r = source ? notebook_copy(app->notebooks, source, copy, on_notebook_copied, forking)
                   : -ECANCELED;
        if (r == 0)
                return;
        log_warning("a copy of a session begins without its notebook: %s", strerror(-r));
        on_notebook_copied(forking, r);
}

static void start_fork(App *app, h2o_req_t *req, Session *session, const SessionOptions *options) {
        Forking *forking = later_new(app, req, sizeof(*forking));
        const ForkCallback callback = {.done = on_forked, .data = forking};
        SessionInfo info;
        int r = -ENOMEM;

        if (forking) {
                session_inspect(session, &info);
                (void) snprintf(forking->source_id, sizeof(forking->source_id), "%s", info.id);
                r = session_fork(session, options, &callback);
        }
        if (r == POOL_OK) {
                later_watch(&forking->later);
                return;
        }
        respond_session_problem(app, req, ERRORS_PROBLEM, r);
        (void) later_free(forking);
}

void handle_session_fork(App *app, h2o_req_t *req, const RouteMatch *match) {
        static const Member members[] = {
                {"id", read_fork_id},
                {"idle_ms", read_fork_idle},
                {"cpu_ms", read_fork_cpu},
        };
        _cleanup_(reader_done) Reader reader = {0};
        Session *session = session_of_path(app, req, match);
        ForkRequest request = {
                .options = session_standard_options(app, SESSION_NATIVE, SLICE_NULL),
                .life_cpu_ms_max = app->options->sessions.life_cpu_ms,
        };

        if (session && read_body(req, match, &reader, members, N_ELEMENTS(members), &request))
                start_fork(app, req, session, &request.options);
}

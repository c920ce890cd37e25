/* status: GET /health, GET /ready, GET /v1/templates. */

#include "jsontext/write.h"
#include "kit/clock.h"
#include "server/api/api.h"
#include "server/api/facts.h"
#include "server/options.h"
#include "server/respond.h"

typedef enum Health { HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY, HEALTH_DRAINING } Health;

/* Whether every template's interpreter stands, so that it can make workers. Between two runs there
 * may be none idle; a run waits for a moment then. */
static bool is_ready(const App *app) {
        bool ready = app->was_ready && !app->draining;

        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;

                pool_template_state(app->pool, i, &state);
                ready = ready && state.ready;
        }
        return ready;
}

/* Unhealthy is a server that cannot run anything: no template stands, or no place for a worker is
 * left. */
static Health health_of(const App *app) {
        PoolCounters counters;
        unsigned workers = 0;
        bool any_ready = false;

        if (app->draining)
                return HEALTH_DRAINING;
        if (!app->was_ready)
                return HEALTH_STARTING;
        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;

                pool_template_state(app->pool, i, &state);
                any_ready = any_ready || state.ready;
                workers += state.workers;
        }
        pool_counters(app->pool, &counters);
        return any_ready && counters.quarantined < workers ? HEALTH_HEALTHY : HEALTH_UNHEALTHY;
}

static const char *health_name(Health health) {
        switch (health) {
        case HEALTH_STARTING:
                return "starting";
        case HEALTH_HEALTHY:
                return "healthy";
        case HEALTH_UNHEALTHY:
                return "unhealthy";
        case HEALTH_DRAINING:
                return "draining";
        }
        return "unhealthy";
}

static void write_probes(JsonWriter *writer, const ProbeCount *count) {
        facts_write_number(writer, "probes_tried", count->tried);
        facts_write_number(writer, "probes_stopped", count->stopped);
}

static void write_proof_of_sessions(JsonWriter *writer, const TemplateState *state) {
        json_key(writer, "sessions");
        json_begin_object(writer);
        json_key(writer, "served");
        json_boolean(writer, state->serves_sessions);
        json_key(writer, "failure");
        if (state->sessions_broken)
                json_literal(writer, state->sessions_broken);
        else
                json_null(writer);
        write_probes(writer, &state->probes[PROOF_OF_SESSIONS]);
        json_key(writer, "copied");
        json_boolean(writer, state->copies_sessions);
        json_key(writer, "copies");
        json_begin_object(writer);
        write_probes(writer, &state->probes[PROOF_OF_COPIES]);
        json_end_object(writer);
        json_end_object(writer);
}

static void write_template_state(JsonWriter *writer, const App *app, unsigned index) {
        TemplateState state;

        pool_template_state(app->pool, index, &state);
        json_begin_object(writer);
        json_key(writer, "name");
        json_literal(writer, app->options->templates[index].name);
        json_key(writer, "ready");
        json_boolean(writer, state.ready);
        json_key(writer, "doing");
        json_literal(writer, state.doing);
        json_key(writer, "failure");
        if (state.failure)
                json_literal(writer, state.failure);
        else
                json_null(writer);
        facts_write_number(writer, "generation", state.generation);
        facts_write_number(writer, "restarts", state.restarts);
        facts_write_number(writer, "zygote_pid", (uint64_t) state.zygote_pid);
        facts_write_number(writer, "start_ms", state.start_ms);
        facts_write_number(writer, "workers", state.workers);
        facts_write_number(writer, "starting", state.starting);
        facts_write_number(writer, "idle", state.idle);
        facts_write_number(writer, "touched", state.touched);
        facts_write_number(writer, "busy", state.busy);
        facts_write_number(writer, "retiring", state.retiring);
        facts_write_number(writer, "queued", state.queued);
        facts_write_number(writer, "session_spares", state.session_spares);
        write_probes(writer, &state.probes[PROOF_OF_RUNS]);
        write_proof_of_sessions(writer, &state);
        facts_write_loosened(writer, &app->options->templates[index]);
        json_end_object(writer);
}

static void write_counters(JsonWriter *writer, const App *app) {
        PoolCounters counters;

        pool_counters(app->pool, &counters);
        json_begin_object(writer);
        json_key(writer, "runs");
        json_begin_object(writer);
        for (unsigned status = 0; status < _RUN_STATUSES; status++)
                facts_write_number(writer, run_status_name((RunStatus) status),
                                   counters.runs[status]);
        json_end_object(writer);
        facts_write_number(writer, "refused", counters.refused);
        facts_write_number(writer, "workers_started", counters.workers_started);
        facts_write_number(writer, "workers_failed", counters.workers_failed);
        facts_write_number(writer, "minor_faults", counters.minor_faults);
        facts_write_number(writer, "worker_cpu_ns", counters.worker_cpu_ns);
        facts_write_number(writer, "quarantined", counters.quarantined);
        facts_write_number(writer, "queued", counters.queued);
        facts_write_number(writer, "busy", counters.busy);
        facts_write_number(writer, "sessions", counters.sessions);
        facts_write_number(writer, "sessions_lost", counters.sessions_lost);
        facts_write_number(writer, "sessions_made", counters.sessions_made);
        facts_write_number(writer, "sessions_expired", counters.sessions_expired);
        facts_write_number(writer, "sessions_evicted", counters.sessions_evicted);
        json_end_object(writer);
}

static void write_health(JsonWriter *writer, const App *app, Health health) {
        json_begin_object(writer);
        json_key(writer, "status");
        json_literal(writer, health_name(health));
        json_key(writer, "version");
        json_literal(writer, HATCHERY_VERSION);
        json_key(writer, "uptime_s");
        json_decimal(writer, (double) (clock_now_ns() - app->start_ns) / NS_PER_S, 3);
        facts_write_number(writer, "connections", app->connections);
        facts_write_number(writer, "requests", app->requests);
        json_key(writer, "pool");
        json_begin_object(writer);
        json_key(writer, "ready");
        json_boolean(writer, is_ready(app));
        json_key(writer, "templates");
        json_begin_array(writer);
        for (unsigned i = 0; i < app->options->n_templates; i++)
                write_template_state(writer, app, i);
        json_end_array(writer);
        json_key(writer, "counters");
        write_counters(writer, app);
        json_end_object(writer);
        json_key(writer, "layers");
        facts_write_layers(writer, app, LAYERS_IN_SHORT);
        json_key(writer, "isolation");
        facts_write_isolation(writer, app);
        json_end_object(writer);
}

void handle_health(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        Health health = health_of(app);

        write_health(&writer, app, health);
        facts_respond(req, match, health == HEALTH_HEALTHY ? 200 : 503, &writer, &body);
}

void handle_ready(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        bool ready = is_ready(app);

        json_begin_object(&writer);
        json_key(&writer, "ready");
        json_boolean(&writer, ready);
        json_end_object(&writer);
        facts_respond(req, match, ready ? 200 : 503, &writer, &body);
}

static void write_template(JsonWriter *writer, const App *app, unsigned index) {
        const TemplateConfig *config = &app->options->templates[index];
        TemplateState state;

        pool_template_state(app->pool, index, &state);
        json_begin_object(writer);
        json_key(writer, "name");
        json_literal(writer, config->name);
        json_key(writer, "state");
        json_literal(writer, state.ready ? "ready" : state.failure ? "failed" : "starting");
        json_key(writer, "recycle");
        json_literal(writer, recycle_name(config->recycle));
        facts_write_loosened(writer, config);
        facts_write_number(writer, "workers", config->workers);
        facts_write_number(writer, "session_spares", config->session_spares);
        facts_write_texts(writer, "imports", config->imports, config->n_imports);
        facts_write_about(writer, state.about);
        json_key(writer, "limits");
        facts_write_limits(writer, &config->limits);
        json_end_object(writer);
}

void handle_templates(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);

        json_begin_object(&writer);
        json_key(&writer, "templates");
        json_begin_array(&writer);
        for (unsigned i = 0; i < app->options->n_templates; i++)
                write_template(&writer, app, i);
        json_end_array(&writer);
        json_end_object(&writer);
        facts_respond(req, match, 200, &writer, &body);
}

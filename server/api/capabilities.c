/* capabilities: GET /v1/capabilities, what this server does and enforces right now. */

#include "pool/session.h"
#include "server/api/api.h"
#include "server/api/facts.h"
#include "server/options.h"
#include "server/respond.h"

static void write_apis(JsonWriter *writer) {
        static const char *const apis[] = {
                "native",           "data-analysis-sandbox", "code-execution-sandbox",
                "code-interpreter", "per-user-container",    "jupyter-like-sessions",
        };

        json_begin_array(writer);
        for (size_t i = 0; i < N_ELEMENTS(apis); i++)
                json_literal(writer, apis[i]);
        json_end_array(writer);
}

static void write_recycle_policies(JsonWriter *writer) {
        json_begin_array(writer);
        for (unsigned recycle = 0; recycle < _RECYCLES; recycle++)
                json_literal(writer, recycle_name((Recycle) recycle));
        json_end_array(writer);
}

static void write_statuses(JsonWriter *writer) {
        json_begin_array(writer);
        for (unsigned status = 0; status < _RUN_STATUSES; status++)
                json_literal(writer, run_status_name((RunStatus) status));
        json_end_array(writer);
}

static void write_bounds(JsonWriter *writer, const Options *options) {
        json_begin_object(writer);
        facts_write_number(writer, "request_bytes", options->request_bytes_max);
        facts_write_number(writer, "value_bytes", options->value_bytes_max);
        facts_write_number(writer, "collect_bytes", options->collect_bytes_max);
        facts_write_number(writer, "collect_files", options->collect_files_max);
        facts_write_number(writer, "batch_runs", options->batch_runs_max);
        facts_write_number(writer, "queue", options->queue_max);
        facts_write_number(writer, "queue_wait_ms", options->queue_wait_ms);
        facts_write_number(writer, "upload_bytes", options->upload_bytes_max);
        facts_write_number(writer, "upload_keys", options->upload_keys_max);
        json_end_object(writer);
}

static void write_idle_times(JsonWriter *writer, const SessionSettings *settings) {
        json_key(writer, "idle_ms");
        json_begin_object(writer);
        facts_write_number(writer, session_space_name(SESSION_NATIVE), settings->idle_ms);
        facts_write_number(writer, session_space_name(SESSION_INTERPRETER),
                           settings->interpreter_idle_ms);
        facts_write_number(writer, session_space_name(SESSION_CONTAINER),
                           settings->container_idle_ms);
        facts_write_number(writer, session_space_name(SESSION_JUPYTER), settings->jupyter_idle_ms);
        json_end_object(writer);
}

/* Of every template. */
static void write_proof(JsonWriter *writer, const App *app) {
        bool served = true, copied = true;

        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;

                pool_template_state(app->pool, i, &state);
                served = served && state.serves_sessions;
                copied = copied && state.copies_sessions;
        }
        json_key(writer, "served");
        json_boolean(writer, served);
        json_key(writer, "copied");
        json_boolean(writer, copied);
}

/* What holds for sessions; 0 stands for none or never, as in the options. */
static void write_sessions(JsonWriter *writer, const App *app) {
        const SessionSettings *settings = &app->options->sessions;
        PoolCounters counters;

        pool_counters(app->pool, &counters);
        json_begin_object(writer);
        facts_write_number(writer, "maximum", settings->count_max);
        facts_write_number(writer, "alive", counters.sessions);
        write_proof(writer, app);
        json_key(writer, "evicts");
        json_boolean(writer, settings->evict);
        facts_write_number(writer, "queue", settings->queue_max);
        write_idle_times(writer, settings);
        facts_write_number(writer, "cpu_ms", settings->life_cpu_ms);
        facts_write_number(writer, "disk_mb", settings->disk_mb);
        facts_write_number(writer, "interrupt_grace_ms", settings->interrupt_grace_ms);
        facts_write_number(writer, "notebook_bytes", settings->notebook_bytes_max);
        facts_write_number(writer, "file_bytes", settings->file_bytes_max);
        json_end_object(writer);
}

void handle_capabilities(App *app, h2o_req_t *req, const RouteMatch *match) {
        _cleanup_(buffer_done) Buffer body = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&body);
        TemplateState state;

        pool_template_state(app->pool, 0, &state);
        json_begin_object(&writer);
        json_key(&writer, "version");
        json_literal(&writer, HATCHERY_VERSION);
        facts_write_about(&writer, state.about);
        json_key(&writer, "apis");
        write_apis(&writer);
        json_key(&writer, "statuses");
        write_statuses(&writer);
        json_key(&writer, "recycle_policies");
        write_recycle_policies(&writer);
        json_key(&writer, "enforced");
        facts_write_layers(&writer, app, LAYERS_IN_FULL);
        json_key(&writer, "limits");
        facts_write_limits(&writer, &app->options->templates[0].limits);
        json_key(&writer, "bounds");
        write_bounds(&writer, app->options);
        json_key(&writer, "sessions");
        write_sessions(&writer, app);
        json_end_object(&writer);
        facts_respond(req, match, 200, &writer, &body);
}

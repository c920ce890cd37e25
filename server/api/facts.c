#include "server/api/facts.h"

#include <string.h>

#include "jsontext/scan.h"
#include "server/options.h"
#include "server/respond.h"

void facts_write_number(JsonWriter *writer, const char *name, uint64_t value) {
        json_key(writer, name);
        json_integer(writer, value > INT64_MAX ? INT64_MAX : (int64_t) value);
}

void facts_write_texts(JsonWriter *writer, const char *name, const char *const *texts, size_t n) {
        json_key(writer, name);
        json_begin_array(writer);
        for (size_t i = 0; i < n; i++)
                json_literal(writer, texts[i]);
        json_end_array(writer);
}

void facts_write_limits(JsonWriter *writer, const LimitPolicy *limits) {
        json_begin_object(writer);
        for (unsigned limit = 0; limit < _LIMITS; limit++) {
                json_key(writer, limit_infos[limit].name);
                json_begin_object(writer);
                facts_write_number(writer, "minimum", limit_infos[limit].minimum);
                facts_write_number(writer, "default", limits->standard[limit]);
                facts_write_number(writer, "maximum", limits->maximum[limit]);
                json_end_object(writer);
        }
        json_end_object(writer);
}

/* The zygote has run the operator's code only, but what it says is text from elsewhere all the
 * same. */
void facts_write_about(JsonWriter *writer, const char *about) {
        static const char *const members[] = {"python", "packages"};
        Slice text = slice_of_text(about);
        bool is_object = json_is(text, JSON_OBJECT, 0);

        for (size_t i = 0; i < N_ELEMENTS(members); i++) {
                Slice value = SLICE_LITERAL("null");
                JsonCursor cursor;
                JsonItem item;

                if (is_object && json_enter(text, &cursor)) {
                        while (json_next(&cursor, &item)) {
                                if (slice_equals(item.key, members[i]))
                                        value = item.value;
                        }
                }
                json_key(writer, members[i]);
                json_raw(writer, value);
        }
}

static void write_flag(JsonWriter *writer, const char *name, bool value) {
        json_key(writer, name);
        json_boolean(writer, value);
}

static void write_names(JsonWriter *writer, LayerMask layers) {
        json_begin_array(writer);
        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                if (layers & layer_bit((Layer) layer))
                        json_literal(writer, layer_about((Layer) layer)->name);
        }
        json_end_array(writer);
}

/* What the workers of every template take. A control group of version 1, for one, is only for
 * templates with subprocesses. */
static LayerMask common_layers(const App *app) {
        LayerMask common = app->isolation.layers;

        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;

                pool_template_state(app->pool, i, &state);
                common &= state.layers;
        }
        return common;
}

void facts_write_layers(JsonWriter *writer, const App *app, LayerSelection selection) {
        const Options *options = app->options;
        LayerMask taken = common_layers(app);
        LayerMask others = LAYERS_ALL & ~(layer_bit(LAYER_NO_NEW_PRIVILEGES) |
                                          layer_bit(LAYER_RLIMITS) | layer_bit(LAYER_NOT_DUMPABLE));
        bool no_programs = taken & layer_bit(LAYER_SECCOMP);

        for (size_t i = 0; i < options->n_templates; i++)
                no_programs = no_programs && !options->templates[i].subprocesses;
        json_begin_object(writer);
        write_flag(writer, "no_new_privs", taken & layer_bit(LAYER_NO_NEW_PRIVILEGES));
        write_flag(writer, "rlimits", taken & layer_bit(LAYER_RLIMITS));
        write_flag(writer, "closed_fds", true);
        write_flag(writer, "own_session", true);
        write_flag(writer, "not_dumpable", taken & layer_bit(LAYER_NOT_DUMPABLE));
        write_flag(writer, "separate_uid", taken & layer_bit(LAYER_UID));
        write_flag(writer, "no_new_programs", no_programs);
        for (unsigned layer = 0; layer < _LAYERS && selection == LAYERS_IN_FULL; layer++) {
                if (others & layer_bit((Layer) layer))
                        write_flag(writer, layer_about((Layer) layer)->name,
                                   taken & layer_bit((Layer) layer));
        }
        json_end_object(writer);
}

static void write_takers(JsonWriter *writer, const App *app, Layer layer) {
        json_key(writer, "templates");
        json_begin_array(writer);
        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;

                pool_template_state(app->pool, i, &state);
                if (state.layers & layer_bit(layer))
                        json_text(writer, slice_of_text(app->options->templates[i].name));
        }
        json_end_array(writer);
}

/* What the last canary of every template has seen to hold. */
static LayerMask proven_layers(const App *app) {
        LayerMask proven = LAYERS_ALL;

        for (unsigned i = 0; i < app->options->n_templates; i++) {
                TemplateState state;

                pool_template_state(app->pool, i, &state);
                proven &= state.proven;
        }
        return proven;
}

static void write_layer(JsonWriter *writer, const App *app, Layer layer, bool proven) {
        const IsolationPlan *plan = &app->isolation;
        const LayerFinding *finding = &plan->survey.layers[layer];
        LayerState state = plan->states[layer];

        json_key(writer, layer_about(layer)->name);
        json_begin_object(writer);
        json_key(writer, "state");
        json_literal(writer, layer_state_name(state));
        if (state == LAYER_ON && layer == LAYER_LANDLOCK)
                facts_write_number(writer, "abi", (uint64_t) plan->survey.landlock_abi);
        if (state == LAYER_ON && layer == LAYER_CGROUP)
                facts_write_number(writer, "version", (uint64_t) plan->survey.cgroup_version);
        if (state == LAYER_ON)
                write_flag(writer, "proven", proven);
        if (state == LAYER_ON && !(common_layers(app) & layer_bit(layer)))
                write_takers(writer, app, layer);
        if (state == LAYER_UNAVAILABLE) {
                const char *error = strerrorname_np(finding->error);

                json_key(writer, "tried");
                json_literal(writer, finding->tried);
                json_key(writer, "error");
                if (finding->error != 0 && error)
                        json_literal(writer, error);
                else
                        json_null(writer);
        }
        json_end_object(writer);
}

void facts_write_isolation(JsonWriter *writer, const App *app) {
        const IsolationPlan *plan = &app->isolation;
        LayerMask proven = proven_layers(app), lacking = 0;

        json_begin_object(writer);
        json_key(writer, "mode");
        json_literal(writer, isolation_mode_name(plan->mode));
        json_key(writer, "kernel");
        json_literal(writer, plan->survey.kernel);
        json_key(writer, "layers");
        json_begin_object(writer);
        for (unsigned layer = 0; layer < _LAYERS; layer++)
                write_layer(writer, app, (Layer) layer, proven & layer_bit((Layer) layer));
        json_end_object(writer);
        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                if (plan->states[layer] == LAYER_UNAVAILABLE ||
                    plan->states[layer] == LAYER_SWITCHED_OFF)
                        lacking |= layer_bit((Layer) layer);
        }
        /* Nobody misses what is there on request only. */
        if (!app->options->isolation.core_scheduling)
                lacking &= ~layer_bit(LAYER_CORE_SCHEDULING);
        json_key(writer, "degraded");
        write_names(writer, lacking);
        json_end_object(writer);
}

void facts_write_loosened(JsonWriter *writer, const TemplateConfig *config) {
        write_flag(writer, "subprocesses", config->subprocesses);
        facts_write_texts(writer, "read_only_paths", config->read_only_paths,
                          config->n_read_only_paths);
        json_key(writer, "data_path");
        if (config->data_path)
                json_literal(writer, config->data_path);
        else
                json_null(writer);
}

void facts_respond(h2o_req_t *req, const RouteMatch *match, int status, const JsonWriter *writer,
                   Buffer *body) {
        if (writer->error < 0)
                respond_error(req, match->errors, (ErrorAnswer){.status = 503},
                              "The server has no memory for this answer.");
        else
                respond_json(req, status, body);
}

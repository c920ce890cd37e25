#include "server/api/facts.h"

#include "jsontext/scan.h"
#include "server/options.h"
#include "server/respond.h"

void facts_write_number(JsonWriter *writer, const char *name, uint64_t value) {
        json_key(writer, name);
        json_integer(writer, value > INT64_MAX ? INT64_MAX : (int64_t) value);
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

void facts_write_layers(JsonWriter *writer, const App *app) {
        const Options *options = app->options;
        bool all_without_programs = true;

        for (size_t i = 0; i < options->n_templates; i++)
                all_without_programs = all_without_programs && !options->templates[i].subprocesses;
        json_begin_object(writer);
        json_key(writer, "no_new_privs");
        json_boolean(writer, true);
        json_key(writer, "rlimits");
        json_boolean(writer, true);
        json_key(writer, "closed_fds");
        json_boolean(writer, true);
        json_key(writer, "own_session");
        json_boolean(writer, true);
        json_key(writer, "not_dumpable");
        json_boolean(writer, true);
        json_key(writer, "separate_uid");
        json_boolean(writer, geteuid() == 0 && options->worker_uid_base != 0);
        json_key(writer, "no_new_programs");
        json_boolean(writer, all_without_programs);
        json_end_object(writer);
}

void facts_respond(h2o_req_t *req, const RouteMatch *match, int status, const JsonWriter *writer,
                   Buffer *body) {
        if (writer->error < 0)
                respond_error(req, match->errors, (ErrorAnswer){.status = 503},
                              "The server has no memory for this answer.");
        else
                respond_json(req, status, body);
}

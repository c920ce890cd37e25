#include "server/api/decode.h"

#include "pool/collect.h"
#include "wire/run.h"

static bool read_code(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        request->has_code = true;
        return reader_text(reader, item, "code", &request->run.code);
}

static bool read_stdin(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        return reader_text(reader, item, "stdin", &request->run.stdin_bytes);
}

/* Text that a C string has to hold later, or that names something. */
static bool check_plain(Reader *reader, Slice text, bool may_be_empty) {
        if (text.size > 0 && memchr(text.data, '\0', text.size))
                return reader_fail(reader, 422, "", "This may not hold a NUL character.");
        if (text.size == 0 && !may_be_empty)
                return reader_fail(reader, 422, "", "This may not be empty.");
        return true;
}

static bool read_texts(Reader *reader, const JsonItem *item, const char *field, size_t maximum,
                       bool may_be_empty, Slice **ret_texts, size_t *ret_count) {
        JsonCursor cursor;
        JsonItem element;
        size_t count;

        if (!reader_expect(reader, item, JSON_ARRAY, field) ||
            !reader_count(reader, item, field, maximum, &count))
                return false;
        if (count == 0)
                return true;
        *ret_texts = reader_allocate(reader, count, sizeof(Slice));
        if (!*ret_texts)
                return false;
        (void) json_enter(item->value, &cursor);
        for (size_t i = 0; json_next(&cursor, &element); i++) {
                if (!reader_text(reader, &element, "", &(*ret_texts)[i]) ||
                    !check_plain(reader, (*ret_texts)[i], may_be_empty))
                        return reader_inside(reader, "%s[%zu]", field, i);
        }
        *ret_count = count;
        return true;
}

static bool read_arguments(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        if (!read_texts(reader, item, "args", REQUEST_ARGUMENTS_MAX, true, &request->arguments,
                        &request->run.n_arguments))
                return false;
        request->run.arguments = request->arguments;
        return true;
}

static bool read_collect(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        if (!read_texts(reader, item, "collect", REQUEST_COLLECT_MAX, false, &request->collect,
                        &request->run.n_collect))
                return false;
        request->run.collect = request->collect;
        for (size_t i = 0; i < request->run.n_collect; i++) {
                if (request->collect[i].size > COLLECT_PATTERN_MAX) {
                        (void) reader_fail(reader, 422, "", "A pattern has at most %d bytes.",
                                           COLLECT_PATTERN_MAX);
                        return reader_inside(reader, "collect[%zu]", i);
                }
        }
        return true;
}

static bool read_variables(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        if (item->kind == JSON_FALSE)
                return true;
        request->wants_variables = true;
        if (item->kind == JSON_TRUE) {
                request->run.flags |= REQUEST_WANT_ALL_VARIABLES;
                return true;
        }
        if (item->kind != JSON_ARRAY)
                return reader_fail(reader, 422, "variables",
                                   "This must be a list of names, or true for all of them.");
        if (!read_texts(reader, item, "variables", REQUEST_VARIABLES_MAX, false,
                        &request->variables, &request->run.n_variables))
                return false;
        request->run.variables = request->variables;
        return true;
}

static bool read_variable(Reader *reader, const JsonItem *item, RunVariable *ret_variable) {
        if (!reader_key(reader, item, "", &ret_variable->name))
                return false;
        if (ret_variable->name.size == 0 ||
            memchr(ret_variable->name.data, '=', ret_variable->name.size))
                return reader_fail(reader, 422, "",
                                   "A name of the environment is not empty and has no \"=\".");
        return check_plain(reader, ret_variable->name, false) &&
               reader_text(reader, item, "", &ret_variable->value) &&
               check_plain(reader, ret_variable->value, true);
}

static bool read_variable_inside(Reader *reader, const JsonItem *item, RunVariable *ret_variable) {
        return read_variable(reader, item, ret_variable) ||
               reader_inside(reader, "env.%.*s", (int) (item->key.size < 64 ? item->key.size : 64),
                             (const char *) item->key.data);
}

bool decode_environment(Reader *reader, const JsonItem *item,
                        bool (*read)(Reader *reader, const JsonItem *item,
                                     RunVariable *ret_variable),
                        RunVariable **ret_variables, size_t *ret_n) {
        JsonCursor cursor;
        JsonItem member;
        size_t count;

        if (!reader_expect(reader, item, JSON_OBJECT, "env") ||
            !reader_count(reader, item, "env", REQUEST_ENVIRONMENT_MAX, &count))
                return false;
        if (count == 0)
                return true;
        *ret_variables = reader_allocate(reader, count, sizeof(RunVariable));
        if (!*ret_variables)
                return false;
        (void) json_enter(item->value, &cursor);
        while (json_next(&cursor, &member)) {
                if (!read(reader, &member, &(*ret_variables)[(*ret_n)++]))
                        return false;
        }
        return true;
}

static int compare_names(const void *left, const void *right) {
        const RunVariable *a = left, *b = right;
        size_t common = a->name.size < b->name.size ? a->name.size : b->name.size;
        int order = memcmp(a->name.data, b->name.data, common);

        if (order != 0)
                return order;
        return (a->name.size > b->name.size) - (a->name.size < b->name.size);
}

static bool read_environment(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;
        size_t count = 0;

        if (!decode_environment(reader, item, read_variable_inside, &request->environment, &count))
                return false;
        if (count == 0)
                return true;
        /* The order means nothing in an environment, so sorting may find the doubles. */
        qsort(request->environment, count, sizeof(RunVariable), compare_names);
        for (size_t i = 1; i < count; i++) {
                if (compare_names(&request->environment[i - 1], &request->environment[i]) == 0)
                        return reader_fail(
                                reader, 400, "env",
                                "A name occurs twice; it is unclear which one is meant.");
        }
        request->run.environment = request->environment;
        request->run.n_environment = count;
        return true;
}

static bool read_data(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        request->run.data = item->value;
        return reader_expect(reader, item, JSON_OBJECT, "data");
}

/* The template decides which limits hold, so both wait until all members have been seen. */
static bool read_template(Reader *reader, void *target, const JsonItem *item) {
        ((ExecuteRequest *) target)->template = *item;
        return true;
}

static bool read_limits(Reader *reader, void *target, const JsonItem *item) {
        ((ExecuteRequest *) target)->limits = *item;
        return true;
}

/* One of two words; *ret_second says which. */
static bool read_choice(Reader *reader, const JsonItem *item, const char *field, const char *first,
                        const char *second, bool *ret_second) {
        Slice word;

        if (!reader_text(reader, item, field, &word))
                return false;
        *ret_second = slice_equals(word, second);
        if (!*ret_second && !slice_equals(word, first))
                return reader_fail(reader, 422, field, "This must be \"%s\" or \"%s\".", first,
                                   second);
        return true;
}

static bool read_encoding(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        return read_choice(reader, item, "encoding", "utf-8", "base64", &request->base64);
}

static bool read_output_overrun(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        return read_choice(reader, item, "output_overrun", "cut", "kill",
                           &request->run.output_overrun_kills);
}

static bool read_id(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        if (item->kind != JSON_STRING && item->kind != JSON_NUMBER)
                return reader_fail(reader, 422, "id", "This must be a string or a number.");
        if (item->value.size > REQUEST_ID_MAX)
                return reader_fail(reader, 422, "id", "This may have at most %d bytes.",
                                   REQUEST_ID_MAX);
        request->id = item->value;
        return true;
}

static bool read_on_timeout(Reader *reader, void *target, const JsonItem *item) {
        ExecuteRequest *request = target;

        return read_choice(reader, item, "on_timeout", "kill", "interrupt",
                           &request->run.interrupt_first);
}

/* `id` comes first and `on_timeout` last, so that each is left out where it is not allowed. */
static const Member request_members[] = {
        {"id", read_id},
        {"code", read_code},
        {"stdin", read_stdin},
        {"args", read_arguments},
        {"env", read_environment},
        {"data", read_data},
        {"files", decode_files},
        {"variables", read_variables},
        {"collect", read_collect},
        {"template", read_template},
        {"limits", read_limits},
        {"encoding", read_encoding},
        {"output_overrun", read_output_overrun},
        {"on_timeout", read_on_timeout},
};

static bool finish(ExecuteRequest *request) {
        Reader *reader = &request->reader;
        const DecodeContext *context = request->context;
        const TemplateConfig *template;

        if (!request->has_code)
                return reader_fail(reader, 422, "code",
                                   "This member is required: the Python source to run.");
        if (context->in_session && request->template.value.size > 0)
                return reader_fail(reader, 422, "template",
                                   "The template belongs to the session; a run cannot have "
                                   "another one.");
        if (!decode_template(reader, context, &request->template, &request->run.template))
                return false;
        template = &context->templates[request->run.template];
        request->run.limits = limit_policy_defaults(&template->limits);
        if (context->standard_limits.size > 0 &&
            !decode_limits(reader, template, context->standard_limits, &request->run.limits))
                return false;
        if (request->limits.value.size == 0)
                return true;
        return reader_expect(reader, &request->limits, JSON_OBJECT, "limits") &&
               decode_limits(reader, template, request->limits.value, &request->run.limits);
}

bool execute_request_decode(ExecuteRequest *request, const DecodeContext *context, Slice body) {
        const Member *members = request_members + (context->allow_id ? 0 : 1);
        size_t n_members = N_ELEMENTS(request_members) - (context->allow_id ? 0 : 1) -
                           (context->in_session ? 0 : 1);

        *request = (ExecuteRequest){
                .context = context,
                .run.flags = REQUEST_WANT_VALUE | REQUEST_WANT_DISPLAYS,
        };
        return reader_start(&request->reader, body) &&
               reader_object(&request->reader, body, members, n_members, false, request) &&
               finish(request);
}

void execute_request_done(ExecuteRequest *request) {
        free(request->arguments);
        free(request->environment);
        free(request->files);
        free(request->variables);
        free(request->collect);
        reader_done(&request->reader);
}

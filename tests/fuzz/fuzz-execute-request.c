/* The body of POST /v1/execute and of POST /v1/batch: any bytes. */
#include "jsontext/utf8.h"
#include "server/api/batch_input.h"
#include "server/api/decode.h"

#include <string.h>

#include "fuzz.h"

static const TemplateConfig *templates(void) {
        static TemplateConfig all[2];

        if (!all[0].name) {
                all[0] = (TemplateConfig){.name = "default", .limits = limit_policy_standard()};
                all[1] = (TemplateConfig){
                        .name = "shell", .subprocesses = true, .limits = limit_policy_standard()};
                all[1].limits.maximum[LIMIT_PROCESSES] = 16;
        }
        return all;
}

/* Text that goes to Python and to file names has to be what it seems. */
static void check_text(Slice text) {
        must(utf8_valid_prefix(text) == text.size);
}

static void check_plain_text(Slice text) {
        check_text(text);
        must(text.size == 0 || !memchr(text.data, '\0', text.size));
}

static void check_path(Slice path) {
        check_plain_text(path);
        must(path.size > 0 && path.size <= REQUEST_PATH_MAX);
        must(path.data[0] != '/' && path.data[path.size - 1] != '/');
        must(!memmem(path.data, path.size, "//", 2));
        must(!(path.size >= 2 && memcmp(path.data, "..", 2) == 0 &&
               (path.size == 2 || path.data[2] == '/')));
        must(!memmem(path.data, path.size, "/../", 4));
        must(!(path.size >= 3 && memcmp(path.data + path.size - 3, "/..", 3) == 0));
}

/* No file stands at, or in the place of a folder of, another; the slow way. */
static void check_apart(const RunFile *files, size_t n) {
        for (size_t i = 0; i < n && i < 64; i++) {
                for (size_t j = 0; j < n && j < 64; j++) {
                        Slice a = files[i].path, b = files[j].path;

                        if (i == j || a.size > b.size || memcmp(a.data, b.data, a.size) != 0)
                                continue;
                        must(a.size < b.size && b.data[a.size] != '/');
                }
        }
}

static void check_run(const RunRequest *run) {
        unsigned index = run->template;
        const LimitPolicy *policy;

        must(index < 2);
        policy = &templates()[index].limits;
        for (int i = 0; i < _LIMITS; i++)
                must(run->limits.of[i] >= limit_infos[i].minimum &&
                     run->limits.of[i] <= policy->maximum[i]);
        check_text(run->code);
        check_text(run->stdin_bytes);
        must(run->data.size == 0 || json_is(run->data, JSON_OBJECT, 0));
        must(run->n_arguments <= REQUEST_ARGUMENTS_MAX && run->n_files <= REQUEST_FILES_MAX);
        for (size_t i = 0; i < run->n_arguments; i++)
                check_plain_text(run->arguments[i]);
        for (size_t i = 0; i < run->n_environment; i++) {
                check_plain_text(run->environment[i].name);
                check_plain_text(run->environment[i].value);
                must(run->environment[i].name.size > 0);
        }
        for (size_t i = 0; i < run->n_files; i++)
                check_path(run->files[i].path);
        for (size_t i = 0; i < run->n_collect; i++)
                check_plain_text(run->collect[i]);
        check_apart(run->files, run->n_files);
}

static void check_error(const ReaderError *error) {
        must(error->status == 400 || error->status == 422);
        must(error->text[0] != '\0');
        must(memchr(error->text, '\0', sizeof(error->text)));
        must(memchr(error->field, '\0', sizeof(error->field)));
}

static void decode(const DecodeContext *context, Slice body) {
        ExecuteRequest request;

        if (execute_request_decode(&request, context, body)) {
                check_run(&request.run);
                must(request.id.size <= REQUEST_ID_MAX);
        } else
                check_error(&request.reader.error);
        execute_request_done(&request);
}

static void decode_batch(DecodeContext *context, Slice body, bool says_lines) {
        BatchInput input;
        Reader reader;

        context->allow_id = true;
        if (batch_input_open(&input, &reader, context, body, says_lines)) {
                for (; input.has_element; batch_input_advance(&input)) {
                        must(input.element.size > 0 && input.element.data >= body.data);
                        must(input.element.data + input.element.size <= body.data + body.size);
                        must(batch_element_id(input.element).size <= REQUEST_ID_MAX);
                        decode(context, input.element);
                }
        } else
                check_error(&reader.error);
        reader_done(&reader);
}

/* The first byte chooses the way in. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        DecodeContext context = {.templates = templates(), .n_templates = 2};
        Slice body;

        if (size == 0)
                return 0;
        body = slice_of(data + 1, size - 1);
        if (data[0] & 1)
                decode_batch(&context, body, data[0] & 2);
        else
                decode(&context, body);
        return 0;
}

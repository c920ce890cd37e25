/* How a batch is cut into runs, and what is said about one that cannot be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/api/batch_input.h"

static TemplateConfig templates[2];

static int set_up(void **state) {
        templates[0] = (TemplateConfig){.name = "default", .limits = limit_policy_standard()};
        templates[1] = (TemplateConfig){.name = "shell", .limits = limit_policy_standard()};
        return 0;
}

static void assert_slice(Slice slice, const char *text) {
        assert_int_equal(slice.size, strlen(text));
        assert_memory_equal(slice.data, text, slice.size);
}

typedef struct BatchCase {
        BatchInput input;
        Reader reader;
        DecodeContext context;
        bool is_open;
} BatchCase;

static BatchCase open_batch(const char *text, bool says_lines) {
        BatchCase c = {.context = {.templates = templates, .n_templates = 2}};

        c.is_open =
                batch_input_open(&c.input, &c.reader, &c.context, slice_of_text(text), says_lines);
        return c;
}

static void assert_elements(const char *text, bool says_lines, size_t n,
                            const char *const *elements) {
        BatchCase c = open_batch(text, says_lines);

        if (!c.is_open)
                fail_msg("%s\n → %d: %s", text, c.reader.error.status, c.reader.error.text);
        for (size_t i = 0; i < n; i++) {
                assert_true(c.input.has_element);
                assert_int_equal(c.input.index, i);
                assert_slice(c.input.element, elements[i]);
                batch_input_advance(&c.input);
        }
        assert_false(c.input.has_element);
        reader_done(&c.reader);
}

#define ELEMENTS(...)                                                                              \
        N_ELEMENTS(((const char *const[]){__VA_ARGS__})), (const char *const[]) {                  \
                __VA_ARGS__                                                                        \
        }

static void test_forms(void **state) {
        assert_elements("[{\"code\":\"1\"}, 2]", false, ELEMENTS("{\"code\":\"1\"}", "2"));
        assert_elements("{\"runs\": [{\"code\":\"1\"}]}", false, ELEMENTS("{\"code\":\"1\"}"));
        assert_elements("{\"code\":\"1\"}\n\n  \r\n{\"code\":\"2\"}", false,
                        ELEMENTS("{\"code\":\"1\"}", "{\"code\":\"2\"}"));
        assert_elements("{\"code\":\"1\"}\nbad\n{\"code\":\"2\"}\n", false,
                        ELEMENTS("{\"code\":\"1\"}", "bad", "{\"code\":\"2\"}"));
        assert_elements("bad\n{\"code\":\"2\"}\n", true, ELEMENTS("bad", "{\"code\":\"2\"}"));
        assert_elements("{\"code\":\n\"1\"}", false, ELEMENTS("{\"code\":\n\"1\"}"));
        assert_elements("{\"code\":\"1\"}", true, ELEMENTS("{\"code\":\"1\"}"));
        assert_elements("[]", false, 0, NULL);
        assert_elements("{\"runs\": []}", false, 0, NULL);
}

static void assert_batch_refused(const char *text, bool says_lines, int status, const char *field) {
        BatchCase c = open_batch(text, says_lines);

        if (c.is_open || c.reader.error.status != status ||
            strcmp(c.reader.error.field, field) != 0)
                fail_msg("%s\n → %d, field \"%s\": %s", text, c.is_open ? 0 : c.reader.error.status,
                         c.reader.error.field, c.reader.error.text);
        reader_done(&c.reader);
}

static void test_refusals(void **state) {
        assert_batch_refused("", false, 400, "");
        assert_batch_refused("\n \n", true, 400, "");
        assert_batch_refused("[{\"code\":\"1\"}", false, 400, "");
        assert_batch_refused("{\"runs\": [\n{\"code\":\"1\"}\n", false, 400, "");
        assert_batch_refused("{\"code\": \"1\"", false, 400, "");
        assert_batch_refused("1", false, 422, "");
        assert_batch_refused("{\"runs\": {}}", false, 422, "runs");
        assert_batch_refused("{\"runs\": null}", false, 422, "runs");
        assert_batch_refused("{\"runs\": [], \"limit\": {}}", false, 422, "limit");
        assert_batch_refused("{\"runs\": [], \"limits\": {\"wall_ms\": 0}}", false, 422,
                             "limits.wall_ms");
        assert_batch_refused("{\"runs\": [], \"template\": \"x\"}", false, 422, "template");
}

static void test_size(void **state) {
        char *text = malloc(2 * (BATCH_ELEMENTS_MAX + 1) + 3);
        BatchCase c;

        for (size_t i = 0; i < BATCH_ELEMENTS_MAX + 1; i++)
                memcpy(text + 2 * i, "1\n", 3);
        c = open_batch(text, true);
        assert_false(c.is_open);
        assert_int_equal(c.reader.error.status, 422);
        reader_done(&c.reader);
        text[2 * BATCH_ELEMENTS_MAX] = '\0';
        c = open_batch(text, true);
        assert_true(c.is_open);
        reader_done(&c.reader);
        free(text);
}

static void test_standards(void **state) {
        BatchCase c = open_batch(
                "{\"template\": \"shell\", \"limits\": {\"wall_ms\": 7, \"cpu_ms\": 8}, \"runs\": "
                "[{\"code\": \"1\", \"limits\": {\"cpu_ms\": 9}, \"id\": \"a\\n\"}]}",
                false);
        ExecuteRequest request;

        assert_true(c.is_open);
        c.context.allow_id = true;
        assert_true(execute_request_decode(&request, &c.context, c.input.element));
        assert_int_equal(request.run.template, 1);
        assert_int_equal(request.run.limits.of[LIMIT_WALL_MS], 7);
        assert_int_equal(request.run.limits.of[LIMIT_CPU_MS], 9);
        assert_slice(request.id, "\"a\\n\"");
        execute_request_done(&request);
        reader_done(&c.reader);
}

static void test_element_ids(void **state) {
        assert_slice(batch_element_id(SLICE_LITERAL("{\"cod\": 1, \"id\": 12}")), "12");
        assert_slice(batch_element_id(SLICE_LITERAL("{\"id\": [1]}")), "");
        assert_slice(batch_element_id(SLICE_LITERAL("{\"id\": 1")), "");
        assert_slice(batch_element_id(SLICE_LITERAL("3")), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),       cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_size),        cmocka_unit_test(test_standards),
                cmocka_unit_test(test_element_ids),
        };

        return cmocka_run_group_tests_name("batch_input", tests, set_up, NULL);
}

/* Cells of a notebook: what a hostile worker says stays inside its line, and what is left out when
 * there is too much. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "jsontext/scan.h"
#include "server/notebook_cell.h"

static const RunResult nothing = {.status = RUN_OK, .session = {.number = 3}};

static NotebookRun run_of(const RunResult *result, const char *source) {
        return (NotebookRun){
                .cell_id = "run_1",
                .source = slice_of_text(source),
                .result = result,
                .end_ms = 1700000000123,
        };
}

/* The cell's text; freed by the caller. */
static char *written(const NotebookRun *run) {
        Buffer line = BUFFER_INIT(0);

        assert_int_equal(notebook_write_run(run, &line), 0);
        assert_true(json_is(buffer_slice(&line), JSON_OBJECT, JSON_REFUSE_LONE_SURROGATES));
        assert_null(memchr(line.data, '\n', line.size));
        assert_int_equal(buffer_append(&line, "", 1), 0);
        return (char *) line.data;
}

static void assert_has(const char *text, const char *part) {
        if (!strstr(text, part))
                fail_msg("no %s in %s", part, text);
}

static void test_a_run_is_a_code_cell(void **state) {
        RunResult result = nothing;
        const Slice display =
                SLICE_LITERAL("{\"image/png\": \"iVBO\", \"text/plain\": \"<Figure>\"}");
        NotebookRun run = run_of(&result, "print(1)\n2");
        char *text;

        result.output[RUN_STDOUT] = (RunOutput){.head = SLICE_LITERAL("1\n"), .total_bytes = 2};
        result.value = SLICE_LITERAL("{\"text/plain\": \"2\", \"application/json\": 2}");
        result.displays = &display;
        result.n_displays = 1;
        result.usage.wall_ns = 1000000000;
        text = written(&run);
        assert_has(text, "\"cell_type\":\"code\",\"id\":\"run_1\",\"execution_count\":3");
        assert_has(text, "\"iopub.execute_input\":\"2023-11-14T22:13:19.123Z\"");
        assert_has(text, "\"shell.execute_reply\":\"2023-11-14T22:13:20.123Z\"");
        assert_has(text, "\"source\":\"print(1)\\n2\"");
        assert_has(text, "{\"output_type\":\"stream\",\"name\":\"stdout\",\"text\":\"1\\n\"}");
        assert_has(text, "{\"output_type\":\"display_data\",\"data\":{\"image/png\":\"iVBO\",");
        assert_has(text, "{\"output_type\":\"execute_result\",\"execution_count\":3,"
                         "\"data\":{\"text/plain\":\"2\"},\"metadata\":{}}");
        free(text);
}

static void test_errors_and_verdicts(void **state) {
        RunResult result = nothing;
        NotebookRun run = run_of(&result, "1 / 0");
        char *text;

        result.status = RUN_ERROR;
        result.error = (RunError){
                .type = SLICE_LITERAL("ZeroDivisionError"),
                .message = SLICE_LITERAL("division by zero"),
                .traceback = SLICE_LITERAL("Traceback:\n  1 / 0\nZeroDivisionError\n"),
        };
        text = written(&run);
        assert_has(text, "{\"output_type\":\"error\",\"ename\":\"ZeroDivisionError\",\"evalue\":"
                         "\"division by zero\",\"traceback\":[\"Traceback:\",\"  1 / 0\","
                         "\"ZeroDivisionError\"]}");
        free(text);

        result = nothing;
        result.status = RUN_TIMEOUT;
        text = written(&run);
        assert_has(text, "\"ename\":\"Timeout\"");
        free(text);

        result.status = RUN_EXIT;
        result.exit_code = 7;
        text = written(&run);
        assert_has(text, "\"ename\":\"SystemExit\",\"evalue\":\"7\"");
        free(text);
}

/* What is valid JSON and would still make the notebook unreadable. */
static void test_hostile_documents(void **state) {
        static const struct {
                const char *value, *data;
        } cases[] = {
                {"{\"text/plain\": \"\\ud800\"}", "{\"text/plain\":\"\\ufffd\"}"},
                {"{\"text/plain\": \"\\uDFFF\\ud83d\\ude00\"}",
                 "{\"text/plain\":\"\\ufffd\\ud83d\\ude00\"}"},
                {"{\"text/plain\": \"\\\\ud800\"}", "{\"text/plain\":\"\\\\ud800\"}"},
                {"{\"text/plain\": \"\\ud83d\\\\ude00\"}", "{\"text/plain\":\"\\ufffd\\\\ude00\"}"},
                {"{\"text/plain\": 5, \"text/html\": [1], \"image/png\": null}", "{}"},
                {"{\"text\\u002fplain\": \"a\", \"\": \"b\", \"a/b/c\": \"c\", \"x y/z\": \"d\"}",
                 "{}"},
                {"{\"application/json\": {\"a\": 1}, \"application/vnd.x+json\": {\"a\": [1]}}",
                 "{\"application/vnd.x+json\":{\"a\": [1]}}"},
                {"{\"text/html+json\": {}, \"+json\": 1, \"/+json\": 1}", "{}"},
                {"[]", "{}"},
                {"{\"text/plain\":\n\"a\xe2\x80\xa8\"}", "{\"text/plain\":\"a\\u2028\"}"},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                RunResult result = nothing;
                NotebookRun run = run_of(&result, "x");
                char expected[256], *text;

                result.value = slice_of_text(cases[i].value);
                text = written(&run);
                (void) snprintf(expected, sizeof(expected), "\"data\":%s,\"metadata\"",
                                cases[i].data);
                assert_has(text, expected);
                free(text);
        }
}

static void test_bytes_that_are_no_text(void **state) {
        RunResult result = nothing;
        NotebookRun run = run_of(&result, "a\xff\\ud800");
        char *text;

        result.output[RUN_STDERR] =
                (RunOutput){.head = SLICE_LITERAL("\xc3(\0\n"), .total_bytes = 4};
        text = written(&run);
        assert_has(text, "\"source\":\"a\xef\xbf\xbd\\\\ud800\"");
        assert_has(text, "\"name\":\"stderr\",\"text\":\"\xef\xbf\xbd(\\u0000\\n\"");
        free(text);
}

static void test_what_is_too_long_is_left_out(void **state) {
        char many[2001];
        RunResult result = nothing;
        NotebookRun run = run_of(&result, "short");
        Buffer line = BUFFER_INIT(0);

        memset(many, 'x', sizeof(many) - 1);
        many[sizeof(many) - 1] = '\0';
        result.output[RUN_STDOUT] = (RunOutput){.head = slice_of_text(many), .total_bytes = 2000};
        assert_int_equal(notebook_write_run_within(&run, 1000, &line), 0);
        assert_int_equal(buffer_append(&line, "", 1), 0);
        assert_has((char *) line.data, "\"source\":\"short\"");
        assert_has((char *) line.data, "The outputs are left out");
        line.size = 0;
        run.source = slice_of_text(many);
        assert_int_equal(notebook_write_run_within(&run, 1000, &line), 0);
        assert_int_equal(buffer_append(&line, "", 1), 0);
        assert_has((char *) line.data, "\"source\":\"# 2000 bytes of source are left out.\"");
        line.size = 0;
        assert_int_equal(notebook_write_run_within(&run, 10, &line), -EMSGSIZE);
        buffer_done(&line);
}

/* ── Many ── */

#define CELL(id, output) "{\"cell_type\":\"code\",\"id\":\"" id "\",\"outputs\":[" output "]}\n"
#define LONG                                                                                       \
        "\"0123456789012345678901234567890123456789012345678901234567890123456789"                 \
        "0123456789012345678901234567890123456789012345678901234567890123456789\""

static char *trimmed(const char *lines, size_t target) {
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(notebook_trim(slice_of_text(lines), target, &out), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        return (char *) out.data;
}

static void test_trimming_begins_with_the_oldest_outputs(void **state) {
        const char *lines = CELL("a", LONG) CELL("b", LONG) CELL("c", LONG);
        size_t size = strlen(lines);
        char *text = trimmed(lines, size), *again;

        assert_string_equal(text, lines);
        free(text);

        text = trimmed(lines, size - 1);
        assert_has(text, "\"id\":\"a\",\"outputs\":[{\"output_type\":\"stream\"");
        assert_has(text, CELL("b", LONG) CELL("c", LONG));
        assert_true(strlen(text) < size);
        free(text);

        text = trimmed(lines, 200);
        assert_has(text, "{\"cell_type\":\"markdown\",\"id\":\"left-out\"");
        assert_null(strstr(text, "\"id\":\"a\""));
        assert_has(text, "\"id\":\"c\"");
        assert_null(strstr(text, LONG));
        /* The cell that tells of it stays the only one, and stays. */
        again = trimmed(text, 10000);
        assert_string_equal(again, text);
        free(again);
        free(text);
}

static void test_what_a_crash_has_cut_is_left_out(void **state) {
        const char *lines = CELL("a", "") "{\"cell_type\":\"co\n\n" CELL("b", "") "{\"id\"";
        char *text = trimmed(lines, 10000);
        Buffer document = BUFFER_INIT(0);

        assert_string_equal(text, CELL("a", "") CELL("b", ""));
        free(text);
        assert_int_equal(notebook_frame(slice_of_text(lines), "3.11.2", &document), 0);
        assert_true(json_is(buffer_slice(&document), JSON_OBJECT, 0));
        assert_int_equal(buffer_append(&document, "", 1), 0);
        assert_has((char *) document.data, "\"id\":\"a\",\"outputs\":[]},{\"cell_type\":\"code\","
                                           "\"id\":\"b\"");
        assert_has((char *) document.data, "\"version\":\"3.11.2\"");
        buffer_done(&document);
}

static void test_an_empty_notebook(void **state) {
        Buffer document = BUFFER_INIT(0);

        assert_int_equal(notebook_frame(SLICE_NULL, "", &document), 0);
        assert_true(json_is(buffer_slice(&document), JSON_OBJECT, 0));
        assert_int_equal(memcmp(document.data, "{\"cells\":[],", 12), 0);
        buffer_done(&document);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_run_is_a_code_cell),
                cmocka_unit_test(test_errors_and_verdicts),
                cmocka_unit_test(test_hostile_documents),
                cmocka_unit_test(test_bytes_that_are_no_text),
                cmocka_unit_test(test_what_is_too_long_is_left_out),
                cmocka_unit_test(test_trimming_begins_with_the_oldest_outputs),
                cmocka_unit_test(test_what_a_crash_has_cut_is_left_out),
                cmocka_unit_test(test_an_empty_notebook),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

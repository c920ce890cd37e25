/* What came of a run, as the APIs say it that answer with text, and with a kernel's answers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>

#include "server/api/jupyter_answer.h"
#include "server/api/plain_text.h"

static RunResult result_of(RunStatus status) {
        RunResult result = {.status = status};

        for (int i = 0; i < _LIMITS; i++)
                result.limits.of[i] = limit_infos[i].standard;
        return result;
}

static RunOutput output_of(const char *text) {
        return (RunOutput){.head = slice_of_text(text), .total_bytes = strlen(text)};
}

/* ── Pieces ── */

static void assert_document(const char *document, const char *text) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(0);

        assert_int_equal(plain_text_document(&out, slice_of_text(document)), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        assert_string_equal((char *) out.data, text);
}

static void test_documents(void **state) {
        assert_document("{\"text/plain\":\"a\\nb\",\"text/html\":\"<b>\"}", "a\nb");
        assert_document("{\"text/html\":\"<b>\",\"text/plain\":\"\\u00e9\"}", "\303\251");
        assert_document("{\"text/plain\":\"\"}", "");
        assert_document("{\"text/plain\":5}", "");
        assert_document("{\"image/png\":\"text/plain\"}", "");
        assert_document("", "");
}

static void assert_lines(const char *text, const char *array) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(0);
        JsonWriter writer = JSON_WRITER(&out);

        plain_text_write_lines(&writer, slice_of_text(text));
        assert_int_equal(writer.error, 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        assert_string_equal((char *) out.data, array);
}

static void test_lines(void **state) {
        assert_lines("", "[]");
        assert_lines("a", "[\"a\"]");
        assert_lines("a\n", "[\"a\"]");
        assert_lines("a\n\nb", "[\"a\",\"\",\"b\"]");
        assert_lines("\n", "[\"\"]");
        assert_lines("\377\r", "[\"\357\277\275\\r\"]");
}

static void test_line_ends(void **state) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(0);

        assert_int_equal(plain_text_end_line(&out), 0);
        assert_int_equal(out.size, 0);
        assert_int_equal(buffer_append(&out, "a", 1), 0);
        assert_int_equal(plain_text_end_line(&out), 0);
        assert_int_equal(plain_text_end_line(&out), 0);
        assert_memory_equal(out.data, "a\n", 2);
        assert_int_equal(out.size, 2);
}

static void test_cut_streams_have_a_marker(void **state) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(0);
        const RunOutput cut = {
                .head = SLICE_LITERAL("head"),
                .tail = SLICE_LITERAL("tail"),
                .total_bytes = 1008,
                .truncated = true,
        };

        assert_int_equal(plain_text_stream(&out, &cut), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        assert_string_equal((char *) out.data,
                            "head\n[\342\200\246 1,000 bytes left out \342\200\246]\ntail");
}

static void assert_failure(const RunResult *result, const char *beginning) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(0);

        assert_int_equal(plain_text_failure(&out, result), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        if (strncmp((char *) out.data, beginning, strlen(beginning)) != 0)
                fail_msg("%s: %s", beginning, (char *) out.data);
}

static void test_failures(void **state) {
        RunResult result = result_of(RUN_ERROR);

        result.error.type = SLICE_LITERAL("ValueError");
        result.error.message = SLICE_LITERAL("bad");
        assert_failure(&result, "ValueError: bad");
        result.error.traceback = SLICE_LITERAL("Traceback\nValueError: bad\n");
        assert_failure(&result, "Traceback\n");
        result = result_of(RUN_EXIT);
        result.exit_code = 3;
        assert_failure(&result, "The program ended with exit code 3.");
        result = result_of(RUN_TIMEOUT);
        assert_failure(&result, "The run");
}

/* ── A kernel's answers ── */

static void assert_answer(const RunResult *result, int status, const char *body) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(0);

        assert_int_equal(jupyter_answer(result, &out), status);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        assert_string_equal((char *) out.data, body);
}

static void test_output_is_joined(void **state) {
        static const Slice displays[] = {
                SLICE_LITERAL("{\"text/plain\":\"shown\"}"),
                SLICE_LITERAL("{\"image/png\":\"x\"}"),
        };
        static const StreamPlace places[] = {{.bytes = {2, 0}}, {.bytes = {4, 0}}};
        RunResult result = result_of(RUN_OK);

        assert_answer(&result, 200, "{\"output\":\"\"}");
        result.value = SLICE_LITERAL("{\"text/plain\":\"2\"}");
        assert_answer(&result, 200, "{\"output\":\"2\"}");
        result.output[RUN_STDOUT] = output_of("out\n");
        result.output[RUN_STDERR] = output_of("err");
        result.displays = displays;
        result.n_displays = 2;
        result.displays_before_value = 2;
        assert_answer(&result, 200, "{\"output\":\"out\\n\\nerr\\nshown\\n2\"}");
        result.places = places;
        assert_answer(&result, 200, "{\"output\":\"ou\\nshown\\nt\\n\\nerr\\n2\"}");
}

static void test_errors_of_a_kernel(void **state) {
        RunResult result = result_of(RUN_ERROR);

        result.output[RUN_STDOUT] = output_of("not told");
        result.error = (RunError){
                .type = SLICE_LITERAL("E"),
                .traceback = SLICE_LITERAL("a\n  b\nE: m\n"),
        };
        assert_answer(&result, 400,
                      "{\"detail\":{\"error\":\"Execution error\",\"traceback\":"
                      "[\"a\",\"  b\",\"E: m\"]}}");
        result = result_of(RUN_EXIT);
        result.exit_code = 3;
        assert_answer(&result, 400,
                      "{\"detail\":{\"error\":\"Execution error\",\"traceback\":"
                      "[\"SystemExit: 3\"]}}");
        result.exit_code = 0;
        assert_answer(&result, 200, "{\"output\":\"\"}");
        result = result_of(RUN_TIMEOUT);
        assert_answer(&result, 408, "{\"detail\":\"Code execution timed out\"}");
}

static void test_what_was_lost_is_told(void **state) {
        RunResult result = result_of(RUN_OK);

        result.session.began_anew = "It was.";
        assert_answer(&result, 200, "{\"output\":\"\",\"notice\":\"It was.\"}");
        result.status = RUN_EXIT;
        result.exit_code = 1;
        assert_answer(&result, 400,
                      "{\"detail\":{\"error\":\"Execution error\",\"traceback\":"
                      "[\"SystemExit: 1\"],\"notice\":\"It was.\"}}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_documents),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_line_ends),
                cmocka_unit_test(test_cut_streams_have_a_marker),
                cmocka_unit_test(test_failures),
                cmocka_unit_test(test_output_is_joined),
                cmocka_unit_test(test_errors_of_a_kernel),
                cmocka_unit_test(test_what_was_lost_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

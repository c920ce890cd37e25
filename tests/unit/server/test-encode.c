/* What the answer says, byte for byte; and the queue of a streamed one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>

#include "jsontext/scan.h"
#include "server/api/encode.h"
#include "server/api/event_queue.h"

static const AnswerOptions plain = {.id = "run_1"};

static RunResult result_of(RunStatus status) {
        RunResult result = {
                .status = status,
                .usage = {.wall_ns = 1930400,
                          .cpu_ns = 1710000,
                          .peak_memory_kb = 70112,
                          .queue_ns = 20000},
        };

        for (int i = 0; i < _LIMITS; i++)
                result.limits.of[i] = limit_infos[i].standard;
        return result;
}

/* The text of the answer, NUL-terminated, which must be JSON without a raw line break. */
static Buffer encode(const RunResult *result, const AnswerOptions *options) {
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(answer_encode(result, options, &out), 0);
        assert_true(json_is(buffer_slice(&out), JSON_OBJECT, JSON_REFUSE_LONE_SURROGATES));
        assert_null(memchr(out.data, '\n', out.size));
        assert_null(memchr(out.data, '\r', out.size));
        assert_int_equal(buffer_append(&out, "", 1), 0);
        return out;
}

static void assert_says(const RunResult *result, const AnswerOptions *options, const char *text) {
        _cleanup_(buffer_done) Buffer out = encode(result, options);

        if (!strstr((const char *) out.data, text))
                fail_msg("not in the answer: %s\n%s", text, (const char *) out.data);
}

static void assert_silent(const RunResult *result, const AnswerOptions *options, const char *text) {
        _cleanup_(buffer_done) Buffer out = encode(result, options);

        if (strstr((const char *) out.data, text))
                fail_msg("in the answer: %s\n%s", text, (const char *) out.data);
}

static void test_whole_answer(void **state) {
        RunResult result = result_of(RUN_OK);
        _cleanup_(buffer_done) Buffer out = {0};

        result.has_exit_code = true;
        result.output[RUN_STDOUT] = (RunOutput){.head = SLICE_LITERAL("1\n"), .total_bytes = 2};
        out = encode(&result, &plain);
        assert_string_equal(
                (const char *) out.data,
                "{\"id\":\"run_1\",\"status\":\"ok\",\"stdout\":\"1\\n\",\"stderr\":\"\","
                "\"truncated\":{\"stdout\":false,\"stderr\":false},\"result\":null,\"displays\":[],"
                "\"variables\":null,\"files\":[],\"error\":null,\"exit_code\":0,"
                "\"usage\":{\"wall_ms\":1.93,\"cpu_ms\":1.71,\"peak_memory_kb\":70112,\"queue_ms\":"
                "0.02,"
                "\"stdout_bytes\":2,\"stderr_bytes\":0},"
                "\"limits\":{\"wall_ms\":30000,\"cpu_ms\":30000,\"memory_mb\":512,\"output_bytes\":"
                "1048576,"
                "\"processes\":1,\"disk_mb\":64}}");
}

static void test_values(void **state) {
        static const Slice displays[] = {SLICE_LITERAL("{\"a\":1}"), SLICE_LITERAL("{\"b\":2}")};
        AnswerOptions with_variables = {.id = "run_1", .variables = true};
        RunResult result = result_of(RUN_OK);

        assert_says(&result, &with_variables, "\"variables\":{},\"variables_repr\":[]");
        result.value = SLICE_LITERAL("{\"text/plain\":\"3\"}");
        result.displays = displays;
        result.n_displays = 2;
        result.variables = SLICE_LITERAL("{\"x\":1}");
        result.variables_repr = SLICE_LITERAL("[\"x\"]");
        assert_says(&result, &plain,
                    "\"result\":{\"text/"
                    "plain\":\"3\"},\"displays\":[{\"a\":1},{\"b\":2}],\"variables\":null,");
        assert_says(&result, &with_variables, "\"variables\":{\"x\":1},\"variables_repr\":[\"x\"]");
        result.displays_truncated = true;
        assert_says(&result, &plain,
                    "\"truncated\":{\"stdout\":false,\"stderr\":false,\"displays\":true}");
}

/* White space between tokens is a worker's to choose. It must not end a line of a batch or an event
 * of a stream. */
static void test_line_breaks_of_a_worker(void **state) {
        RunResult result = result_of(RUN_OK);

        result.value = SLICE_LITERAL("{\n\n\"a\"\r\n:\r1}");
        assert_says(&result, &plain, "\"result\":{  \"a\"  : 1}");
        result.value = SLICE_LITERAL("{\"\xc2\x85\":\"\u2028\u00e9\u2027\u2029\u20ac\xc2\x84\"}");
        assert_says(&result, &plain,
                    "\"result\":{\"\\u0085\":\"\\u2028\u00e9\u2027\\u2029\u20ac\xc2\x84\"}");
        result.output[RUN_STDOUT] = (RunOutput){.head = SLICE_LITERAL("a\u2028"), .total_bytes = 4};
        assert_says(&result, &plain, "\"stdout\":\"a\\u2028\",");
}

static void test_cut_output(void **state) {
        AnswerOptions bytes = {.id = "run_1", .base64 = true};
        RunResult result = result_of(RUN_OK);

        result.output[RUN_STDERR] = (RunOutput){.head = SLICE_LITERAL("ab"),
                                                .tail = SLICE_LITERAL("yz"),
                                                .total_bytes = 1234571,
                                                .truncated = true};
        assert_says(&result, &plain,
                    "\"stderr\":\"ab\\n[… 1,234,567 bytes left out "
                    "…]\\nyz\",\"truncated\":{\"stdout\":false,\"stderr\":true}");
        assert_says(&result, &plain, "\"stderr_bytes\":1234571");
        assert_says(&result, &bytes, "\"stderr\":\"YWJ5eg==\"");
        result.output[RUN_STDERR].total_bytes = 1003;
        assert_says(&result, &plain, "[… 999 bytes left out …]");
        result.output[RUN_STDERR].total_bytes = 1004;
        assert_says(&result, &plain, "[… 1,000 bytes left out …]");
}

static void test_bytes_that_are_no_text(void **state) {
        AnswerOptions bytes = {.id = "run_1", .base64 = true};
        RunResult result = result_of(RUN_OK);

        result.output[RUN_STDOUT] =
                (RunOutput){.head = SLICE_LITERAL("a\xff\xc3"), .total_bytes = 3};
        assert_says(&result, &plain, "\"stdout\":\"a\xef\xbf\xbd\xef\xbf\xbd\"");
        assert_says(&result, &bytes, "\"stdout\":\"Yf/D\"");
}

static void test_files(void **state) {
        static const RunCollected files[] = {
                {.path = SLICE_LITERAL("a\xff"), .content = SLICE_LITERAL("abc"), .size = 3},
                {.path = SLICE_LITERAL("b"), .size = 99, .skipped = "too large"},
        };
        RunResult result = result_of(RUN_OK);

        result.files = files;
        result.n_files = 2;
        assert_says(
                &result, &plain,
                "\"files\":[{\"path\":\"a\xef\xbf\xbd\",\"size\":3,\"content_base64\":\"YWJj\"},"
                "{\"path\":\"b\",\"size\":99,\"skipped\":\"too large\"}],\"error\"");
        result.files_truncated = true;
        assert_says(&result, &plain, "],\"files_truncated\":true,");
}

static void test_exceptions(void **state) {
        RunResult result = result_of(RUN_ERROR);

        result.has_exit_code = true;
        result.exit_code = 1;
        result.error = (RunError){.type = SLICE_LITERAL("ValueError"),
                                  .message = SLICE_LITERAL("\"no\""),
                                  .traceback = SLICE_LITERAL("Traceback\n"),
                                  .line = 3};
        assert_says(&result, &plain,
                    "\"error\":{\"type\":\"ValueError\",\"message\":\"\\\"no\\\"\",\"traceback\":"
                    "\"Traceback\\n\",\"line\":3},"
                    "\"exit_code\":1,\"usage\"");
}

static void test_verdicts_are_explained(void **state) {
        static const struct {
                RunStatus status;
                int signal;
                const char *says;
        } cases[] = {
                {RUN_TIMEOUT, 0,
                 "\"error\":{\"type\":\"Timeout\",\"message\":\"The run was ended after 30000 ms "
                 "of wall time.\",\"traceback\":null,\"line\":null},\"exit_code\":null,\"usage\""},
                {RUN_CPU_LIMIT, 0, "30000 ms of processor time"},
                {RUN_MEMORY_LIMIT, 0, "512 MB of memory"},
                {RUN_VIOLATION, SIGSYS, "\"signal\":31"},
                {RUN_CRASHED, SIGSEGV, "signal 11 (SIGSEGV)"},
                {RUN_CRASHED, 40, "signal 40 (SIG?)"},
                {RUN_CRASHED, 0, "broke the channel"},
                {RUN_CANCELLED, 0, "\"type\":\"Cancelled\""},
                {RUN_LOST, 0, "a failure of its own"},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                RunResult result = result_of(cases[i].status);

                result.signal = cases[i].signal;
                assert_says(&result, &plain, cases[i].says);
        }
}

static void test_what_was_too_much_is_named(void **state) {
        static const struct {
                RunExcess excess;
                bool is_in_session;
                const char *says;
        } cases[] = {
                {RUN_EXCESS_OUTPUT, false,
                 "wrote more than 1048576 bytes to one of its streams.\""},
                {RUN_EXCESS_FILES, false, "had more than 64 MB of files.\""},
                {RUN_EXCESS_FILES, true, "64 MB of files, or more files than a session may have"},
                {RUN_EXCESS_DISK, true, "the server's disk was nearly full (state-reserve-mb).\""},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                RunResult result = result_of(RUN_OUTPUT_LIMIT);

                result.excess = cases[i].excess;
                result.session.is_in_session = cases[i].is_in_session;
                assert_says(&result, &plain, cases[i].says);
        }
}

static void test_an_exit_is_no_error(void **state) {
        RunResult result = result_of(RUN_EXIT);

        result.has_exit_code = true;
        result.exit_code = 7;
        assert_says(&result, &plain, "\"error\":null,\"exit_code\":7,");
}

static void test_without_streams(void **state) {
        AnswerOptions options = {.id = "run_1", .without_streams = true};
        RunResult result = result_of(RUN_OK);

        assert_says(&result, &options, "\"truncated\":");
        assert_silent(&result, &options, "\"stdout\":\"");
        assert_silent(&result, &options, "\"displays\":[");
        assert_silent(&result, &options, "\"result\":");
}

static void test_no_room(void **state) {
        RunResult result = result_of(RUN_OK);
        Buffer out = BUFFER_INIT(100);

        assert_true(answer_encode(&result, &plain, &out) < 0);
        buffer_done(&out);
}

/* ── Events ── */

static Slice bytes_of(const char *text) {
        return slice_of_text(text);
}

static void assert_events(EventQueue *queue, size_t enough, const char *text) {
        _cleanup_(buffer_done) Buffer out = {0};

        assert_int_equal(event_queue_write(queue, &out, enough), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        assert_string_equal((const char *) out.data, text);
}

static void test_events_keep_their_order_and_join(void **state) {
        EventQueue queue;

        event_queue_init(&queue, 0, false);
        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("a")), 0);
        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("b\n")), 0);
        assert_int_equal(event_queue_output(&queue, RUN_STDERR, bytes_of("c")), 0);
        assert_int_equal(event_queue_push(&queue, EVENT_DISPLAY, bytes_of("{\n\"x\":1}")), 0);
        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("d")), 0);
        assert_int_equal(event_queue_push(&queue, EVENT_DONE, bytes_of("{}")), 0);
        assert_events(&queue, SIZE_MAX,
                      "event: stdout\ndata: {\"text\":\"ab\\n\"}\n\n"
                      "event: stderr\ndata: {\"text\":\"c\"}\n\n"
                      "event: display\ndata: { \"x\":1}\n\n"
                      "event: stdout\ndata: {\"text\":\"d\"}\n\n"
                      "event: done\ndata: {}\n\n");
        assert_true(event_queue_is_empty(&queue));
        event_queue_done(&queue);
}

/* However output is cut, what comes out is the same text, and no character is torn. */
static void test_characters_stay_whole(void **state) {
        static const char text[] = "a\u00e9\u20ac\U0001f600z";

        for (size_t step = 1; step < sizeof(text); step++) {
                EventQueue queue;

                event_queue_init(&queue, 0, false);
                for (size_t i = 0; i < sizeof(text) - 1; i += step) {
                        size_t size = sizeof(text) - 1 - i < step ? sizeof(text) - 1 - i : step;

                        assert_int_equal(
                                event_queue_output(&queue, RUN_STDOUT, slice_of(text + i, size)),
                                0);
                        /* The other stream has its own beginnings. */
                        assert_int_equal(event_queue_output(&queue, RUN_STDERR, SLICE_NULL), 0);
                }
                assert_events(&queue, SIZE_MAX,
                              "event: stdout\ndata: {\"text\":\"a\u00e9\u20ac\U0001f600z\"}\n\n");
                event_queue_done(&queue);
        }
}

static void test_a_character_that_never_ends(void **state) {
        EventQueue queue;

        event_queue_init(&queue, 0, false);
        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("a\xe2")), 0);
        assert_events(&queue, SIZE_MAX, "event: stdout\ndata: {\"text\":\"a\"}\n\n");
        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("\x82")), 0);
        assert_true(event_queue_is_empty(&queue));
        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("b\xf0")), 0);
        assert_events(&queue, SIZE_MAX, "event: stdout\ndata: {\"text\":\"\ufffdb\"}\n\n");
        assert_int_equal(event_queue_end_output(&queue), 0);
        assert_events(&queue, SIZE_MAX, "event: stdout\ndata: {\"text\":\"\ufffd\"}\n\n");
        event_queue_done(&queue);
}

static void test_bytes_as_they_are(void **state) {
        EventQueue queue;

        event_queue_init(&queue, 0, true);
        assert_int_equal(event_queue_output(&queue, RUN_STDERR, bytes_of("a\xff\xc3")), 0);
        assert_events(&queue, SIZE_MAX, "event: stderr\ndata: {\"base64\":\"Yf/D\"}\n\n");
        event_queue_done(&queue);
}

/* A long wait: written piece by piece, with output of both kinds behind it, and more added
 * meanwhile. */
static void test_a_backlog(void **state) {
        static char text[200001];
        _cleanup_(buffer_done) Buffer whole = {0};
        size_t events = 0, letters = 0;
        EventQueue queue;

        memset(text, 'x', sizeof(text) - 1);
        event_queue_init(&queue, 0, false);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of(text)), 0);
                assert_int_equal(event_queue_push(&queue, EVENT_DISPLAY, bytes_of("{}")), 0);
        }
        for (int i = 0; !event_queue_is_empty(&queue); i++) {
                Buffer out = {0};

                assert_int_equal(event_queue_write(&queue, &out, 50000), 0);
                assert_in_range(out.size, 1, 50000 + 40000);
                assert_int_equal(buffer_append(&whole, out.data, out.size), 0);
                buffer_done(&out);
                if (i == 3)
                        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("y")), 0);
        }
        for (size_t i = 0; i < whole.size; i++)
                letters += whole.data[i] == 'x' && whole.data[i + 1] != 't';
        for (size_t i = 0; i + 1 < whole.size; i++)
                events += whole.data[i] == '\n' && whole.data[i + 1] == '\n';
        assert_int_equal(letters, 5 * 200000);
        assert_int_equal(events, 5 * 7 + 5 + 1);
        event_queue_done(&queue);
}

static void test_a_full_queue_says_so(void **state) {
        EventQueue queue;

        event_queue_init(&queue, 64, false);
        assert_int_equal(event_queue_output(&queue, RUN_STDOUT, bytes_of("0123456789")), 0);
        assert_true(
                event_queue_push(
                        &queue, EVENT_DONE,
                        bytes_of(
                                "{\"a\":\"01234567890123456789012345678901234567890123456789\"}")) <
                0);
        assert_events(&queue, SIZE_MAX, "event: stdout\ndata: {\"text\":\"0123456789\"}\n\n");
        event_queue_done(&queue);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole_answer),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_line_breaks_of_a_worker),
                cmocka_unit_test(test_cut_output),
                cmocka_unit_test(test_bytes_that_are_no_text),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_exceptions),
                cmocka_unit_test(test_verdicts_are_explained),
                cmocka_unit_test(test_what_was_too_much_is_named),
                cmocka_unit_test(test_an_exit_is_no_error),
                cmocka_unit_test(test_without_streams),
                cmocka_unit_test(test_no_room),
                cmocka_unit_test(test_events_keep_their_order_and_join),
                cmocka_unit_test(test_characters_stay_whole),
                cmocka_unit_test(test_a_character_that_never_ends),
                cmocka_unit_test(test_bytes_as_they_are),
                cmocka_unit_test(test_a_backlog),
                cmocka_unit_test(test_a_full_queue_says_so),
        };

        return cmocka_run_group_tests_name("encode", tests, NULL, NULL);
}

/* A request as its worker reads it. */

#include "pool/request.h"

#include <errno.h>

#include "helpers.h"
#include "wire/frame.h"
#include "wire/run.h"

static Buffer message;

static int set_up(void **state) {
        message = BUFFER_INIT(REQUEST_MESSAGE_MAX);
        return 0;
}

static int tear_down(void **state) {
        buffer_done(&message);
        return 0;
}

static Slice next_frame(uint32_t kind) {
        static uint8_t body[4096];
        Frame frame;
        size_t used;

        assert_int_equal(frame_parse(buffer_slice(&message), sizeof(body), &frame, &used),
                         FRAME_COMPLETE);
        assert_int_equal(frame.kind, kind);
        if (frame.body.size > 0)
                memcpy(body, frame.body.data, frame.body.size);
        buffer_consume(&message, used);
        return slice_of(body, frame.body.size);
}

static RequestOptions last_frame(void) {
        RequestOptions options;
        Slice body = next_frame(REQUEST_END);

        assert_int_equal(body.size, sizeof(options));
        memcpy(&options, body.data, sizeof(options));
        assert_int_equal(message.size, 0);
        return options;
}

static void test_everything_arrives(void **state) {
        const Slice arguments[] = {SLICE_LITERAL("one"), SLICE_NULL};
        const Slice variables[] = {SLICE_LITERAL("x"), SLICE_LITERAL("df")};
        const RunVariable environment[] = {{SLICE_LITERAL("A"), SLICE_LITERAL("b=c")},
                                           {SLICE_LITERAL("EMPTY"), SLICE_NULL}};
        const RunFile files[] = {{SLICE_LITERAL("a/b.csv"), SLICE_LITERAL("1,2\0\n")},
                                 {SLICE_LITERAL("empty"), SLICE_NULL}};
        RunRequest request = {
                .code = SLICE_LITERAL("print(1)\0#"),
                .stdin_bytes = SLICE_LITERAL("in"),
                .arguments = arguments,
                .n_arguments = 2,
                .environment = environment,
                .n_environment = 2,
                .data = SLICE_LITERAL("{\"x\":1}"),
                .files = files,
                .n_files = 2,
                .variables = variables,
                .n_variables = 2,
                .flags = REQUEST_WANT_VALUE | REQUEST_BIND_ANALYSIS,
                .limits.of = {[LIMIT_CPU_MS] = 1500,
                              [LIMIT_MEMORY_MB] = 64,
                              [LIMIT_PROCESSES] = 3,
                              [LIMIT_DISK_MB] = 2},
        };
        RequestOptions options;
        Slice body;

        assert_int_equal(request_encode(&request, 777, &message), 0);

        body = next_frame(REQUEST_CODE);
        assert_int_equal(body.size, 10);
        assert_memory_equal(body.data, "print(1)\0#", 10);
        assert_slice(next_frame(REQUEST_STDIN), "in");
        assert_slice(next_frame(REQUEST_DATA), "{\"x\":1}");
        assert_slice(next_frame(REQUEST_ARGUMENT), "one");
        assert_slice(next_frame(REQUEST_ARGUMENT), "");
        assert_slice(next_frame(REQUEST_ENVIRONMENT), "A=b=c");
        assert_slice(next_frame(REQUEST_ENVIRONMENT), "EMPTY=");
        assert_slice(next_frame(REQUEST_FILE_PATH), "a/b.csv");
        body = next_frame(REQUEST_FILE_CONTENT);
        assert_int_equal(body.size, 5);
        assert_slice(next_frame(REQUEST_FILE_PATH), "empty");
        assert_slice(next_frame(REQUEST_FILE_CONTENT), "");
        assert_slice(next_frame(REQUEST_VARIABLE), "x");
        assert_slice(next_frame(REQUEST_VARIABLE), "df");

        options = last_frame();
        assert_int_equal(options.flags, REQUEST_WANT_VALUE | REQUEST_BIND_ANALYSIS);
        assert_int_equal(options.processes, 3);
        assert_int_equal(options.cpu_seconds, 2); /* never before the supervisor's own limit */
        assert_int_equal(options.memory_bytes, (64ULL << 20) + ADDRESS_SPACE_SLACK);
        assert_int_equal(options.file_bytes, 2 << 20);
        assert_int_equal(options.value_bytes, 777);
}

static void test_what_is_absent_is_not_sent(void **state) {
        RunRequest request = {0};

        assert_int_equal(request_encode(&request, 1, &message), 0);
        assert_int_equal(next_frame(REQUEST_CODE).size, 0);
        (void) last_frame();
}

static void test_the_backstop_stands_behind_the_limit(void **state) {
        for (uint64_t cpu_ms = 1; cpu_ms < 5000; cpu_ms += 37) {
                RunRequest request = {.limits.of = {[LIMIT_CPU_MS] = cpu_ms}};

                message.size = 0;
                assert_int_equal(request_encode(&request, 1, &message), 0);
                (void) next_frame(REQUEST_CODE);
                assert_true(last_frame().cpu_seconds * 1000 > cpu_ms);
        }
}

static void test_a_request_that_does_not_fit_is_refused(void **state) {
        const RunVariable variable = {SLICE_LITERAL("A"), SLICE_LITERAL("0123456789")};
        RunRequest request = {.environment = &variable, .n_environment = 1};
        size_t size;

        assert_int_equal(request_encode(&request, 1, &message), 0);
        size = message.size;
        for (size_t limit = 1; limit <= size; limit++) {
                buffer_done(&message);
                message = BUFFER_INIT(limit);
                assert_int_equal(request_encode(&request, 1, &message),
                                 limit < size ? -EMSGSIZE : 0);
                assert_true(message.size <= limit);
        }
}

#define request_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                request_test(test_everything_arrives),
                request_test(test_what_is_absent_is_not_sent),
                request_test(test_the_backstop_stands_behind_the_limit),
                request_test(test_a_request_that_does_not_fit_is_refused),
        };

        return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}

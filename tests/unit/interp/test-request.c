#include "interp/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "wire/frame.h"

static void add(Buffer *out, RequestKind kind, const char *body) {
        assert_int_equal(frame_append(out, kind, slice_of_text(body)), 0);
}

static void add_end(Buffer *out) {
        RequestOptions options = {.flags = REQUEST_WANT_VALUE, .memory_bytes = 7};

        assert_int_equal(frame_append(out, REQUEST_END, slice_of(&options, sizeof(options))), 0);
}

static RequestParse scan(const Buffer *bytes, size_t *ret_size) {
        RequestScan scan = {0};
        RequestParse parse = request_scan(&scan, buffer_slice(bytes));

        *ret_size = scan.offset;
        return parse;
}

static RequestParse decode(const Buffer *bytes) {
        _cleanup_(request_done) Request request;

        return request_decode(buffer_slice(bytes), &request);
}

static void test_every_part_comes_out(void **state) {
        _cleanup_(buffer_done) Buffer bytes = {0};
        _cleanup_(request_done) Request request;
        size_t size;

        add(&bytes, REQUEST_FILE_PATH, "a/b");
        add(&bytes, REQUEST_FILE_CONTENT, "");
        add(&bytes, REQUEST_CODE, "1+1");
        add(&bytes, REQUEST_ARGUMENT, "one");
        add(&bytes, REQUEST_ARGUMENT, "");
        add(&bytes, REQUEST_ENVIRONMENT, "A=b");
        add(&bytes, REQUEST_STDIN, "in");
        add(&bytes, REQUEST_DATA, "{}");
        add(&bytes, REQUEST_VARIABLE, "x");
        add(&bytes, REQUEST_FILE_PATH, "c");
        add(&bytes, REQUEST_FILE_CONTENT, "content");
        add_end(&bytes);

        assert_int_equal(scan(&bytes, &size), REQUEST_COMPLETE);
        assert_int_equal(size, bytes.size);
        assert_int_equal(request_decode(buffer_slice(&bytes), &request), REQUEST_COMPLETE);
        assert_false(request.is_touch);
        assert_true(slice_equals(request.code, "1+1"));
        assert_true(slice_equals(request.stdin_bytes, "in"));
        assert_true(slice_equals(request.data, "{}"));
        assert_int_equal(slice_list_count(&request.arguments), 2);
        assert_true(slice_equals(slice_list_items(&request.arguments)[0], "one"));
        assert_true(slice_equals(slice_list_items(&request.arguments)[1], ""));
        assert_true(slice_equals(slice_list_items(&request.environment)[0], "A=b"));
        assert_true(slice_equals(slice_list_items(&request.variables)[0], "x"));
        assert_int_equal(slice_list_count(&request.file_paths), 2);
        assert_int_equal(slice_list_count(&request.file_contents), 2);
        assert_true(slice_equals(slice_list_items(&request.file_paths)[1], "c"));
        assert_true(slice_equals(slice_list_items(&request.file_contents)[1], "content"));
        assert_int_equal(request.options.memory_bytes, 7);
}

static void test_the_least(void **state) {
        _cleanup_(buffer_done) Buffer bytes = {0};
        _cleanup_(request_done) Request request;

        add_end(&bytes);
        assert_int_equal(request_decode(buffer_slice(&bytes), &request), REQUEST_COMPLETE);
        assert_int_equal(request.code.size, 0);
        assert_null(request.arguments.store.data);
}

static void test_a_probe_is_a_request_of_its_own(void **state) {
        _cleanup_(buffer_done) Buffer alone = {0}, behind = {0}, empty = {0};
        _cleanup_(request_done) Request request;
        size_t size;

        add(&alone, REQUEST_PROBE, "body");
        add(&alone, REQUEST_CODE, "1");
        assert_int_equal(scan(&alone, &size), REQUEST_COMPLETE);
        assert_int_equal(request_decode(slice_of(alone.data, size), &request), REQUEST_COMPLETE);
        assert_true(slice_equals(request.probe, "body"));
        assert_int_equal(request.code.size, 0);

        add(&behind, REQUEST_CODE, "1");
        add(&behind, REQUEST_PROBE, "body");
        assert_int_equal(scan(&behind, &size), REQUEST_MALFORMED);

        add(&empty, REQUEST_PROBE, "");
        assert_int_equal(decode(&empty), REQUEST_MALFORMED);
}

static void test_a_touch_is_a_request_of_its_own(void **state) {
        _cleanup_(buffer_done) Buffer alone = {0}, behind = {0}, full = {0};
        _cleanup_(request_done) Request request;
        size_t size;

        add(&alone, REQUEST_TOUCH, "");
        assert_int_equal(scan(&alone, &size), REQUEST_COMPLETE);
        assert_int_equal(request_decode(buffer_slice(&alone), &request), REQUEST_COMPLETE);
        assert_true(request.is_touch);

        add(&behind, REQUEST_CODE, "1");
        add(&behind, REQUEST_TOUCH, "");
        assert_int_equal(scan(&behind, &size), REQUEST_MALFORMED);

        add(&full, REQUEST_TOUCH, "x");
        assert_int_equal(decode(&full), REQUEST_MALFORMED);
}

/* Bytes arrive in any division; a scan goes on where it stopped. */
static void test_scan_in_pieces(void **state) {
        _cleanup_(buffer_done) Buffer bytes = {0};
        RequestScan scan = {0};

        add(&bytes, REQUEST_CODE, "print(1)");
        add(&bytes, REQUEST_ARGUMENT, "x");
        add_end(&bytes);
        for (size_t size = 0; size < bytes.size; size++) {
                assert_int_equal(request_scan(&scan, slice_of(bytes.data, size)),
                                 REQUEST_INCOMPLETE);
                assert_in_range(scan.missing, 1, bytes.size - size);
        }
        assert_int_equal(request_scan(&scan, buffer_slice(&bytes)), REQUEST_COMPLETE);
        assert_int_equal(scan.n_frames, 3);
}

static void test_scan_stops_at_the_end(void **state) {
        _cleanup_(buffer_done) Buffer bytes = {0};
        size_t size;

        add_end(&bytes);
        add(&bytes, REQUEST_CODE, "behind");
        assert_int_equal(scan(&bytes, &size), REQUEST_COMPLETE);
        assert_true(size < bytes.size);
}

static void expect_malformed(const RequestKind *kinds, size_t n) {
        _cleanup_(buffer_done) Buffer bytes = {0};

        for (size_t i = 0; i < n; i++)
                add(&bytes, kinds[i], "x");
        add_end(&bytes);
        assert_int_equal(decode(&bytes), REQUEST_MALFORMED);
}

static void test_malformed(void **state) {
        static const RequestKind twice_code[] = {REQUEST_CODE, REQUEST_CODE},
                                 twice_stdin[] = {REQUEST_STDIN, REQUEST_STDIN},
                                 twice_data[] = {REQUEST_DATA, REQUEST_DATA},
                                 no_path[] = {REQUEST_FILE_CONTENT},
                                 no_content[] = {REQUEST_FILE_PATH},
                                 between[] = {REQUEST_FILE_PATH, REQUEST_CODE,
                                              REQUEST_FILE_CONTENT},
                                 two_paths[] = {REQUEST_FILE_PATH, REQUEST_FILE_PATH},
                                 short_end[] = {REQUEST_END}, unknown[] = {99}, zero[] = {0};

        expect_malformed(twice_code, N_ELEMENTS(twice_code));
        expect_malformed(twice_stdin, N_ELEMENTS(twice_stdin));
        expect_malformed(twice_data, N_ELEMENTS(twice_data));
        expect_malformed(no_path, N_ELEMENTS(no_path));
        expect_malformed(no_content, N_ELEMENTS(no_content));
        expect_malformed(between, N_ELEMENTS(between));
        expect_malformed(two_paths, N_ELEMENTS(two_paths));
        expect_malformed(short_end, N_ELEMENTS(short_end));
        expect_malformed(unknown, N_ELEMENTS(unknown));
        expect_malformed(zero, N_ELEMENTS(zero));
}

static void test_frames_are_counted(void **state) {
        _cleanup_(buffer_done) Buffer bytes = {0};
        size_t size;

        for (size_t i = 0; i < REQUEST_FRAMES_MAX; i++)
                add(&bytes, REQUEST_ARGUMENT, "");
        assert_int_equal(scan(&bytes, &size), REQUEST_INCOMPLETE);
        add_end(&bytes);
        assert_int_equal(scan(&bytes, &size), REQUEST_MALFORMED);
}

/* The sum is bounded as well as each part, and known from a header before the bytes are there. */
static void test_bytes_are_counted(void **state) {
        static uint8_t body[1 << 20];
        _cleanup_(buffer_done) Buffer bytes = {0};
        FrameHeader header = frame_header(REQUEST_CODE, FRAME_BODY_MAX);
        size_t size;

        assert_int_equal(frame_append(&bytes, REQUEST_ARGUMENT, slice_of(body, sizeof(body) / 2)),
                         0);
        assert_int_equal(buffer_append(&bytes, &header, sizeof(header)), 0);
        assert_int_equal(scan(&bytes, &size), REQUEST_INCOMPLETE);

        bytes.size = 0;
        assert_int_equal(frame_append(&bytes, REQUEST_ARGUMENT, slice_of(body, sizeof(body))), 0);
        assert_int_equal(buffer_append(&bytes, &header, sizeof(header)), 0);
        assert_int_equal(scan(&bytes, &size), REQUEST_MALFORMED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_part_comes_out),
                cmocka_unit_test(test_the_least),
                cmocka_unit_test(test_a_touch_is_a_request_of_its_own),
                cmocka_unit_test(test_a_probe_is_a_request_of_its_own),
                cmocka_unit_test(test_scan_in_pieces),
                cmocka_unit_test(test_scan_stops_at_the_end),
                cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_frames_are_counted),
                cmocka_unit_test(test_bytes_are_counted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

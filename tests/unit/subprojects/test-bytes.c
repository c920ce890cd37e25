#include "kit/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_append_keeps_what_was_there(void **state) {
        _cleanup_(buffer_done) Buffer buffer = {0};

        for (unsigned i = 0; i < 5000; i++) {
                uint8_t byte = (uint8_t) (i * 7);

                assert_int_equal(buffer_append(&buffer, &byte, 1), 0);
        }
        assert_int_equal(buffer.size, 5000);
        assert_true(buffer.capacity >= buffer.size);
        for (unsigned i = 0; i < 5000; i++)
                assert_int_equal(buffer.data[i], (uint8_t) (i * 7));
}

static void test_append_nothing(void **state) {
        Buffer buffer = BUFFER_INIT(0);

        assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
        assert_null(buffer.data);
}

static void test_limit_is_exact_and_refusal_changes_nothing(void **state) {
        for (size_t limit = 1; limit < 700; limit += 3) {
                _cleanup_(buffer_done) Buffer buffer = BUFFER_INIT(limit);
                uint8_t *data;

                for (size_t i = 0; i < limit; i++)
                        assert_int_equal(buffer_append(&buffer, "x", 1), 0);
                data = buffer.data;
                assert_int_equal(buffer_append(&buffer, "y", 1), -EMSGSIZE);
                assert_int_equal(buffer_reserve(&buffer, 1), -EMSGSIZE);
                assert_ptr_equal(buffer.data, data);
                assert_int_equal(buffer.size, limit);
                assert_int_equal(buffer_reserve(&buffer, 0), 0);
        }
}

static void test_sizes_that_overflow_are_refused(void **state) {
        _cleanup_(buffer_done) Buffer buffer = BUFFER_INIT(1024);
        _cleanup_(buffer_done) Buffer unlimited = BUFFER_INIT(0);

        assert_int_equal(buffer_append(&buffer, "abc", 3), 0);
        assert_int_equal(buffer_reserve(&buffer, SIZE_MAX), -EMSGSIZE);
        assert_int_equal(buffer_reserve(&buffer, SIZE_MAX - 2), -EMSGSIZE);
        assert_int_equal(buffer_reserve(&buffer, 1021), 0);
        assert_int_equal(buffer_reserve(&buffer, 1022), -EMSGSIZE);

        assert_int_equal(buffer_append(&unlimited, "abc", 3), 0);
        assert_int_equal(buffer_reserve(&unlimited, SIZE_MAX), -EMSGSIZE);
        assert_memory_equal(unlimited.data, "abc", 3);
}

static void test_consume(void **state) {
        _cleanup_(buffer_done) Buffer buffer = {0};

        assert_int_equal(buffer_append(&buffer, "abcdef", 6), 0);
        buffer_consume(&buffer, 0);
        assert_true(slice_equals(buffer_slice(&buffer), "abcdef"));
        buffer_consume(&buffer, 2);
        assert_true(slice_equals(buffer_slice(&buffer), "cdef"));
        buffer_consume(&buffer, 4);
        assert_int_equal(buffer.size, 0);
        assert_int_equal(buffer_append(&buffer, "x", 1), 0);
        assert_true(slice_equals(buffer_slice(&buffer), "x"));
}

static void test_done_leaves_a_usable_buffer(void **state) {
        Buffer buffer = BUFFER_INIT(4);

        assert_int_equal(buffer_append(&buffer, "abcd", 4), 0);
        buffer_done(&buffer);
        assert_null(buffer.data);
        assert_int_equal(buffer.capacity, 0);
        assert_int_equal(buffer_append(&buffer, "abcde", 5), -EMSGSIZE);
        assert_int_equal(buffer_append(&buffer, "ab", 2), 0);
        buffer_done(&buffer);
        buffer_done(&buffer);
}

static void test_slices(void **state) {
        assert_true(slice_equals(SLICE_NULL, ""));
        assert_false(slice_equals(SLICE_NULL, "a"));
        assert_true(slice_equals(slice_of_text("abc"), "abc"));
        assert_false(slice_equals(slice_of_text("abc"), "ab"));
        assert_false(slice_equals(slice_of_text("ab"), "abc"));
        assert_int_equal(SLICE_LITERAL("a\0b").size, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_append_keeps_what_was_there),
                cmocka_unit_test(test_append_nothing),
                cmocka_unit_test(test_limit_is_exact_and_refusal_changes_nothing),
                cmocka_unit_test(test_sizes_that_overflow_are_refused),
                cmocka_unit_test(test_consume),
                cmocka_unit_test(test_done_leaves_a_usable_buffer),
                cmocka_unit_test(test_slices),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

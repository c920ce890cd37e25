#include "wire/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_comes_back(void **state) {
        _cleanup_(buffer_done) Buffer out = {0};
        Frame frame;
        size_t used;

        assert_int_equal(frame_append(&out, 7, SLICE_LITERAL("body")), 0);
        assert_int_equal(frame_append(&out, 8, SLICE_NULL), 0);
        assert_int_equal(out.size, 2 * sizeof(FrameHeader) + 4);

        assert_int_equal(frame_parse(buffer_slice(&out), 100, &frame, &used), FRAME_COMPLETE);
        assert_int_equal(frame.kind, 7);
        assert_true(slice_equals(frame.body, "body"));
        assert_int_equal(used, sizeof(FrameHeader) + 4);

        buffer_consume(&out, used);
        assert_int_equal(frame_parse(buffer_slice(&out), 100, &frame, &used), FRAME_COMPLETE);
        assert_int_equal(frame.kind, 8);
        assert_int_equal(frame.body.size, 0);
        assert_int_equal(used, sizeof(FrameHeader));
}

static void test_every_prefix_is_incomplete(void **state) {
        _cleanup_(buffer_done) Buffer out = {0};

        assert_int_equal(frame_append(&out, 1, SLICE_LITERAL("body")), 0);
        for (size_t size = 0; size < out.size; size++) {
                Frame frame = {.kind = 99};
                size_t used = 98;

                assert_int_equal(frame_parse(slice_of(out.data, size), 4, &frame, &used),
                                 FRAME_INCOMPLETE);
                assert_int_equal(frame.kind, 99);
                assert_int_equal(used, 98);
        }
}

static void test_body_max_is_exact(void **state) {
        _cleanup_(buffer_done) Buffer out = {0};
        Frame frame;
        size_t used;

        assert_int_equal(frame_append(&out, 1, SLICE_LITERAL("body")), 0);
        assert_int_equal(frame_parse(buffer_slice(&out), 4, &frame, &used), FRAME_COMPLETE);
        assert_int_equal(frame_parse(buffer_slice(&out), 3, &frame, &used), FRAME_MALFORMED);
}

/* A size is refused from the header alone: no reader waits for bytes that it would not hold. */
static void test_sizes_that_lie(void **state) {
        static const uint64_t sizes[] = {FRAME_BODY_MAX + 1ULL, UINT32_MAX, 1ULL << 32, UINT64_MAX,
                                         UINT64_MAX - sizeof(FrameHeader) + 1};

        for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
                FrameHeader header = frame_header(1, sizes[i]);
                Frame frame;
                size_t used;

                assert_int_equal(frame_parse(slice_of(&header, sizeof(header)), FRAME_BODY_MAX,
                                             &frame, &used),
                                 FRAME_MALFORMED);
        }
}

static void test_every_byte_of_the_magic_counts(void **state) {
        for (size_t i = 0; i < sizeof(uint32_t); i++) {
                FrameHeader header = frame_header(1, 0);
                Frame frame;
                size_t used;

                ((uint8_t *) &header)[i] ^= 1;
                assert_int_equal(frame_parse(slice_of(&header, sizeof(header)), FRAME_BODY_MAX,
                                             &frame, &used),
                                 FRAME_MALFORMED);
        }
}

static void test_unaligned(void **state) {
        for (size_t shift = 0; shift < 8; shift++) {
                _cleanup_(buffer_done) Buffer out = {0};
                Frame frame;
                size_t used;

                assert_int_equal(buffer_append(&out, "padding!", shift), 0);
                assert_int_equal(frame_append(&out, 3, SLICE_LITERAL("b")), 0);
                assert_int_equal(
                        frame_parse(slice_of(out.data + shift, out.size - shift), 1, &frame, &used),
                        FRAME_COMPLETE);
                assert_ptr_equal(frame.body.data, out.data + out.size - 1);
        }
}

static void test_append_is_all_or_nothing(void **state) {
        _cleanup_(buffer_done) Buffer out = BUFFER_INIT(sizeof(FrameHeader) + 3);

        assert_int_equal(frame_append(&out, 1, SLICE_LITERAL("body")), -EMSGSIZE);
        assert_int_equal(out.size, 0);
        assert_int_equal(frame_append(&out, 1, SLICE_LITERAL("bod")), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_comes_back),
                cmocka_unit_test(test_every_prefix_is_incomplete),
                cmocka_unit_test(test_body_max_is_exact),
                cmocka_unit_test(test_sizes_that_lie),
                cmocka_unit_test(test_every_byte_of_the_magic_counts),
                cmocka_unit_test(test_unaligned),
                cmocka_unit_test(test_append_is_all_or_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

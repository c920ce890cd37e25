/* The capture of a stream, against a model that keeps everything. */

#include "pool/output.h"

#include "helpers.h"

#define TOTAL_MAX 300

static uint8_t written[TOTAL_MAX];

static void check(const RunOutput *output, size_t limit, size_t total) {
        size_t head = limit / 2, tail = limit - limit / 2;

        assert_int_equal(output->total_bytes, total);
        if (total <= limit) {
                assert_false(output->truncated);
                assert_int_equal(output->tail.size, 0);
                assert_int_equal(output->head.size, total);
                if (total > 0)
                        assert_memory_equal(output->head.data, written, total);
                return;
        }
        assert_true(output->truncated);
        assert_int_equal(output->head.size, head);
        assert_int_equal(output->tail.size, tail);
        if (head > 0)
                assert_memory_equal(output->head.data, written, head);
        if (tail > 0)
                assert_memory_equal(output->tail.data, written + total - tail, tail);
}

/* Writes total bytes in pieces of at most chunk_max. */
static void write_in_chunks(Dice *dice, size_t limit, size_t total, size_t chunk_max) {
        OutputCapture capture;
        RunOutput output;

        output_start(&capture, limit);
        for (size_t at = 0; at < total;) {
                size_t n = dice_below(dice, chunk_max + 1);

                if (n > total - at)
                        n = total - at;
                assert_int_equal(output_append(&capture, slice_of(written + at, n)), 0);
                at += n;
        }
        output = output_finish(&capture);
        check(&output, limit, total);
        output_done(&capture);
}

static void test_every_limit_and_length(void **state) {
        Dice dice = {1};

        for (size_t i = 0; i < sizeof(written); i++)
                written[i] = (uint8_t) dice_next(&dice);
        for (size_t limit = 0; limit <= 40; limit++) {
                for (size_t total = 0; total <= 4 * limit + 3; total++) {
                        write_in_chunks(&dice, limit, total, 1);
                        write_in_chunks(&dice, limit, total, limit + 1);
                        write_in_chunks(&dice, limit, total, TOTAL_MAX);
                }
        }
}

static void test_random_chunks(void **state) {
        Dice dice = {2};

        for (unsigned round = 0; round < 20000; round++)
                write_in_chunks(&dice, dice_below(&dice, 130), dice_below(&dice, TOTAL_MAX),
                                1 + dice_below(&dice, 90));
}

static void test_it_holds_no_more_than_its_limit(void **state) {
        static uint8_t flood[65536];
        OutputCapture capture;

        output_start(&capture, 1000);
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(output_append(&capture, slice_of(flood, sizeof(flood))), 0);
        assert_int_equal(capture.total, 65536000);
        assert_true(capture.head.capacity <= 2048);
        assert_int_equal(capture.head.size, 500);
        output_done(&capture);
        assert_null(capture.ring);
}

static void test_it_can_be_used_again(void **state) {
        OutputCapture capture;
        RunOutput output;

        output_start(&capture, 2);
        assert_int_equal(output_append(&capture, SLICE_LITERAL("abcdef")), 0);
        output_done(&capture);
        output_done(&capture);
        output_start(&capture, 8);
        assert_int_equal(output_append(&capture, SLICE_LITERAL("xy")), 0);
        output = output_finish(&capture);
        assert_slice(output.head, "xy");
        assert_false(output.truncated);
        output_done(&capture);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_limit_and_length),
                cmocka_unit_test(test_random_chunks),
                cmocka_unit_test(test_it_holds_no_more_than_its_limit),
                cmocka_unit_test(test_it_can_be_used_again),
        };

        return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}

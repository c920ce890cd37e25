#include "jsontext/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "kit/cleanup.h"

/* The definition, by decoding, to hold the table-driven code against. Returns the length or 0. */
static size_t decoded_length(const uint8_t *at, size_t size) {
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t length = at[0] < 0x80           ? 1
                        : (at[0] >> 5) == 0x6  ? 2
                        : (at[0] >> 4) == 0xe  ? 3
                        : (at[0] >> 3) == 0x1e ? 4
                                               : 0;
        uint32_t point;

        if (length <= 1)
                return length;
        if (length > size)
                return 0;
        point = at[0] & (0x7f >> length);
        for (size_t i = 1; i < length; i++) {
                if ((at[i] & 0xc0) != 0x80)
                        return 0;
                point = point << 6 | (at[i] & 0x3f);
        }
        if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
                return 0;
        return length;
}

/* Whether some bytes after these make them one valid sequence. */
static bool can_be_completed(const uint8_t *start, size_t size) {
        uint8_t bytes[4];

        if (start[0] < 0x80)
                return false;
        for (size_t more = 1; size + more <= 4; more++) {
                for (unsigned next = 0x80; next <= 0xbf; next++) {
                        memcpy(bytes, start, size);
                        memset(bytes + size, (int) next, more);
                        if (decoded_length(bytes, size + more) == size + more)
                                return true;
                }
        }
        return false;
}

static void test_every_sequence_of_three_bytes(void **state) {
        uint8_t bytes[3];

        for (unsigned number = 0; number < 1U << 24; number++) {
                size_t expected = 0, step;

                bytes[0] = (uint8_t) (number >> 16);
                bytes[1] = (uint8_t) (number >> 8);
                bytes[2] = (uint8_t) number;
                while (expected < 3 && (step = decoded_length(bytes + expected, 3 - expected)) > 0)
                        expected += step;
                if (utf8_valid_prefix(slice_of(bytes, 3)) != expected)
                        fail_msg("%02x %02x %02x", bytes[0], bytes[1], bytes[2]);
        }
}

static void test_sequences_of_four_bytes(void **state) {
        static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90,
                                        0x9f, 0xa0, 0xbf, 0xc0, 0xff};
        uint8_t bytes[4];

        for (unsigned lead = 0xf0; lead <= 0xff; lead++) {
                for (unsigned second = 0; second <= 0xff; second++) {
                        for (size_t i = 0; i < N_ELEMENTS(edges) * N_ELEMENTS(edges); i++) {
                                bytes[0] = (uint8_t) lead;
                                bytes[1] = (uint8_t) second;
                                bytes[2] = edges[i / N_ELEMENTS(edges)];
                                bytes[3] = edges[i % N_ELEMENTS(edges)];
                                assert_int_equal(utf8_valid_prefix(slice_of(bytes, 4)),
                                                 decoded_length(bytes, 4));
                        }
                }
        }
}

static void test_invalid_place_is_found_at_every_offset(void **state) {
        char text[40];

        for (size_t at = 0; at < sizeof(text); at++) {
                memset(text, 'a', sizeof(text));
                text[at] = (char) 0xff;
                assert_int_equal(utf8_valid_prefix(slice_of(text, sizeof(text))), at);
        }
        memset(text, 'a', sizeof(text));
        assert_int_equal(utf8_valid_prefix(slice_of(text, sizeof(text))), sizeof(text));
        assert_int_equal(utf8_valid_prefix(SLICE_NULL), 0);
}

static void test_wide_prefix_stops_at_ascii(void **state) {
        assert_int_equal(utf8_valid_wide_prefix(SLICE_LITERAL("\u00e9\u20ac\U0001f600a\u00e9")), 9);
        assert_int_equal(utf8_valid_wide_prefix(SLICE_LITERAL("a\u00e9")), 0);
        assert_int_equal(utf8_valid_wide_prefix(SLICE_LITERAL("\u00e9\xff")), 2);
        assert_int_equal(utf8_valid_wide_prefix(SLICE_NULL), 0);
}

/* The examples of Unicode 15, tables 3-8 to 3-11. */
static void test_maximal_subparts(void **state) {
        static const struct {
                Slice text;
                size_t bad;
        } cases[] = {
                {SLICE_LITERAL("\xc0\xaf"), 1},
                {SLICE_LITERAL("\x80"), 1},
                {SLICE_LITERAL("\xe0\x80\xbf"), 1},
                {SLICE_LITERAL("\xf0\x81\x82"), 1},
                {SLICE_LITERAL("\xed\xa0\x80"), 1},
                {SLICE_LITERAL("\xf4\x91\x92\x93"), 1},
                {SLICE_LITERAL("\xff"), 1},
                {SLICE_LITERAL("\xe1\x80\xe2"), 2},
                {SLICE_LITERAL("\xf0\x91\x92"), 3},
                {SLICE_LITERAL("\xf1\xbf\x41"), 2},
                {SLICE_LITERAL("\xf1\xbf\xbf\x41"), 3},
                {SLICE_LITERAL("\xc3"), 1},
                {SLICE_LITERAL("\xe2\x82\xac!"), 3},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                assert_int_equal(utf8_bad_bytes(cases[i].text), cases[i].bad);
}

static void test_unfinished_tail(void **state) {
        uint8_t bytes[5] = "x";

        assert_int_equal(utf8_unfinished_tail(SLICE_NULL), 0);
        assert_int_equal(utf8_unfinished_tail(SLICE_LITERAL("\xf0\x9f\x98")), 3);
        assert_int_equal(utf8_unfinished_tail(SLICE_LITERAL("\xf0\x9f\x98\x80")), 0);

        /* Every ending of three bytes or fewer with an edge of the table in its second place. */
        for (unsigned number = 0; number < 1U << 16; number++) {
                size_t expected = 0;

                bytes[1] = (uint8_t) (number >> 8);
                bytes[2] = (uint8_t) number;
                bytes[3] = 0xbf;
                for (size_t size = 3; size <= 4; size++) {
                        expected = 0;
                        for (size_t n = 1; n <= 3; n++)
                                if (can_be_completed(bytes + size - n, n))
                                        expected = n;
                        assert_int_equal(utf8_unfinished_tail(slice_of(bytes, size)), expected);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_sequence_of_three_bytes),
                cmocka_unit_test(test_sequences_of_four_bytes),
                cmocka_unit_test(test_invalid_place_is_found_at_every_offset),
                cmocka_unit_test(test_wide_prefix_stops_at_ascii),
                cmocka_unit_test(test_maximal_subparts),
                cmocka_unit_test(test_unfinished_tail),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "jsontext/write.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "jsontext/scan.h"

#define R "\ufffd"

static void assert_written(const JsonWriter *writer, const char *expected) {
        assert_int_equal(writer->error, 0);
        if (!slice_equals(buffer_slice(writer->out), expected))
                fail_msg("wrote %.*s, expected %s", (int) writer->out->size, writer->out->data,
                         expected);
}

static void test_commas(void **state) {
        _cleanup_(buffer_done) Buffer out = {0};
        JsonWriter writer = JSON_WRITER(&out);

        json_begin_object(&writer);
        json_key(&writer, "empty");
        json_begin_array(&writer);
        json_end_array(&writer);
        json_key(&writer, "list");
        json_begin_array(&writer);
        json_integer(&writer, 1);
        json_boolean(&writer, true);
        json_boolean(&writer, false);
        json_null(&writer);
        json_literal(&writer, "x");
        json_begin_object(&writer);
        json_end_object(&writer);
        json_begin_object(&writer);
        json_key(&writer, "a");
        json_decimal(&writer, 1.5, 2);
        json_end_object(&writer);
        json_raw(&writer, SLICE_LITERAL("[ 1 ]"));
        json_base64(&writer, SLICE_LITERAL("f"), SLICE_NULL);
        json_end_array(&writer);
        json_key(&writer, "last");
        json_text_pieces(&writer, SLICE_LITERAL("h"), SLICE_LITERAL("-"), SLICE_LITERAL("t"));
        json_end_object(&writer);
        assert_written(&writer, "{\"empty\":[],\"list\":[1,true,false,null,\"x\",{},{\"a\":1.5},"
                                "[ 1 ],\"Zg==\"],\"last\":\"h-t\"}");
}

static void check_text(Slice text, const char *expected) {
        _cleanup_(buffer_done) Buffer out = {0};
        JsonWriter writer = JSON_WRITER(&out);

        json_text(&writer, text);
        assert_written(&writer, expected);
        assert_true(json_is(buffer_slice(&out), JSON_STRING, JSON_REFUSE_LONE_SURROGATES));
}

static void test_escapes(void **state) {
        check_text(SLICE_NULL, "\"\"");
        check_text(SLICE_LITERAL("\"\\/"), "\"\\\"\\\\/\"");
        check_text(SLICE_LITERAL("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
        check_text(SLICE_LITERAL("\0\x01\x0b\x1b\x1f"), "\"\\u0000\\u0001\\u000b\\u001b\\u001f\"");
        check_text(SLICE_LITERAL("\x7f\u2028\u2029"), "\"\x7f\u2028\u2029\"");
        check_text(SLICE_LITERAL("caf\u00e9 \u20ac \U0001f600 end"),
                   "\"caf\u00e9 \u20ac \U0001f600 end\"");
        check_text(SLICE_LITERAL("a long plain run, then \n and more of it"),
                   "\"a long plain run, then \\n and more of it\"");
}

static void test_invalid_bytes_become_replacements(void **state) {
        check_text(SLICE_LITERAL("a\xff!"), "\"a" R "!\"");
        check_text(SLICE_LITERAL("\xc0\xaf"), "\"" R R "\"");
        check_text(SLICE_LITERAL("\xed\xa0\x80"), "\"" R R R "\"");
        check_text(SLICE_LITERAL("\xe2\x82"), "\"" R "\"");
        check_text(SLICE_LITERAL("\xf0\x9f\x98\n"), "\"" R "\\n\"");
        check_text(SLICE_LITERAL("\u20ac\xe2\x82\u20ac"), "\"\u20ac" R "\u20ac\"");
        /* Unicode 15, table 3-8. */
        check_text(SLICE_LITERAL("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64"),
                   "\"a" R R R "b" R "c" R R "d\"");
}

static void check_pieces(Slice head, Slice between, Slice tail, const char *expected) {
        _cleanup_(buffer_done) Buffer out = {0};
        JsonWriter writer = JSON_WRITER(&out);

        json_text_pieces(&writer, head, between, tail);
        assert_written(&writer, expected);
        assert_true(json_is(buffer_slice(&out), JSON_STRING, JSON_REFUSE_LONE_SURROGATES));
}

static void test_pieces_with_a_cut(void **state) {
        static const char text[] = "a\U0001f600b";

        /* Wherever the cut divides the character, each side shows it once at most. */
        for (size_t head = 1; head <= 5; head++) {
                for (size_t tail = head; tail <= 5; tail++) {
                        char expected[64];

                        (void) snprintf(expected, sizeof(expected), "\"a%s[...]%sb\"",
                                        head == 1   ? ""
                                        : head == 5 ? "\U0001f600"
                                                    : R,
                                        tail == 1   ? "\U0001f600"
                                        : tail == 5 ? ""
                                                    : R);
                        check_pieces(slice_of(text, head), SLICE_LITERAL("[...]"),
                                     slice_of(text + tail, 6 - tail), expected);
                }
        }
        check_pieces(SLICE_NULL, SLICE_LITERAL("\n"), SLICE_NULL, "\"\\n\"");
        /* More orphans than a cut can make are broken bytes of their own. */
        check_pieces(SLICE_NULL, SLICE_LITERAL("-"), SLICE_LITERAL("\x80\x80\x80\x80x"),
                     "\"-" R R "x\"");
}

static void test_pieces_without_a_cut_are_one_text(void **state) {
        static const Slice texts[] = {
                SLICE_LITERAL("x\u00e9y\u20acz\U0001f600!"),
                SLICE_LITERAL("\xf0\x9f\x98\x41\xe2\x82\xf0\x80\xc3\xc3\xa9"),
                SLICE_LITERAL("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41\xed\xa0\x80\xf0\x9f"),
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                _cleanup_(buffer_done) Buffer whole = {0};
                JsonWriter writer = JSON_WRITER(&whole);

                json_text(&writer, texts[i]);
                assert_int_equal(buffer_append(&whole, "", 1), 0);
                for (size_t at = 0; at <= texts[i].size; at++)
                        check_pieces(slice_of(texts[i].data, at), SLICE_NULL,
                                     slice_of(texts[i].data + at, texts[i].size - at),
                                     (char *) whole.data);
        }
        check_pieces(SLICE_NULL, SLICE_NULL, SLICE_NULL, "\"\"");
}

static void test_base64_of_two_pieces(void **state) {
        for (size_t size = 0; size <= 6; size++) {
                static const char *const encoded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                                      "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

                for (size_t head = 0; head <= size; head++) {
                        _cleanup_(buffer_done) Buffer out = {0};
                        JsonWriter writer = JSON_WRITER(&out);
                        char expected[16];

                        (void) snprintf(expected, sizeof(expected), "\"%s\"", encoded[size]);
                        json_base64(&writer, slice_of("foobar", head),
                                    slice_of(&"foobar"[head], size - head));
                        assert_written(&writer, expected);
                }
        }
}

static void check_integer(int64_t value, const char *expected) {
        _cleanup_(buffer_done) Buffer out = {0};
        JsonWriter writer = JSON_WRITER(&out);

        json_integer(&writer, value);
        assert_written(&writer, expected);
}

static void test_integers(void **state) {
        check_integer(0, "0");
        check_integer(-1, "-1");
        check_integer(1234567890, "1234567890");
        check_integer(INT64_MAX, "9223372036854775807");
        check_integer(INT64_MIN, "-9223372036854775808");
}

static void check_decimal(double value, int digits, const char *expected) {
        _cleanup_(buffer_done) Buffer out = {0};
        JsonWriter writer = JSON_WRITER(&out);

        json_decimal(&writer, value, digits);
        assert_written(&writer, expected);
        assert_int_equal(json_check(buffer_slice(&out), 0).problem, JSON_FINE);
}

static void test_decimals(void **state) {
        check_decimal(0, 3, "0");
        check_decimal(-0.0, 3, "0");
        check_decimal(-0.0001, 3, "0");
        check_decimal(-0.5, 3, "-0.5");
        check_decimal(1.93, 2, "1.93");
        check_decimal(1.9, 3, "1.9");
        check_decimal(2.0004, 3, "2");
        check_decimal(100, 0, "100");
        check_decimal(100, 3, "100");
        check_decimal(-120.05, 2, "-120.05");
        check_decimal(0.1, 17, "0.1");
        check_decimal(0.05, 2, "0.05");
        check_decimal(0.999, 2, "1");
        check_decimal(9007199254740993.0, 3, "9007199254740992");
        check_decimal(4503599627370495.5, 3, "4503599627370495.5");
        check_decimal(-1e20, 3, "-100000000000000000000");
        check_decimal(1e22, 6, "10000000000000000000000");
        check_decimal(NAN, 2, "null");
        check_decimal(-INFINITY, 2, "null");
}

static void test_largest_decimal(void **state) {
        _cleanup_(buffer_done) Buffer out = {0};
        JsonWriter writer = JSON_WRITER(&out);

        json_decimal(&writer, -1.7976931348623157e308, 17);
        assert_int_equal(writer.error, 0);
        assert_int_equal(out.size, 1 + 309);
        assert_int_equal(json_check(buffer_slice(&out), 0).problem, JSON_FINE);
}

static void write_document(JsonWriter *writer) {
        json_begin_object(writer);
        json_key(writer, "text");
        json_text(writer, SLICE_LITERAL("a\nb\xff"));
        json_key(writer, "pieces");
        json_text_pieces(writer, SLICE_LITERAL("\xe2"), SLICE_LITERAL("-"), SLICE_LITERAL("\x82"));
        json_key(writer, "bytes");
        json_base64(writer, SLICE_LITERAL("ab"), SLICE_LITERAL("cd"));
        json_key(writer, "numbers");
        json_begin_array(writer);
        json_integer(writer, -5);
        json_decimal(writer, 0.25, 3);
        json_end_array(writer);
        json_end_object(writer);
}

/* Whichever token meets the limit, the failure stays; and the limit that just suffices does
 * suffice. */
static void test_first_failure_is_kept(void **state) {
        _cleanup_(buffer_done) Buffer whole = {0};
        JsonWriter writer = JSON_WRITER(&whole);

        write_document(&writer);
        assert_int_equal(writer.error, 0);
        assert_int_equal(json_check(buffer_slice(&whole), 0).problem, JSON_FINE);
        for (size_t limit = 1; limit <= whole.size; limit++) {
                _cleanup_(buffer_done) Buffer out = BUFFER_INIT(limit);
                JsonWriter limited = JSON_WRITER(&out);

                write_document(&limited);
                assert_int_equal(limited.error, limit < whole.size ? -EMSGSIZE : 0);
                assert_true(out.size <= limit);
                assert_memory_equal(out.data ? out.data : whole.data, whole.data, out.size);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_commas),
                cmocka_unit_test(test_escapes),
                cmocka_unit_test(test_invalid_bytes_become_replacements),
                cmocka_unit_test(test_pieces_with_a_cut),
                cmocka_unit_test(test_pieces_without_a_cut_are_one_text),
                cmocka_unit_test(test_base64_of_two_pieces),
                cmocka_unit_test(test_integers),
                cmocka_unit_test(test_decimals),
                cmocka_unit_test(test_largest_decimal),
                cmocka_unit_test(test_first_failure_is_kept),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

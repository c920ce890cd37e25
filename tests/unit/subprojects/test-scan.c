#include "jsontext/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

typedef struct Case {
        Slice text;
        unsigned flags;
        JsonProblem problem;
        size_t offset;
} Case;

static void check_cases(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                JsonError error = json_check(cases[i].text, cases[i].flags);

                if (error.problem != cases[i].problem || error.offset != cases[i].offset)
                        fail_msg("%.*s: problem %d at %zu, expected %d at %zu",
                                 (int) cases[i].text.size, cases[i].text.data, error.problem,
                                 error.offset, cases[i].problem, cases[i].offset);
        }
}

static void test_accepts(void **state) {
        static const char *const texts[] = {
                "null",
                "true",
                "false",
                "0",
                "-0",
                "12",
                "-1.5e+10",
                "1E5",
                "0.0",
                "1e-999999",
                "123456789012345678901234567890",
                "\"\"",
                "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
                "\"\x7f\u00e9\u20ac\U0001f600\"",
                "\"\\ud83d\\ude00\"",
                "\"\\uD83D\\uDE00x\"",
                "[]",
                "{}",
                " \t\r\n[ \t\r\n] \t\r\n",
                "{ }",
                "[[],{},[{}]]",
                "{\"a\":{\"b\":[1,2,{\"c\":null}]}}",
                "{\"a\" : 1 , \"a\" : 2}",
                "{\"\":0}",
                "[1,\"a\",true,false,null,-0.5]",
                "\"exactly8\"",
                "\"seven77\"",
                "\"nine bytes in a row, then more\"",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                for (unsigned flags = 0; flags < 4; flags++)
                        if (json_check(slice_of_text(texts[i]), flags).problem != JSON_FINE)
                                fail_msg("refused: %s", texts[i]);
}

static void test_syntax(void **state) {
        static const Case cases[] = {
                {SLICE_LITERAL("[1,]"), 0, JSON_SYNTAX, 3},
                {SLICE_LITERAL("[,1]"), 0, JSON_SYNTAX, 1},
                {SLICE_LITERAL("[1 2]"), 0, JSON_SYNTAX, 3},
                {SLICE_LITERAL("[1}"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("{\"a\":1]"), 0, JSON_SYNTAX, 6},
                {SLICE_LITERAL("]"), 0, JSON_SYNTAX, 0},
                {SLICE_LITERAL("{1:2}"), 0, JSON_SYNTAX, 1},
                {SLICE_LITERAL("{\"a\" 1}"), 0, JSON_SYNTAX, 5},
                {SLICE_LITERAL("{\"a\":}"), 0, JSON_SYNTAX, 5},
                {SLICE_LITERAL("{\"a\":1,}"), 0, JSON_SYNTAX, 7},
                {SLICE_LITERAL("{,}"), 0, JSON_SYNTAX, 1},
                {SLICE_LITERAL("[[]:1]"), 0, JSON_SYNTAX, 3},
                {SLICE_LITERAL("trie"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("nul1"), 0, JSON_SYNTAX, 3},
                {SLICE_LITERAL("True"), 0, JSON_SYNTAX, 0},
                {SLICE_LITERAL("'a'"), 0, JSON_SYNTAX, 0},
                {SLICE_LITERAL("+1"), 0, JSON_SYNTAX, 0},
                {SLICE_LITERAL(".5"), 0, JSON_SYNTAX, 0},
                {SLICE_LITERAL("1.x"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("1ex"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("1e+x"), 0, JSON_SYNTAX, 3},
                {SLICE_LITERAL("-x"), 0, JSON_SYNTAX, 1},
                {SLICE_LITERAL("[01]"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("[0x1]"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("[1]/*c*/"), 0, JSON_TRAILING, 3},
                {SLICE_LITERAL("01"), 0, JSON_TRAILING, 1},
                {SLICE_LITERAL("1 2"), 0, JSON_TRAILING, 2},
                {SLICE_LITERAL("{} {}"), 0, JSON_TRAILING, 3},
                {SLICE_LITERAL("[]]"), 0, JSON_TRAILING, 2},
                {SLICE_LITERAL("1\0"), 0, JSON_TRAILING, 1},
                {SLICE_LITERAL("[1\v]"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("[1\u00a0]"), 0, JSON_SYNTAX, 2},
                {SLICE_LITERAL("\xef\xbb\xbf[]"), 0, JSON_SYNTAX, 0},
        };

        check_cases(cases, N_ELEMENTS(cases));
}

static void test_empty(void **state) {
        static const Case cases[] = {
                {{NULL, 0}, 0, JSON_EMPTY, 0},
                {SLICE_LITERAL(""), 0, JSON_EMPTY, 0},
                {SLICE_LITERAL(" \n"), 0, JSON_EMPTY, 2},
        };

        check_cases(cases, N_ELEMENTS(cases));
}

/* Every cut of a text that holds every kind of token is noticed, and never as something else. */
static void test_every_cut_is_noticed(void **state) {
        static const Slice text = SLICE_LITERAL(
                "{\"key\": [true, false, null, -12.5e+3, \"a\\n\", {}], \"other\": \"\"}");

        assert_int_equal(json_check(text, 0).problem, JSON_FINE);
        for (size_t size = 1; size < text.size; size++) {
                JsonError error = json_check(slice_of(text.data, size), 0);

                assert_int_equal(error.problem, JSON_TRUNCATED);
                assert_int_equal(error.offset, size);
        }
}

static void test_strings(void **state) {
        static const Case cases[] = {
                {SLICE_LITERAL("\"\\x\""), 0, JSON_BAD_ESCAPE, 1},
                {SLICE_LITERAL("\"\\u12g4\""), 0, JSON_BAD_ESCAPE, 1},
                {SLICE_LITERAL("\"\\u123\""), 0, JSON_BAD_ESCAPE, 1},
                {SLICE_LITERAL("\"ab\\u"), 0, JSON_BAD_ESCAPE, 3},
                {SLICE_LITERAL("\"\\U0041\""), 0, JSON_BAD_ESCAPE, 1},
                {SLICE_LITERAL("\"\\\n\""), 0, JSON_BAD_ESCAPE, 1},
                {SLICE_LITERAL("\"a\nb\""), 0, JSON_CONTROL, 2},
                {SLICE_LITERAL("\"0123456789\0\""), 0, JSON_CONTROL, 11},
                {SLICE_LITERAL("\"\x1f\""), 0, JSON_CONTROL, 1},
                {SLICE_LITERAL("\"abc\xff\""), 0, JSON_BAD_UTF8, 4},
                {SLICE_LITERAL("\"\xed\xa0\x80\""), 0, JSON_BAD_UTF8, 1},
                {SLICE_LITERAL("\"\xc0\x80\""), 0, JSON_BAD_UTF8, 1},
                {SLICE_LITERAL("\"\u20ac\xe2\x82"), 0, JSON_BAD_UTF8, 4},
                {SLICE_LITERAL("{\"\xff\":1}"), 0, JSON_BAD_UTF8, 2},
                {SLICE_LITERAL("\"\u00e9\\q\""), 0, JSON_BAD_ESCAPE, 3},
                {SLICE_LITERAL("\"\\\""), 0, JSON_TRUNCATED, 3},
                {SLICE_LITERAL("\"\\"), 0, JSON_TRUNCATED, 2},
        };

        check_cases(cases, N_ELEMENTS(cases));
}

/* The digit that is missing stands in memory, just past the end. */
static void test_escape_is_cut_by_the_end(void **state) {
        static const char text[] = "\"\\ud83d\\ude00\"";

        for (size_t size = 3; size < sizeof(text) - 2; size++) {
                JsonError error = json_check(slice_of(text, size), JSON_REFUSE_LONE_SURROGATES);

                assert_int_not_equal(error.problem, JSON_FINE);
                assert_true(error.offset <= size);
                if (size < 7)
                        assert_int_equal(error.problem, JSON_BAD_ESCAPE);
                else
                        assert_int_equal(error.problem, JSON_LONE_SURROGATE);
        }
}

static void test_special_bytes_are_seen_at_every_offset(void **state) {
        static const struct {
                char byte;
                JsonProblem problem;
        } specials[] = {
                {'\n', JSON_CONTROL},         {'\x1f', JSON_CONTROL},
                {'\0', JSON_CONTROL},         {'"', JSON_TRAILING},
                {'\\', JSON_BAD_ESCAPE},      {(char) 0x80, JSON_BAD_UTF8},
                {(char) 0xa2, JSON_BAD_UTF8}, {(char) 0xff, JSON_BAD_UTF8},
        };
        char text[42];

        for (size_t i = 0; i < N_ELEMENTS(specials); i++) {
                for (size_t at = 1; at + 1 < sizeof(text); at++) {
                        JsonError error;
                        size_t offset = at;

                        /* Neighbours of each bound, in which a borrow could show. */
                        for (size_t j = 0; j < sizeof(text); j++)
                                text[j] = " !#[]\x7f"[j % 6];
                        text[0] = text[sizeof(text) - 1] = '"';
                        assert_int_equal(json_check(slice_of(text, sizeof(text)), 0).problem,
                                         JSON_FINE);
                        text[at] = specials[i].byte;
                        error = json_check(slice_of(text, sizeof(text)), 0);
                        if (specials[i].byte == '\\' && at == sizeof(text) - 2) {
                                assert_int_equal(error.problem, JSON_TRUNCATED);
                                continue;
                        }
                        assert_int_equal(error.problem, specials[i].problem);
                        /* What follows the string is noticed at its first byte that is no space. */
                        if (specials[i].byte == '"')
                                offset += text[at + 1] == ' ' ? 2 : 1;
                        assert_int_equal(error.offset, offset);
                }
        }
}

static void test_surrogates(void **state) {
        static const Case cases[] = {
                {SLICE_LITERAL("\"\\ud800\""), JSON_REFUSE_LONE_SURROGATES, JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"\\udc00\\udc00\""), JSON_REFUSE_LONE_SURROGATES,
                 JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"\\udfff\""), JSON_REFUSE_LONE_SURROGATES, JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"a\\udbffa\""), JSON_REFUSE_LONE_SURROGATES, JSON_LONE_SURROGATE,
                 2},
                {SLICE_LITERAL("\"\\ud800\\ud800\""), JSON_REFUSE_LONE_SURROGATES,
                 JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"\\ud800\\u0041\""), JSON_REFUSE_LONE_SURROGATES,
                 JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"\\ud800\\ue000\""), JSON_REFUSE_LONE_SURROGATES,
                 JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"\\ud800 \\udc00\""), JSON_REFUSE_LONE_SURROGATES,
                 JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"\\ud800\\ndc00\""), JSON_REFUSE_LONE_SURROGATES,
                 JSON_LONE_SURROGATE, 1},
                {SLICE_LITERAL("\"\\ud800\\udc00\\udc00\""), JSON_REFUSE_LONE_SURROGATES,
                 JSON_LONE_SURROGATE, 13},
                {SLICE_LITERAL("\"\\udbff\\udfff\""), JSON_REFUSE_LONE_SURROGATES, JSON_FINE, 0},
                {SLICE_LITERAL("\"\\ud7ff\\ue000\""), JSON_REFUSE_LONE_SURROGATES, JSON_FINE, 0},
                {SLICE_LITERAL("\"\\ud800\""), 0, JSON_FINE, 0},
                {SLICE_LITERAL("\"\\udc00\\ud800\""), 0, JSON_FINE, 0},
        };

        check_cases(cases, N_ELEMENTS(cases));
}

static void test_nan(void **state) {
        static const Case cases[] = {
                {SLICE_LITERAL("[NaN, Infinity, -Infinity]"), JSON_ALLOW_NAN, JSON_FINE, 0},
                {SLICE_LITERAL("NaN"), 0, JSON_SYNTAX, 0},
                {SLICE_LITERAL("Infinity"), 0, JSON_SYNTAX, 0},
                {SLICE_LITERAL("-Infinity"), 0, JSON_SYNTAX, 1},
                {SLICE_LITERAL("-NaN"), JSON_ALLOW_NAN, JSON_SYNTAX, 1},
                {SLICE_LITERAL("nan"), JSON_ALLOW_NAN, JSON_SYNTAX, 1},
                {SLICE_LITERAL("-Inf"), JSON_ALLOW_NAN, JSON_TRUNCATED, 4},
                {SLICE_LITERAL("NaN0"), JSON_ALLOW_NAN, JSON_TRAILING, 3},
        };

        check_cases(cases, N_ELEMENTS(cases));
}

/* opening repeated, then filling, then closing repeated. */
static JsonProblem nested(size_t depth, const char *opening, const char *filling,
                          const char *closing) {
        _cleanup_(buffer_done) Buffer text = {0};

        for (size_t i = 0; i < depth; i++)
                assert_int_equal(buffer_append(&text, opening, strlen(opening)), 0);
        assert_int_equal(buffer_append(&text, filling, strlen(filling)), 0);
        for (size_t i = 0; i < depth; i++)
                assert_int_equal(buffer_append(&text, closing, strlen(closing)), 0);
        return json_check(buffer_slice(&text), 0).problem;
}

static void test_depth(void **state) {
        assert_int_equal(nested(JSON_DEPTH_MAX, "[", "", "]"), JSON_FINE);
        assert_int_equal(nested(JSON_DEPTH_MAX + 1, "[", "", "]"), JSON_TOO_DEEP);
        assert_int_equal(nested(100000, "[", "", "]"), JSON_TOO_DEEP);
        assert_int_equal(nested(JSON_DEPTH_MAX, "{\"a\":", "1", "}"), JSON_FINE);
        assert_int_equal(nested(JSON_DEPTH_MAX + 1, "{\"a\":", "1", "}"), JSON_TOO_DEEP);
        /* Each level remembers its own kind: at 64, 128 and 192 the stack goes on in another word.
         */
        assert_int_equal(nested(JSON_DEPTH_MAX / 2, "[{\"a\":", "1", "}]"), JSON_FINE);
        assert_int_equal(nested(JSON_DEPTH_MAX / 2, "[{\"a\":", "1", "]}"), JSON_SYNTAX);
        for (size_t depth = 60; depth < 70; depth++)
                assert_int_equal(nested(depth, "[[{\"a\":", "[]", ",\"b\":[]}],{}]"), JSON_FINE);
}

static void test_kinds(void **state) {
        assert_true(json_is(SLICE_LITERAL(" {}"), JSON_OBJECT, 0));
        assert_true(json_is(SLICE_LITERAL("[]"), JSON_ARRAY, 0));
        assert_true(json_is(SLICE_LITERAL("\"\""), JSON_STRING, 0));
        assert_true(json_is(SLICE_LITERAL("-1"), JSON_NUMBER, 0));
        assert_true(json_is(SLICE_LITERAL("NaN"), JSON_NUMBER, JSON_ALLOW_NAN));
        assert_true(json_is(SLICE_LITERAL("\n-Infinity"), JSON_NUMBER, JSON_ALLOW_NAN));
        assert_true(json_is(SLICE_LITERAL("true"), JSON_TRUE, 0));
        assert_true(json_is(SLICE_LITERAL("false"), JSON_FALSE, 0));
        assert_true(json_is(SLICE_LITERAL("null"), JSON_NULL, 0));
        assert_false(json_is(SLICE_LITERAL("[]"), JSON_OBJECT, 0));
        assert_false(json_is(SLICE_LITERAL("{"), JSON_OBJECT, 0));
        assert_false(json_is(SLICE_LITERAL("NaN"), JSON_NUMBER, 0));
        assert_false(json_is(SLICE_NULL, JSON_OBJECT, 0));
}

static void test_every_problem_has_a_sentence(void **state) {
        for (JsonProblem problem = JSON_FINE; problem <= JSON_CONTROL; problem++) {
                const char *text = json_problem_text(problem);

                assert_true(strlen(text) > 5);
                assert_int_not_equal(text[strlen(text) - 1], '.');
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepts),
                cmocka_unit_test(test_syntax),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_every_cut_is_noticed),
                cmocka_unit_test(test_strings),
                cmocka_unit_test(test_escape_is_cut_by_the_end),
                cmocka_unit_test(test_special_bytes_are_seen_at_every_offset),
                cmocka_unit_test(test_surrogates),
                cmocka_unit_test(test_nan),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_every_problem_has_a_sentence),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

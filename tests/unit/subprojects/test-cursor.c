#include "jsontext/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

typedef struct Expected {
        const char *key, *value;
        JsonKind kind;
        bool escapes;
} Expected;

static void walk(Slice text, JsonKind container, const Expected *items, size_t n) {
        JsonCursor cursor;
        JsonItem item;

        assert_int_equal(json_check(text, JSON_ALLOW_NAN).problem, JSON_FINE);
        assert_true(json_enter(text, &cursor));
        assert_int_equal(cursor.container, container);
        for (size_t i = 0; i < n; i++) {
                assert_true(json_next(&cursor, &item));
                assert_true(slice_equals(item.key, items[i].key));
                assert_true(slice_equals(item.value, items[i].value));
                assert_int_equal(item.kind, items[i].kind);
                assert_int_equal(item.key_has_escapes, items[i].escapes);
        }
        assert_false(json_next(&cursor, &item));
        assert_false(json_next(&cursor, &item));
}

static void test_object(void **state) {
        static const Expected items[] = {
                {"a", "1", JSON_NUMBER, false},
                {"", "\"x\\\"}\"", JSON_STRING, false},
                {"\\u0061\\\"", "{\"b\": [\"]\", {}]}", JSON_OBJECT, true},
                {"\u00e9", "[1, [2]]", JSON_ARRAY, false},
                {"a", "null", JSON_NULL, false},
                {"t", "true", JSON_TRUE, false},
                {"f", "false", JSON_FALSE, false},
        };

        walk(SLICE_LITERAL(" { \"a\" : 1 , \"\":\"x\\\"}\",\"\\u0061\\\"\": {\"b\": [\"]\", {}]},"
                           "\n\"\u00e9\":[1, [2]],\"a\":null ,\"t\":true,\"f\":false } "),
             JSON_OBJECT, items, N_ELEMENTS(items));
}

static void test_array(void **state) {
        static const Expected items[] = {
                {"", "-1.5e3", JSON_NUMBER, false}, {"", "\"\u20ac, \\\\\"", JSON_STRING, false},
                {"", "[]", JSON_ARRAY, false},      {"", "{}", JSON_OBJECT, false},
                {"", "NaN", JSON_NUMBER, false},    {"", "-Infinity", JSON_NUMBER, false},
        };

        walk(SLICE_LITERAL("[-1.5e3\t,\"\u20ac, \\\\\",[],{},NaN,-Infinity\n]"), JSON_ARRAY, items,
             N_ELEMENTS(items));
}

static void test_numbers_end_at_the_bracket(void **state) {
        static const Expected member = {"a", "1", JSON_NUMBER, false};
        static const Expected element = {"", "12", JSON_NUMBER, false};

        walk(SLICE_LITERAL("{\"a\":1}"), JSON_OBJECT, &member, 1);
        walk(SLICE_LITERAL("[12]"), JSON_ARRAY, &element, 1);
}

static void test_empty_containers(void **state) {
        walk(SLICE_LITERAL("[ ]"), JSON_ARRAY, NULL, 0);
        walk(SLICE_LITERAL("{}"), JSON_OBJECT, NULL, 0);
}

static void test_scalars_cannot_be_entered(void **state) {
        JsonCursor cursor;

        assert_false(json_enter(SLICE_LITERAL("1"), &cursor));
        assert_false(json_enter(SLICE_LITERAL(" \"[\""), &cursor));
        assert_false(json_enter(SLICE_LITERAL("null"), &cursor));
        assert_false(json_enter(SLICE_NULL, &cursor));
}

/* What was never checked may be walked wrongly, but stays inside and ends. */
static void test_unchecked_texts_end(void **state) {
        static const char *const texts[] = {
                "[",       "{",         "{\"a",   "{\"a\"", "{\"a\":",  "{\"a\":[",  "[\"\\",
                "{\"\\\"", "[[[",       "[{\"a]", "[}",     "{a:1}",    "[,,]",      "[1",
                "[]]",     "{\"a\" 1}", "[\"a\\", "[tru",   "{\"a\":}", "{\"a\":,}", "[\"\xff\xff",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                _autofree_ char *copy = strdup(texts[i]);
                Slice text = slice_of(copy, strlen(copy));
                JsonCursor cursor;
                JsonItem item;
                size_t n = 0;

                assert_true(json_enter(text, &cursor));
                while (json_next(&cursor, &item)) {
                        assert_true(item.value.size > 0);
                        assert_true(item.value.data >= text.data &&
                                    item.value.data + item.value.size <= text.data + text.size);
                        assert_true(++n <= text.size);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_object),
                cmocka_unit_test(test_array),
                cmocka_unit_test(test_numbers_end_at_the_bracket),
                cmocka_unit_test(test_empty_containers),
                cmocka_unit_test(test_scalars_cannot_be_entered),
                cmocka_unit_test(test_unchecked_texts_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

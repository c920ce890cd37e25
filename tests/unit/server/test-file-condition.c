/* Entity tags, and what a request demands of the file that is there. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "server/file_condition.h"

typedef struct ListCase {
        const char *list;
        bool strong, weak; /* has "\"b\"" */
} ListCase;

static const ListCase list_cases[] = {
        {"\"b\"", true, true},
        {"*", true, true},
        {"W/\"b\"", false, true},
        {"\"a\", \"b\"", true, true},
        {"\"a\",\"b\" ,", true, true},
        {"\"a\" \"b\"", true, true},
        {", ,\"b\"", true, true},
        {"\"a\", W/\"b\", \"c\"", false, true},
        {"W/\"b\", \"b\"", true, true},
        {"\"a,b\", \"b\"", true, true},
        {"\"a\", \"bb\"", false, false},
        {"\"a \"b\"\"", false, false},
        {"\"\"", false, false},
        {"b", false, false},
        {"\"b", false, false},
        {"\"", false, false},
        {"W/", false, false},
        {"W/b", false, false},
        {"w/\"b\"", false, false},
        {"*, \"a\"", false, false},
        {"", false, false},
};

static void test_lists(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(list_cases); i++) {
                const ListCase *want = &list_cases[i];

                if (etag_list_has(slice_of_text(want->list), "\"b\"", false) != want->strong)
                        fail_msg("%s: strong is not %d", want->list, want->strong);
                if (etag_list_has(slice_of_text(want->list), "\"b\"", true) != want->weak)
                        fail_msg("%s: weak is not %d", want->list, want->weak);
        }
}

static void test_tags_differ(void **state) {
        const struct stat files[] = {
                {.st_ino = 1, .st_size = 2, .st_mtim = {3, 4}},
                {.st_ino = 2, .st_size = 2, .st_mtim = {3, 4}},
                {.st_ino = 1, .st_size = 3, .st_mtim = {3, 4}},
                {.st_ino = 1, .st_size = 2, .st_mtim = {4, 4}},
                {.st_ino = 1, .st_size = 2, .st_mtim = {3, 5}},
                {.st_ino = UINT64_MAX, .st_size = INT64_MAX, .st_mtim = {INT64_MAX, 999999999}},
        };
        char one[FILE_ETAG_MAX], other[FILE_ETAG_MAX];

        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                file_etag(&files[i], one);
                assert_int_equal(one[0], '"');
                assert_int_equal(one[strlen(one) - 1], '"');
                for (size_t j = 0; j < i; j++) {
                        file_etag(&files[j], other);
                        assert_string_not_equal(one, other);
                }
        }
}

static const struct stat here = {.st_ino = 1, .st_size = 2, .st_mtim = {3, 4}};

static void check(const char *if_match, const char *if_none_match, bool of_a_file, bool of_none) {
        const FileCondition condition = {
                .if_match = if_match ? slice_of_text(if_match) : SLICE_NULL,
                .if_none_match = if_none_match ? slice_of_text(if_none_match) : SLICE_NULL,
        };

        assert_int_equal(file_condition_holds(&condition, &here), of_a_file);
        assert_int_equal(file_condition_holds(&condition, NULL), of_none);
        assert_int_equal(file_condition_wants_a_file(&condition), !of_none);
}

static void test_what_holds(void **state) {
        char etag[FILE_ETAG_MAX], weak[FILE_ETAG_MAX + 2];

        file_etag(&here, etag);
        (void) snprintf(weak, sizeof(weak), "W/%s", etag);
        check(NULL, NULL, true, true);
        check(etag, NULL, true, false);
        check(weak, NULL, false, false);
        check("*", NULL, true, false);
        check("\"x\"", NULL, false, false);
        check(NULL, etag, false, true);
        check(NULL, weak, false, true);
        check(NULL, "*", false, true);
        check(NULL, "\"x\"", true, true);
        check(etag, "*", false, false);
}

static void test_dates(void **state) {
        FileCondition condition = {.has_date = true, .unmodified_since_s = 3};

        assert_true(file_condition_holds(&condition, &here));
        assert_true(file_condition_holds(&condition, NULL));
        condition.unmodified_since_s = 2;
        assert_false(file_condition_holds(&condition, &here));
        assert_true(file_condition_holds(&condition, NULL));
}

static void test_copies(void **state) {
        char text[] = "\"a\"", other[] = "*";
        const FileCondition condition = {
                .if_match = slice_of_text(text),
                .if_none_match = slice_of_text(other),
                .has_date = true,
                .unmodified_since_s = 7,
        };
        FileCondition copy;
        void *bytes;

        assert_int_equal(file_condition_copy(&condition, &copy, &bytes), 0);
        memset(text, 'x', sizeof(text));
        memset(other, 'x', sizeof(other));
        assert_true(slice_equals(copy.if_match, "\"a\""));
        assert_true(slice_equals(copy.if_none_match, "*"));
        assert_true(copy.has_date);
        assert_int_equal(copy.unmodified_since_s, 7);
        free(bytes);

        assert_int_equal(file_condition_copy(&(FileCondition){0}, &copy, &bytes), 0);
        assert_null(bytes);
        assert_true(file_condition_holds(&copy, &here));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lists),      cmocka_unit_test(test_tags_differ),
                cmocka_unit_test(test_what_holds), cmocka_unit_test(test_dates),
                cmocka_unit_test(test_copies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

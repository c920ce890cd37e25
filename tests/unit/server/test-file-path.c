/* What a file of a session may be called. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/file_path.h"

static void test_good(void **state) {
        static const char *const good[] = {"a",
                                           "a/b",
                                           ".a",
                                           "..a",
                                           "a..",
                                           "a/...",
                                           "a\\b",
                                           "C:\\x",
                                           " ",
                                           "-",
                                           "\xc3\xa4/\xf0\x9f\x98\x80",
                                           "a/.b/c.csv",
                                           "%2e%2e",
                                           "~"};

        for (size_t i = 0; i < N_ELEMENTS(good); i++)
                if (file_path_problem(slice_of_text(good[i])))
                        fail_msg("%s: %s", good[i], file_path_problem(slice_of_text(good[i])));
}

static void test_bad(void **state) {
        static const char *const bad[] = {"",
                                          "/",
                                          "/a",
                                          "a/",
                                          "a//b",
                                          ".",
                                          "..",
                                          "./a",
                                          "../a",
                                          "a/..",
                                          "a/../b",
                                          "a/.",
                                          "a\nb",
                                          "a\x7f",
                                          "\x01",
                                          "\xff",
                                          "a/\xc0\xae\xc0\xae/b",
                                          "\xed\xa0\x80",
                                          "\xc2\x85",
                                          "\xc2\x9f"};

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                if (!file_path_problem(slice_of_text(bad[i])))
                        fail_msg("%zu (%s) is taken", i, bad[i]);
        assert_non_null(file_path_problem(SLICE_LITERAL("a\0b")));
        assert_non_null(file_path_problem(SLICE_LITERAL("\0")));
}

static void test_bounds(void **state) {
        char path[FILE_PATH_MAX + 2];

        memset(path, 'a', sizeof(path));
        assert_null(file_path_problem(slice_of(path, FILE_NAME_MAX)));
        assert_non_null(file_path_problem(slice_of(path, FILE_NAME_MAX + 1)));
        for (size_t i = 200; i < sizeof(path); i += 200)
                path[i] = '/';
        assert_null(file_path_problem(slice_of(path, FILE_PATH_MAX)));
        assert_non_null(file_path_problem(slice_of(path, FILE_PATH_MAX + 1)));
        for (size_t i = 0; i < sizeof(path); i++)
                path[i] = i % 2 ? '/' : 'a';
        assert_null(file_path_problem(slice_of(path, 2 * FILE_DEPTH_MAX - 1)));
        assert_non_null(file_path_problem(slice_of(path, 2 * FILE_DEPTH_MAX + 1)));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

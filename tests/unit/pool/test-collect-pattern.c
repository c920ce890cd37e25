/* What a pattern of files to collect matches. */

#include "pool/collect.h"

#include "helpers.h"

static bool matches(const char *pattern, const char *path) {
        return collect_matches(slice_of_text(pattern), slice_of_text(path));
}

static void test_patterns(void **state) {
        static const struct {
                const char *pattern, *path;
                bool match;
        } table[] = {
                {"a.png", "a.png", true},
                {"a.png", "a.pngx", false},
                {"a.png", "xa.png", false},
                {"a.png", "d/a.png", false},
                {"", "", true},
                {"", "a", false},
                {"*", "a.png", true},
                {"*", "", true},
                {"*", "d/a.png", false},
                {"*.png", ".png", true},
                {"*.png", "a.b.png", true},
                {"*.png", "d/a.png", false},
                {"*.png", "a.pn", false},
                {"d/*.png", "d/a.png", true},
                {"d/*.png", "d/e/a.png", false},
                {"d/*", "d/", true},
                {"*/*", "d/a", true},
                {"*/*", "a", false},
                {"a*b*c", "aXbXbXc", true},
                {"a*b*c", "aXbXcX", false},
                {"*a*", "bab", true},
                {"?", "a", true},
                {"?", "", false},
                {"?", "/", false},
                {"a?b", "a/b", false},
                {"**", "", true},
                {"**", "a", true},
                {"**", "d/e/f", true},
                {"**/*.png", "a.png", true},
                {"**/*.png", "d/a.png", true},
                {"**/*.png", "d/e/a.png", true},
                {"**/*.png", "d/e/a.txt", false},
                {"d/**", "d/a", true},
                {"d/**", "d/e/f", true},
                {"d/**", "e/d/f", false},
                {"d/**/x", "d/x", true},
                {"d/**/x", "d/e/x", true},
                {"d/**/x", "d/e/f/x", true},
                {"d/**/x", "d/ex", false},
                {"**/x", "ax", false},
                {"**/x", "d/ax", false},
                {"a**/b", "ab", false},
                {"a**/b", "a/b", true},
                {"a**/b", "ac/d/b", true},
                {"**/**/x", "x", true},
                {"***", "d/a", true},
                {"**.png", "d/a.png", true},
                {"\xff*", "\xff\xfe", true},
                /* Neither brackets nor backslashes mean anything. */
                {"[a]", "a", false},
                {"[a]", "[a]", true},
                {"\\*", "\\x", true},
                {"\\*", "*", false},
        };

        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                if (matches(table[i].pattern, table[i].path) != table[i].match)
                        fail_msg("\"%s\" and \"%s\" should%s match", table[i].pattern,
                                 table[i].path, table[i].match ? "" : " not");
        }
}

/* What a star means, said plainly, without any cleverness. */
static bool matches_slowly(const char *start, const char *pattern, const char *path) {
        const char *behind = pattern + 1;

        if (*pattern == '\0')
                return *path == '\0';
        if (*pattern != '*')
                return *path != '\0' && (*pattern == '?' ? *path != '/' : *pattern == *path) &&
                       matches_slowly(start, behind, path + 1);
        if (*behind == '*') {
                behind++;
                if (*behind == '/' && (pattern == start || pattern[-1] == '/') &&
                    matches_slowly(start, behind + 1, path))
                        return true;
        }
        for (;; path++) {
                if (matches_slowly(start, behind, path))
                        return true;
                if (*path == '\0' || (*path == '/' && behind == pattern + 1))
                        return false;
        }
}

static void test_patterns_against_a_model(void **state) {
        Dice dice = {5};

        for (unsigned round = 0; round < 100000; round++) {
                char pattern[8] = "", path[8] = "";

                for (size_t i = dice_below(&dice, 8); i-- > 0;)
                        pattern[i] = "ab/**?*"[dice_below(&dice, 7)];
                for (size_t i = dice_below(&dice, 8); i-- > 0;)
                        path[i] = "ab/"[dice_below(&dice, 3)];
                if (matches(pattern, path) != matches_slowly(pattern, pattern, path))
                        fail_msg("\"%s\" and \"%s\"", pattern, path);
        }
}

static void test_a_long_pattern_matches_nothing(void **state) {
        char pattern[COLLECT_PATTERN_MAX + 2];

        memset(pattern, '*', sizeof(pattern));
        assert_true(collect_matches(slice_of(pattern, COLLECT_PATTERN_MAX), SLICE_LITERAL("a/b")));
        assert_false(
                collect_matches(slice_of(pattern, COLLECT_PATTERN_MAX + 1), SLICE_LITERAL("a/b")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_patterns),
                cmocka_unit_test(test_patterns_against_a_model),
                cmocka_unit_test(test_a_long_pattern_matches_nothing),
        };

        return cmocka_run_group_tests_name("collect-pattern", tests, NULL, NULL);
}

#include "interp/last_statement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "kit/cleanup.h"

typedef struct Case {
        const char *text;
        LastKind kind;
        size_t offset, n_lines_before; /* not looked at when it is unsure */
} Case;

static void check(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                LastStatement last = find_last_statement(cases[i].text, strlen(cases[i].text));

                if (last.kind != cases[i].kind)
                        fail_msg("%s: kind %d instead of %d", cases[i].text, last.kind,
                                 cases[i].kind);
                if (last.kind == LAST_IS_UNSURE)
                        continue;
                if (last.offset != cases[i].offset ||
                    last.n_lines_before != cases[i].n_lines_before)
                        fail_msg("%s: at %zu, line %zu", cases[i].text, last.offset,
                                 last.n_lines_before);
        }
}

static void test_where_it_begins(void **state) {
        static const Case cases[] = {
                {"1+1", LAST_IS_EXPRESSION, 0, 0},
                {"", LAST_IS_EXPRESSION, 0, 0},
                {"x\ny", LAST_IS_EXPRESSION, 2, 1},
                {"x\ny\n", LAST_IS_EXPRESSION, 2, 1},
                {"x\ny\n\n\n", LAST_IS_EXPRESSION, 2, 1},
                {"x\ny\n# comment\n  # another", LAST_IS_EXPRESSION, 2, 1},
                {"x\nf(\n  1,\n)\n", LAST_IS_EXPRESSION, 2, 1},
                /* A wrong guess; what stands before it does not compile. */
                {"x\n\n\nf(\n1,\n2)", LAST_IS_EXPRESSION, 10, 5},
                {"x\n[\n]", LAST_IS_EXPRESSION, 2, 1},
                {"x\n\tindented", LAST_IS_EXPRESSION, 0, 0},
        };

        check(cases, N_ELEMENTS(cases));
}

static void test_what_it_is(void **state) {
        static const Case cases[] = {
                {"x = 1", LAST_IS_STATEMENT, 0, 0},
                {"x += 1", LAST_IS_STATEMENT, 0, 0},
                {"x: int = 1", LAST_IS_STATEMENT, 0, 0},
                {"x == 1", LAST_IS_EXPRESSION, 0, 0},
                {"x != 1 and y <= 2 or z >= 3", LAST_IS_EXPRESSION, 0, 0},
                {"f(a=1)", LAST_IS_EXPRESSION, 0, 0},
                {"(x := 1)", LAST_IS_EXPRESSION, 0, 0},
                {"'x = 1'", LAST_IS_EXPRESSION, 0, 0},
                {"'it\\'s = '", LAST_IS_EXPRESSION, 0, 0},
                {"'''\n x = 1 '''", LAST_IS_EXPRESSION, 0, 0},
                {"x # = 1", LAST_IS_EXPRESSION, 0, 0},
                {"def f(): pass", LAST_IS_STATEMENT, 0, 0},
                {"for x in y:\n  x", LAST_IS_STATEMENT, 0, 0},
                {"import x", LAST_IS_STATEMENT, 0, 0},
                {"importer", LAST_IS_EXPRESSION, 0, 0},
                {"not x", LAST_IS_EXPRESSION, 0, 0},
                {"x['='] == 2", LAST_IS_EXPRESSION, 0, 0},
        };

        check(cases, N_ELEMENTS(cases));
}

static void test_what_only_a_parser_can_tell(void **state) {
        static const Case cases[] = {
                {"x; y", LAST_IS_UNSURE, 0, 0},          {"x;", LAST_IS_UNSURE, 0, 0},
                {"import x; x", LAST_IS_UNSURE, 0, 0},   {"x = 1; x", LAST_IS_UNSURE, 0, 0},
                {"lambda a=1: a", LAST_IS_UNSURE, 0, 0}, {"f'{x}'", LAST_IS_UNSURE, 0, 0},
                {"rF\"x\"", LAST_IS_UNSURE, 0, 0},       {"'unterminated", LAST_IS_UNSURE, 0, 0},
                {"'over\nlines'", LAST_IS_UNSURE, 0, 0}, {"'''never closed", LAST_IS_UNSURE, 0, 0},
                {"@decorator\n", LAST_IS_UNSURE, 0, 0},  {"x\r\ny", LAST_IS_UNSURE, 0, 0},
                {"x\n\fy", LAST_IS_UNSURE, 0, 0},
        };

        check(cases, N_ELEMENTS(cases));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_where_it_begins),
                cmocka_unit_test(test_what_it_is),
                cmocka_unit_test(test_what_only_a_parser_can_tell),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* %xx of paths, queries and forms. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "server/percent.h"

static void check(const char *text, bool plus_is_space, Slice want) {
        uint8_t out[64];
        size_t size;

        assert_true(percent_decode(slice_of_text(text), plus_is_space, out, &size));
        assert_int_equal(size, want.size);
        assert_memory_equal(out, want.data, size);
}

static void test_decodes(void **state) {
        check("", false, SLICE_LITERAL(""));
        check("a%20b", false, SLICE_LITERAL("a b"));
        check("%2e%2E%2f", false, SLICE_LITERAL("../"));
        check("%00%ff%25", false, SLICE_LITERAL("\0\xff%"));
        check("%2541", false, SLICE_LITERAL("%41"));
        check("a+b%2b", false, SLICE_LITERAL("a+b+"));
        check("a+b%2b", true, SLICE_LITERAL("a b+"));
}

static void test_refuses(void **state) {
        static const char *const bad[] = {"%", "%1", "a%", "%g0", "%0g", "%-1", "%%41", "% 1"};
        uint8_t out[16];
        size_t size;

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_false(percent_decode(slice_of_text(bad[i]), true, out, &size));
}

static void test_in_place(void **state) {
        uint8_t text[] = "a%20%41";
        size_t size;

        assert_true(percent_decode(slice_of(text, 7), false, text, &size));
        assert_int_equal(size, 3);
        assert_memory_equal(text, "a A", 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_decodes),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_in_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

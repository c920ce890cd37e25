/* Values of options: what is no number of its range is refused. */

#include "interp/option_value.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "kit/log.h"

static void test_numbers(void **state) {
        static const char *const refused[] = {"",    "-1",  "+1", " 1",  "1 ",
                                              "0x1", "1.0", "a",  "101", "18446744073709551616"};
        uint64_t number = 7;

        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
                assert_int_equal(option_number(refused[i], 100, &number), -1);
        assert_int_equal(number, 7);
        assert_int_equal(option_number("0", 100, &number), 0);
        assert_int_equal(number, 0);
        assert_int_equal(option_number("100", 100, &number), 0);
        assert_int_equal(number, 100);
        assert_int_equal(option_number("18446744073709551615", UINT64_MAX, &number), 0);
        assert_true(number == UINT64_MAX);
}

static void test_descriptors(void **state) {
        int fd = -1;

        assert_int_equal(option_descriptor("2", &fd), -1);
        assert_int_equal(option_descriptor("2147483648", &fd), -1);
        assert_int_equal(fd, -1);
        assert_int_equal(option_descriptor("3", &fd), 0);
        assert_int_equal(fd, 3);
        assert_int_equal(option_descriptor("2147483647", &fd), 0);
        assert_int_equal(fd, INT_MAX);
}

static void test_levels(void **state) {
        assert_int_equal(option_log_level("loud"), -1);
        assert_int_equal(option_log_level("warning"), 0);
        log_set_level(LOG_LEVEL_INFO);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_levels),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

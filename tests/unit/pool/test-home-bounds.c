/* How many homes and members there may be: clients reach these bounds at will, so it is no failure,
 * and no line of the log. */

#include <errno.h>

#include "home_scene.h"

/* The linker puts it in place of kit_raise() (--wrap). */
static unsigned n_raised;

int __wrap_kit_raise(int error, const char *file, int line, const char *format, ...);

int __wrap_kit_raise(int error, const char *file, int line, const char *format, ...) {
        n_raised++;
        return error;
}

static void test_there_are_only_so_many_members(void **state) {
        HomeMember one_more;

        home.next_member = HOME_MEMBERS_MAX - 1;
        assert_int_equal(home_add_member(&homes, &home, 0, &one_more), 0);
        home_member_close(&one_more);
        n_raised = 0;
        assert_int_equal(home_add_member(&homes, &home, 0, &one_more), -EUSERS);
        assert_int_equal(n_raised, 0);
}

static void test_there_are_only_so_many_homes(void **state) {
        Home one_more;
        HomeMember its_member;

        memset(homes.used, 0xff, HOMES_MAX / 8);
        n_raised = 0;
        assert_int_equal(home_make(&homes, false, &one_more, &its_member), -EUSERS);
        assert_int_equal(n_raised, 0);
        home_remove_member(&homes, &home, &member);
        assert_int_equal(home_make(&homes, false, &one_more, &its_member), 0);
        home_member_close(&its_member);
        home_close(&homes, &one_more);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_there_are_only_so_many_members, set_up_home,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_there_are_only_so_many_homes, set_up_home,
                                                tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The list of limits, and the small tables beside it. */

#include "pool/limits.h"

#include "helpers.h"
#include "pool/run.h"
#include "pool/template.h"

static void test_each_limit_is_within_its_bounds(void **state) {
        for (int i = 0; i < _LIMITS; i++) {
                const LimitInfo *info = &limit_infos[i];

                assert_non_null(info->name);
                assert_non_null(info->help);
                assert_true(info->minimum <= info->standard);
                assert_true(info->standard <= info->maximum);
                assert_true(info->maximum <= info->ceiling);
        }
}

/* Limits are scaled to nanoseconds and bytes, and some are added to each other. */
static void test_no_configured_limit_overflows(void **state) {
        assert_true(limit_infos[LIMIT_WALL_MS].ceiling < UINT64_MAX / 1000000 / 2);
        assert_true(limit_infos[LIMIT_CPU_MS].ceiling < UINT64_MAX / 1000000 / 2);
        assert_true(limit_infos[LIMIT_MEMORY_MB].ceiling < UINT64_MAX >> 21);
        assert_true(limit_infos[LIMIT_DISK_MB].ceiling < UINT64_MAX >> 21);
        assert_true(limit_infos[LIMIT_PROCESSES].ceiling < UINT32_MAX / 2);
}

static void test_limits_are_found_by_name(void **state) {
        for (int i = 0; i < _LIMITS; i++)
                assert_int_equal(limit_by_name(slice_of_text(limit_infos[i].name)), i);
        assert_int_equal(limit_by_name(SLICE_LITERAL("wall")), _LIMITS);
        assert_int_equal(limit_by_name(SLICE_LITERAL("wall_ms\0")), _LIMITS);
        assert_int_equal(limit_by_name(SLICE_NULL), _LIMITS);
}

static void test_a_run_without_limits_gets_the_standard(void **state) {
        LimitPolicy policy = limit_policy_standard();
        RunLimits limits;

        for (int i = 0; i < _LIMITS; i++) {
                assert_int_equal(policy.standard[i], limit_infos[i].standard);
                assert_int_equal(policy.maximum[i], limit_infos[i].maximum);
                policy.standard[i] = 100 + (uint64_t) i;
        }
        limits = limit_policy_defaults(&policy);
        for (int i = 0; i < _LIMITS; i++)
                assert_int_equal(limits.of[i], 100 + i);
}

static void test_policies_have_names(void **state) {
        for (int i = 0; i < _RECYCLES; i++)
                assert_int_equal(recycle_by_name(recycle_name((Recycle) i)), i);
        assert_int_equal(recycle_by_name("FRESH"), _RECYCLES);
        assert_int_equal(recycle_by_name(""), _RECYCLES);
}

static void test_statuses_are_spelled_as_the_interface_has_them(void **state) {
        static const char *const names[_RUN_STATUSES] = {
                [RUN_OK] = "ok",
                [RUN_ERROR] = "error",
                [RUN_EXIT] = "exit",
                [RUN_TIMEOUT] = "timeout",
                [RUN_CPU_LIMIT] = "cpu_limit",
                [RUN_MEMORY_LIMIT] = "memory_limit",
                [RUN_OUTPUT_LIMIT] = "output_limit",
                [RUN_VIOLATION] = "violation",
                [RUN_CRASHED] = "crashed",
                [RUN_CANCELLED] = "cancelled",
                [RUN_LOST] = "lost",
        };

        for (int i = 0; i < _RUN_STATUSES; i++)
                assert_string_equal(run_status_name((RunStatus) i), names[i]);
}

/* A run that may use all there is meets its limit before the end of the disk. */
static void test_a_cell_holds_more_than_a_run_may_use(void **state) {
        LimitPolicy policy = limit_policy_standard();

        policy.maximum[LIMIT_DISK_MB] = 1;
        assert_true(limits_cell_bytes(&policy) > 1 << 20);
        assert_true(limits_cell_inodes(&policy) > 10000);
        policy.maximum[LIMIT_DISK_MB] = limit_infos[LIMIT_DISK_MB].ceiling;
        assert_true(limits_cell_bytes(&policy) > limit_infos[LIMIT_DISK_MB].ceiling << 20);
        /* Files of 64 KiB fill it before the inodes run out. */
        assert_true(limits_cell_inodes(&policy) * (64 << 10) > limits_cell_bytes(&policy));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_limit_is_within_its_bounds),
                cmocka_unit_test(test_no_configured_limit_overflows),
                cmocka_unit_test(test_limits_are_found_by_name),
                cmocka_unit_test(test_a_run_without_limits_gets_the_standard),
                cmocka_unit_test(test_policies_have_names),
                cmocka_unit_test(test_statuses_are_spelled_as_the_interface_has_them),
                cmocka_unit_test(test_a_cell_holds_more_than_a_run_may_use),
        };

        return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}

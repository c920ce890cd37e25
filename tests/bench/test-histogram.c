/* The quantiles of the benchmark are only as true as its histogram. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "histogram.h"
#include "kit/cleanup.h"

static void every_value_is_kept_within_one_percent(void **state) {
        for (uint64_t value = 1; value < 1ULL << HISTOGRAM_DOUBLINGS; value += 1 + value / 97) {
                _autofree_ Histogram *histogram = calloc(1, sizeof(*histogram));
                uint64_t told, distance;

                assert_non_null(histogram);
                histogram_add(histogram, value);
                told = histogram_quantile(histogram, 0.5);
                distance = told > value ? told - value : value - told;
                assert_true(distance <= value / 100);
        }
}

static void quantiles_are_in_order(void **state) {
        _autofree_ Histogram *histogram = calloc(1, sizeof(*histogram));

        assert_non_null(histogram);
        for (uint64_t value = 1; value <= 1000; value++)
                histogram_add(histogram, value * 1000);
        assert_in_range(histogram_quantile(histogram, 0.0), 990, 1010);
        assert_in_range(histogram_quantile(histogram, 0.5), 496000, 506000);
        assert_in_range(histogram_quantile(histogram, 0.99), 980000, 1000000);
        assert_in_range(histogram_quantile(histogram, 1.0), 990000, 1010000);
        assert_int_equal(histogram->total, 1000);
        assert_int_equal(histogram->minimum_ns, 1000);
        assert_int_equal(histogram->maximum_ns, 1000000);
}

static void extremes_have_a_place(void **state) {
        _autofree_ Histogram *histogram = calloc(1, sizeof(*histogram));

        assert_non_null(histogram);
        assert_int_equal(histogram_quantile(histogram, 0.5), 0);
        histogram_add(histogram, 0);
        assert_int_equal(histogram_quantile(histogram, 0.5), 0);
        histogram_add(histogram, UINT64_MAX);
        assert_int_equal(histogram->total, 2);
        assert_int_equal(histogram->maximum_ns, UINT64_MAX);
        assert_true(histogram_quantile(histogram, 1.0) > 1ULL << (HISTOGRAM_DOUBLINGS - 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_value_is_kept_within_one_percent),
                cmocka_unit_test(quantiles_are_in_order),
                cmocka_unit_test(extremes_have_a_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

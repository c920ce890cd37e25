/* hatchery-load: the load generator of the benchmark; --help says what it can do. */

#include <stdio.h>

#include "engine.h"
#include "kit/clock.h"
#include "kit/log.h"
#include "plan.h"

static void print_histogram(const char *name, const Histogram *histogram) {
        static const struct {
                const char *name;
                double quantile;
        } quantiles[] = {{"p10", 0.1}, {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
        double mean =
                histogram->total > 0 ? (double) histogram->sum_ns / (double) histogram->total : 0;

        printf("  \"%s\": {\"count\": %lu, \"min\": %.2f, \"mean\": %.2f", name, histogram->total,
               (double) histogram->minimum_ns / (double) NS_PER_US, mean / (double) NS_PER_US);
        for (size_t i = 0; i < N_ELEMENTS(quantiles); i++)
                printf(", \"%s\": %.2f", quantiles[i].name,
                       (double) histogram_quantile(histogram, quantiles[i].quantile) /
                               (double) NS_PER_US);
        printf(", \"max\": %.2f},\n", (double) histogram->maximum_ns / (double) NS_PER_US);
}

static void print_report(const Plan *plan, const Report *report) {
        double seconds = (double) plan->measure_ns / (double) NS_PER_S;

        /* An open loop that fell behind needed longer than it was given. */
        if (report->last_ns > report->first_ns + plan->measure_ns)
                seconds = (double) (report->last_ns - report->first_ns) / (double) NS_PER_S;
        printf("{\n");
        print_histogram("latency_us", &report->latency);
        print_histogram("lateness_us", &report->lateness);
        printf("  \"per_second\": %.1f, \"seconds\": %.3f, \"requests\": %lu, \"bytes\": %lu,\n",
               (double) report->latency.total / seconds, seconds, report->requests, report->bytes);
        printf("  \"wrong\": %lu, \"broken\": %lu, \"unsent\": %lu\n}\n", report->wrong,
               report->broken, report->unsent);
}

int main(int argc, char **argv) {
        static Report report;
        Plan plan;
        bool failed;

        if (plan_read(argc, argv, &plan) < 0)
                return 2;
        failed = engine_run(&plan, &report) < 0;
        if (!failed) {
                print_report(&plan, &report);
                failed = report.wrong + report.broken + report.unsent > 0 ||
                         report.latency.total == 0;
        }
        plan_done(&plan);
        return failed;
}

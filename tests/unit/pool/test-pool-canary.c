/*
 * No run is given to a worker of a generation that has not been proven. A worker that is less shut
 * in than the server believes is had by telling the server, once its workers are on their way, of a
 * layer that they were not told to take.
 */

#include "driver.h"
#include "pool/internal.h"

/* No worker of these tests has a mount namespace. */
static const LayerMask untrue = 1U << LAYER_MOUNT_NAMESPACE;

static Template *template_of(void) {
        return &driver.pool->templates[0];
}

static void drive_until_starting(void) {
        drive_until(template_of()->runs.n_states[SLOT_STARTING] > 0);
}

static void drive_until_broken(void) {
        drive_until(state_of_template().broken);
}

static void test_a_generation_is_proven(void **state) {
        TemplateState seen;

        driver.template.workers = 2;
        start();
        assert_false(pool_is_ready(driver.pool));
        drive_until(pool_is_ready(driver.pool));
        seen = state_of_template();
        assert_true(seen.probes_tried > 0);
        assert_int_equal(seen.probes_tried, seen.probes_stopped);
        assert_true(seen.proven & layer_bit(LAYER_SECCOMP));
        assert_int_equal(seen.proven & ~seen.layers, 0);
        assert_null(seen.broken);
        check_it_works();
}

static void test_no_run_before_the_proof(void **state) {
        Watched watched = {0};
        Template *template;

        start();
        template = template_of();
        submit(&watched, "print(6 * 7)");
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; watched.done == 0;) {
                assert_true(template->runs.n_states[SLOT_BUSY] == 0 || template->canary.proven > 0);
                turn(until_ns);
        }
        assert_status(&watched, RUN_OK);
}

static void test_a_generation_that_is_broken_gets_no_runs(void **state) {
        TemplateState seen;
        Watched watched = {0};

        driver.template.workers = 2;
        start();
        submit(&watched, "print(6 * 7)");
        drive_until_starting();
        template_of()->layers |= untrue;
        drive_until_broken();

        seen = state_of_template();
        assert_false(seen.ready);
        assert_false(pool_is_ready(driver.pool));
        /* Files of the server's user are a plain user's worker's own. */
        assert_string_equal(seen.broken,
                            probe_text(geteuid() == 0 ? PROBE_LIST_PROCESSES : PROBE_READ_SECRET));
        assert_non_null(strstr(seen.failure, "mountns"));
        assert_int_equal(seen.proven, 0);
        assert_int_equal(seen.idle + seen.busy + seen.starting, 0);
        assert_int_equal(seen.queued, 1);
        assert_int_equal(watched.done, 0);

        /* The next one is as it should be, and takes the run that waits. */
        template_of()->layers &= ~untrue;
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_null(state_of_template().broken);
        assert_int_equal(state_of_template().generation, 2);
}

/* No attempt fails for want of it; the kernel tells. */
static void test_what_the_kernel_says_counts(void **state) {
        TemplateState seen;

        isolate(layer_bit(LAYER_OOM_SCORE));
        start();
        drive_until_starting();
        template_of()->layers |= layer_bit(LAYER_OOM_SCORE);
        drive_until_broken();
        seen = state_of_template();
        assert_non_null(strstr(seen.broken, "get ready while oom_score_adj is "));
        assert_non_null(strstr(seen.failure, "oom_score"));
        template_of()->layers &= ~layer_bit(LAYER_OOM_SCORE);
        drive_until(is_filled());
        assert_null(state_of_template().broken);
}

static void test_workers_of_the_last_generation_go_on(void **state) {
        unsigned before;

        driver.template.workers = 3;
        start_and_fill();
        before = state_of_template().generation;
        pool_reload(driver.pool);
        drive_until(template_of()->zygote_generation > before);
        drive_until_starting();
        template_of()->layers |= untrue;
        drive_until_broken();
        /* One of the three has made room for the canary. */
        assert_true(state_of_template().idle >= 2);
        check_it_works();
        template_of()->layers &= ~untrue;
        drive_until(is_filled());
        assert_null(state_of_template().broken);
        check_it_works();
}

static void test_a_canary_that_is_killed_says_nothing(void **state) {
        Template *template;

        start();
        template = template_of();
        drive_until(template->canary.slot);
        worker_kill(&template->canary.slot->worker);
        drive_until(is_filled());
        assert_null(state_of_template().broken);
        check_it_works();
}

static void test_the_pool_may_end_while_a_canary_tries(void **state) {
        start();
        drive_until(template_of()->canary.slot);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                pool_test(test_a_generation_is_proven),
                pool_test(test_no_run_before_the_proof),
                pool_test(test_a_generation_that_is_broken_gets_no_runs),
                pool_test(test_what_the_kernel_says_counts),
                pool_test(test_workers_of_the_last_generation_go_on),
                pool_test(test_a_canary_that_is_killed_says_nothing),
                pool_test(test_the_pool_may_end_while_a_canary_tries),
        };

        return driver_run_tests("pool canary", tests);
}

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
        drive_until(template_of()->canaries.n_states[SLOT_STARTING] > 0);
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
        assert_true(seen.probes[PROOF_OF_RUNS].tried > 0);
        assert_int_equal(seen.probes[PROOF_OF_RUNS].tried, seen.probes[PROOF_OF_RUNS].stopped);
        assert_int_equal(seen.probes[PROOF_OF_SESSIONS].tried, 0);
        assert_false(seen.serves_sessions);
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

/* Whatever comes of the next one. All three are there all the time, and the state stays ready. */
static void test_a_generation_serves_until_the_next_is_proven(void **state) {
        Template *template;
        TemplateState seen;
        pid_t zygote;

        driver.template.workers = 3;
        start_and_fill();
        template = template_of();
        zygote = state_of_template().zygote_pid;
        pool_reload(driver.pool);
        drive_until_starting();
        template->layers |= untrue;
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; !state_of_template().failure;) {
                seen = state_of_template();
                assert_true(seen.ready);
                assert_int_equal(seen.idle, 3);
                turn(until_ns);
        }
        template->layers &= ~untrue;
        seen = state_of_template();
        assert_true(seen.ready);
        assert_null(seen.broken);
        assert_non_null(strstr(seen.failure, "mountns"));
        assert_int_equal(seen.zygote_pid, zygote);
        assert_int_equal(template->zygote_generation, 1);
        check_it_works();

        /* The next one is as it should be. */
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; template->zygote_generation == 1;) {
                assert_true(state_of_template().ready);
                turn(until_ns);
        }
        assert_null(state_of_template().failure);
        assert_int_not_equal(state_of_template().zygote_pid, zygote);
        drive_until(is_filled());
        check_it_works();
}

/* It has been proven meanwhile, or will be. */
static void test_the_next_takes_over_when_the_serving_one_dies(void **state) {
        Template *template;

        start_and_fill();
        template = template_of();
        pool_reload(driver.pool);
        drive_until_starting();
        assert_int_equal(template->zygote_generation, 1);
        assert_int_equal(kill(state_of_template().zygote_pid, SIGKILL), 0);
        drive_until(template->zygote_generation == 2);
        drive_until(is_filled());
        assert_int_equal(state_of_template().generation, 2);
        check_it_works();
}

static void test_a_next_one_that_dies_is_replaced(void **state) {
        Template *template;

        start_and_fill();
        template = template_of();
        pool_reload(driver.pool);
        drive_until_starting();
        assert_int_equal(kill(zygote_pid(template->next_zygote), SIGKILL), 0);
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; template->zygote_generation == 1;) {
                assert_true(state_of_template().ready);
                turn(until_ns);
        }
        assert_int_equal(template->zygote_generation, 3);
        drive_until(is_filled());
        check_it_works();
}

static void test_a_canary_that_is_killed_says_nothing(void **state) {
        Template *template;

        start();
        template = template_of();
        drive_until(template->canary.trials[PROOF_OF_RUNS].state == TRIAL_PROBING);
        worker_kill(&template->canary.trials[PROOF_OF_RUNS].slot->worker);
        drive_until(is_filled());
        assert_null(state_of_template().broken);
        check_it_works();
}

static void test_the_pool_may_end_while_a_canary_tries(void **state) {
        start();
        drive_until(template_of()->canary.trials[PROOF_OF_RUNS].state == TRIAL_PROBING);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                pool_test(test_a_generation_is_proven),
                pool_test(test_no_run_before_the_proof),
                pool_test(test_a_generation_that_is_broken_gets_no_runs),
                pool_test(test_what_the_kernel_says_counts),
                pool_test(test_a_generation_serves_until_the_next_is_proven),
                pool_test(test_the_next_takes_over_when_the_serving_one_dies),
                pool_test(test_a_next_one_that_dies_is_replaced),
                pool_test(test_a_canary_that_is_killed_says_nothing),
                pool_test(test_the_pool_may_end_while_a_canary_tries),
        };

        return driver_run_tests("pool canary", tests);
}

/* Runs that are cancelled, and callbacks that call the pool: from any place, at any time. */

#include "driver.h"

static void test_cancelling_who_waits(void **state) {
        Watched running = {0}, waiting[3] = {0};

        start_and_fill();
        submit(&running, "input()");
        for (size_t i = 0; i < 3; i++)
                submit(&waiting[i], "print(1)");
        pool_cancel(driver.pool, waiting[1].run);
        finish(&waiting[2]);
        assert_int_equal(running.done, 1);
        assert_int_equal(waiting[0].done, 1);
        assert_int_equal(waiting[1].done, 0);
        assert_int_equal(counters().runs[RUN_CANCELLED], 1);
        assert_int_equal(counters().queued, 0);
}

static void note_output(Watched *watched) {
}

static void test_cancelling_who_runs(void **state) {
        Watched running = {.when_output = note_output}, waiting = {0};

        start_and_fill();
        submit(&running, "import time\nprint(1, flush=True)\ntime.sleep(1000)");
        submit(&waiting, "print(2)");
        drive_until(running.outputs > 0);
        pool_cancel(driver.pool, running.run);
        finish(&waiting);
        assert_status(&waiting, RUN_OK);
        assert_int_equal(running.done, 0);
        drive_until(is_filled());
        check_children(2);
}

static void test_cancelling_a_request_that_is_half_sent(void **state) {
        Watched watched = {0};
        size_t size = 20 << 20;
        _autofree_ char *input = calloc(1, size);
        RunRequest request;

        start_and_fill();
        request = request_of("1");
        request.stdin_bytes = slice_of(input, size);
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        pool_cancel(driver.pool, watched.run);
        check_it_works();
        assert_int_equal(watched.done, 0);
}

static void cancel_itself(Watched *watched) {
        pool_cancel(driver.pool, watched->run);
}

/* A caller whose client has gone finds that out when it passes something on. */
static void test_a_callback_may_cancel_its_run(void **state) {
        static const char *const codes[] = {
                "import time\nprint(1, flush=True)\ntime.sleep(1000)",
                "print(1)",
                "print(1, flush=True)\nimport os; os._exit(0)",
                "for i in range(1000): print('x' * 10000)",
        };

        start_and_fill();
        for (size_t i = 0; i < N_ELEMENTS(codes); i++) {
                Watched watched = {.when_output = cancel_itself};

                submit(&watched, codes[i]);
                drive_until(watched.outputs > 0);
                drive_until(is_filled());
                assert_int_equal(watched.outputs, 1);
                assert_int_equal(watched.done, 0);
        }
        assert_int_equal(counters().runs[RUN_CANCELLED], N_ELEMENTS(codes));
}

static Watched chain[20], other;

static void submit_next(Watched *watched) {
        if (watched + 1 < chain + N_ELEMENTS(chain)) {
                watched[1].when_done = submit_next;
                submit(watched + 1, "print(1)");
                assert_int_equal(watched[1].done, 0);
        }
}

static void test_an_answer_may_lead_to_the_next_run(void **state) {
        memset(chain, 0, sizeof(chain));
        driver.template.workers = 2;
        start_and_fill();
        chain[0].when_done = submit_next;
        submit(&chain[0], "print(1)");
        finish(&chain[N_ELEMENTS(chain) - 1]);
        for (size_t i = 0; i < N_ELEMENTS(chain); i++) {
                assert_int_equal(chain[i].done, 1);
                assert_status(&chain[i], RUN_OK);
        }
}

static void cancel_other(Watched *watched) {
        pool_cancel(driver.pool, other.run);
}

static void test_an_answer_may_cancel_another_run(void **state) {
        Watched watched = {.when_done = cancel_other};

        other = (Watched){0};
        driver.template.workers = 2;
        start_and_fill();
        submit(&other, "import time; time.sleep(1000)");
        run(&watched, "1");
        drive_until(is_filled());
        assert_int_equal(other.done, 0);

        /* One that waits, too. */
        driver.pool = pool_free(driver.pool);
        driver.template.workers = 1;
        start_and_fill();
        watched = (Watched){.when_done = cancel_other};
        submit(&watched, "1");
        submit(&other, "1");
        finish(&watched);
        drive_until(is_filled());
        assert_int_equal(other.done, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                pool_test(test_cancelling_who_waits),
                pool_test(test_cancelling_who_runs),
                pool_test(test_cancelling_a_request_that_is_half_sent),
                pool_test(test_a_callback_may_cancel_its_run),
                pool_test(test_an_answer_may_lead_to_the_next_run),
                pool_test(test_an_answer_may_cancel_another_run),
        };

        return driver_run_tests("pool-cancel", tests);
}

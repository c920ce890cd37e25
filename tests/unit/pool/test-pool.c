/* The pool as its caller sees it: one descriptor, runs in, answers out, each once. */

#include "driver.h"

static void test_a_run(void **state) {
        Watched watched = {0};

        start_and_fill();
        run(&watched, "print('hello')\n6 * 7");
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "hello\n");
        assert_int_equal(watched.exit_code, 0);
        assert_non_null(strstr(watched.value, "42"));
        assert_true(watched.wall_ns > 0);
        assert_true(watched.cpu_ns > 0);
        assert_true(watched.peak_memory_kb > 1024);
}

static void test_how_a_program_may_end(void **state) {
        static const struct {
                const char *code;
                RunStatus status;
                int exit_code, signal;
        } table[] = {
                {"1", RUN_OK, 0, 0},
                {"1/0", RUN_ERROR, 1, 0},
                {"def", RUN_ERROR, 1, 0},
                {"raise SystemExit", RUN_EXIT, 0, 0},
                {"import sys; sys.exit(3)", RUN_EXIT, 3, 0},
                {"import os; os._exit(0)", RUN_EXIT, 0, 0},
                {"import os; os._exit(7)", RUN_EXIT, 7, 0},
                {"import os; os.abort()", RUN_CRASHED, 0, SIGABRT},
                {"import ctypes; ctypes.string_at(0)", RUN_CRASHED, 0, SIGSEGV},
        };

        start_and_fill();
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                Watched watched = {0};

                run(&watched, table[i].code);
                assert_status(&watched, table[i].status);
                assert_int_equal(watched.signal, table[i].signal);
                assert_int_equal(watched.has_exit_code, table[i].signal == 0);
                assert_int_equal(watched.exit_code, table[i].exit_code);
        }
        check_it_works();
}

static void test_a_run_may_come_before_any_worker(void **state) {
        Watched watched = {0};

        start();
        assert_false(pool_is_ready(driver.pool));
        run(&watched, "print(1)");
        assert_status(&watched, RUN_OK);
        assert_true(pool_is_ready(driver.pool));
}

static void test_more_runs_than_workers(void **state) {
        Watched watched[40] = {0};

        driver.template.workers = 3;
        start_and_fill();
        for (size_t i = 0; i < N_ELEMENTS(watched); i++)
                submit(&watched[i], "print('x' * 10)");
        assert_false(pool_is_idle(driver.pool));
        for (size_t i = 0; i < N_ELEMENTS(watched); i++) {
                finish(&watched[i]);
                assert_status(&watched[i], RUN_OK);
                assert_string_equal(watched[i].out, "xxxxxxxxxx\n");
        }
        assert_true(pool_is_idle(driver.pool));
        assert_int_equal(counters().runs[RUN_OK], N_ELEMENTS(watched));
        drive_until(is_filled());
        check_children(4);
}

static void test_nothing_is_left_for_the_next_run(void **state) {
        Watched first = {0}, second = {0};

        start_and_fill();
        run(&first, "import os\nopen('left', 'w').close()\nopen(os.environ['TMPDIR'] + '/left', "
                    "'w').close()\nx = 1");
        assert_status(&first, RUN_OK);
        run(&second, "import os\nprint(os.listdir(), os.listdir(os.environ['TMPDIR']), 'x' in "
                     "globals())");
        assert_string_equal(second.out, "[] [] False\n");
}

static void test_a_timeout_keeps_what_was_printed(void **state) {
        Watched watched = {0};
        RunRequest request;

        start_and_fill();
        request = request_of("import time\nprint('before', flush=True)\ntime.sleep(1000)");
        /* Longer, where the machine took longer than that to have anything printed. */
        for (uint64_t wall_ms = 500; wall_ms <= 32000 && watched.stdout_bytes == 0; wall_ms *= 4) {
                watched = (Watched){0};
                request.limits.of[LIMIT_WALL_MS] = wall_ms;
                assert_int_equal(submit_request(&watched, &request), POOL_OK);
                finish(&watched);
                assert_status(&watched, RUN_TIMEOUT);
                assert_true(watched.wall_ns >= wall_ms * NS_PER_MS);
        }
        assert_string_equal(watched.out, "before\n");
        check_it_works();
}

static void test_each_limit_ends_a_run(void **state) {
        static const struct {
                const char *code;
                Limit limit;
                uint64_t value;
                RunStatus status;
        } table[] = {
                {"while True: pass", LIMIT_CPU_MS, 100, RUN_CPU_LIMIT},
                {"x = bytearray(100 << 20)\nimport time; time.sleep(1000)", LIMIT_MEMORY_MB, 50,
                 RUN_MEMORY_LIMIT},
                {"while True: print('x' * 1000)", LIMIT_OUTPUT_BYTES, 5000, RUN_OUTPUT_LIMIT},
                {"for i in range(4): open(str(i), 'wb').write(b'x' * 400000)\n"
                 "import time; time.sleep(1000)",
                 LIMIT_DISK_MB, 1, RUN_OUTPUT_LIMIT},
        };

        start_and_fill();
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                Watched watched = {0};
                RunRequest request = request_of(table[i].code);

                request.output_overrun_kills = true;
                request.limits.of[table[i].limit] = table[i].value;
                assert_int_equal(submit_request(&watched, &request), POOL_OK);
                finish(&watched);
                assert_status(&watched, table[i].status);
        }
        check_it_works();
}

static void test_a_flood_is_cut(void **state) {
        Watched watched = {0};
        RunRequest request;

        start_and_fill();
        request = request_of("import sys\nfor i in range(300): sys.stdout.write('x' * 100000)");
        request.limits.of[LIMIT_OUTPUT_BYTES] = 1000;
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_true(watched.truncated);
        assert_int_equal(watched.stdout_bytes, 30000000);
}

static void test_a_request_larger_than_a_pipe(void **state) {
        Watched watched = {0};
        size_t size = 20 << 20;
        _autofree_ char *input = malloc(size);
        RunRequest request;

        memset(input, 'i', size);
        start_and_fill();
        request = request_of("import sys\nprint(len(sys.stdin.read()))");
        request.stdin_bytes = slice_of(input, size);
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "20971520\n");
}

static void test_files_come_back(void **state) {
        const RunFile file = {SLICE_LITERAL("in/put.txt"), SLICE_LITERAL("content")};
        const Slice patterns[] = {SLICE_LITERAL("*.png"), SLICE_LITERAL("**/put.txt")};
        Watched watched = {0};
        RunRequest request;

        start_and_fill();
        request = request_of("print(open('in/put.txt').read())\nopen('a.png', 'w').write('p')\n"
                             "open('b.txt', 'w').write('b')");
        request.files = &file;
        request.n_files = 1;
        request.collect = patterns;
        request.n_collect = 2;
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "content\n");
        assert_int_equal(watched.n_files, 2);
}

static void test_the_queue_is_bounded(void **state) {
        Watched first = {0}, second = {0}, third = {0};
        RunRequest request;

        driver.config.queue_max = 1;
        start_and_fill();
        submit(&first, "input()");
        submit(&second, "1");
        request = request_of("1");
        assert_int_equal(submit_request(&third, &request), POOL_E_QUEUE_FULL);
        assert_int_equal(counters().refused, 1);
        assert_int_equal(counters().queued, 1);
        assert_int_equal(counters().busy, 1);
        assert_true(pool_retry_after_s(driver.pool) >= 1);
        finish(&first);
        finish(&second);
        assert_int_equal(third.done, 0);
}

static void test_who_finds_a_worker_needs_no_queue(void **state) {
        Watched first = {0}, second = {0};
        RunRequest request;

        driver.config.queue_max = 0;
        start_and_fill();
        submit(&first, "1");
        request = request_of("1");
        assert_int_equal(submit_request(&second, &request), POOL_E_QUEUE_FULL);
        finish(&first);
        assert_status(&first, RUN_OK);
}

static void test_who_waits_too_long_is_refused(void **state) {
        Watched running = {0}, waiting = {0};

        driver.config.queue_wait_ms = 300;
        start_and_fill();
        submit(&running, "import time; time.sleep(1000)");
        submit(&waiting, "1");
        finish(&waiting);
        assert_true(waiting.refused);
        assert_int_equal(running.done, 0);
        pool_cancel(driver.pool, running.run);
        drive_until(is_filled());
}

static void test_draining(void **state) {
        Watched running = {0}, waiting = {0}, late = {0};
        RunRequest request;

        start_and_fill();
        submit(&running, "print(1)");
        submit(&waiting, "print(2)");
        pool_drain(driver.pool);
        request = request_of("3");
        assert_int_equal(submit_request(&late, &request), POOL_E_DRAINING);
        drive_until(pool_is_idle(driver.pool));
        assert_status(&running, RUN_OK);
        assert_status(&waiting, RUN_OK);
        assert_int_equal(late.done, 0);
}

static void test_freeing_it_amid_everything(void **state) {
        Watched running[3] = {0}, waiting[3] = {0};

        driver.template.workers = 3;
        start_and_fill();
        for (size_t i = 0; i < 3; i++)
                submit(&running[i], "open('f', 'w').write('x')\nimport time; time.sleep(1000)");
        for (size_t i = 0; i < 3; i++)
                submit(&waiting[i], "1");
        driver.pool = pool_free(driver.pool);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(running[i].done + waiting[i].done, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                pool_test(test_a_run),
                pool_test(test_how_a_program_may_end),
                pool_test(test_a_run_may_come_before_any_worker),
                pool_test(test_more_runs_than_workers),
                pool_test(test_nothing_is_left_for_the_next_run),
                pool_test(test_a_timeout_keeps_what_was_printed),
                pool_test(test_each_limit_ends_a_run),
                pool_test(test_a_flood_is_cut),
                pool_test(test_a_request_larger_than_a_pipe),
                pool_test(test_files_come_back),
                pool_test(test_the_queue_is_bounded),
                pool_test(test_who_finds_a_worker_needs_no_queue),
                pool_test(test_who_waits_too_long_is_refused),
                pool_test(test_draining),
                pool_test(test_freeing_it_amid_everything),
        };

        return driver_run_tests("pool", tests);
}

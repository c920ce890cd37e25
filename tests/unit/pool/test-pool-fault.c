/* The pool when its processes die, hang, lie or will not go. */

#include "driver.h"

/* To a process of the pool. */
static void send_signal(pid_t pid, int signal) {
        assert_true(pid > 1);
        assert_int_equal(kill(pid, signal), 0);
}

/* Returns when that has happened to the child, and leaves it to the pool to wait for. */
static void see_child(pid_t pid, int what) {
        siginfo_t info;

        assert_int_equal(waitid(P_PID, (id_t) pid, &info, what | WNOWAIT), 0);
}

static void kill_idle_worker(void) {
        pid_t worker = only_worker();

        send_signal(worker, SIGKILL);
        see_child(worker, WEXITED);
}

static void see_started(Watched *watched) {
}

/* Submits a run, and returns when it has printed something. */
static void start_run(Watched *watched, const char *code) {
        watched->when_output = see_started;
        submit(watched, code);
        drive_until(watched->outputs > 0);
}

#define SLEEPS "import time\nprint(1, end='', flush=True)\ntime.sleep(1000)"

static void test_a_killed_worker_is_a_crash(void **state) {
        Watched watched = {0};

        start_and_fill();
        start_run(&watched, SLEEPS);
        send_signal(only_worker(), SIGKILL);
        finish(&watched);
        assert_status(&watched, RUN_CRASHED);
        assert_int_equal(watched.signal, SIGKILL);
        assert_string_equal(watched.out, "1");
        check_it_works();
}

static void test_a_stopped_worker_meets_its_limit(void **state) {
        Watched watched = {0};
        RunRequest request;

        start_and_fill();
        request = request_of("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)");
        request.limits.of[LIMIT_WALL_MS] = 500;
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_TIMEOUT);
        check_it_works();
}

static void test_an_idle_worker_that_dies_costs_no_run(void **state) {
        start_and_fill();
        for (unsigned i = 0; i < 10; i++) {
                kill_idle_worker();
                check_it_works();
                drive_until(is_filled());
        }
        assert_int_equal(counters().runs[RUN_OK], 10);
        assert_int_equal(counters().runs[RUN_CRASHED], 0);
}

/* The run has been written to its pipe, and nobody has read it. */
static void test_a_run_that_nobody_has_read_is_not_lost(void **state) {
        Watched watched = {0};
        pid_t worker;

        start_and_fill();
        worker = only_worker();
        send_signal(worker, SIGSTOP);
        see_child(worker, WSTOPPED);
        submit(&watched, "print(1)");
        assert_int_equal(counters().busy, 1);
        send_signal(worker, SIGKILL);
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "1\n");
        assert_int_equal(counters().runs[RUN_CRASHED], 0);
}

static void test_a_killed_zygote_takes_no_run_with_it(void **state) {
        Watched watched = {0};

        driver.template.workers = 2;
        start_and_fill();
        start_run(&watched, "import time\nprint(1, flush=True)\ntime.sleep(0.5)\nprint(2)");
        send_signal(state_of_template().zygote_pid, SIGKILL);
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "1\n2\n");
        drive_until(state_of_template().restarts == 1 && is_filled());
        check_children(3);
        check_it_works();
}

static void test_a_zygote_that_dies_again_and_again(void **state) {
        start_and_fill();
        for (unsigned i = 0; i < 4; i++) {
                send_signal(state_of_template().zygote_pid, SIGKILL);
                drive_until(state_of_template().restarts == i + 1);
                drive_until(is_filled());
                check_it_works();
        }
        assert_int_equal(counters().runs[RUN_OK], 4);
}

static void test_a_stopped_zygote_is_replaced(void **state) {
        pid_t zygote;

        start_and_fill();
        zygote = state_of_template().zygote_pid;
        send_signal(zygote, SIGSTOP);
        check_it_works(); /* by the spare that is there */
        check_it_works();
        assert_int_equal(state_of_template().restarts, 1);
        assert_int_not_equal(state_of_template().zygote_pid, zygote);
        drive_until(is_filled());
        check_children(2);
}

static void test_a_zygote_killed_while_it_forks(void **state) {
        Watched watched[12] = {0};

        driver.template.workers = 4;
        start();
        for (size_t i = 0; i < N_ELEMENTS(watched); i++)
                submit(&watched[i], "print(1)");
        for (unsigned round = 0; round < 3; round++) {
                uint64_t started = counters().workers_started;

                drive_until(counters().workers_started > started ||
                            watched[N_ELEMENTS(watched) - 1].done > 0);
                if (state_of_template().zygote_pid > 0)
                        send_signal(state_of_template().zygote_pid, SIGKILL);
        }
        for (size_t i = 0; i < N_ELEMENTS(watched); i++) {
                finish(&watched[i]);
                assert_status(&watched[i], RUN_OK);
        }
        drive_until(is_filled());
        check_children(5);
}

static void test_a_reload_under_way(void **state) {
        Watched watched = {0};
        pid_t zygote;

        driver.template.workers = 4;
        start_and_fill();
        zygote = state_of_template().zygote_pid;
        start_run(&watched, "import time\nprint(1, flush=True)\ntime.sleep(0.5)\nprint(2)");
        pool_reload(driver.pool);
        pool_reload(driver.pool);
        drive_until(state_of_template().zygote_pid != zygote);
        /* The second came while the first was under way: its zygote may have read the old files. */
        zygote = state_of_template().zygote_pid;
        drive_until(state_of_template().zygote_pid != zygote);
        assert_int_equal(state_of_template().generation, 3);
        finish(&watched);
        assert_status(&watched, RUN_OK);
        /* Each spare of the old generation has its successor: the one that is busy, too. */
        drive_until(counters().workers_started >= 8 && is_filled());
        check_children(5);
        assert_int_equal(state_of_template().restarts, 0);
        check_it_works();
}

static void test_an_old_zygote_is_replaced(void **state) {
        driver.config.zygote_max_age_ms = 300;
        start_and_fill();
        drive_until(state_of_template().generation >= 3);
        assert_int_equal(state_of_template().restarts, 0);
        check_it_works();
}

static void test_a_program_that_is_not_there(void **state) {
        Watched watched = {0};

        driver.config.python_program = "/nonexistent/hatchery-python";
        driver.config.queue_wait_ms = 300;
        start();
        assert_non_null(state_of_template().failure);
        assert_non_null(strstr(state_of_template().failure, "/nonexistent"));
        run(&watched, "1");
        assert_true(watched.refused);
        assert_false(pool_is_ready(driver.pool));
        drive_until(state_of_template().generation >= 3);
}

static void test_a_program_that_ends_at_once(void **state) {
        driver.config.python_program = "/bin/true";
        start();
        drive_until(state_of_template().generation >= 3);
        assert_non_null(state_of_template().failure);
        assert_false(state_of_template().ready);
}

static void test_an_import_that_fails_is_told(void **state) {
        static const char *const imports[] = {"no_such_module"};

        driver.template.imports = imports;
        driver.template.n_imports = 1;
        start();
        drive_until(state_of_template().failure);
        assert_non_null(strstr(state_of_template().failure, "no_such_module"));
}

/* A worker may write what it likes to every descriptor that it can find. */
static void test_a_worker_that_talks_nonsense(void **state) {
        static const char *const codes[] = {
                "import os\nfor fd in range(3, 300):\n  try: os.write(fd, b'nonsense' * 10)\n"
                "  except OSError: pass\nimport time; time.sleep(1000)",
                "import os\nfor fd in range(3, 300):\n  try: os.write(fd, bytes(16))\n"
                "  except OSError: pass\nos._exit(0)",
        };

        start_and_fill();
        for (size_t i = 0; i < N_ELEMENTS(codes); i++) {
                Watched watched = {0};

                run(&watched, codes[i]);
                assert_status(&watched, RUN_CRASHED);
        }
        check_it_works();
}

static void test_a_worker_that_closes_everything(void **state) {
        Watched watched = {0};
        RunRequest request;

        start_and_fill();
        request = request_of("import os, time\nos.closerange(0, 1000)\ntime.sleep(1000)");
        request.limits.of[LIMIT_WALL_MS] = 500;
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_TIMEOUT);

        watched = (Watched){0};
        run(&watched, "import os\nos.closerange(0, 1000)");
        assert_int_not_equal(watched.status, RUN_OK);
        check_it_works();
}

/* Writes as fast as it is read, so that its own pipe never runs dry; the others must be served. */
static void test_a_flood_of_displays_holds_nobody_up(void **state) {
        Watched flood = {0}, watched = {0};
        RunRequest request;

        driver.template.workers = 2;
        start_and_fill();
        request = request_of("import os, struct\n"
                             "frame = struct.pack('<IIQ', 0x48544331, 4, 2) + b'{}'\n"
                             "while True: os.write(251, frame * 3000)");
        request.limits.of[LIMIT_WALL_MS] = 3000;
        assert_int_equal(submit_request(&flood, &request), POOL_OK);
        for (unsigned i = 0; i < 5; i++)
                check_it_works();
        finish(&flood);
        assert_true(flood.status == RUN_TIMEOUT || flood.status == RUN_CRASHED);
        run(&watched, "1");
}

static void allow_subprocesses(void) {
        driver.template.subprocesses = true;
        driver.template.limits.maximum[LIMIT_PROCESSES] = 20;
        driver.template.limits.standard[LIMIT_PROCESSES] = 20;
}

static void test_no_stray_stays(void **state) {
        static const char *const codes[] = {
                "import subprocess\nsubprocess.Popen(['sleep', '1000'])",
                "import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)",
                ("import subprocess\nfor i in range(5): subprocess.Popen(['sh', '-c', 'sleep 1000 "
                 "& "
                 "sleep 1000 & (sleep 1000 & sleep 1000) & wait'])"),
                "import subprocess, os\nsubprocess.Popen(['sleep', '1000'])\nos._exit(0)",
        };

        allow_subprocesses();
        start_and_fill();
        for (size_t i = 0; i < N_ELEMENTS(codes); i++) {
                Watched watched = {0};

                run(&watched, codes[i]);
                assert_true(watched.status == RUN_OK || watched.status == RUN_EXIT);
                drive_until(is_filled());
                check_children(2);
        }
}

/* What outlives its run must not write into the next one's folder. */
static void test_a_stray_leaves_no_file_behind(void **state) {
        Watched watched = {0};

        allow_subprocesses();
        start_and_fill();
        for (unsigned i = 0; i < 5; i++) {
                watched = (Watched){0};
                run(&watched,
                    "import os, subprocess\nfor i in range(4): subprocess.Popen(['sh', '-c', "
                    "'while :; do : > %s/stray%d; done' % (os.getcwd(), i)], "
                    "start_new_session=True)");
                assert_status(&watched, RUN_OK);
                watched = (Watched){0};
                run(&watched, "import os, time\ntime.sleep(0.05)\nprint(os.listdir())");
                assert_string_equal(watched.out, "[]\n");
        }
}

static void test_a_kept_worker_is_made_new(void **state) {
        Watched watched = {0};
        pid_t worker;

        driver.template.recycle = RECYCLE_RESET;
        start_and_fill();
        worker = only_worker();
        for (unsigned i = 0; i < 5; i++) {
                watched = (Watched){0};
                run(&watched, "import os\nprint(os.listdir(), 'x' in globals())\nx = 1\n"
                              "open('left', 'w').close()");
                assert_status(&watched, RUN_OK);
                assert_string_equal(watched.out, "[] False\n");
        }
        drive_until(is_filled());
        assert_int_equal(only_worker(), worker);

        /* One that has been killed is replaced as any other is. */
        kill_idle_worker();
        check_it_works();
        assert_int_not_equal(only_worker(), worker);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                pool_test(test_a_killed_worker_is_a_crash),
                pool_test(test_a_stopped_worker_meets_its_limit),
                pool_test(test_an_idle_worker_that_dies_costs_no_run),
                pool_test(test_a_run_that_nobody_has_read_is_not_lost),
                pool_test(test_a_killed_zygote_takes_no_run_with_it),
                pool_test(test_a_zygote_that_dies_again_and_again),
                pool_test(test_a_stopped_zygote_is_replaced),
                pool_test(test_a_zygote_killed_while_it_forks),
                pool_test(test_a_reload_under_way),
                pool_test(test_an_old_zygote_is_replaced),
                pool_test(test_a_program_that_is_not_there),
                pool_test(test_a_program_that_ends_at_once),
                pool_test(test_an_import_that_fails_is_told),
                pool_test(test_a_worker_that_talks_nonsense),
                pool_test(test_a_worker_that_closes_everything),
                pool_test(test_a_flood_of_displays_holds_nobody_up),
                pool_test(test_no_stray_stays),
                pool_test(test_a_stray_leaves_no_file_behind),
                pool_test(test_a_kept_worker_is_made_new),
        };

        return driver_run_tests("pool-fault", tests);
}

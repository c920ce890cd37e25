/* Cells, keepers and makers when something of them dies, and what must die with them. */

#include <sys/ptrace.h>

#include "cells.h"

static void test_a_daemon_is_gone_before_the_slot_is_empty(void **state) {
        need_cells();
        allow_subprocesses();
        start_and_fill();
        for (unsigned i = 0; i < 5; i++) {
                Watched watched = {0};
                pid_t keeper = only_keeper();

                start_run(&watched, HEEDS_A_SIGNAL LEAVES_A_DAEMON AWAITS_IT);
                (void) await_daemon();
                assert_int_equal(kill(only_worker(), SIGUSR1), 0);
                finish(&watched);
                assert_status(&watched, RUN_OK);
                drive_until(is_empty());
                assert_int_equal(find_daemon(), 0);
                drive_until(is_filled());
                assert_int_not_equal(only_keeper(), keeper);
        }
        check_children(2);
}

static void test_a_killed_run_takes_its_daemon_with_it(void **state) {
        Watched watched = {0};
        RunRequest request;

        need_cells();
        allow_subprocesses();
        start_and_fill();
        /* Of its own time: it has done all that before, however long it had to wait for a core. */
        request = request_of(LEAVES_A_DAEMON "open('kept.txt', 'w').write('x')\n"
                                             "while True: pass");
        request.limits.of[LIMIT_CPU_MS] = 500;
        request.collect = (Slice[]){slice_of_text("*.txt")};
        request.n_collect = 1;
        assert_int_equal(submit_request(&watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_CPU_LIMIT);
        assert_string_equal(watched.out, "left\n");
        assert_int_equal(watched.n_files, 1);
        drive_until(is_empty());
        assert_int_equal(find_daemon(), 0);
        drive_until(is_filled());
}

static void test_the_daemon_of_a_crashed_worker(void **state) {
        Watched watched = {0};

        need_cells();
        allow_subprocesses();
        start_and_fill();
        run(&watched, LEAVES_A_DAEMON "os.kill(os.getpid(), 11)");
        assert_status(&watched, RUN_CRASHED);
        assert_int_equal(watched.signal, SIGSEGV);
        assert_string_equal(watched.out, "left\n");
        drive_until(is_empty());
        assert_int_equal(find_daemon(), 0);
        drive_until(is_filled());
}

static void test_a_killed_keeper_while_idle(void **state) {
        need_cells();
        start_and_fill();
        for (unsigned i = 0; i < 10; i++) {
                pid_t keeper = only_keeper();

                kill_it_and_see(keeper, only_worker());
                check_it_works();
                drive_until(is_filled() && kill(keeper, 0) < 0);
                assert_int_not_equal(only_keeper(), keeper);
        }
        assert_int_equal(counters().runs[RUN_OK], 10);
}

static void test_a_killed_keeper_of_a_run(void **state) {
        Watched watched = {0};

        need_cells();
        start_and_fill();
        start_run(&watched, SLEEPS);
        kill_it(only_keeper());
        finish(&watched);
        assert_status(&watched, RUN_CRASHED);
        assert_int_equal(watched.signal, SIGKILL);
        assert_string_equal(watched.out, "1");
        check_it_works();
        drive_until(is_filled());
        (void) only_keeper();
}

static void test_a_killed_maker(void **state) {
        Watched watched = {0};

        need_cells();
        driver.template.workers = 2;
        start_and_fill();
        start_run(&watched, "import time\nprint(1, flush=True)\ntime.sleep(0.5)\nprint(2)");
        kill_it(only_maker());
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "1\n2\n");
        drive_until(state_of_template().restarts == 1 && is_filled());
        check_it_works();
        drive_until(is_filled());
        drive_until_cells(2);
        check_all_children(2 + 2 + 2);
}

static void test_a_stopped_maker_is_replaced(void **state) {
        need_cells();
        start_and_fill();
        assert_int_equal(kill(only_maker(), SIGSTOP), 0);
        kill_it(only_keeper());
        drive_until(state_of_template().restarts == 1 && is_filled());
        check_it_works();
}

/* Makers, keepers and zygotes die at any time, while runs come and go. */
static void test_killing_under_load(void **state) {
        Dice dice = {20261121};
        unsigned done = 0;

        need_cells();
        driver.template.workers = 4;
        start_and_fill();
        for (unsigned round = 0; round < 15; round++) {
                Watched watched[8] = {0};
                pid_t pids[64];
                size_t n;

                for (size_t i = 0; i < N_ELEMENTS(watched); i++)
                        submit(&watched[i], "print(1)");
                turn(clock_now_ns() + PATIENCE_NS);
                n = list_of_cells(pids, N_ELEMENTS(pids), true);
                if (n > 0)
                        (void) kill(pids[dice_below(&dice, n)], SIGKILL);
                for (size_t i = 0; i < N_ELEMENTS(watched); i++) {
                        finish(&watched[i]);
                        /* A run whose worker died with its keeper has crashed; none is lost. */
                        if (watched[i].status != RUN_CRASHED)
                                assert_status(&watched[i], RUN_OK);
                        done += watched[i].status == RUN_OK;
                }
        }
        assert_true(done > 60);
        drive_until(is_filled());
        drive_until_cells(4);
        check_all_children(2 + 4 + 4);
        assert_int_equal(counters().quarantined, 0);
}

static void test_a_maker_that_cannot(void **state) {
        const char *missing[] = {"/nonexistent/library"};

        need_cells();
        driver.template.read_only_paths = missing;
        driver.template.n_read_only_paths = 1;
        start();
        drive_until(state_of_template().failure != NULL);
        assert_non_null(strstr(state_of_template().failure, "/nonexistent/library"));
        assert_false(state_of_template().ready);
}

/* A traced process is not gone before its tracer has looked: as good a stuck one as any. */
static void test_a_cell_that_does_not_end(void **state) {
        Watched watched = {0};
        pid_t stuck;

        need_cells();
        if (geteuid() != 0)
                skip_because("only root may trace what is another user's");
        allow_subprocesses();
        driver.template.workers = 2;
        start_and_fill();
        start_run(&watched, LEAVES_A_DAEMON "time.sleep(1000)");
        stuck = await_daemon();
        assert_int_equal(ptrace(PTRACE_SEIZE, stuck, NULL, NULL), 0);
        pool_cancel(driver.pool, watched.run);
        drive_until(counters().quarantined == 1);
        check_it_works();
        /* It ends later: nothing comes of it. */
        assert_int_equal(waitpid(stuck, NULL, __WALL), stuck);
        drive_until(state_of_template().idle == 1 && count_all_children() == 2 + 1 + 1);
        check_it_works();
}

/* The server's death takes all of them. */
static void test_the_end_of_the_server(void **state) {
        pid_t server, pids[64];
        size_t n;

        need_cells();
        server = fork();
        if (server == 0) {
                start();
                while (!is_filled())
                        turn(clock_now_ns() + PATIENCE_NS);
                n = list_children(pids, N_ELEMENTS(pids));
                if (n < 4)
                        _exit(1);
                (void) raise(SIGKILL);
        }
        assert_int_equal(waitpid(server, NULL, 0), server);
        /* Its children come to us, its reaper, or to that of the machine. */
        for (uint64_t until_ns = clock_now_ns() + PATIENCE_NS; count_all_children() > 0;) {
                assert_true(clock_now_ns() < until_ns);
                (void) waitpid(-1, NULL, WNOHANG);
        }
        driver.pool = NULL;
        start();
        drive_until(is_filled());
        check_it_works();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cells_test(test_a_daemon_is_gone_before_the_slot_is_empty),
                cells_test(test_a_killed_run_takes_its_daemon_with_it),
                cells_test(test_the_daemon_of_a_crashed_worker),
                cells_test(test_a_killed_keeper_while_idle),
                cells_test(test_a_killed_keeper_of_a_run),
                cells_test(test_a_killed_maker),
                cells_test(test_a_stopped_maker_is_replaced),
                cells_test(test_killing_under_load),
                cells_test(test_a_maker_that_cannot),
                cells_test(test_a_cell_that_does_not_end),
                cells_test(test_the_end_of_the_server),
        };

        return driver_run_tests("a pool whose cells die", tests);
}

/* Sessions: how their runs are interrupted, timed out and limited. */

#include "pool/internal.h"
#include "sessions.h"

static const char sleeps_on[] = "import time\n"
                                "n = 0\n"
                                "while True:\n"
                                "    try:\n"
                                "        n += 1\n"
                                "        print('%d\\n' % n, end='', flush=True)\n"
                                "        time.sleep(1000)\n"
                                "    except KeyboardInterrupt:\n"
                                "        pass\n";

typedef struct Told {
        unsigned calls;
        bool was_lost;
} Told;

static void on_interrupted(void *data, bool was_lost) {
        Told *told = data;

        told->calls++;
        told->was_lost = was_lost;
}

/* --- interrupts --- */

static void test_an_interrupt_keeps_the_state(void **state) {
        Watched watched = {0};
        Told told = {0};
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        start_in(session, &watched, SLEEPS);
        assert_true(session_interrupt(session, 60000, on_interrupted, &told));
        finish(&watched);
        assert_status(&watched, RUN_ERROR);
        assert_int_equal(told.calls, 1);
        assert_false(told.was_lost);
        assert_null(watched.session.lost);
        say_in(session, WHAT_IS_LEFT, "True ['f']\n");
}

static void test_nothing_is_interrupted_when_nothing_runs(void **state) {
        Told told = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        assert_false(session_interrupt(session, 1, on_interrupted, &told));
        say_in(session, "print(1)", "1\n");
        assert_false(session_interrupt(session, 1, on_interrupted, &told));
        say_in(session, "print(1)", "1\n");
        assert_int_equal(told.calls, 0);
}

static void test_who_does_not_listen_is_killed(void **state) {
        Watched watched = {0};
        Told told = {0}, again = {0};
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        start_in(session, &watched, sleeps_on);
        assert_true(session_interrupt(session, 60000, on_interrupted, &told));
        drive_until(watched.outputs > 1 || watched.done > 0);
        assert_int_equal(watched.done, 0);
        assert_int_equal(told.calls, 0);
        /* Whoever has asked first is told that the second one goes on. */
        assert_true(session_interrupt(session, 200, on_interrupted, &again));
        assert_int_equal(told.calls, 1);
        assert_false(told.was_lost);
        finish(&watched);
        assert_status(&watched, RUN_CANCELLED);
        assert_int_equal(strncmp(watched.out, "1\n2\n", 4), 0);
        assert_int_equal(told.calls, 1);
        assert_int_equal(again.calls, 1);
        assert_true(again.was_lost);
        assert_string_equal(watched.session.lost,
                            "a run was cancelled, and its process was killed");
        say_in(session, WHAT_IS_LEFT, "False ['f']\n");
}

/* The signal is on its way while the run ends: none of it may reach the next one. */
static void test_a_late_interrupt_hits_no_other_run(void **state) {
        Session *session;
        unsigned interrupted = 0;

        start_with_spares();
        session = make_session("a");
        for (unsigned i = 0; i < 100; i++) {
                Watched first = {0}, second = {0};
                Told told = {0};
                char code[64];

                (void) snprintf(code, sizeof(code), "for i in range(%u): pass", i * 1500);
                submit_in(session, &first, code);
                submit_in(session, &second, "print(sum(range(1000)))");
                /* Somewhere between its request and its end. */
                for (unsigned turns = i % 16; turns > 0 && first.done == 0; turns--)
                        turn_once();
                if (first.done == 0)
                        (void) session_interrupt(session, 60000, on_interrupted, &told);
                finish(&first);
                finish(&second);
                assert_status(&second, RUN_OK);
                assert_string_equal(second.out, "499500\n");
                interrupted += first.status == RUN_ERROR;
        }
        print_message("%u of 100 were interrupted\n", interrupted);
}

static void test_a_timeout_may_interrupt_first(void **state) {
        Watched watched = {0};
        RunRequest request;
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        request = request_of(SLEEPS);
        request.limits.of[LIMIT_WALL_MS] = 100;
        request.interrupt_first = true;
        assert_int_equal(submit_request_in(session, &watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_TIMEOUT);
        assert_null(watched.session.lost);
        say_in(session, WHAT_IS_LEFT, "True ['f']\n");
}

static void test_a_timeout_kills_who_does_not_listen(void **state) {
        Watched watched = {0};
        RunRequest request;
        Session *session;

        driver.config.interrupt_grace_ms = 100;
        start_with_spares();
        session = make_used_session("a");
        /* Whenever it comes: the time may be over before the run is at what it does not leave. */
        say_in(session, "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN) and None", "");
        request = request_of(SLEEPS);
        request.limits.of[LIMIT_WALL_MS] = 100;
        request.interrupt_first = true;
        assert_int_equal(submit_request_in(session, &watched, &request), POOL_OK);
        finish(&watched);
        assert_status(&watched, RUN_TIMEOUT);
        assert_non_null(watched.session.lost);
        say_in(session, WHAT_IS_LEFT, "False ['f']\n");
}

static void test_a_cancelled_run_that_goes_on_is_killed(void **state) {
        Watched watched = {0};
        Session *session;

        driver.config.interrupt_grace_ms = 100;
        start_with_spares();
        session = make_used_session("a");
        start_in(session, &watched, sleeps_on);
        pool_cancel(driver.pool, watched.run);
        drive_until(info_of(session).state == SESSION_LOST);
        assert_int_equal(watched.done, 0);
        assert_int_equal(counters().runs[RUN_CANCELLED], 1);
        say_in(session, WHAT_IS_LEFT, "False ['f']\n");
}

/* --- limits --- */

static void test_each_limit_loses_the_process(void **state) {
        static const struct {
                const char *code;
                Limit limit;
                uint64_t value;
                RunStatus status;
                const char *lost;
        } table[] = {
                {"import time; time.sleep(1000)", LIMIT_WALL_MS, 100, RUN_TIMEOUT,
                 "the run took longer than it may (wall_ms), and its process was killed"},
                {"while True: pass", LIMIT_CPU_MS, 100, RUN_CPU_LIMIT,
                 "the run used more processor time than it may (cpu_ms)"},
                {"y = bytearray(100 << 20)\nimport time; time.sleep(1000)", LIMIT_MEMORY_MB, 50,
                 RUN_MEMORY_LIMIT, "the run used more memory than it may (memory_mb)"},
                {"while True: print('x' * 1000)", LIMIT_OUTPUT_BYTES, 5000, RUN_OUTPUT_LIMIT,
                 "the run wrote more output than it may (output_bytes)"},
        };

        start_with_spares();
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                Session *session = make_used_session("");
                Watched watched = {0};
                RunRequest request = request_of(table[i].code);

                request.output_overrun_kills = true;
                request.limits.of[table[i].limit] = table[i].value;
                assert_int_equal(submit_request_in(session, &watched, &request), POOL_OK);
                finish(&watched);
                assert_status(&watched, table[i].status);
                assert_string_equal(watched.session.lost, table[i].lost);
                say_in(session, WHAT_IS_LEFT, "False ['f']\n");
        }
}

static void test_files_of_all_runs_count(void **state) {
        SessionOptions options = options_of("a");
        Watched watched = {0};
        Session *session;

        options.limits.of[LIMIT_DISK_MB] = 2;
        start_with_spares();
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        for (unsigned i = 0; i < 4; i++) {
                RunRequest request = request_of("import os\nn = len(os.listdir())\n"
                                                "open(str(n), 'wb').write(b'x' * 450000)");
                Watched small = {0};

                request.limits.of[LIMIT_DISK_MB] = 2;
                assert_int_equal(submit_request_in(session, &small, &request), POOL_OK);
                finish(&small);
                assert_status(&small, RUN_OK);
        }
        {
                RunRequest request = request_of("open('more', 'wb').write(b'x' * 900000)\n"
                                                "import time; time.sleep(1000)");

                request.limits.of[LIMIT_DISK_MB] = 2;
                assert_int_equal(submit_request_in(session, &watched, &request), POOL_OK);
        }
        finish(&watched);
        assert_status(&watched, RUN_OUTPUT_LIMIT);
        assert_string_equal(watched.session.lost,
                            "its files took more room than they may (disk_mb), or were too many "
                            "(session-files)");
        assert_true(info_of(session).disk_bytes > 2 << 20);
        /* It can make room. */
        say_in(session, "import os, time\ntime.sleep(0.4)\nos.remove('more')\nprint('less')",
               "less\n");
        say_in(session, "import time\ntime.sleep(0.5)\nprint(1)", "1\n");
}

static void run_with_a_megabyte(Session *session, Watched *watched, const char *code) {
        RunRequest request = request_of(code);

        request.limits.of[LIMIT_DISK_MB] = 1;
        assert_int_equal(submit_request_in(session, watched, &request), POOL_OK);
        finish(watched);
}

static void test_who_forgets_can_make_room(void **state) {
        SessionOptions options = options_of("a");
        Watched watched = {0};
        Session *session;

        options.forgets = true;
        options.limits.of[LIMIT_DISK_MB] = 1;
        start_with_spares();
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        run_with_a_megabyte(session, &watched,
                            "for i in range(3): open(str(i), 'wb').write(b'x' * 500000)\n"
                            "import time\ntime.sleep(1000)");
        assert_status(&watched, RUN_OUTPUT_LIMIT);
        /* It was ended when some of it was there, and once more when it was all. */
        for (unsigned i = 0; i < 3 && watched.status == RUN_OUTPUT_LIMIT; i++) {
                watched = (Watched){0};
                run_with_a_megabyte(session, &watched,
                                    "import os, time\ntime.sleep(0.4)\n"
                                    "for name in os.listdir(): os.remove(name)");
        }
        assert_status(&watched, RUN_OK);
}

/* What was seen of the files that are gone is no reason to end what begins with none. */
static void test_a_reset_forgets_how_many_files_there_were(void **state) {
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        session->disk_entries = 2 * driver.config.session_files_max;
        assert_int_equal(session_reset(session, false), 0);
        say_in(session, "import time\ntime.sleep(0.1)\nprint(1)", "1\n");
}

static void test_the_life_of_a_process_has_a_limit(void **state) {
        SessionOptions options = options_of("a");
        Session *session;
        Watched watched = {0};

        options.life_cpu_ms = 300;
        start_with_spares();
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        for (unsigned i = 0; i < 1000 && !watched.session.lost; i++) {
                watched = (Watched){0};
                run_in(session, &watched,
                       "import time\nend = time.process_time() + 0.05\n"
                       "while time.process_time() < end: pass");
        }
        assert_status(&watched, RUN_CPU_LIMIT);
        assert_non_null(watched.session.lost);
        assert_true(session_usage(session).cpu_ns >= 250 * NS_PER_MS);
        say_in(session, "print(1)", "1\n");
}

static void test_threads_between_runs_are_looked_at(void **state) {
        SessionOptions options = options_of("a");
        Session *session;

        options.life_cpu_ms = 300;
        start_with_spares();
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        say_in(session, IN_A_THREAD("while True: pass"), "");
        allow_to_go_on(session);
        drive_until(info_of(session).state == SESSION_LOST);
        assert_string_equal(info_of(session).lost,
                            "its process used more processor time than a session may");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                session_test(test_an_interrupt_keeps_the_state),
                session_test(test_nothing_is_interrupted_when_nothing_runs),
                session_test(test_who_does_not_listen_is_killed),
                session_test(test_a_late_interrupt_hits_no_other_run),
                session_test(test_a_timeout_may_interrupt_first),
                session_test(test_a_timeout_kills_who_does_not_listen),
                session_test(test_a_cancelled_run_that_goes_on_is_killed),
                session_test(test_each_limit_loses_the_process),
                session_test(test_files_of_all_runs_count),
                session_test(test_who_forgets_can_make_room),
                session_test(test_a_reset_forgets_how_many_files_there_were),
                session_test(test_the_life_of_a_process_has_a_limit),
                session_test(test_threads_between_runs_are_looked_at),
        };

        return driver_run_tests("session-limits", tests);
}

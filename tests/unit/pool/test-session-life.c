/* Sessions: how they are interrupted, reset, lost, found again and ended. */

#include "sessions.h"

/* Makes a session whose runs print to us, with x = 1 and a file in it. */
static Session *make_used_session(const char *id) {
        Session *session = make_session(id);

        say_in(session, "x = 1\nopen('f', 'w').close()", "");
        return session;
}

#define WHAT_IS_LEFT "import os\nprint('x' in globals(), os.listdir())"

static const char sleeps[] = "print('1\\n', end='', flush=True)\nimport time\ntime.sleep(1000)";

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
        start_in(session, &watched, sleeps);
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
        Told told = {0};
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        start_in(session, &watched, sleeps_on);
        assert_true(session_interrupt(session, 200, on_interrupted, &told));
        finish(&watched);
        assert_status(&watched, RUN_CANCELLED);
        assert_string_equal(watched.out, "1\n2\n");
        assert_int_equal(told.calls, 1);
        assert_true(told.was_lost);
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
        request = request_of(sleeps);
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
        request = request_of(sleeps_on);
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
                {"y = []\nwhile True: y.append(bytearray(1 << 20))", LIMIT_MEMORY_MB, 50,
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
                            "its files took more room than they may (disk_mb)");
        assert_true(info_of(session).disk_bytes > 2 << 20);
        /* It can make room. */
        say_in(session, "import os, time\ntime.sleep(0.4)\nos.remove('more')\nprint('less')",
               "less\n");
        say_in(session, "import time\ntime.sleep(0.5)\nprint(1)", "1\n");
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
        assert_true(info_of(session).cpu_ns >= 250 * NS_PER_MS);
        say_in(session, "print(1)", "1\n");
}

static void test_threads_between_runs_are_looked_at(void **state) {
        SessionOptions options = options_of("a");
        Session *session;

        options.life_cpu_ms = 300;
        start_with_spares();
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        say_in(session,
               "import threading\n"
               "def burn():\n"
               "    while True: pass\n"
               "threading.Thread(target=burn, daemon=True).start()",
               "");
        drive_until(info_of(session).state == SESSION_LOST);
        assert_string_equal(info_of(session).lost,
                            "its process used more processor time than a session may");
}

/* --- reset --- */

static void test_reset_keeps_files_or_not(void **state) {
        Session *session;
        Watched watched = {0};

        start_with_spares();
        session = make_used_session("a");
        assert_int_equal(session_reset(session, true), 0);
        run_in(session, &watched, WHAT_IS_LEFT);
        assert_string_equal(watched.out, "False ['f']\n");
        assert_null(watched.session.began_anew);
        assert_int_equal(session_reset(session, false), 0);
        say_in(session, WHAT_IS_LEFT, "False []\n");
        assert_ptr_equal(find_session("a"), session);
        drive_until(has_spares());
}

static void test_reset_amid_runs(void **state) {
        Watched watched[3] = {0};
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        start_in(session, &watched[0], sleeps);
        submit_in(session, &watched[1], WHAT_IS_LEFT);
        submit_in(session, &watched[2], "print(2)");
        assert_int_equal(session_reset(session, true), 0);
        assert_int_equal(watched[0].done, 0);
        finish(&watched[0]);
        assert_status(&watched[0], RUN_CANCELLED);
        assert_string_equal(watched[0].out, "1\n");
        assert_null(watched[0].session.lost);
        finish(&watched[1]);
        assert_string_equal(watched[1].out, "False ['f']\n");
        assert_null(watched[1].session.began_anew);
        finish(&watched[2]);
        assert_string_equal(watched[2].out, "2\n");
}

static Session *to_reset;

static void reset_it(Watched *watched) {
        assert_int_equal(session_reset(to_reset, true), 0);
}

static void end_it(Watched *watched) {
        session_end(to_reset);
}

static void submit_another(Watched *watched) {
        submit_in(to_reset, watched + 1, "print(x)");
}

static void test_what_callbacks_may_do(void **state) {
        static void (*const deeds[])(Watched *) = {reset_it, end_it, submit_another};

        start_with_spares();
        for (size_t i = 0; i < N_ELEMENTS(deeds); i++) {
                Watched watched[2] = {{.when_done = deeds[i]}};

                to_reset = make_session("a");
                submit_in(to_reset, &watched[0], "x = 5\nprint('well')");
                finish(&watched[0]);
                assert_string_equal(watched[0].out, "well\n");
                if (deeds[i] == submit_another) {
                        finish(&watched[1]);
                        assert_string_equal(watched[1].out, "5\n");
                }
                if (find_session("a")) {
                        say_in(find_session("a"), "print(1)", "1\n");
                        session_end(find_session("a"));
                }
        }
}

static void test_who_forgets_keeps_files_alone(void **state) {
        SessionOptions options = options_of("a");
        Session *session;
        Watched watched = {0};

        options.forgets = true;
        start_with_spares();
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        say_in(session, "x = 1\nopen('f', 'w').close()", "");
        run_in(session, &watched, WHAT_IS_LEFT);
        assert_string_equal(watched.out, "False ['f']\n");
        assert_null(watched.session.began_anew);
        assert_null(watched.session.lost);
        assert_int_equal(watched.session.number, 2);
}

/* --- the end --- */

static void test_idle_sessions_end(void **state) {
        SessionOptions options = options_of("short");
        Session *session;

        options.idle_ms = 300;
        start_with_spares();
        make_session("long");
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        assert_true(info_of(session).expires_ms <= 300);
        assert_int_equal(info_of(find_session("long")).expires_ms, UINT64_MAX);
        drive_until(!find_session("short"));
        assert_non_null(find_session("long"));
        assert_int_equal(counters().sessions_expired, 1);
}

static void test_a_session_that_runs_does_not_expire(void **state) {
        SessionOptions options = options_of("a");
        Session *session;
        Watched watched = {0};

        options.idle_ms = 100;
        start_with_spares();
        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        submit_in(session, &watched, "import time\ntime.sleep(0.5)\nprint(1)");
        finish(&watched);
        assert_status(&watched, RUN_OK);
        drive_until(!find_session("a"));
}

static void test_the_least_recently_used_makes_room(void **state) {
        Watched watched = {0};

        driver.config.sessions_max = 3;
        driver.config.sessions_evict = true;
        start_with_spares();
        make_session("a");
        make_session("b");
        make_session("c");
        say_in(find_session("a"), "pass", "");
        make_session("d");
        assert_null(find_session("b"));
        start_in(find_session("c"), &watched, sleeps);
        make_session("e");
        assert_null(find_session("a"));
        make_session("f");
        assert_null(find_session("d"));
        assert_non_null(find_session("c"));
        assert_int_equal(counters().sessions_evicted, 3);
        assert_int_equal(counters().sessions, 3);
}

static void test_who_runs_makes_no_room(void **state) {
        SessionOptions options;
        Session *session;
        Watched watched = {0};

        driver.config.sessions_max = 1;
        driver.config.sessions_evict = true;
        start_with_spares();
        start_in(make_session("a"), &watched, sleeps);
        options = options_of("b");
        assert_int_equal(session_create(driver.pool, &options, &session), SESSION_E_TOO_MANY);
}

/* --- deaths --- */

static void kill_workers(void) {
        pid_t pids[64];
        size_t n = list_of_cells(pids, N_ELEMENTS(pids), false);

        for (size_t i = 0; i < n; i++) {
                siginfo_t info;

                if (pids[i] == state_of_template().zygote_pid)
                        continue;
                assert_int_equal(kill(pids[i], SIGKILL), 0);
                assert_int_equal(waitid(P_PID, (id_t) pids[i], &info, WEXITED | WNOWAIT), 0);
        }
}

static void test_a_death_between_runs_is_told(void **state) {
        Watched watched = {0};
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        kill_workers();
        drive_until(info_of(session).state == SESSION_LOST);
        assert_string_equal(info_of(session).lost, "its process ended between two runs");
        run_in(session, &watched, WHAT_IS_LEFT);
        assert_string_equal(watched.out, "False ['f']\n");
        assert_string_equal(watched.session.began_anew, "its process ended between two runs");
}

/* The run has been handed over, and nobody has read it. */
static void test_a_death_that_is_not_noticed_costs_no_run(void **state) {
        Watched watched = {0};
        Session *session;

        start_with_spares();
        session = make_used_session("a");
        kill_workers();
        submit_in(session, &watched, WHAT_IS_LEFT);
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "False ['f']\n");
        assert_non_null(watched.session.began_anew);
}

static void test_a_session_outlives_its_zygote(void **state) {
        Session *session;
        pid_t zygote;

        start_with_spares();
        session = make_used_session("a");
        zygote = state_of_template().zygote_pid;
        assert_int_equal(kill(zygote, SIGKILL), 0);
        drive_until(state_of_template().ready && state_of_template().zygote_pid != zygote);
        say_in(session, WHAT_IS_LEFT, "True ['f']\n");
        pool_reload(driver.pool);
        drive_until(state_of_template().generation == 3 && has_spares());
        say_in(session, WHAT_IS_LEFT, "True ['f']\n");
        assert_int_equal(session_reset(session, true), 0);
        say_in(session, WHAT_IS_LEFT, "False ['f']\n");
}

static void test_a_frame_between_runs_is_a_violation(void **state) {
        Session *session;

        start_with_spares();
        session = make_session("a");
        say_in(session,
               "import os, threading\n"
               "def forge():\n"
               "    for fd in range(3, 256):\n"
               "        try: os.write(fd, b'\\5\\0\\0\\0\\0\\0\\0\\0')\n"
               "        except OSError: pass\n"
               "threading.Timer(0.1, forge).start()",
               "");
        drive_until(info_of(session).state == SESSION_LOST);
        say_in(session, "print(1)", "1\n");
}

static void test_who_closes_the_channel_is_lost(void **state) {
        Session *session;

        start_with_spares();
        session = make_session("a");
        say_in(session,
               "import os, threading\n"
               "threading.Timer(0.1, lambda: os.closerange(3, 256)).start()",
               "");
        drive_until(info_of(session).state == SESSION_LOST);
        say_in(session, "print(1)", "1\n");
}

/* --- another server --- */

static void start_anew(void) {
        driver.pool = pool_free(driver.pool);
        start_with_spares();
}

static void test_sessions_outlive_the_server(void **state) {
        Session *session;
        Watched watched = {0};

        start_with_spares();
        session = make_used_session("…");
        make_session("b");
        say_in(session, "print(1)", "1\n");
        session_end(find_session("b"));
        start_anew();

        session = find_session("…");
        assert_non_null(session);
        assert_null(find_session("b"));
        assert_int_equal(info_of(session).state, SESSION_LOST);
        assert_string_equal(info_of(session).lost, "the server was started anew");
        assert_int_equal(info_of(session).runs, 2);
        run_in(session, &watched, WHAT_IS_LEFT);
        assert_string_equal(watched.out, "False ['f']\n");
        assert_string_equal(watched.session.began_anew, "the server was started anew");
        assert_int_equal(counters().sessions, 1);
        session_end(session);
        start_anew();
        assert_int_equal(counters().sessions, 0);
}

static void test_an_order_outlives_the_server(void **state) {
        Session *session;

        start_with_spares();
        make_session("c");
        make_session("a");
        make_session("b");
        start_anew();
        session = session_next(driver.pool, SESSION_NATIVE, NULL);
        assert_string_equal(info_of(session).id, "c");
        session = session_next(driver.pool, SESSION_NATIVE, session);
        assert_string_equal(info_of(session).id, "a");
        session = make_session("d");
        assert_null(session_next(driver.pool, SESSION_NATIVE, session));
        assert_int_equal(counters().sessions, 4);
}

static void test_no_home_can_be_made(void **state) {
        SessionOptions options = options_of("a");
        Session *session;
        char path[160];

        driver.template.session_spares = 0;
        start_and_fill();
        /* Nothing can be made in what is a file. */
        (void) snprintf(path, sizeof(path), "%s/sessions", session_state.path);
        assert_int_equal(chmod(path, 0), 0);
        if (geteuid() == 0)
                set_override(false);
        assert_int_equal(session_create(driver.pool, &options, &session), -EACCES);
        if (geteuid() == 0)
                set_override(true);
        assert_int_equal(chmod(path, 0711), 0);
        assert_null(find_session("a"));
        say_in(make_session("a"), "print(1)", "1\n");
}

static void test_a_pool_without_sessions(void **state) {
        SessionOptions options = options_of("a");
        Session *session;

        driver.config.sessions_max = 0;
        start_and_fill();
        assert_int_equal(session_create(driver.pool, &options, &session), SESSION_E_TOO_MANY);
        assert_null(find_session("a"));
        assert_null(session_next(driver.pool, SESSION_NATIVE, NULL));
        check_it_works();
}

static void test_draining(void **state) {
        SessionOptions options = options_of("b");
        Watched watched[3] = {0};
        Session *session, *other;
        RunRequest request;

        start_with_spares();
        session = make_session("a");
        submit_in(session, &watched[0], "print(1)");
        submit_in(session, &watched[1], "print(2)");
        pool_drain(driver.pool);
        request = request_of("print(3)");
        assert_int_equal(submit_request_in(session, &watched[2], &request), POOL_E_DRAINING);
        assert_int_equal(session_create(driver.pool, &options, &other), POOL_E_DRAINING);
        drive_until(pool_is_idle(driver.pool));
        assert_status(&watched[0], RUN_OK);
        assert_status(&watched[1], RUN_OK);
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
                session_test(test_the_life_of_a_process_has_a_limit),
                session_test(test_threads_between_runs_are_looked_at),
                session_test(test_reset_keeps_files_or_not),
                session_test(test_reset_amid_runs),
                session_test(test_what_callbacks_may_do),
                session_test(test_who_forgets_keeps_files_alone),
                session_test(test_idle_sessions_end),
                session_test(test_a_session_that_runs_does_not_expire),
                session_test(test_the_least_recently_used_makes_room),
                session_test(test_who_runs_makes_no_room),
                session_test(test_a_death_between_runs_is_told),
                session_test(test_a_death_that_is_not_noticed_costs_no_run),
                session_test(test_a_session_outlives_its_zygote),
                session_test(test_a_frame_between_runs_is_a_violation),
                session_test(test_who_closes_the_channel_is_lost),
                session_test(test_sessions_outlive_the_server),
                session_test(test_an_order_outlives_the_server),
                session_test(test_no_home_can_be_made),
                session_test(test_a_pool_without_sessions),
                session_test(test_draining),
        };

        return driver_run_tests("session-life", tests);
}

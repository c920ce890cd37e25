/* Sessions: how they are reset, lost, found again and ended. */

#include "sessions.h"

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
        start_in(session, &watched[0], SLEEPS);
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
        start_in(find_session("c"), &watched, SLEEPS);
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
        start_in(make_session("a"), &watched, SLEEPS);
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
        assert_int_equal(watched.session.number, 2);
        assert_int_equal(info_of(session).runs, 2);
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
               IN_A_THREAD("for fd in range(3, 256):\n"
                           "    try: os.write(fd, bytes([5, 0, 0, 0, 0, 0, 0, 0]))\n"
                           "    except OSError: pass"),
               "");
        allow_to_go_on(session);
        drive_until(info_of(session).state == SESSION_LOST);
        say_in(session, "print(1)", "1\n");
}

static void test_who_closes_the_channel_is_lost(void **state) {
        Session *session;

        start_with_spares();
        session = make_session("a");
        say_in(session, IN_A_THREAD("os.closerange(3, 256)"), "");
        allow_to_go_on(session);
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

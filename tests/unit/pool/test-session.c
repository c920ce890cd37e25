/* Sessions: what they remember, how their runs follow one another, and who hears what. */

#include "pool/internal.h"
#include "sessions.h"

static void test_variables_stay(void **state) {
        Session *session;

        start_with_spares();
        session = make_session("a");
        assert_int_equal(info_of(session).state, SESSION_IDLE);
        say_in(session, "x = 6\nimport os", "");
        say_in(session, "print(x * 7, os.getcwd() != '')", "42 True\n");
        assert_int_equal(info_of(session).runs, 2);
        assert_int_equal(info_of(session).state, SESSION_IDLE);
}

static void test_files_stay(void **state) {
        Session *session;
        _autoclose_ int fd = -1;

        start_with_spares();
        session = make_session("a");
        say_in(session, "with open('f', 'w') as f: print('text', file=f)", "");
        say_in(session, "print(open('f').read())", "text\n\n");
        fd = openat(session_workspace_fd(session), "f", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
}

static void test_sessions_do_not_share(void **state) {
        Session *a, *b;

        start_with_spares();
        a = make_session("a");
        b = make_session("b");
        say_in(a, "x = 1\nopen('f', 'w').close()", "");
        say_in(b, "import os\nprint('x' in globals(), os.listdir())", "False []\n");
        assert_ptr_equal(find_session("a"), a);
        assert_ptr_equal(find_session("b"), b);
        assert_null(find_session("c"));
        assert_null(session_find(driver.pool, SESSION_JUPYTER, slice_of_text("a")));
}

static void test_a_session_may_come_before_any_worker(void **state) {
        Session *session;
        Watched watched = {0};

        start();
        session = make_session("a");
        assert_int_equal(info_of(session).state, SESSION_STARTING);
        submit_in(session, &watched, "print(1)");
        finish(&watched);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, "1\n");
        assert_null(watched.session.began_anew);
        assert_int_equal(watched.session.number, 1);
}

static void test_runs_are_serial(void **state) {
        Watched watched[4] = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        submit_in(session, &watched[0], "import time\nx = [0]\ntime.sleep(0.05)");
        for (size_t i = 1; i < N_ELEMENTS(watched); i++)
                submit_in(session, &watched[i], "x.append(x[-1] + 1)\nprint(x)");
        assert_int_equal(info_of(session).queued, 3);
        for (size_t i = 0; i < N_ELEMENTS(watched); i++) {
                finish(&watched[i]);
                assert_status(&watched[i], RUN_OK);
                assert_int_equal(watched[i].session.number, i + 1);
        }
        assert_string_equal(watched[3].out, "[0, 1, 2, 3]\n");
}

static void test_the_queue_of_a_session_is_bounded(void **state) {
        Watched watched[5] = {0};
        RunRequest request;
        Session *session;

        start_with_spares();
        session = make_session("a");
        start_in(session, &watched[0], "print(1, flush=True)\n" WAITS);
        for (size_t i = 1; i < 4; i++)
                submit_in(session, &watched[i], "print(1)");
        request = request_of("print(1)");
        assert_int_equal(submit_request_in(session, &watched[4], &request), SESSION_E_QUEUE_FULL);
        allow_to_go_on(session);
        for (size_t i = 0; i < 4; i++)
                finish(&watched[i]);
        assert_int_equal(watched[4].done, 0);
}

static void test_output_between_runs_is_dropped(void **state) {
        Session *session;

        start_with_spares();
        session = make_session("a");
        say_in(session,
               IN_A_THREAD("os.write(1, b'late')\n"
                           "os.write(2, b'late')\n"
                           "os.mkdir('gone')\n"),
               "");
        allow_to_go_on(session);
        while (faccessat(session_workspace_fd(session), "gone", F_OK, 0) < 0)
                drive_for(5);
        say_in(session, "print('heard')", "heard\n");
}

static void test_a_program_that_ends_its_process_loses_it(void **state) {
        Watched watched = {0}, next = {0}, last = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        say_in(session, "x = 1\nopen('f', 'w').close()", "");
        run_in(session, &watched, "import os\nos._exit(3)");
        assert_status(&watched, RUN_EXIT);
        assert_int_equal(watched.exit_code, 3);
        assert_string_equal(watched.session.lost, "the program ended its process");
        assert_null(watched.session.began_anew);
        assert_int_equal(info_of(session).state, SESSION_LOST);
        assert_string_equal(info_of(session).lost, "the program ended its process");
        assert_int_equal(counters().sessions_lost, 1);

        run_in(session, &next, "import os\nprint('x' in globals(), os.listdir())");
        assert_status(&next, RUN_OK);
        assert_string_equal(next.out, "False ['f']\n");
        assert_string_equal(next.session.began_anew, "the program ended its process");
        assert_null(next.session.lost);
        assert_null(info_of(session).lost);
        assert_int_equal(counters().sessions_lost, 0);

        run_in(session, &last, "print(1)");
        assert_null(last.session.began_anew);
}

static void test_exit_is_no_loss(void **state) {
        Watched watched = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        say_in(session, "x = 1", "");
        run_in(session, &watched, "import sys\nsys.exit(3)");
        assert_status(&watched, RUN_EXIT);
        assert_int_equal(watched.exit_code, 3);
        assert_null(watched.session.lost);
        say_in(session, "print(x)", "1\n");
}

static void test_runs_that_wait_go_on_in_a_new_process(void **state) {
        Watched watched[3] = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        start_in(session, &watched[0], "print(1, flush=True)\n" WAITS "os._exit(0)");
        submit_in(session, &watched[1], "y = 2");
        submit_in(session, &watched[2], "print(y)");
        allow_to_go_on(session);
        for (size_t i = 0; i < N_ELEMENTS(watched); i++)
                finish(&watched[i]);
        assert_non_null(watched[0].session.lost);
        assert_non_null(watched[1].session.began_anew);
        assert_null(watched[2].session.began_anew);
        assert_string_equal(watched[2].out, "2\n");
}

static void test_ending_answers_all_that_wait_once(void **state) {
        Watched watched[3] = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        start_in(session, &watched[0], "print('said', flush=True)\nimport time\ntime.sleep(1000)");
        submit_in(session, &watched[1], "print(1)");
        submit_in(session, &watched[2], "print(1)");
        session_end(session);
        assert_null(find_session("a"));
        assert_int_equal(counters().sessions, 0);
        for (size_t i = 0; i < N_ELEMENTS(watched); i++)
                assert_int_equal(watched[i].done, 0);
        drive_until(pool_is_idle(driver.pool));
        for (size_t i = 0; i < N_ELEMENTS(watched); i++) {
                assert_int_equal(watched[i].done, 1);
                assert_status(&watched[i], RUN_CANCELLED);
        }
        assert_int_equal(strncmp(watched[0].out, "said", 4), 0);
        drive_until(has_spares());
        assert_int_equal(counters().runs[RUN_CANCELLED], 3);
}

static void test_a_cancelled_run_that_waits_is_taken_out(void **state) {
        Watched watched[3] = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        start_in(session, &watched[0], "print(1, flush=True)\n" WAITS);
        submit_in(session, &watched[1], "print(2)");
        submit_in(session, &watched[2], "print(3)");
        pool_cancel(driver.pool, watched[1].run);
        allow_to_go_on(session);
        finish(&watched[0]);
        finish(&watched[2]);
        assert_string_equal(watched[2].out, "3\n");
        assert_int_equal(watched[2].session.number, 2);
        assert_int_equal(watched[1].done, 0);
}

static void test_cancelling_interrupts_and_keeps_the_state(void **state) {
        Watched watched = {0};
        Session *session;

        start_with_spares();
        session = make_session("a");
        start_in(session, &watched, "x = 1\nprint(1, flush=True)\nimport time\ntime.sleep(1000)");
        pool_cancel(driver.pool, watched.run);
        drive_until(info_of(session).state == SESSION_IDLE);
        assert_int_equal(watched.done, 0);
        assert_int_equal(counters().runs[RUN_CANCELLED], 1);
        say_in(session, "print(x)", "1\n");
}

static void test_there_are_so_many_and_no_more(void **state) {
        SessionOptions options;
        Session *session;

        driver.config.sessions_max = 2;
        start_with_spares();
        make_session("a");
        make_session("b");
        options = options_of("c");
        assert_int_equal(session_create(driver.pool, &options, &session), SESSION_E_TOO_MANY);
        options = options_of("b");
        assert_int_equal(session_create(driver.pool, &options, &session), SESSION_E_EXISTS);
        session_end(find_session("a"));
        make_session("c");
        assert_int_equal(counters().sessions, 2);
        assert_int_equal(counters().sessions_made, 3);
}

/* Nothing becomes of its interpreter, and it had no run when it began to wait for one. */
static void test_a_run_that_comes_later_waits_no_longer(void **state) {
        Watched watched = {0};
        Session *session;

        driver.config.python_program = "/bin/false";
        driver.config.log_level = "error";
        driver.config.queue_wait_ms = 10;
        start();
        session = make_session("a");
        drive_until(session->timer.position == TIMER_OFF);
        submit_in(session, &watched, "1");
        finish(&watched);
        assert_true(watched.refused);
        assert_int_equal(info_of(session).state, SESSION_STARTING);
}

static void test_ids_are_made(void **state) {
        Session *a, *b;

        start_with_spares();
        a = make_session("");
        b = make_session("");
        assert_int_equal(strlen(info_of(a).id), 32);
        assert_string_not_equal(info_of(a).id, info_of(b).id);
        assert_ptr_equal(find_session(info_of(a).id), a);
}

static void test_they_are_listed_in_order(void **state) {
        Session *a, *b, *c;

        start_with_spares();
        a = make_session("z");
        b = make_session("y");
        c = make_session("x");
        assert_ptr_equal(session_next(driver.pool, SESSION_NATIVE, NULL), a);
        assert_ptr_equal(session_next(driver.pool, SESSION_NATIVE, a), b);
        session_end(b);
        assert_ptr_equal(session_next(driver.pool, SESSION_NATIVE, a), c);
        assert_null(session_next(driver.pool, SESSION_NATIVE, c));
        assert_null(session_next(driver.pool, SESSION_CONTAINER, NULL));
}

static void test_ids_that_are_none(void **state) {
        char longest[SESSION_ID_MAX + 2];

        memset(longest, 'a', sizeof(longest));
        assert_null(session_id_problem(SLICE_LITERAL("user-1@example.org")));
        assert_null(session_id_problem(SLICE_LITERAL("…")));
        assert_null(session_id_problem(slice_of(longest, SESSION_ID_MAX)));
        assert_non_null(session_id_problem(slice_of(longest, SESSION_ID_MAX + 1)));
        assert_non_null(session_id_problem(SLICE_LITERAL("")));
        assert_non_null(session_id_problem(SLICE_LITERAL(".")));
        assert_non_null(session_id_problem(SLICE_LITERAL("..")));
        assert_non_null(session_id_problem(SLICE_LITERAL("a/b")));
        assert_non_null(session_id_problem(SLICE_LITERAL("a\nb")));
        assert_non_null(session_id_problem(SLICE_LITERAL("a\0b")));
        assert_non_null(session_id_problem(SLICE_LITERAL("a\xff")));
}

static void test_freeing_it_amid_everything(void **state) {
        Watched watched[6] = {0};
        Session *sessions[2];

        driver.template.session_spares = 2;
        start_with_spares();
        for (size_t i = 0; i < 2; i++) {
                sessions[i] = make_session(i == 0 ? "a" : "b");
                for (size_t j = 0; j < 3; j++)
                        submit_in(sessions[i], &watched[3 * i + j],
                                  "import time; time.sleep(1000)");
        }
        session_end(sessions[1]);
        driver.pool = pool_free(driver.pool);
        for (size_t i = 0; i < N_ELEMENTS(watched); i++)
                assert_int_equal(watched[i].done, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                session_test(test_variables_stay),
                session_test(test_files_stay),
                session_test(test_sessions_do_not_share),
                session_test(test_a_session_may_come_before_any_worker),
                session_test(test_runs_are_serial),
                session_test(test_the_queue_of_a_session_is_bounded),
                session_test(test_output_between_runs_is_dropped),
                session_test(test_a_program_that_ends_its_process_loses_it),
                session_test(test_exit_is_no_loss),
                session_test(test_runs_that_wait_go_on_in_a_new_process),
                session_test(test_ending_answers_all_that_wait_once),
                session_test(test_a_cancelled_run_that_waits_is_taken_out),
                session_test(test_cancelling_interrupts_and_keeps_the_state),
                session_test(test_there_are_so_many_and_no_more),
                session_test(test_a_run_that_comes_later_waits_no_longer),
                session_test(test_ids_are_made),
                session_test(test_they_are_listed_in_order),
                session_test(test_ids_that_are_none),
                session_test(test_freeing_it_amid_everything),
        };

        return driver_run_tests("session", tests);
}

/* Copies of live sessions. */

#include "copies.h"

static void test_a_copy_has_what_its_source_has(void **state) {
        Session *source, *copy;

        need_copies();
        source = make_source();
        copy = copy_of(source, "copy");
        assert_int_equal(info_of(copy).state, SESSION_IDLE);
        assert_int_equal(info_of(source).state, SESSION_IDLE);
        assert_string_equal(info_of(copy).forked_from, "source");
        say_in(copy, "print(x, open('f').read())\nx.append(2)", "[1] text\n");
        say_in(source, "print(x)\nx.append(3)", "[1]\n");
        say_in(copy, "print(x)", "[1, 2]\n");
        say_in(copy, "open('g', 'w').close()", "");
        say_in(source, "import os\nprint(os.listdir())", "['f']\n");
        assert_string_not_equal(session_workspace_path(copy), session_workspace_path(source));
}

static void test_copies_outlive_their_source(void **state) {
        Session *source, *copy;

        need_copies();
        source = make_source();
        copy = copy_of(source, "copy");
        session_end(source);
        drive_for(50);
        say_in(copy, "print(x)", "[1]\n");
        session_end(copy);
        drive_until(has_spares());
        assert_int_equal(counters().sessions, 0);
}

static void test_a_lost_source_has_copies_and_a_new_process(void **state) {
        Session *source, *copy;
        Watched watched = {0};

        need_copies();
        source = make_source();
        copy = copy_of(source, "copy");
        run_in(source, &watched, "import os\nos._exit(0)");
        assert_non_null(watched.session.lost);
        say_in(copy, "print(x)", "[1]\n");
        say_in(source, "print('x' in globals(), open('f').read())", "False text\n");
        say_in(copy, "print(x)", "[1]\n");
        copy_of(source, "another");
        say_in(find_session("another"), "print('x' in globals())", "False\n");
}

/* The cell is theirs, too. */
static void test_copies_outlive_a_source_that_kills_itself(void **state) {
        Session *source, *copy;
        Watched watched = {0};

        need_copies();
        source = make_source();
        copy = copy_of(source, "copy");
        run_in(source, &watched, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)");
        assert_status(&watched, RUN_CRASHED);
        say_in(source, "print('x' in globals(), open('f').read())", "False text\n");
        say_in(copy, "print(x)", "[1]\n");
        session_end(source);
        say_in(copy, "print(x)", "[1]\n");
}

static void test_a_lost_copy_gets_a_new_process(void **state) {
        Session *copy;
        Watched watched = {0};

        need_copies();
        copy = copy_of(make_source(), "copy");
        run_in(copy, &watched, "import os\nos._exit(0)");
        say_in(copy, "print('x' in globals(), open('f').read())", "False text\n");
}

static void test_runs_wait_for_the_copy(void **state) {
        Session *source;
        Watched watched[2] = {0};
        Told told = {0};

        need_copies();
        source = make_source();
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        submit_in(source, &watched[0], "x.append(2)\nprint(x)");
        submit_in(find_session("copy"), &watched[1], "print(x)");
        hear(&told);
        finish(&watched[0]);
        finish(&watched[1]);
        assert_string_equal(watched[0].out, "[1, 2]\n");
        assert_string_equal(watched[1].out, "[1]\n");
}

static void test_who_cannot_be_copied(void **state) {
        Session *source;
        Watched watched = {0};
        Told told = {0};

        need_copies();
        source = make_source();
        assert_int_equal(ask_for_copy(source, "source", &told), SESSION_E_EXISTS);
        assert_int_equal(info_of(source).state, SESSION_IDLE);
        start_in(source, &watched, "print(1, flush=True)\n" WAITS "os._exit(0)");
        assert_int_equal(ask_for_copy(source, "copy", &told), SESSION_E_BUSY);
        allow_to_go_on(source);
        finish(&watched);
        assert_int_equal(ask_for_copy(source, "copy", &told), SESSION_E_LOST);
        assert_int_equal(told.calls, 0);
}

static void test_either_may_end_meanwhile(void **state) {
        need_copies();
        start_with_spares();
        for (unsigned i = 0; i < 6; i++) {
                Session *source = make_session("source");
                Watched watched = {0};
                Told told = {0};

                say_in(source, "x = 1", "");
                assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
                submit_in(find_session(i % 2 ? "source" : "copy"), &watched, "print(1)");
                for (unsigned turns = i / 2; turns > 0; turns--)
                        turn_once();
                if (told.calls > 0)
                        assert_int_equal(told.result, POOL_OK);
                session_end(find_session(i % 2 ? "source" : "copy"));
                hear(&told);
                finish(&watched);
                assert_true(told.result == POOL_OK || told.result < 0 ||
                            told.result == SESSION_E_LOST);
                if (find_session("source"))
                        say_in(find_session("source"), "print(x)", "1\n");
                for (unsigned j = 0; j < 2; j++) {
                        Session *rest = find_session(j == 0 ? "source" : "copy");

                        if (rest)
                                session_end(rest);
                }
        }
        drive_until(has_spares());
}

static void test_a_source_that_dies_over_it(void **state) {
        Session *source;
        Told told = {0};

        need_copies();
        source = make_source();
        say_in(source, "import os\nos.register_at_fork(before=lambda: os._exit(0))", "");
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        hear(&told);
        assert_int_not_equal(told.result, POOL_OK);
        assert_null(find_session("copy"));
        assert_int_equal(info_of(source).state, SESSION_LOST);
        say_in(source, "print(1)", "1\n");
}

static void test_a_copy_that_dies_over_it(void **state) {
        Session *source;
        Told told = {0};

        need_copies();
        source = make_source();
        say_in(source, "import os\nos.register_at_fork(after_in_child=lambda: os._exit(0))", "");
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        hear(&told);
        assert_int_not_equal(told.result, POOL_OK);
        assert_null(find_session("copy"));
        say_in(source, "print(x)", "[1]\n");
        check_it_works();
}

static void test_nobody_forks_unasked(void **state) {
        Session *source;

        need_copies();
        source = make_source();
        say_in(source,
               "import os\n"
               "try: os.fork()\n"
               "except OSError as error: print(error.errno)",
               "1\n");
        say_in(copy_of(source, "copy"),
               "try: os.fork()\n"
               "except OSError as error: print(error.errno)",
               "1\n");
}

static void test_copies_are_told_from_what_is_not(void **state) {
        Session *source;
        Told told = {0};

        need_copies();
        source = make_source();
        say_in(source,
               "import socket, threading\n"
               "s = socket.socketpair()\n"
               "e = threading.Event()\n"
               "threading.Thread(target=e.wait, daemon=True).start()",
               "");
        assert_int_equal(ask_for_copy(source, "copy", &told), POOL_OK);
        hear(&told);
        assert_int_equal(told.result, POOL_OK);
        assert_int_equal(told.notes.sockets, 2);
        assert_true(told.notes.threads >= 1);
}

static void test_copies_count_among_sessions(void **state) {
        Session *source;
        Told told = {0};

        need_copies();
        driver.config.sessions_max = 3;
        source = make_source();
        copy_of(source, "a");
        copy_of(source, "b");
        assert_int_equal(ask_for_copy(source, "c", &told), SESSION_E_TOO_MANY);
        session_end(find_session("a"));
        copy_of(source, "c");
        say_in(find_session("c"), "print(x)", "[1]\n");
        assert_int_equal(counters().sessions, 3);
}

static void test_copies_outlive_the_server(void **state) {
        Session *copy;

        need_copies();
        copy = copy_of(make_source(), "copy");
        say_in(copy, "open('g', 'w').close()", "");
        driver.pool = pool_free(driver.pool);
        start_with_spares();
        copy = find_session("copy");
        assert_non_null(copy);
        assert_string_equal(info_of(copy).forked_from, "source");
        say_in(copy, "import os\nprint(sorted(os.listdir()))", "['f', 'g']\n");
        say_in(find_session("source"), "import os\nprint(os.listdir())", "['f']\n");
}

static void test_freeing_it_amid_copies(void **state) {
        Session *source;
        Told told[2] = {0};

        need_copies();
        source = make_source();
        assert_int_equal(ask_for_copy(source, "a", &told[0]), POOL_OK);
        turn_once();
        driver.pool = pool_free(driver.pool);
        assert_true(told[0].calls <= 1);
        start_with_spares();
        if (told[0].calls == 0)
                assert_null(find_session("a"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                session_test(test_a_copy_has_what_its_source_has),
                session_test(test_copies_outlive_their_source),
                session_test(test_a_lost_source_has_copies_and_a_new_process),
                session_test(test_copies_outlive_a_source_that_kills_itself),
                session_test(test_a_lost_copy_gets_a_new_process),
                session_test(test_runs_wait_for_the_copy),
                session_test(test_who_cannot_be_copied),
                session_test(test_either_may_end_meanwhile),
                session_test(test_a_source_that_dies_over_it),
                session_test(test_a_copy_that_dies_over_it),
                session_test(test_nobody_forks_unasked),
                session_test(test_copies_are_told_from_what_is_not),
                session_test(test_copies_count_among_sessions),
                session_test(test_copies_outlive_the_server),
                session_test(test_freeing_it_amid_copies),
        };

        return driver_run_tests("session-fork", tests);
}

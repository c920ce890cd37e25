#pragma once
/* sessions: a pool with sessions, and what tests do with them. */

#include "driver.h"
#include "pool/session.h"

static Folder session_state;

static inline int open_sessions(void **state) {
        if (driver_open(state) < 0)
                return -1;
        folder_make(&session_state);
        driver.config.state_directory = session_state.path;
        driver.config.sessions_max = 4;
        driver.config.session_queue_max = 3;
        driver.config.session_disk_mb = 64;
        driver.config.session_files_max = 10000;
        driver.config.interrupt_grace_ms = 20000;
        driver.template.session_spares = 1;
        return 0;
}

/* Every file of a session that was ended is gone; what is left is said by the test. */
static inline int close_sessions(void **state) {
        int r;

        driver.pool = pool_free(driver.pool);
        close_fd(&session_state.fd);
        r = driver_close(state);
        folder_remove(&session_state);
        return r;
}

static inline SessionOptions options_of(const char *id) {
        SessionOptions options = {
                .id = slice_of_text(id),
                .limits = limit_policy_defaults(&driver.template.limits),
                .idle_ms = 0,
        };

        options.limits.of[LIMIT_WALL_MS] = 300000;
        return options;
}

static inline Session *make_session(const char *id) {
        SessionOptions options = options_of(id);
        Session *session = NULL;

        assert_int_equal(session_create(driver.pool, &options, &session), POOL_OK);
        assert_non_null(session);
        return session;
}

static inline Session *find_session(const char *id) {
        return session_find(driver.pool, SESSION_NATIVE, slice_of_text(id));
}

static inline SessionInfo info_of(const Session *session) {
        SessionInfo info;

        session_inspect(session, &info);
        return info;
}

static inline int submit_request_in(Session *session, Watched *watched, const RunRequest *request) {
        const RunCallbacks callbacks = {
                .done = driver_on_done,
                .output = watched->when_output ? driver_on_output : NULL,
        };

        return session_submit(session, request, &callbacks, watched, &watched->run);
}

static inline void submit_in(Session *session, Watched *watched, const char *code) {
        RunRequest request = request_of(code);

        assert_int_equal(submit_request_in(session, watched, &request), POOL_OK);
}

static inline void run_in(Session *session, Watched *watched, const char *code) {
        submit_in(session, watched, code);
        finish(watched);
}

/* It ends well, and has printed that. */
static inline void say_in(Session *session, const char *code, const char *output) {
        Watched watched = {0};

        run_in(session, &watched, code);
        assert_status(&watched, RUN_OK);
        assert_string_equal(watched.out, output);
}

static inline void see_output(Watched *watched) {
}

/* Submits a run, and returns when it has printed something. */
static inline void start_in(Session *session, Watched *watched, const char *code) {
        watched->when_output = see_output;
        submit_in(session, watched, code);
        drive_until(watched->outputs > 0 || watched->done > 0);
        assert_int_equal(watched->done, 0);
}

static inline bool has_spares(void) {
        TemplateState state = state_of_template();

        return state.ready && state.idle == state.workers &&
               state.session_spares == driver.template.session_spares;
}

static inline void start_with_spares(void) {
        start();
        drive_until(has_spares());
}

#define session_test(f) cmocka_unit_test_setup_teardown(f, open_sessions, close_sessions)

static inline void turn_once(void) {
        struct pollfd fd = {.fd = pool_fd(driver.pool), .events = POLLIN};

        assert_true(poll(&fd, 1, 1) >= 0);
        assert_int_equal(pool_dispatch(driver.pool), 0);
}

/* Lets the pool work for so long: for what cannot be awaited. */
static inline void drive_for(unsigned ms) {
        uint64_t until_ns = clock_now_ns() + ms * NS_PER_MS;

        while (clock_now_ns() < until_ns)
                turn_once();
}

/* Makes a session whose runs print to us, with x = 1 and a file in it. */
static inline Session *make_used_session(const char *id) {
        Session *session = make_session(id);

        say_in(session, "x = 1\nopen('f', 'w').close()", "");
        return session;
}

#define WHAT_IS_LEFT "import os\nprint('x' in globals(), os.listdir())"

/* In code of a session: waits until allow_to_go_on(). Time would tell neither that a run is still
 * under way nor that it has ended. */
#define WAITS "import os, time\nwhile not os.path.exists('go'): time.sleep(0.001)\n"

static inline void allow_to_go_on(const Session *session) {
        _autoclose_ int fd = openat(session_workspace_fd(session), "go",
                                    O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
}

/* A run that ends at once, and what its thread does when it may go on. */
#define IN_A_THREAD(code)                                                                          \
        "import threading\n"                                                                       \
        "def later():\n"                                                                           \
        "    exec('''" WAITS code "''', globals())\n"                                              \
        "threading.Thread(target=later, daemon=True).start()"

/* For start_in(): it goes on until it is ended. */
#define SLEEPS "print('1\\n', end='', flush=True)\nimport time\ntime.sleep(1000)"

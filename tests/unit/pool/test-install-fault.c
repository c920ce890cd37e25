/* Installations against a process that does what it is told, however bad, and past their bounds. */

#include "install_driver.h"
#include "pool/install_internal.h"
#include "pool/program.h"

/* --- what is hostile --- */

static void test_hostile_wheels(void **state) {
        static const char *const hostile[] = {"symlink", "fifo",  "hardlink",
                                              "deep",    "empty", "missing"};

        for (size_t i = 0; i < N_ELEMENTS(hostile); i++) {
                expect(hostile[i], INSTALL_BAD_WHEEL, "wheel");
                assert_false(exists(&sessions[0], hostile[i]));
        }
        assert_int_equal(count("."), 2);
        assert_int_equal(count("staging"), 0);
        assert_int_equal(sessions[0].n_changes, 0);
}

static void test_modes_are_taken(void **state) {
        struct stat status;

        expect("setuid", INSTALL_DONE, "");
        assert_int_equal(fstatat(sessions[0].packages_fd, "setuid/__init__.py", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0555);
        assert_int_equal(fstatat(sessions[0].packages_fd, "setuid", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0755);
}

static void test_hostile_reports(void **state) {
        static const char *const hostile[] = {"garbage",  "no-end", "kind",     "bad-sha",
                                              "bad-name", "number", "too-many", "bad-version",
                                              "unasked",  "half",   "early",    "bad-failure"};

        for (size_t i = 0; i < N_ELEMENTS(hostile); i++)
                expect(hostile[i], INSTALL_UNAVAILABLE, "protocol");
        assert_int_equal(count("."), 2);
        expect("dies", INSTALL_UNAVAILABLE, "ended before");
}

static void test_much_talk(void **state) {
        Outcome *outcome = install("talks");

        assert_int_equal(outcome->outcome, INSTALL_DONE);
        assert_true(strlen(outcome->log) <= 65536 && strlen(outcome->log) > 30000);
        assert_non_null(strstr(outcome->log, "\n1999 xxx"));
}

/* --- bounds --- */

static void test_the_quota(void **state) {
        expect("big", INSTALL_TOO_LARGE, "packages_mb");
        assert_false(exists(&sessions[0], "big"));
        assert_false(exists(&sessions[0], "big-1.0.dist-info"));
        expect("good", INSTALL_DONE, "");
}

static void test_a_folder_that_grows(void **state) {
        expect("growing", INSTALL_TOO_LARGE, "disk");
        assert_int_equal(count("staging"), 0);
}

static void test_time_is_up(void **state) {
        installer = installer_free(installer);
        config.timeout_ms = 300;
        make_installer();
        expect("hangs", INSTALL_TIMEOUT, "longer than 300 ms");
        assert_int_equal(count("staging"), 0);
}

static bool is_unpacked(const Install *install) {
        return install->n_wheels == 1 && install->wheels[0].unpacked;
}

static bool is_resolved(const Install *install) {
        return install->is_resolved;
}

/* Its time is up once it has come so far, however long that takes. */
static Outcome *install_until(const char *requirement, bool (*is_far)(const Install *install)) {
        static Outcome outcome;
        Install *install;

        start_on(&sessions[0], requirement, &outcome, &install);
        while (!outcome.is_there && !is_far(install))
                turn();
        assert_false(outcome.is_there);
        install->deadline_ns = 1;
        await(&outcome);
        return &outcome;
}

static void test_time_is_up_when_the_index_has_given_all(void **state) {
        Outcome *outcome = install_until("hangs-unpacking", is_resolved);

        assert_int_equal(outcome->outcome, INSTALL_TOO_LARGE);
        assert_non_null(strstr(outcome->why, "more than 30000 ms"));
        assert_int_equal(count("staging"), 0);
}

static void test_byte_code_is_not_needed(void **state) {
        expect("grows-compiling", INSTALL_DONE, "");
        assert_true(exists(&sessions[0], "grows-compiling/__init__.py"));
        expect("dies-compiling", INSTALL_DONE, "");
        expect("fails-compiling", INSTALL_DONE, "");
        assert_int_equal(install_until("hangs-compiling", is_unpacked)->outcome, INSTALL_DONE);
        assert_true(exists(&sessions[0], "dies-compiling/__init__.py"));
        assert_true(exists(&sessions[0], "fails-compiling/__init__.py"));
        assert_true(exists(&sessions[0], "hangs-compiling/__init__.py"));
}

static void test_what_it_says_of_itself(void **state) {
        expect("fails", INSTALL_NO_INDEX, "it sleeps.");
}

/* The linker puts it in place of program_send() (--wrap). */
static bool ends_before_its_order;

int __real_program_send(const Program *, const void *, size_t, const int *, size_t);
int __wrap_program_send(const Program *program, const void *message, size_t size, const int *fds,
                        size_t n_fds);

int __wrap_program_send(const Program *program, const void *message, size_t size, const int *fds,
                        size_t n_fds) {
        siginfo_t info;
        int r;

        if (!ends_before_its_order)
                return __real_program_send(program, message, size, fds, n_fds);
        ends_before_its_order = false;
        assert_int_equal(waitid(P_PID, (id_t) program->pid, &info, WEXITED | WNOWAIT), 0);
        r = __real_program_send(program, message, size, fds, n_fds);
        assert_int_equal(r, -EPIPE);
        return r;
}

static void test_an_order_that_is_not_read(void **state) {
        static const char metadata[] = "Name: unread\nVersion: 1\n";
        _autoclose_ int fd = -1;

        assert_int_equal(tree_make_folder(sessions[0].packages_fd, "unread-1.dist-info", 0755,
                                          (uid_t) -1, &fd),
                         0);
        file_write(fd, "METADATA", metadata, strlen(metadata));
        for (unsigned i = 0; i < 20; i++) {
                ends_before_its_order = i % 2 == 0;
                expect("good", INSTALL_NO_INDEX, "not even read");
        }
}

static void test_no_program(void **state) {
        installer = installer_free(installer);
        config.python_program = "/nonexistent";
        make_installer();
        expect("good", INSTALL_UNAVAILABLE, "started");
}

static void test_the_queue(void **state) {
        static Outcome outcomes[6];
        const InstallCallback callback = {on_done, NULL};
        Install *installs[6], *one;
        InstallProblem problem;
        Slice text = SLICE_LITERAL("hangs");

        for (size_t i = 0; i < 6; i++)
                start_on(&sessions[i % 2], "hangs", &outcomes[i], &installs[i]);
        assert_int_equal(
                install_start(installer, &sessions[0], &text, 1, &callback, &one, &problem),
                INSTALL_E_QUEUE_FULL);
        /* One of each session runs. */
        while (n_adopted < 2)
                turn();
        for (size_t i = 0; i < 6; i++)
                install_cancel(installs[i]);
        while (n_adopted > 0)
                turn();
        expect("good", INSTALL_DONE, "");
        for (size_t i = 0; i < 6; i++)
                assert_false(outcomes[i].is_there);
}

static void test_the_session_has_ended(void **state) {
        Outcome outcome;
        Install *one;

        start_on(&sessions[0], "good", &outcome, &one);
        sessions[0].is_gone = true;
        await(&outcome);
        assert_int_equal(outcome.outcome, INSTALL_ENDED);
        assert_int_equal(sessions[0].n_changes, 0);
}

static void test_the_server_ends(void **state) {
        static Outcome outcomes[3];
        Install *one;

        for (size_t i = 0; i < 3; i++)
                start_on(&sessions[i % 2], "hangs", &outcomes[i], &one);
        while (n_adopted < 2)
                turn();
        installer = installer_free(installer);
        for (size_t i = 0; i < 3; i++)
                assert_false(outcomes[i].is_there);
        make_installer();
        assert_int_equal(count("staging"), 0);
}

static void test_two_servers(void **state) {
        Installer *other;

        assert_int_equal(installer_new(&config, &other), -EWOULDBLOCK);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_hostile_wheels),
                TEST(test_modes_are_taken),
                TEST(test_hostile_reports),
                TEST(test_much_talk),
                TEST(test_the_quota),
                TEST(test_a_folder_that_grows),
                TEST(test_time_is_up),
                TEST(test_time_is_up_when_the_index_has_given_all),
                TEST(test_byte_code_is_not_needed),
                TEST(test_what_it_says_of_itself),
                TEST(test_an_order_that_is_not_read),
                TEST(test_no_program),
                TEST(test_the_queue),
                TEST(test_the_session_has_ended),
                TEST(test_the_server_ends),
                TEST(test_two_servers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

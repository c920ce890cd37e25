/* Installations against a process that does what it is told, however bad (fake-installer.py). The
 * session and the template are the test's own. */

#include "pool/install.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "folders.h"
#include "kit/clock.h"
#include "kit/log.h"
#include "pool/packages.h"
#include "pool/tree.h"

/* --- in place of the pool --- */

struct Session {
        char id[8];
        int packages_fd;
        unsigned n_changes;
        bool is_gone;
};

static Session sessions[2];
static unsigned n_adopted, n_started;

Session *session_find(Pool *pool, SessionSpace space, Slice id) {
        for (size_t i = 0; i < N_ELEMENTS(sessions); i++) {
                if (slice_equals(id, sessions[i].id))
                        return sessions[i].is_gone ? NULL : &sessions[i];
        }
        return NULL;
}

void session_inspect(const Session *session, SessionInfo *ret_info) {
        *ret_info = (SessionInfo){.id = session->id, .template = "default"};
}

int session_packages_fd(const Session *session) {
        return session->packages_fd;
}

void session_packages_changed(Session *session) {
        session->n_changes++;
}

void session_touch(Session *session) {
}

int pool_find_template(const Pool *pool, Slice name) {
        return 0;
}

const TemplateConfig *pool_template(const Pool *pool, unsigned index) {
        static const TemplateConfig config = {.name = "default"};

        return &config;
}

void pool_template_state(const Pool *pool, unsigned index, TemplateState *ret_state) {
        *ret_state = (TemplateState){
                .about = "{\"python\": \"3.11\", \"distributions\": {\"numpy\": \"1.24.2\"}}"};
}

void pool_adopt(Pool *pool, pid_t pid) {
        n_adopted++;
        n_started++;
}

void pool_disown(Pool *pool, pid_t pid) {
        n_adopted--;
}

/* --- one installation --- */

typedef struct Outcome {
        bool is_there;
        InstallOutcome outcome;
        char why[512], packages[512], log[70000];
} Outcome;

static Folder state_folder, session_folder;
static Installer *installer;
static InstallerConfig config;

static void on_done(void *data, const InstallResult *result) {
        Outcome *outcome = data;

        assert_false(outcome->is_there);
        outcome->is_there = true;
        outcome->outcome = result->outcome;
        (void) snprintf(outcome->why, sizeof(outcome->why), "%s", result->why ? result->why : "");
        for (size_t i = 0; i < result->n_packages; i++) {
                const InstalledPackage *package = &result->packages[i];
                size_t used = strlen(outcome->packages);

                (void) snprintf(outcome->packages + used, sizeof(outcome->packages) - used,
                                "%s %s%s%s\n", package->name, package->version,
                                package->already ? " already" : "",
                                package->from_cache ? " cached" : "");
        }
        assert_true(result->log.size < sizeof(outcome->log));
        memcpy(outcome->log, result->log.data, result->log.size);
}

static void start_on(Session *session, const char *requirement, Outcome *outcome,
                     Install **ret_install) {
        const InstallCallback callback = {on_done, outcome};
        Slice text = slice_of_text(requirement);
        InstallProblem problem;

        memset(outcome, 0, sizeof(*outcome));
        assert_int_equal(
                install_start(installer, session, &text, 1, &callback, ret_install, &problem),
                POOL_OK);
        assert_false(outcome->is_there);
}

static void turn(void) {
        struct pollfd poll_fd = {.fd = installer_fd(installer), .events = POLLIN};

        assert_int_equal(poll(&poll_fd, 1, 30000), 1);
        assert_int_equal(installer_dispatch(installer), 0);
}

static void await(const Outcome *outcome) {
        while (!outcome->is_there)
                turn();
}

static Outcome *install(const char *requirement) {
        static Outcome outcome;
        Install *install;

        start_on(&sessions[0], requirement, &outcome, &install);
        await(&outcome);
        return &outcome;
}

static void expect(const char *requirement, InstallOutcome expected, const char *part_of_why) {
        Outcome *outcome = install(requirement);

        if (outcome->outcome != expected || !strstr(outcome->why, part_of_why))
                fail_msg("%s: outcome %d, %s", requirement, outcome->outcome, outcome->why);
        assert_int_equal(n_adopted, 0);
}

static void make_installer(void) {
        assert_int_equal(installer_new(&config, &installer), 0);
}

static int set_up(void **state) {
        log_set_level(LOG_LEVEL_ERROR);
        folder_make(&state_folder);
        folder_make(&session_folder);
        for (size_t i = 0; i < N_ELEMENTS(sessions); i++) {
                (void) snprintf(sessions[i].id, sizeof(sessions[i].id), "s%zu", i);
                sessions[i].n_changes = 0;
                sessions[i].is_gone = false;
                assert_int_equal(tree_make_folder(session_folder.fd, sessions[i].id, 0755,
                                                  (uid_t) -1, &sessions[i].packages_fd),
                                 0);
        }
        config = (InstallerConfig){
                .python_program = FAKE_INSTALLER,
                .state_directory = state_folder.path,
                .timeout_ms = 30000,
                .packages_bytes_max = 1 << 20,
                .cache_bytes_max = 64 << 20,
                .running_max = 2,
                .queue_max = 4,
                .log_level = "error",
        };
        make_installer();
        return 0;
}

static int tear_down(void **state) {
        installer = installer_free(installer);
        assert_int_equal(n_adopted, 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        for (size_t i = 0; i < N_ELEMENTS(sessions); i++)
                close_fd(&sessions[i].packages_fd);
        folder_remove(&session_folder);
        folder_remove(&state_folder);
        return 0;
}

static bool exists(const Session *session, const char *path) {
        return faccessat(session->packages_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static unsigned count(const char *path) {
        char whole[256];
        DIR *directory;
        unsigned n = 0;

        (void) snprintf(whole, sizeof(whole), "%s/wheels/%s", state_folder.path, path);
        directory = opendir(whole);
        assert_non_null(directory);
        for (struct dirent *entry; (entry = readdir(directory));)
                n += entry->d_name[0] != '.';
        (void) closedir(directory);
        return n;
}

/* --- what is there already --- */

static void test_the_template_s_own(void **state) {
        assert_string_equal(install("NumPy")->packages, "numpy 1.24.2 already\n");
        assert_string_equal(install("numpy==1.24.2")->packages, "numpy 1.24.2 already\n");
        /* What is not so simple is for pip. */
        assert_string_equal(install("none")->packages, "");
        assert_int_equal(count("staging"), 0);
}

static void test_switched_off(void **state) {
        const InstallCallback callback = {on_done, NULL};
        Slice text = SLICE_LITERAL("good");
        InstallProblem problem;
        Install *one;

        installer = installer_free(installer);
        config.index_url = "none";
        make_installer();
        assert_int_equal(
                install_start(installer, &sessions[0], &text, 1, &callback, &one, &problem),
                INSTALL_E_SWITCHED_OFF);
        assert_string_equal(install("numpy")->packages, "numpy 1.24.2 already\n");
}

static void test_requirements_are_checked(void **state) {
        const InstallCallback callback = {on_done, NULL};
        Slice texts[] = {SLICE_LITERAL("good"), SLICE_LITERAL("-r/etc/passwd")};
        InstallProblem problem;
        Install *one;

        assert_int_equal(
                install_start(installer, &sessions[0], texts, 2, &callback, &one, &problem),
                INSTALL_E_REQUIREMENT);
        assert_int_equal(problem.index, 1);
        assert_non_null(problem.why);
}

/* --- what is brought --- */

static void test_brought_once_and_linked_twice(void **state) {
        Outcome outcome;
        Install *one;
        struct stat first, second;

        assert_string_equal(install("good")->packages, "good 1.0\n");
        assert_int_equal(sessions[0].n_changes, 1);
        assert_string_equal(install("good")->packages, "good 1.0 already\n");
        n_started = 0;
        start_on(&sessions[1], "good", &outcome, &one);
        await(&outcome);
        assert_string_equal(outcome.packages, "good 1.0 cached\n");
        assert_int_equal(n_started, 0);
        assert_int_equal(fstatat(sessions[0].packages_fd, "good/__init__.py", &first, 0), 0);
        assert_int_equal(fstatat(sessions[1].packages_fd, "good/__init__.py", &second, 0), 0);
        assert_int_equal(first.st_ino, second.st_ino);
        assert_int_equal(first.st_mode & 07777, 0444);
        assert_int_equal(first.st_uid, geteuid());
        assert_int_equal(first.st_nlink, 3);
}

static void test_copies_where_sessions_could_write(void **state) {
        struct stat status;

        installer = installer_free(installer);
        config.copies = true;
        make_installer();
        assert_string_equal(install("good")->packages, "good 1.0\n");
        assert_int_equal(fstatat(sessions[0].packages_fd, "good/__init__.py", &status, 0), 0);
        assert_int_equal(status.st_nlink, 1);
}

static void test_what_is_cached_is_not_brought_again(void **state) {
        assert_string_equal(install("good")->packages, "good 1.0\n");
        assert_string_equal(install("pair")->packages, "good 1.0 cached\npair 1.0\n");
}

static void test_the_cache_survives_the_server(void **state) {
        assert_string_equal(install("good")->packages, "good 1.0\n");
        installer = installer_free(installer);
        make_installer();
        assert_string_equal(install("pair")->packages, "good 1.0 cached\npair 1.0\n");
}

static void test_another_version_takes_the_place(void **state) {
        assert_string_equal(install("good")->packages, "good 1.0\n");
        assert_true(exists(&sessions[0], "good/v1.0.py"));
        assert_string_equal(install("good==2.0")->packages, "good 2.0\n");
        assert_false(exists(&sessions[0], "good/v1.0.py"));
        assert_false(exists(&sessions[0], "good-1.0.dist-info"));
        assert_true(exists(&sessions[0], "good/v2.0.py"));
        /* What a record says of files outside is nobody's business. */
        assert_int_equal(access("/etc/hosts", F_OK), 0);
        assert_non_null(strstr(install("good==3.0")->log, "has: good-2.0.dist-info"));
}

static void test_little_room_in_the_cache(void **state) {
        installer = installer_free(installer);
        config.cache_bytes_max = 1;
        make_installer();
        assert_string_equal(install("good")->packages, "good 1.0\n");
        assert_string_equal(install("good==2.0")->packages, "good 2.0\n");
        assert_true(exists(&sessions[0], "good/v2.0.py"));
        /* The last one stays until the next comes; with staging and trash. */
        assert_int_equal(count("."), 3);
}

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
        expect("hangs", INSTALL_TIMEOUT, "300 ms");
}

static void test_what_it_says_of_itself(void **state) {
        expect("fails", INSTALL_NO_INDEX, "it sleeps.");
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_the_template_s_own),
                TEST(test_switched_off),
                TEST(test_requirements_are_checked),
                TEST(test_brought_once_and_linked_twice),
                TEST(test_copies_where_sessions_could_write),
                TEST(test_what_is_cached_is_not_brought_again),
                TEST(test_the_cache_survives_the_server),
                TEST(test_another_version_takes_the_place),
                TEST(test_little_room_in_the_cache),
                TEST(test_hostile_wheels),
                TEST(test_modes_are_taken),
                TEST(test_hostile_reports),
                TEST(test_much_talk),
                TEST(test_the_quota),
                TEST(test_a_folder_that_grows),
                TEST(test_time_is_up),
                TEST(test_what_it_says_of_itself),
                TEST(test_no_program),
                TEST(test_the_queue),
                TEST(test_the_session_has_ended),
                TEST(test_the_server_ends),
                TEST(test_two_servers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

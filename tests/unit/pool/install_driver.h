#pragma once
/* install_driver: installations in a test, with sessions, a template and a process for pip of its
 * own (fake-installer.py). To be included once in a program: it stands in place of the pool. */

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

static bool disk_is_short;

bool pool_disk_is_short(Pool *pool, uint64_t more_bytes) {
        return disk_is_short;
}

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
        if (result->log.size > 0)
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

static inline void expect(const char *requirement, InstallOutcome expected,
                          const char *part_of_why) {
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

static inline bool exists(const Session *session, const char *path) {
        return faccessat(session->packages_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline unsigned count(const char *path) {
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

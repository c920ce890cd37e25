/* Installations as they should be: what is there, what is brought, what is shared. */

#include "install_driver.h"
#include "pool/package_files.h"

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

static void test_the_disk_is_short(void **state) {
        const InstallCallback callback = {on_done, NULL};
        Slice text = SLICE_LITERAL("good");
        InstallProblem problem;
        Install *one;

        disk_is_short = true;
        assert_int_equal(
                install_start(installer, &sessions[0], &text, 1, &callback, &one, &problem),
                INSTALL_E_NO_DISK);
        /* That takes no room. */
        assert_string_equal(install("numpy")->packages, "numpy 1.24.2 already\n");
        disk_is_short = false;
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

/* Of an earlier server, whose wheels have no byte code; what sessions have of them stays. */
static void test_a_cache_of_another_format(void **state) {
        char path[400];
        FILE *file;

        assert_string_equal(install("good")->packages, "good 1.0\n");
        installer = installer_free(installer);
        (void) snprintf(path, sizeof(path), "%s/wheels/676f6f64312e30%050d/about",
                        state_folder.path, 0);
        file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fprintf(file, "good 1.0 8192\n") > 0);
        assert_int_equal(fclose(file), 0);
        make_installer();
        assert_string_equal(install("pair")->packages, "good 1.0\npair 1.0\n");
        assert_true(exists(&sessions[0], "good/v1.0.py"));
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

static void test_what_makes_room_is_not_counted(void **state) {
        uint64_t bytes, entries;

        assert_string_equal(install("good")->packages, "good 1.0\n");
        assert_int_equal(tree_measure(sessions[0].packages_fd, TREE_ENTRIES_MAX, &bytes, &entries),
                         0);
        installer = installer_free(installer);
        config.packages_bytes_max = bytes + bytes * 3 / 4;
        make_installer();
        assert_string_equal(install("good==2.0")->packages, "good 2.0\n");
        assert_int_equal(install("pair")->outcome, INSTALL_TOO_LARGE);
        assert_true(exists(&sessions[0], "good/v2.0.py"));
}

/* Damaged by whatever; it is as good as not there. */
static void test_a_cached_wheel_without_files(void **state) {
        char path[400];

        assert_string_equal(install("good")->packages, "good 1.0\n");
        installer = installer_free(installer);
        (void) snprintf(path, sizeof(path), "wheels/676f6f64312e30%050d", 0);
        {
                _autoclose_ int fd = folder_open_in(state_folder.fd, path);

                assert_int_equal(renameat(fd, "files", fd, "elsewhere"), 0);
        }
        make_installer();
        assert_string_equal(install("pair")->packages, "good 1.0\npair 1.0\n");
}

/* As a server that was killed over it has left it. */
static void test_half_a_package_is_made_whole(void **state) {
        _autoclose_ int fd = -1;

        assert_string_equal(install("good")->packages, "good 1.0\n");
        fd = folder_open_in(sessions[0].packages_fd, "good-1.0.dist-info");
        file_make(fd, PACKAGE_UNFINISHED);
        assert_int_equal(unlinkat(sessions[0].packages_fd, "good/__init__.py", 0), 0);
        assert_string_equal(install("good")->packages, "good 1.0 cached\n");
        assert_true(exists(&sessions[0], "good/__init__.py"));
        assert_string_equal(install("good")->packages, "good 1.0 already\n");
        /* Another version has no file of it. */
        close_fd(&fd);
        fd = folder_open_in(sessions[0].packages_fd, "good-1.0.dist-info");
        file_make(fd, PACKAGE_UNFINISHED);
        assert_null(strstr(install("good==2.0")->log, "has: good"));
        assert_false(exists(&sessions[0], "good/v1.0.py"));
}

static void test_one_after_the_other(void **state) {
        static Outcome first, second;
        Install *one;

        start_on(&sessions[0], "good==1.0", &first, &one);
        start_on(&sessions[0], "good==2.0", &second, &one);
        await(&second);
        assert_true(first.is_there);
        assert_non_null(strstr(second.log, "has: good-1.0.dist-info"));
        assert_false(exists(&sessions[0], "good/v1.0.py"));
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

/* What one is about to link is not given up for what the other one brings. */
static void test_two_at_once_with_little_room(void **state) {
        static Outcome outcomes[2];
        static const char *const what[][2] = {
                {"good", "good"}, {"good==2.0", "pair"}, {"good==3.0", "good==4.0"}};
        Install *one;

        installer = installer_free(installer);
        config.cache_bytes_max = 1;
        make_installer();
        for (size_t i = 0; i < N_ELEMENTS(what); i++) {
                for (size_t j = 0; j < 2; j++)
                        start_on(&sessions[j], what[i][j], &outcomes[j], &one);
                for (size_t j = 0; j < 2; j++) {
                        await(&outcomes[j]);
                        assert_int_equal(outcomes[j].outcome, INSTALL_DONE);
                }
        }
        assert_true(exists(&sessions[0], "good/v3.0.py"));
        assert_true(exists(&sessions[1], "good/v4.0.py"));
        assert_true(exists(&sessions[1], "pair/v1.0.py"));
        assert_in_range(count("."), 3, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_the_template_s_own),
                TEST(test_switched_off),
                TEST(test_the_disk_is_short),
                TEST(test_requirements_are_checked),
                TEST(test_brought_once_and_linked_twice),
                TEST(test_copies_where_sessions_could_write),
                TEST(test_what_is_cached_is_not_brought_again),
                TEST(test_the_cache_survives_the_server),
                TEST(test_a_cache_of_another_format),
                TEST(test_another_version_takes_the_place),
                TEST(test_what_makes_room_is_not_counted),
                TEST(test_a_cached_wheel_without_files),
                TEST(test_half_a_package_is_made_whole),
                TEST(test_one_after_the_other),
                TEST(test_little_room_in_the_cache),
                TEST(test_two_at_once_with_little_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

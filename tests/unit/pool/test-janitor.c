/* The thread that removes what runs have left, and adds up what they hold. */

#include "pool/janitor.h"

#include <pthread.h>
#include <semaphore.h>

#include "folders.h"

static Folder folder;
static int trash_fd;
static Janitor *janitor;

static int set_up(void **state) {
        folder_make(&folder);
        folder_make_in(folder.fd, "trash");
        trash_fd = folder_open_in(folder.fd, "trash");
        return janitor_new(trash_fd, &janitor);
}

/* The thread has no more rights than a server that is not root. */
static int set_up_without_rights(void **state) {
        int r;

        set_override(false);
        r = set_up(state);
        set_override(true);
        return r;
}

static int tear_down(void **state) {
        janitor = janitor_free(janitor);
        close_fd(&trash_fd);
        folder_remove(&folder);
        return 0;
}

/* Its end is the moment at which all that was asked for has been done. */
static void finish(void) {
        janitor_wake(janitor);
        janitor = janitor_free(janitor);
}

static void test_an_end_without_work(void **state) {
        finish();
        assert_int_equal(count_entries(trash_fd), 0);
}

static void test_what_is_in_the_trash_goes(void **state) {
        _autoclose_ int below_fd = -1;

        file_make(trash_fd, "file");
        assert_int_equal(symlinkat("/", trash_fd, "link"), 0);
        assert_int_equal(mkfifoat(trash_fd, "fifo", 0), 0);
        folder_make_in(trash_fd, "folder");
        below_fd = folder_open_in(trash_fd, "folder");
        file_make(below_fd, "file");
        file_make(below_fd, "\xff\n");
        folder_make_in(below_fd, "folder");
        finish();
        assert_int_equal(count_entries(trash_fd), 0);
}

static void test_a_deep_tree(void **state) {
        make_deep(trash_fd, 5000);
        finish();
        assert_int_equal(count_entries(trash_fd), 0);
}

/* A folder in the trash with so many files. */
static int make_wide(unsigned n_files) {
        int wide_fd;

        folder_make_in(trash_fd, "wide");
        wide_fd = folder_open_in(trash_fd, "wide");
        for (unsigned i = 0; i < n_files; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "%u", i);
                assert_int_equal(mknodat(wide_fd, name, S_IFREG | 0600, 0), 0);
        }
        return wide_fd;
}

static void test_many_files(void **state) {
        assert_int_equal(close(make_wide(20000)), 0);
        finish();
        assert_int_equal(count_entries(trash_fd), 0);
}

/* What it has no time for waits for the next one. */
static void test_an_end_that_cannot_wait(void **state) {
        _autoclose_ int wide_fd = make_wide(20000);

        janitor = janitor_free_by(janitor, 1);
        assert_int_equal(count_entries(trash_fd), 1);
        assert_true(count_entries(wide_fd) >= 19999);
        assert_int_equal(janitor_new(trash_fd, &janitor), 0);
        finish();
        assert_int_equal(count_entries(trash_fd), 0);
}

/* Makes folders that their owner may not read, write, enter, or all of it. */
static void make_closed_folders(int parent_fd) {
        for (mode_t mode = 0; mode <= 0700; mode += 0100) {
                _autoclose_ int fd = -1;
                char name[16];

                (void) snprintf(name, sizeof(name), "mode-%o", mode);
                folder_make_in(parent_fd, name);
                fd = folder_open_in(parent_fd, name);
                file_make(fd, "file");
                folder_make_in(fd, "below");
                assert_int_equal(symlinkat("../../kept", fd, "near"), 0);
                assert_int_equal(fchmod(fd, mode), 0);
        }
}

static void test_closed_folders(void **state) {
        _autoclose_ int fd = -1;

        make_closed_folders(trash_fd);
        folder_make_in(trash_fd, "all");
        fd = folder_open_in(trash_fd, "all");
        make_closed_folders(fd);
        finish();
        assert_int_equal(count_entries(trash_fd), 0);
}

/* Rights are given back to folders of the trash, never to what their links point to. */
static void test_no_link_is_followed(void **state) {
        struct stat status;
        char outside[160];

        file_make(folder.fd, "kept");
        folder_make_in(folder.fd, "kept-folder");
        assert_int_equal(fchmodat(folder.fd, "kept", 0444, 0), 0);
        assert_int_equal(fchmodat(folder.fd, "kept-folder", 0555, 0), 0);
        make_closed_folders(trash_fd);
        for (mode_t mode = 0; mode <= 0700; mode += 0100) {
                _autoclose_ int fd = -1;
                char name[16];

                (void) snprintf(name, sizeof(name), "link-%o", mode);
                folder_make_in(trash_fd, name);
                fd = folder_open_in(trash_fd, name);
                (void) snprintf(outside, sizeof(outside), "%s/kept", folder.path);
                assert_int_equal(symlinkat(outside, fd, "file"), 0);
                (void) snprintf(outside, sizeof(outside), "%s/kept-folder", folder.path);
                assert_int_equal(symlinkat(outside, fd, "folder"), 0);
                assert_int_equal(fchmod(fd, mode), 0);
        }
        finish();
        assert_int_equal(count_entries(trash_fd), 0);
        assert_int_equal(fstatat(folder.fd, "kept", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0444);
        assert_int_equal(fstatat(folder.fd, "kept-folder", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0555);
}

static void test_what_cannot_be_removed_does_not_keep_it(void **state) {
        /* A folder in use as a mount point, or on a file system gone read-only, would need rights
         * to make; a trash that is a file's descriptor refuses everything just as well. */
        _autoclose_ int file_fd = -1;

        janitor = janitor_free(janitor);
        file_make(folder.fd, "file");
        file_fd = openat(folder.fd, "file", O_RDONLY | O_CLOEXEC);
        assert_int_equal(janitor_new(file_fd, &janitor), 0);
        finish();
}

static uint64_t measure(void) {
        uint64_t result = 0;

        janitor_measure_run(janitor, folder.fd, &HELD_BY_NONE, 0, &result);
        finish();
        assert_true(result > 0);
        return result - 1;
}

static void test_it_adds_up_both_folders(void **state) {
        _autoclose_ int work_fd = -1, tmp_fd = -1, below_fd = -1;
        _autofree_ char *bytes = malloc(100000);
        uint64_t total;

        memset(bytes, 'x', 100000);
        folder_make_in(folder.fd, "work");
        folder_make_in(folder.fd, "tmp");
        work_fd = folder_open_in(folder.fd, "work");
        tmp_fd = folder_open_in(folder.fd, "tmp");
        folder_make_in(work_fd, "below");
        below_fd = folder_open_in(work_fd, "below");
        file_write(below_fd, "a", bytes, 100000);
        file_write(tmp_fd, "b", bytes, 50000);
        /* Blocks are written later, by the kernel's own time. */
        assert_int_equal(syncfs(folder.fd), 0);
        total = measure();
        assert_in_range(total, 150000, 250000);
}

static void test_a_hole_holds_nothing(void **state) {
        _autoclose_ int work_fd = -1, fd = -1;

        folder_make_in(folder.fd, "work");
        work_fd = folder_open_in(folder.fd, "work");
        fd = openat(work_fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, (off_t) 1 << 40), 0);
        assert_true(measure() < 1 << 20);
}

static void test_folders_that_are_not_there_hold_nothing(void **state) {
        assert_int_equal(measure(), 0);
}

static void test_one_folder(void **state) {
        _autofree_ char *bytes = calloc(1, 100000);
        uint64_t result = 0;

        folder_make_in(folder.fd, "below");
        file_write(folder.fd, "a", bytes, 100000);
        file_write(folder.fd, "below/b", bytes, 100000);
        assert_int_equal(syncfs(folder.fd), 0);
        janitor_measure_folder(janitor, folder.fd, &result);
        finish();
        assert_in_range(result - 1, 200000, 300000);
}

static void ask_of_member(unsigned member, MemberAnswer *answer) {
        MemberQuestion question = {
                .home_fd = folder.fd, .member = member, .by = {HELD_BY_NONE, HELD_BY_NONE}};

        janitor_measure_member(janitor, &question, answer);
}

/* Beside a session's workspace there is nothing that nobody counts. */
static void test_a_member_of_a_home(void **state) {
        static const char *const folders[] = {"work",     "work/0",     "work/1",    "work/2",
                                              "work/01",  "work/x",     "work/x/y",  "tmp",
                                              "packages", "packages/0", "packages/1"};
        static const char *const files[] = {"work/0/file",  "work/1/file",   "work/2/file",
                                            "work/01/file", "work/x/y/file", "work/1.session",
                                            "tmp/file",     "packages/file"};
        _autofree_ char *bytes = calloc(1, 100000);
        MemberAnswer results[4] = {0};

        for (size_t i = 0; i < N_ELEMENTS(folders); i++)
                folder_make_in(folder.fd, folders[i]);
        for (size_t i = 0; i < N_ELEMENTS(files); i++)
                file_write(folder.fd, files[i], bytes, 100000);
        assert_int_equal(syncfs(folder.fd), 0);
        for (unsigned member = 0; member < 4; member++)
                ask_of_member(member, &results[member]);
        finish();
        /* What has no owner: in 2, 01, x, 1.session, and in tmp. */
        assert_in_range(results[0].bytes_and_1 - 1, 600000, 700000);
        /* work/0 and 1.session, 2, 01, x with what is in them, and in tmp. */
        assert_int_equal(results[0].entries, 11);
        assert_true(results[0].is_whole);
        /* tmp/ is the first member's. */
        assert_in_range(results[1].bytes_and_1 - 1, 500000, 599999);
        /* No members. */
        assert_in_range(results[2].bytes_and_1 - 1, 400000, 499999);
        assert_in_range(results[3].bytes_and_1 - 1, 400000, 499999);
}

#define N_MEMBERS 3

/* A session, its copy, and the copy of that. "1+/2" is the workspace of member 2, and of no other,
 * because the home says so. Each file has 100,000 bytes. */
static void measure_family(const char *const *folders, size_t n_folders, const char *const *files,
                           size_t n_files, MemberAnswer results[N_MEMBERS]) {
        _autofree_ char *bytes = calloc(1, 100000);

        for (size_t i = 0; i < n_folders; i++)
                folder_make_in(folder.fd, folders[i]);
        for (size_t i = 0; i < n_files; i++)
                file_write(folder.fd, files[i], bytes, 100000);
        assert_int_equal(symlinkat("1+/2", folder.fd, "2.folder"), 0);
        assert_int_equal(syncfs(folder.fd), 0);
        for (unsigned member = 0; member < N_MEMBERS; member++)
                ask_of_member(member, &results[member]);
        finish();
}

static void test_a_copy_of_a_copy(void **state) {
        static const char *const folders[] = {"work",      "work/0",     "work/1",     "work/1+",
                                              "work/1+/2", "work/1+/2+", "work/5+",    "work/5+/2",
                                              "tmp",       "packages",   "packages/0", "packages/1",
                                              "packages/2"};
        static const char *const files[] = {"work/0/file", "work/1/file", "work/1+/2/file",
                                            "work/5+/2/file"};
        MemberAnswer results[N_MEMBERS] = {0};

        measure_family(folders, N_ELEMENTS(folders), files, N_ELEMENTS(files), results);
        /* Its own, and what somebody has put where it looks like another's. */
        for (unsigned member = 0; member < N_MEMBERS; member++)
                assert_in_range(results[member].bytes_and_1 - 1, 200000, 299999);
}

/* A copy answers alone for its temporary files, and for what a plain user's has put beside them. */
static void test_what_a_copy_has_beside_its_workspace(void **state) {
        static const char *const folders[] = {
                "work",       "work/0",     "work/1",     "work/1+",    "work/1+/tmp",
                "work/1+/2",  "work/1+/2+", "work/1+/9+", "packages",   "packages/0",
                "packages/1", "packages/2", "work/3+",    "work/3+/tmp"};
        static const char *const files[] = {"work/1+/tmp/file", "work/1+/file", "work/1+/9+/file",
                                            "work/1+/2+/file", "work/1+/2/file"};
        MemberAnswer results[N_MEMBERS] = {0};

        measure_family(folders, N_ELEMENTS(folders), files, N_ELEMENTS(files), results);
        assert_in_range(results[0].bytes_and_1 - 1, 0, 99999);
        assert_in_range(results[1].bytes_and_1 - 1, 300000, 399999);
        assert_in_range(results[2].bytes_and_1 - 1, 200000, 299999);
}

static void test_too_much_beside_a_member(void **state) {
        _autoclose_ int work_fd = -1;
        MemberAnswer result = {0};

        folder_make_in(folder.fd, "work");
        work_fd = folder_open_in(folder.fd, "work");
        make_deep(work_fd, 100);
        ask_of_member(0, &result);
        finish();
        assert_true(result.bytes_and_1 >= UINT64_MAX / 2);
}

static void test_what_is_too_deep_to_count_is_too_much(void **state) {
        _autoclose_ int work_fd = -1;

        folder_make_in(folder.fd, "work");
        work_fd = folder_open_in(folder.fd, "work");
        make_deep(work_fd, 100);
        assert_true(measure() >= UINT64_MAX / 2);
}

/* What the thread removes, while a test looks: it waits when it is amid the trash, until the
 * questions have been asked. */
typedef struct Removals {
        pthread_t asks;
        sem_t is_amid, has_asked;
        uint64_t results[3];
        unsigned n, n_before_answer; /* 0: not answered yet */
} Removals;

#define AMID 1000

static Removals *removals;

/* The linker puts it in place of unlinkat() (--wrap). */
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);

int __wrap_unlinkat(int fd, const char *name, int flags) {
        if (removals && !pthread_equal(removals->asks, pthread_self())) {
                if (removals->n_before_answer == 0 &&
                    __atomic_load_n(&removals->results[0], __ATOMIC_ACQUIRE) > 0)
                        removals->n_before_answer = removals->n;
                if (++removals->n == AMID) {
                        (void) sem_post(&removals->is_amid);
                        (void) sem_wait(&removals->has_asked);
                }
        }
        return __real_unlinkat(fd, name, flags);
}

/* Limits are held by the answers: they do not come after a long trash. */
static void test_a_question_amid_a_long_trash(void **state) {
        const unsigned n_files = 50000;
        Removals seen = {.asks = pthread_self()};

        assert_int_equal(close(make_wide(n_files)), 0);
        assert_int_equal(sem_init(&seen.is_amid, 0, 0), 0);
        assert_int_equal(sem_init(&seen.has_asked, 0, 0), 0);
        removals = &seen;
        janitor_wake(janitor);
        (void) sem_wait(&seen.is_amid);
        for (int i = 0; i < 3; i++)
                janitor_measure_folder(janitor, folder.fd, &seen.results[i]);
        (void) sem_post(&seen.has_asked);
        finish();
        removals = NULL;
        assert_in_range(seen.n_before_answer, AMID, n_files - AMID);
        assert_true(seen.results[1] > 0 && seen.results[2] > 0);
        assert_int_equal(count_entries(trash_fd), 0);
}

static void test_a_question_that_cannot_be_asked_is_answered(void **state) {
        uint64_t result = 0;

        janitor_measure_folder(janitor, -1, &result);
        assert_int_equal(__atomic_load_n(&result, __ATOMIC_ACQUIRE), 1);
}

#define janitor_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define janitor_test_without_rights(f)                                                             \
        cmocka_unit_test_setup_teardown(f, set_up_without_rights, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                janitor_test(test_an_end_without_work),
                janitor_test(test_what_is_in_the_trash_goes),
                janitor_test_without_rights(test_a_deep_tree),
                janitor_test(test_many_files),
                janitor_test(test_an_end_that_cannot_wait),
                janitor_test_without_rights(test_closed_folders),
                janitor_test_without_rights(test_no_link_is_followed),
                janitor_test(test_what_cannot_be_removed_does_not_keep_it),
                janitor_test(test_it_adds_up_both_folders),
                janitor_test(test_a_hole_holds_nothing),
                janitor_test(test_folders_that_are_not_there_hold_nothing),
                janitor_test(test_one_folder),
                janitor_test(test_a_member_of_a_home),
                janitor_test(test_a_copy_of_a_copy),
                janitor_test(test_what_a_copy_has_beside_its_workspace),
                janitor_test(test_too_much_beside_a_member),
                janitor_test(test_what_is_too_deep_to_count_is_too_much),
                janitor_test(test_a_question_amid_a_long_trash),
                janitor_test(test_a_question_that_cannot_be_asked_is_answered),
        };

        return cmocka_run_group_tests_name("janitor", tests, NULL, NULL);
}

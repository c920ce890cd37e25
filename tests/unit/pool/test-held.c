/* What a child of our own holds without a name. Each case has its control: the same with a name, or
 * let go. */

#include "pool/held.h"

#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "folders.h"

#define FILE_BYTES (1 << 20)
/* Of blocks of the file system's own. */
#define SLACK_BYTES (64 << 10)

static Folder folder;
static HeldBy child = HELD_BY_NONE;
static int reports[2], life[2];

static int set_up(void **state) {
        folder_make(&folder);
        assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
        return pipe2(life, O_CLOEXEC);
}

static int tear_down(void **state) {
        if (child.pidfd >= 0) {
                (void) kill(child.pid, SIGKILL);
                (void) waitpid(child.pid, NULL, 0);
                (void) close(child.pidfd);
                child = HELD_BY_NONE;
        }
        for (int i = 0; i < 2; i++) {
                (void) close(reports[i]);
                (void) close(life[i]);
        }
        folder_remove(&folder);
        return 0;
}

/* --- in the child --- */

static void must(bool is_done) {
        if (!is_done)
                _exit(1);
}

static int full_file(const char *name) {
        static const char block[4096] = {1};
        int fd = openat(folder.fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);

        for (size_t size = 0; fd >= 0 && size < FILE_BYTES; size += sizeof(block)) {
                must(write(fd, block, sizeof(block)) == (ssize_t) sizeof(block));
        }
        (void) fsync(fd);
        return fd;
}

static int nameless_file(const char *name) {
        int fd = full_file(name);

        (void) unlinkat(folder.fd, name, 0);
        return fd;
}

/* Until the test ends. */
static void stay(void) {
        char byte;

        must(write(reports[1], "", 1) == 1);
        (void) close(life[1]);
        must(read(life[0], &byte, 1) == 0);
}

static void hold_named(void) {
        (void) full_file("named");
}

static void hold_descriptors(void) {
        int fd = nameless_file("once");

        must(dup(fd) >= 0);
        (void) nameless_file("twice");
}

static void hold_without_any_name(void) {
        static const char block[FILE_BYTES] = {1};
        int fd = openat(folder.fd, ".", O_TMPFILE | O_RDWR, 0600);

        must(write(fd, block, sizeof(block)) == (ssize_t) sizeof(block));
        (void) fsync(fd);
}

static void map(int flags) {
        int fd = nameless_file("mapped");

        /* All of it counts, whatever little is mapped. */
        (void) mmap(NULL, 4096, PROT_READ, flags, fd, 0);
        (void) close(fd);
}

static void hold_mapping(void) {
        map(MAP_SHARED);
}

static void hold_private_mapping(void) {
        map(MAP_PRIVATE);
}

static void hold_elsewhere(void) {
        int fd = (int) syscall(SYS_memfd_create, "memory", 0);

        must(ftruncate(fd, FILE_BYTES) == 0);
        must(write(fd, &fd, sizeof(fd)) > 0);
}

static pthread_barrier_t begun;

static void *thread_of_its_own(void *argument) {
        /* Its descriptors are copies, which the others do not have any more. */
        (void) syscall(SYS_close_range, ~0U, ~0U, CLOSE_RANGE_UNSHARE);
        (void) nameless_file("of-thread");
        (void) pthread_barrier_wait(&begun);
        for (;;)
                (void) pause();
        return NULL;
}

static void hold_in_thread(void) {
        pthread_t thread;

        (void) pthread_barrier_init(&begun, NULL, 2);
        (void) pthread_create(&thread, NULL, thread_of_its_own, NULL);
        (void) pthread_barrier_wait(&begun);
}

static void *thread_that_stays(void *argument) {
        char path[64], state = 0;

        hold_descriptors();
        hold_mapping();
        /* Its process looks dead from now on. */
        (void) pthread_barrier_wait(&begun);
        (void) snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
        while (state != 'Z') {
                FILE *file = fopen(path, "r");

                must(fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
                (void) fclose(file);
        }
        stay();
        _exit(0);
}

static void hold_without_first_thread(void) {
        pthread_t thread;

        (void) pthread_barrier_init(&begun, NULL, 2);
        (void) pthread_create(&thread, NULL, thread_that_stays, NULL);
        (void) pthread_barrier_wait(&begun);
        (void) syscall(SYS_exit, 0);
}

static void hold_in_grandchild(void) {
        for (int i = 0; i < 2; i++) {
                if (fork() > 0) {
                        char byte;

                        (void) close(life[1]);
                        must(read(life[0], &byte, 1) == 0);
                        _exit(0);
                }
        }
        (void) nameless_file("of-grandchild");
}

/* Besides those that every process has. */
#define TOO_MANY (HELD_FILES_MAX + 1 + 64)

static void hold_too_many(void) {
        const struct rlimit enough = {TOO_MANY, TOO_MANY};

        must(setrlimit(RLIMIT_NOFILE, &enough) == 0);
        for (int i = 0; i < HELD_FILES_MAX + 1; i++)
                must(openat(folder.fd, ".", O_TMPFILE | O_RDWR, 0600) >= 0);
}

/* --- here --- */

static void start(void (*hold)(void)) {
        char byte;

        child.pid = fork();
        assert_true(child.pid >= 0);
        if (child.pid == 0) {
                hold();
                stay();
                _exit(0);
        }
        child.pidfd = (int) syscall(SYS_pidfd_open, child.pid, 0);
        assert_true(child.pidfd >= 0);
        assert_int_equal(read(reports[0], &byte, 1), 1);
}

static uint64_t measure(uid_t uid) {
        uint64_t bytes = 0;

        assert_true(held_measure(&child, 1, folder.fd, uid, &bytes));
        return bytes;
}

static void expect_files(void (*hold)(void), unsigned n) {
        start(hold);
        assert_in_range(measure(0), (uint64_t) n * FILE_BYTES,
                        (uint64_t) n * (FILE_BYTES + SLACK_BYTES));
}

static void test_what_has_a_name_is_none_of_it(void **state) {
        expect_files(hold_named, 0);
}

static void test_descriptors(void **state) {
        expect_files(hold_descriptors, 2);
}

static void test_a_file_that_never_had_a_name(void **state) {
        expect_files(hold_without_any_name, 1);
}

static bool sees_mappings(void) {
        _autoclose_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        char path[64];
        struct stat status;
        void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

        (void) snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long) page,
                        (unsigned long) page + 4096);
        return stat(path, &status) == 0;
}

static void test_mappings(void **state) {
        if (!sees_mappings())
                skip_because("this user may not look at mappings");
        expect_files(hold_mapping, 1);
}

/* As of a library that was replaced: it is a run's own only if no one else has its user id. */
static void test_private_mappings(void **state) {
        if (!sees_mappings())
                skip_because("this user may not look at mappings");
        expect_files(hold_private_mapping, 0);
        if (geteuid() != 0)
                assert_in_range(measure(geteuid()), FILE_BYTES, FILE_BYTES + SLACK_BYTES);
}

static void test_another_file_system(void **state) {
        expect_files(hold_elsewhere, 0);
}

static void test_another_owner(void **state) {
        start(hold_descriptors);
        assert_int_equal(measure(geteuid() + 1), 0);
}

static void test_a_thread_with_descriptors_of_its_own(void **state) {
        expect_files(hold_in_thread, 1);
}

static void test_a_process_whose_first_thread_has_ended(void **state) {
        if (!sees_mappings())
                skip_because("this user may not look at mappings");
        expect_files(hold_without_first_thread, 3);
}

static void test_what_it_has_started(void **state) {
        expect_files(hold_in_grandchild, 1);
}

static void test_too_many_are_too_much(void **state) {
        struct rlimit descriptors;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
        if (descriptors.rlim_max < TOO_MANY)
                skip_because("a process may not have so many descriptors here");
        start(hold_too_many);
        assert_true(measure(0) > (uint64_t) 1 << 60);
}

static void test_no_process(void **state) {
        uint64_t bytes = 0;
        HeldBy none = HELD_BY_NONE;

        assert_true(held_measure(&none, 1, folder.fd, 0, &bytes));
        /* One of a number that another process may have now. */
        start(hold_descriptors);
        (void) kill(child.pid, SIGKILL);
        assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
        child.pid = getpid();
        (void) nameless_file("ours");
        assert_true(held_measure(&child, 1, folder.fd, 0, &bytes));
        assert_int_equal(bytes, 0);
        close_fd(&child.pidfd);
}

#define held_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                held_test(test_what_has_a_name_is_none_of_it),
                held_test(test_descriptors),
                held_test(test_a_file_that_never_had_a_name),
                held_test(test_mappings),
                held_test(test_private_mappings),
                held_test(test_another_file_system),
                held_test(test_another_owner),
                held_test(test_a_thread_with_descriptors_of_its_own),
                held_test(test_a_process_whose_first_thread_has_ended),
                held_test(test_what_it_has_started),
                held_test(test_too_many_are_too_much),
                held_test(test_no_process),
        };

        return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}

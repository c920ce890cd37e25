/* The supervisor's ends of a worker: which are whose, and who is waited for. */

#include "pool/worker.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "folders.h"

static Worker worker;
static int child_fds[_SPAWN_FDS];
static pid_t child;

static int set_up(void **state) {
        child = 0;
        return worker_open(&worker, child_fds);
}

static int tear_down(void **state) {
        close_child_fds(child_fds);
        worker_close(&worker);
        if (child > 0) {
                (void) kill(child, SIGKILL);
                (void) waitpid(child, NULL, 0);
        }
        return 0;
}

static bool is_nonblocking(int fd) {
        return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

static bool is_closed_on_exec(int fd) {
        return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static void expect_from(int to, int from) {
        char byte = 0;

        assert_int_equal(write(to, "x", 1), 1);
        assert_int_equal(read(from, &byte, 1), 1);
        assert_int_equal(byte, 'x');
}

static void test_each_pipe_has_two_ends(void **state) {
        expect_from(worker.request_fd, child_fds[SPAWN_FD_REQUEST]);
        expect_from(child_fds[SPAWN_FD_RESULT], worker.result_fd);
        expect_from(child_fds[SPAWN_FD_STDOUT], worker.stream_fds[RUN_STDOUT]);
        expect_from(child_fds[SPAWN_FD_STDERR], worker.stream_fds[RUN_STDERR]);
        assert_int_equal(child_fds[SPAWN_FD_DIRECTORY], -1);
}

static void test_our_ends_never_block(void **state) {
        int ours[] = {worker.request_fd, worker.result_fd, worker.stream_fds[RUN_STDOUT],
                      worker.stream_fds[RUN_STDERR]};

        for (int i = 0; i < SPAWN_FD_DIRECTORY; i++) {
                assert_true(is_nonblocking(ours[i]));
                assert_true(is_closed_on_exec(ours[i]));
                assert_false(is_nonblocking(child_fds[i]));
                assert_true(is_closed_on_exec(child_fds[i]));
        }
        /* What the worker does to its ends stays with it. */
        for (int i = 0; i < SPAWN_FD_DIRECTORY; i++) {
                assert_int_equal(fcntl(child_fds[i], F_SETFL, 0), 0);
                assert_true(is_nonblocking(ours[i]));
        }
}

static void test_the_folder_stays_the_callers(void **state) {
        int fd = open("/", O_PATH | O_CLOEXEC);

        child_fds[SPAWN_FD_DIRECTORY] = fd;
        close_child_fds(child_fds);
        assert_int_equal(child_fds[SPAWN_FD_REQUEST], -1);
        assert_int_equal(child_fds[SPAWN_FD_DIRECTORY], fd);
        assert_true(fcntl(fd, F_GETFD) >= 0);
        (void) close(fd);
}

static void test_out_of_descriptors(void **state) {
        unsigned before = count_open_descriptors();
        struct rlimit limit, none;
        Worker other;
        int fds[_SPAWN_FDS];
        int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        (void) close(lowest);
        /* Room for three pipes and a half. */
        for (rlim_t room = 0; room < 8; room++) {
                int r;

                none = (struct rlimit){(rlim_t) lowest + room, limit.rlim_max};
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
                r = worker_open(&other, fds);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
                assert_int_equal(r, -EMFILE);
                assert_int_equal(other.request_fd, -1);
                assert_int_equal(fds[SPAWN_FD_REQUEST], -1);
                assert_int_equal(count_open_descriptors(), before);
        }
}

static void start_child(void) {
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                char byte;

                /* Lives until the other end is closed, as a worker does. */
                worker_close(&worker);
                while (read(child_fds[SPAWN_FD_REQUEST], &byte, 1) > 0)
                        ;
                _exit(3);
        }
        close_child_fds(child_fds);
        assert_int_equal(worker_attach(&worker, child), 0);
}

/* Blocks until the process has ended, and waits for it. */
static int wait_for_end(struct rusage *usage) {
        struct pollfd fd = {.fd = worker.pidfd, .events = POLLIN};
        int status;

        assert_int_equal(poll(&fd, 1, -1), 1);
        assert_int_equal(worker_wait(&worker, &status, usage), 1);
        child = 0;
        return status;
}

static void test_a_worker_that_lives_is_not_waited_for(void **state) {
        struct rusage usage;
        int status;

        start_child();
        assert_int_equal(worker_wait(&worker, &status, &usage), 0);
        worker_close_pipes(&worker);
        status = wait_for_end(&usage);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 3);
        assert_true(usage.ru_maxrss > 0);
        /* It cannot be waited for twice. */
        assert_true(worker_wait(&worker, &status, &usage) < 0);
}

static void test_a_killed_worker(void **state) {
        struct rusage usage;
        int status;

        start_child();
        worker_kill(&worker);
        status = wait_for_end(&usage);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        worker_kill(&worker); /* and nobody else */
}

/* A report of the zygote is not what a client can send, and still it must not make us kill
 * ourselves. */
static void test_numbers_that_are_no_process(void **state) {
        static const pid_t bad[] = {0, -1, INT32_MIN, INT32_MAX};

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                Worker other = WORKER_NONE;

                assert_true(worker_attach(&other, bad[i]) < 0);
                worker_kill(&other);
                worker_close(&other);
        }
}

static void test_closing_twice_is_harmless(void **state) {
        unsigned before = count_open_descriptors();

        worker_close_pipes(&worker);
        worker_close_pipes(&worker);
        worker_close(&worker);
        worker_close(&worker);
        assert_int_equal(count_open_descriptors(), before - 4);
        assert_int_equal(worker.pid, 0);
        worker_kill(&worker);
}

#define worker_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                worker_test(test_each_pipe_has_two_ends),
                worker_test(test_our_ends_never_block),
                worker_test(test_the_folder_stays_the_callers),
                worker_test(test_out_of_descriptors),
                worker_test(test_a_worker_that_lives_is_not_waited_for),
                worker_test(test_a_killed_worker),
                worker_test(test_numbers_that_are_no_process),
                worker_test(test_closing_twice_is_harmless),
        };

        return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}

/* What the calls of confine_filter do to the process that makes them, and to no other. */

#include "interp/confine_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* In a child under the filter: its exit status is the line that was not as it should be. Lines are
 * below 256. */
#define EXPECT(condition)                                                                          \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        _exit(__LINE__);                                                           \
        } while (0)
#define REFUSED(code, call) ((errno = 0), (call) < 0 && errno == (code))

static int status_of(void (*body)(void)) {
        pid_t child = fork();
        int status;

        assert_int_not_equal(child, -1);
        if (child == 0) {
                const struct rlimit none = {0, 0};

                EXPECT(setrlimit(RLIMIT_CORE, &none) == 0);
                EXPECT(setpgid(0, 0) == 0);
                EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                body();
                _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        return status;
}

static bool can_fork(void) {
        pid_t child = fork();
        int status;

        if (child == 0)
                _exit(7);
        return child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7;
}

static bool can_execute(void) {
        pid_t child = fork();
        int status;

        if (child == 0) {
                (void) execl("/bin/true", "true", NULL);
                _exit(7);
        }
        return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void *nothing(void *argument) {
        return argument;
}

static bool can_start_a_thread(void) {
        pthread_t thread;

        return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static void threads(void) {
        int pair[2];

        EXPECT(confine_system_calls(false) == 0);
        EXPECT(prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER);
        EXPECT(can_start_a_thread());
        EXPECT(!can_fork() && errno == EPERM);
        EXPECT(REFUSED(EPERM, execl("/bin/true", "true", NULL)));
        EXPECT(REFUSED(ENOSYS, syscall(SYS_clone3, NULL, 0)));
        EXPECT(kill(getpid(), 0) == 0 && kill(0, 0) == 0);
        EXPECT(REFUSED(EPERM, kill(getppid(), 0)));
        EXPECT(REFUSED(EPERM, kill(-1, 0)));
        EXPECT(pthread_kill(pthread_self(), 0) == 0);
        EXPECT(REFUSED(EAFNOSUPPORT, socket(AF_INET, SOCK_STREAM, 0)));
        EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        EXPECT(send(pair[0], "x", 1, 0) == 1);
        EXPECT(REFUSED(EPERM, prctl(PR_SET_DUMPABLE, 1)));
        EXPECT(REFUSED(ENOSYS, syscall(590)));
}

static void modes(void) {
        struct stat before, after;
        FILE *file = tmpfile();

        EXPECT(file && fchmod(fileno(file), 0640) == 0 && fstat(fileno(file), &before) == 0);
        EXPECT(confine_modes() == 0 && confine_system_calls(false) == 0);
        EXPECT(fchmod(fileno(file), 0) == 0);
        EXPECT(fstat(fileno(file), &after) == 0 && after.st_mode == before.st_mode);
        EXPECT(before.st_mode == (S_IFREG | 0640));
        /* Not even that it is not there. */
        EXPECT(chmod("/nonexistent", 0) == 0 && fchmodat(AT_FDCWD, "/nonexistent", 0, 0) == 0);
        EXPECT(REFUSED(EPERM, chmod("/nonexistent", S_ISUID)));
        EXPECT(access("/", R_OK) == 0);
}

static void subprocesses(void) {
        EXPECT(confine_system_calls(true) == 0);
        EXPECT(can_start_a_thread() && can_fork() && can_execute());
        EXPECT(REFUSED(EAFNOSUPPORT, socket(AF_INET, SOCK_STREAM, 0)));
}

static void subprocesses_of_a_run(void) {
        EXPECT(confine_system_calls(true) == 0);
        EXPECT(confine_run_system_calls(true) == 0);
        EXPECT(can_start_a_thread() && can_fork() && can_execute());
        /* No filter of the run's own on top. */
        EXPECT(REFUSED(EPERM, syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL)));
        EXPECT(confine_run_system_calls(false) == -EPERM);
}

static void one_process_of_a_run(void) {
        EXPECT(confine_system_calls(true) == 0);
        EXPECT(confine_run_system_calls(false) == 0);
        EXPECT(can_start_a_thread());
        EXPECT(!can_fork() && errno == EPERM);
        EXPECT(REFUSED(EPERM, kill(getppid(), 0)));
        EXPECT(REFUSED(EPERM, syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL)));
}

/* What is allowed above the filter of attempts, which is not loaded here, is made. */
static void session(void) {
        pid_t child;

        EXPECT(confine_session_calls() == 0);
        EXPECT(can_start_a_thread());
        EXPECT(!can_fork() && errno == EPERM);
        EXPECT(REFUSED(EPERM, kill(getppid(), 0)));
        EXPECT(REFUSED(EPERM, execl("/bin/true", "true", NULL)));
        child = (pid_t) syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        if (child == 0)
                _exit(kill(0, 0) == 0 && setsid() > 0 ? 0 : 1);
        EXPECT(child > 0);
}

static void forbidden(void) {
        EXPECT(confine_system_calls(true) == 0);
        (void) syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void own_signal(void) {
        EXPECT(confine_system_calls(false) == 0);
        (void) raise(SIGUSR1);
}

static void test_a_worker_with_threads(void **state) {
        assert_int_equal(status_of(threads), 0);
}

static void test_a_worker_that_changes_no_modes(void **state) {
        assert_int_equal(status_of(modes), 0);
}

static void test_a_worker_with_subprocesses(void **state) {
        assert_int_equal(status_of(subprocesses), 0);
}

static void test_a_run_with_subprocesses(void **state) {
        assert_int_equal(status_of(subprocesses_of_a_run), 0);
}

static void test_a_run_with_one_process(void **state) {
        assert_int_equal(status_of(one_process_of_a_run), 0);
}

static void test_a_worker_of_a_session(void **state) {
        int status = status_of(session);

        assert_int_equal(status, 0);
        assert_true(waitpid(-1, &status, 0) > 0);
        assert_int_equal(status, 0);
}

static void test_a_forbidden_call_is_the_end(void **state) {
        int status = status_of(forbidden);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void test_it_may_signal_itself(void **state) {
        int status = status_of(own_signal);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGUSR1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_worker_with_threads),
                cmocka_unit_test(test_a_worker_that_changes_no_modes),
                cmocka_unit_test(test_a_worker_with_subprocesses),
                cmocka_unit_test(test_a_run_with_subprocesses),
                cmocka_unit_test(test_a_run_with_one_process),
                cmocka_unit_test(test_a_worker_of_a_session),
                cmocka_unit_test(test_a_forbidden_call_is_the_end),
                cmocka_unit_test(test_it_may_signal_itself),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

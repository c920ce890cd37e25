/* What the process for packages is refused by the kernel, tried in children that have taken it. */

#include <errno.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "interp/install_filter.h"

/* attempt() returns 0, or errno; what a child that has taken the filter gets is returned. */
static int filtered(int (*attempt)(void)) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || install_filter_take() < 0)
                        _exit(254);
                _exit(attempt());
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int error_of(long result) {
        return result < 0 ? errno : 0;
}

static int try_exec(void) {
        char *words[] = {(char *) "/bin/true", NULL};

        return error_of(execv(words[0], words));
}

static int try_fork(void) {
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        return error_of(pid);
}

static int try_kill(void) {
        return error_of(kill(getppid(), 0));
}

static int try_ptrace(void) {
        return error_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_unshare(void) {
        return error_of(unshare(CLONE_NEWUSER));
}

static int try_mount(void) {
        return error_of(mount("none", "/", "tmpfs", 0, NULL));
}

static int try_memfd(void) {
        return error_of(memfd_create("x", 0));
}

static int try_clone3(void) {
        return error_of(syscall(435, NULL, 0));
}

static int try_unix(void) {
        return error_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_packet(void) {
        return error_of(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static int try_tcp(void) {
        return error_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_netlink(void) {
        return error_of(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

static void *nothing(void *argument) {
        return argument;
}

static int try_thread(void) {
        pthread_t thread;
        int r = pthread_create(&thread, NULL, nothing, NULL);

        return r != 0 ? r : pthread_join(thread, NULL);
}

static int try_file(void) {
        int fds[2];

        return error_of(pipe(fds));
}

#if defined(__x86_64__)
static int try_x32(void) {
        return error_of(syscall(0x40000000 + SYS_getpid));
}
#endif

static void test_refused(void **state) {
        assert_int_equal(filtered(try_exec), EPERM);
        assert_int_equal(filtered(try_fork), EPERM);
        assert_int_equal(filtered(try_kill), EPERM);
        assert_int_equal(filtered(try_ptrace), EPERM);
        assert_int_equal(filtered(try_unshare), EPERM);
        assert_int_equal(filtered(try_mount), EPERM);
        assert_int_equal(filtered(try_memfd), EPERM);
        assert_int_equal(filtered(try_clone3), ENOSYS);
        assert_int_equal(filtered(try_unix), EAFNOSUPPORT);
        assert_int_equal(filtered(try_packet), EAFNOSUPPORT);
#if defined(__x86_64__)
        assert_int_equal(filtered(try_x32), -SIGSYS);
#endif
}

static void test_allowed(void **state) {
        assert_int_equal(filtered(try_tcp), 0);
        assert_int_equal(filtered(try_netlink), 0);
        assert_int_equal(filtered(try_thread), 0);
        assert_int_equal(filtered(try_file), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_allowed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

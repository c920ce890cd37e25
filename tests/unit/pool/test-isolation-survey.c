/* The survey: that what it finds here is what can be done here. */

#include "pool/isolation.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "helpers.h"

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_setns(int fd, int flags);
int __wrap_setns(int fd, int flags);
int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);

/* In milliseconds: of the first process of a pid namespace, when it comes to run and when it binds
 * its life to another's; of that one, when it enters. */
static unsigned late_to_run, late_to_bind, late_to_enter;

static void sleep_ms(unsigned ms) {
        (void) usleep(ms * 1000);
}

long __wrap_syscall(long number, ...) {
        long of[6], r;
        va_list arguments;

        va_start(arguments, number);
        for (size_t i = 0; i < N_ELEMENTS(of); i++)
                of[i] = va_arg(arguments, long);
        va_end(arguments);
        r = __real_syscall(number, of[0], of[1], of[2], of[3], of[4], of[5]);
        if (number == SYS_clone && of[0] & CLONE_NEWPID && r == 0)
                sleep_ms(late_to_run);
        return r;
}

int __wrap_setns(int fd, int flags) {
        if (flags == CLONE_NEWPID)
                sleep_ms(late_to_enter);
        return __real_setns(fd, flags);
}

int __wrap_prctl(int option, ...) {
        unsigned long of[4];
        va_list arguments;

        va_start(arguments, option);
        for (size_t i = 0; i < N_ELEMENTS(of); i++)
                of[i] = va_arg(arguments, unsigned long);
        va_end(arguments);
        if (option == PR_SET_PDEATHSIG && getpid() == 1)
                sleep_ms(late_to_bind);
        return __real_prctl(option, of[0], of[1], of[2], of[3]);
}

static const IsolationConfig strict = {.mode = ISOLATION_STRICT, .worker_uid_base = 58000};

static void test_survey_finds_what_is_here(void **state) {
        IsolationSurvey survey;

        assert_int_equal(isolation_survey(&strict, &survey), 0);
        assert_int_equal(survey.is_root, geteuid() == 0);
        assert_true(strlen(survey.kernel) > 0);
        for (unsigned layer = 0; layer < _LAYERS; layer++)
                assert_non_null(survey.layers[layer].tried);
        /* Every Linux that this runs on has them for everybody. */
        assert_int_equal(survey.layers[LAYER_RLIMITS].error, 0);
        assert_int_equal(survey.layers[LAYER_NO_NEW_PRIVILEGES].error, 0);
        assert_int_equal(survey.layers[LAYER_NOT_DUMPABLE].error, 0);
        assert_int_equal(survey.layers[LAYER_OOM_SCORE].error, 0);
        assert_int_equal(survey.landlock_abi > 0, survey.layers[LAYER_LANDLOCK].error == 0);
}

/* All trials are made elsewhere: nothing of them stays here, not even a process. */
static void test_survey_leaves_no_trace(void **state) {
        IsolationSurvey survey;

        assert_int_equal(isolation_survey(&strict, &survey), 0);
        assert_int_equal(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_GET_SECCOMP), 0);
        assert_int_equal(prctl(PR_GET_DUMPABLE), 1);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/* It wrote its own 0 over its number, as which nobody ended it; and it held the server's output. */
static void test_a_late_first_process_of_a_pid_namespace_is_ended(void **state) {
        IsolationSurvey survey;

        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        late_to_run = 50;
        late_to_enter = 200;
        late_to_bind = 2000;
        assert_int_equal(isolation_survey(&strict, &survey), 0);
        late_to_run = late_to_enter = late_to_bind = 0;
        if (survey.layers[LAYER_PID_NAMESPACE].error != 0)
                skip_because("no pid namespace can be made here");
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

/* The server is not dumpable, which must not make it look as if less were to be had. */
static void test_survey_of_a_process_that_is_not_dumpable(void **state) {
        IsolationSurvey before, after;

        assert_int_equal(isolation_survey(&strict, &before), 0);
        assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
        assert_int_equal(isolation_survey(&strict, &after), 0);
        assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0);
        for (unsigned layer = 0; layer < _LAYERS; layer++)
                assert_int_equal(before.layers[layer].error, after.layers[layer].error);
}

/* As podman's policy has it. */
static void refuse_host_names(void) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sethostname, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = {N_ELEMENTS(filter), filter};

        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* A namespace in which no name can be set keeps the host's. */
static void test_survey_sets_a_host_name(void **state) {
        IsolationSurvey before, after;
        pid_t pid;
        int status;

        assert_int_equal(isolation_survey(&strict, &before), 0);
        if (before.layers[LAYER_UTS_NAMESPACE].error != 0)
                skip_because("no UTS namespace here: %s: %s",
                             before.layers[LAYER_UTS_NAMESPACE].tried,
                             strerror(before.layers[LAYER_UTS_NAMESPACE].error));
        pid = fork();
        if (pid == 0) {
                const LayerFinding *finding = &after.layers[LAYER_UTS_NAMESPACE];

                refuse_host_names();
                _exit(isolation_survey(&strict, &after) == 0 && finding->error == EPERM &&
                                      strcmp(finding->tried, "sethostname") == 0
                              ? 0
                              : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_survey_finds_what_is_here),
                cmocka_unit_test(test_survey_leaves_no_trace),
                cmocka_unit_test(test_a_late_first_process_of_a_pid_namespace_is_ended),
                cmocka_unit_test(test_survey_of_a_process_that_is_not_dumpable),
                cmocka_unit_test(test_survey_sets_a_host_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

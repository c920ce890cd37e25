/*
 * The filters as the kernel runs them, against the list that people have read.
 *
 * So that an allowed call does no harm, and a refusal of the filter's is none of the kernel's, the
 * filter is loaded with other answers in it: what it would let through comes back as ALLOWED, and
 * what it would refuse as REFUSED + errno. Then no call of the child does anything, not even
 * _exit(); it reports through shared memory, and ends on an illegal instruction.
 */

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../skip.h"
#include "filter.h"
#include "golden.h"
#include "kit/cleanup.h"

#define NUMBERS_END 601
#define JUNK        0x5a5a5a5a5a5a5a5aL

enum { ALLOWED = 4000, REFUSED = 3000, KILLED = -1, SILENT = -2 };

typedef struct Call {
        long number;
        unsigned long arguments[5];
} Call;

typedef struct Shared {
        size_t next;
        int answers[NUMBERS_END];
} Shared;

static Shared *shared;

static int set_up(void **state) {
        const struct rlimit none = {0, 0};

        /* SIGSYS dumps core, some fifty times. */
        if (setrlimit(RLIMIT_CORE, &none) < 0)
                return -1;
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                      0);
        return shared == MAP_FAILED ? -1 : 0;
}

static const struct {
        const struct sock_filter *code;
        unsigned short size;
        const unsigned short *own_pid; /* places of it */
        size_t n_own_pid;
} filters[_PROFILES] = {
        [PROFILE_THREADS] = {filter_threads, N_ELEMENTS(filter_threads), filter_threads_own_pid,
                             N_ELEMENTS(filter_threads_own_pid)},
        [PROFILE_SUBPROCESSES] = {filter_subprocesses, N_ELEMENTS(filter_subprocesses), NULL, 0},
        [PROFILE_SESSION] = {filter_session, N_ELEMENTS(filter_session), filter_session_own_pid,
                             N_ELEMENTS(filter_session_own_pid)},
};

static int load_marked(Profile profile) {
        struct sock_filter code[1024];
        struct sock_fprog program = {.filter = code, .len = filters[profile].size};

        assert_in_range(program.len, 1, N_ELEMENTS(code));
        memcpy(code, filters[profile].code, program.len * sizeof(code[0]));
        for (size_t i = 0; i < filters[profile].n_own_pid; i++)
                code[filters[profile].own_pid[i]].k = (uint32_t) getpid();
        for (size_t i = 0; i < program.len; i++) {
                if (code[i].code != (BPF_RET | BPF_K))
                        continue;
                if (code[i].k == SECCOMP_RET_ALLOW)
                        code[i].k = SECCOMP_RET_ERRNO | ALLOWED;
                else if ((code[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
                        code[i].k += REFUSED;
        }
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

/* OWN_PID among the arguments stands for the process id of the child. */
static _Noreturn void make_calls(Profile profile, const Call *calls, size_t n) {
        unsigned long own_pid = (unsigned long) getpid();

        /* cmocka catches it, and would go on with the next test in this process. */
        if (signal(SIGILL, SIG_DFL) == SIG_ERR || load_marked(profile) < 0)
                _exit(1);
        while (shared->next < n) {
                const Call *call = &calls[shared->next];
                unsigned long arguments[5];

                for (size_t i = 0; i < 5; i++) {
                        arguments[i] = call->arguments[i];
                        if ((uint32_t) arguments[i] == OWN_PID)
                                arguments[i] += own_pid - OWN_PID;
                }
                errno = 0;
                (void) syscall(call->number, arguments[0], arguments[1], arguments[2], arguments[3],
                               arguments[4], 0L);
                shared->answers[shared->next] = errno;
                shared->next++;
        }
        __builtin_trap();
}

/* Fills shared->answers; a call that kills takes a child with it, and the next goes on. */
static void ask_kernel(Profile profile, const Call *calls, size_t n) {
        assert_in_range(n, 1, NUMBERS_END);
        shared->next = 0;
        for (size_t i = 0; i < n; i++)
                shared->answers[i] = SILENT;
        for (;;) {
                pid_t child = fork();
                int status;

                assert_int_not_equal(child, -1);
                if (child == 0)
                        make_calls(profile, calls, n);
                assert_int_equal(waitpid(child, &status, 0), child);
                assert_true(WIFSIGNALED(status));
                if (WTERMSIG(status) != SIGSYS)
                        break;
                assert_in_range(shared->next, 0, n - 1);
                shared->answers[shared->next++] = KILLED;
        }
        assert_int_equal(shared->next, n);
}

static int marked(int answer) {
        if (answer == ANSWER_ALLOW)
                return ALLOWED;
        return answer == ANSWER_KILL ? KILLED : REFUSED + answer;
}

/* uretprobe and uprobe: the kernel puts these calls into programs that are probed, and asks no
 * filter about them (Linux 6.14, kernel/seccomp.c); made from anywhere else they are an illegal
 * instruction or do nothing. */
static bool is_beyond_filters(long number) {
#if defined(__x86_64__)
        return number == 335 || number == 336;
#else
        return false;
#endif
}

/* Every number there is, and many that there are not, with arguments that mean nothing. */
static void test_every_number_is_answered_as_listed(void **state) {
#if defined(__x86_64__)
        _autofree_ char *golden = golden_read();
        int newest = seccomp_syscall_resolve_name(NEWEST_CALL);
        Call calls[NUMBERS_END];

        for (long number = 0; number < NUMBERS_END; number++)
                calls[number] = (Call){is_beyond_filters(number) ? SYS_getpid : number,
                                       {JUNK, JUNK, JUNK, JUNK, JUNK}};
        for (Profile profile = 0; profile < _PROFILES; profile++) {
                ask_kernel(profile, calls, NUMBERS_END);
                for (int number = 0; number < NUMBERS_END; number++) {
                        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE,
                                                                      (int) calls[number].number);
                        Golden expected = {.answer = ANSWER_DEFAULT};
                        int answer;

                        if (number > newest)
                                expected.answer = ANSWER_TOO_NEW;
                        else if (name)
                                expected = golden_find(golden, name, profile);
                        if (name && number <= newest && !expected.is_listed)
                                fail_msg("%s is not in the list", name);
                        answer = expected.is_checked ? ANSWER_DEFAULT : expected.answer;
                        if (shared->answers[number] != marked(answer))
                                fail_msg("%s: %s (%d) is answered with %d, listed with %d",
                                         policy_profile_name(profile), name ? name : "?", number,
                                         shared->answers[number], marked(answer));
                        free(name);
                }
        }
#else
        skip_because("the list is of the calls of x86-64");
#endif
}

#define HIGH       (1UL << 32)
#define HIGHEST    (1UL << 63)
#define THREAD     0x3d0f00UL /* what glibc's pthread_create() asks for */
#define ALL        ((1 << _PROFILES) - 1)
#define PROCESSES  (1 << PROFILE_SUBPROCESSES)
#define SESSION    (1 << PROFILE_SESSION)
#define OWN        ((unsigned long) OWN_PID)
#define MINUS(n)   ((unsigned long) -(long) (n))
#define MINUS32(n) ((unsigned long) (uint32_t) - (int) (n))

/* The last column: the profiles that allow it; the others refuse it with EPERM. The kernel looks at
 * the low half of these arguments only, so a bit of the high half must change nothing. */
static const struct {
        Call call;
        int allowed_in;
} arguments[] = {
        {{SYS_clone, {THREAD}}, ALL},
        {{SYS_clone, {THREAD | HIGH}}, ALL},
        {{SYS_clone, {SIGCHLD}}, PROCESSES},
        {{SYS_clone, {SIGCHLD | HIGH}}, PROCESSES},
        {{SYS_clone, {CLONE_VM | CLONE_VFORK | SIGCHLD}}, PROCESSES},
        {{SYS_clone, {THREAD & ~(unsigned long) CLONE_THREAD}}, PROCESSES},
        {{SYS_clone, {CLONE_THREAD}}, PROCESSES},
        {{SYS_clone, {THREAD | CLONE_NEWUSER}}, 0},
        {{SYS_clone, {THREAD | CLONE_NEWUSER | HIGH}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWUSER}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWUSER | HIGH}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWNS}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWPID}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWNET}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWIPC}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWUTS}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_NEWCGROUP}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_PARENT}}, SESSION},
        {{SYS_clone, {SIGCHLD | CLONE_PARENT | CLONE_CHILD_SETTID | HIGH}}, SESSION},
        {{SYS_clone, {SIGCHLD | CLONE_PARENT | CLONE_VM}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_PARENT | CLONE_FILES}}, 0},
        {{SYS_clone, {SIGCHLD | CLONE_PARENT | CLONE_NEWUSER}}, 0},
        {{SYS_clone, {CLONE_PARENT}}, 0},
        {{SYS_clone, {THREAD | CLONE_PARENT}}, 0},

        {{SYS_kill, {OWN, 9}}, ALL},
        {{SYS_kill, {OWN | HIGH, 9}}, ALL},
        {{SYS_kill, {0, 9}}, ALL},
        {{SYS_kill, {HIGH, 9}}, ALL},
        {{SYS_kill, {1, 9}}, PROCESSES},
        {{SYS_kill, {1 | HIGH, 9}}, PROCESSES},
        {{SYS_kill, {OWN + 1, 9}}, PROCESSES},
        {{SYS_kill, {MINUS(1), 9}}, PROCESSES},
        {{SYS_kill, {MINUS32(1), 9}}, PROCESSES},
        {{SYS_kill, {MINUS32(2), 9}}, PROCESSES},
        {{SYS_tgkill, {OWN, 1, 9}}, ALL},
        {{SYS_tgkill, {0, 1, 9}}, PROCESSES},
        {{SYS_tgkill, {1 | HIGH, 1, 9}}, PROCESSES},

        {{SYS_socketpair, {AF_UNIX, SOCK_STREAM}}, ALL},
        {{SYS_socketpair, {AF_UNIX | HIGH, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK}}, ALL},
        {{SYS_socketpair, {AF_UNIX, SOCK_DGRAM}}, 0},
        {{SYS_socketpair, {AF_UNIX, SOCK_DGRAM | HIGH}}, 0},
        {{SYS_socketpair, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC}}, 0},
        {{SYS_socketpair, {AF_INET, SOCK_STREAM}}, 0},
        {{SYS_socketpair, {AF_INET | HIGH, SOCK_STREAM}}, 0},
        {{SYS_socketpair, {AF_TIPC, SOCK_STREAM}}, 0},
        {{SYS_sendto, {3, JUNK, 1, 0, 0}}, ALL},
        {{SYS_sendto, {3, JUNK, 1, 0, HIGH}}, 0}, /* a pointer: all bits count */
        {{SYS_sendto, {3, JUNK, 1, 0, 1}}, 0},
        {{SYS_recvmsg, {CONTROL_FD, JUNK}}, SESSION},
        {{SYS_recvmsg, {CONTROL_FD | HIGH, JUNK}}, SESSION},
        {{SYS_recvmsg, {3, JUNK}}, 0},
        {{SYS_setsockopt, {3, SOL_SOCKET, SO_RCVTIMEO}}, ALL},
        {{SYS_setsockopt, {3, SOL_SOCKET, SO_SNDBUF}}, 0},
        {{SYS_setsockopt, {3, SOL_SOCKET, SO_RCVBUF | HIGH}}, 0},
        {{SYS_setsockopt, {3, SOL_SOCKET, SO_ATTACH_FILTER}}, 0},
        {{SYS_setsockopt, {3, SOL_SOCKET, SO_ATTACH_FILTER | HIGH}}, 0},
        {{SYS_setsockopt, {3, 0, SO_RCVTIMEO}}, 0},
        {{SYS_setsockopt, {3, HIGH, SO_RCVTIMEO}}, 0},

        {{SYS_fcntl, {3, F_GETFD}}, ALL},
        {{SYS_fcntl, {3, F_GETFD | HIGH}}, ALL},
        {{SYS_fcntl, {3, F_DUPFD_CLOEXEC, 9}}, ALL},
        {{SYS_fcntl, {3, F_SETOWN, 1}}, 0},
        {{SYS_fcntl, {3, F_SETOWN | HIGH, 1}}, 0},
        {{SYS_fcntl, {3, F_SETOWN_EX, 1}}, 0},
        {{SYS_fcntl, {3, F_SETSIG | HIGHEST, 9}}, 0},
        {{SYS_fcntl, {3, F_SETLEASE, 1}}, 0},
        {{SYS_fcntl, {3, F_NOTIFY, 1}}, 0},
        {{SYS_fcntl, {3, F_SETPIPE_SZ, 1 << 20}}, 0},
        {{SYS_fcntl, {3, F_ADD_SEALS, 1}}, 0},
        {{SYS_fcntl, {3, F_SETLK, JUNK}}, ALL},
        {{SYS_fcntl, {3, F_OFD_SETLK, JUNK}}, 0},
        {{SYS_fcntl, {3, F_OFD_SETLKW | HIGH, JUNK}}, 0},

        {{SYS_fchmod, {3, 01777}}, ALL},
        {{SYS_fchmod, {3, S_ISUID | 0755}}, 0},
        {{SYS_fchmod, {3, S_ISGID | 0755 | HIGH}}, 0},
        {{SYS_fchmodat, {3, JUNK, 0755}}, ALL},
        {{SYS_fchmodat, {3, JUNK, S_ISGID | 0755}}, 0},
        {{SYS_openat, {3, JUNK, O_CREAT | O_RDWR, 0666}}, ALL},
        {{SYS_openat, {3, JUNK, O_CREAT | O_RDWR, S_ISUID | 0755}}, 0},
        {{SYS_openat, {3, JUNK, O_CREAT | O_RDWR, S_ISGID | 0755 | HIGH}}, 0},
        {{SYS_fadvise64, {3, 0, 0, POSIX_FADV_SEQUENTIAL}}, ALL},
        {{SYS_fadvise64, {3, 0, 0, POSIX_FADV_DONTNEED}}, 0},
        {{SYS_fadvise64, {3, 0, 0, POSIX_FADV_DONTNEED | HIGH}}, 0},

        {{SYS_ioctl, {3, TCGETS}}, ALL},
        {{SYS_ioctl, {3, FIONREAD | HIGH}}, ALL},
        {{SYS_ioctl, {3, TIOCSTI}}, 0},
        {{SYS_ioctl, {3, TIOCSTI | HIGH}}, 0},
        {{SYS_ioctl, {3, TIOCSTI | HIGHEST}}, 0},
        {{SYS_ioctl, {3, TIOCLINUX}}, 0},
        {{SYS_ioctl, {3, FIOASYNC}}, 0},
        {{SYS_ioctl, {3, FIOSETOWN}}, 0},
        {{SYS_ioctl, {3, TIOCSCTTY}}, 0},
        {{SYS_prctl, {PR_SET_NAME}}, ALL},
        {{SYS_prctl, {PR_GET_DUMPABLE | HIGH}}, ALL},
        {{SYS_prctl, {PR_SET_DUMPABLE, 1}}, 0},
        {{SYS_prctl, {PR_SET_DUMPABLE | HIGH, 1}}, 0},
        {{SYS_prctl, {PR_SET_PTRACER, MINUS(1)}}, 0},
        {{SYS_prctl, {PR_SET_SECCOMP, SECCOMP_MODE_FILTER}}, 0},
        {{SYS_prctl, {PR_SET_SECCOMP | HIGHEST, SECCOMP_MODE_FILTER}}, 0},
        {{SYS_prctl, {PR_SET_MM, PR_SET_MM_ARG_START}}, 0},
        {{SYS_prctl, {PR_SET_PDEATHSIG, 0}}, SESSION},
        {{SYS_prctl, {PR_SET_CHILD_SUBREAPER, 1}}, 0},
        {{SYS_prctl, {PR_SET_SPECULATION_CTRL}}, 0},
        {{SYS_seccomp, {SECCOMP_SET_MODE_FILTER, 0}}, PROCESSES | SESSION},
        {{SYS_seccomp, {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER}}, 0},
        {{SYS_seccomp, {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW | HIGH}}, 0},
        {{SYS_seccomp, {SECCOMP_SET_MODE_STRICT, 0}}, 0},

        {{SYS_prlimit64, {0, RLIMIT_CPU}}, ALL},
        {{SYS_prlimit64, {HIGH, RLIMIT_CPU}}, ALL},
        {{SYS_prlimit64, {1, RLIMIT_CPU}}, 0},
        {{SYS_prlimit64, {1 | HIGH, RLIMIT_CPU}}, 0},

        {{SYS_mknodat, {3, JUNK, S_IFIFO | 0600}}, ALL},
        {{SYS_mknodat, {3, JUNK, S_IFIFO | 0600 | HIGH}}, ALL},
        {{SYS_mknodat, {3, JUNK, S_IFCHR | 0600, 0x103}}, 0},
        {{SYS_mknodat, {3, JUNK, S_IFBLK | 0600 | HIGH, 0x800}}, 0},
        {{SYS_mknodat, {3, JUNK, S_IFSOCK | 0600}}, 0},
#if defined(__x86_64__)
        {{SYS_arch_prctl, {0x1002}}, PROCESSES}, /* ARCH_SET_FS */
        {{SYS_arch_prctl, {0x1001}}, 0},         /* ARCH_SET_GS */
        {{SYS_arch_prctl, {0x1001 | HIGH}}, 0},
        {{SYS_mknod, {JUNK, S_IFBLK | HIGH}}, 0},
        {{SYS_chmod, {JUNK, S_ISUID | 0755}}, 0},
        {{SYS_creat, {JUNK, S_ISUID | 0755}}, 0},
        {{SYS_open, {JUNK, O_CREAT | O_RDWR, 0666}}, ALL},
        {{SYS_open, {JUNK, O_CREAT | O_RDWR, S_ISUID | 0755}}, 0},
#endif
};

static void test_arguments_count_as_the_kernel_takes_them(void **state) {
        Call calls[N_ELEMENTS(arguments)];

        for (size_t i = 0; i < N_ELEMENTS(arguments); i++)
                calls[i] = arguments[i].call;
        for (Profile profile = 0; profile < _PROFILES; profile++) {
                ask_kernel(profile, calls, N_ELEMENTS(calls));
                for (size_t i = 0; i < N_ELEMENTS(calls); i++) {
                        int expected =
                                arguments[i].allowed_in & 1 << profile ? ALLOWED : REFUSED + EPERM;

                        if (shared->answers[i] != expected)
                                fail_msg("%s: line %zu, call %ld with %lx %lx: %d",
                                         policy_profile_name(profile), i, calls[i].number,
                                         calls[i].arguments[0], calls[i].arguments[1],
                                         shared->answers[i]);
                }
        }
}

/* The system calls of x32 have numbers of their own, for the same code. */
static void test_x32_kills(void **state) {
#if defined(__x86_64__)
        Call calls[64];

        for (size_t i = 0; i < N_ELEMENTS(calls); i++)
                calls[i] = (Call){(long) (0x40000000 + i * 9), {JUNK}};
        for (Profile profile = 0; profile < _PROFILES; profile++) {
                ask_kernel(profile, calls, N_ELEMENTS(calls));
                for (size_t i = 0; i < N_ELEMENTS(calls); i++)
                        assert_int_equal(shared->answers[i], KILLED);
        }
#else
        skip_because("only x86-64 has such calls");
#endif
}

#if defined(__x86_64__)
/* getpid() of the 32-bit table. */
static int end_after_int80(bool filtered, Profile profile) {
        pid_t child = fork();
        int status;

        if (child == 0) {
                long answer = 20;

                if (filtered && load_marked(profile) < 0)
                        _exit(1);
                __asm__ volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
                if (!filtered)
                        _exit(answer == getpid() ? 0 : 2);
                __builtin_trap();
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        return status;
}
#endif

static void test_32_bit_calls_kill(void **state) {
#if defined(__x86_64__)
        /* Without a filter the call works, where the kernel has it at all. */
        if (end_after_int80(false, 0) != 0)
                skip_because("this kernel has no 32-bit calls");
        for (Profile profile = 0; profile < _PROFILES; profile++) {
                int status = end_after_int80(true, profile);

                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGSYS);
        }
#else
        skip_because("only x86-64 has such calls");
#endif
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_number_is_answered_as_listed),
                cmocka_unit_test(test_arguments_count_as_the_kernel_takes_them),
                cmocka_unit_test(test_x32_kills),
                cmocka_unit_test(test_32_bit_calls_kill),
        };

        return cmocka_run_group_tests(tests, set_up, NULL);
}

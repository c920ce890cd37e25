#include "interp/filter/policy.h"

#include <asm/ioctls.h>
#include <asm/prctl.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define N_VALUES(...) (sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define IS(number, bits, ...)                                                                      \
        {                                                                                          \
                .argument = (number), .mask = (bits), .n_values = N_VALUES(__VA_ARGS__),           \
                .values = {                                                                        \
                        __VA_ARGS__                                                                \
                }                                                                                  \
        }

#define ALLOW(calls)                                                                               \
        { .names = (calls) }
#define ALLOW_IN(profile, calls)                                                                   \
        { .names = (calls), .profiles = (profile) }
#define ALLOW_IF(profile, calls, ...)                                                              \
        {                                                                                          \
                .names = (calls), .profiles = (profile), .checks = { __VA_ARGS__ }                 \
        }
#define REFUSE(code, calls)                                                                        \
        { .names = (calls), .answer = (code) }
#define KILL(calls)                                                                                \
        { .names = (calls), .answer = ANSWER_KILL }

/* What pthread_create() of glibc 2.36 and of musl ask for, beyond the pointers that come along. Any
 * other bit is refused: without these it is a process, and of the rest CLONE_PARENT would make a
 * child of the supervisor. */
#define THREAD_FLAGS                                                                               \
        (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define THREAD_POINTERS                                                                            \
        (CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |          \
         CLONE_DETACHED)
#define COPY_FLAGS (CLONE_PARENT | SIGCHLD)
#define NEVER_FLAGS                                                                                \
        ((uint64_t) CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |  \
         CLONE_NEWPID | CLONE_NEWNET | CLONE_PARENT | CLONE_PTRACE)

#define HARMLESS_PRCTLS                                                                            \
        PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS

const Rule policy_rules[] = {
        /* ── Files. Which ones is for the mount namespace and Landlock to say. ── */
        ALLOW("read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek"),
        ALLOW("close dup dup2 dup3 umask"),
        /* Not CLOSE_RANGE_UNSHARE: a thread with descriptors of its own would have as many again.
         */
        ALLOW_IF(IN_ALL, "close_range", IS(2, INT, 0, CLOSE_RANGE_CLOEXEC)),
        /* No set-user-id and no set-group-id files. Where a run writes to a disk of the host (a
         * data path; its own folder where there are no cells), such a file is a way for another
         * user of the host to become the one that runs workers. Directories never get these bits at
         * birth. */
        ALLOW_IF(IN_ALL, "open", IS(2, S_ISUID | S_ISGID, 0)),
        ALLOW_IF(IN_ALL, "openat", IS(3, S_ISUID | S_ISGID, 0)),
        ALLOW_IF(IN_ALL, "creat chmod fchmod", IS(1, S_ISUID | S_ISGID, 0)),
        ALLOW_IF(IN_ALL, "fchmodat", IS(2, S_ISUID | S_ISGID, 0)),
        ALLOW("stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat"),
        ALLOW("getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir"),
        /* link and unlink: sem_open() of glibc makes a semaphore under another name first. */
        ALLOW("unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat"),
        ALLOW("truncate ftruncate fsync fdatasync sendfile copy_file_range flock"),
        /* As on a file system without it, so that posix_fallocate() of glibc writes instead: a run
         * whose files are on disk could take gigabytes with one call, in no time, long before
         * anybody looks at what it has. */
        REFUSE(EOPNOTSUPP, "fallocate"),
        ALLOW("utime utimes futimesat utimensat statfs fstatfs"),
        /* Not POSIX_FADV_DONTNEED: it takes everybody's libraries out of the page cache. */
        ALLOW_IF(IN_ALL, "fadvise64",
                 IS(3, INT, POSIX_FADV_NORMAL, POSIX_FADV_RANDOM, POSIX_FADV_SEQUENTIAL,
                    POSIX_FADV_WILLNEED, POSIX_FADV_NOREUSE)),
        /* Named pipes, and no devices: whoever collects files opens none of either. */
        ALLOW_IF(IN_ALL, "mknod", IS(1, S_IFMT, S_IFIFO)),
        ALLOW_IF(IN_ALL, "mknodat", IS(2, S_IFMT, S_IFIFO)),
        /* Not F_SETOWN, F_SETSIG: the kernel would signal a stranger. Not F_SETLEASE, F_NOTIFY,
         * F_SETPIPE_SZ: they reach others who use the file, or take the kernel's memory. Nor locks
         * of open files: those of a process end when it closes the file, so that RLIMIT_NOFILE
         * bounds them somewhat, but these last as long as it is mapped, and nothing counts a lock's
         * memory (RLIMIT_LOCKS has meant nothing since Linux 2.4.25). */
        ALLOW_IF(IN_ALL, "fcntl",
                 IS(1, INT, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK,
                    F_SETLK, F_SETLKW, F_GETPIPE_SZ, F_GET_SEALS)),
        ALLOW_IF(IN_ALL, "ioctl",
                 IS(1, INT, TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX)),
        /* shutil.copystat() takes this errno for "there is no such thing here"; it raises EPERM. */
        REFUSE(ENOTSUP, "listxattr llistxattr flistxattr getxattr lgetxattr fgetxattr"),
        REFUSE(ENOTSUP, "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr"),
        /* Ownership is never a run's business. SQLite asks, as root, and goes on without. */
        REFUSE(EPERM, "chown fchown lchown fchownat"),

        /* ── Memory ── */
        ALLOW("brk mmap munmap mprotect mremap madvise msync membarrier"),
        /* It tells a worker of the zygote's user which pages of the shared image earlier runs have
         * touched. */
        REFUSE(EPERM, "mincore"),
        /* OpenBLAS asks and goes on. RLIMIT_MEMLOCK is 0 in any case. */
        REFUSE(EPERM, "mbind set_mempolicy mlock mlock2 mlockall"),
        /* Memory that RLIMIT_AS does not see. */
        REFUSE(ENOSYS, "memfd_create"),

        /* ── Signals, to this process only: its number is put in when the filter is loaded. ── */
        ALLOW("rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait "
              "rt_sigsuspend"),
        ALLOW("sigaltstack pause"),
        /* kill(0) is the worker's own group: it leads a session. */
        ALLOW_IF(IN_THREADS | IN_SESSION, "kill", IS(0, INT, 0, OWN_PID)),
        ALLOW_IF(IN_THREADS | IN_SESSION, "tgkill", IS(0, INT, OWN_PID)),
        /* Its children are its own to end; what else it might reach is for the pid namespace, the
         * user id or Landlock's scope to say, and no worker is made without one of them. */
        ALLOW_IN(IN_SUBPROCESSES, "kill tgkill"),
        /* Signals that carry a value are memory of the kernel's, queued as long as they are
         * blocked; POSIX timers are the same. tkill names a thread of any process. */
        REFUSE(EPERM, "rt_sigqueueinfo rt_tgsigqueueinfo timer_create tkill"),

        /* ── Threads ── */
        ALLOW("futex futex_waitv set_robust_list get_robust_list rseq set_tid_address gettid"),
        ALLOW("sched_yield sched_getaffinity sched_getparam sched_getscheduler getcpu getpriority"),
        ALLOW("sched_get_priority_max sched_get_priority_min exit exit_group restart_syscall"),
        ALLOW_IF(IN_THREADS, "clone", IS(0, INT & ~(uint64_t) THREAD_POINTERS, THREAD_FLAGS)),
        /* Besides, a copy of a session, which the supervisor must allow each time: see the filter
         * beneath this one (confine_filter.c). */
        ALLOW_IF(IN_SESSION, "clone",
                 IS(0, INT & ~(uint64_t) THREAD_POINTERS, THREAD_FLAGS, COPY_FLAGS)),
        /* Its flags are behind a pointer, where no filter can look. glibc falls back on clone(). */
        REFUSE(ENOSYS, "clone3"),
        /* Which processor it runs on is the server's to say; libraries only ask. */
        REFUSE(EPERM,
               "sched_setaffinity sched_setscheduler sched_setparam sched_setattr setpriority"),

        /* ── Processes ── */
        ALLOW("wait4 waitid getpid getppid getpgid getpgrp getsid"),
        ALLOW("getuid geteuid getgid getegid getgroups getresuid getresgid"),
        ALLOW_IF(IN_SUBPROCESSES, "clone", IS(0, NEVER_FLAGS, 0)),
        ALLOW_IN(IN_SUBPROCESSES, "fork vfork execve execveat setpgid"),
        /* Where it does anything, in a process that leads no group, that is a copy which leaves the
         * group of its source. */
        ALLOW_IN(IN_SUBPROCESSES | IN_SESSION, "setsid"),
/* The loader of every new program on x86-64 sets the base of its thread's storage. */
#if defined(__x86_64__)
        ALLOW_IF(IN_SUBPROCESSES, "arch_prctl", IS(0, INT, ARCH_SET_FS)),
#endif
        /* A run that may have one process only gets the stricter profile on top. The worker takes
         * this call away before the run begins. A copy of a session gets a filter on top, too;
         * there the call stays, as more filters only take away. */
        ALLOW_IF(IN_SUBPROCESSES | IN_SESSION, "seccomp", IS(0, INT, SECCOMP_SET_MODE_FILTER),
                 IS(1, INT, 0)),
        /* Likewise. */
        ALLOW_IN(IN_SESSION, "landlock_create_ruleset landlock_add_rule landlock_restrict_self"),
        /* Descriptors for a copy come through this socket, and through no other. */
        ALLOW_IF(IN_SESSION, "recvmsg", IS(0, INT, CONTROL_FD)),
        ALLOW("getrlimit getrusage"),
        ALLOW_IF(IN_ALL, "prlimit64", IS(0, INT, 0)),
        ALLOW_IF(IN_THREADS | IN_SUBPROCESSES, "prctl", IS(0, INT, HARMLESS_PRCTLS)),
        /* A copy ends with the supervisor as its source does. No other signal than SIGKILL passes
         * the filter beneath this one. */
        ALLOW_IF(IN_SESSION, "prctl", IS(0, INT, HARMLESS_PRCTLS, PR_SET_PDEATHSIG)),
        REFUSE(EPERM,
               "setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid"),
        REFUSE(EPERM, "capget capset personality"),

        /* ── Time ── */
        ALLOW("clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times"),
        ALLOW("getitimer setitimer alarm"),
        REFUSE(EPERM, "clock_settime clock_adjtime settimeofday adjtimex"),

        /* ── Waiting, and pipes of its own ── */
        ALLOW("poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait "
              "epoll_pwait"),
        ALLOW("epoll_pwait2 eventfd eventfd2 pipe pipe2"),
        ALLOW("recvfrom getsockname getpeername getsockopt shutdown"),
        /* asyncio wakes itself through a pair of sockets. Streams only: on a pair of datagram
         * sockets sendto() reaches any abstract address (measured). */
        ALLOW_IF(IN_ALL, "socketpair", IS(0, INT, AF_UNIX),
                 IS(1, INT & ~(uint64_t) (SOCK_CLOEXEC | SOCK_NONBLOCK), SOCK_STREAM)),
        /* send() is this, without an address. */
        ALLOW_IF(IN_ALL, "sendto", IS(4, UINT64_MAX, 0)),
        /* Not SO_ATTACH_FILTER, which would have the kernel run a program of the run's. Not
         * SO_SNDBUF: what waits in a socket is memory of the kernel's, and 125 pairs with all that
         * net.core.wmem_max allows (4 MiB since Linux 6.18) held 2 GB that no limit sees. */
        ALLOW_IF(IN_ALL, "setsockopt", IS(1, INT, SOL_SOCKET),
                 IS(2, INT, SO_SNDTIMEO, SO_RCVTIMEO)),
        /* As on a kernel without a network. */
        REFUSE(EAFNOSUPPORT, "socket"),
        /* Objects that other workers could share: System V IPC, message queues, watches. */
        REFUSE(EPERM, "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd "
                      "msgrcv msgctl"),
        REFUSE(EPERM,
               "mq_open mq_unlink inotify_init inotify_init1 fanotify_init name_to_handle_at"),

        /* ── The machine ── */
        ALLOW("uname sysinfo getrandom"),

        /* ── What libraries try and can do without, if they are told that there is none ── */
        REFUSE(ENOSYS, "openat2 io_uring_setup"),

        /* ── What only an attack makes ── */
        KILL("ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd"),
        KILL("bpf perf_event_open userfaultfd io_uring_enter io_uring_register"),
        KILL("keyctl add_key request_key"),
        KILL("mount umount2 pivot_root chroot setns unshare move_mount open_tree fsopen fsmount"),
        KILL("fsconfig fspick mount_setattr open_by_handle_at quotactl acct syslog"),
        KILL("kexec_load kexec_file_load init_module finit_module delete_module"),
        KILL("reboot swapon swapoff iopl ioperm modify_ldt"),
};

const size_t policy_n_rules = sizeof(policy_rules) / sizeof(policy_rules[0]);

const char *policy_profile_name(Profile profile) {
        static const char *const names[] = {
                [PROFILE_THREADS] = "threads",
                [PROFILE_SUBPROCESSES] = "subprocesses",
                [PROFILE_SESSION] = "session",
        };

        assert(profile < _PROFILES);
        return names[profile];
}

bool policy_rule_is_in(const Rule *rule, Profile profile) {
        return rule->profiles == IN_ALL || rule->profiles & 1U << profile;
}

bool policy_next_name(const char **names, char *name, size_t size) {
        size_t length;

        *names += strspn(*names, " ");
        length = strcspn(*names, " ");
        if (length == 0)
                return false;
        assert(length < size);
        memcpy(name, *names, length);
        name[length] = 0;
        *names += length;
        return true;
}

const Rule *policy_find(Profile profile, const char *wanted) {
        for (size_t i = 0; i < policy_n_rules; i++) {
                const char *names = policy_rules[i].names;
                char name[64];

                if (!policy_rule_is_in(&policy_rules[i], profile))
                        continue;
                while (policy_next_name(&names, name, sizeof(name)))
                        if (strcmp(name, wanted) == 0)
                                return &policy_rules[i];
        }
        return NULL;
}

static bool check_holds(const Check *check, const uint64_t arguments[6]) {
        if (check->mask == 0)
                return true;
        for (size_t i = 0; i < check->n_values; i++) {
                if ((arguments[check->argument] & check->mask) == check->values[i])
                        return true;
        }
        return false;
}

int policy_decide(const Rule *rule, const uint64_t arguments[6]) {
        if (!rule)
                return ANSWER_DEFAULT;
        return check_holds(&rule->checks[0], arguments) && check_holds(&rule->checks[1], arguments)
                       ? rule->answer
                       : ANSWER_DEFAULT;
}

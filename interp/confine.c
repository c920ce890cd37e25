#include "interp/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "interp/confine_filter.h"
#include "kit/cleanup.h"

/* What getting ready takes beyond the warm interpreter: rehearsal, page tables, the request's own
 * bytes. */
#define ADDRESS_HEADROOM ((uint64_t) 64 << 20)
/* What a run takes before its first line: its source, its arguments, in two shapes. */
#define RUN_HEADROOM ((uint64_t) 16 << 20)
/* A worker that is made new after each run lives on one account of processor time. When it is
 * nearly spent, the worker retires. */
#define RESET_CPU_SECONDS ((uint64_t) 100000)

int64_t confine_address_space(void) {
        _autoclose_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        char text[128];
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = 0;
        return (int64_t) strtoull(text, NULL, 10) * sysconf(_SC_PAGESIZE);
}

uint64_t confine_cpu_seconds(void) {
        struct timespec used;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        return (uint64_t) used.tv_sec + 1;
}

static int set_limit(int resource, uint64_t soft, uint64_t hard) {
        struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

        return setrlimit((__rlimit_resource_t) resource, &limit) < 0 ? -errno : 0;
}

static int step_session(Confinement *confinement) {
        return setsid() < 0 ? -errno : 0;
}

/* A change of ids clears it, so it stands in the list twice. */
static int step_parent_death(Confinement *confinement) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        /* It may have died before we asked. */
        return getppid() == confinement->parent ? 0 : -ESRCH;
}

static int step_streams(Confinement *confinement) {
        const int *fds = confinement->fds;

        /* The zygote's standard input is /dev/null; opened anew, it is nobody else's. */
        _autoclose_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
                return -errno;
        if (dup2(fds[SPAWN_FD_STDOUT], STDOUT_FILENO) < 0 ||
            dup2(fds[SPAWN_FD_STDERR], STDERR_FILENO) < 0)
                return -errno;
        if (dup3(fds[SPAWN_FD_REQUEST], WORKER_FD_REQUEST, O_CLOEXEC) < 0)
                return -errno;
        return dup3(fds[SPAWN_FD_RESULT], WORKER_FD_RESULT, O_CLOEXEC) < 0 ? -errno : 0;
}

static int step_directory(Confinement *confinement) {
        _autoclose_ int fd = openat(confinement->fds[SPAWN_FD_DIRECTORY], "work",
                                    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return fchdir(fd) < 0 ? -errno : 0;
}

static int step_descriptors(Confinement *confinement) {
        if (confinement->command->flags & SPAWN_RESET) {
                _autoclose_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

                if (fd < 0 || dup3(fd, WORKER_FD_STATISTICS, O_CLOEXEC) < 0)
                        return -errno;
        }
        if (close_range(STDERR_FILENO + 1, WORKER_FD_REQUEST - 1, 0) < 0)
                return -errno;
        if (confinement->command->flags & SPAWN_RESET)
                return close_range(WORKER_FD_END, ~0U, 0) < 0 ? -errno : 0;
        return close_range(WORKER_FD_RESULT + 1, ~0U, 0) < 0 ? -errno : 0;
}

/* The kernel shall take workers before it takes the server. Raising it needs no rights, but the
 * file belongs to root while the process is not dumpable; the zygote has raised its own, which is
 * inherited. */
static int step_oom_score(Confinement *confinement) {
        _autoclose_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd >= 0 && write(fd, "1000", 4) < 0)
                return 0;
        return 0;
}

/* Every limit is finite: RLIM_INFINITY would be a promise that nothing keeps. */
static int step_limits(Confinement *confinement) {
        const SpawnCommand *command = confinement->command;
        bool is_reset = command->flags & SPAWN_RESET;
        int64_t address_bytes = confine_address_space();
        uint64_t cpu_seconds = confine_cpu_seconds() + command->cpu_seconds + 2;
        struct {
                int resource;
                uint64_t soft, hard;
        } limits[] = {
                {RLIMIT_CORE, 0, 0},
                {RLIMIT_NOFILE, WORKER_FD_LIMIT, WORKER_FD_LIMIT},
                {RLIMIT_NPROC, command->tasks, command->tasks},
                {RLIMIT_FSIZE, command->file_bytes, command->file_bytes},
                {RLIMIT_CPU, cpu_seconds, is_reset ? cpu_seconds + RESET_CPU_SECONDS : cpu_seconds},
                {RLIMIT_STACK, (uint64_t) 8 << 20, (uint64_t) 64 << 20},
                {RLIMIT_MEMLOCK, 0, 0},
                {RLIMIT_MSGQUEUE, 0, 0},
                {RLIMIT_SIGPENDING, 64, 64},
                {RLIMIT_RTPRIO, 0, 0},
                {RLIMIT_NICE, 0, 0},
                {RLIMIT_RTTIME, 1000000, 1000000},
                {RLIMIT_AS, 0, 0},
        };

        if (address_bytes < 0)
                return (int) address_bytes;
        confinement->address_bytes = (uint64_t) address_bytes;
        limits[N_ELEMENTS(limits) - 1].soft = limits[N_ELEMENTS(limits) - 1].hard =
                confinement->address_bytes + command->memory_bytes + ADDRESS_HEADROOM;

        for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
                int r;

                if (limits[i].resource == RLIMIT_NPROC && command->tasks == 0)
                        continue;
                r = set_limit(limits[i].resource, limits[i].soft, limits[i].hard);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Before the ids change, since it takes CAP_SETPCAP; a process without it cannot gain a capability
 * anyway, as no_new_privs comes next. */
static int step_bounding_set(Confinement *confinement) {
        for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
                if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
                        return errno == EPERM && geteuid() != 0 ? 0 : -errno;
        }
        return 0;
}

static int step_identity(Confinement *confinement) {
        const SpawnCommand *command = confinement->command;
        uid_t real, effective, saved;

        if (!(command->flags & SPAWN_DROP_IDS))
                return 0;
        if (command->uid == 0 || command->gid == 0)
                return -EINVAL;
        if (setgroups(0, NULL) < 0 || setresgid(command->gid, command->gid, command->gid) < 0 ||
            setresuid(command->uid, command->uid, command->uid) < 0)
                return -errno;
        if (getresuid(&real, &effective, &saved) < 0)
                return -errno;
        if (real != command->uid || effective != command->uid || saved != command->uid)
                return -EPERM;
        /* There must be no way back. */
        return setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0 ? -EPERM : 0;
}

static int step_capabilities(Confinement *confinement) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct none[2] = {{0}};

        (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int step_no_new_privileges(Confinement *confinement) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* No core file, no ptrace and no /proc/PID/mem for a neighbour of the same uid. */
static int step_not_dumpable(Confinement *confinement) {
        (void) umask(077);
        return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

static int step_system_calls(Confinement *confinement) {
        return confine_system_calls(confinement->command->flags & SPAWN_SUBPROCESSES);
}

int confine(Confinement *confinement) {
        static const struct {
                const char *name;
                int (*take)(Confinement *confinement);
        } steps[] = {
                {"a session of its own", step_session},
                {"death with the supervisor", step_parent_death},
                {"standard streams", step_streams},
                {"workspace", step_directory},
                {"descriptors", step_descriptors},
                {"out-of-memory score", step_oom_score},
                {"resource limits", step_limits},
                {"capability bounding set", step_bounding_set},
                {"user and group", step_identity},
                {"death with the supervisor", step_parent_death},
                {"capabilities", step_capabilities},
                {"no new privileges", step_no_new_privileges},
                {"not dumpable", step_not_dumpable},
                {"system calls", step_system_calls},
        };

        for (size_t i = 0; i < N_ELEMENTS(steps); i++) {
                int r = steps[i].take(confinement);

                if (r < 0) {
                        confinement->failed_step = steps[i].name;
                        return r;
                }
        }
        return 0;
}

bool confine_has_cpu_left(uint64_t cpu_seconds) {
        struct rlimit limit;

        return getrlimit(RLIMIT_CPU, &limit) == 0 &&
               confine_cpu_seconds() + cpu_seconds + 1 <= limit.rlim_max;
}

int confine_run(const RunLimits *limits) {
        uint64_t cpu_seconds = confine_cpu_seconds() + limits->cpu_seconds + 1;
        struct {
                int resource;
                uint64_t value;
        } values[] = {
                {RLIMIT_AS, limits->address_bytes + RUN_HEADROOM},
                {RLIMIT_CPU, cpu_seconds},
                {RLIMIT_FSIZE, limits->file_bytes},
        };

        for (size_t i = 0; i < N_ELEMENTS(values); i++) {
                struct rlimit limit;

                limit.rlim_cur = limit.rlim_max = values[i].value;
                if (limits->keep_maxima) {
                        if (getrlimit((__rlimit_resource_t) values[i].resource, &limit) < 0)
                                return -errno;
                        limit.rlim_cur =
                                values[i].value < limit.rlim_max ? values[i].value : limit.rlim_max;
                }
                if (setrlimit((__rlimit_resource_t) values[i].resource, &limit) < 0)
                        return -errno;
        }
        return 0;
}

/* isolation_survey: what this kernel lets this user do. Version numbers and sysctls would be
 * guesses: containers, security modules and seccomp policies of others decide as well. So each
 * layer is tried, by the calls that production makes. */

#include "pool/isolation_survey.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "kit/error.h"
#include "pool/cgroup.h"

/* A trial takes milliseconds. One that hangs, in a mount of a sick device say, must not keep the
 * server from starting. */
#define TRIAL_SECONDS_MAX 10

/* The last user id that Debian gives to nobody in particular. */
#define SOME_UID 65533

static int try_rlimits(Trial *trial) {
        const struct rlimit none = {0, 0};

        return attempt(trial, "setrlimit(RLIMIT_CORE)", setrlimit(RLIMIT_CORE, &none));
}

static int try_no_new_privileges(Trial *trial) {
        return attempt(trial, "prctl(PR_SET_NO_NEW_PRIVS)", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* The bounding set and the securebits only matter to one who has CAP_SETPCAP, and nobody else can
 * change them. */
static int try_capabilities(Trial *trial) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[2] = {{0}};

        if (attempt(trial, "capget", syscall(SYS_capget, &header, sets)) < 0)
                return -1;
        if (sets[0].effective & (1U << CAP_SETPCAP)) {
                if (attempt(trial, "prctl(PR_CAPBSET_DROP)",
                            prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)) < 0 ||
                    attempt(trial, "prctl(PR_SET_SECUREBITS)",
                            prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0,
                                  0)) < 0)
                        return -1;
        }
        memset(sets, 0, sizeof(sets));
        return attempt(trial, "capset", syscall(SYS_capset, &header, sets));
}

static int try_not_dumpable(Trial *trial) {
        return attempt(trial, "prctl(PR_SET_DUMPABLE)", prctl(PR_SET_DUMPABLE, 0));
}

static int try_seccomp(Trial *trial) {
        const uint32_t kill_process = SECCOMP_RET_KILL_PROCESS;
        struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        const struct sock_fprog program = {1, &allow};

        if (attempt(trial, "seccomp(SECCOMP_GET_ACTION_AVAIL, SECCOMP_RET_KILL_PROCESS)",
                    syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill_process)) < 0 ||
            try_no_new_privileges(trial) < 0 ||
            attempt(trial, "seccomp(SECCOMP_SET_MODE_FILTER)",
                    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) < 0)
                return -1;
        /* Something between us and the kernel may have said yes and done nothing. */
        trial->finding.tried = "prctl(PR_GET_SECCOMP)";
        if (prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER)
                return 0;
        trial->finding.error = ENOSYS;
        return -1;
}

static int try_landlock(Trial *trial) {
        const struct landlock_ruleset_attr attributes = {
                .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE,
        };
        int fd;

        trial->abi = (int) syscall(SYS_landlock_create_ruleset, NULL, 0,
                                   LANDLOCK_CREATE_RULESET_VERSION);
        if (attempt(trial, "landlock_create_ruleset", trial->abi) < 0)
                return -1;
        fd = (int) syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
        if (attempt(trial, "landlock_create_ruleset", fd) < 0 || try_no_new_privileges(trial) < 0)
                return -1;
        return attempt(trial, "landlock_restrict_self", syscall(SYS_landlock_restrict_self, fd, 0));
}

static int try_uid(Trial *trial) {
        uid_t uid = trial->worker_uid;

        if (attempt(trial, "setgroups", setgroups(0, NULL)) < 0 ||
            attempt(trial, "setresgid", setresgid(uid, uid, uid)) < 0 ||
            attempt(trial, "setresuid", setresuid(uid, uid, uid)) < 0)
                return -1;
        trial->finding.tried = "that setresuid(0) fails after setresuid";
        trial->finding.error = setresuid(0, 0, 0) == 0 ? EPERM : 0;
        return trial->finding.error == 0 ? 0 : -1;
}

static int try_oom_score(Trial *trial) {
        _autoclose_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (attempt(trial, "open /proc/self/oom_score_adj", fd) < 0)
                return -1;
        return attempt(trial, "write /proc/self/oom_score_adj", write(fd, "1000", 4));
}

static int try_core_scheduling(Trial *trial) {
        /* 0: this process alone (PIDTYPE_PID). ENODEV: no core has two hardware threads. */
        return attempt(trial, "prctl(PR_SCHED_CORE)",
                       prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, 0, 0));
}

static int (*const trials[_LAYERS])(Trial *trial) = {
        [LAYER_RLIMITS] = try_rlimits,
        [LAYER_NO_NEW_PRIVILEGES] = try_no_new_privileges,
        [LAYER_CAPABILITIES] = try_capabilities,
        [LAYER_NOT_DUMPABLE] = try_not_dumpable,
        [LAYER_SECCOMP] = try_seccomp,
        [LAYER_LANDLOCK] = try_landlock,
        [LAYER_UID] = try_uid,
        [LAYER_USER_NAMESPACE] = try_user_namespace,
        [LAYER_PID_NAMESPACE] = try_pid_namespace,
        [LAYER_MOUNT_NAMESPACE] = try_mount_namespace,
        [LAYER_NET_NAMESPACE] = try_shared_namespace,
        [LAYER_IPC_NAMESPACE] = try_shared_namespace,
        [LAYER_UTS_NAMESPACE] = try_shared_namespace,
        [LAYER_CGROUP_NAMESPACE] = try_shared_namespace,
        [LAYER_OOM_SCORE] = try_oom_score,
        [LAYER_CORE_SCHEDULING] = try_core_scheduling,
};

/* ── Each in a process of its own ── */

static void be_the_trial(Trial *trial, pid_t parent) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        (void) signal(SIGALRM, SIG_DFL);
        (void) alarm(TRIAL_SECONDS_MAX);
        /* The server is not dumpable, and its copy is not: /proc/self would belong to root. The
         * programs that take the layers in earnest are, as after every exec. */
        (void) prctl(PR_SET_DUMPABLE, 1);
        _exit(trials[trial->layer](trial) == 0 ? 0 : 1);
}

static int run_trial(Trial *trial) {
        pid_t parent = getpid();
        pid_t pid = fork();
        int status;

        if (pid < 0)
                return raise_errno("fork to try a layer");
        if (pid == 0)
                be_the_trial(trial, parent);
        while (waitpid(pid, &status, 0) < 0) {
                if (errno != EINTR)
                        return raise_errno("wait for the trial of a layer");
        }
        if (WIFSIGNALED(status))
                trial->finding.error = WTERMSIG(status) == SIGALRM ? ETIMEDOUT : EPERM;
        else if (status != 0 && trial->finding.error == 0)
                trial->finding.error = EPERM;
        return 0;
}

/* The groups are the supervisor's to make, so it is no trial in a child. */
static void look_for_cgroups(IsolationSurvey *survey) {
        CgroupTree tree;

        if (cgroup_tree_open(&tree) < 0)
                tree = (CgroupTree){.error = EIO, .tried = "look for control groups"};
        survey->cgroup_version = tree.version;
        survey->layers[LAYER_CGROUP] = (LayerFinding){.error = tree.error, .tried = tree.tried};
        if (tree.version != 0)
                survey->layers[LAYER_CGROUP].tried = "make a control group";
        cgroup_tree_close(&tree);
}

static bool has_capability(unsigned capability) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[2] = {{0}};

        return syscall(SYS_capget, &header, sets) == 0 &&
               (sets[capability / 32].effective & (1U << (capability % 32)));
}

int isolation_survey(const IsolationConfig *config, IsolationSurvey *ret_survey) {
        IsolationSurvey survey = {
                .is_root = geteuid() == 0,
                .needs_user_namespace = !has_capability(CAP_SYS_ADMIN),
        };
        struct utsname system;
        Trial *trial = mmap(NULL, sizeof(*trial), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int r = 0;

        if (trial == MAP_FAILED)
                return raise_errno("map memory for the trials of layers");
        if (uname(&system) == 0)
                (void) snprintf(survey.kernel, sizeof(survey.kernel), "%s", system.release);
        for (unsigned layer = 0; layer < _LAYERS && r == 0; layer++) {
                if (!trials[layer])
                        continue;
                *trial = (Trial){
                        .layer = (Layer) layer,
                        .worker_uid = config->worker_uid_base ? config->worker_uid_base : SOME_UID,
                        .is_root = survey.is_root,
                        .needs_user_namespace = survey.needs_user_namespace,
                        .finding.tried = "a process to try it in",
                };
                r = run_trial(trial);
                survey.layers[layer] = trial->finding;
                if (layer == LAYER_LANDLOCK && trial->finding.error == 0)
                        survey.landlock_abi = trial->abi;
        }
        (void) munmap(trial, sizeof(*trial));
        look_for_cgroups(&survey);
        if (r == 0)
                *ret_survey = survey;
        return r;
}

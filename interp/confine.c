#include "interp/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/confine_filter.h"
#include "interp/confine_steps.h"
#include "kit/cleanup.h"
#include "wire/session.h"

int confine_prepare(const ViewOptions *view) {
        int r = confine_namespaces_prepare();

        if (r == 0)
                r = confine_oom_score_prepare();
        if (r == 0)
                r = confine_landlock_prepare(view);
        return r < 0 ? r : confine_limits_prepare();
}

int confine_before_fork(const SpawnCommand *command, const int *fds) {
        bool has_own = command->layers & layer_bit(LAYER_PID_NAMESPACE);
        int r = confine_pid_namespace_choose(has_own ? fds[SPAWN_FD_PID_NAMESPACE] : -1);

        if (r == 0 && command->layers & layer_bit(LAYER_OOM_SCORE))
                r = confine_oom_score_raise();
        if (r == 0 && command->layers & layer_bit(LAYER_CAPABILITIES))
                confine_bounding_set_inherit();
        return r;
}

int confine_after_fork(const SpawnCommand *command) {
        return command->layers & layer_bit(LAYER_OOM_SCORE) ? confine_oom_score_lower() : 0;
}

/* Its own process group too: kill(0, …) and a terminal reach nobody else. */
static int start_session(Confinement *confinement) {
        (void) umask(077);
        return setsid() < 0 ? -errno : 0;
}

/* A change of ids clears it, so it stands in the list twice; and a copy is born without. */
int confine_die_with_supervisor(const Confinement *confinement) {
        /* A parent in another pid namespace is 0. One that dies is replaced by the keeper, 1. */
        pid_t parent = confine_takes(confinement, LAYER_PID_NAMESPACE) ? 0 : confinement->parent;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        /* It may have died before we asked. */
        return getppid() == parent ? 0 : -ESRCH;
}

static int die_with_supervisor(Confinement *confinement) {
        return confine_die_with_supervisor(confinement);
}

/* In a cell there is no /proc to open it in later. */
static int open_statistics(Confinement *confinement) {
        _autoclose_ int fd = -1;

        if (!(confinement->command->flags & SPAWN_RESET))
                return 0;
        fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        return fd < 0 || dup3(fd, WORKER_FD_STATISTICS, O_CLOEXEC) < 0 ? -errno : 0;
}

/* A session's may be an old one, and what was run in it may have put a link in its place. */
const char *confine_session_folder(const SpawnCommand *command, char buffer[CONFINE_FOLDER_SIZE]) {
        if (command->folder[0])
                (void) stpcpy(buffer, command->folder);
        else
                (void) snprintf(buffer, CONFINE_FOLDER_SIZE, "%u", command->member);
        return buffer;
}

void confine_session_temporary(const SpawnCommand *command, char *ret_path, size_t size) {
        bool has_own = command->member == 0 || !command->directory[0];
        char folder[CONFINE_FOLDER_SIZE];

        if (has_own)
                (void) snprintf(ret_path, size, "%s/tmp", command->directory);
        else
                (void) snprintf(ret_path, size,
                                "%s/work/%s" COPY_CONTAINER_SUFFIX "/" COPY_TEMPORARY,
                                command->directory, confine_session_folder(command, folder));
}

static int enter_workspace(Confinement *confinement) {
        struct open_how how = {
                .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        _autoclose_ int fd = -1;
        char path[160] = "/work", folder[CONFINE_FOLDER_SIZE];
        bool is_in_cell = confine_takes(confinement, LAYER_MOUNT_NAMESPACE);

        if (confinement->command->flags & SPAWN_SESSION)
                (void) snprintf(path, sizeof(path), "/work/%s",
                                confine_session_folder(confinement->command, folder));
        fd = (int) syscall(SYS_openat2, confinement->fds[SPAWN_FD_DIRECTORY],
                           is_in_cell ? path : path + 1, &how, sizeof(how));
        return fd < 0 || fchdir(fd) < 0 ? -errno : 0;
}

static int take_streams(Confinement *confinement) {
        const int *fds = confinement->fds;

        /* The zygote's standard input is /dev/null; opened anew, it is nobody else's. */
        _autoclose_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
                return -errno;
        if (dup2(fds[SPAWN_FD_STDOUT], STDOUT_FILENO) < 0 ||
            dup2(fds[SPAWN_FD_STDERR], STDERR_FILENO) < 0)
                return -errno;
        if (dup3(fds[SPAWN_FD_REQUEST], WORKER_FD_REQUEST, O_CLOEXEC) < 0 ||
            dup3(fds[SPAWN_FD_RESULT], WORKER_FD_RESULT, O_CLOEXEC) < 0)
                return -errno;
        if (!(confinement->command->flags & SPAWN_SESSION))
                return 0;
        return dup3(fds[SPAWN_FD_CONTROL], WORKER_FD_CONTROL, O_CLOEXEC) < 0 ? -errno : 0;
}

/* Whatever the zygote, its imports and the steps before have open. */
static int close_descriptors(Confinement *confinement) {
        unsigned flags = confinement->command->flags;
        unsigned first = flags & SPAWN_SESSION ? WORKER_FD_END
                         : flags & SPAWN_RESET ? WORKER_FD_CONTROL
                                               : WORKER_FD_STATISTICS;

        if (close_range(STDERR_FILENO + 1, WORKER_FD_REQUEST - 1, 0) < 0 ||
            close_range(first, ~0U, 0) < 0)
                return -errno;
        if (flags & SPAWN_SESSION)
                (void) close(WORKER_FD_STATISTICS);
        return 0;
}

/* An allow-list (confine_filter.h); Linux 4.14. It comes last, as it forbids most of what the other
 * steps do. */
static int filter_system_calls(Confinement *confinement) {
        bool owns_host_files = !confine_takes(confinement, LAYER_MOUNT_NAMESPACE) &&
                               !confine_takes(confinement, LAYER_UID);
        bool is_copy =
                confinement->command->flags & SPAWN_SESSION && confinement->command->member > 0;
        int r = owns_host_files ? confine_modes() : 0;

        if (r == 0 && is_copy)
                r = confine_attributes_of_others();
        if (r < 0)
                return r;
        if (confinement->command->flags & SPAWN_SUBPROCESSES)
                return confine_system_calls(true);
        return confinement->command->flags & SPAWN_SESSION ? confine_session_calls()
                                                           : confine_system_calls(false);
}

typedef struct Step {
        const char *name;
        int (*take)(Confinement *confinement);
        LayerMask layers; /* taken if one of these is to be; 0: by every worker */
        int (*leave)(Confinement *confinement); /* otherwise, or NULL */
} Step;

/*
 * What this order is made of: a core and a group are entered before there is anything to account
 * for; what needs /proc comes before the mount namespace, which has none; limits and rights that
 * take a capability to give up come before the capabilities, those that no_new_privs stands in for
 * come after; descriptors are closed when no step needs them any more.
 */
static const Step steps[] = {
        {"core scheduling", confine_core_scheduling_take, 1U << LAYER_CORE_SCHEDULING, NULL},
        {"control group", confine_cgroup_enter, 1U << LAYER_CGROUP, NULL},
        {"pid namespace", confine_pid_namespace_check, 1U << LAYER_PID_NAMESPACE, NULL},
        {"a session of its own", start_session, 0, NULL},
        {"death with the supervisor", die_with_supervisor, 0, NULL},
        {"out-of-memory score", confine_oom_score_check, 1U << LAYER_OOM_SCORE, NULL},
        {"statistics", open_statistics, 0, NULL},
        {"shared namespaces", confine_shared_namespaces_check,
         1U << LAYER_NET_NAMESPACE | 1U << LAYER_IPC_NAMESPACE | 1U << LAYER_UTS_NAMESPACE |
                 1U << LAYER_CGROUP_NAMESPACE,
         NULL},
        {"user namespace", confine_user_namespace_enter, 1U << LAYER_USER_NAMESPACE, NULL},
        {"mount namespace", confine_mount_namespace_enter, 1U << LAYER_MOUNT_NAMESPACE, NULL},
        {"workspace", enter_workspace, 0, NULL},
        {"standard streams", take_streams, 0, NULL},
        {"resource limits", confine_limits_take, 1U << LAYER_RLIMITS, NULL},
        {"capability bounding set", confine_bounding_set_drop, 1U << LAYER_CAPABILITIES, NULL},
        {"securebits", confine_securebits_lock, 1U << LAYER_CAPABILITIES, NULL},
        {"user and group", confine_identity_take, 1U << LAYER_UID, NULL},
        {"capabilities", confine_capabilities_drop, 1U << LAYER_CAPABILITIES, NULL},
        {"no way back to another user", confine_identity_check, 1U << LAYER_UID, NULL},
        {"death with the supervisor", die_with_supervisor, 0, NULL},
        {"no new privileges", confine_no_new_privileges_take, 1U << LAYER_NO_NEW_PRIVILEGES, NULL},
        {"not dumpable", confine_not_dumpable_take, 1U << LAYER_NOT_DUMPABLE,
         confine_not_dumpable_leave},
        {"landlock", confine_landlock_take, 1U << LAYER_LANDLOCK, NULL},
        {"descriptors", close_descriptors, 0, NULL},
        {"attempts to make a process", confine_session_attempts, 0, NULL},
        {"system calls", filter_system_calls, 1U << LAYER_SECCOMP, NULL},
};

int confine(Confinement *confinement) {
        LayerMask layers = confinement->command->layers;

        for (size_t i = 0; i < N_ELEMENTS(steps); i++) {
                const Step *step = &steps[i];
                bool is_taken = step->layers == 0 || layers & step->layers;
                int (*function)(Confinement *) = is_taken ? step->take : step->leave;
                int r = function ? function(confinement) : 0;

                if (r < 0) {
                        confinement->failed_step = step->name;
                        return r;
                }
        }
        return 0;
}

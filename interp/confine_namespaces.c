/* Namespaces of the cell and those that all cells share, control groups, core scheduling: what a
 * worker is inside of. */

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/prctl.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "interp/confine_steps.h"
#include "kit/cleanup.h"
#include "kit/error.h"

/* --- namespaces that all workers of a zygote share --- */

/* What the zygote has joined, as layers. */
static LayerMask shared_layers;

static LayerMask layer_of_namespace(int type) {
        switch (type) {
        case CLONE_NEWUSER:
                return layer_bit(LAYER_USER_NAMESPACE);
        case CLONE_NEWNET:
                return layer_bit(LAYER_NET_NAMESPACE);
        case CLONE_NEWIPC:
                return layer_bit(LAYER_IPC_NAMESPACE);
        case CLONE_NEWUTS:
                return layer_bit(LAYER_UTS_NAMESPACE);
        case CLONE_NEWCGROUP:
                return layer_bit(LAYER_CGROUP_NAMESPACE);
        default:
                return 0;
        }
}

int confine_enter_shared(const int *fds, size_t n) {
        for (size_t i = 0; i < n; i++) {
                _autoclose_ int fd = fds[i];
                int type = ioctl(fd, NS_GET_NSTYPE);

                if (type < 0)
                        return raise_errno("ask what namespace descriptor %d is", fd);
                if (setns(fd, 0) < 0)
                        return raise_errno("join the namespace of descriptor %d", fd);
                shared_layers |= layer_of_namespace(type);
        }
        return 0;
}

/*
 * An empty network (Linux 3.0), System V objects and message queues (3.0), a host name (3.0) and a
 * root of control groups (4.6) of the cells' own. A worker has inherited them or it has not; to
 * make a network namespace alone would take it a millisecond.
 */
int confine_shared_namespaces_check(Confinement *confinement) {
        LayerMask wanted = confinement->command->layers &
                           (layer_bit(LAYER_NET_NAMESPACE) | layer_bit(LAYER_IPC_NAMESPACE) |
                            layer_bit(LAYER_UTS_NAMESPACE) | layer_bit(LAYER_CGROUP_NAMESPACE));

        return wanted & ~shared_layers ? -ENXIO : 0;
}

/* --- the cell --- */

static int own_pid_namespace = -1;
static bool pid_namespace_is_chosen;

int confine_namespaces_prepare(void) {
        own_pid_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
        return own_pid_namespace < 0 ? raise_errno("open /proc/self/ns/pid") : 0;
}

/*
 * A process never changes its own pid namespace, only that of its future children, until it chooses
 * another. Going back takes CAP_SYS_ADMIN over the zygote's own namespace: within a user namespace
 * that fails, and then there is no worker rather than one in a stranger's cell.
 */
int confine_pid_namespace_choose(int fd) {
        if (fd < 0 && !pid_namespace_is_chosen)
                return 0;
        if (setns(fd < 0 ? own_pid_namespace : fd, CLONE_NEWPID) < 0)
                return raise_errno("choose the pid namespace of a worker");
        pid_namespace_is_chosen = fd >= 0;
        return 0;
}

/* Sees only the processes of its cell, and ends with the cell's first (Linux 3.8 for setns). */
int confine_pid_namespace_check(Confinement *confinement) {
        return confinement->fds[SPAWN_FD_PID_NAMESPACE] < 0 ? -EBADF : 0;
}

/*
 * A plain user's cell: one mapped id, and process limits of its own (Linux 3.8; limits 5.14). It
 * gives every capability over the cell's other namespaces, which the next step needs. The cell
 * maker decides whether cells have one (user_map.h): where all ids are mapped in the one that the
 * zygote has joined, they have none, and the worker has inherited all that there is to be taken.
 */
int confine_user_namespace_enter(Confinement *confinement) {
        int fd = confinement->fds[SPAWN_FD_USER_NAMESPACE];

        if (fd < 0)
                return shared_layers & layer_bit(LAYER_USER_NAMESPACE) ? 0 : -EBADF;
        return setns(fd, CLONE_NEWUSER) < 0 ? -errno : 0;
}

/* A root directory of its own, with nothing in it but what runs need (Linux 3.8 for setns). From
 * here on there is no /proc. */
int confine_mount_namespace_enter(Confinement *confinement) {
        return setns(confinement->fds[SPAWN_FD_MOUNT_NAMESPACE], CLONE_NEWNS) < 0 ? -errno : 0;
}

/* --- control group, core scheduling --- */

/*
 * Memory and processes of a slot are bounded together. In version 2 (Linux 5.7) the worker was born
 * in its group. In version 1 it moves itself, once for each hierarchy: "0" is whoever writes it.
 */
int confine_cgroup_enter(Confinement *confinement) {
        static const SpawnFd hierarchies[] = {SPAWN_FD_CGROUP_MEMORY, SPAWN_FD_CGROUP_PIDS};
        bool is_in = confinement->fds[SPAWN_FD_CGROUP] >= 0;

        for (size_t i = 0; i < N_ELEMENTS(hierarchies); i++) {
                int fd = confinement->fds[hierarchies[i]];

                if (fd < 0)
                        continue;
                if (write(fd, "0", 1) < 0)
                        return -errno;
                is_in = true;
        }
        return is_in ? 0 : -EBADF;
}

/* Hardware threads of one core are shared with nobody who has another cookie (Linux 5.14,
 * CONFIG_SCHED_CORE; EINVAL where that is not built in, ENODEV where there are no such threads). */
int confine_core_scheduling_take(Confinement *confinement) {
        return prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0) <
                               0
                       ? -errno
                       : 0;
}

/* isolation_namespaces: the trials of namespaces. A *maker* makes one, as the cell maker does; the
 * trial's own process then enters it by setns(2), as zygotes and workers do: a policy may allow the
 * one and not the other. */

#include "pool/isolation_survey.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "wire/cells.h"

/* ── Entering a user namespace ── */

static int write_file(Trial *trial, const char *path, const char *text) {
        _autoclose_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        return attempt(trial, "write the map of a user namespace",
                       fd < 0 ? fd : write(fd, text, strlen(text)));
}

/* A plain user may map itself, and nobody else, once it can no longer drop groups. */
static int map_self(Trial *trial, uid_t uid, gid_t gid) {
        char text[64];

        if (write_file(trial, "/proc/self/setgroups", "deny") < 0)
                return -1;
        (void) snprintf(text, sizeof(text), "%u %u 1", uid, uid);
        if (write_file(trial, "/proc/self/uid_map", text) < 0)
                return -1;
        (void) snprintf(text, sizeof(text), "%u %u 1", gid, gid);
        return write_file(trial, "/proc/self/gid_map", text);
}

/* Every id that there is here, as itself: lines "inside outside count" become "inside inside
 * count". */
static int copy_map(Trial *trial, pid_t pid, const char *name) {
        char path[64], text[4096];
        unsigned inside, outside, count;
        size_t used = 0;
        FILE *file;

        (void) snprintf(path, sizeof(path), "/proc/self/%s", name);
        file = fopen(path, "re");
        while (file && used < sizeof(text) - 40 &&
               fscanf(file, "%u %u %u", &inside, &outside, &count) == 3)
                used += (size_t) snprintf(text + used, sizeof(text) - used, "%u %u %u\n", inside,
                                          inside, count);
        if (file)
                (void) fclose(file);
        text[used] = '\0';
        (void) snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        return write_file(trial, path, text);
}

/* More than itself can only be mapped by somebody who has CAP_SETUID where the namespace was made:
 * a helper that stays there. */
static int unshare_mapped_by_helper(Trial *trial) {
        pid_t owner = getpid(), helper;
        int gate[2], status = 1;
        char nothing;

        if (attempt(trial, "make a pipe", pipe2(gate, O_CLOEXEC)) < 0)
                return -1;
        helper = fork();
        if (attempt(trial, "fork", helper) < 0)
                return -1;
        if (helper == 0) {
                (void) close(gate[1]);
                /* The end of the file comes when the owner has closed its end. */
                _exit(read(gate[0], &nothing, 1) == 0 && copy_map(trial, owner, "uid_map") == 0 &&
                                      copy_map(trial, owner, "gid_map") == 0
                              ? 0
                              : 1);
        }
        if (attempt(trial, "unshare(CLONE_NEWUSER)", unshare(CLONE_NEWUSER)) < 0) {
                (void) kill(helper, SIGKILL);
                (void) waitpid(helper, NULL, 0);
                return -1;
        }
        (void) close(gate[1]);
        (void) waitpid(helper, &status, 0);
        (void) close(gate[0]);
        return status == 0 ? 0 : -1;
}

static int enter_user_namespace(Trial *trial) {
        uid_t uid = geteuid();
        gid_t gid = getegid();

        if (trial->is_root)
                return unshare_mapped_by_helper(trial);
        if (attempt(trial, "unshare(CLONE_NEWUSER)", unshare(CLONE_NEWUSER)) < 0)
                return -1;
        return map_self(trial, uid, gid);
}

/* ── Makers ── */

static const struct {
        int flag;
        const char *name, *making, *entering;
} namespaces[_LAYERS] = {
        [LAYER_USER_NAMESPACE] = {CLONE_NEWUSER, "user", "unshare(CLONE_NEWUSER)",
                                  "setns(CLONE_NEWUSER)"},
        [LAYER_PID_NAMESPACE] = {CLONE_NEWPID, "pid", "clone(CLONE_NEWPID)", "setns(CLONE_NEWPID)"},
        [LAYER_MOUNT_NAMESPACE] = {CLONE_NEWNS, "mnt", "unshare(CLONE_NEWNS)",
                                   "setns(CLONE_NEWNS)"},
        [LAYER_NET_NAMESPACE] = {CLONE_NEWNET, "net", "unshare(CLONE_NEWNET)",
                                 "setns(CLONE_NEWNET)"},
        [LAYER_IPC_NAMESPACE] = {CLONE_NEWIPC, "ipc", "unshare(CLONE_NEWIPC)",
                                 "setns(CLONE_NEWIPC)"},
        [LAYER_UTS_NAMESPACE] = {CLONE_NEWUTS, "uts", "unshare(CLONE_NEWUTS)",
                                 "setns(CLONE_NEWUTS)"},
        [LAYER_CGROUP_NAMESPACE] = {CLONE_NEWCGROUP, "cgroup", "unshare(CLONE_NEWCGROUP)",
                                    "setns(CLONE_NEWCGROUP)"},
};

static int open_namespace(Trial *trial, const char *process, const char *name, int *ret_fd) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%s/ns/%s", process, name);
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
        return attempt(trial, "open a namespace in /proc", *ret_fd);
}

static int make_user_namespaces(Trial *trial) {
        if (enter_user_namespace(trial) < 0 ||
            open_namespace(trial, "self", "user", &trial->user_fd) < 0)
                return -1;
        /* A cell has one of its own inside. */
        trial->is_root = false;
        if (enter_user_namespace(trial) < 0)
                return -1;
        return open_namespace(trial, "self", "user", &trial->inner_user_fd);
}

static int make_shared_namespace(Trial *trial) {
        if (attempt(trial, namespaces[trial->layer].making,
                    unshare(namespaces[trial->layer].flag)) < 0)
                return -1;
        /* Without a name of its own it would say the host's. Podman's policy lets a namespace be
         * made, and no name be set in it. */
        if (trial->layer == LAYER_UTS_NAMESPACE &&
            attempt(trial, "sethostname", sethostname(CELL_HOST_NAME, strlen(CELL_HOST_NAME))) < 0)
                return -1;
        return open_namespace(trial, "self", namespaces[trial->layer].name, &trial->fd);
}

/* Far longer than a trial lasts. */
#define KEEPER_LIFE_S 60

/* Its first process has to live for another one to be born there. CLONE_PARENT: the trial's child,
 * as keepers are the supervisor's. */
static int make_pid_namespace(Trial *trial) {
        char number[16];
        /* Not at once what others read: its own 0 would be written there, too, whenever it runs. */
        pid_t keeper = (pid_t) syscall(
                SYS_clone, CLONE_NEWPID | CLONE_PARENT | CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

        if (keeper == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                /* Whoever has died before that call kills nobody. */
                (void) sleep(KEEPER_LIFE_S);
                _exit(0);
        }
        if (attempt(trial, namespaces[trial->layer].making, keeper) < 0)
                return -1;
        trial->keeper = keeper;
        (void) snprintf(number, sizeof(number), "%d", trial->keeper);
        return open_namespace(trial, number, "pid", &trial->fd);
}

/* A root of its own on a tmpfs with something of the system in it, read-only. */
static int build_root(Trial *trial) {
        struct mount_attr attributes = {
                .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        };
        int tree = (int) syscall(SYS_open_tree, AT_FDCWD, "/usr",
                                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        int context, root;

        if (attempt(trial, "open_tree(/usr)", tree) < 0 ||
            attempt(trial, "mount_setattr(read-only)",
                    syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                            sizeof(attributes))) < 0)
                return -1;
        context = (int) syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
        if (attempt(trial, "fsopen(tmpfs)", context) < 0 ||
            attempt(trial, "fsconfig(tmpfs)",
                    syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) < 0)
                return -1;
        root = (int) syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
        if (attempt(trial, "fsmount(tmpfs)", root) < 0 ||
            attempt(trial, "move_mount(tmpfs)",
                    syscall(SYS_move_mount, root, "", AT_FDCWD, "/usr", MOVE_MOUNT_F_EMPTY_PATH)) <
                    0 ||
            attempt(trial, "mkdir on the tmpfs", mkdirat(root, "usr", 0755)) < 0 ||
            attempt(trial, "move_mount(/usr)",
                    syscall(SYS_move_mount, tree, "", root, "usr", MOVE_MOUNT_F_EMPTY_PATH)) < 0)
                return -1;
        return attempt(trial, "enter the tmpfs", fchdir(root));
}

static int make_mount_namespace(Trial *trial) {
        /* The descriptor is taken first: behind pivot_root(2) there is no /proc. */
        if (make_shared_namespace(trial) < 0 ||
            attempt(trial, "mount(MS_PRIVATE)", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) <
                    0 ||
            build_root(trial) < 0 ||
            attempt(trial, "pivot_root", syscall(SYS_pivot_root, ".", ".")) < 0)
                return -1;
        return attempt(trial, "umount2(MNT_DETACH)", umount2(".", MNT_DETACH));
}

/* ── Trials ── */

static int enter(Trial *trial, Layer layer, int fd) {
        return attempt(trial, namespaces[layer].entering, setns(fd, namespaces[layer].flag));
}

/* Has a maker make it: a process that shares the trial's descriptors (CLONE_FILES) and ends. Then
 * the trial enters the user namespace in which that was done, if any. */
static int have_made(Trial *trial, int (*make)(Trial *trial)) {
        pid_t maker;
        int status = 1;

        /* Nothing is written down from here on until the maker has ended: it does that itself. */
        if (attempt(trial, "fork",
                    maker = (pid_t) syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0)) < 0)
                return -1;
        if (maker == 0) {
                bool enters = trial->needs_user_namespace && trial->layer != LAYER_USER_NAMESPACE;

                _exit((enters && (enter_user_namespace(trial) < 0 ||
                                  open_namespace(trial, "self", "user", &trial->user_fd) < 0)) ||
                                      make(trial) < 0
                              ? 1
                              : 0);
        }
        (void) waitpid(maker, &status, 0);
        if (status != 0)
                return -1;
        return trial->needs_user_namespace ? enter(trial, LAYER_USER_NAMESPACE, trial->user_fd) : 0;
}

/* Two, one in the other: that of a generation and that of a cell. */
int try_user_namespace(Trial *trial) {
        trial->needs_user_namespace = true;
        if (have_made(trial, make_user_namespaces) < 0)
                return -1;
        return enter(trial, LAYER_USER_NAMESPACE, trial->inner_user_fd);
}

int try_shared_namespace(Trial *trial) {
        return have_made(trial, make_shared_namespace) < 0 ? -1
                                                           : enter(trial, trial->layer, trial->fd);
}

int try_mount_namespace(Trial *trial) {
        return have_made(trial, make_mount_namespace) < 0 ? -1
                                                          : enter(trial, trial->layer, trial->fd);
}

/* A process is born into the namespace that its parent has entered. */
static int be_born_inside(Trial *trial) {
        int status = 1;
        pid_t pid;

        if (enter(trial, trial->layer, trial->fd) < 0)
                return -1;
        pid = fork();
        if (pid == 0)
                _exit(getpid() > 1 && getppid() == 0 ? 0 : 1);
        if (attempt(trial, "fork into a pid namespace", pid) < 0)
                return -1;
        (void) waitpid(pid, &status, 0);
        return status == 0 ? 0 : -1;
}

int try_pid_namespace(Trial *trial) {
        int r = have_made(trial, make_pid_namespace);

        if (r == 0)
                r = be_born_inside(trial);
        if (trial->keeper > 0) {
                (void) kill(trial->keeper, SIGKILL);
                (void) waitpid(trial->keeper, NULL, 0);
        }
        return r;
}

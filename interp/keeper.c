#include "interp/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/cell_report.h"
#include "interp/user_map.h"

static const struct {
        const char *name; /* in the tmpfs */
        const char *seen; /* in the cell */
} folders[] = {
        {"work", "/work"}, /* first: a home has one of its own */
        {"shm", "/dev/shm"},
        {"tmp", "/tmp"},
};

static bool has(const KeeperOrder *order, Layer layer) {
        return order->layers & layer_bit(layer);
}

/* Returns the root of a tmpfs that is not mounted yet, or -errno. */
static int make_tmpfs(const CellCommand *command, CellReport *report) {
        _autoclose_ int context_fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
        char size[32], inodes[32];
        int fd;

        if (context_fd < 0)
                return cell_report_failure(report, "fsopen(tmpfs)");
        (void) snprintf(size, sizeof(size), "%llu", (unsigned long long) command->size_bytes);
        (void) snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long) command->inodes);
        if (fsconfig(context_fd, FSCONFIG_SET_STRING, "size", size, 0) < 0 ||
            fsconfig(context_fd, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) < 0 ||
            fsconfig(context_fd, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
            fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return cell_report_failure(report, "make a tmpfs of %s bytes and %s inodes", size,
                                           inodes);
        fd = fsmount(context_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        return fd < 0 ? cell_report_failure(report, "fsmount(tmpfs)") : fd;
}

static int make_folders(const KeeperOrder *order, int directory_fd, CellReport *report) {
        const CellCommand *command = &order->command;

        for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
                if (mkdirat(directory_fd, folders[i].name, 0700) < 0)
                        return cell_report_failure(report, "make the folder %s", folders[i].name);
                if ((command->uid != order->uid || command->gid != order->gid) &&
                    fchownat(directory_fd, folders[i].name, command->uid, command->gid,
                             AT_SYMLINK_NOFOLLOW) < 0)
                        return cell_report_failure(report, "give the folder %s to user %u",
                                                   folders[i].name, command->uid);
        }
        return 0;
}

static int mount_home(const KeeperOrder *order, CellReport *report) {
        static const char *const seen[CELL_HOME_FDS] = {"/work", "/packages"};

        for (int i = 0; i < CELL_HOME_FDS; i++) {
                if (order->home_fds[i] >= 0 && move_mount(order->home_fds[i], "", AT_FDCWD, seen[i],
                                                          MOVE_MOUNT_F_EMPTY_PATH) < 0)
                        return cell_report_failure(report, "mount a home's %s", seen[i]);
        }
        return 0;
}

/*
 * Only what is mounted can be copied in part (Linux up to 6.14), so the tmpfs is first mounted
 * whole, on /tmp, where it is then covered for good by its own folder tmp. It stays there, out of
 * everybody's sight: taking it off would cost an RCU grace period.
 */
static int mount_folders(int directory_fd, bool has_home, CellReport *report) {
        if (move_mount(directory_fd, "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return cell_report_failure(report, "mount the tmpfs of the cell");
        for (size_t i = has_home ? 1 : 0; i < N_ELEMENTS(folders); i++) {
                _autoclose_ int fd = open_tree(directory_fd, folders[i].name,
                                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

                if (fd < 0)
                        return cell_report_failure(report, "copy the mount of %s", folders[i].name);
                if (move_mount(fd, "", AT_FDCWD, folders[i].seen, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                        return cell_report_failure(report, "mount %s", folders[i].seen);
        }
        return 0;
}

static int open_namespaces(const KeeperOrder *order, int *fds, size_t *n_fds, CellReport *report) {
        static const struct {
                Layer layer;
                const char *path;
        } namespaces[] = {
                [CELL_FD_PID_NAMESPACE] = {LAYER_PID_NAMESPACE, "self/ns/pid"},
                [CELL_FD_MOUNT_NAMESPACE] = {LAYER_MOUNT_NAMESPACE, "self/ns/mnt"},
                [CELL_FD_USER_NAMESPACE] = {LAYER_USER_NAMESPACE, "self/ns/user"},
        };

        for (size_t i = 0; i < N_ELEMENTS(namespaces); i++) {
                if (!has(order, namespaces[i].layer))
                        continue;
                fds[*n_fds] = openat(order->proc_fd, namespaces[i].path, O_RDONLY | O_CLOEXEC);
                if (fds[*n_fds] < 0)
                        return cell_report_failure(report, "open %s", namespaces[i].path);
                ++*n_fds;
        }
        return 0;
}

/* Whatever was opened is closed by whoever closes everything: keep(), or the end of the process. */
static int make_cell(const KeeperOrder *order, int *fds, size_t *n_fds, CellReport *report) {
        int r = 0, directory_fd;

        if (has(order, LAYER_USER_NAMESPACE))
                r = user_map_own(order->proc_fd, order->uid, order->gid, report);
        if (r < 0)
                return r;
        r = open_namespaces(order, fds, n_fds, report);
        if (r < 0 || !has(order, LAYER_MOUNT_NAMESPACE))
                return r;
        directory_fd = make_tmpfs(&order->command, report);
        if (directory_fd < 0)
                return directory_fd;
        fds[(*n_fds)++] = directory_fd;
        r = make_folders(order, directory_fd, report);
        if (r >= 0)
                r = mount_folders(directory_fd, order->command.home[0], report);
        return r < 0 ? r : mount_home(order, report);
}

/*
 * Before the supervisor hears of the cell, so that no worker ever meets a keeper that can do
 * anything. Children that end are reaped by the kernel, since SIGCHLD is ignored; they come to a
 * pid 1 when their own parent has ended.
 */
static int renounce(int supervisor_fd, CellReport *report) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct none[2] = {{0}};
        struct pollfd supervisor = {.fd = supervisor_fd};

        (void) signal(SIGCHLD, SIG_IGN);
        if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
                return cell_report_failure(report, "drop the keeper's capabilities");
        /* Asked for last of what changes rights, which would clear it. From a pid namespace
         * getppid() cannot tell whether the supervisor had died before; its socket can. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return cell_report_failure(report, "tie the keeper to the supervisor");
        if (poll(&supervisor, 1, 0) < 0 || supervisor.revents & (POLLHUP | POLLERR)) {
                errno = EPIPE;
                return cell_report_failure(report, "find the supervisor alive");
        }
        return 0;
}

/*
 * Nothing to hold, nothing to do: no descriptors, and no system call but read(2), which does not
 * return. No signal reaches it but SIGKILL from outside the cell.
 */
static _Noreturn void keep(void) {
        uint64_t never;
        int fd;

        if (close_range(0, ~0U, 0) < 0)
                _exit(1);
        fd = eventfd(0, EFD_CLOEXEC);
        /* Strict mode is older than filters, and takes no memory. A kernel without it has no
         * filters either, and then it is not missed. */
        (void) prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        for (;;)
                (void) !read(fd, &never, sizeof(never));
}

static _Noreturn void keeper_main(const KeeperOrder *order, int gate_fd, CellReport *report) {
        int fds[_CELL_FDS], r;
        size_t n_fds = 0;
        char go;

        (void) prctl(PR_SET_NAME, "hatchery-cell");
        r = make_cell(order, fds, &n_fds, report);
        if (r >= 0)
                r = renounce(order->socket_fd, report);
        if (r < 0) {
                report->kind = CELL_FAILED;
                n_fds = 0;
        } else {
                report->kind = CELL_MADE;
                report->layers = order->layers;
        }
        if (read(gate_fd, &go, 1) != 1 ||
            cell_report_send(order->socket_fd, report, fds, n_fds) < 0 || r < 0)
                _exit(1);
        keep();
}

pid_t keeper_fork(const KeeperOrder *order, CellReport *report, int *ret_gate_fd) {
        _autoclose_ int read_fd = -1, write_fd = -1;
        unsigned long flags = CLONE_PARENT | SIGCHLD;
        int gate_fds[2];
        long pid;

        if (has(order, LAYER_PID_NAMESPACE))
                flags |= CLONE_NEWPID;
        if (has(order, LAYER_MOUNT_NAMESPACE))
                flags |= CLONE_NEWNS;
        if (has(order, LAYER_USER_NAMESPACE))
                flags |= CLONE_NEWUSER;
        if (pipe2(gate_fds, O_CLOEXEC) < 0)
                return cell_report_failure(report, "make a pipe");
        read_fd = gate_fds[0];
        write_fd = gate_fds[1];

        /* Not fork(3), which makes no siblings. There is one thread, and the child never comes back
         * to what glibc remembers of it. All arguments after the flags are 0, so their order, which
         * differs between architectures, does not matter. */
        pid = syscall(SYS_clone, flags, 0, 0, 0, 0);
        if (pid == 0) {
                (void) close(write_fd);
                keeper_main(order, read_fd, report);
        }
        if (pid < 0)
                return cell_report_failure(report, "clone a keeper");
        *ret_gate_fd = take_fd(write_fd);
        return (pid_t) pid;
}

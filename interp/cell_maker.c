#include "interp/cell_maker.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interp/cell_report.h"
#include "interp/cell_root.h"
#include "interp/keeper.h"
#include "interp/option_value.h"
#include "interp/user_map.h"
#include "interp/view.h"
#include "kit/error.h"
#include "kit/log.h"

static const char usage[] =
        "usage: hatchery-python --make-cells --socket FD --layers MASK [--view PATH]...\n"
        "                       [--data PATH]... [--homes FD] [--log-level LEVEL]\n"
        "It is started by hatchery, and of no use by itself.\n";

typedef struct CellMaker {
        int socket_fd;
        int proc_fd; /* O_PATH: /proc, of which there is none in the root of cells */
        unsigned uid, gid;
        LayerMask layers;      /* asked for */
        LayerMask cell_layers; /* of these, what each cell has for itself */
        ViewOptions view;
        int homes_fd; /* the folder of all homes of sessions, or -1 */
        CellRoot root;
} CellMaker;

/* In the order of CELLS_SHARED_LAYERS. */
static const struct {
        Layer layer;
        int flag; /* of unshare(2) */
        const char *flag_name, *path;
} shared[] = {
        {LAYER_USER_NAMESPACE, CLONE_NEWUSER, "CLONE_NEWUSER", "self/ns/user"},
        {LAYER_NET_NAMESPACE, CLONE_NEWNET, "CLONE_NEWNET", "self/ns/net"},
        {LAYER_IPC_NAMESPACE, CLONE_NEWIPC, "CLONE_NEWIPC", "self/ns/ipc"},
        {LAYER_UTS_NAMESPACE, CLONE_NEWUTS, "CLONE_NEWUTS", "self/ns/uts"},
        {LAYER_CGROUP_NAMESPACE, CLONE_NEWCGROUP, "CLONE_NEWCGROUP", "self/ns/cgroup"},
};
_Static_assert(N_ELEMENTS(shared) == CELLS_SHARED_MAX, "one for each");

static bool has(const CellMaker *maker, Layer layer) {
        return maker->layers & layer_bit(layer);
}

bool cell_maker_is_asked_for(int argc, char **argv) {
        return argc > 1 && strcmp(argv[1], "--make-cells") == 0;
}

static int parse_option(int option, CellMaker *maker) {
        uint64_t number;

        switch (option) {
        case 'm':
                return 0;
        case 's':
                return option_descriptor(optarg, &maker->socket_fd);
        case 'y':
                if (option_number(optarg, UINT32_MAX, &number) < 0)
                        return -1;
                maker->layers = (uint32_t) number;
                return 0;
        case 'v':
                return view_add(&maker->view, VIEW_READ, optarg) ? 0 : -1;
        case 'd':
                return view_add(&maker->view, VIEW_WRITE, optarg) ? 0 : -1;
        case 'h':
                return option_descriptor(optarg, &maker->homes_fd);
        case 'l':
                return option_log_level(optarg);
        default:
                return -1;
        }
}

static int parse(int argc, char **argv, CellMaker *maker) {
        static const struct option known[] = {
                {"make-cells", no_argument, NULL, 'm'},
                {"socket", required_argument, NULL, 's'},
                {"layers", required_argument, NULL, 'y'},
                {"view", required_argument, NULL, 'v'},
                {"data", required_argument, NULL, 'd'},
                {"homes", required_argument, NULL, 'h'},
                {"log-level", required_argument, NULL, 'l'},
                {0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
                if (parse_option(option, maker) < 0)
                        return -1;
        }
        return optind == argc && maker->socket_fd > STDERR_FILENO && maker->layers ? 0 : -1;
}

/* Before anything else: nobody but the supervisor ends this process, or outlives it here. The
 * supervisor may have died before the signal was asked for, and then the socket is closed. */
static int secure(CellMaker *maker, CellReport *report) {
        sigset_t all;

        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);
        if (fcntl(maker->socket_fd, F_SETFD, FD_CLOEXEC) < 0)
                return cell_report_failure(report, "the socket of the supervisor");
        if (maker->homes_fd >= 0 && fcntl(maker->homes_fd, F_SETFD, FD_CLOEXEC) < 0)
                return cell_report_failure(report, "the homes of sessions");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return cell_report_failure(report, "give up new privileges");
        maker->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (maker->proc_fd < 0)
                return cell_report_failure(report, "open /proc");
        return 0;
}

/* A user namespace comes first: it gives the right to make the others. When all ids are mapped in
 * it, each worker can have a uid of its own, and a second one for each cell adds nothing. */
static int enter_user_namespace(CellMaker *maker, CellReport *report) {
        bool is_all;
        int r;

        if (!has(maker, LAYER_USER_NAMESPACE))
                return 0;
        r = user_map_enter(maker->proc_fd, report, &is_all);
        if (r >= 0 && is_all)
                maker->cell_layers &= ~layer_bit(LAYER_USER_NAMESPACE);
        return r;
}

static int enter_shared(CellMaker *maker, CellReport *report) {
        int r = enter_user_namespace(maker, report);

        if (r < 0)
                return r;
        for (size_t i = 1; i < N_ELEMENTS(shared); i++) {
                if (has(maker, shared[i].layer) && unshare(shared[i].flag) < 0)
                        return cell_report_failure(report, "unshare(%s)", shared[i].flag_name);
        }
        if (has(maker, LAYER_UTS_NAMESPACE) &&
            sethostname(CELL_HOST_NAME, strlen(CELL_HOST_NAME)) < 0)
                return cell_report_failure(report, "set the host name");
        return 0;
}

/* What keepers need for a moment: mounting, and giving their folders to a worker's user. */
static int drop_capabilities(CellReport *report) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2];
        const uint32_t needed = 1U << CAP_SYS_ADMIN | 1U << CAP_CHOWN;

        if (syscall(SYS_capget, &header, data) < 0)
                return cell_report_failure(report, "capget");
        data[0].effective &= needed;
        data[0].permitted &= needed;
        data[0].inheritable = 0;
        data[1] = (struct __user_cap_data_struct){0};
        if (syscall(SYS_capset, &header, data) < 0)
                return cell_report_failure(report, "drop capabilities");
        return 0;
}

static int prepare(CellMaker *maker, CellReport *report) {
        int r = secure(maker, report);

        if (r >= 0 && view_check(&maker->view, report->text, sizeof(report->text)) < 0) {
                report->error = EINVAL;
                return -EINVAL;
        }
        if (r >= 0)
                r = enter_shared(maker, report);
        if (r >= 0 && has(maker, LAYER_MOUNT_NAMESPACE))
                r = cell_root_enter(&maker->view, maker->homes_fd, report, &maker->root);
        /* A way out of the root that no keeper may have. */
        close_fd(&maker->homes_fd);
        if (r >= 0)
                r = drop_capabilities(report);
        if (r < 0)
                return r;
        /* After the ids and capabilities have changed, which would clear it. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
                return cell_report_failure(report, "secure the cell maker");
        return 0;
}

static int report_ready(const CellMaker *maker) {
        CellReport report = {.kind = CELLS_READY};
        int fds[CELLS_SHARED_MAX], r = 0;
        size_t n_fds = 0;

        for (size_t i = 0; i < N_ELEMENTS(shared); i++) {
                if (!has(maker, shared[i].layer))
                        continue;
                fds[n_fds] = openat(maker->proc_fd, shared[i].path, O_RDONLY | O_CLOEXEC);
                if (fds[n_fds] < 0) {
                        r = cell_report_failure(&report, "open %s", shared[i].path);
                        break;
                }
                n_fds++;
                report.layers |= layer_bit(shared[i].layer);
        }
        if (r < 0)
                report.kind = CELLS_FAILED;
        if (cell_report_send(maker->socket_fd, &report, fds, r < 0 ? 0 : n_fds) < 0)
                r = -EPIPE;
        for (size_t i = 0; i < n_fds; i++)
                (void) close(fds[i]);
        return r;
}

/* Returns the keeper's pid, or -errno with the report filled. */
static pid_t start_keeper(CellMaker *maker, const CellCommand *command, CellReport *report,
                          int *ret_gate_fd) {
        KeeperOrder order = {
                .command = *command,
                .layers = maker->cell_layers,
                .socket_fd = maker->socket_fd,
                .proc_fd = maker->proc_fd,
                .uid = maker->uid,
                .gid = maker->gid,
                .home_fds = {-1, -1},
        };
        int r;

        if (!has(maker, LAYER_MOUNT_NAMESPACE))
                return keeper_fork(&order, report, ret_gate_fd);
        /* To tmpfs, 0 means as much as there is. */
        if (command->size_bytes == 0 || command->inodes == 0) {
                errno = EINVAL;
                return cell_report_failure(report, "make a tmpfs without a limit");
        }
        r = cell_root_name(&maker->root, command->uid, command->gid, report);
        if (r >= 0)
                r = cell_root_open_home(&maker->root, command->home, order.home_fds, report);
        if (r >= 0)
                r = keeper_fork(&order, report, ret_gate_fd);
        for (int i = 0; i < CELL_HOME_FDS; i++)
                close_fd(&order.home_fds[i]);
        return r;
}

/* Returns 0, or -errno when the supervisor does not listen any more. */
static int make(CellMaker *maker, const CellCommand *command) {
        CellReport report = {.kind = CELL_FAILED, .slot = command->slot};
        _autoclose_ int gate_fd = -1;
        pid_t pid = start_keeper(maker, command, &report, &gate_fd);
        int r;

        if (pid >= 0) {
                report.kind = CELL_STARTED;
                report.value = pid;
        }
        r = cell_report_send(maker->socket_fd, &report, NULL, 0);
        if (r < 0 || pid < 0)
                return r;
        return write(gate_fd, "", 1) == 1 || errno == EPIPE ? 0 : -errno;
}

/* Receives one command. Returns 1, 0 at the end of the socket, or -errno: then the protocol is
 * broken. */
static int receive_command(int socket_fd, CellCommand *ret_command) {
        ssize_t n;

        do
                n = recv(socket_fd, ret_command, sizeof(*ret_command), MSG_TRUNC);
        while (n < 0 && errno == EINTR);
        /* Reset: the supervisor has gone and had not read all that was said to it. */
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return 0;
        if (n < 0)
                return raise_errno("receive a command");
        if (n != sizeof(*ret_command) || ret_command->kind != CELL_MAKE ||
            ret_command->home[sizeof(ret_command->home) - 1])
                return raise_error(-EBADMSG, "command of %zd bytes", n);
        return 1;
}

static int serve(CellMaker *maker) {
        CellCommand command;

        for (;;) {
                int r = receive_command(maker->socket_fd, &command);

                if (r <= 0)
                        return r;
                if (make(maker, &command) < 0)
                        /* Nobody listens: the supervisor has gone, or has given this maker up. */
                        return 0;
        }
}

int cell_maker_main(int argc, char **argv) {
        static CellMaker maker = {.socket_fd = -1,
                                  .proc_fd = -1,
                                  .homes_fd = -1,
                                  .root = {.writable_fd = -1, .homes_fd = -1}};
        CellReport report = {.kind = CELLS_FAILED};

        log_set_name("cells");
        if (parse(argc, argv, &maker) < 0) {
                (void) fputs(usage, stderr);
                return EXIT_FAILURE;
        }
        maker.uid = geteuid();
        maker.gid = getegid();
        maker.cell_layers =
                maker.layers & (layer_bit(LAYER_PID_NAMESPACE) | layer_bit(LAYER_MOUNT_NAMESPACE) |
                                layer_bit(LAYER_USER_NAMESPACE));
        if (prepare(&maker, &report) < 0) {
                log_error("cannot make cells: %s: %s", report.text, strerror(report.error));
                if (cell_report_send(maker.socket_fd, &report, NULL, 0) < 0)
                        log_error("and nobody listens");
                return EXIT_FAILURE;
        }
        if (report_ready(&maker) < 0)
                return EXIT_FAILURE;
        log_debug("ready to make cells");
        return serve(&maker) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

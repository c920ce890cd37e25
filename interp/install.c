#include "interp/install.h"

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "install-modules.h"
#include "interp/compat.h"
#include "interp/install_filter.h"
#include "interp/confine_steps.h"
#include "interp/embed.h"
#include "interp/option_value.h"
#include "kit/error.h"
#include "kit/log.h"
#include "wire/install.h"

static const char usage[] =
        "usage: hatchery-python --install --socket FD --template NAME --staging DIR [--uid N]\n"
        "                       [--index URL] [--venv DIR] [--view PATH]... [--seconds N]\n"
        "                       [--memory-bytes N] [--file-bytes N] [--log-level LEVEL]\n"
        "It is started by hatchery, and of no use by itself.\n";

/* Beyond the view that workers have: what it takes to find a host and to know it by its
 * certificate, and what pip is set to on this machine. */
static const char *const network_settings[] = {
        "/etc/ca-certificates",
        "/etc/gai.conf",
        "/etc/host.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/pip.conf",
        "/etc/resolv.conf",
        "/etc/ssl/certs",
        "/etc/xdg/pip/pip.conf",
        "/run/systemd/resolve",
        "/usr/local/share/ca-certificates",
};

typedef struct InstallOptions {
        int socket_fd;
        const char *template_name, *staging, *index, *venv;
        uint64_t uid, seconds, memory_bytes, file_bytes;
        ViewOptions view;
} InstallOptions;

bool install_is_asked_for(int argc, char **argv) {
        return argc > 1 && strcmp(argv[1], "--install") == 0;
}

/* --- options --- */

static int parse_option(int option, InstallOptions *options) {
        switch (option) {
        case 'I':
                return 0;
        case 's':
                return option_descriptor(optarg, &options->socket_fd);
        case 't':
                options->template_name = optarg;
                return 0;
        case 'g':
                options->staging = optarg;
                return 0;
        case 'u':
                return option_number(optarg, UINT32_MAX - 1, &options->uid);
        case 'i':
                options->index = optarg;
                return 0;
        case 'v':
                options->venv = optarg;
                return 0;
        case 'r':
                return view_add(&options->view, VIEW_READ, optarg) ? 0 : -1;
        case 'c':
                return option_number(optarg, UINT32_MAX, &options->seconds);
        case 'm':
                return option_number(optarg, INT64_MAX, &options->memory_bytes);
        case 'f':
                return option_number(optarg, INT64_MAX, &options->file_bytes);
        case 'l':
                return option_log_level(optarg);
        default:
                return -1;
        }
}

static int parse(int argc, char **argv, InstallOptions *options) {
        static const struct option known[] = {
                {"install", no_argument, NULL, 'I'},
                {"socket", required_argument, NULL, 's'},
                {"template", required_argument, NULL, 't'},
                {"staging", required_argument, NULL, 'g'},
                {"uid", required_argument, NULL, 'u'},
                {"index", required_argument, NULL, 'i'},
                {"venv", required_argument, NULL, 'v'},
                {"view", required_argument, NULL, 'r'},
                {"seconds", required_argument, NULL, 'c'},
                {"memory-bytes", required_argument, NULL, 'm'},
                {"file-bytes", required_argument, NULL, 'f'},
                {"log-level", required_argument, NULL, 'l'},
                {0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
                if (parse_option(option, options) < 0)
                        return -1;
        }
        return optind == argc && options->socket_fd > STDERR_FILENO && options->staging &&
                               options->template_name
                       ? 0
                       : -1;
}

/* --- shutting itself in --- */

/* What it has before it begins; a sanitizer has reserved terabytes. */
static uint64_t own_address_bytes(void) {
        _autoclose_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        char text[128] = "";

        if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
                return 0;
        return strtoull(text, NULL, 10) * (uint64_t) sysconf(_SC_PAGESIZE);
}

static int limit(const InstallOptions *options) {
        const struct {
                int resource;
                uint64_t value;
        } limits[] = {
                {RLIMIT_CORE, 0},
                {RLIMIT_NOFILE, 256},
                {RLIMIT_CPU, options->seconds},
                {RLIMIT_AS, own_address_bytes() + options->memory_bytes},
                {RLIMIT_FSIZE, options->file_bytes},
                {RLIMIT_MEMLOCK, 0},
                {RLIMIT_MSGQUEUE, 0},
                {RLIMIT_RTPRIO, 0},
                {RLIMIT_NICE, 0},
        };

        for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
                struct rlimit both = {limits[i].value, limits[i].value};

                if (setrlimit((__rlimit_resource_t) limits[i].resource, &both) < 0)
                        return raise_errno("set a limit");
        }
        return 0;
}

/* Rights go with the change of user, or by hand. */
static int become_nobody(Confinement *confinement) {
        int r = confine_bounding_set_drop(confinement);

        if (r == 0 && confinement->command->uid != 0)
                r = confine_identity_take(confinement);
        if (r == 0)
                r = confine_capabilities_drop(confinement);
        if (r == 0 && confinement->command->uid != 0)
                r = confine_identity_check(confinement);
        return r;
}

static int enter_landlock(Confinement *confinement, InstallOptions *options) {
        int r;

        for (size_t i = 0; i < N_ELEMENTS(network_settings); i++)
                (void) view_add(&options->view, VIEW_READ, network_settings[i]);
        r = confine_landlock_prepare(&options->view);
        if (r < 0)
                return r;
        confine_landlock_allow_network();
        r = confine_landlock_take(confinement);
        if (r == -ENOSYS || r == -EOPNOTSUPP) {
                log_debug("there is no Landlock on this machine");
                return 0;
        }
        return r;
}

/* In the order of confine.c, as far as it is about this process. */
static int shut_in(InstallOptions *options) {
        SpawnCommand command = {.uid = (uint32_t) options->uid, .gid = (uint32_t) options->uid};
        int fds[_SPAWN_FDS] = {[SPAWN_FD_DIRECTORY] = INSTALL_STAGING_FD};
        Confinement confinement = {.command = &command, .fds = fds};
        pid_t parent = getppid();
        int r;

        (void) umask(022);
        /* Errors of the call that causes them, which Python tells of. */
        (void) signal(SIGXFSZ, SIG_IGN);
        (void) signal(SIGPIPE, SIG_IGN);
        if (fcntl(options->socket_fd, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(INSTALL_STAGING_FD, F_SETFD, FD_CLOEXEC) < 0)
                return raise_errno("its descriptors");
        r = limit(options);
        if (r == 0)
                r = become_nobody(&confinement);
        if (r == 0)
                r = confine_no_new_privileges_take(&confinement);
        if (r == 0)
                r = confine_not_dumpable_take(&confinement);
        if (r < 0)
                return raise_error(r, "give up rights");
        /* A change of ids clears it, so it comes after them; and the supervisor may have died. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                return raise_errno("end with the supervisor");
        r = enter_landlock(&confinement, options);
        if (r < 0)
                return raise_error(r, "landlock");
        (void) close(INSTALL_STAGING_FD);
        r = install_filter_take();
        return r < 0 ? raise_error(r, "filter system calls") : 0;
}

/* --- Python --- */

/* The last of them imports the others. */
static PyObject *load_modules(void) {
        PyObject *module = NULL;

        for (size_t i = 0; i < N_ELEMENTS(harness_modules); i++) {
                _pyowned_ PyObject *code =
                        Py_CompileString(harness_modules[i].text, "<hatchery>", Py_file_input);

                Py_CLEAR(module);
                if (code)
                        module = PyImport_ExecCodeModule(harness_modules[i].name, code);
                if (!module)
                        return NULL;
        }
        return module;
}

static int run_driver(const InstallOptions *options) {
        _pyowned_ PyObject *driver = load_modules(), *result = NULL;

        if (driver)
                result = PyObject_CallMethod(driver, "main", "isz", options->socket_fd,
                                             options->staging, options->index);
        if (!result) {
                PyErr_Print();
                return -1;
        }
        return 0;
}

static int fail(const InstallOptions *options, const char *why) {
        InstallReport report = {.kind = INSTALL_FAILED, .number = INSTALL_FAILURE_OWN};

        log_error("cannot install: %s", why);
        (void) snprintf(report.text, sizeof(report.text), "%s", why);
        (void) send(options->socket_fd, &report, INSTALL_REPORT_HEAD + strlen(report.text) + 1,
                    MSG_NOSIGNAL);
        return EXIT_FAILURE;
}

int install_main(int argc, char **argv) {
        static InstallOptions options = {
                .socket_fd = -1,
                .seconds = 120,
                .memory_bytes = (uint64_t) 2 << 30,
                .file_bytes = (uint64_t) 1 << 30,
        };
        static EmbedFailure failure;

        log_set_name("install");
        if (parse(argc, argv, &options) < 0) {
                (void) fputs(usage, stderr);
                return EXIT_FAILURE;
        }
        if (options.venv)
                (void) view_add(&options.view, VIEW_READ, options.venv);
        if (shut_in(&options) < 0)
                return fail(&options, "The process for packages could not be shut in.");
        if (chdir(options.staging) < 0)
                return fail(&options, "The process for packages cannot reach its folder.");
        embed_set_environment();
        if (embed_start(options.venv, &failure) < 0)
                return fail(&options, failure.text);
        return run_driver(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* hatchery-python: the warm interpreter, as described in wire/zygote.h; or, with --make-cells, what
 * makes the places for its workers, as described in wire/cells.h; or, with --install, what runs pip
 * for a session (wire/install.h). */

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "interp/cell_maker.h"
#include "interp/install.h"
#include "interp/option_value.h"
#include "interp/zygote.h"
#include "kit/log.h"

static const char usage[] =
        "usage: hatchery-python --socket FD --template NAME [--venv DIR] [--import MODULE]...\n"
        "                       [--warm-up FILE] [--prelude FILE]\n"
        "                       [--enter NAMESPACE-FD]... [--view PATH]... [--data PATH]...\n"
        "                       [--log-level LEVEL]\n"
        "It is started by hatchery, and of no use by itself.\n";

/* The zygote leaves the directory that it was started in. Paths are not resolved any further: a
 * virtual environment is known by the path it is given. */
static const char *absolute(const char *path) {
        char directory[PATH_MAX], *result;

        if (path[0] == '/' || !getcwd(directory, sizeof(directory)) ||
            asprintf(&result, "%s/%s", directory, path) < 0)
                return path;
        return result;
}

/* Options that may be given more than once. Returns false when there are too many. */
static bool add(ZygoteOptions *options, int option, const char *value) {
        switch (option) {
        case 'i':
                if (options->n_imports == ZYGOTE_IMPORTS_MAX)
                        return false;
                options->imports[options->n_imports++] = value;
                return true;
        case 'e':
                if (options->n_namespaces == CONFINE_ENTER_MAX)
                        return false;
                options->namespaces[options->n_namespaces++] = atoi(value);
                return true;
        default:
                return view_add(&options->view, option == 'd' ? VIEW_WRITE : VIEW_READ, value);
        }
}

static int parse(int argc, char **argv, ZygoteOptions *options) {
        static const struct option known[] = {
                {"socket", required_argument, NULL, 's'},
                {"template", required_argument, NULL, 't'},
                {"venv", required_argument, NULL, 'v'},
                {"import", required_argument, NULL, 'i'},
                {"warm-up", required_argument, NULL, 'w'},
                {"prelude", required_argument, NULL, 'p'},
                {"enter", required_argument, NULL, 'e'},
                {"view", required_argument, NULL, 'r'},
                {"data", required_argument, NULL, 'd'},
                {"log-level", required_argument, NULL, 'l'},
                {0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
                switch (option) {
                case 's':
                        if (option_descriptor(optarg, &options->socket_fd) < 0)
                                return -1;
                        break;
                case 't':
                        options->template_name = optarg;
                        break;
                case 'v':
                        options->venv = absolute(optarg);
                        break;
                case 'w':
                        options->warm_up = absolute(optarg);
                        break;
                case 'p':
                        options->prelude = absolute(optarg);
                        break;
                case 'i':
                case 'e':
                case 'r':
                case 'd':
                        if (!add(options, option, optarg))
                                return -1;
                        break;
                case 'l':
                        if (option_log_level(optarg) < 0)
                                return -1;
                        break;
                default:
                        return -1;
                }
        }
        return optind == argc && options->socket_fd > STDERR_FILENO && options->template_name ? 0
                                                                                              : -1;
}

int main(int argc, char **argv) {
        static ZygoteOptions options = {.socket_fd = -1};
        char name[64];

        if (cell_maker_is_asked_for(argc, argv))
                _exit(cell_maker_main(argc, argv));
        if (install_is_asked_for(argc, argv))
                _exit(install_main(argc, argv));
        if (parse(argc, argv, &options) < 0) {
                (void) fputs(usage, stderr);
                return EXIT_FAILURE;
        }
        (void) snprintf(name, sizeof(name), "zygote:%s", options.template_name);
        log_set_name(name);
        /* Nothing is torn down: the kernel takes the memory of an interpreter back in one piece. */
        _exit(zygote_run(&options));
}

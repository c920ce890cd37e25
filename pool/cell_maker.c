#include "pool/cell_maker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "kit/error.h"
#include "pool/program.h"

struct CellMaker {
        Program program;
        int shared_fds[CELLS_SHARED_MAX];
        size_t n_shared;
};

static void build_arguments(const char *program, const TemplateConfig *config, const char *layers,
                            bool has_homes, const char *log_level, Arguments *arguments) {
        arguments_add(arguments, program);
        arguments_add(arguments, "--make-cells");
        arguments_add_option(arguments, "--socket", "3");
        _Static_assert(PROGRAM_SOCKET_FD == 3, "the number in the line above");
        arguments_add_option(arguments, "--layers", layers);
        program_add_views(config, arguments);
        /* By its number, since all on the machine may read what a process was started with. */
        arguments_add_option(arguments, "--homes", has_homes ? "4" : NULL);
        _Static_assert(PROGRAM_INHERITED_FD == 4, "the number in the line above");
        arguments_add_option(arguments, "--log-level", log_level);
}

static int open_homes(const char *state_directory) {
        _autoclose_ int state_fd = open(state_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fd;

        if (state_fd < 0)
                return raise_errno("open the state directory %s", state_directory);
        fd = openat(state_fd, "sessions", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? raise_errno("open the homes of sessions") : fd;
}

int cell_maker_new(const char *program, const TemplateConfig *config, LayerMask layers,
                   const char *state_directory, const char *log_level, CellMaker **ret_maker) {
        _cleanup_(cell_maker_freep) CellMaker *maker = NULL;
        Arguments arguments = {.n = 0};
        _autoclose_ int homes_fd = -1;
        char mask[16];
        int r;

        maker = calloc(1, sizeof(*maker));
        if (!maker)
                return raise_error(-ENOMEM, "allocate a cell maker");
        maker->program = PROGRAM_NONE;
        (void) snprintf(mask, sizeof(mask), "%u", layers);
        if (state_directory) {
                homes_fd = open_homes(state_directory);
                if (homes_fd < 0)
                        return homes_fd;
        }
        build_arguments(program, config, mask, homes_fd >= 0, log_level, &arguments);
        r = program_start(&arguments, &homes_fd, homes_fd >= 0, &maker->program);
        if (r < 0)
                return r;
        *ret_maker = take_ptr(maker);
        return 0;
}

CellMaker *cell_maker_free(CellMaker *maker) {
        if (!maker)
                return NULL;
        program_end(&maker->program);
        for (size_t i = 0; i < maker->n_shared; i++)
                close_fd(&maker->shared_fds[i]);
        free(maker);
        return NULL;
}

int cell_maker_fd(const CellMaker *maker) {
        return maker->program.socket_fd;
}

pid_t cell_maker_pid(const CellMaker *maker) {
        return maker->program.pid;
}

size_t cell_maker_shared_fds(const CellMaker *maker, int ret_fds[CELLS_SHARED_MAX]) {
        memcpy(ret_fds, maker->shared_fds, sizeof(int) * maker->n_shared);
        return maker->n_shared;
}

/* How many descriptors a report of those layers must bring for all cells. */
static size_t count_shared(LayerMask layers) {
        static const Layer shared[] = CELLS_SHARED_LAYERS;
        size_t n = 0;

        _Static_assert(N_ELEMENTS(shared) == CELLS_SHARED_MAX, "one for each");
        for (size_t i = 0; i < N_ELEMENTS(shared); i++)
                n += (layers & layer_bit(shared[i])) != 0;
        return n;
}

/* Puts what has come with CELL_MADE where its layer says. Returns how many there must be. */
static size_t sort_fds(LayerMask layers, const int *fds, int ret_fds[_CELL_FDS]) {
        static const Layer owners[_CELL_FDS] = {
                [CELL_FD_PID_NAMESPACE] = LAYER_PID_NAMESPACE,
                [CELL_FD_MOUNT_NAMESPACE] = LAYER_MOUNT_NAMESPACE,
                [CELL_FD_USER_NAMESPACE] = LAYER_USER_NAMESPACE,
                [CELL_FD_DIRECTORY] = LAYER_MOUNT_NAMESPACE,
        };
        size_t n = 0;

        for (int i = 0; i < _CELL_FDS; i++)
                ret_fds[i] = layers & layer_bit(owners[i]) ? fds[n++] : -1;
        return n;
}

static int take_fds(CellMaker *maker, const CellReport *report, const int *fds, size_t n_fds,
                    int ret_fds[_CELL_FDS]) {
        size_t expected = 0;
        bool is_first = report->kind == CELLS_READY && maker->n_shared == 0;

        if (report->kind == CELL_MADE)
                expected = sort_fds(report->layers, fds, ret_fds);
        else if (is_first)
                expected = count_shared(report->layers);
        if (n_fds != expected)
                return raise_error(-EPROTO, "%zu descriptors came with report %u, and not %zu",
                                   n_fds, report->kind, expected);
        if (is_first) {
                memcpy(maker->shared_fds, fds, sizeof(int) * n_fds);
                maker->n_shared = n_fds;
        }
        return 0;
}

int cell_maker_receive(CellMaker *maker, CellReport *ret_report, int ret_fds[_CELL_FDS]) {
        int fds[CELLS_SHARED_MAX] = {-1, -1, -1, -1, -1};
        size_t size, n_fds = 0;
        int r;

        for (int i = 0; i < _CELL_FDS; i++)
                ret_fds[i] = -1;
        r = program_receive(&maker->program, ret_report, sizeof(*ret_report), &size, fds,
                            N_ELEMENTS(fds), &n_fds);
        if (r == PROGRAM_GONE)
                return CELL_MAKER_GONE;
        if (r != PROGRAM_MESSAGE)
                return r < 0 ? r : CELL_MAKER_NO_REPORT;
        r = size == sizeof(*ret_report) ? take_fds(maker, ret_report, fds, n_fds, ret_fds)
                                        : raise_error(-EPROTO, "a report of %zu bytes", size);
        if (r < 0) {
                for (int i = 0; i < _CELL_FDS; i++)
                        ret_fds[i] = -1;
                for (size_t i = 0; i < n_fds; i++)
                        close_fd(&fds[i]);
                return r;
        }
        ret_report->text[sizeof(ret_report->text) - 1] = '\0';
        return CELL_MAKER_REPORT;
}

int cell_maker_ask(CellMaker *maker, const CellCommand *command) {
        return program_send(&maker->program, command, sizeof(*command), NULL, 0);
}

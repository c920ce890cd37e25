#include "pool/zygote.h"

#include <errno.h>
#include <stdio.h>

#include "kit/error.h"
#include "pool/program.h"

struct Zygote {
        Program program;
};

static void build_arguments(const char *program, const TemplateConfig *config, size_t n_namespaces,
                            const char *log_level, Arguments *arguments) {
        /* The numbers that the namespaces have there. */
        static char numbers[PROGRAM_INHERITED_MAX][24];

        arguments_add(arguments, program);
        arguments_add_option(arguments, "--socket", "3");
        _Static_assert(PROGRAM_SOCKET_FD == 3, "the number in the line above");
        arguments_add_option(arguments, "--template", config->name);
        arguments_add_option(arguments, "--venv", config->venv);
        for (size_t i = 0; i < config->n_imports; i++)
                arguments_add_option(arguments, "--import", config->imports[i]);
        arguments_add_option(arguments, "--warm-up", config->warm_up);
        arguments_add_option(arguments, "--prelude", config->prelude);
        for (size_t i = 0; i < n_namespaces; i++) {
                (void) snprintf(numbers[i], sizeof(numbers[i]), "%zu", PROGRAM_INHERITED_FD + i);
                arguments_add_option(arguments, "--enter", numbers[i]);
        }
        program_add_views(config, arguments);
        arguments_add_option(arguments, "--log-level", log_level);
}

int zygote_new(const char *program, const TemplateConfig *config, const int *namespace_fds,
               size_t n_namespaces, const char *log_level, Zygote **ret_zygote) {
        _cleanup_(zygote_freep) Zygote *zygote = NULL;
        Arguments arguments = {.n = 0};
        int r;

        zygote = calloc(1, sizeof(*zygote));
        if (!zygote)
                return raise_error(-ENOMEM, "allocate a zygote");
        zygote->program = PROGRAM_NONE;
        build_arguments(program, config, n_namespaces, log_level, &arguments);
        r = program_start(&arguments, namespace_fds, n_namespaces, &zygote->program);
        if (r < 0)
                return r;
        *ret_zygote = take_ptr(zygote);
        return 0;
}

Zygote *zygote_free(Zygote *zygote) {
        if (!zygote)
                return NULL;
        program_end(&zygote->program);
        free(zygote);
        return NULL;
}

int zygote_fd(const Zygote *zygote) {
        return zygote->program.socket_fd;
}

pid_t zygote_pid(const Zygote *zygote) {
        return zygote->program.pid;
}

int zygote_receive(Zygote *zygote, ZygoteReport *ret_report) {
        size_t size, n_fds;
        int r;

        r = program_receive(&zygote->program, ret_report, sizeof(*ret_report), &size, NULL, 0,
                            &n_fds);
        if (r == PROGRAM_GONE)
                return ZYGOTE_GONE;
        if (r != PROGRAM_MESSAGE)
                return r < 0 ? r : ZYGOTE_NO_REPORT;
        if (size < ZYGOTE_REPORT_HEAD)
                return raise_error(-EPROTO, "a report of zygote %d is %zu bytes long",
                                   zygote->program.pid, size);
        ret_report->text[sizeof(ret_report->text) - 1] = '\0';
        return ZYGOTE_REPORT;
}

int zygote_spawn(Zygote *zygote, const SpawnCommand *command, const int fds[_SPAWN_FDS]) {
        int sent[_SPAWN_FDS];
        size_t n = 0;

        for (int i = 0; i < _SPAWN_FDS; i++) {
                if (i < _SPAWN_FDS_ALWAYS || command->optional_fds & 1U << i)
                        sent[n++] = fds[i];
        }
        return program_send(&zygote->program, command, sizeof(*command), sent, n);
}

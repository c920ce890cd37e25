/* options_finish: what depends on the machine, and what one option alone cannot tell. */

#include "server/options_reader.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sysinfo.h>

#define OTHER_TEMPLATE_WORKERS 4

static bool is_given(const OptionsReader *reader, size_t template, const char *name) {
        const OptionInfo *option = option_table_find(&reader->table, name, strlen(name));

        return option && reader->given[template][option_number(&reader->table, option)];
}

static int finish_workers(OptionsReader *reader, size_t template) {
        TemplateConfig *config = &reader->options.templates[template];
        unsigned cores = (unsigned) get_nprocs();

        if (!is_given(reader, template, "workers")) {
                config->workers = template > 0 ? OTHER_TEMPLATE_WORKERS : cores * 4;
                if (template == 0 && config->workers < 8)
                        config->workers = 8;
                if (config->workers > SLOTS_MAX / 2)
                        config->workers = SLOTS_MAX / 2;
        }
        if (!is_given(reader, template, "session-spares"))
                config->session_spares = template > 0 ? 0 : 2;
        if (!is_given(reader, template, "touched"))
                config->touched = (config->workers + 1) / 2;
        if (config->touched > config->workers)
                return options_complain("touched", "template %s: %u is more than its workers, %u",
                                        config->name, config->touched, config->workers);
        return 0;
}

int options_finish_limits(OptionsReader *reader, size_t template) {
        TemplateConfig *config = &reader->options.templates[template];

        for (Limit limit = 0; limit < _LIMITS; limit++) {
                const OptionInfo *standard = option_of_limit_standard(&reader->table, limit);
                const OptionInfo *maximum = option_of_limit_maximum(&reader->table, limit);
                bool standard_given =
                        reader->given[template][option_number(&reader->table, standard)];
                bool maximum_given =
                        reader->given[template][option_number(&reader->table, maximum)];

                if (config->limits.standard[limit] <= config->limits.maximum[limit])
                        continue;
                if (standard_given && maximum_given)
                        return options_complain(
                                standard->name, "template %s: %llu is more than %s, %llu",
                                config->name, (unsigned long long) config->limits.standard[limit],
                                maximum->name, (unsigned long long) config->limits.maximum[limit]);
                if (maximum_given)
                        config->limits.standard[limit] = config->limits.maximum[limit];
                else
                        config->limits.maximum[limit] = config->limits.standard[limit];
        }
        return 0;
}

static int finish_templates(OptionsReader *reader) {
        Options *options = &reader->options;
        unsigned slots = 0;

        for (size_t i = 0; i < options->n_templates; i++) {
                TemplateConfig *config = &options->templates[i];
                int r = finish_workers(reader, i);

                if (r == 0)
                        r = options_finish_limits(reader, i);
                if (r < 0)
                        return r;
                config->imports = reader->modules[i];
                config->n_imports = reader->n_modules[i];
                config->read_only_paths = reader->paths[i];
                config->n_read_only_paths = reader->n_paths[i];
                slots += config->workers;
        }
        if (slots > SLOTS_MAX)
                return options_complain("workers", "%u of all templates together; allowed: %u",
                                        slots, (unsigned) SLOTS_MAX);
        return 0;
}

static const char *kept_path(OptionsReader *reader, const char *directory, const char *rest) {
        char path[2 * PATH_MAX];
        int size = snprintf(path, sizeof(path), "%s%s", directory, rest);

        return options_keep(reader, path, size < (int) sizeof(path) ? (size_t) size : 0);
}

static const char *variable_directory(const char *name) {
        const char *directory = getenv(name);

        return directory && directory[0] == '/' ? directory : NULL;
}

static int finish_paths(OptionsReader *reader) {
        Options *options = &reader->options;
        bool is_root = geteuid() == 0;
        const char *runtime = variable_directory("XDG_RUNTIME_DIR");
        const char *state = variable_directory("XDG_STATE_HOME");
        const char *home = variable_directory("HOME");
        char program[PATH_MAX + 1];
        ssize_t size;

        if (!options->work_directory)
                options->work_directory = is_root   ? "/run/hatchery"
                                          : runtime ? kept_path(reader, runtime, "")
                                                    : "/tmp";
        if (!options->state_directory) {
                if (is_root)
                        options->state_directory = "/var/lib/hatchery";
                else if (state || home)
                        options->state_directory =
                                state ? kept_path(reader, state, "/hatchery")
                                      : kept_path(reader, home, "/.local/state/hatchery");
                else
                        return options_complain("state-directory",
                                                "must be given, since HOME is not set");
        }
        if (!options->sessions.notebooks_directory)
                options->sessions.notebooks_directory =
                        kept_path(reader, options->state_directory, "/notebooks");
        if (options->python_program)
                return 0;
        size = readlink("/proc/self/exe", program, PATH_MAX);
        if (size < 0)
                return options_complain("python-program",
                                        "must be given, since /proc/self/exe cannot be read: %s",
                                        strerror(errno));
        program[size] = '\0';
        *strrchr(program, '/') = '\0';
        options->python_program = kept_path(reader, program, "/hatchery-python");
        return 0;
}

int options_finish(OptionsReader *reader) {
        Options *options = &reader->options;
        int r = finish_templates(reader);

        if (!is_given(reader, 0, "head-timeout-ms") &&
            options->head_timeout_ms > options->request_timeout_ms)
                options->head_timeout_ms = options->request_timeout_ms;

        if (r == 0)
                r = finish_paths(reader);
        if (r == 0)
                r = options_check_views(options);
        if (r == 0 && !options->tls_certificate != !options->tls_key)
                r = options_complain(
                        options->tls_key ? "tls-certificate" : "tls-key",
                        "missing: the certificate and its key are given both or not at all");
        if (r == 0 && options->head_timeout_ms > options->request_timeout_ms)
                r = options_complain("head-timeout-ms",
                                     "%llu is more than request-timeout-ms, %llu",
                                     (unsigned long long) options->head_timeout_ms,
                                     (unsigned long long) options->request_timeout_ms);
        return r;
}

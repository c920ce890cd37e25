#include "server/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "server/options_reader.h"

extern char **environ;

/* What the command line says, before anything has been assigned: the configuration file comes
 * first. */
typedef struct Flag {
        const OptionInfo *option;
        const char *name; /* as it was written */
        const char *value;
} Flag;

typedef struct CommandLine {
        Flag flags[256];
        size_t n_flags;
        bool serve, check, check_config, help, version;
} CommandLine;

static int complain_about_flag(const OptionsReader *reader, const char *argument,
                               const char *name) {
        const char *nearest = option_table_nearest(&reader->table, name);

        return options_complain(argument, "unknown option%s%s%s (hatchery --help lists all)",
                                nearest ? "; is --" : "", nearest ? nearest : "",
                                nearest ? " meant?" : "");
}

/* --name VALUE, --name=VALUE, and for a switch --name and --no-name. Moves *position past a value.
 */
static int read_flag(const OptionsReader *reader, int argc, char **argv, int *position,
                     CommandLine *line) {
        const char *argument = argv[*position];
        const char *name = argument + 2;
        const char *equals = strchr(name, '=');
        size_t name_size = equals ? (size_t) (equals - name) : strlen(name);
        const OptionInfo *option = option_table_find(&reader->table, name, name_size);
        const char *value = equals ? equals + 1 : NULL;

        if (!option && !equals && strncmp(name, "no-", 3) == 0) {
                option = option_table_find(&reader->table, name + 3, name_size - 3);
                if (option && option->kind != OPTION_SWITCH)
                        option = NULL;
                value = "no";
        }
        if (!option)
                return complain_about_flag(reader, argument, name);
        if (!value && option->kind == OPTION_SWITCH)
                value = "yes";
        if (!value && *position + 1 == argc)
                return options_complain(argument, "needs a value");
        if (!value)
                value = argv[++*position];
        if (line->n_flags == N_ELEMENTS(line->flags))
                return options_complain(argument, "too many options");
        line->flags[line->n_flags++] = (Flag){option, argument, value};
        return 0;
}

static int read_command_line(const OptionsReader *reader, int argc, char **argv,
                             CommandLine *line) {
        for (int i = 1; i < argc; i++) {
                int r = 0;

                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
                        line->help = true;
                else if (strcmp(argv[i], "--version") == 0)
                        line->version = true;
                else if (strcmp(argv[i], "--check-config") == 0)
                        line->check_config = true;
                else if (strcmp(argv[i], "serve") == 0 && i == 1)
                        line->serve = true;
                else if (strcmp(argv[i], "check") == 0 && i == 1)
                        line->check = true;
                else if (strncmp(argv[i], "--", 2) == 0)
                        r = read_flag(reader, argc, argv, &i, line);
                else
                        r = options_complain(
                                argv[i], "neither a command nor an option; try hatchery --help");
                if (r < 0)
                        return r;
        }
        return 0;
}

static int apply_standards(OptionsReader *reader) {
        OptionSource source = {"built-in default", NULL};

        reader->options.templates[0].name = "default";
        reader->options.n_templates = 1;
        for (size_t i = 0; i < reader->table.n_options; i++) {
                const OptionInfo *option = &reader->table.options[i];
                int r = option->standard
                                ? option_assign(reader, option, 0, option->standard, source)
                                : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* "queue-wait-ms" as HATCHERY_QUEUE_WAIT_MS. */
static void environment_name(const OptionInfo *option, char *ret_name, size_t size) {
        (void) snprintf(ret_name, size, "HATCHERY_%s", option->name);
        for (char *character = ret_name; *character != '\0'; character++) {
                if (*character == '-')
                        *character = '_';
                else if (*character >= 'a' && *character <= 'z')
                        *character = (char) (*character - 'a' + 'A');
        }
}

/* EXECUTION_TIMEOUT, in seconds, as services of this kind have it. A run that only computes needs
 * as much processor time as it has wall clock, so that limit goes up with it. */
static int apply_execution_timeout(OptionsReader *reader) {
        static const char name[] = "EXECUTION_TIMEOUT";
        const char *text = getenv(name);
        LimitPolicy *limits = &reader->options.templates[0].limits;
        uint64_t ceiling = limit_infos[LIMIT_WALL_MS].ceiling;
        double seconds;
        uint64_t wall_ms;
        char *end;

        if (!text || text[0] == '\0')
                return 0;
        seconds = strtod(text, &end);
        if (*end != '\0' || !(seconds * 1000 >= 1) || seconds * 1000 > (double) ceiling)
                return options_complain(name, "'%s' is not a number of seconds from 0.001 to %llu",
                                        text, (unsigned long long) (ceiling / 1000));
        wall_ms = (uint64_t) (seconds * 1000 + 0.5);
        limits->standard[LIMIT_WALL_MS] = wall_ms;
        if (limits->standard[LIMIT_CPU_MS] < wall_ms)
                limits->standard[LIMIT_CPU_MS] = wall_ms;
        reader->given[0][option_number(
                &reader->table, option_of_limit_standard(&reader->table, LIMIT_WALL_MS))] = true;
        for (Limit limit = LIMIT_WALL_MS; limit <= LIMIT_CPU_MS; limit++) {
                if (limits->maximum[limit] < wall_ms)
                        limits->maximum[limit] = wall_ms;
        }
        return 0;
}

static void warn_of_unknown_variables(const OptionsReader *reader) {
        for (char **variable = environ; *variable; variable++) {
                size_t size = strcspn(*variable, "=");
                bool known = false;

                if (strncmp(*variable, "HATCHERY_", strlen("HATCHERY_")) != 0)
                        continue;
                for (size_t i = 0; i < reader->table.n_options && !known; i++) {
                        char name[64];

                        environment_name(&reader->table.options[i], name, sizeof(name));
                        known = strlen(name) == size && strncmp(name, *variable, size) == 0;
                }
                /* Not an error: container platforms put variables of their own there, named after
                 * the service. */
                if (!known)
                        (void) fprintf(stderr, "hatchery: %.*s: no such option; ignored\n",
                                       (int) size, *variable);
        }
}

static int apply_environment(OptionsReader *reader) {
        int r = apply_execution_timeout(reader);

        for (size_t i = 0; i < reader->table.n_options && r == 0; i++) {
                const OptionInfo *option = &reader->table.options[i];
                char name[64];
                const char *value;

                environment_name(option, name, sizeof(name));
                value = getenv(name);
                if (!value || value[0] == '\0')
                        continue;
                reader->given[0][option_number(&reader->table, option)] = true;
                r = option_assign(reader, option, 0, value, (OptionSource){name, NULL});
        }
        if (r == 0)
                warn_of_unknown_variables(reader);
        return r;
}

static int apply_flags(OptionsReader *reader, const CommandLine *line) {
        for (size_t i = 0; i < line->n_flags; i++) {
                const Flag *flag = &line->flags[i];
                char name[64];
                int r;

                (void) snprintf(name, sizeof(name), "--%s", flag->option->name);
                reader->given[0][option_number(&reader->table, flag->option)] = true;
                r = option_assign(reader, flag->option, 0, flag->value, (OptionSource){name, NULL});
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The file that the last --config names, else HATCHERY_CONFIG. */
static const char *config_path(const CommandLine *line) {
        const char *path = getenv("HATCHERY_CONFIG");

        for (size_t i = 0; i < line->n_flags; i++) {
                if (strcmp(line->flags[i].option->name, "config") == 0)
                        path = line->flags[i].value;
        }
        return path && path[0] != '\0' ? path : NULL;
}

static int read_everything(OptionsReader *reader, const CommandLine *line) {
        _cleanup_(config_file_freep) ConfigFile *file = NULL;
        const char *path = config_path(line);
        const char *libraries = getenv("PREINSTALL_LIBS");
        int r = apply_standards(reader);

        if (r == 0 && path) {
                char absolute[PATH_MAX];

                if (!realpath(path, absolute))
                        return options_complain(path, "cannot be read: %s", strerror(errno));
                r = config_file_read(absolute, &file);
        }
        if (r == 0 && file)
                r = config_file_apply_default(file, reader);
        if (r == 0)
                r = apply_environment(reader);
        if (r == 0)
                r = apply_flags(reader, line);
        if (r == 0 && libraries)
                r = option_add_modules(reader, 0, libraries, true, "PREINSTALL_LIBS");
        if (r == 0)
                r = options_finish_limits(reader, 0);
        if (r == 0 && file)
                r = config_file_apply_templates(file, reader);
        if (r == 0)
                r = options_finish(reader);
        return r;
}

OptionsAction options_read(int argc, char **argv, Options **ret_options) {
        CommandLine line = {0};
        OptionsReader *reader = calloc(1, sizeof(*reader));
        OptionsAction action = OPTIONS_INVALID;

        if (!reader)
                abort();
        option_table_build(&reader->table);
        if (read_command_line(reader, argc, argv, &line) < 0)
                goto done;
        if (line.help || line.version) {
                if (line.help)
                        option_table_print_help(&reader->table);
                else
                        (void) printf("hatchery %s\n", HATCHERY_VERSION);
                action = OPTIONS_PRINTED;
                goto done;
        }
        if (!line.serve && !line.check && !line.check_config) {
                (void) options_complain("hatchery serve [OPTIONS]",
                                        "the command is missing; try hatchery --help");
                goto done;
        }
        if (read_everything(reader, &line) < 0)
                goto done;
        *ret_options = &reader->options;
        return line.check_config ? OPTIONS_CHECK_CONFIG
               : line.check      ? OPTIONS_CHECK
                                 : OPTIONS_SERVE;
done:
        (void) options_free(&reader->options);
        return action;
}

/* Options: flags, the environment and the file; which goes before which; and each complaint. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>

#include "server/options_table.h"

#define ARGUMENTS_MAX 12
#define VARIABLES_MAX 4

static char file_path[] = "/tmp/hatchery-options-XXXXXX";

typedef struct Outcome {
        OptionsAction action;
        Options *options;
        char errors[2048]; /* what was written to standard error */
} Outcome;

static void write_file(const char *text) {
        FILE *file = fopen(file_path, "w");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

/* A list of words with spaces between them as argv, after "hatchery". */
static int split(char *text, char **argv) {
        static char name[] = "hatchery";
        int argc = 0;

        argv[argc++] = name;
        for (char *rest = NULL, *word = strtok_r(text, " ", &rest); word;
             word = strtok_r(NULL, " ", &rest)) {
                assert_true(argc < ARGUMENTS_MAX - 1);
                argv[argc++] = word;
        }
        argv[argc] = NULL;
        return argc;
}

/* Only what options are read from: cmocka reads its own variable again before each line. */
static void clear_environment(void) {
        static const char *const others[] = {"EXECUTION_TIMEOUT", "PREINSTALL_LIBS",
                                             "XDG_RUNTIME_DIR", "XDG_STATE_HOME"};
        size_t i = 0;

        while (environ[i]) {
                char name[128];

                (void) snprintf(name, sizeof(name), "%.*s", (int) strcspn(environ[i], "="),
                                environ[i]);
                if (strncmp(name, "HATCHERY_", 9) == 0)
                        (void) unsetenv(name);
                else
                        i++;
        }
        for (i = 0; i < N_ELEMENTS(others); i++)
                (void) unsetenv(others[i]);
        (void) setenv("HOME", "/home/nobody", 1);
}

static void read_options(const char *arguments, const char *const *environment, Outcome *outcome) {
        char *argv[ARGUMENTS_MAX];
        char copy[512];
        FILE *captured = tmpfile();
        int saved = dup(STDERR_FILENO);
        size_t size;

        assert_true(snprintf(copy, sizeof(copy), "%s", arguments) < (int) sizeof(copy));
        clear_environment();
        for (; environment && *environment; environment++)
                assert_int_equal(putenv((char *) (uintptr_t) *environment), 0);
        memset(outcome, 0, sizeof(*outcome));
        (void) dup2(fileno(captured), STDERR_FILENO);
        outcome->action = options_read(split(copy, argv), argv, &outcome->options);
        (void) fflush(stderr);
        (void) dup2(saved, STDERR_FILENO);
        (void) close(saved);
        rewind(captured);
        size = fread(outcome->errors, 1, sizeof(outcome->errors) - 1, captured);
        outcome->errors[size] = '\0';
        (void) fclose(captured);
}

static void test_defaults(void **state) {
        Outcome outcome;
        const TemplateConfig *config;

        read_options("serve", NULL, &outcome);
        assert_int_equal(outcome.action, OPTIONS_SERVE);
        assert_string_equal(outcome.errors, "");
        assert_string_equal(outcome.options->listen, "127.0.0.1:8000");
        assert_int_equal(outcome.options->n_templates, 1);
        config = &outcome.options->templates[0];
        assert_string_equal(config->name, "default");
        assert_int_equal(config->n_imports, 2);
        assert_string_equal(config->imports[0], "numpy");
        assert_string_equal(config->imports[1], "pandas");
        assert_true(config->workers >= 8);
        assert_int_equal(config->touched, (config->workers + 1) / 2);
        assert_int_equal(config->recycle, RECYCLE_FRESH);
        for (Limit limit = 0; limit < _LIMITS; limit++) {
                assert_int_equal(config->limits.standard[limit], limit_infos[limit].standard);
                assert_int_equal(config->limits.maximum[limit], limit_infos[limit].maximum);
        }
        assert_true(outcome.options->access_log);
        assert_int_equal(outcome.options->python_program[0], '/');
        (void) options_free(outcome.options);
}

static void test_later_wins(void **state) {
        static const char *const environment[] = {"HATCHERY_QUEUE=20", "HATCHERY_BATCH_RUNS=21",
                                                  "HATCHERY_ACCESS_LOG=no", "HATCHERY_WORKERS=5",
                                                  NULL};
        char arguments[128];
        Outcome outcome;

        write_file("[server]\nqueue = 10\nbatch-runs = 11\nupload-keys = "
                   "12\n[template.default]\nworkers = 3\n"
                   "touched = 1\nmax-wall-ms = 400000\n");
        (void) snprintf(arguments, sizeof(arguments),
                        "serve --config %s --queue=30 --no-access-log --access-log", file_path);
        read_options(arguments, environment, &outcome);
        assert_string_equal(outcome.errors, "");
        assert_int_equal(outcome.action, OPTIONS_SERVE);
        assert_int_equal(outcome.options->queue_max, 30);
        assert_int_equal(outcome.options->batch_runs_max, 21);
        assert_int_equal(outcome.options->upload_keys_max, 12);
        assert_true(outcome.options->access_log);
        assert_int_equal(outcome.options->templates[0].workers, 5);
        assert_int_equal(outcome.options->templates[0].touched, 1);
        assert_int_equal(outcome.options->templates[0].limits.maximum[LIMIT_WALL_MS], 400000);
        (void) options_free(outcome.options);
}

static void test_templates(void **state) {
        char arguments[128];
        Outcome outcome;
        const TemplateConfig *science;

        write_file(
                "[template.science]\nimports = numpy, scipy.stats\n  sklearn\nprelude = "
                "prelude.py\n"
                "subprocesses = yes\nworkers = 2\nrecycle = reset\n[template.bare]\nimports =\n");
        (void) snprintf(arguments, sizeof(arguments), "serve --config %s --max-wall-ms 1000",
                        file_path);
        read_options(arguments, NULL, &outcome);
        assert_string_equal(outcome.errors, "");
        assert_int_equal(outcome.options->n_templates, 3);
        science = &outcome.options->templates[1];
        assert_string_equal(science->name, "science");
        assert_int_equal(science->n_imports, 3);
        assert_string_equal(science->imports[1], "scipy.stats");
        assert_string_equal(science->imports[2], "sklearn");
        assert_string_equal(science->prelude, "/tmp/prelude.py");
        assert_true(science->subprocesses);
        assert_int_equal(science->workers, 2);
        assert_int_equal(science->touched, 1);
        assert_int_equal(science->recycle, RECYCLE_RESET);
        /* What the operator allows at most holds for every template that does not say otherwise. */
        assert_int_equal(science->limits.maximum[LIMIT_WALL_MS], 1000);
        assert_int_equal(science->limits.standard[LIMIT_WALL_MS], 1000);
        assert_int_equal(outcome.options->templates[2].n_imports, 0);
        (void) options_free(outcome.options);
}

static void test_execution_timeout(void **state) {
        static const struct {
                const char *const environment[VARIABLES_MAX];
                const char *arguments;
                uint64_t standard, maximum;
        } cases[] = {
                {{"EXECUTION_TIMEOUT=5"}, "serve", 5000, 300000},
                {{"EXECUTION_TIMEOUT=0.25"}, "serve", 250, 300000},
                {{"EXECUTION_TIMEOUT=600"}, "serve", 600000, 600000},
                {{"EXECUTION_TIMEOUT=5", "HATCHERY_WALL_MS=7000"}, "serve", 7000, 300000},
                {{"EXECUTION_TIMEOUT=5"}, "serve --wall-ms 9000", 9000, 300000},
                {{"EXECUTION_TIMEOUT="}, "serve", 30000, 300000},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const LimitPolicy *limits;
                Outcome outcome;

                read_options(cases[i].arguments, cases[i].environment, &outcome);
                assert_string_equal(outcome.errors, "");
                limits = &outcome.options->templates[0].limits;
                assert_int_equal(limits->standard[LIMIT_WALL_MS], cases[i].standard);
                assert_int_equal(limits->maximum[LIMIT_WALL_MS], cases[i].maximum);
                assert_true(limits->standard[LIMIT_CPU_MS] >= limits->standard[LIMIT_WALL_MS] ||
                            limits->standard[LIMIT_CPU_MS] == 30000);
                (void) options_free(outcome.options);
        }
}

static void test_preinstalled_libraries(void **state) {
        static const char *const environment[] = {
                "PREINSTALL_LIBS=scikit-learn, pandas==1.5.3 matplotlib,my-package", NULL};
        static const char *const modules[] = {"numpy", "pandas", "sklearn", "matplotlib",
                                              "my_package"};
        const TemplateConfig *config;
        Outcome outcome;

        read_options("serve", environment, &outcome);
        assert_string_equal(outcome.errors, "");
        config = &outcome.options->templates[0];
        assert_int_equal(config->n_imports, N_ELEMENTS(modules));
        for (size_t i = 0; i < N_ELEMENTS(modules); i++)
                assert_string_equal(config->imports[i], modules[i]);
        (void) options_free(outcome.options);
}

/* When only one of a limit's two options is given, the other one gives way. */
static void test_limits_agree(void **state) {
        Outcome outcome;

        read_options("serve --memory-mb 4096", NULL, &outcome);
        assert_int_equal(outcome.options->templates[0].limits.standard[LIMIT_MEMORY_MB], 4096);
        assert_int_equal(outcome.options->templates[0].limits.maximum[LIMIT_MEMORY_MB], 4096);
        (void) options_free(outcome.options);

        read_options("serve --max-memory-mb 100", NULL, &outcome);
        assert_int_equal(outcome.options->templates[0].limits.standard[LIMIT_MEMORY_MB], 100);
        (void) options_free(outcome.options);
}

static void test_isolation(void **state) {
        static const char *const environment[] = {"HATCHERY_LAYERS_OFF=netns", NULL};
        const IsolationConfig *isolation;
        const TemplateConfig *template;
        char arguments[160];
        Outcome outcome;

        read_options("serve", NULL, &outcome);
        isolation = &outcome.options->isolation;
        assert_int_equal(isolation->mode, ISOLATION_STRICT);
        assert_int_equal(isolation->off, 0);
        assert_int_equal(isolation->required, 0);
        assert_false(isolation->core_scheduling);
        assert_int_equal(isolation->worker_uid_base, 58000);
        assert_null(outcome.options->templates[0].data_path);
        assert_int_equal(outcome.options->templates[0].n_read_only_paths, 0);
        (void) options_free(outcome.options);

        write_file("[server]\nisolation = best-effort\nlayers-off = seccomp\nrequire-layers = uid, "
                   "cgroup\n"
                   "[template.open]\nread-only-paths = /usr/lib,\n  /usr/bin\ndata-path = "
                   "/usr/share\n");
        (void) snprintf(arguments, sizeof(arguments), "serve --config %s --core-scheduling",
                        file_path);
        read_options(arguments, environment, &outcome);
        assert_string_equal(outcome.errors, "");
        isolation = &outcome.options->isolation;
        assert_int_equal(isolation->mode, ISOLATION_BEST_EFFORT);
        assert_int_equal(isolation->off, layer_bit(LAYER_NET_NAMESPACE));
        assert_int_equal(isolation->required, layer_bit(LAYER_UID) | layer_bit(LAYER_CGROUP));
        assert_true(isolation->core_scheduling);
        template = &outcome.options->templates[1];
        assert_int_equal(template->n_read_only_paths, 2);
        assert_string_equal(template->read_only_paths[0], "/usr/lib");
        assert_string_equal(template->read_only_paths[1], "/usr/bin");
        assert_string_equal(template->data_path, "/usr/share");
        (void) options_free(outcome.options);
}

/* A path's neighbour of a similar name is not inside of it. */
static void test_paths_with_a_common_beginning(void **state) {
        Outcome outcome;

        read_options("serve --data-path /usr/lib --state-directory /usr/libexec --work-directory "
                     "/usr/li",
                     NULL, &outcome);
        assert_string_equal(outcome.errors, "");
        (void) options_free(outcome.options);
}

/* --help and --version print, and the harness of the tests reads what is printed. */
static void read_options_quietly(const char *arguments, Outcome *outcome) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        int saved = dup(STDOUT_FILENO);

        (void) fflush(stdout);
        (void) dup2(null, STDOUT_FILENO);
        read_options(arguments, NULL, outcome);
        (void) fflush(stdout);
        (void) dup2(saved, STDOUT_FILENO);
        (void) close(saved);
        (void) close(null);
}

static void test_actions(void **state) {
        static const struct {
                const char *arguments;
                OptionsAction action;
        } cases[] = {
                {"serve", OPTIONS_SERVE},
                {"serve --check-config", OPTIONS_CHECK_CONFIG},
                {"--check-config", OPTIONS_CHECK_CONFIG},
                {"check", OPTIONS_CHECK},
                {"check --check-config", OPTIONS_CHECK_CONFIG},
                {"--help", OPTIONS_PRINTED},
                {"serve --help", OPTIONS_PRINTED},
                {"--version", OPTIONS_PRINTED},
                {"", OPTIONS_INVALID},
                {"--workers 4", OPTIONS_INVALID},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Outcome outcome;

                read_options_quietly(cases[i].arguments, &outcome);
                if (outcome.action != cases[i].action)
                        fail_msg("'%s' gave %d", cases[i].arguments, outcome.action);
                (void) options_free(outcome.options);
        }
}

typedef struct BadCase {
        const char *arguments; /* after serve */
        const char *variable;  /* of the environment, or NULL */
        const char *file;      /* text of the configuration file, or NULL */
        const char *error;     /* the whole line, with FILE for the path */
} BadCase;

static const BadCase bad_cases[] = {
        {"--wrokers 4", NULL, NULL,
         "hatchery: --wrokers: unknown option; is --workers meant? (hatchery --help lists all)"},
        {"--frobnicate", NULL, NULL,
         "hatchery: --frobnicate: unknown option (hatchery --help lists all)"},
        {"--no-workers", NULL, NULL, NULL},
        {"--workers", NULL, NULL, "hatchery: --workers: needs a value"},
        {"4", NULL, NULL, "hatchery: 4: neither a command nor an option; try hatchery --help"},
        {"-x", NULL, NULL, NULL},
        {"--workers four", NULL, NULL,
         "hatchery: --workers: 'four' is not a whole number; allowed: 1 to 1024"},
        {"--workers=", NULL, NULL,
         "hatchery: --workers: '' is not a whole number; allowed: 1 to 1024"},
        {"--workers=-1", NULL, NULL,
         "hatchery: --workers: '-1' is not a whole number; allowed: 1 to 1024"},
        {"--workers 4.5", NULL, NULL, NULL},
        {"--workers 0x10", NULL, NULL, NULL},
        {"--workers 0", NULL, NULL, "hatchery: --workers: 0 is out of range; allowed: 1 to 1024"},
        {"--workers 1025", NULL, NULL,
         "hatchery: --workers: 1025 is out of range; allowed: 1 to 1024"},
        {"--workers 99999999999999999999999", NULL, NULL, NULL},
        {"--workers 4 --touched 5", NULL, NULL,
         "hatchery: touched: template default: 5 is more than its workers, 4"},
        {"--recycle never", NULL, NULL,
         "hatchery: --recycle: 'never' is no policy; allowed: fresh, reset"},
        {"--log-level loud", NULL, NULL,
         "hatchery: --log-level: 'loud' is no level; allowed: error, warning, info, debug"},
        {"--subprocesses=maybe", NULL, NULL,
         "hatchery: --subprocesses: 'maybe' is neither yes nor no"},
        {"--isolation off", NULL, NULL,
         "hatchery: --isolation: 'off' is no mode; allowed: strict, best-effort, unsafe-off"},
        {"--isolation=", NULL, NULL, NULL},
        {"--layers-off seccomp,secomp", NULL, NULL, NULL},
        {"--require-layers all", NULL, NULL, NULL},
        {"--core-scheduling=maybe", NULL, NULL,
         "hatchery: --core-scheduling: 'maybe' is neither yes nor no"},
        {"--read-only-paths /usr,/", NULL, NULL,
         "hatchery: read-only-paths: template default: / would show the whole system to runs; name "
         "what they need"},
        {"--read-only-paths /nonexistent", NULL, NULL,
         "hatchery: read-only-paths: template default: /nonexistent: No such file or directory"},
        {"--data-path /proc/1", NULL, NULL, NULL},
        {"--data-path /usr --state-directory /usr/x", NULL, NULL,
         "hatchery: data-path: template default: /usr would show /usr/x, the state directory, to "
         "runs"},
        {"--data-path /usr/bin --work-directory /usr", NULL, NULL,
         "hatchery: data-path: template default: /usr/bin lies in /usr, the work directory"},
        {"--data-path /usr --tls-certificate /c --tls-key /usr/k", NULL, NULL,
         "hatchery: data-path: template default: /usr would show /usr/k, the TLS key, to runs"},
        {"--imports numpy,1st", NULL, NULL,
         "hatchery: --imports: '1st' is not the name of a module"},
        {"--imports os;evil", NULL, NULL, NULL},
        {"--imports a..b", NULL, NULL, NULL},
        {"--imports a.", NULL, NULL, NULL},
        {"--venv=", NULL, NULL, "hatchery: --venv: the path is empty"},
        {"--wall-ms 2000 --max-wall-ms 1000", NULL, NULL,
         "hatchery: wall-ms: template default: 2000 is more than max-wall-ms, 1000"},
        {"--head-timeout-ms 2000 --request-timeout-ms 1000", NULL, NULL,
         "hatchery: head-timeout-ms: 2000 is more than request-timeout-ms, 1000"},
        {"--tls-key /k", NULL, NULL,
         "hatchery: tls-certificate: missing: the certificate and its key are given both or not at "
         "all"},
        {"--tls-certificate /k", NULL, NULL, NULL},
        {"--config /nonexistent.ini", NULL, NULL,
         "hatchery: /nonexistent.ini: cannot be read: No such file or directory"},
        {"--config /", NULL, NULL, NULL},

        {"", "HATCHERY_WORKERS=many", NULL,
         "hatchery: HATCHERY_WORKERS: 'many' is not a whole number; allowed: 1 to 1024"},
        {"", "EXECUTION_TIMEOUT=soon", NULL, NULL},
        {"", "EXECUTION_TIMEOUT=0", NULL,
         "hatchery: EXECUTION_TIMEOUT: '0' is not a number of seconds from 0.001 to 86400"},
        {"", "EXECUTION_TIMEOUT=-1", NULL, NULL},
        {"", "EXECUTION_TIMEOUT=nan", NULL, NULL},
        {"", "EXECUTION_TIMEOUT=inf", NULL, NULL},
        {"", "EXECUTION_TIMEOUT=1e9", NULL, NULL},
        {"", "PREINSTALL_LIBS=numpy $(reboot)", NULL,
         "hatchery: PREINSTALL_LIBS: '$(reboot)' is not the name of a package"},

        {"", NULL, "[server]\nqueue 10\n",
         "hatchery: FILE:2: neither [SECTION], nor NAME = VALUE, nor a comment (# or ;)"},
        {"", NULL, "# queue\n\n[server]\nqueeu = 10\n",
         "hatchery: FILE:4: unknown name 'queeu'; is queue meant? (hatchery --help lists all)"},
        {"", NULL, "[server]\nqueue = ten\n",
         "hatchery: FILE:2: queue: 'ten' is not a whole number; allowed: 0 to 1000000"},
        {"", NULL, "[server]\nqueue = 1\nlisten = unix:/x\nqueue = 2\n",
         "hatchery: FILE:4: queue: given a second time"},
        {"", NULL, "[server]\nworkers = 3\n",
         "hatchery: FILE:2: 'workers' belongs into the section [template.default]"},
        {"", NULL, "[template.a]\nqueue = 3\n",
         "hatchery: FILE:2: 'queue' belongs into the section [server]"},
        {"", NULL, "[sevrer]\nqueue = 3\n",
         "hatchery: FILE:2: unknown section [sevrer]; allowed: [server], [template.NAME]"},
        {"", NULL, "[template.]\nworkers = 3\n",
         "hatchery: FILE:2: a template's name is 1 to 64 letters, digits, '_', '-' or '.'"},
        {"", NULL, "[template.a b]\nworkers = 3\n", NULL},
        {"", NULL, "[template.a]\nworkers = 3\n[template.b]\nworkers = 1024\n", NULL},
        {"", NULL, "[server]\nconfig = /x\n", NULL},
};

static void replace_path(char *text, size_t size, const char *line) {
        const char *mark = strstr(line, "FILE");

        if (mark)
                (void) snprintf(text, size, "%.*s%s%s\n", (int) (mark - line), line, file_path,
                                mark + 4);
        else
                (void) snprintf(text, size, "%s\n", line);
}

/* Each is refused with exactly one line, and where the table has that line, with that one. */
static void test_complaints(void **state) {
        for (size_t i = 0; i < N_ELEMENTS(bad_cases); i++) {
                const BadCase *bad = &bad_cases[i];
                const char *environment[] = {bad->variable, NULL};
                char arguments[256], wanted[1024];
                Outcome outcome;

                if (bad->file)
                        write_file(bad->file);
                (void) snprintf(arguments, sizeof(arguments), "serve %s %s %s", bad->arguments,
                                bad->file ? "--config" : "", bad->file ? file_path : "");
                read_options(arguments, environment, &outcome);
                if (outcome.action != OPTIONS_INVALID)
                        fail_msg("'%s' was taken", arguments);
                if (strchr(outcome.errors, '\n') != outcome.errors + strlen(outcome.errors) - 1)
                        fail_msg("'%s': not one line: %s", arguments, outcome.errors);
                if (!bad->error)
                        continue;
                replace_path(wanted, sizeof(wanted), bad->error);
                assert_string_equal(outcome.errors, wanted);
        }
}

static void test_long_line_of_the_file(void **state) {
        char arguments[128], text[5000];
        Outcome outcome;

        memset(text, 'a', sizeof(text) - 2);
        memcpy(text, "[server]\nlisten = ", 18);
        text[sizeof(text) - 2] = '\n';
        text[sizeof(text) - 1] = '\0';
        write_file(text);
        (void) snprintf(arguments, sizeof(arguments), "serve --config %s", file_path);
        read_options(arguments, NULL, &outcome);
        assert_int_equal(outcome.action, OPTIONS_INVALID);
        assert_non_null(strstr(outcome.errors, ":2: the line is too long"));
}

static void test_unknown_variable_is_told(void **state) {
        static const char *const environment[] = {"HATCHERY_WROKERS=3", NULL};
        Outcome outcome;

        read_options("serve", environment, &outcome);
        assert_int_equal(outcome.action, OPTIONS_SERVE);
        assert_non_null(strstr(outcome.errors, "HATCHERY_WROKERS"));
        (void) options_free(outcome.options);
}

/* What stands as the default must itself be allowed, and names must be unique. */
static void test_table_is_sound(void **state) {
        OptionTable table;

        option_table_build(&table);
        for (size_t i = 0; i < table.n_options; i++) {
                const OptionInfo *option = &table.options[i];

                assert_ptr_equal(option_table_find(&table, option->name, strlen(option->name)),
                                 option);
                assert_true(strlen(option->name) < OPTION_NAME_MAX);
                assert_non_null(option->help);
                if (option->kind == OPTION_SWITCH)
                        assert_null(option->value_help);
                else
                        assert_non_null(option->value_help);
        }
        for (Limit limit = 0; limit < _LIMITS; limit++) {
                assert_int_equal(option_of_limit_standard(&table, limit)->offset,
                                 offsetof(TemplateConfig, limits.standard[limit]));
                assert_int_equal(option_of_limit_maximum(&table, limit)->offset,
                                 offsetof(TemplateConfig, limits.maximum[limit]));
        }
}

static int make_file(void **state) {
        int fd = mkstemp(file_path);

        if (fd < 0)
                return -1;
        (void) close(fd);
        return 0;
}

static int remove_file(void **state) {
        return unlink(file_path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_later_wins),
                cmocka_unit_test(test_templates),
                cmocka_unit_test(test_execution_timeout),
                cmocka_unit_test(test_preinstalled_libraries),
                cmocka_unit_test(test_limits_agree),
                cmocka_unit_test(test_isolation),
                cmocka_unit_test(test_paths_with_a_common_beginning),
                cmocka_unit_test(test_actions),
                cmocka_unit_test(test_complaints),
                cmocka_unit_test(test_long_line_of_the_file),
                cmocka_unit_test(test_unknown_variable_is_told),
                cmocka_unit_test(test_table_is_sound),
        };

        return cmocka_run_group_tests(tests, make_file, remove_file);
}

/* Options: flags, the environment and the file, and which goes before which. */

#include "options.h"

#define VARIABLES_MAX 4

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
        Outcome outcome;

        read_options_file("[server]\nqueue = 10\nbatch-runs = 11\nupload-keys = "
                          "12\n[template.default]\nworkers = 3\n"
                          "touched = 1\nmax-wall-ms = 400000\n",
                          "--queue=30 --no-access-log --access-log", environment, &outcome);
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
        Outcome outcome;
        const TemplateConfig *science;

        read_options_file(
                "[template.science]\nimports = numpy, scipy.stats\n  sklearn\nprelude = "
                "prelude.py\n"
                "subprocesses = yes\nworkers = 2\nrecycle = reset\n[template.bare]\nimports =\n",
                "--max-wall-ms 1000", NULL, &outcome);
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

        read_options_file(
                "[server]\nisolation = best-effort\nlayers-off = seccomp\nrequire-layers = uid, "
                "cgroup\n"
                "[template.open]\nread-only-paths = /usr/lib,\n  /usr/bin\ndata-path = "
                "/usr/share\n",
                "--core-scheduling", environment, &outcome);
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
                cmocka_unit_test(test_table_is_sound),
        };

        return cmocka_run_group_tests(tests, make_options_file, remove_options_file);
}

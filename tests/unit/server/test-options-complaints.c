/* What is said of options that cannot be. */

#include "options.h"

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
        char text[5000];
        Outcome outcome;

        memset(text, 'a', sizeof(text) - 2);
        memcpy(text, "[server]\nlisten = ", 18);
        text[sizeof(text) - 2] = '\n';
        text[sizeof(text) - 1] = '\0';
        read_options_file(text, "", NULL, &outcome);
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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_complaints),
                cmocka_unit_test(test_long_line_of_the_file),
                cmocka_unit_test(test_unknown_variable_is_told),
        };

        return cmocka_run_group_tests(tests, make_options_file, remove_options_file);
}

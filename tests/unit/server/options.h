#pragma once
/* options: reads options from flags, an environment and a file, and catches what is said of them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>

#include "server/options_table.h"

#define ARGUMENTS_MAX 12

static char file_path[] = "/tmp/hatchery-options-XXXXXX";

typedef struct Outcome {
        OptionsAction action;
        Options *options;
        char errors[2048]; /* what was written to standard error */
} Outcome;

static inline void write_file(const char *text) {
        FILE *file = fopen(file_path, "w");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

/* A list of words with spaces between them as argv, after "hatchery". */
static inline int split(char *text, char **argv) {
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
static inline void clear_environment(void) {
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

static inline void read_options(const char *arguments, const char *const *environment,
                                Outcome *outcome) {
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

/* serve with a file of that text, and with more flags, or "". */
static inline void read_options_file(const char *text, const char *more,
                                     const char *const *environment, Outcome *outcome) {
        char arguments[256];

        write_file(text);
        (void) snprintf(arguments, sizeof(arguments), "serve --config %s %s", file_path, more);
        read_options(arguments, environment, outcome);
}

static inline int make_options_file(void **state) {
        int fd = mkstemp(file_path);

        if (fd < 0)
                return -1;
        (void) close(fd);
        return 0;
}

static inline int remove_options_file(void **state) {
        return unlink(file_path);
}

#include "interp/embed.h"

#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interp/compat.h"
#include "kit/cleanup.h"

void embed_set_environment(void) {
        static const char *const variables[][2] = {
                /* numpy's and pandas' helpers would start threads, and a process with threads
                   cannot be forked. */
                {"OMP_NUM_THREADS", "1"},
                {"OPENBLAS_NUM_THREADS", "1"},
                {"MKL_NUM_THREADS", "1"},
                {"NUMEXPR_NUM_THREADS", "1"},
                {"NUMEXPR_MAX_THREADS", "1"},
                {"VECLIB_MAXIMUM_THREADS", "1"},
                {"LANG", "C.UTF-8"},
                {"PATH", "/usr/local/bin:/usr/bin:/bin"},
                /* A slot's uid, and that of a cell, has no entry in a list of users. */
                {"USER", "worker"},
                {"LOGNAME", "worker"},
                {"MPLBACKEND", "module://hatchery_matplotlib"},
        };

        for (size_t i = 0; i < N_ELEMENTS(variables); i++)
                (void) setenv(variables[i][0], variables[i][1], 1);
}

static int fail(EmbedFailure *failure, const char *what, const char *why) {
        (void) snprintf(failure->text, sizeof(failure->text), "%s: %s", what, why);
        return -1;
}

/*
 * A venv is tied to the minor version it was made with: another one would find no packages, or
 * compiled ones that it cannot load. `venv` writes "version = 3.11.2" into pyvenv.cfg, virtualenv
 * "version_info = 3.11.2.final.0".
 */
static int check_venv(const char *venv, EmbedFailure *failure) {
        char path[PATH_MAX], line[1024];
        int major = 0, minor = 0;
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/pyvenv.cfg", venv);
        file = fopen(path, "re");
        if (!file)
                return fail(failure, path, strerror(errno));
        while (fgets(line, sizeof(line), file)) {
                if (sscanf(line, " version = %d.%d", &major, &minor) == 2 ||
                    sscanf(line, " version_info = %d.%d", &major, &minor) == 2)
                        break;
        }
        (void) fclose(file);

        if (major == PY_MAJOR_VERSION && minor == PY_MINOR_VERSION)
                return 0;
        if (major == 0)
                return fail(failure, path, "it does not say which Python the environment is for");
        (void) snprintf(failure->text, sizeof(failure->text),
                        "%s is for Python %d.%d, and this program embeds Python %d.%d", venv, major,
                        minor, PY_MAJOR_VERSION, PY_MINOR_VERSION);
        return -1;
}

static int fail_status(EmbedFailure *failure, PyStatus status) {
        return fail(failure, "Python did not start",
                    status.err_msg ? status.err_msg : "no reason given");
}

static int initialize(const char *program, EmbedFailure *failure) {
        PyPreConfig preconfig;
        PyConfig config;
        PyStatus status;

        PyPreConfig_InitIsolatedConfig(&preconfig);
        /* Without it the streams would follow the locale, which is ASCII in many a container. */
        preconfig.utf8_mode = 1;
        status = Py_PreInitialize(&preconfig);
        if (PyStatus_Exception(status))
                return fail_status(failure, status);

        PyConfig_InitIsolatedConfig(&config);
        config.write_bytecode = 0;
        /* Each write goes out at once, so the streams keep their order with os.write() and with C's
         * printf(), and what was written before a kill is not lost. */
        config.buffered_stdio = 0;
        status = PyConfig_SetBytesString(&config, &config.program_name, program);
        if (!PyStatus_Exception(status))
                status = Py_InitializeFromConfig(&config);
        PyConfig_Clear(&config);
        return PyStatus_Exception(status) ? fail_status(failure, status) : 0;
}

int embed_start(const char *venv, EmbedFailure *ret_failure) {
        char program[PATH_MAX] = PYTHON_PROGRAM;

        if (venv) {
                if (check_venv(venv, ret_failure) < 0)
                        return -1;
                (void) snprintf(program, sizeof(program), "%s/bin/python", venv);
        }
        /* getpath would go on looking along PATH, and might find another version. */
        if (access(program, X_OK) < 0)
                return fail(ret_failure, program, strerror(errno));
        if (initialize(program, ret_failure) < 0)
                return -1;

        /* printf() of C code keeps its place among Python's writes. */
        (void) setvbuf(stdout, NULL, _IONBF, 0);
        return 0;
}

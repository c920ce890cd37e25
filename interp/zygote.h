#pragma once
/*
 * zygote: imports once, then forks a worker for each command of the supervisor (wire/zygote.h). It
 * reads nothing but commands of a fixed size, and has one thread.
 */

#include <stddef.h>

#include "interp/confine.h"
#include "interp/view.h"

#define ZYGOTE_IMPORTS_MAX 256

typedef struct ZygoteOptions {
        int socket_fd;
        const char *template_name;
        const char *venv;    /* NULL: the Python chosen at build time */
        const char *warm_up; /* path of a Python file, or NULL */
        const char *prelude; /* likewise */
        const char *imports[ZYGOTE_IMPORTS_MAX];
        size_t n_imports;
        int namespaces[CONFINE_ENTER_MAX]; /* descriptors, joined first of all */
        size_t n_namespaces;
        ViewOptions view;
} ZygoteOptions;

/* Returns the status to exit with, once the supervisor's end of the socket is closed. In a worker
 * it does not return. */
int zygote_run(const ZygoteOptions *options);

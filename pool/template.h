#pragma once
/* template: a named warm interpreter, as configured. Plain data; lives as long as the pool. */

#include <stdbool.h>
#include <stddef.h>

#include "pool/limits.h"

/* What becomes of a worker after a run. `restore` will stand here too. */
typedef enum Recycle {
        RECYCLE_FRESH, /* it dies; a spare takes its place */
        RECYCLE_RESET, /* it stays, made new from the inside: for trusted callers */
        _RECYCLES,
} Recycle;

const char *recycle_name(Recycle recycle);
/* Returns _RECYCLES for a name that is none. */
Recycle recycle_by_name(const char *name);

#define TEMPLATE_NAME_MAX 64
#define TEMPLATES_MAX     16
#define SLOTS_MAX         1024 /* of all templates together, for runs without a session */
#define SESSIONS_MAX      4096
/* Files and folders of one; as many are counted (MEASURE_ENTRIES_MAX). */
#define SESSION_FILES_MAX 99999

typedef struct TemplateConfig {
        const char *name;           /* letters, digits, "_", "-", "."; "default" exists always */
        const char *venv;           /* a folder made by `python -m venv`, or NULL */
        const char *const *imports; /* modules, in order */
        size_t n_imports;
        const char *warm_up; /* path of Python source run in the zygote, as a run whose results are
                              * dropped, so that workers start warm; or NULL */
        const char *prelude; /* path of Python source run in the zygote before it forks, or NULL */
        Recycle recycle;
        unsigned workers; /* slots: so many runs at once, and as many spares when idle */
        unsigned touched; /* at most so many idle spares have their pages written beforehand */
        unsigned session_spares; /* idle workers that wait for a session to be made */
        bool subprocesses;       /* new programs are allowed */
        /* What workers see besides the system, at the same place as on the host, read-only; and one
         * folder that they may write to, all alike. Absolute paths; NULL: none. */
        const char *const *read_only_paths;
        size_t n_read_only_paths;
        const char *data_path;
        LimitPolicy limits;
} TemplateConfig;

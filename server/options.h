#pragma once
/*
 * options: everything an operator can set, in one table (options.c): a flag, an environment
 * variable and a key of the configuration file each, with a type, a unit, a default and bounds.
 * Later wins: default, file, environment, flag.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/isolation.h"
#include "pool/template.h"

typedef struct SessionSettings {
        unsigned count_max; /* 0: there are no sessions */
        bool evict;
        unsigned queue_max;
        uint64_t idle_ms, interpreter_idle_ms, container_idle_ms, jupyter_idle_ms; /* 0: never */
        uint64_t disk_mb;     /* of a workspace */
        uint64_t files_max;   /* … and folders, likewise */
        uint64_t reserve_mb;  /* of the disk, that nothing is stored in */
        uint64_t life_cpu_ms; /* 0: no limit */
        uint64_t interrupt_grace_ms;
        uint64_t file_bytes_max; /* of one upload */
        uint64_t notebook_bytes_max;
        const char *notebooks_directory;
        const char *package_index; /* NULL: that of pip */
        uint64_t install_timeout_ms, packages_mb, wheel_cache_mb;
} SessionSettings;

typedef struct Options {
        const char *listen;         /* "HOST:PORT" or "unix:PATH", several separated by commas */
        const char *config;         /* path of the configuration file, or NULL */
        const char *python_program; /* hatchery-python; found beside the server's own binary */
        const char *work_directory; /* NULL: /run/hatchery as root, else $XDG_RUNTIME_DIR or /tmp */
        const char *state_directory; /* what survives a restart: /var/lib/hatchery as root, else
                                        ~/.local/state/hatchery */
        const char *tls_certificate, *tls_key; /* PEM files, both or none */
        const char *log_level;
        bool access_log;
        uint64_t request_bytes_max;                       /* body of a request */
        uint64_t bodies_bytes_max, bodies_disk_bytes_max; /* of all together, while they come in */
        uint64_t head_timeout_ms;    /* from the first byte of a request to the end of its head */
        uint64_t request_timeout_ms; /* … to the end of its body */
        uint64_t idle_timeout_ms;    /* a connection without a request */
        uint64_t write_timeout_ms;   /* a client that does not read its answer */
        unsigned connections_max;
        uint64_t drain_timeout_ms; /* after SIGTERM */
        unsigned queue_max;
        uint64_t queue_wait_ms;
        uint64_t value_bytes_max, collect_bytes_max;
        unsigned collect_files_max;
        unsigned batch_runs_max;   /* of one batch under way at once */
        uint64_t upload_bytes_max; /* of all uploaded data together */
        unsigned upload_keys_max;
        IsolationConfig isolation; /* with worker_uid_base */
        uint64_t start_timeout_ms, zygote_max_age_ms;
        SessionSettings sessions;
        TemplateConfig templates[TEMPLATES_MAX]; /* [0] is "default" */
        size_t n_templates;
} Options;

typedef enum OptionsAction {
        OPTIONS_SERVE,
        OPTIONS_CHECK,        /* check: try what keeps runs in, say what was found, and end */
        OPTIONS_CHECK_CONFIG, /* --check-config: say that all is well, and end */
        OPTIONS_PRINTED,      /* --help, --version: done */
        OPTIONS_INVALID,      /* one line on standard error has said what and where */
} OptionsAction;

/* Reads flags, the environment and the file. The strings live as long as *ret_options. */
OptionsAction options_read(int argc, char **argv, Options **ret_options);
Options *options_free(Options *options);

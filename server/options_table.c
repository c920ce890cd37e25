#include "server/options_table.h"

#include <stdio.h>

#define SERVER(member)   OPTION_OF_SERVER, offsetof(Options, member)
#define TEMPLATE(member) OPTION_OF_TEMPLATE, offsetof(TemplateConfig, member)

#define MS_MAX    86400000ULL
#define BYTES_MAX (1ULL << 30)

static const char server_group[] = "Server";
static const char isolation_group[] = "What keeps runs in";
static const char tls_group[] = "TLS";
static const char bounds_group[] = "Bounds on clients";
static const char queue_group[] = "Runs";
static const char template_group[] =
        "Template \"default\" (others: sections [template.NAME] of the file)";
static const char session_group[] = "Sessions";
static const char limit_group[] =
        "Limits of a run, when the request names none, and the most it may ask for";

/* clang-format off */
static const OptionInfo fixed_options[] = {
        {server_group, "listen", SERVER(listen), OPTION_TEXT, "127.0.0.1:8000", 0, 0, "WHERE",
         "HOST:PORT, [ADDRESS]:PORT or unix:PATH; several with commas between them"},
        {server_group, "config", SERVER(config), OPTION_PATH, NULL, 0, 0, "FILE",
         "configuration file: NAME = VALUE under [server] and [template.NAME]"},
        {server_group, "python-program", SERVER(python_program), OPTION_PATH, NULL, 0, 0, "FILE",
         "the program that holds the interpreter [hatchery-python beside this program]"},
        {server_group, "work-directory", SERVER(work_directory), OPTION_PATH, NULL, 0, 0, "DIR",
         "for the files of runs; emptied at the end [/run/hatchery as root, else $XDG_RUNTIME_DIR or /tmp]"},
        {server_group, "state-directory", SERVER(state_directory), OPTION_PATH, NULL, 0, 0, "DIR",
         "for what survives a restart [/var/lib/hatchery as root, else ~/.local/state/hatchery]"},
        {server_group, "worker-uid-base", SERVER(isolation.worker_uid_base), OPTION_UINT32, "58000", 0, 4294900000, "UID",
               "as root: worker N runs as user and group UID + N; 0: as root"},
        {server_group, "log-level", SERVER(log_level), OPTION_LOG_LEVEL, "info", 0, 0, "LEVEL",
         "error, warning, info or debug"},
        {server_group, "access-log", SERVER(access_log), OPTION_SWITCH, "yes", 0, 0, NULL,
         "log a line for each request"},
        {server_group, "drain-timeout-ms", SERVER(drain_timeout_ms), OPTION_UINT64, "30000", 0, MS_MAX, "MS",
               "after SIGTERM, how long runs may go on"},

        {isolation_group, "isolation", SERVER(isolation.mode), OPTION_ISOLATION, "strict", 0, 0, "MODE",
         "strict (refuse to start without enough layers), best-effort (take what there is), unsafe-off (limits only, for code that you trust)"},
        {isolation_group, "layers-off", SERVER(isolation.off), OPTION_LAYERS, NULL, 0, 0, "LAYERS",
         "layers not to take, with commas between them; `hatchery check` lists all"},
        {isolation_group, "require-layers", SERVER(isolation.required), OPTION_LAYERS, NULL, 0, 0, "LAYERS",
         "layers without which not to start, in every mode"},
        {isolation_group, "core-scheduling", SERVER(isolation.core_scheduling), OPTION_SWITCH, "no", 0, 0, NULL,
         "no two runs on the hardware threads of one core at once"},

        {tls_group, "tls-certificate", SERVER(tls_certificate), OPTION_PATH, NULL, 0, 0, "FILE",
         "PEM file of the certificate and its chain; turns TLS on for every TCP address"},
        {tls_group, "tls-key", SERVER(tls_key), OPTION_PATH, NULL, 0, 0, "FILE",
         "PEM file of its private key"},

        {bounds_group, "connections", SERVER(connections_max), OPTION_UNSIGNED, "1024", 1, 1000000, "N",
               "open at once; further ones are answered 503"},
        {bounds_group, "request-bytes", SERVER(request_bytes_max), OPTION_UINT64, "33554432", 1024, BYTES_MAX, "BYTES",
               "of the body of a request; a larger one is answered 413"},
        {bounds_group, "bodies-bytes", SERVER(bodies_bytes_max), OPTION_UINT64, "536870912", 1024, 1ULL << 40, "BYTES",
               "of all bodies that are held in memory, together; a request too many is answered 503"},
        {bounds_group, "bodies-disk-bytes", SERVER(bodies_disk_bytes_max), OPTION_UINT64, "2147483648", 1024, 1ULL << 48, "BYTES",
               "of all bodies that are held in files, together, on their way to sessions; likewise"},
        {bounds_group, "head-timeout-ms", SERVER(head_timeout_ms), OPTION_UINT64, "10000", 100, MS_MAX, "MS",
               "from the first byte of a request to the end of its head"},
        {bounds_group, "request-timeout-ms", SERVER(request_timeout_ms), OPTION_UINT64, "60000", 100, MS_MAX, "MS",
               "from the first byte of a request to the end of its body"},
        {bounds_group, "idle-timeout-ms", SERVER(idle_timeout_ms), OPTION_UINT64, "75000", 100, MS_MAX, "MS",
               "how long a connection without a request is kept"},
        {bounds_group, "write-timeout-ms", SERVER(write_timeout_ms), OPTION_UINT64, "30000", 100, MS_MAX, "MS",
               "how long a client may take no byte of its answer"},
        {bounds_group, "upload-bytes", SERVER(upload_bytes_max), OPTION_UINT64, "268435456", 0, 1ULL << 40, "BYTES",
               "of all data uploaded by key together"},
        {bounds_group, "upload-keys", SERVER(upload_keys_max), OPTION_UNSIGNED, "1000", 0, 10000000, "N",
               "keys of uploaded data"},

        {queue_group, "queue", SERVER(queue_max), OPTION_UNSIGNED, "1024", 0, 1000000, "N",
               "runs that may wait for a worker; further ones are answered 503"},
        {queue_group, "queue-wait-ms", SERVER(queue_wait_ms), OPTION_UINT64, "30000", 1, MS_MAX, "MS",
               "how long a run may wait; then it is answered 503"},
        {queue_group, "batch-runs", SERVER(batch_runs_max), OPTION_UNSIGNED, "64", 1, 10000, "N",
               "runs of one batch that are under way at once"},
        {queue_group, "value-bytes", SERVER(value_bytes_max), OPTION_UINT64, "8388608", 1024, 64ULL << 20, "BYTES",
               "of the value, of all displays together, of the reported variables"},
        {queue_group, "collect-bytes", SERVER(collect_bytes_max), OPTION_UINT64, "33554432", 0, BYTES_MAX, "BYTES",
               "of all files that one run returns"},
        {queue_group, "collect-files", SERVER(collect_files_max), OPTION_UNSIGNED, "64", 0, 10000, "N",
               "files that one run returns"},
        {queue_group, "start-timeout-ms", SERVER(start_timeout_ms), OPTION_UINT64, "60000", 1000, MS_MAX, "MS",
               "how long an interpreter may take to import its modules"},
        {queue_group, "zygote-max-age-ms", SERVER(zygote_max_age_ms), OPTION_UINT64, "21600000", 0, 30 * MS_MAX, "MS",
               "a warm interpreter is started anew after that; 0: never"},

        {session_group, "sessions", SERVER(sessions.count_max), OPTION_UNSIGNED, "256", 0, SESSIONS_MAX, "N",
               "alive at once, those of all APIs together; 0: there are none"},
        {session_group, "evict-sessions", SERVER(sessions.evict), OPTION_SWITCH, "no", 0, 0, NULL,
         "when there are so many, end the one that has been idle longest, instead of refusing a new one"},
        {session_group, "session-queue", SERVER(sessions.queue_max), OPTION_UNSIGNED, "16", 0, 10000, "N",
               "runs of one session that may wait; further ones are answered 429"},
        {session_group, "session-idle-ms", SERVER(sessions.idle_ms), OPTION_UINT64, "3600000", 0, 365 * MS_MAX, "MS",
               "a session of /v1 that is not used for so long ends, unless it asks for another time; 0: never"},
        {session_group, "interpreter-idle-ms", SERVER(sessions.interpreter_idle_ms), OPTION_UINT64, "3600000", 0, 365 * MS_MAX, "MS",
               "likewise a session of the code interpreter (session_id)"},
        {session_group, "container-idle-ms", SERVER(sessions.container_idle_ms), OPTION_UINT64, "60000", 0, 365 * MS_MAX, "MS",
               "likewise a user of POST /run"},
        {session_group, "jupyter-idle-ms", SERVER(sessions.jupyter_idle_ms), OPTION_UINT64, "3600000", 0, 365 * MS_MAX, "MS",
               "likewise a user of POST /start_session"},
        {session_group, "session-disk-mb", SERVER(sessions.disk_mb), OPTION_UINT64, "256", 1, 1ULL << 20, "MB",
               "of the files of one session"},
        {session_group, "session-files", SERVER(sessions.files_max), OPTION_UINT64, "50000", 16, SESSION_FILES_MAX, "N",
               "files and folders of one session together"},
        {session_group, "state-reserve-mb", SERVER(sessions.reserve_mb), OPTION_UINT64, "512", 0, 1ULL << 24, "MB",
               "with less left of the state directory's file system (at most a quarter of it), no session or copy is made, and nothing is stored or installed; 0: none"},
        {session_group, "session-cpu-ms", SERVER(sessions.life_cpu_ms), OPTION_UINT64, "3600000", 0, 365 * MS_MAX, "MS",
               "CPU time of a session's process in its life; then its variables are lost; 0: no limit"},
        {session_group, "interrupt-grace-ms", SERVER(sessions.interrupt_grace_ms), OPTION_UINT64, "2000", 0, MS_MAX, "MS",
               "how long a run may go on after an interrupt before its process is killed"},
        {session_group, "file-bytes", SERVER(sessions.file_bytes_max), OPTION_UINT64, "134217728", 1024, BYTES_MAX, "BYTES",
               "of one file that is uploaded to a session"},
        {session_group, "notebook-bytes", SERVER(sessions.notebook_bytes_max), OPTION_UINT64, "16777216", 65536, BYTES_MAX, "BYTES",
               "of the notebook of one session; then the oldest outputs go"},
        {session_group, "notebooks-directory", SERVER(sessions.notebooks_directory), OPTION_PATH, NULL, 0, 0, "DIR",
         "for the notebooks of the Jupyter-like API [notebooks in the state directory]"},
        {session_group, "package-index", SERVER(sessions.package_index), OPTION_TEXT, NULL, 0, 0, "URL",
         "where packages for sessions come from [that of pip]; none: nothing can be installed"},
        {session_group, "install-timeout-ms", SERVER(sessions.install_timeout_ms), OPTION_UINT64, "120000", 1000, MS_MAX, "MS",
               "how long an installation may take"},
        {session_group, "packages-mb", SERVER(sessions.packages_mb), OPTION_UINT64, "512", 1, 1ULL << 20, "MB",
               "of the packages that one session has installed"},
        {session_group, "wheel-cache-mb", SERVER(sessions.wheel_cache_mb), OPTION_UINT64, "2048", 0, 1ULL << 24, "MB",
               "of unpacked wheels that sessions share; the ones used longest ago go first"},

        {template_group, "venv", TEMPLATE(venv), OPTION_PATH, NULL, 0, 0, "DIR",
         "virtual environment made by `python -m venv`"},
        {template_group, "imports", TEMPLATE(imports), OPTION_MODULES, "numpy,pandas", 0, 0, "MODULES",
         "modules imported beforehand, with commas or spaces between them"},
        {template_group, "warm-up", TEMPLATE(warm_up), OPTION_PATH, NULL, 0, 0, "FILE",
         "Python source that is run once, so that later runs start warm"},
        {template_group, "prelude", TEMPLATE(prelude), OPTION_PATH, NULL, 0, 0, "FILE",
         "Python source that is run in the warm interpreter before any run"},
        {template_group, "recycle", TEMPLATE(recycle), OPTION_RECYCLE, "fresh", 0, 0, "POLICY",
         "what becomes of a worker after a run: fresh (it ends) or reset (it is cleaned from inside; trusted callers only)"},
        {template_group, "workers", TEMPLATE(workers), OPTION_UNSIGNED, NULL, 1, SLOTS_MAX, "N",
         "runs at once [4 for each core, at least 8; 4 for other templates]"},
        {template_group, "touched", TEMPLATE(touched), OPTION_UNSIGNED, NULL, 0, SLOTS_MAX, "N",
         "idle workers whose memory is written beforehand: they start pandas code faster and take more memory [half of the workers]"},
        {template_group, "session-spares", TEMPLATE(session_spares), OPTION_UNSIGNED, NULL, 0, 64, "N",
         "idle workers that wait for a session to be made [2; 0 for other templates, whose sessions take some milliseconds longer]"},
        {template_group, "subprocesses", TEMPLATE(subprocesses), OPTION_SWITCH, "no", 0, 0, NULL,
         "runs may start programs"},
        {template_group, "read-only-paths", TEMPLATE(read_only_paths), OPTION_PATHS, NULL, 0, 0, "PATHS",
         "files and folders of the host that runs may read, with commas between them"},
        {template_group, "data-path", TEMPLATE(data_path), OPTION_PATH, NULL, 0, 0, "DIR",
         "one folder of the host that runs may write to, all of them"},
};
/* clang-format on */

_Static_assert(N_ELEMENTS(fixed_options) + 2 * _LIMITS <= OPTIONS_IN_TABLE_MAX,
               "there is room for each");

/* One of the two options of a limit; slot is its place among the generated strings. */
static void add_limit_option(OptionTable *table, unsigned slot, Limit limit, bool is_maximum) {
        const LimitInfo *info = &limit_infos[limit];
        OptionInfo *option = &table->options[table->n_options++];
        char *name = table->limit_names[slot];

        (void) snprintf(name, OPTION_NAME_MAX, "%s%s", is_maximum ? "max-" : "", info->name);
        for (char *character = name; *character != '\0'; character++) {
                if (*character == '_')
                        *character = '-';
        }
        (void) snprintf(table->limit_standards[slot], sizeof(table->limit_standards[slot]), "%llu",
                        (unsigned long long) (is_maximum ? info->maximum : info->standard));
        *option = (OptionInfo){
                .group = limit_group,
                .name = name,
                .home = OPTION_OF_TEMPLATE,
                .kind = OPTION_UINT64,
                .offset = is_maximum ? offsetof(TemplateConfig, limits.maximum[limit])
                                     : offsetof(TemplateConfig, limits.standard[limit]),
                .standard = table->limit_standards[slot],
                .minimum = info->minimum,
                .maximum = info->ceiling,
                .value_help = "N",
                .help = is_maximum ? "the most a request may ask for" : info->help,
        };
}

void option_table_build(OptionTable *ret_table) {
        memset(ret_table, 0, sizeof(*ret_table));
        memcpy(ret_table->options, fixed_options, sizeof(fixed_options));
        ret_table->n_options = N_ELEMENTS(fixed_options);
        for (unsigned limit = 0; limit < _LIMITS; limit++) {
                add_limit_option(ret_table, 2 * limit, (Limit) limit, false);
                add_limit_option(ret_table, 2 * limit + 1, (Limit) limit, true);
        }
}

const OptionInfo *option_table_find(const OptionTable *table, const char *name, size_t name_size) {
        for (size_t i = 0; i < table->n_options; i++) {
                if (strlen(table->options[i].name) == name_size &&
                    memcmp(table->options[i].name, name, name_size) == 0)
                        return &table->options[i];
        }
        return NULL;
}

size_t option_number(const OptionTable *table, const OptionInfo *option) {
        return (size_t) (option - table->options);
}

const OptionInfo *option_of_limit_standard(const OptionTable *table, Limit limit) {
        return &table->options[N_ELEMENTS(fixed_options) + 2 * (size_t) limit];
}

const OptionInfo *option_of_limit_maximum(const OptionTable *table, Limit limit) {
        return option_of_limit_standard(table, limit) + 1;
}

/* Levenshtein's distance of two short names. */
static unsigned distance_of(const char *left, const char *right) {
        unsigned row[OPTION_NAME_MAX + 1];
        size_t right_size = strlen(right);

        if (right_size > OPTION_NAME_MAX)
                return UINT32_MAX;
        for (unsigned column = 0; column <= right_size; column++)
                row[column] = column;
        for (unsigned line = 1; left[line - 1] != '\0'; line++) {
                unsigned diagonal = row[0];

                row[0] = line;
                for (size_t column = 1; column <= right_size; column++) {
                        unsigned best = diagonal + (left[line - 1] != right[column - 1]);

                        diagonal = row[column];
                        if (row[column] + 1 < best)
                                best = row[column] + 1;
                        if (row[column - 1] + 1 < best)
                                best = row[column - 1] + 1;
                        row[column] = best;
                }
        }
        return row[right_size];
}

const char *option_table_nearest(const OptionTable *table, const char *name) {
        const char *nearest = NULL;
        unsigned least = 4;

        if (strlen(name) > OPTION_NAME_MAX)
                return NULL;
        for (size_t i = 0; i < table->n_options; i++) {
                unsigned distance = distance_of(name, table->options[i].name);

                if (distance < least) {
                        least = distance;
                        nearest = table->options[i].name;
                }
        }
        return nearest;
}

#define HELP_COLUMN 31
#define HELP_WIDTH  100

/* Words, from HELP_COLUMN on, in as many lines as they need. */
static void print_words(const char *text, int *column) {
        while (*text != '\0') {
                int size = (int) strcspn(text, " ");

                if (*column + 1 + size > HELP_WIDTH) {
                        (void) printf("\n%*s", HELP_COLUMN - 1, "");
                        *column = HELP_COLUMN - 1;
                }
                (void) printf(" %.*s", size, text);
                *column += 1 + size;
                text += size + (text[size] == ' ');
        }
}

static void print_option(const OptionInfo *option) {
        char flag[64], standard[160] = "";
        int column = HELP_COLUMN - 1;

        if (option->kind == OPTION_SWITCH)
                (void) snprintf(flag, sizeof(flag), "--[no-]%s", option->name);
        else
                (void) snprintf(flag, sizeof(flag), "--%s %s", option->name, option->value_help);
        (void) printf("  %-*s", HELP_COLUMN - 3, flag);
        print_words(option->help, &column);
        if (option->standard)
                (void) snprintf(standard, sizeof(standard), "[%s]", option->standard);
        print_words(standard, &column);
        (void) printf("\n");
}

void option_table_print_help(const OptionTable *table) {
        const char *group = NULL;

        (void) printf("Runs untrusted Python snippets over HTTP, in warm interpreters.\n\n"
                      "Usage:\n"
                      "  hatchery serve [OPTIONS]          serve until SIGTERM; SIGHUP starts the "
                      "interpreters anew\n"
                      "  hatchery check [OPTIONS]          try out what would keep runs in, say "
                      "what holds, and end\n"
                      "  hatchery serve --check-config     read every option, say what is wrong, "
                      "and end\n"
                      "  hatchery --help | --version\n\n"
                      "Each option --some-name is also the variable HATCHERY_SOME_NAME of the "
                      "environment and\n"
                      "the key some-name of the configuration file. A flag goes before the "
                      "environment, the\n"
                      "environment before the file. Defaults stand in brackets.\n");
        for (size_t i = 0; i < table->n_options; i++) {
                if (table->options[i].group != group) {
                        group = table->options[i].group;
                        (void) printf("\n%s:\n", group);
                }
                print_option(&table->options[i]);
        }
        (void) printf(
                "\nOther variables of the environment:\n"
                "  EXECUTION_TIMEOUT=SECONDS    as --wall-ms, in seconds; raises --cpu-ms and both "
                "maxima\n                               where they are less\n"
                "  PREINSTALL_LIBS=NAMES        modules or packages imported beside --imports\n");
}

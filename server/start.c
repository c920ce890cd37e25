#include "server/start.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kit/log.h"
#include "pool/home.h"

/* Descriptors that neither a connection nor a worker takes: files, listeners, the loop, zygotes,
 * spare. */
#define DESCRIPTORS_OF_OWN   96
#define DESCRIPTORS_A_WORKER 11 /* four pipes, pidfd, status; cell: pidfd, 3 namespaces, folder */
#define DESCRIPTORS_A_SESSION                                                                      \
        (DESCRIPTORS_A_WORKER +                                                                    \
         6) /* home, workspace, packages; control, listener; one for a while */

/* Of each template: one, and a copy of it. */
#define CANARIES_OF_SESSIONS 2

int start_failed(const char *what, int error) {
        (void) fprintf(stderr, "hatchery: %s: %s\n", what, strerror(-error));
        return error;
}

/* ── Isolation ── */

int start_isolation(const Options *options, IsolationPlan *ret_plan) {
        IsolationSurvey survey;
        char refusal[1024];
        int r = isolation_survey(&options->isolation, &survey);

        if (r < 0) {
                (void) start_failed("it cannot be found out what keeps runs in", r);
                return EXIT_FAILURE;
        }
        r = isolation_plan(&options->isolation, &survey, ret_plan, refusal, sizeof(refusal));
        if (r < 0)
                (void) fprintf(stderr, "hatchery: %s\n", refusal);
        return r < 0 ? EXIT_CONFIG : 0;
}

/* " a,b,c" of the layers in that state; "-" when there is none. */
static const char *names_of(const IsolationPlan *plan, LayerState state, char *names, size_t size) {
        size_t used = 0;

        (void) snprintf(names, size, "-");
        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                if (plan->states[layer] == state && used < size)
                        used += (size_t) snprintf(names + used, size - used, "%s%s",
                                                  used > 0 ? "," : "",
                                                  layer_about((Layer) layer)->name);
        }
        return names;
}

void start_log_isolation(const IsolationPlan *plan) {
        char on[256], off[256], unavailable[256];

        log_info("isolation mode=%s kernel=%s on=%s off=%s unavailable=%s landlock_abi=%d",
                 isolation_mode_name(plan->mode), plan->survey.kernel,
                 names_of(plan, LAYER_ON, on, sizeof(on)),
                 names_of(plan, LAYER_SWITCHED_OFF, off, sizeof(off)),
                 names_of(plan, LAYER_UNAVAILABLE, unavailable, sizeof(unavailable)),
                 plan->survey.landlock_abi);
        if (plan->mode == ISOLATION_OFF)
                log_warning("--isolation unsafe-off: runs are not kept in; whoever may send code "
                            "may do "
                            "whatever this user may");
}

/* ── What the pool needs ── */

/* Sessions are the first to be fewer: a server without them is of use. */
static unsigned sessions_within(const Options *options, rlim_t room) {
        rlim_t spares = 0;
        unsigned wanted = options->sessions.count_max;

        for (size_t i = 0; i < options->n_templates; i++)
                spares += options->templates[i].session_spares + CANARIES_OF_SESSIONS;
        if ((wanted + spares) * DESCRIPTORS_A_SESSION <= room)
                return wanted;
        room /= DESCRIPTORS_A_SESSION;
        log_warning("only so many descriptors are allowed (ulimit -Hn) that there can be fewer "
                    "sessions sessions=%u wanted=%u",
                    room > spares ? (unsigned) (room - spares) : 0, wanted);
        return room > spares ? (unsigned) (room - spares) : 0;
}

int start_descriptors(const Options *options, unsigned *ret_sessions_max) {
        struct rlimit limit;
        rlim_t needed = options->connections_max + DESCRIPTORS_OF_OWN;

        for (size_t i = 0; i < options->n_templates; i++)
                needed += (options->templates[i].workers + 1) * DESCRIPTORS_A_WORKER;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return start_failed("getrlimit", -errno);
        if (limit.rlim_max < needed) {
                (void) fprintf(stderr,
                               "hatchery: %llu descriptors are needed for this many connections "
                               "and workers, but only "
                               "%llu are allowed (ulimit -Hn); raise that, or lower --connections "
                               "or --workers\n",
                               (unsigned long long) needed, (unsigned long long) limit.rlim_max);
                return -EMFILE;
        }
        *ret_sessions_max = options->sessions.count_max == 0
                                    ? 0
                                    : sessions_within(options, limit.rlim_max - needed);
        limit.rlim_cur = limit.rlim_max;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? start_failed("setrlimit", -errno) : 0;
}

/* The first folder on the way to path, itself among them, that does not let other users pass.
 * Returns -EACCES then, 0 when there is none, -ENAMETOOLONG. */
static int find_closed(const char *path, char ret_part[PATH_MAX]) {
        size_t size = strlen(path);
        struct stat status;

        if (size >= PATH_MAX)
                return -ENAMETOOLONG;
        for (size_t end = 1; end <= size; end++) {
                if (path[end] != '/' && path[end] != '\0')
                        continue;
                memcpy(ret_part, path, end);
                ret_part[end] = '\0';
                if (stat(ret_part, &status) < 0 || !S_ISDIR(status.st_mode) ||
                    !(status.st_mode & S_IXOTH))
                        return -EACCES;
        }
        return 0;
}

/* Workers that run as other users reach their folders by name, so every folder on the way has to
 * let them pass. */
static int check_passable(const char *option, const char *path) {
        char part[PATH_MAX];
        int r = find_closed(path, part);

        if (r == -ENAMETOOLONG)
                return start_failed(option, r);
        if (r < 0)
                (void) fprintf(
                        stderr,
                        "hatchery: %s %s: workers run as users of their own and may not pass "
                        "through %s; chmod o+x that folder, or choose another\n",
                        option, path, part);
        return r;
}

static int make_work_directory(const Options *options, const IsolationPlan *plan) {
        const char *path = options->work_directory;
        int r;

        if (mkdir(path, 0755) < 0 && errno != EEXIST) {
                (void) fprintf(stderr, "hatchery: --work-directory %s: cannot be made: %s\n", path,
                               strerror(errno));
                return -EINVAL;
        }
        /* In a mount namespace workers never go that way. */
        if (!(plan->layers & layer_bit(LAYER_UID)) ||
            (plan->layers & layer_bit(LAYER_MOUNT_NAMESPACE)))
                return 0;
        r = check_passable("--work-directory", path);
        /* The homes of sessions are below it. One that is not there yet is made as it must be. */
        if (r == 0 && options->sessions.count_max > 0 &&
            access(options->state_directory, F_OK) == 0)
                r = check_passable("--state-directory", options->state_directory);
        return r;
}

int start_pool(const Options *options, const TemplateConfig *templates, const IsolationPlan *plan,
               uint16_t probe_port, unsigned sessions_max, Pool **ret_pool) {
        const PoolConfig config = {
                .python_program = options->python_program,
                .work_directory = options->work_directory,
                .templates = templates,
                .n_templates = options->n_templates,
                .queue_max = options->queue_max,
                .queue_wait_ms = options->queue_wait_ms,
                .state_directory = sessions_max > 0 ? options->state_directory : NULL,
                .sessions_max = sessions_max,
                .session_queue_max = options->sessions.queue_max,
                .sessions_evict = options->sessions.evict,
                .session_disk_mb = options->sessions.disk_mb,
                .session_files_max = options->sessions.files_max,
                .state_reserve_mb = options->sessions.reserve_mb,
                .interrupt_grace_ms = options->sessions.interrupt_grace_ms,
                .value_bytes_max = options->value_bytes_max,
                .collect_bytes_max = options->collect_bytes_max,
                .collect_files_max = options->collect_files_max,
                .isolation = plan,
                .worker_uid_base = options->isolation.worker_uid_base,
                .probe_port = probe_port,
                .start_timeout_ms = options->start_timeout_ms,
                .zygote_max_age_ms = options->zygote_max_age_ms,
                .log_level = options->log_level,
        };
        int r;

        if (access(options->python_program, X_OK) < 0) {
                (void) fprintf(stderr, "hatchery: --python-program %s: %s\n",
                               options->python_program, strerror(errno));
                return -EINVAL;
        }
        r = make_work_directory(options, plan);
        if (r < 0)
                return r;
        r = pool_new(&config, ret_pool);
        return r < 0 ? start_failed("the pool of workers cannot be started", r) : 0;
}

/* Each takes a core and some 100 MB while it runs. */
#define INSTALLERS_RUNNING 2
#define INSTALLERS_WAITING 64

int start_installer(const Options *options, const IsolationPlan *plan, Pool *pool,
                    Installer **ret_installer) {
        const SessionSettings *settings = &options->sessions;
        const LayerMask keep_from_writing =
                layer_bit(LAYER_MOUNT_NAMESPACE) | layer_bit(LAYER_LANDLOCK) | layer_bit(LAYER_UID);
        const InstallerConfig config = {
                .pool = pool,
                .python_program = options->python_program,
                .state_directory = options->state_directory,
                .index_url = settings->package_index,
                .timeout_ms = settings->install_timeout_ms,
                .packages_bytes_max = settings->packages_mb << 20,
                .cache_bytes_max = settings->wheel_cache_mb << 20,
                .running_max = INSTALLERS_RUNNING,
                .queue_max = INSTALLERS_WAITING,
                /* Behind the slots and the homes. */
                .uid = plan->layers & layer_bit(LAYER_UID)
                               ? options->isolation.worker_uid_base + SLOTS_MAX + HOMES_MAX
                               : 0,
                .copies = !(plan->layers & keep_from_writing),
                .log_level = options->log_level,
        };
        char part[PATH_MAX];
        int r = installer_new(&config, ret_installer);

        if (r < 0)
                return start_failed("packages for sessions", r);
        if (config.uid != 0 && find_closed(options->state_directory, part) < 0)
                log_warning("packages cannot be installed: pip runs as a user of its own and may "
                            "not pass through %s; chmod o+x that folder, or choose another "
                            "--state-directory",
                            part);
        return 0;
}

/* ── Templates ── */

void start_shorten_failure(const char *failure, char *line, size_t size) {
        const char *last_line = strrchr(failure, '\n');

        if (last_line)
                (void) snprintf(line, size, "%.*s: %s", (int) strcspn(failure, ":"), failure,
                                last_line + 1);
        else
                (void) snprintf(line, size, "%s", failure);
}

/* A template that fails at the first attempt will not get better by itself: a module is missing,
 * say. Nor will a layer that does not hold what it promises, or that was there to be had and now
 * cannot be taken. */
int start_complain_about_template(const char *name, const TemplateState *state) {
        char line[1024];

        if (state->broken) {
                (void) fprintf(stderr,
                               "hatchery: template %s: the layers taken do not hold: %s was able "
                               "to %s; hatchery check says more\n",
                               name, state->broken_subject, state->broken);
                return EXIT_CONFIG;
        }
        if (state->obstacle) {
                start_shorten_failure(state->obstacle, line, sizeof(line));
                (void) fprintf(
                        stderr,
                        "hatchery: template %s: no worker can be shut in: %s; hatchery check "
                        "lists the layers, --layers-off starts without some\n",
                        name, line);
                return EXIT_CONFIG;
        }
        if (!state->failure)
                return 0;
        start_shorten_failure(state->failure, line, sizeof(line));
        (void) fprintf(stderr, "hatchery: template %s cannot start: %s\n", name, line);
        return EXIT_FAILURE;
}

#include "server/check.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit/clock.h"
#include "server/listen.h"
#include "server/start.h"

#define TURN_MS 1000
/* A canary's neighbour is there to be attacked. */
#define WORKERS 2

/* ── What there is ── */

static void print_layer(const IsolationPlan *plan, Layer layer) {
        const LayerAbout *about = layer_about(layer);
        const LayerFinding *finding = &plan->survey.layers[layer];
        LayerState state = plan->states[layer];

        (void) printf("  %-15s %-12s %s\n", about->name, layer_state_name(state), about->does);
        if (state == LAYER_ON && layer == LAYER_LANDLOCK)
                (void) printf("  %28s of ABI %d%s\n", "", plan->survey.landlock_abi,
                              plan->survey.landlock_abi < ISOLATION_LANDLOCK_ABI
                                      ? "; signals and abstract sockets need ABI 6, Linux 6.12"
                                      : "");
        if (state == LAYER_ON && layer == LAYER_CGROUP && plan->survey.cgroup_version == 1)
                (void) printf("  %28s of version 1: only where a template allows subprocesses\n",
                              "");
        if (state != LAYER_UNAVAILABLE)
                return;
        (void) printf("  %28s tried: %s", "", finding->tried);
        if (finding->error != 0)
                (void) printf(": %s (%s)", strerror(finding->error),
                              strerrorname_np(finding->error));
        (void) printf("\n  %28s there since Linux %s\n", "", about->kernel);
}

static void print_layers(const IsolationPlan *plan) {
        (void) printf("Hatchery " HATCHERY_VERSION " on Linux %s, as %s, with --isolation %s\n\n"
                      "Layers that every worker takes before it reads a request:\n\n",
                      plan->survey.kernel, plan->survey.is_root ? "root" : "a plain user",
                      plan->mode == ISOLATION_OFF ? "unsafe-off" : isolation_mode_name(plan->mode));
        for (unsigned layer = 0; layer < _LAYERS; layer++)
                print_layer(plan, (Layer) layer);
        (void) printf("\n");
        (void) fflush(stdout);
}

/* ── Whether it holds ── */

static void print_names(const char *introduction, LayerMask layers) {
        const char *separator = introduction;

        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                if (!(layers & layer_bit((Layer) layer)))
                        continue;
                (void) printf("%s%s", separator, layer_about((Layer) layer)->name);
                separator = ", ";
        }
        if (layers != 0)
                (void) printf("\n");
}

static void print_looser(const TemplateConfig *config) {
        if (config->subprocesses)
                (void) printf("    looser: runs may start programs\n");
        for (size_t i = 0; i < config->n_read_only_paths; i++)
                (void) printf("    looser: runs may read %s\n", config->read_only_paths[i]);
        if (config->data_path)
                (void) printf("    looser: all runs may write to %s\n", config->data_path);
}

/* What sessions and their copies have tried besides. */
static void print_sessions(const TemplateState *state) {
        const ProbeCount *sessions = &state->probes[PROOF_OF_SESSIONS];
        const ProbeCount *copies = &state->probes[PROOF_OF_COPIES];

        if (state->sessions_broken) {
                (void) printf("    BROKEN: %s; sessions are not served\n", state->sessions_broken);
                return;
        }
        if (!state->serves_sessions)
                return;
        (void) printf("    sessions: %u tried, %u stopped; copies of them: ", sessions->tried,
                      sessions->stopped);
        if (state->copies_sessions)
                (void) printf("%u tried, %u stopped\n", copies->tried, copies->stopped);
        else
                (void) printf("none can be made here\n");
}

static void print_outcome(const IsolationPlan *plan, const TemplateState *state) {
        const ProbeCount *runs = &state->probes[PROOF_OF_RUNS];
        char obstacle[1024];

        if (state->broken) {
                (void) printf("BROKEN: %s was able to %s\n", state->broken_subject, state->broken);
        } else if (state->obstacle) {
                start_shorten_failure(state->obstacle, obstacle, sizeof(obstacle));
                (void) printf("no worker can be shut in: %s\n", obstacle);
        } else if (runs->tried > 0) {
                (void) printf("%u ways out tried, %u stopped\n", runs->tried, runs->stopped);
        } else {
                (void) printf("nothing was tried, as nothing is taken that would stop it\n");
        }
        if (plan->mode == ISOLATION_OFF)
                (void) printf(
                        "    unsafe-off: nothing keeps a run in; it may do whatever this user "
                        "may\n");
}

/* Returns whether a server would start with it: of a mode that promises nothing, nothing has to
 * hold. */
static bool print_proof(const IsolationPlan *plan, const TemplateConfig *config,
                        const TemplateState *state) {
        (void) printf("  template %s: ", config->name);
        print_outcome(plan, state);
        print_sessions(state);
        print_names("    seen to hold: ", state->proven);
        print_names("    taken, but neither an attempt nor /proc shows it here: ",
                    state->layers & ~state->proven);
        print_looser(config);
        return !state->broken && !state->obstacle &&
               (state->probes[PROOF_OF_RUNS].tried > 0 || plan->mode != ISOLATION_STRICT);
}

/* Whether it is known how this template does. */
static bool is_decided(Pool *pool, unsigned index) {
        TemplateState state;

        pool_template_state(pool, index, &state);
        return state.ready || state.broken || state.obstacle || state.failure;
}

static int await_templates(Pool *pool, const Options *options) {
        uint64_t deadline_ns = clock_now_ns() + 2 * options->start_timeout_ms * NS_PER_MS;

        for (unsigned i = 0; i < options->n_templates;) {
                struct pollfd poll_fd = {.fd = pool_fd(pool), .events = POLLIN};

                if (is_decided(pool, i)) {
                        i++;
                        continue;
                }
                if (clock_now_ns() > deadline_ns) {
                        (void) fprintf(stderr, "hatchery: template %s is not ready in time\n",
                                       options->templates[i].name);
                        return EXIT_FAILURE;
                }
                if ((poll(&poll_fd, 1, TURN_MS) < 0 && errno != EINTR) || pool_dispatch(pool) < 0)
                        return EXIT_FAILURE;
        }
        return 0;
}

static int prove_with(Pool *pool, const Options *options, const IsolationPlan *plan) {
        int status = await_templates(pool, options);

        for (unsigned i = 0; i < options->n_templates && status != EXIT_FAILURE; i++) {
                const TemplateConfig *config = &options->templates[i];
                TemplateState state;

                pool_template_state(pool, i, &state);
                if (!state.broken && !state.obstacle &&
                    start_complain_about_template(config->name, &state) != 0)
                        status = EXIT_FAILURE;
                else if (!print_proof(plan, config, &state))
                        status = EXIT_CONFIG;
        }
        return status;
}

/* ── Where sessions would be ── */

/* Beside those of a server that may be running: a folder of its own in the state directory, which
 * decides whether workers can pass, and who owns what. */
typedef struct CheckState {
        char path[PATH_MAX];
        bool has_made_parent;
} CheckState;

static int check_state_make(const Options *options, CheckState *state) {
        const char *parent = options->state_directory;

        *state = (CheckState){.has_made_parent = mkdir(parent, 0711) == 0};
        if ((size_t) snprintf(state->path, sizeof(state->path), "%s/check-XXXXXX", parent) >=
                    sizeof(state->path) ||
            !mkdtemp(state->path) || chmod(state->path, 0711) < 0) {
                (void) printf("  sessions are not tried: a folder in %s cannot be made: %s\n",
                              parent, strerror(errno));
                state->path[0] = '\0';
                return -errno;
        }
        return 0;
}

/* The homes are gone by now, as the pool has ended. */
static void check_state_remove(const Options *options, const CheckState *state) {
        static const char *const folders[] = {"/sessions/trash", "/sessions", ""};

        for (size_t i = 0; i < N_ELEMENTS(folders) && state->path[0]; i++) {
                char path[PATH_MAX + 32];

                (void) snprintf(path, sizeof(path), "%s%s", state->path, folders[i]);
                (void) rmdir(path);
        }
        if (state->has_made_parent)
                (void) rmdir(options->state_directory);
}

/* ── The proof ── */

/* In a real pool, by the path on which runs are made; a server's port is there to be knocked at. */
static int prove_in_pool(const Options *options, const IsolationPlan *plan, unsigned sessions_max) {
        TemplateConfig templates[TEMPLATES_MAX];
        ListenerSet listeners = {0};
        Pool *pool = NULL;
        int status = EXIT_FAILURE;

        for (size_t i = 0; i < options->n_templates; i++) {
                templates[i] = options->templates[i];
                templates[i].workers = WORKERS;
                templates[i].touched = templates[i].session_spares = 0;
        }
        if (listener_set_open("127.0.0.1:0", &listeners) == 0 &&
            start_pool(options, templates, plan, listener_loopback_port(&listeners.of[0]),
                       sessions_max, &pool) == 0)
                status = prove_with(pool, options, plan);
        (void) pool_free(pool);
        listener_set_close(&listeners);
        return status;
}

static int prove(const Options *options, const IsolationPlan *plan) {
        /* Too large for a stack. */
        static Options with_state;
        CheckState state = {0};
        unsigned sessions_max;
        int status = EXIT_FAILURE;

        (void) printf("What a worker made in this way could do:\n\n");
        (void) fflush(stdout);
        if (start_descriptors(options, &sessions_max) < 0)
                return status;
        with_state = *options;
        if (sessions_max > 0 && check_state_make(options, &state) == 0)
                with_state.state_directory = state.path;
        status = prove_in_pool(&with_state, plan, state.path[0] ? 1 : 0);
        check_state_remove(options, &state);
        (void) printf("\n");
        return status;
}

static void print_verdict(const IsolationConfig *config, const IsolationSurvey *survey,
                          int status) {
        static const char prefix[] = "--isolation strict is not met: ";
        IsolationConfig strict = *config;
        IsolationPlan plan;
        char refusal[1024];
        const char *why = refusal;

        strict.mode = ISOLATION_STRICT;
        strict.required = 0;
        if (isolation_plan(&strict, survey, &plan, refusal, sizeof(refusal)) < 0) {
                if (strncmp(why, prefix, strlen(prefix)) == 0)
                        why += strlen(prefix);
                (void) printf("strict: not met, because %s\n", why);
        } else if (config->mode == ISOLATION_OFF) {
                (void) printf("strict: could be met here, but was not asked for\n");
        } else {
                (void) printf("strict: %s\n",
                              status == 0 ? "met" : "not met, because that was not shown to hold");
        }
}

int check(const Options *options) {
        const IsolationConfig *config = &options->isolation;
        IsolationSurvey survey;
        IsolationPlan plan;
        char refusal[1024];
        int status, r = isolation_survey(config, &survey);

        if (r < 0) {
                (void) start_failed("it cannot be found out what keeps runs in", r);
                return EXIT_FAILURE;
        }
        r = isolation_plan(config, &survey, &plan, refusal, sizeof(refusal));
        print_layers(&plan);
        status = r < 0 ? EXIT_CONFIG : prove(options, &plan);
        if (status == EXIT_FAILURE)
                return status;
        print_verdict(config, &survey, status);
        if (r < 0)
                (void) printf("A server with these options would not start: %s\n", refusal);
        else
                (void) printf("A server with these options would %s.\n",
                              status == 0 ? "start" : "not start");
        return status;
}

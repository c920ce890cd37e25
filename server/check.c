#include "server/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

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

static void print_outcome(const IsolationPlan *plan, const TemplateState *state) {
        char obstacle[1024];

        if (state->broken) {
                (void) printf("BROKEN: a worker was able to %s\n", state->broken);
        } else if (state->obstacle) {
                start_shorten_failure(state->obstacle, obstacle, sizeof(obstacle));
                (void) printf("no worker can be shut in: %s\n", obstacle);
        } else if (state->probes_tried > 0) {
                (void) printf("%u ways out tried, %u stopped\n", state->probes_tried,
                              state->probes_stopped);
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
        print_names("    seen to hold: ", state->proven);
        print_names("    taken, but neither an attempt nor /proc shows it here: ",
                    state->layers & ~state->proven);
        print_looser(config);
        return !state->broken && !state->obstacle &&
               (state->probes_tried > 0 || plan->mode != ISOLATION_STRICT);
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

/* In a real pool, by the path on which runs are made; a server's port is there to be knocked at. */
static int prove(const Options *options, const IsolationPlan *plan) {
        TemplateConfig templates[TEMPLATES_MAX];
        ListenerSet listeners = {0};
        Pool *pool = NULL;
        unsigned sessions_max;
        int status = EXIT_FAILURE;

        for (size_t i = 0; i < options->n_templates; i++) {
                templates[i] = options->templates[i];
                templates[i].workers = WORKERS;
                templates[i].touched = 0;
        }
        (void) printf("What a worker made in this way could do:\n\n");
        (void) fflush(stdout);
        if (start_descriptors(options, &sessions_max) == 0 &&
            listener_set_open("127.0.0.1:0", &listeners) == 0 &&
            start_pool(options, templates, plan, listener_loopback_port(&listeners.of[0]), 0,
                       &pool) == 0)
                status = prove_with(pool, options, plan);
        (void) pool_free(pool);
        listener_set_close(&listeners);
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

/* isolation: names, and the plan. What there is to be had is found out in isolation_survey.c. */

#include "pool/isolation.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What strict asks for in any case. */
#define STRICT_ALWAYS                                                                              \
        (layer_bit(LAYER_RLIMITS) | layer_bit(LAYER_NO_NEW_PRIVILEGES) |                           \
         layer_bit(LAYER_CAPABILITIES) | layer_bit(LAYER_NOT_DUMPABLE) | layer_bit(LAYER_SECCOMP))

/* And, with ids of their own, these or Landlock. */
#define STRICT_NAMESPACES                                                                          \
        (layer_bit(LAYER_MOUNT_NAMESPACE) | layer_bit(LAYER_PID_NAMESPACE) |                       \
         layer_bit(LAYER_NET_NAMESPACE))

#define NAMESPACES                                                                                 \
        (STRICT_NAMESPACES | layer_bit(LAYER_IPC_NAMESPACE) | layer_bit(LAYER_UTS_NAMESPACE) |     \
         layer_bit(LAYER_CGROUP_NAMESPACE))

/* What is left for code that is trusted: without it, one run could take the machine down by
 * mistake. */
#define KEPT_WHEN_OFF (layer_bit(LAYER_RLIMITS) | layer_bit(LAYER_OOM_SCORE))

const char *isolation_mode_name(IsolationMode mode) {
        static const char *const names[_ISOLATION_MODES] = {
                [ISOLATION_STRICT] = "strict",
                [ISOLATION_BEST_EFFORT] = "best-effort",
                [ISOLATION_OFF] = "off",
        };

        assert(mode < _ISOLATION_MODES);
        return names[mode];
}

const char *layer_state_name(LayerState state) {
        switch (state) {
        case LAYER_ON:
                return "on";
        case LAYER_SWITCHED_OFF:
                return "off";
        case LAYER_UNAVAILABLE:
                return "unavailable";
        case LAYER_NOT_NEEDED:
                return "not needed";
        }
        assert(false);
        return "";
}

/* ── Which layers ── */

static LayerState state_of(const IsolationConfig *config, const IsolationSurvey *survey,
                           Layer layer) {
        bool off = config->off & layer_bit(layer);

        if (config->mode == ISOLATION_OFF)
                off = off || !(KEPT_WHEN_OFF & layer_bit(layer));
        if (layer == LAYER_UID && survey->is_root && config->worker_uid_base == 0)
                off = true;
        if (layer == LAYER_CORE_SCHEDULING && !config->core_scheduling)
                off = true;
        if (off)
                return LAYER_SWITCHED_OFF;
        if (layer == LAYER_USER_NAMESPACE && !survey->needs_user_namespace)
                return LAYER_NOT_NEEDED;
        /* Where these namespaces are a border (nsdelegate, systemd's choice), a zygote in one of
         * its own could not have a child born in a group outside of it, as those of slots are. */
        if (layer == LAYER_CGROUP_NAMESPACE && survey->cgroup_version == 2 &&
            state_of(config, survey, LAYER_CGROUP) == LAYER_ON)
                return LAYER_NOT_NEEDED;
        return survey->layers[layer].error == 0 ? LAYER_ON : LAYER_UNAVAILABLE;
}

/* A layer that can only be had together with another one shares its fate. */
static void follow(IsolationPlan *plan, Layer leader, const char *tried, LayerMask followers) {
        if (plan->states[leader] == LAYER_ON || plan->states[leader] == LAYER_NOT_NEEDED)
                return;
        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                if (!(followers & layer_bit((Layer) layer)) || plan->states[layer] != LAYER_ON)
                        continue;
                plan->states[layer] = plan->states[leader];
                plan->survey.layers[layer] = (LayerFinding){
                        .error = plan->survey.layers[leader].error,
                        .tried = tried,
                };
        }
}

static LayerMask layers_on(const IsolationPlan *plan) {
        LayerMask on = 0;

        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                if (plan->states[layer] == LAYER_ON)
                        on |= layer_bit((Layer) layer);
        }
        return on;
}

/* ── Whether they are enough ── */

typedef struct Line {
        char *text;
        size_t size, used;
} Line;

static void add(Line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Cut where there is no more room: the line is for people. */
static void add(Line *line, const char *format, ...) {
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(line->text + line->used, line->size - line->used, format, arguments);
        va_end(arguments);
        if (n > 0)
                line->used += (size_t) n < line->size - line->used ? (size_t) n
                                                                   : line->size - line->used - 1;
}

/* "netns is unavailable: unshare(CLONE_NEWNET): EPERM (Operation not permitted)" */
static void add_lack(Line *line, const IsolationPlan *plan, Layer layer) {
        const LayerFinding *finding = &plan->survey.layers[layer];

        add(line, "%s is %s", layer_about(layer)->name, layer_state_name(plan->states[layer]));
        if (plan->states[layer] != LAYER_UNAVAILABLE)
                return;
        add(line, ": %s", finding->tried);
        if (finding->error != 0)
                add(line, ": %s (%s)", strerrorname_np(finding->error), strerror(finding->error));
}

/* Those that are missing of a set; returns whether any is. */
static bool add_lacks(Line *line, const IsolationPlan *plan, LayerMask wanted,
                      const char *introduction) {
        LayerMask missing = wanted & ~plan->layers;
        const char *separator = introduction;

        for (unsigned layer = 0; layer < _LAYERS; layer++) {
                if (!(missing & layer_bit((Layer) layer)))
                        continue;
                add(line, "%s", separator);
                add_lack(line, plan, (Layer) layer);
                separator = "; ";
        }
        return missing != 0;
}

/* As root, a user namespace leaves a worker root to the rest of the kernel: RLIMIT_NPROC, for one,
 * does not hold for the first user. */
static bool has_ids(const IsolationPlan *plan) {
        return (plan->layers & layer_bit(LAYER_UID)) ||
               (!plan->survey.is_root && (plan->layers & layer_bit(LAYER_USER_NAMESPACE)));
}

static bool has_landlock(const IsolationPlan *plan) {
        return (plan->layers & layer_bit(LAYER_LANDLOCK)) &&
               plan->survey.landlock_abi >= ISOLATION_LANDLOCK_ABI;
}

static bool is_strict(const IsolationPlan *plan) {
        return (plan->layers & STRICT_ALWAYS) == STRICT_ALWAYS &&
               (((plan->layers & STRICT_NAMESPACES) == STRICT_NAMESPACES && has_ids(plan)) ||
                has_landlock(plan));
}

static int refuse_strict(const IsolationPlan *plan, Line *line) {
        LayerMask ids = layer_bit(LAYER_UID);

        add(line, "--isolation strict is not met");
        if (!add_lacks(line, plan, STRICT_ALWAYS, ": ")) {
                if (!plan->survey.is_root)
                        ids = layer_bit(LAYER_USER_NAMESPACE);
                add_lacks(line, plan, STRICT_NAMESPACES | (has_ids(plan) ? 0 : ids), ": ");
                if (plan->layers & layer_bit(LAYER_LANDLOCK)) {
                        add(line, "; and landlock has only ABI %d", plan->survey.landlock_abi);
                } else {
                        add(line, "; and ");
                        add_lack(line, plan, LAYER_LANDLOCK);
                }
        }
        add(line,
            " [Linux %s]. It needs " ISOLATION_STRICT_RULE
            ". To start with less: --isolation best-effort",
            plan->survey.kernel);
        return -EPERM;
}

static int refuse_required(const IsolationPlan *plan, LayerMask missing, Line *line) {
        add(line, "--require-layers is not met");
        add_lacks(line, plan, missing, ": ");
        add(line, " [Linux %s]. To start without: leave %s out of --require-layers",
            plan->survey.kernel,
            (missing & (missing - 1)) != 0 ? "them"
                                           : layer_about((Layer) __builtin_ctz(missing))->name);
        return -EPERM;
}

int isolation_plan(const IsolationConfig *config, const IsolationSurvey *survey,
                   IsolationPlan *ret_plan, char *ret_refusal, size_t size) {
        IsolationPlan *plan = ret_plan;
        Line line = {ret_refusal, size, 0};
        LayerMask missing;

        assert(size > 0);
        ret_refusal[0] = '\0';
        *plan = (IsolationPlan){.mode = config->mode, .survey = *survey};
        for (unsigned layer = 0; layer < _LAYERS; layer++)
                plan->states[layer] = state_of(config, survey, (Layer) layer);
        /* Both are loaded by a worker that has no capability any more; without no_new_privs the
         * kernel wants one of it. */
        follow(plan, LAYER_NO_NEW_PRIVILEGES, "without no_new_privs",
               layer_bit(LAYER_SECCOMP) | layer_bit(LAYER_LANDLOCK));
        if (survey->needs_user_namespace)
                follow(plan, LAYER_USER_NAMESPACE, "without a user namespace", NAMESPACES);
        plan->layers = layers_on(plan);

        missing = config->required & ~plan->layers;
        if (has_ids(plan) && plan->states[LAYER_USER_NAMESPACE] == LAYER_NOT_NEEDED)
                missing &= ~layer_bit(LAYER_USER_NAMESPACE);
        if (missing != 0)
                return refuse_required(plan, missing, &line);
        if (config->mode == ISOLATION_STRICT && !is_strict(plan))
                return refuse_strict(plan, &line);
        return 0;
}

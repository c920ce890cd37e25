#pragma once
/*
 * isolation: which layers this server takes, and whether they are enough. Three steps, each on its
 * own: isolation_survey() tries what this kernel and this user may do; isolation_plan() puts that
 * beside what was asked for (pure); pool/proof.c then tries to break what was taken.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit/cleanup.h"
#include "wire/layers.h"

typedef enum IsolationMode {
        ISOLATION_STRICT,      /* start only with what ISOLATION_STRICT_RULE says */
        ISOLATION_BEST_EFFORT, /* take what there is, and say what is missing */
        ISOLATION_OFF,         /* take nothing but resource limits: for code that is trusted */
        _ISOLATION_MODES,
} IsolationMode;

/* "strict", "best-effort", "off" */
const char *isolation_mode_name(IsolationMode mode);

/* What strict insists on, beyond IsolationConfig.required, in words for messages and documents. */
#define ISOLATION_STRICT_RULE                                                                      \
        "rlimits, no_new_privs, capabilities, not_dumpable, seccomp, and either mountns, pidns "   \
        "and "                                                                                     \
        "netns with userns or uid, or landlock of ABI 6"

/* The Landlock that can stand in for namespaces: it keeps signals and abstract sockets in. */
#define ISOLATION_LANDLOCK_ABI 6

typedef struct IsolationConfig {
        IsolationMode mode;
        LayerMask off;      /* switched off by name: for tests, and for what a host cannot bear */
        LayerMask required; /* by name, in every mode: the server does not start without */
        bool core_scheduling;
        uint32_t worker_uid_base; /* 0: no uid of their own for workers */
} IsolationConfig;

typedef enum LayerState {
        LAYER_ON,
        LAYER_SWITCHED_OFF, /* by configuration */
        LAYER_UNAVAILABLE,  /* this kernel, or this user, cannot */
        LAYER_NOT_NEEDED,   /* userns, where the server may make the other namespaces without it;
                             * cgroupns, where workers are born in control groups of version 2 */
} LayerState;

/* "on", "off", "unavailable", "not needed" */
const char *layer_state_name(LayerState state);

/* What trying has shown. */
typedef struct LayerFinding {
        int error;         /* errno; 0: there is such a layer here */
        const char *tried; /* "unshare(CLONE_NEWNS)"; static */
} LayerFinding;

typedef struct IsolationSurvey {
        LayerFinding layers[_LAYERS];
        int landlock_abi;          /* 0: none */
        int cgroup_version;        /* 0: none usable */
        bool is_root;              /* effective uid 0 */
        bool needs_user_namespace; /* without CAP_SYS_ADMIN: other namespaces only inside one */
        char kernel[72];           /* uname -r */
} IsolationSurvey;

/* Tries in child processes of its own, which it waits for (some milliseconds). Returns 0, or -errno
 * when no child can be made. */
_must_check_ int isolation_survey(const IsolationConfig *config, IsolationSurvey *ret_survey);

typedef struct IsolationPlan {
        IsolationMode mode;
        LayerMask layers; /* taken by every worker that no template loosens */
        LayerState states[_LAYERS];
        IsolationSurvey survey;
} IsolationPlan;

/* Pure. Returns 0; or -EPERM when the mode or `required` asks for more than there is: then
 * ret_refusal has one line that names the layer, what was tried, the errno, the kernel, and the
 * option that accepts less. */
_must_check_ int isolation_plan(const IsolationConfig *config, const IsolationSurvey *survey,
                                IsolationPlan *ret_plan, char *ret_refusal, size_t size);

/* Whether workers live in cells. */
static inline bool isolation_has_cells(LayerMask layers) {
        return layers & (layer_bit(LAYER_PID_NAMESPACE) | layer_bit(LAYER_MOUNT_NAMESPACE) |
                         layer_bit(LAYER_USER_NAMESPACE));
}

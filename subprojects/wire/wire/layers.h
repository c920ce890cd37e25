#pragma once
/*
 * layers: what a worker may be shut in by, one name each. What a layer does, and since which kernel
 * there is such a thing, stands in one table (layers.c); who takes it stands in interp/confine.c;
 * which ones a server insists on is decided in pool/isolation.c.
 */

#include <stddef.h>
#include <stdint.h>

typedef enum Layer {
        LAYER_RLIMITS,
        LAYER_NO_NEW_PRIVILEGES,
        LAYER_CAPABILITIES, /* all sets empty, the bounding set too, securebits locked */
        LAYER_NOT_DUMPABLE,
        LAYER_SECCOMP,
        LAYER_LANDLOCK,
        LAYER_UID,
        LAYER_USER_NAMESPACE,
        LAYER_PID_NAMESPACE,
        LAYER_MOUNT_NAMESPACE,
        LAYER_NET_NAMESPACE,
        LAYER_IPC_NAMESPACE,
        LAYER_UTS_NAMESPACE,
        LAYER_CGROUP_NAMESPACE,
        LAYER_CGROUP,
        LAYER_OOM_SCORE,
        LAYER_CORE_SCHEDULING,
        _LAYERS,
} Layer;

typedef uint32_t LayerMask;

static inline LayerMask layer_bit(Layer layer) {
        return (LayerMask) 1 << layer;
}

#define LAYERS_ALL ((LayerMask) ((1U << _LAYERS) - 1))

typedef struct LayerAbout {
        const char *name;   /* "seccomp", as options and /health spell it */
        const char *does;   /* one short sentence */
        const char *kernel; /* the first Linux that has all that is used of it */
} LayerAbout;

const LayerAbout *layer_about(Layer layer);

/* The layer of that name, or _LAYERS. */
Layer layer_by_name(const char *name, size_t length);

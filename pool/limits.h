#pragma once
/* limits: the one list of what a run can be limited in. Everything that names a limit (the request,
 * the options, the answer, the documentation) walks this list. */

#include <stdint.h>

#include "kit/bytes.h"

typedef enum Limit {
        LIMIT_WALL_MS,
        LIMIT_CPU_MS,
        LIMIT_MEMORY_MB,
        LIMIT_OUTPUT_BYTES,
        LIMIT_PROCESSES,
        LIMIT_DISK_MB,
        _LIMITS,
} Limit;

typedef struct LimitInfo {
        const char *name;  /* as it stands in a request, with its unit */
        uint64_t minimum;  /* a smaller value in a request is refused */
        uint64_t standard; /* what a request gets that names none, unless configured otherwise */
        uint64_t maximum;  /* what a request may ask for at most, unless configured otherwise */
        uint64_t ceiling;  /* what can be configured at most */
        const char *help;  /* one sentence */
} LimitInfo;

extern const LimitInfo limit_infos[_LIMITS];

/* The limits of one run, indexed by Limit. */
typedef struct RunLimits {
        uint64_t of[_LIMITS];
} RunLimits;

/* What the operator has decided, indexed by Limit. */
typedef struct LimitPolicy {
        uint64_t standard[_LIMITS];
        uint64_t maximum[_LIMITS];
} LimitPolicy;

LimitPolicy limit_policy_standard(void);

/* The limits of a run whose request names none. */
RunLimits limit_policy_defaults(const LimitPolicy *policy);

/* How large the file system of a cell is: what its runs may use at most, and a little more, so that
 * the one that overruns its limit is seen to. */
uint64_t limits_cell_bytes(const LimitPolicy *policy);
uint64_t limits_cell_inodes(const LimitPolicy *policy);

/* The limit of that name, or _LIMITS. */
Limit limit_by_name(Slice name);

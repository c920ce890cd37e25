#include "pool/limits.h"

const LimitInfo limit_infos[_LIMITS] = {
        [LIMIT_WALL_MS] = {"wall_ms", 1, 30000, 300000, 86400000,
                           "milliseconds from the start of the run to its forced end"},
        [LIMIT_CPU_MS] = {"cpu_ms", 1, 30000, 300000, 86400000,
                          "milliseconds of processor time of all its threads"},
        [LIMIT_MEMORY_MB] = {"memory_mb", 16, 512, 2048, 1048576,
                             "mebibytes it may use beyond the warm interpreter's own"},
        [LIMIT_OUTPUT_BYTES] = {"output_bytes", 0, 1048576, 16777216, 67108864,
                                "bytes kept of standard output, and as many of standard error"},
        [LIMIT_PROCESSES] = {"processes", 1, 1, 1, 4096,
                             "processes at once, itself included; more than 1 needs a template "
                             "that allows subprocesses"},
        [LIMIT_DISK_MB] = {"disk_mb", 1, 64, 512, 65536,
                           "mebibytes of files in its workspace and its temporary folder together"},
};

LimitPolicy limit_policy_standard(void) {
        LimitPolicy policy;

        for (int i = 0; i < _LIMITS; i++) {
                policy.standard[i] = limit_infos[i].standard;
                policy.maximum[i] = limit_infos[i].maximum;
        }
        return policy;
}

RunLimits limit_policy_defaults(const LimitPolicy *policy) {
        RunLimits limits;

        for (int i = 0; i < _LIMITS; i++)
                limits.of[i] = policy->standard[i];
        return limits;
}

/* Without it, a run that may use all there is would meet a full disk and no limit. */
#define CELL_BYTES_SLACK (1ULL << 20)

/*
 * An inode of a tmpfs with its name takes about a kibibyte of kernel memory, which no size= counts
 * and, without a memory cgroup, nobody else does: a run could take gibibytes with empty files.
 * 16384 are enough for a large source tree or package; more come with more disk, one for 64 KiB.
 */
#define CELL_INODES        16384
#define CELL_INODES_PER_MB 16

uint64_t limits_cell_bytes(const LimitPolicy *policy) {
        return (policy->maximum[LIMIT_DISK_MB] << 20) + CELL_BYTES_SLACK;
}

uint64_t limits_cell_inodes(const LimitPolicy *policy) {
        return CELL_INODES + policy->maximum[LIMIT_DISK_MB] * CELL_INODES_PER_MB;
}

Limit limit_by_name(Slice name) {
        for (int i = 0; i < _LIMITS; i++) {
                if (slice_equals(name, limit_infos[i].name))
                        return (Limit) i;
        }
        return _LIMITS;
}

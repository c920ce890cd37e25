#include "pool/run.h"

#include <assert.h>

const char *run_status_name(RunStatus status) {
        static const char *const names[_RUN_STATUSES] = {
                [RUN_OK] = "ok",
                [RUN_ERROR] = "error",
                [RUN_EXIT] = "exit",
                [RUN_TIMEOUT] = "timeout",
                [RUN_CPU_LIMIT] = "cpu_limit",
                [RUN_MEMORY_LIMIT] = "memory_limit",
                [RUN_OUTPUT_LIMIT] = "output_limit",
                [RUN_VIOLATION] = "violation",
                [RUN_CRASHED] = "crashed",
                [RUN_CANCELLED] = "cancelled",
                [RUN_LOST] = "lost",
        };

        assert(status < _RUN_STATUSES);
        return names[status];
}

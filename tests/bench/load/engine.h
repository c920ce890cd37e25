#pragma once
/* engine: carries out a plan over its connections, on one thread, and counts. */

#include "histogram.h"
#include "plan.h"

typedef struct Report {
        Histogram latency;  /* of the measured requests */
        Histogram lateness; /* open loop: from the due time to sending, for whatever reason */
        uint64_t requests;  /* answered, the warm-up included */
        uint64_t wrong;     /* answers that were not as expected */
        uint64_t broken;    /* connections that ended, or spoke no HTTP, while an answer was due */
        uint64_t unsent;    /* due, but no connection became free in time */
        uint64_t bytes;     /* of all answers */
        uint64_t first_ns, last_ns; /* start of the measured time; the last measured answer */
} Report;

/* Returns 0 when it was carried out, whatever the answers were, or -errno. */
_must_check_ int engine_run(const Plan *plan, Report *ret_report);

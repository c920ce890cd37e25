#pragma once
/* verdict: the one place that decides why a run ended. Pure: facts in, status out. What the
 * supervisor did weighs most, then what the kernel did about memory, then the wait status, and the
 * worker's word least. A byte from the
 * worker weighs only where its author may choose anyway: whether its own program says that it
 * completed, raised or exited. */

#include <stdbool.h>
#include <stdint.h>

#include "pool/run.h"

/* What the supervisor did, if it did something. The first cause stays: what follows is its
 * consequence. */
typedef enum VerdictCause {
        CAUSE_NONE,
        CAUSE_WALL,   /* its timer fired */
        CAUSE_CPU,    /* the process's clock passed the limit */
        CAUSE_MEMORY, /* the resident memory passed the limit, or the group was out of it, at one of
                       * the looks */
        CAUSE_OUTPUT, /* more output than allowed, and the caller made that fatal */
        CAUSE_DISK,   /* more in files than allowed */
        CAUSE_RESERVE, /* it wrote when the server's disk was nearly full */
        CAUSE_CANCELLED,
        CAUSE_PROTOCOL, /* the result channel carried what it may not carry */
        CAUSE_INTERNAL, /* our own failure */
        _CAUSES,
} VerdictCause;

typedef struct VerdictFacts {
        VerdictCause cause;
        bool out_of_memory; /* the kernel killed a process of the run's control group for memory */
        bool ended;         /* exactly one well-formed final frame came, and nothing after it */
        uint32_t outcome;   /* of RunOutcome, when ended; any other number is a broken channel */
        int32_t exit_code;  /* when ended with OUTCOME_EXITED */
        bool exited;        /* the process has been waited for */
        int wait_status;    /* as wait4() gives it, when exited */
        uint64_t cpu_ns, cpu_limit_ns;
} VerdictFacts;

typedef struct Verdict {
        RunStatus status;
        RunExcess excess;
        bool has_exit_code;
        int exit_code;
        int signal; /* 0: none */
} Verdict;

Verdict verdict_decide(const VerdictFacts *facts);

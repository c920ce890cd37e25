#pragma once
/*
 * proof: what a canary's answers (wire/probe.h) say about the layers. Pure: which attempt must fail
 * because of which layer stands in one table here; any one of an attempt's layers suffices, and an
 * attempt that none of the layers taken defends against proves nothing.
 */

#include <stdbool.h>
#include <stddef.h>

#include "pool/isolation.h"
#include "wire/probe.h"

typedef struct ProofResult {
        bool holds;
        unsigned tried, stopped; /* attempts; of those, that failed as they must */
        LayerMask proven;        /* layers that stopped an attempt which no other layer would have,
                                  * or all that share in stopping one */
        Probe broken;            /* when !holds: the first attempt that worked */
} ProofResult;

/* The layers of which any one must stop that attempt. 0: nothing promises to. subprocesses: the
 * template allows new programs and processes. */
LayerMask proof_defenders(Probe probe, bool subprocesses);

void proof_judge(const ProbeAnswer *answer, LayerMask taken, bool subprocesses,
                 ProofResult *ret_result);

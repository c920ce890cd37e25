#pragma once
/*
 * proof: what a canary's answers (wire/probe.h) say about the layers. Pure: which attempt must fail
 * because of which layer stands in one table here; any one of an attempt's layers suffices, and an
 * attempt that none of the layers taken defends against proves nothing, and is not made.
 */

#include <stdbool.h>
#include <stddef.h>

#include "wire/layers.h"
#include "wire/probe.h"

/* Who tries. Each has the ways of the one before it, and more. */
typedef enum ProofSubject {
        PROOF_OF_RUNS,     /* a worker for runs without a session */
        PROOF_OF_SESSIONS, /* one of a session */
        PROOF_OF_COPIES,   /* a copy of that one */
        _PROOFS,
} ProofSubject;

/* What is claimed to hold a worker. */
typedef struct ProofClaim {
        ProofSubject subject;
        LayerMask layers;
        int landlock_abi;  /* what a Landlock can do */
        bool subprocesses; /* the template allows new programs and processes */
} ProofClaim;

typedef struct ProofResult {
        bool holds;
        unsigned tried, stopped; /* attempts; of those, that failed as they must */
        LayerMask proven;        /* layers that stopped an attempt, alone or together with others */
        Probe broken;            /* when !holds: the first attempt that worked */
} ProofResult;

/* The layers of the claim of which any one must stop that attempt. 0: nothing promises to. */
LayerMask proof_defenders(Probe probe, const ProofClaim *claim);

/* Those that something promises to stop. */
ProbeSet proof_attempts(const ProofClaim *claim);

void proof_judge(const ProbeAnswer *answer, const ProofClaim *claim, ProofResult *ret_result);

#pragma once
/*
 * canary: proves that the layers of a template's workers hold, by a worker that tries to break out
 * (wire/probe.h). The first idle worker of each generation is the canary; until it has failed in
 * all that it tried, and has been killed for a forbidden system call, no worker of its generation
 * is given a run. Workers of an earlier generation that has been proven go on meanwhile.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kit/cleanup.h"
#include "pool/proof.h"
#include "pool/witness.h"
#include "pool/workspace.h"

typedef struct Slot Slot;
typedef struct Template Template;

/* What all canaries of a pool are given to try themselves on. */
typedef struct CanaryTargets {
        int abstract_fd, named_fd; /* listeners that nobody accepts from */
        void *segment;             /* attached, so that it lives as long as the server; or NULL */
        ProbeRequest request;      /* what is the same for all of them */
} CanaryTargets;

#define CANARY_TARGETS_NONE ((CanaryTargets){.abstract_fd = -1, .named_fd = -1})

/* port: of the server; 0: none. A target that cannot be had is not tried. Fails only when there is
 * no room for their folder in the workspace, which the workspace removes. */
_must_check_ int canary_open(CanaryTargets *targets, const Workspace *workspace, uint16_t port);
void canary_close(CanaryTargets *targets);

/* Of one template. Zero: nothing is proven. */
typedef struct Canary {
        Slot *slot;          /* that is probing now, or NULL */
        unsigned generation; /* of the one that probes or probed last */
        bool ended;          /* it has; what came of it has not been looked at yet */
        bool answered;
        ProbeAnswer answer;
        Testimony testimony; /* of the kernel, before it began */
        Probe forbidden;     /* the call that it was to end with */
        int wait_status;     /* -1: killed by us, or not known */
        unsigned no_answers; /* canaries in a row of whom nothing can be said */
        uint64_t sent_ns, ended_ns;
        unsigned proven; /* the last generation that has been; 0: none */
        ProofResult result;
        const char *broken; /* what the last one could do, in words; NULL: nothing */
        char broken_text[128];
} Canary;

/* At the end of each turn: judges a canary that has ended, chooses one where one is wanted. */
void canary_check(Template *template);

/* Whether that worker may take runs. */
bool canary_trusts(const Slot *slot);

/* For pool/supervise.c: the slot has come to SLOT_PROBING, has an answer, is leaving it. */
void canary_send(Slot *slot);
void canary_on_answer(Slot *slot);
void canary_on_end(Slot *slot);

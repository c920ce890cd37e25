#pragma once
/*
 * canary: proves that the layers of a template's workers hold, by workers that try to break out
 * (wire/probe.h): one as for runs, and where there are sessions, one as for them, and a copy of it.
 * They are made as all others are, in slots of their own that no run and no session gets. Until a
 * generation's canaries have failed in all that they tried, and have been killed for a forbidden
 * system call, none of its workers is given a run. Workers of an earlier generation that has been
 * proven go on meanwhile.
 *
 *     canary.c          which generation is tried, what follows from what its canaries say
 *     canary_probe.c    one canary: what it is asked, what its answer says
 *     canary_session.c  the one of a session: its home, and how it is copied
 *     canary_targets.c  what they try themselves on
 */

#include <stdbool.h>
#include <stdint.h>

#include "kit/cleanup.h"
#include "pool/proof.h"
#include "pool/witness.h"
#include "pool/workspace.h"

typedef struct Fork Fork;
typedef struct Place Place;
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

typedef enum TrialState {
        TRIAL_WAITS,     /* for its worker */
        TRIAL_PROBING,   /* the worker has been asked */
        TRIAL_ENDED,     /* … and has ended; what came of it has not been looked at yet */
        TRIAL_HOLDS,     /* nothing was broken */
        TRIAL_BROKEN,    /* something was, and the server goes on without that subject */
        TRIAL_IMPOSSIBLE /* there are no such workers here, or they cannot be made for now */
} TrialState;

/* Of one subject, in one generation. */
typedef struct Trial {
        ProofSubject subject;
        TrialState state;
        Slot *slot;               /* for nothing else; NULL: there are no sessions */
        bool was_asked, was_made; /* its worker has been asked for; has been ready */
        /* What its worker was told that it may have. */
        uint32_t tasks;
        uint64_t memory_bytes, file_bytes;
        bool answered;
        ProbeAnswer answer;
        Testimony testimony; /* of the kernel, before it began */
        Probe forbidden;     /* the call that it was to end with */
        int wait_status;     /* -1: killed by us, or not known */
        uint64_t sent_ns, ended_ns;
        ProofResult result;
} Trial;

/* Of one template. Zero but for the slots: nothing is proven. */
typedef struct Canary {
        unsigned generation; /* that is being tried; 0: none */
        Trial trials[_PROOFS];
        unsigned no_answers; /* canaries in a row of whom nothing can be said */
        unsigned proven, sessions_proven, copies_proven; /* the last generation; 0: none */
        /* Bit n: the generation n + 1 before that one has not been proven, and never will be. */
        uint64_t unproven, sessions_unproven, copies_unproven;
        unsigned decided;             /* the last of which all is known */
        bool is_put_off;              /* its sessions wait for room for a home */
        uint64_t home_retry_ns;       /* no other one before that … */
        uint64_t spawn_retry_ns;      /* … and no worker, of one that does not serve yet */
        ProofResult results[_PROOFS]; /* of the one that serves */
        Place *other;                 /* files of a session that is none of theirs */
        Fork *fork;                   /* the copy that is being made */
        unsigned copy_tries;
        const char *broken;          /* what the last one could do, in words; NULL: nothing */
        const char *broken_subject;  /* who: "a worker" */
        const char *sessions_broken; /* likewise, where only sessions are not served for it */
        char broken_text[160], sessions_broken_text[160];
} Canary;

/* At the end of each turn: begins with a generation that is to be proven, judges canaries that have
 * ended, asks those that are ready. */
void canary_check(Template *template);

/* Whether that worker may take runs. */
bool canary_trusts(const Slot *slot);
/* Whether that worker, of a session, may be copied. */
bool canary_trusts_copies(const Slot *slot);
/* Whether all is known of the generation that serves, its sessions among it. */
bool canary_has_decided(const Template *template);

/* Whether the slot waits for a worker, or for a cell to make one in. */
bool canary_wants(const Slot *slot);
/* One that does, and can have one made now; or NULL. */
Slot *canary_next_slot(const Template *template);
/* The generation that the slot's worker and its cell are of. */
unsigned canary_generation(const Slot *slot);
/* Whether that slot is a canary's, of a generation that does not serve yet: what it fails at is
 * nobody else's affair. */
bool canary_is_ahead(const Slot *slot);
/* At the end of the pool. */
void canary_free(Template *template);

/* For pool/spares.c: the slot's worker has been asked for. */
struct SpawnCommand;
void canary_on_spawn(Slot *slot, const struct SpawnCommand *command);

/* For pool/supervise.c: the slot has come to SLOT_PROBING, has an answer, is leaving it. */
void canary_send(Slot *slot);
void canary_on_answer(Slot *slot);
void canary_on_end(Slot *slot);

/* --- what its files share --- */

typedef enum TrialVerdict { TRIAL_SAYS_NOTHING, TRIAL_IS_STOPPED, TRIAL_GETS_OUT } TrialVerdict;

/* ret_could, ret_defenders: of TRIAL_GETS_OUT. */
TrialVerdict trial_judge(Trial *trial, const char **ret_could, LayerMask *ret_defenders);
/* Its worker goes, and its cell, home, and place; the trial waits for another one. */
void trial_drop(Trial *trial);
/* Whether nothing of the last one is there any more. */
bool trial_is_vacant(const Trial *trial);
/* Moves the canary of a session and its copy on. */
void canary_advance_sessions(Template *template);

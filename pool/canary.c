#include "pool/canary.h"

#include <stdio.h>
#include <string.h>

#include "kit/log.h"
#include "pool/internal.h"

/* A canary can be killed by somebody else, or find no time to answer. */
#define NO_ANSWERS_MAX 3

static const char *const subjects[_PROOFS] = {
        [PROOF_OF_RUNS] = "a worker",
        [PROOF_OF_SESSIONS] = "the worker of a session",
        [PROOF_OF_COPIES] = "a copy of a session",
};

static bool is_of_sessions(const Trial *trial) {
        return trial->subject != PROOF_OF_RUNS;
}

/* --- which generation --- */

static bool is_starting(const Template *template) {
        return template->next_zygote || template->next_maker;
}

/* The one that is to take over; or the one that serves, which nobody had to wait for. 0: none. Of
 * one that starts while none serves, the cells can be made beforehand. */
static unsigned wanted_generation(const Template *template) {
        if (template->next_is_ready || (!template->zygote && is_starting(template)))
                return template->next_generation;
        if (!template->zygote || template->canary.decided == template->zygote_generation)
                return 0;
        return template->zygote_generation;
}

static bool is_ahead(const Template *template) {
        return template->zygote && template->canary.generation != template->zygote_generation;
}

bool canary_is_ahead(const Slot *slot) {
        return slot->trial && is_ahead(slot->template);
}

unsigned canary_generation(const Slot *slot) {
        const Template *template = slot->template;

        return slot->trial ? template->canary.generation : template->zygote_generation;
}

static void restart(Trial *trial) {
        trial_drop(trial);
        trial->state = trial->slot ? TRIAL_WAITS : TRIAL_IMPOSSIBLE;
        trial->was_asked = trial->was_made = trial->answered = false;
        trial->result = (ProofResult){0};
}

/* A canary of a session and its copy are tried together. */
static void restart_sessions(Canary *canary) {
        restart(&canary->trials[PROOF_OF_COPIES]);
        restart(&canary->trials[PROOF_OF_SESSIONS]);
}

static void begin(Template *template, unsigned generation) {
        Canary *canary = &template->canary;

        canary->generation = generation;
        canary->no_answers = canary->copy_tries = 0;
        canary->is_put_off = false;
        restart(&canary->trials[PROOF_OF_RUNS]);
        restart_sessions(canary);
}

/* --- the verdict --- */

/* "seccomp or landlock" */
static void name_layers(LayerMask layers, const char *between, char *text, size_t size) {
        size_t used = 0;

        text[0] = '\0';
        for (unsigned i = 0; i < _LAYERS; i++) {
                if (layers & layer_bit((Layer) i) && used < size)
                        used += (size_t) snprintf(text + used, size - used, "%s%s",
                                                  used > 0 ? between : "",
                                                  layer_about((Layer) i)->name);
        }
}

/* Where less than all was asked for, runs are served all the same; but no generation takes the
 * place of one that serves more. */
static bool does_without(const Template *template, const Trial *trial) {
        const IsolationPlan *plan = template->pool->config.isolation;

        return is_of_sessions(trial) && plan && plan->mode != ISOLATION_STRICT &&
               !(is_ahead(template) && template->canary.sessions_proven > 0 &&
                 template->canary.sessions_proven == template->zygote_generation);
}

static void refuse(Template *template, Trial *trial, const char *could, const char *why) {
        Canary *canary = &template->canary;

        log_error("template %s: %s generation=%u", template->config->name, why, canary->generation);
        canary->no_answers = 0;
        if (does_without(template, trial)) {
                (void) snprintf(canary->sessions_broken_text, sizeof(canary->sessions_broken_text),
                                "%s was able to %s", subjects[trial->subject], could);
                canary->sessions_broken = canary->sessions_broken_text;
                restart_sessions(canary);
                canary->trials[PROOF_OF_SESSIONS].state = TRIAL_BROKEN;
                canary->trials[PROOF_OF_COPIES].state = TRIAL_BROKEN;
                return;
        }
        canary->broken = could;
        canary->broken_subject = subjects[trial->subject];
        generation_refuse(template, canary->generation, why);
}

static void refuse_breach(Template *template, Trial *trial, const char *could,
                          LayerMask defenders) {
        char names[256], why[512];

        name_layers(defenders, " or ", names, sizeof(names));
        (void) snprintf(why, sizeof(why), "a canary (%s) could %s, which %s must stop",
                        subjects[trial->subject], could, names);
        refuse(template, trial, could, why);
}

/* It was killed, or slow, or has said nonsense: another one is asked. */
static void count_no_answer(Template *template, Trial *trial) {
        Canary *canary = &template->canary;

        log_warning("template %s: its canary (%s) has not answered generation=%u status=%d",
                    template->config->name, subjects[trial->subject], canary->generation,
                    trial->wait_status);
        if (is_of_sessions(trial))
                restart_sessions(canary);
        else
                restart(trial);
        if (++canary->no_answers >= NO_ANSWERS_MAX)
                refuse(template, trial, "keep silent", "its canaries do not answer");
}

/* Those between it and the last one have gone without a proof, but their workers may be there. */
static void note_proven(unsigned generation, unsigned *last, uint64_t *unproven) {
        unsigned step = generation - *last;

        if (step == 0)
                return;
        *unproven = step < 64 ? *unproven << step | ((1ULL << (step - 1)) - 1) : UINT64_MAX;
        *last = generation;
}

static void trust(Template *template, Trial *trial) {
        Canary *canary = &template->canary;
        char names[256];

        trial->state = TRIAL_HOLDS;
        /* Runs need not wait for what follows. */
        if (!is_of_sessions(trial) && !is_ahead(template))
                note_proven(canary->generation, &canary->proven, &canary->unproven);
        canary->no_answers = 0;
        name_layers(trial->result.proven, ",", names, sizeof(names));
        log_info("template %s: layers hold %s generation=%u tried=%u stopped=%u canary_us=%ju "
                 "layers=%s",
                 template->config->name, subjects[trial->subject], canary->generation,
                 trial->result.tried, trial->result.stopped,
                 (uintmax_t) ((trial->ended_ns - trial->sent_ns) / NS_PER_US), names);
}

static void judge(Template *template, Trial *trial) {
        const char *could = NULL;
        LayerMask defenders = 0;

        switch (trial_judge(trial, &could, &defenders)) {
        case TRIAL_SAYS_NOTHING:
                count_no_answer(template, trial);
                break;
        case TRIAL_IS_STOPPED:
                trust(template, trial);
                break;
        case TRIAL_GETS_OUT:
                refuse_breach(template, trial, could, defenders);
                break;
        }
}

/* --- what follows --- */

/* A worker that has gone before it was asked anything. Where its like are to serve, that they
 * cannot be made is said and counted as of all workers (obstacle.c). */
static void look_for_losses(Template *template, Trial *trial) {
        Canary *canary = &template->canary;
        const Slot *slot = trial->slot;

        if (trial->state != TRIAL_WAITS || !trial->was_asked ||
            (slot->state != SLOT_EMPTY && slot->state != SLOT_RETIRING))
                return;
        trial->wait_status = -1;
        if (trial->was_made || is_ahead(template))
                count_no_answer(template, trial);
        else if (is_of_sessions(trial))
                restart_sessions(canary);
        else
                restart(trial);
}

static bool is_decided(const Trial *trial) {
        return trial->state == TRIAL_HOLDS || trial->state == TRIAL_BROKEN ||
               trial->state == TRIAL_IMPOSSIBLE;
}

static void finish(Template *template) {
        Canary *canary = &template->canary;
        const Trial *trials = canary->trials;
        unsigned generation = canary->generation;

        for (unsigned i = 0; i < _PROOFS; i++) {
                if (!is_decided(&trials[i]))
                        return;
        }
        for (unsigned i = 0; i < _PROOFS; i++)
                canary->results[i] = trials[i].result;
        note_proven(generation, &canary->proven, &canary->unproven);
        canary->decided = generation;
        canary->broken = NULL;
        if (trials[PROOF_OF_SESSIONS].state == TRIAL_HOLDS) {
                note_proven(generation, &canary->sessions_proven, &canary->sessions_unproven);
                canary->sessions_broken = NULL;
        }
        if (trials[PROOF_OF_COPIES].state == TRIAL_HOLDS)
                note_proven(generation, &canary->copies_proven, &canary->copies_unproven);
        begin(template, 0);
        if (template->next_is_ready && generation == template->next_generation)
                generation_promote(template);
}

static void ask_runs(Template *template) {
        Trial *trial = &template->canary.trials[PROOF_OF_RUNS];

        if (trial->state != TRIAL_WAITS || trial->slot->state != SLOT_IDLE)
                return;
        trial->was_made = true;
        slot_move(trial->slot, SLOT_EV_PROBE);
}

/* Returns false when the generation has been refused. */
static bool judge_all(Template *template) {
        Canary *canary = &template->canary;
        unsigned wanted = canary->generation;

        for (unsigned i = 0; i < _PROOFS; i++) {
                Trial *trial = &canary->trials[i];

                /* What gets out of a run, a session gets out of, too: that is said of runs. */
                if (is_of_sessions(trial) && !is_decided(&canary->trials[PROOF_OF_RUNS]))
                        break;
                if (trial->state == TRIAL_ENDED)
                        judge(template, trial);
                if (wanted_generation(template) != wanted)
                        return false;
        }
        for (unsigned i = 0; i < _PROOFS; i++) {
                look_for_losses(template, &canary->trials[i]);
                if (wanted_generation(template) != wanted)
                        return false;
        }
        return true;
}

void canary_check(Template *template) {
        unsigned wanted = wanted_generation(template);

        if (wanted != template->canary.generation)
                begin(template, wanted);
        if (wanted == 0 || !judge_all(template))
                return;
        ask_runs(template);
        canary_advance_sessions(template);
        finish(template);
}

/* --- what others ask --- */

/* No more than the last 64 are remembered. The workers of older ones are gone, but for those of
 * sessions, which are as others then. */
static bool is_proven(unsigned generation, unsigned last, uint64_t unproven) {
        unsigned before = last - generation;

        if (generation > last)
                return false;
        return before == 0 || before > 64 || !(unproven >> (before - 1) & 1);
}

bool canary_trusts(const Slot *slot) {
        const Canary *canary = &slot->template->canary;

        return slot->of_sessions ? is_proven(slot->generation, canary->sessions_proven,
                                             canary->sessions_unproven)
                                 : is_proven(slot->generation, canary->proven, canary->unproven);
}

bool canary_trusts_copies(const Slot *slot) {
        const Canary *canary = &slot->template->canary;

        return is_proven(slot->generation, canary->copies_proven, canary->copies_unproven);
}

bool canary_has_decided(const Template *template) {
        const Canary *canary = &template->canary;

        if (canary->proven == 0 || canary->proven != template->zygote_generation)
                return false;
        return canary->decided == template->zygote_generation || canary->is_put_off;
}

bool canary_wants(const Slot *slot) {
        const Trial *trial = slot->trial;

        return trial->state == TRIAL_WAITS && slot->template->canary.generation != 0 &&
               trial->subject != PROOF_OF_COPIES && !trial->was_asked &&
               slot->state == SLOT_EMPTY && !slot->is_given_up &&
               (trial->subject == PROOF_OF_RUNS || slot->place);
}

/* The one of a session first, as it has more to do. Not before there is somebody to be attacked. */
Slot *canary_next_slot(const Template *template) {
        const Canary *canary = &template->canary;
        bool has_neighbour = template->runs.n_states[SLOT_EMPTY] < template->config->workers;

        if (canary->generation == 0 || !has_neighbour)
                return NULL;
        for (int i = PROOF_OF_SESSIONS; i >= PROOF_OF_RUNS; i--) {
                Slot *slot = canary->trials[i].slot;

                if (slot && canary_wants(slot) && slot_has_cell(slot))
                        return slot;
        }
        return NULL;
}

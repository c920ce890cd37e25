/* What a pool says of itself. */

#include <assert.h>

#include "kit/clock.h"
#include "pool/internal.h"

int pool_find_template(const Pool *pool, Slice name) {
        if (name.size == 0)
                return 0;
        for (size_t i = 0; i < pool->config.n_templates; i++) {
                if (slice_equals(name, pool->config.templates[i].name))
                        return (int) i;
        }
        return -1;
}

const TemplateConfig *pool_template(const Pool *pool, unsigned index) {
        assert(index < pool->config.n_templates);
        return &pool->config.templates[index];
}

unsigned pool_retry_after_s(const Pool *pool) {
        /* How long what waits will take, were every slot to go on as it did on average. */
        uint64_t ms = pool->run_ns / NS_PER_MS * (pool->n_queued + 1) / pool->n_slots;
        uint64_t seconds = ms / 1000 + 1;

        return seconds < 60 ? (unsigned) seconds : 60;
}

bool pool_is_idle(const Pool *pool) {
        return pool->n_queued + pool->sessions.n_queued == 0 && pool->n_busy == 0;
}

bool pool_is_ready(const Pool *pool) {
        for (size_t i = 0; i < pool->config.n_templates; i++) {
                const Template *template = &pool->templates[i];

                /* A template whose workers are all being replaced is ready still. */
                if (!template->was_ready || template->canary.proven == 0 ||
                    (template->canary.decided == 0 && !template->canary.is_put_off) ||
                    (!template->has_run && template->runs.n_states[SLOT_IDLE] == 0 &&
                     template->runs.n_states[SLOT_TOUCHING] == 0))
                        return false;
        }
        return true;
}

/* Seen to hold by all that the generation was tried with. */
static LayerMask proven_layers(const Canary *canary) {
        LayerMask proven = canary->decided ? LAYERS_ALL : 0;

        for (unsigned i = 0; i < _PROOFS; i++) {
                if (canary->results[i].tried > 0)
                        proven &= canary->results[i].proven;
        }
        return canary->results[PROOF_OF_RUNS].tried > 0 ? proven
                                                        : canary->results[PROOF_OF_RUNS].proven;
}

static bool is_ready(const Template *template) {
        return template->zygote && template->canary.proven == template->zygote_generation;
}

void pool_template_state(const Pool *pool, unsigned index, TemplateState *ret_state) {
        const Template *template = &pool->templates[index];
        const Canary *canary = &template->canary;
        const unsigned *n = template->runs.n_states;

        *ret_state = (TemplateState){
                .ready = is_ready(template) && canary_has_decided(template),
                .layers = template->layers,
                .proven = proven_layers(canary),
                .broken = is_ready(template) ? NULL : canary->broken,
                .broken_subject = canary->broken_subject,
                .serves_sessions = template->zygote && template->pool->sessions.is_open &&
                                   canary->sessions_proven == template->zygote_generation,
                .copies_sessions = template->zygote && template->pool->sessions.is_open &&
                                   canary->copies_proven == template->zygote_generation,
                .sessions_broken = canary->sessions_broken,
                .generation = template->generations,
                .restarts = template->restarts,
                .zygote_pid = template->zygote ? zygote_pid(template->zygote) : 0,
                .doing = template->doing ? template->doing : "",
                .failure = template->failure,
                .obstacle = obstacle_of(template),
                .about = template->about ? template->about : "{}",
                .start_ms = template->start_ms,
                .workers = template->config->workers,
                .starting = n[SLOT_STARTING],
                .idle = n[SLOT_IDLE] + n[SLOT_TOUCHING],
                .touched = template->runs.idle[1].n,
                .busy = n[SLOT_BUSY],
                .retiring = n[SLOT_RETIRING],
                .queued = template->n_queued,
                .session_spares = template->sessions.n_states[SLOT_IDLE],
        };
        for (unsigned i = 0; i < _PROOFS; i++)
                ret_state->probes[i] =
                        (ProbeCount){canary->results[i].tried, canary->results[i].stopped};
}

void pool_counters(const Pool *pool, PoolCounters *ret_counters) {
        *ret_counters = pool->counters;
        ret_counters->queued = pool->n_queued + pool->sessions.n_queued;
        ret_counters->sessions = pool->sessions.n;
        ret_counters->sessions_lost = pool->sessions.n_lost;
        ret_counters->busy = pool->n_busy;
}

Chores *pool_chores(const Pool *pool) {
        return pool->chores;
}

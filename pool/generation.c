/*
 * generation: the zygotes of a template, each behind the maker of its workers' cells, whose
 * namespaces it enters. One generation serves; when one of its two processes dies or hangs, when it
 * grows old, or a reload is asked for, the next one is started beside it and takes over once it is
 * ready. Workers and cells outlive it: they are the supervisor's children.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

#define BACKOFF_FIRST_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS   (10 * NS_PER_S)

/* A zygote that served this long has not failed at its start, so its death starts no back-off. */
#define PROVEN_NS (10 * NS_PER_S)

static void set_text(char **text, const char *value) {
        char *copy = value ? strdup(value) : NULL;

        free(*text);
        *text = copy;
}

void generation_set_doing(Template *template, const char *text) {
        set_text(&template->doing, text);
}

static uint64_t backoff_ns(const Template *template) {
        uint64_t ns = BACKOFF_FIRST_NS;

        for (unsigned i = 1; i < template->failures && ns < BACKOFF_MAX_NS; i++)
                ns *= 2;
        return ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS;
}

static bool is_starting(const Template *template) {
        return template->next_zygote || template->next_maker;
}

/* Slots whose worker the dead zygote was asked for, and had not reported. If it was forked all the
 * same, it finds its pipes closed and ends; the sweep waits for it. */
static void release_unreported(Template *template, unsigned generation) {
        unsigned position = 0;
        Slot *slot;

        while ((slot = template_next_slot(template, &position))) {
                if (slot->state == SLOT_EMPTY || slot->spawn_reported ||
                    slot->generation != generation)
                        continue;
                slot->spawn_reported = true;
                slot_move(slot, SLOT_EV_EXIT);
        }
        template->pool->sweep_wanted = true;
}

/* Those with a run last: whoever hears of its end may submit another one. */
static void retire_workers(Template *template, unsigned generation) {
        unsigned position = 0;
        Slot *slot;

        while ((slot = template_next_slot(template, &position))) {
                if (slot->generation != generation || slot->state == SLOT_EMPTY ||
                    slot->state == SLOT_QUARANTINED || slot->state == SLOT_BUSY)
                        continue;
                slot->is_unwanted = slot->is_unwanted || slot->trial;
                slot_move(slot, SLOT_EV_RETIRE);
        }
        position = 0;
        while ((slot = template_next_slot(template, &position))) {
                if (slot->generation == generation && slot->state == SLOT_BUSY)
                        slot_end_run(slot, CAUSE_INTERNAL);
        }
}

static void free_next(Template *template) {
        template->next_zygote = zygote_free(template->next_zygote);
        if (template->next_is_ready) {
                retire_workers(template, template->next_generation);
                release_unreported(template, template->next_generation);
                template->next_outstanding = 0;
        }
        if (template->next_maker)
                cells_lose(template, template->next_generation);
        template->next_maker = cell_maker_free(template->next_maker);
        template->next_maker_is_ready = template->next_is_ready = false;
}

static void start_failed(Template *template, const char *why) {
        Pool *pool = template->pool;
        const char *what = template->next_is_ready ? "its next generation is not used"
                                                   : "its zygote did not start";

        free_next(template);
        /* What its program had started, such as a helper of a library that it imported, came to us
         * when it ended. */
        pool->sweep_wanted = true;
        template->failures++;
        if (why)
                set_text(&template->failure, why);
        set_text(&template->doing, "waiting to start again");
        log_error("template %s: %s: %s retry_ms=%ju", template->config->name, what,
                  template->failure ? template->failure : "it ended",
                  (uintmax_t) (backoff_ns(template) / NS_PER_MS));
        timer_set(&pool->timers, &template->zygote_timer, clock_now_ns() + backoff_ns(template));
}

static int start_maker(Template *template) {
        Pool *pool = template->pool;
        int r;

        set_text(&template->doing, "making namespaces");
        r = cell_maker_new(pool->config.python_program, template->config, template->layers,
                           pool->config.state_directory, pool->config.log_level,
                           &template->next_maker);
        if (r < 0)
                return r;
        return pool_watch(pool, cell_maker_fd(template->next_maker), SOURCE_MAKER, template->index,
                          template->next_generation);
}

static int start_zygote(Template *template) {
        Pool *pool = template->pool;
        int fds[CELLS_SHARED_MAX];
        size_t n_fds = 0;
        int r;

        set_text(&template->doing, "starting Python");
        if (template->next_maker)
                n_fds = cell_maker_shared_fds(template->next_maker, fds);
        r = zygote_new(pool->config.python_program, template->config, fds, n_fds,
                       pool->config.log_level, &template->next_zygote);
        if (r < 0)
                return r;
        return pool_watch(pool, zygote_fd(template->next_zygote), SOURCE_ZYGOTE, template->index,
                          template->next_generation);
}

static void check_started(Template *template, int r) {
        char why[512];

        if (r == 0)
                return;
        (void) snprintf(why, sizeof(why), "cannot start %s: %s",
                        template->pool->config.python_program, strerror(-r));
        start_failed(template, why);
}

static bool needs_maker(const Template *template) {
        static const Layer shared[] = CELLS_SHARED_LAYERS;
        LayerMask mask = 0;

        for (size_t i = 0; i < N_ELEMENTS(shared); i++)
                mask |= layer_bit(shared[i]);
        return template->has_cells || template->layers & mask;
}

void generation_on_maker_ready(Template *template) {
        template->next_maker_is_ready = true;
        check_started(template, start_zygote(template));
}

void generation_start(Template *template) {
        Pool *pool = template->pool;

        if (is_starting(template))
                return;
        template->reload_waits = false;
        template->next_generation = ++template->generations;
        timer_set(&pool->timers, &template->zygote_timer,
                  clock_now_ns() + pool->config.start_timeout_ms * NS_PER_MS);
        check_started(template,
                      needs_maker(template) ? start_maker(template) : start_zygote(template));
}

/* Its cells live on until the workers in them have gone. */
static void free_serving(Template *template) {
        template->zygote = zygote_free(template->zygote);
        release_unreported(template, template->zygote_generation);
        template->outstanding = 0;
        timer_clear(&template->pool->timers, &template->spawn_timer);
        if (template->maker)
                cells_lose(template, template->zygote_generation);
        template->maker = cell_maker_free(template->maker);
}

/* why: which of its two processes, and what it did. */
static void serving_died(Template *template, const char *why) {
        Pool *pool = template->pool;

        log_error("template %s: its %s generation=%u pid=%d", template->config->name, why,
                  template->zygote_generation, zygote_pid(template->zygote));
        free_serving(template);
        template->restarts++;
        if (template->next_is_ready)
                generation_promote(template);
        if (template->zygote || is_starting(template))
                return;
        if (clock_now_ns() - template->ready_ns > PROVEN_NS)
                template->failures = 0;
        if (template->failures++ == 0)
                generation_start(template);
        else
                timer_set(&pool->timers, &template->zygote_timer,
                          clock_now_ns() + backoff_ns(template));
}

void generation_on_ready(Template *template, const ZygoteReport *report) {
        template->next_is_ready = true;
        template->next_start_ms = (uint64_t) report->value;
        set_text(&template->next_about, report->text);
        set_text(&template->doing, "");
        log_info("template %s: zygote ready generation=%u pid=%d start_ms=%ju",
                 template->config->name, template->next_generation,
                 zygote_pid(template->next_zygote), (uintmax_t) template->next_start_ms);
        /* Where nothing serves, there is no reason to wait: its workers are not trusted either. */
        if (!template->zygote || template->canary.proven != template->zygote_generation)
                generation_promote(template);
}

void generation_promote(Template *template) {
        Pool *pool = template->pool;

        if (template->zygote)
                free_serving(template);
        template->zygote = take_ptr(template->next_zygote);
        template->maker = take_ptr(template->next_maker);
        template->next_maker_is_ready = template->next_is_ready = false;
        template->zygote_generation = template->next_generation;
        template->outstanding = template->next_outstanding;
        template->next_outstanding = 0;
        template->start_ms = template->next_start_ms;
        template->ready_ns = clock_now_ns();
        template->was_ready = true;
        template->spawn_retry_ns = 0;
        free(template->about);
        template->about = take_ptr(template->next_about);
        set_text(&template->failure, NULL);
        if (template->outstanding > 0)
                timer_set(&pool->timers, &template->spawn_timer,
                          clock_now_ns() + SPAWN_REPORT_TIMEOUT_NS);

        timer_clear(&pool->timers, &template->zygote_timer);
        if (pool->config.zygote_max_age_ms > 0)
                timer_set(&pool->timers, &template->zygote_timer,
                          clock_now_ns() + pool->config.zygote_max_age_ms * NS_PER_MS);
        if (template->reload_waits) {
                template->reload_waits = false;
                generation_start(template);
        }
}

void generation_failed(Template *template, bool serves, const char *why) {
        if (serves)
                serving_died(template, why);
        else
                start_failed(template, why);
}

void generation_on_hung_maker(Template *template, unsigned generation) {
        bool serves = template->maker && generation == template->zygote_generation;

        generation_failed(template, serves, "cell maker does not answer and is replaced");
}

CellMaker *generation_maker(const Template *template, unsigned *ret_generation) {
        *ret_generation =
                template->zygote ? template->zygote_generation : template->next_generation;
        if (template->zygote)
                return template->maker;
        return template->next_maker_is_ready ? template->next_maker : NULL;
}

CellMaker *generation_maker_of(const Template *template, unsigned generation) {
        if (template->zygote && generation == template->zygote_generation)
                return template->maker;
        return template->next_maker_is_ready && generation == template->next_generation
                       ? template->next_maker
                       : NULL;
}

Zygote *generation_zygote_of(const Template *template, unsigned generation) {
        if (template->zygote && generation == template->zygote_generation)
                return template->zygote;
        return template->next_is_ready && generation == template->next_generation
                       ? template->next_zygote
                       : NULL;
}

void generation_on_timer(Template *template) {
        if (is_starting(template)) {
                start_failed(template, "it was not ready in time");
                return;
        }
        /* The back-off is over, or the serving one has grown old. */
        generation_start(template);
}

void generation_on_spawn_timer(Template *template) {
        if (template->zygote && template->outstanding > 0)
                serving_died(template, "zygote does not answer and is replaced");
}

void generation_refuse(Template *template, unsigned generation, const char *why) {
        if (generation != template->zygote_generation || !template->zygote) {
                start_failed(template, why);
                return;
        }
        retire_workers(template, generation);
        free_serving(template);
        if (is_starting(template))
                set_text(&template->failure, why);
        else
                start_failed(template, why);
}

void generation_stop(Template *template) {
        free_next(template);
        template->zygote = zygote_free(template->zygote);
        if (template->maker)
                cells_lose(template, template->zygote_generation);
        template->maker = cell_maker_free(template->maker);
        free(template->doing);
        free(template->failure);
        free(template->about);
        free(template->next_about);
        obstacle_forget(template);
        template->doing = template->failure = template->about = template->next_about = NULL;
}

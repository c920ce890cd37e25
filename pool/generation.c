/*
 * generation: the zygotes of a template. One serves; when it dies, hangs, grows old, or a reload is
 * asked for, the next one is started beside it and takes over once it is ready. Workers outlive
 * their zygote: they are the supervisor's children.
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

static uint64_t backoff_ns(const Template *template) {
        uint64_t ns = BACKOFF_FIRST_NS;

        for (unsigned i = 1; i < template->failures && ns < BACKOFF_MAX_NS; i++)
                ns *= 2;
        return ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS;
}

static void start_failed(Template *template, const char *why) {
        Pool *pool = template->pool;

        template->next_zygote = zygote_free(template->next_zygote);
        template->failures++;
        if (why)
                set_text(&template->failure, why);
        set_text(&template->doing, "waiting to start again");
        log_error("template %s: its zygote did not start: %s retry_ms=%ju", template->config->name,
                  template->failure ? template->failure : "it ended",
                  (uintmax_t) (backoff_ns(template) / NS_PER_MS));
        timer_set(&pool->timers, &template->zygote_timer, clock_now_ns() + backoff_ns(template));
}

void generation_start(Template *template) {
        Pool *pool = template->pool;
        uint64_t now_ns = clock_now_ns();
        int r;

        if (template->next_zygote)
                return;
        template->next_generation = ++template->generations;
        set_text(&template->doing, "starting Python");
        r = zygote_new(pool->config.python_program, template->config, pool->config.log_level,
                       &template->next_zygote);
        if (r == 0)
                r = pool_watch(pool, zygote_fd(template->next_zygote), SOURCE_ZYGOTE,
                               template->index, template->next_generation);
        if (r < 0) {
                char why[512];

                (void) snprintf(why, sizeof(why), "cannot start %s: %s",
                                pool->config.python_program, strerror(-r));
                start_failed(template, why);
                return;
        }
        timer_set(&pool->timers, &template->zygote_timer,
                  now_ns + pool->config.start_timeout_ms * NS_PER_MS);
}

/* Slots whose worker the dead zygote was asked for, and had not reported. If it was forked all the
 * same, it finds its pipes closed and ends; the sweep waits for it. */
static void release_unreported(Template *template, unsigned generation) {
        for (unsigned i = 0; i < template->config->workers; i++) {
                Slot *slot = &template->slots[i];

                if (slot->state == SLOT_EMPTY || slot->spawn_reported ||
                    slot->generation != generation)
                        continue;
                slot->spawn_reported = true;
                slot_move(slot, SLOT_EV_EXIT);
        }
        template->outstanding = 0;
        timer_clear(&template->pool->timers, &template->spawn_timer);
        template->pool->sweep_wanted = true;
}

static void serving_died(Template *template, const char *why) {
        Pool *pool = template->pool;

        log_error("template %s: its zygote %s generation=%u pid=%d", template->config->name, why,
                  template->zygote_generation, zygote_pid(template->zygote));
        template->zygote = zygote_free(template->zygote);
        release_unreported(template, template->zygote_generation);
        template->restarts++;
        if (template->next_zygote)
                return;
        if (clock_now_ns() - template->ready_ns > PROVEN_NS)
                template->failures = 0;
        if (template->failures++ == 0)
                generation_start(template);
        else
                timer_set(&pool->timers, &template->zygote_timer,
                          clock_now_ns() + backoff_ns(template));
}

static void promote(Template *template, const ZygoteReport *report) {
        Pool *pool = template->pool;

        if (template->zygote) {
                template->zygote = zygote_free(template->zygote);
                release_unreported(template, template->zygote_generation);
        }
        template->zygote = take_ptr(template->next_zygote);
        template->zygote_generation = template->next_generation;
        template->start_ms = (uint64_t) report->value;
        template->ready_ns = clock_now_ns();
        template->was_ready = true;
        template->spawn_retry_ns = 0;
        set_text(&template->about, report->text);
        set_text(&template->doing, "");
        set_text(&template->failure, NULL);
        log_info("template %s: zygote ready generation=%u pid=%d start_ms=%ju",
                 template->config->name, template->zygote_generation, zygote_pid(template->zygote),
                 (uintmax_t) template->start_ms);

        timer_clear(&pool->timers, &template->zygote_timer);
        if (pool->config.zygote_max_age_ms > 0)
                timer_set(&pool->timers, &template->zygote_timer,
                          clock_now_ns() + pool->config.zygote_max_age_ms * NS_PER_MS);
        if (template->reload_waits) {
                template->reload_waits = false;
                generation_start(template);
        }
}

static void on_spawn_report(Template *template, const ZygoteReport *report) {
        Pool *pool = template->pool;
        Slot *slot;

        if (report->slot >= pool->n_slots || pool->slots[report->slot].template != template ||
            template->outstanding == 0 || pool->slots[report->slot].spawn_reported) {
                serving_died(template, "reported a worker that nobody asked for");
                return;
        }
        slot = &pool->slots[report->slot];
        slot->spawn_reported = true;
        template->outstanding--;
        timer_clear(&pool->timers, &template->spawn_timer);
        if (template->outstanding > 0)
                timer_set(&pool->timers, &template->spawn_timer,
                          clock_now_ns() + SPAWN_REPORT_TIMEOUT_NS);

        if (report->kind == ZYGOTE_SPAWN_FAILED) {
                log_warning("template %s: cannot fork a worker: %s", template->config->name,
                            strerror((int) report->value));
                template->spawn_retry_ns = clock_now_ns() + 100 * NS_PER_MS;
                slot_move(slot, SLOT_EV_EXIT);
                return;
        }
        /* Its result pipe is watched from now on only: it may be ready before the zygote has said
         * which process it is. */
        if (worker_attach(&slot->worker, (pid_t) report->value) < 0 ||
            pool_watch(pool, slot->worker.pidfd, SOURCE_EXIT, slot->number, 0) < 0 ||
            (slot->worker.result_fd >= 0 &&
             pool_watch(pool, slot->worker.result_fd, SOURCE_RESULT, slot->number, 0) < 0)) {
                /* It cannot be supervised. Its pipes close, so it ends; the sweep waits for it. */
                worker_kill(&slot->worker);
                pool->sweep_wanted = true;
                slot_move(slot, SLOT_EV_EXIT);
                return;
        }
        /* It was given up while it was on its way. */
        if (slot->state == SLOT_RETIRING)
                worker_kill(&slot->worker);
}

static void on_report(Template *template, bool serves, const ZygoteReport *report) {
        switch ((ZygoteReportKind) report->kind) {
        case ZYGOTE_PROGRESS:
                set_text(&template->doing, report->text);
                log_info("template %s: %s after_ms=%jd", template->config->name, report->text,
                         (intmax_t) report->value);
                return;
        case ZYGOTE_READY:
                if (!serves)
                        promote(template, report);
                return;
        case ZYGOTE_FAILED:
                if (serves)
                        serving_died(template, report->text);
                else
                        start_failed(template, report->text);
                return;
        case ZYGOTE_SPAWNED:
        case ZYGOTE_SPAWN_FAILED:
                if (serves)
                        on_spawn_report(template, report);
                return;
        }
        log_warning("template %s: its zygote sent an unknown report", template->config->name);
}

void generation_on_report(Template *template, unsigned generation) {
        /* Large, and one thread only. */
        static ZygoteReport report;

        for (;;) {
                bool serves = template->zygote && generation == template->zygote_generation;
                Zygote *zygote = serves ? template->zygote : template->next_zygote;
                int r;

                if (!zygote || (!serves && generation != template->next_generation))
                        return;
                r = zygote_receive(zygote, &report);
                if (r == ZYGOTE_NO_REPORT)
                        return;
                if (r == ZYGOTE_REPORT) {
                        on_report(template, serves, &report);
                        continue;
                }
                if (serves)
                        serving_died(template, "has died");
                else
                        start_failed(template, "it ended without saying why; see the log above");
                return;
        }
}

void generation_on_timer(Template *template) {
        if (template->next_zygote) {
                start_failed(template, "it was not ready in time");
                return;
        }
        /* The back-off is over, or the serving one has grown old. */
        generation_start(template);
}

void generation_on_spawn_timer(Template *template) {
        if (template->zygote && template->outstanding > 0)
                serving_died(template, "does not answer and is replaced");
}

void generation_stop(Template *template) {
        template->zygote = zygote_free(template->zygote);
        template->next_zygote = zygote_free(template->next_zygote);
        free(template->doing);
        free(template->failure);
        free(template->about);
        template->doing = template->failure = template->about = NULL;
}

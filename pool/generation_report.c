/* generation_report: what zygotes and cell makers say, and what follows from it. */

#include <stdio.h>
#include <string.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* Of the next one, all that it has to do is bounded by the time that it may take to start. */
static void count_report(Template *template, bool serves) {
        Pool *pool = template->pool;

        if (!serves) {
                template->next_outstanding--;
                return;
        }
        template->outstanding--;
        timer_clear(&pool->timers, &template->spawn_timer);
        if (template->outstanding > 0)
                timer_set(&pool->timers, &template->spawn_timer,
                          clock_now_ns() + SPAWN_REPORT_TIMEOUT_NS);
}

static void on_spawn_report(Template *template, bool serves, const ZygoteReport *report) {
        Pool *pool = template->pool;
        unsigned generation = serves ? template->zygote_generation : template->next_generation;
        Slot *slot = report->slot < pool->n_slots ? &pool->slots[report->slot] : NULL;

        if (!slot || slot->template != template || slot->spawn_reported ||
            slot->generation != generation ||
            (serves ? template->outstanding : template->next_outstanding) == 0) {
                generation_failed(template, serves,
                                  "zygote reported a worker that nobody asked for");
                return;
        }
        slot->spawn_reported = true;
        count_report(template, serves);

        if (report->kind == ZYGOTE_SPAWN_FAILED) {
                log_warning("template %s: cannot fork a worker: %s", template->config->name,
                            strerror((int) report->value));
                /* ENOMEM: also when the keeper of its cell has just died; the cell is made anew. */
                slot_has_failed(slot);
                slot_move(slot, SLOT_EV_EXIT);
                return;
        }
        /* Its result pipe is watched from now on only: it may be ready before the zygote has said
         * which process it is. */
        if (worker_attach(&slot->worker, (pid_t) report->value) < 0 ||
            pool_watch(pool, slot->worker.pidfd, SOURCE_EXIT, slot->number, 0) < 0 ||
            (slot->worker.result_fd >= 0 &&
             pool_watch(pool, slot->worker.result_fd, SOURCE_RESULT, slot->number, 0) < 0) ||
            (slot->worker.control_fd >= 0 &&
             pool_watch(pool, slot->worker.control_fd, SOURCE_CONTROL, slot->number, 0) < 0)) {
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
                generation_set_doing(template, report->text);
                log_info("template %s: %s after_ms=%jd", template->config->name, report->text,
                         (intmax_t) report->value);
                return;
        case ZYGOTE_READY:
                if (!serves && !template->next_is_ready)
                        generation_on_ready(template, report);
                return;
        case ZYGOTE_FAILED:
                generation_failed(template, serves, serves ? "zygote cannot go on" : report->text);
                return;
        case ZYGOTE_SPAWNED:
        case ZYGOTE_SPAWN_FAILED:
                if (serves || template->next_is_ready)
                        on_spawn_report(template, serves, report);
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
                generation_failed(template, serves,
                                  serves ? "zygote has died"
                                         : "it ended without saying why; see the log above");
                return;
        }
}

static void on_maker_report(Template *template, bool serves, unsigned generation,
                            const CellReport *report, int *fds) {
        char why[256];

        switch ((CellReportKind) report->kind) {
        case CELLS_READY:
                if (serves || template->next_maker_is_ready)
                        break;
                generation_on_maker_ready(template);
                return;
        case CELLS_FAILED:
                (void) snprintf(why, sizeof(why), "cell maker: %s: %s", report->text,
                                strerror(report->error));
                if (!serves)
                        obstacle_note(template, slice_of_text(why), true);
                generation_failed(template, serves, why);
                return;
        case CELL_STARTED:
        case CELL_MADE:
        case CELL_FAILED:
                if (cells_on_report(template, generation, report, fds) == 0)
                        return;
                break;
        }
        generation_failed(template, serves, "cell maker reported what it may not report");
}

void generation_on_cells(Template *template, unsigned generation) {
        for (;;) {
                CellReport report;
                bool serves = template->maker && generation == template->zygote_generation;
                CellMaker *maker = serves ? template->maker : template->next_maker;
                int fds[_CELL_FDS];
                int r;

                if (!maker || (!serves && generation != template->next_generation))
                        return;
                r = cell_maker_receive(maker, &report, fds);
                if (r == CELL_MAKER_NO_REPORT)
                        return;
                if (r != CELL_MAKER_REPORT) {
                        generation_failed(template, serves, "cell maker has died");
                        return;
                }
                on_maker_report(template, serves, generation, &report, fds);
        }
}

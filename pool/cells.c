/* cells: asks for the cells of the slots, hears of them, ends them: carries out what cell.c
 * decides.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* Cells that a maker may have before it, of one template. They are made beside one another: the
 * maker only forks, and each keeper mounts for itself. */
#define OUTSTANDING_MAX 4

/* Making one takes a third of a millisecond. A maker that has not made it after this does not run.
 */
#define MAKING_TIMEOUT_NS (2 * NS_PER_S)

/* A cell that has not gone this long after its keeper was killed costs its slot. */
#define ENDING_TIMEOUT_NS (5 * NS_PER_S)

bool slot_has_cell(const Slot *slot) {
        const Template *template = slot->template;

        return !template->has_cells ||
               (slot->cell.state == CELL_READY && slot->cell.generation == canary_generation(slot));
}

/* --- the actions --- */

/* Whoever closes the last descriptor of a tmpfs frees all that is in it, and there is no telling
 * whether the keeper has gone before us once it has been killed. */
static void close_descriptors(Slot *slot, bool keeper_lives) {
        Janitor *janitor = slot->template->pool->workspace.janitor;

        for (int i = 0; i < _CELL_FDS; i++) {
                if (keeper_lives)
                        close_fd(&slot->cell.fds[i]);
                else if (slot->cell.fds[i] >= 0)
                        janitor_close(janitor, take_fd(slot->cell.fds[i]));
        }
}

static void kill_cell(Slot *slot) {
        close_descriptors(slot, !slot->cell.keeper_killed);
        cell_kill_keeper(&slot->cell);
        slot->cell.keeper_killed = true;
        timer_set(&slot->template->pool->timers, &slot->cell.timer,
                  clock_now_ns() + ENDING_TIMEOUT_NS);
}

static void forget(Slot *slot) {
        Cell *cell = &slot->cell;

        timer_clear(&slot->template->pool->timers, &cell->timer);
        close_descriptors(slot, false);
        close_fd(&cell->keeper_pidfd);
        cell->keeper_pid = 0;
        cell->keeper_killed = false;
}

static void on_usable(Slot *slot) {
        Cell *cell = &slot->cell;

        timer_clear(&slot->template->pool->timers, &cell->timer);
        if (slot->is_given_up)
                session_slot_give_up(slot);
        else if (slot->template->has_cell_folders &&
                 cell_measure(cell, &cell->clean_bytes, &cell->clean_inodes) < 0)
                slot_end_cell(slot);
}

static void watch(Slot *slot, pid_t pid);

static void act(Slot *slot, CellAction action, const CellReport *report, int *fds) {
        Pool *pool = slot->template->pool;

        switch (action) {
        case CELL_FORBIDDEN:
        case _CELL_ACTIONS:
                assert(!"a pair of state and event that nobody has decided about");
                break;
        case CELL_DO_NOTHING:
        case CELL_REFUSE:
                break;
        case CELL_AWAIT:
                timer_set(&pool->timers, &slot->cell.timer, clock_now_ns() + MAKING_TIMEOUT_NS);
                break;
        case CELL_WATCH:
                watch(slot, (pid_t) report->value);
                break;
        case CELL_TAKE:
                for (int i = 0; i < _CELL_FDS; i++)
                        slot->cell.fds[i] = take_fd(fds[i]);
                break;
        case CELL_KILL:
                kill_cell(slot);
                break;
        case CELL_FORGET_UNNAMED:
                pool->sweep_wanted = true;
                forget(slot);
                break;
        case CELL_FORGET:
                forget(slot);
                break;
        }
}

/* --- the move --- */

static bool is_outstanding(CellState state) {
        return state == CELL_ASKED || state == CELL_NAMED;
}

/* Returns what was to be done, and has been. */
static CellAction move_with(Slot *slot, CellEvent event, const CellReport *report, int *fds) {
        Template *template = slot->template;
        Cell *cell = &slot->cell;
        CellState before = cell->state;
        CellMove move = cell_next(before, event);

        log_debug("cell of slot %u: %s -> %s (%s) keeper=%d", slot->number, cell_state_name(before),
                  cell_state_name(move.next), cell_event_name(event), cell->keeper_pid);
        assert(move.action != CELL_FORBIDDEN);
        cell->state = move.next;
        template->cells_outstanding += (unsigned) is_outstanding(move.next);
        template->cells_outstanding -= (unsigned) is_outstanding(before);
        /* A child of ours may be about that we do not know yet. */
        template->cells_unnamed += (unsigned) (move.next == CELL_ASKED);
        template->cells_unnamed -= (unsigned) (before == CELL_ASKED);
        act(slot, move.action, report, fds);
        if (before != CELL_READY && move.next == CELL_READY && cell->state == CELL_READY)
                on_usable(slot);
        if (cell->state == CELL_ABSENT && slot->is_given_up)
                session_slot_give_up(slot);
        else if (cell->state == CELL_ABSENT)
                session_slot_try_free(slot);
        return move.action;
}

static void cell_move(Slot *slot, CellEvent event) {
        (void) move_with(slot, event, NULL, NULL);
}

static void watch(Slot *slot, pid_t pid) {
        Pool *pool = slot->template->pool;
        Cell *cell = &slot->cell;

        if (cell_watch_keeper(cell, pid) == 0 &&
            pool_watch(pool, cell->keeper_pidfd, SOURCE_KEEPER, slot->number, 0) == 0)
                return;
        /* Out of descriptors. It cannot be supervised, so it ends; the sweep waits for it. */
        cell_kill_keeper(cell);
        pool->sweep_wanted = true;
        cell_move(slot, CELL_EV_EXIT);
        slot_has_failed(slot);
}

/* --- asking --- */

static int ask(Slot *slot, CellMaker *maker, unsigned generation) {
        const LimitPolicy *limits = &slot->template->config->limits;
        CellCommand command = {
                .kind = CELL_MAKE,
                .slot = slot->number,
                .uid = slot->uid != 0 ? slot->uid : geteuid(),
                .gid = slot->uid != 0 ? slot->uid : getegid(),
                .size_bytes = limits_cell_bytes(limits),
                .inodes = limits_cell_inodes(limits),
        };
        int r;

        if (slot->place)
                (void) snprintf(command.home, sizeof(command.home), "%s",
                                slot->place->shared->home.name);
        r = cell_maker_ask(maker, &command);
        if (r < 0)
                return r;
        slot->cell.generation = generation;
        cell_move(slot, CELL_EV_ASK);
        return 0;
}

/* Returns false when no more can be asked for now. */
static bool refill(Template *template, const SlotList *empty, CellMaker *maker,
                   unsigned generation) {
        Pool *pool = template->pool;

        for (Slot *slot = slot_list_first(empty); slot; slot = slot->next) {
                /* One of sessions waits for its cell, or for the copies in it, to go. */
                if (slot->of_sessions && (!slot->place || slot->host || slot->is_given_up))
                        continue;
                if (slot->trial && !canary_wants(slot)) {
                        if (slot->cell.state == CELL_READY)
                                cell_move(slot, CELL_EV_END);
                        continue;
                }
                if (slot->cell.state == CELL_READY && slot->cell.generation != generation)
                        cell_move(slot, CELL_EV_END);
                /* A sweep takes every unknown child for a stray, so none may be on its way. */
                if (!maker || slot->cell.state != CELL_ABSENT || pool->sweep_wanted ||
                    template->cells_outstanding >= OUTSTANDING_MAX)
                        continue;
                if (template->spawn_retry_ns > 0 && clock_now_ns() < template->spawn_retry_ns) {
                        pool_wake_at(pool, template->spawn_retry_ns);
                        return false;
                }
                if (ask(slot, maker, generation) < 0) {
                        pool_wake_at(pool, clock_now_ns() + 100 * NS_PER_MS);
                        return false;
                }
        }
        return true;
}

void cells_refill(Template *template) {
        unsigned generation, tried = template->canary.generation;
        CellMaker *maker = generation_maker(template, &generation);
        CellMaker *of_canaries = generation_maker_of(template, tried);

        if (!template->has_cells)
                return;
        /* First, as runs wait for them. */
        if (!refill(template, &template->canaries.empty, of_canaries, tried) || !maker)
                return;
        if (refill(template, &template->runs.empty, maker, generation))
                (void) refill(template, &template->sessions.empty, maker, generation);
}

/* --- ending --- */

void slot_end_cell(Slot *slot) {
        cell_move(slot, CELL_EV_END);
}

void slot_kill_tree(Slot *slot) {
        worker_kill(&slot->worker);
        if (!slot->template->ends_cells || slot->cell.state != CELL_READY)
                return;
        /* The cell's folders are still to be looked at. */
        cell_kill_keeper(&slot->cell);
        slot->cell.keeper_killed = true;
}

void slot_clean_cell(Slot *slot) {
        Template *template = slot->template;
        int r = 0;

        if (slot->cell.state != CELL_READY)
                return;
        if (slot->of_sessions || slot->trial) {
                if (slot->n_guests == 0)
                        slot_end_cell(slot);
                return;
        }
        if (template->has_cell_folders && slot->was_ready && !template->ends_cells)
                r = cell_empty(&slot->cell, false);
        if (r < 0)
                log_debug("the cell of slot %u is made anew: %s", slot->number, strerror(-r));
        /* What a worker that never came up has left may be what keeps the next one from it. */
        if (r < 0 || !slot->was_ready || template->ends_cells)
                slot_end_cell(slot);
}

void cells_lose(Template *template, unsigned generation) {
        unsigned position = 0;
        Slot *slot;

        while (template->has_cells && (slot = template_next_slot(template, &position))) {
                if (slot->cell.generation == generation)
                        cell_move(slot, CELL_EV_LOST);
        }
}

void slot_free_cell(Slot *slot) {
        Cell *cell = &slot->cell;

        /* Its files may take long to go; there is no hurry any more. */
        cell_kill_keeper(cell);
        for (int i = 0; i < _CELL_FDS; i++)
                close_fd(&cell->fds[i]);
        close_fd(&cell->keeper_pidfd);
        /* From here on it is a stray, which the sweep waits for. */
        cell->keeper_pid = 0;
}

/* --- what happens --- */

static CellEvent event_of(const CellReport *report) {
        if (report->kind == CELL_STARTED)
                return CELL_EV_NAMED;
        return report->kind == CELL_MADE ? CELL_EV_MADE : CELL_EV_FAILED;
}

int cells_on_report(Template *template, unsigned generation, const CellReport *report, int *fds) {
        Pool *pool = template->pool;
        Slot *slot = report->slot < pool->n_slots ? &pool->slots[report->slot] : NULL;
        CellAction action = CELL_REFUSE;

        if (slot && slot->template == template && slot->cell.generation == generation) {
                if (report->kind == CELL_FAILED) {
                        char why[256];

                        (void) snprintf(why, sizeof(why), "%s: %s", report->text,
                                        strerror(report->error));
                        log_error("template %s: no cell for slot %u: %s", template->config->name,
                                  slot->number, why);
                        slot_note_obstacle(slot, slice_of_text(why));
                        slot_has_failed(slot);
                }
                action = move_with(slot, event_of(report), report, fds);
        }
        for (int i = 0; i < _CELL_FDS; i++)
                close_fd(&fds[i]);
        return action == CELL_REFUSE ? -EPROTO : 0;
}

/* A keeper ends when it is told to. If it ends otherwise, something has killed it, and with it the
 * worker, whose exit has been heard of before: the kernel keeps the first process of a pid
 * namespace until all others have been waited for. */
static void on_unwanted_exit(Slot *slot) {
        log_warning("keeper of slot %u has died by itself", slot->number);
        if (slot->state == SLOT_BUSY)
                slot_end_run(slot, CAUSE_INTERNAL);
        else if (slot->state != SLOT_EMPTY && slot->state != SLOT_RETIRING &&
                 slot->state != SLOT_QUARANTINED)
                slot_move(slot, SLOT_EV_RETIRE);
}

void slot_on_keeper_exit(Slot *slot) {
        CellState before;

        /* What it has said before it died is heard first. */
        if (slot->cell.state == CELL_NAMED)
                generation_on_cells(slot->template, slot->cell.generation);
        if (slot->cell.keeper_pid == 0 || cell_wait_keeper(&slot->cell) == 0)
                return;
        before = slot->cell.state;
        cell_move(slot, CELL_EV_EXIT);
        if (before == CELL_NAMED)
                slot_has_failed(slot);
        else if (before == CELL_READY)
                on_unwanted_exit(slot);
        else if (slot->state == SLOT_RETIRING && slot_worker_is_gone(slot))
                slot_move(slot, SLOT_EV_EXIT);
}

void slot_on_cell_timer(Slot *slot) {
        Pool *pool = slot->template->pool;

        if (slot->cell.state != CELL_ENDING) {
                generation_on_hung_maker(slot->template, slot->cell.generation);
                return;
        }
        /* It waits for its worker, and so does the slot. */
        if (!slot_worker_is_gone(slot)) {
                kill_cell(slot);
                return;
        }
        log_error("slot %u is given up: keeper %d of its cell was killed and is still there",
                  slot->number, slot->cell.keeper_pid);
        pool->counters.quarantined++;
        if (slot->state == SLOT_RETIRING)
                slot_move(slot, SLOT_EV_EXIT);
        slot_move(slot, SLOT_EV_DIRTY);
}

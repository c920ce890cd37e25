/* retire: how a worker leaves its slot, and the slot is made empty for the next one. */

#include <errno.h>
#include <string.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* A killed process that is not gone after this is complained about, and killed again. */
#define RETIRE_TIMEOUT_NS (5 * NS_PER_S)

void slot_kill_worker(Slot *slot) {
        Pool *pool = slot->template->pool;

        worker_kill(&slot->worker);
        slot_kill_cgroup(slot);
        /* Nothing that it says is heard any more. If it has not even been reported by the zygote,
         * it reads the end of its request pipe as soon as it comes up, and ends by itself. */
        worker_close_pipes(&slot->worker);
        timer_set(&pool->timers, &slot->timer, clock_now_ns() + RETIRE_TIMEOUT_NS);
        if (slot->template->ends_cells)
                slot_end_cell(slot);
}

void slot_forget_run(Slot *slot) {
        for (int i = 0; i < _RUN_STREAMS; i++)
                output_done(&slot->output[i]);
        result_reader_clear(&slot->result);
}

/* Its folders are made anew when the worker never came up: perhaps because something is wrong with
 * them. */
static int empty_folders(Slot *slot) {
        Pool *pool = slot->template->pool;
        int r;

        if (slot->was_ready) {
                r = workspace_empty_slot(&pool->workspace, &slot->folders, slot->uid);
                if (r == 0)
                        return 0;
        }
        return workspace_remake_slot(&pool->workspace, slot->number, slot->uid, &slot->folders);
}

/* What is short comes back; then the slot's folders are made before its next worker. */
static bool is_shortage(int error) {
        return error == -ENOSPC || error == -EDQUOT || error == -EMFILE || error == -ENFILE ||
               error == -ENOMEM;
}

void slot_release(Slot *slot) {
        Template *template = slot->template;
        Pool *pool = template->pool;
        int r;

        timer_clear(&pool->timers, &slot->timer);
        /* That a session cannot be copied is its own affair. */
        if (!slot->was_ready && !slot->is_unwanted && slot->worker.pid > 0 && !slot->host)
                slot_has_failed(slot);
        worker_close(&slot->worker);
        slot_forget_run(slot);
        if (template->config->subprocesses && !(template->layers & layer_bit(LAYER_PID_NAMESPACE)))
                pool->sweep_wanted = true;
        slot->touched = false;
        slot_forget_out_of_memory(slot);
        slot_clean_cell(slot);
        if (slot->of_sessions) {
                slot->was_ready = false;
                session_slot_release(slot);
                return;
        }
        r = template->has_cell_folders ? 0 : empty_folders(slot);
        if (is_shortage(r)) {
                log_warning("slot %u waits for folders: %s", slot->number, strerror(-r));
        } else if (r < 0) {
                log_error("slot %u is given up: its folders cannot be emptied", slot->number);
                pool->counters.quarantined++;
                slot_move(slot, SLOT_EV_DIRTY);
        }
        slot->was_ready = false;
}

int slot_empty_in_place(Slot *slot) {
        if (slot->template->has_cell_folders)
                return cell_empty(&slot->cell, true);
        return workspace_empty_slot_in_place(&slot->template->pool->workspace, &slot->folders);
}

bool slot_worker_is_gone(const Slot *slot) {
        return slot->worker.pid == 0 && slot->spawn_reported;
}

void slot_leave(Slot *slot, bool was_killed) {
        bool by_us = slot->state == SLOT_RETIRING;

        if (!slot->was_ready && !slot->is_unwanted && !slot->host)
                slot_has_failed(slot);
        worker_close(&slot->worker);
        if (slot->template->ends_cells && !by_us)
                slot_move(slot, slot->state == SLOT_BUSY ? SLOT_EV_END : SLOT_EV_RETIRE);
        if (slot->state == SLOT_RETIRING && slot->cell.state == CELL_ENDING) {
                timer_clear(&slot->template->pool->timers, &slot->timer);
                return;
        }
        slot_move(slot, SLOT_EV_EXIT);
        /* Killed by whom? Perhaps its keeper has died before it. If copies live in the cell, none
         * is made in it but theirs, and they tell by their own ends. */
        if (was_killed && !by_us && slot->n_guests == 0)
                slot_end_cell(slot);
}

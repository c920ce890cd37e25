/* hear: what workers say on their result pipes, turned into events. */

#include <errno.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/log.h"
#include "pool/internal.h"

#define RESULT_CHUNK 16384

/* As much as one turn reads from one worker, so that a flood does not keep others waiting; and more
 * than a pipe can hold (/proc/sys/fs/pipe-max-size, 1 MiB as a rule), so that what a worker has
 * said before it died is read in the turn that hears of its death. */
#define RESULT_BYTES_PER_TURN (2U << 20)

/* Of what a worker says that it could not be prepared for. */
#define FAILURE_BYTES_MAX 400

static void on_ready(Slot *slot) {
        /* Made new after a run under `reset`: the folders are ours to empty, with the process
         * standing in them. */
        if (slot->was_ready) {
                if (slot_empty_in_place(slot) < 0) {
                        slot_move(slot, SLOT_EV_RETIRE);
                        return;
                }
        } else {
                /* A copy has its source's: what that has taken since counts for both. */
                if (!slot->result.is_copy)
                        meter_baseline(&slot->worker.meter);
                slot->baseline_cpu_ns =
                        slot->of_sessions ? meter_life_cpu_ns(&slot->worker.meter) : 0;
        }
        slot->was_ready = true;
        spares_worker_is_ready(slot->template);
        slot_move(slot, slot->result.bytes.size > slot->result.parsed ? SLOT_EV_VIOLATION
                                                                      : SLOT_EV_READY);
}

static void on_end(Slot *slot) {
        /* What it has not read of this run's request, it would take for the next one's; and what it
         * writes to a stream that it has closed is lost. */
        bool keeps = slot->template->config->recycle == RECYCLE_RESET &&
                     slot->message_sent >= slot->run->message.size;

        if (!slot_settle(slot))
                return;
        if (slot->of_sessions) {
                slot_move(slot, slot->session && !slot->session->forgets &&
                                                slot->message_sent >= slot->run->message.size
                                        ? SLOT_EV_END_HELD
                                        : SLOT_EV_END);
                return;
        }
        keeps = keeps && slot->worker.stream_fds[RUN_STDOUT] >= 0 &&
                slot->worker.stream_fds[RUN_STDERR] >= 0;
        slot_move(slot, keeps && slot->cause == CAUSE_NONE ? SLOT_EV_END_KEPT : SLOT_EV_END);
}

static void on_violation(Slot *slot) {
        Slice failure = result_failure(&slot->result);

        if (slot->state == SLOT_BUSY) {
                slot_end_run(slot, CAUSE_PROTOCOL);
                return;
        }
        if (failure.size > FAILURE_BYTES_MAX)
                failure.size = FAILURE_BYTES_MAX;
        if (slot->state == SLOT_STARTING && failure.size > 0 && !slot->host) {
                log_error("worker %d of slot %u cannot be prepared: %.*s", slot->worker.pid,
                          slot->number, (int) failure.size, (const char *) failure.data);
                slot_note_obstacle(slot, failure);
        } else {
                log_warning("worker %d of slot %u sent what it may not send while %s",
                            slot->worker.pid, slot->number, slot_state_name(slot->state));
        }
        slot_move(slot, SLOT_EV_VIOLATION);
}

/* Pages that were touched for a run are no memory that the run has taken. */
static void on_touched_or_probed(Slot *slot, SlotEvent event) {
        if (event == SLOT_EV_TOUCHED)
                meter_baseline(&slot->worker.meter);
        slot_move(slot, event);
}

/* What was printed before it goes first. */
static void on_display(Slot *slot) {
        slot_reach_place(slot, result_last_place(&slot->result));
        if (slot->state == SLOT_BUSY && slot->run->callbacks.display)
                slot->run->callbacks.display(slot->run->data, result_last_display(&slot->result));
}

/* Handles the frames that have been read. Returns false when no more is to be read. */
static bool handle_frames(Slot *slot) {
        for (;;) {
                SlotState state = slot->state;
                SlotEvent event;
                unsigned kind;

                switch (result_next(&slot->result, state, &kind, &event)) {
                case RESULT_NEXT_NONE:
                        return true;
                case RESULT_NEXT_PART:
                        if (kind == RESULT_DISPLAY)
                                on_display(slot);
                        /* A callback may have cancelled the run. */
                        if (slot->state != SLOT_BUSY)
                                return false;
                        continue;
                case RESULT_NEXT_EVENT:
                        break;
                }
                if (event == SLOT_EV_READY)
                        on_ready(slot);
                else if (event == SLOT_EV_END)
                        on_end(slot);
                else if (event == SLOT_EV_VIOLATION)
                        on_violation(slot);
                else
                        on_touched_or_probed(slot, event);
                /* A state that hears nothing may have been reached. */
                if (slot->worker.result_fd < 0)
                        return false;
        }
}

/* Returns whether something was read, and more may be there. */
static bool hear(Slot *slot) {
        Pool *pool = slot->template->pool;
        size_t taken = 0;

        while (taken < RESULT_BYTES_PER_TURN) {
                Buffer *bytes = &slot->result.bytes;
                size_t room;
                ssize_t n;
                int r;

                if (slot->worker.result_fd < 0)
                        return false;
                r = buffer_reserve(bytes, RESULT_CHUNK);
                if (r < 0) {
                        if (slot->state == SLOT_BUSY)
                                slot_end_run(slot,
                                             r == -EMSGSIZE ? CAUSE_PROTOCOL : CAUSE_INTERNAL);
                        else
                                slot_move(slot, SLOT_EV_VIOLATION);
                        return false;
                }
                room = bytes->capacity - bytes->size;
                n = read(slot->worker.result_fd, bytes->data + bytes->size, room);
                if (n == 0) {
                        /* It has closed its end, or is dying. The pidfd or the deadline tells
                         * which. */
                        pool_unwatch(pool, slot->worker.result_fd);
                        if (slot->state == SLOT_IDLE)
                                slot_move(slot, SLOT_EV_VIOLATION);
                        slot->is_deaf = true;
                        if (slot->state == SLOT_HELD)
                                session_arm_look(slot);
                        return false;
                }
                if (n < 0)
                        return taken > 0;
                bytes->size += (size_t) n;
                taken += (size_t) n;
                if (!handle_frames(slot))
                        return false;
                /* Nothing that is said between two runs may be taken for the next one's. */
                if (slot->state == SLOT_HELD && slot->result.bytes.size > slot->result.parsed) {
                        on_violation(slot);
                        return false;
                }
                if ((size_t) n < room)
                        return true;
        }
        return true;
}

void slot_on_result(Slot *slot) {
        /* Of what was read of a stream for one display, a part may stand behind the next one, which
         * has come meanwhile. A worker that never ends its displays is not waited for. */
        for (unsigned i = 0; i <= RESULT_DISPLAYS_MAX; i++) {
                if (!hear(slot) || !slot_holds_output(slot))
                        break;
        }
        slot_hand_on_output(slot);
}

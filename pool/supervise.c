/* supervise: carries out what slot.c decides, and turns what happens to a worker into events. */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

#define RESULT_CHUNK 16384

/* As much as one turn reads from one worker, so that a flood does not keep others waiting; and more
 * than a pipe can hold (/proc/sys/fs/pipe-max-size, 1 MiB as a rule), so that what a worker has
 * said before it died is read in the turn that hears of its death. */
#define RESULT_BYTES_PER_TURN (2U << 20)

/* Of what a worker says that it could not be prepared for. */
#define FAILURE_BYTES_MAX 400

static uint64_t start_timeout_ns(const Pool *pool) {
        return pool->config.start_timeout_ms * NS_PER_MS / 5;
}

/* --- the actions --- */

static void unwatch_streams(Slot *slot) {
        if (!slot->streams_watched)
                return;
        for (int i = 0; i < _RUN_STREAMS; i++) {
                if (slot->worker.stream_fds[i] >= 0)
                        pool_unwatch(slot->template->pool, slot->worker.stream_fds[i]);
        }
        slot->streams_watched = false;
}

static void keep_worker(Slot *slot) {
        Pool *pool = slot->template->pool;

        slot_answer(slot);
        slot_forget_out_of_memory(slot);
        timer_set(&pool->timers, &slot->timer, clock_now_ns() + start_timeout_ns(pool));
        unwatch_streams(slot);
}

/* What it writes from now on is nobody's, and a watched stream would be readable for ever. */
static void hold_worker(Slot *slot) {
        unwatch_streams(slot);
        session_arm_look(slot);
        slot_answer(slot);
        /* The callback may have ended the session. */
        if (slot->state == SLOT_HELD)
                slot_forget_out_of_memory(slot);
        session_after_answer(slot);
}

static void act(Slot *slot, SlotAction action) {
        Pool *pool = slot->template->pool;

        switch (action) {
        case SLOT_FORBIDDEN:
        case _SLOT_ACTIONS:
                assert(!"a pair of state and event that nobody has decided about");
                break;
        case SLOT_NOTHING:
                break;
        case SLOT_AWAIT_READY:
        case SLOT_SEND_TOUCH:
                timer_set(&pool->timers, &slot->timer, clock_now_ns() + start_timeout_ns(pool));
                if (action == SLOT_SEND_TOUCH)
                        slot_send_touch(slot);
                break;
        case SLOT_OFFER:
                timer_clear(&pool->timers, &slot->timer);
                result_reader_restart(&slot->result);
                break;
        case SLOT_SEND_PROBE:
                timer_set(&pool->timers, &slot->timer, clock_now_ns() + start_timeout_ns(pool));
                canary_send(slot);
                break;
        case SLOT_TAKE_ANSWER:
                canary_on_answer(slot);
                break;
        case SLOT_SEND_RUN:
                slot_send_run(slot);
                break;
        case SLOT_ANSWER_AND_KILL:
                /* In this order: the worker waits for its end, and tearing its address space down
                 * takes over a millisecond, which may be of the very core that the answer needs. */
                slot_answer(slot);
                slot_kill_worker(slot);
                break;
        case SLOT_ANSWER_AND_KEEP:
                keep_worker(slot);
                break;
        case SLOT_ANSWER_AND_HOLD:
                hold_worker(slot);
                break;
        case SLOT_HOLD:
                session_arm_look(slot);
                break;
        case SLOT_SEND_FORK:
                timer_set(&pool->timers, &slot->timer, clock_now_ns() + start_timeout_ns(pool));
                break;
        case SLOT_ANSWER_AND_RELEASE:
                slot_answer(slot);
                slot_release(slot);
                break;
        case SLOT_KILL:
                slot_kill_worker(slot);
                if (slot->run)
                        slot->run = run_free(slot->run);
                slot_forget_run(slot);
                break;
        case SLOT_RELEASE:
                slot_release(slot);
                break;
        case SLOT_COMPLAIN:
                log_error("worker %d of slot %u was killed and is still there", slot->worker.pid,
                          slot->number);
                slot_kill_worker(slot);
                break;
        }
}

/* --- the move --- */

static SlotList *list_of(Slot *slot, SlotState state) {
        if (state == SLOT_EMPTY)
                return &slot_set(slot)->empty;
        return state == SLOT_IDLE ? &slot_set(slot)->idle[slot->touched] : NULL;
}

static void count_state(Slot *slot, SlotState state, int change) {
        SlotSet *set = slot_set(slot);
        Pool *pool = slot->template->pool;

        set->n_states[state] = (unsigned) ((int) set->n_states[state] + change);
        if (state == SLOT_BUSY)
                pool->n_busy = (unsigned) ((int) pool->n_busy + change);
        if (state == SLOT_TOUCHING)
                pool->n_touching = (unsigned) ((int) pool->n_touching + change);
}

void slot_move(Slot *slot, SlotEvent event) {
        SlotState before = slot->state;
        SlotMove move = slot_next(before, event);

        log_debug("slot %u: %s -> %s (%s) pid=%d", slot->number, slot_state_name(before),
                  slot_state_name(move.next), slot_event_name(event), slot->worker.pid);
        assert(move.action != SLOT_FORBIDDEN);

        if (move.next != before) {
                if (before == SLOT_PROBING)
                        canary_on_end(slot);
                if (list_of(slot, before))
                        slot_list_remove(list_of(slot, before), slot);
                if (event == SLOT_EV_TOUCHED)
                        slot->touched = true;
                count_state(slot, before, -1);
                slot->state = move.next;
                count_state(slot, move.next, +1);
                if (list_of(slot, move.next))
                        slot_list_push(list_of(slot, move.next), slot);
        }
        if (slot->of_sessions && !slot->run &&
            (slot->state == SLOT_RETIRING || slot->state == SLOT_EMPTY ||
             slot->state == SLOT_QUARANTINED))
                session_slot_lost(slot, event);
        act(slot, move.action);
}

/* --- what happens --- */

/* The run has ended, one way or another, while the process may live: what can be read is read now.
 * Returns false when a callback has cancelled the run over it. */
static bool settle(Slot *slot) {
        slot_take_usage(slot);
        slot_drain_streams(slot);
        if (slot->state != SLOT_BUSY)
                return false;
        if (slot->cause == CAUSE_NONE && slot->result.ended &&
            slot->usage.wall_ns > slot->run->limits.of[LIMIT_WALL_MS] * NS_PER_MS)
                slot->cause = CAUSE_WALL;
        /* A worker that is alone in its group and has come to its end was not killed. */
        if (slot->exited || slot->template->config->subprocesses)
                (void) slot_is_out_of_memory(slot);
        slot->template->pool->last_activity_ns = slot->started_ns + slot->usage.wall_ns;
        return true;
}

void slot_end_run(Slot *slot, VerdictCause cause) {
        if (slot->cause == CAUSE_NONE)
                slot->cause = cause;
        /* It must not go on while its last words are read. */
        slot_kill_tree(slot);
        if (!settle(slot))
                return;
        slot_move(slot, cause == CAUSE_PROTOCOL ? SLOT_EV_VIOLATION : SLOT_EV_DEADLINE);
}

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

        if (!settle(slot))
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
                obstacle_note(slot->template, failure, false);
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
                        if (kind == RESULT_DISPLAY && slot->run->callbacks.display)
                                slot->run->callbacks.display(slot->run->data,
                                                             result_last_display(&slot->result));
                        /* The callback may have cancelled the run. */
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

void slot_on_result(Slot *slot) {
        Pool *pool = slot->template->pool;
        size_t taken = 0;

        while (taken < RESULT_BYTES_PER_TURN) {
                Buffer *bytes = &slot->result.bytes;
                size_t room;
                ssize_t n;
                int r;

                if (slot->worker.result_fd < 0)
                        return;
                r = buffer_reserve(bytes, RESULT_CHUNK);
                if (r < 0) {
                        if (slot->state == SLOT_BUSY)
                                slot_end_run(slot,
                                             r == -EMSGSIZE ? CAUSE_PROTOCOL : CAUSE_INTERNAL);
                        else
                                slot_move(slot, SLOT_EV_VIOLATION);
                        return;
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
                        return;
                }
                if (n < 0)
                        return;
                bytes->size += (size_t) n;
                taken += (size_t) n;
                if (!handle_frames(slot))
                        return;
                /* Nothing that is said between two runs may be taken for the next one's. */
                if (slot->state == SLOT_HELD && slot->result.bytes.size > slot->result.parsed) {
                        on_violation(slot);
                        return;
                }
                if ((size_t) n < room)
                        return;
        }
}

static uint64_t rusage_cpu_ns(const struct rusage *usage) {
        return ((uint64_t) usage->ru_utime.tv_sec + (uint64_t) usage->ru_stime.tv_sec) * NS_PER_S +
               ((uint64_t) usage->ru_utime.tv_usec + (uint64_t) usage->ru_stime.tv_usec) *
                       NS_PER_US;
}

void slot_on_exit(Slot *slot) {
        Pool *pool = slot->template->pool;
        struct rusage usage;
        int status, r;

        /* A last frame and a death may come in the same turn: the frame is read first. */
        if (slot->state != SLOT_RETIRING && slot->worker.result_fd >= 0)
                slot_on_result(slot);

        r = worker_wait(&slot->worker, &status, &usage);
        if (r == 0)
                return;
        if (r > 0) {
                pool->counters.minor_faults += (uint64_t) usage.ru_minflt;
                pool->counters.worker_cpu_ns += rusage_cpu_ns(&usage);
        }

        /* It died while it was idle, just before it was given the run. */
        if (slot->state == SLOT_BUSY && slot_take_back_unread(slot))
                log_warning("worker %d of slot %u died before it read its run", slot->worker.pid,
                            slot->number);

        slot->exited = r > 0;
        slot->wait_status = r > 0 ? status : 0;
        if (slot->state == SLOT_BUSY) {
                if (r > 0) {
                        uint64_t cpu_ns = rusage_cpu_ns(&usage),
                                 start_ns = slot->worker.meter.start_cpu_ns;

                        slot->usage.cpu_ns = cpu_ns > start_ns ? cpu_ns - start_ns : 0;
                        slot->usage.peak_memory_kb = (uint64_t) usage.ru_maxrss;
                }
                (void) settle(slot);
        }
        slot_leave(slot, r > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void slot_on_timer(Slot *slot, uint64_t now_ns) {
        if (slot->state == SLOT_BUSY) {
                slot_check_limits(slot, now_ns);
                return;
        }
        if (slot->state == SLOT_FORKING) {
                session_fork_on_deadline(slot);
                return;
        }
        if (slot->state == SLOT_HELD) {
                session_look(slot, now_ns);
                return;
        }
        if (slot->state == SLOT_STARTING || slot->state == SLOT_TOUCHING)
                log_warning("worker %d of slot %u is not %s in time", slot->worker.pid,
                            slot->number, slot->state == SLOT_STARTING ? "ready" : "touched");
        slot_move(slot, SLOT_EV_DEADLINE);
}

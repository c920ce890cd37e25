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

/* Of what takes no longer than to start. */
static void arm_deadline(Slot *slot) {
        Pool *pool = slot->template->pool;

        timer_set(&pool->timers, &slot->timer,
                  clock_now_ns() + pool->config.start_timeout_ms * NS_PER_MS / 5);
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
        slot_answer(slot);
        slot_forget_out_of_memory(slot);
        arm_deadline(slot);
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

/* Nobody is answered. */
static void kill_worker(Slot *slot) {
        slot_kill_worker(slot);
        if (slot->run)
                slot->run = run_free(slot->run);
        slot_forget_run(slot);
}

static void complain(Slot *slot) {
        log_error("worker %d of slot %u was killed and is still there", slot->worker.pid,
                  slot->number);
        slot_kill_worker(slot);
}

static void act(Slot *slot, SlotAction action) {
        switch (action) {
        case SLOT_FORBIDDEN:
        case _SLOT_ACTIONS:
                assert(!"a pair of state and event that nobody has decided about");
                break;
        case SLOT_NOTHING:
                break;
        case SLOT_AWAIT_READY:
        case SLOT_SEND_FORK:
                arm_deadline(slot);
                break;
        case SLOT_SEND_TOUCH:
                arm_deadline(slot);
                slot_send_touch(slot);
                break;
        case SLOT_OFFER:
                timer_clear(&slot->template->pool->timers, &slot->timer);
                result_reader_restart(&slot->result);
                break;
        case SLOT_SEND_PROBE:
                arm_deadline(slot);
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
        case SLOT_ANSWER_AND_RELEASE:
                slot_answer(slot);
                slot_release(slot);
                break;
        case SLOT_KILL:
                kill_worker(slot);
                break;
        case SLOT_RELEASE:
                slot_release(slot);
                break;
        case SLOT_COMPLAIN:
                complain(slot);
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

bool slot_settle(Slot *slot) {
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
        if (!slot_settle(slot))
                return;
        slot_move(slot, cause == CAUSE_PROTOCOL ? SLOT_EV_VIOLATION : SLOT_EV_DEADLINE);
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
                (void) slot_settle(slot);
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

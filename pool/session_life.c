/* session_life: how a session loses its process, gets a new one, and comes to its own end. */

#include <assert.h>
#include <stdlib.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* The time of last use is written no more often: it decides about minutes. */
#define TOUCH_NS (1 * NS_PER_S)

/* --- loss --- */

const char *session_loss_of_run(VerdictCause cause, const Verdict *verdict) {
        static const char *const of_status[_RUN_STATUSES] = {
                [RUN_OK] = "its process could not be kept",
                [RUN_ERROR] = "its process could not be kept",
                [RUN_EXIT] = "the program ended its process",
                [RUN_TIMEOUT] =
                        ("the run took longer than it may (wall_ms), and its process was killed"),
                [RUN_CPU_LIMIT] = "the run used more processor time than it may (cpu_ms)",
                [RUN_MEMORY_LIMIT] = "the run used more memory than it may (memory_mb)",
                [RUN_OUTPUT_LIMIT] = "the run wrote more output than it may (output_bytes)",
                [RUN_VIOLATION] = "the run made a system call that is forbidden",
                [RUN_CRASHED] = "its process crashed",
                [RUN_CANCELLED] = "a run was cancelled, and its process was killed",
                [RUN_LOST] = "the server failed, and its process was killed",
        };

        if (cause == CAUSE_DISK)
                return SESSION_LOSS_OF_DISK;
        if (cause == CAUSE_RESERVE)
                return SESSION_LOSS_OF_RESERVE;
        if (cause == CAUSE_PROTOCOL)
                return "the run wrote to the channel of its results what may not be there";
        return of_status[verdict->status];
}

const char *session_loss_of_event(SlotEvent event) {
        switch (event) {
        case SLOT_EV_EXIT:
        case SLOT_EV_CANCEL: /* the death was noticed as a run was handed over */
                return "its process ended between two runs";
        case SLOT_EV_VIOLATION:
                return "its process wrote to the channel of its results between two runs";
        case SLOT_EV_DEADLINE:
                return "its process did not answer";
        case SLOT_EV_RETIRE:
                return "what kept its process in has failed";
        case SLOT_EV_SPAWN:
        case SLOT_EV_READY:
        case SLOT_EV_TOUCH:
        case SLOT_EV_TOUCHED:
        case SLOT_EV_PROBE:
        case SLOT_EV_PROBED:
        case SLOT_EV_ASSIGN:
        case SLOT_EV_HOLD:
        case SLOT_EV_FORK:
        case SLOT_EV_FORKED:
        case SLOT_EV_END:
        case SLOT_EV_END_KEPT:
        case SLOT_EV_END_HELD:
        case SLOT_EV_DIRTY:
        case _SLOT_EVENTS:
                break;
        }
        return "its process ended";
}

/* The slot goes its own way: it has been condemned, or its process has gone. */
static void let_go(Session *session) {
        Slot *slot = session->slot;

        session_fork_gone(session);
        session->cpu_before_ns = session_cpu_ns(session);
        session->slot = NULL;
        if (slot)
                slot->session = NULL;
}

void session_lose(Session *session, const char *why) {
        let_go(session);
        session->lost = why;
        session_move(session, SESSION_EV_LOSE);
        log_info("a session has lost its process space=%s session=%u why=\"%s\"",
                 session_space_name(session->space), session->index, why);
        if (session->queue_first)
                session_want(session);
        else
                session_use(session);
}

void session_forget(Session *session) {
        let_go(session);
        session_want(session);
        session->used_ns = clock_now_ns();
}

/* --- use and the end --- */

static uint64_t end_ns(const Session *session) {
        return session->idle_ms == 0 ? UINT64_MAX : session->used_ns + session->idle_ms * NS_PER_MS;
}

void session_arm_end(Session *session) {
        if (session->state != SESSION_IDLE && session->state != SESSION_LOST)
                return;
        if (session->idle_ms > 0)
                timer_set(&session->pool->timers, &session->timer, end_ns(session));
        else
                timer_clear(&session->pool->timers, &session->timer);
}

void session_use(Session *session) {
        uint64_t now_ns = clock_now_ns();

        session->used_ns = now_ns;
        if (now_ns - session->touched_ns >= TOUCH_NS || session->touched_runs != session->runs) {
                session->touched_ns = now_ns;
                session->touched_runs = session->runs;
                home_record_touch(&session->place->shared->home, session->place->member.number,
                                  session->runs);
        }
        session_arm_end(session);
}

void session_remove(Session *session) {
        session_fork_gone(session);
        session_want_no_more(session);
        session_cancel_queue(session);
        session_detach(session);
        place_doom(session->place);
        session_unregister(session);
        session->place = place_leave(session->place);
        session_tell_interrupted(session, true);
        free(session);
}

void session_on_timer(Session *session, uint64_t now_ns) {
        Pool *pool = session->pool;

        if (session->state == SESSION_STARTING)
                session_refuse_waiting(session, now_ns);
        if (session->queue_first) {
                timer_set(&pool->timers, &session->timer,
                          session->queue_first->submitted_ns +
                                  pool->config.queue_wait_ms * NS_PER_MS);
                return;
        }
        if (end_ns(session) <= now_ns) {
                pool->counters.sessions_expired++;
                session_remove(session);
                return;
        }
        if (session->idle_ms > 0)
                timer_set(&pool->timers, &session->timer, end_ns(session));
}

bool sessions_evict_one(Pool *pool) {
        Session *oldest = NULL;

        if (!pool->config.sessions_evict)
                return false;
        for (Session *session = pool->sessions.first; session; session = session->next) {
                if (session->queue_first || session->state == SESSION_BUSY ||
                    session->state == SESSION_FORKING ||
                    (oldest && oldest->used_ns <= session->used_ns))
                        continue;
                oldest = session;
        }
        if (!oldest)
                return false;
        pool->counters.sessions_evicted++;
        session_remove(oldest);
        return true;
}

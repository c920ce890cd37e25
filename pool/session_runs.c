/* session_runs: the queue of one session, and what its runs tell of it. */

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

#define READ_CHUNK 65536

/* As much as one pipe can hold (/proc/sys/fs/pipe-max-size, 1 MiB as a rule). */
#define CHUNKS_TO_DROP 16

/* --- the queue --- */

static void count(Session *session, int change) {
        session->n_queued = (unsigned) ((int) session->n_queued + change);
        session->pool->sessions.n_queued =
                (unsigned) ((int) session->pool->sessions.n_queued + change);
}

static void push(Session *session, Run *run) {
        run->next = NULL;
        run->previous = session->queue_last;
        if (session->queue_last)
                session->queue_last->next = run;
        else
                session->queue_first = run;
        session->queue_last = run;
        count(session, +1);
}

void session_queue_push_front(Run *run) {
        Session *session = run->session;

        if (run->is_binding) {
                run_free(run);
                return;
        }
        run->previous = NULL;
        run->next = session->queue_first;
        if (session->queue_first)
                session->queue_first->previous = run;
        else
                session->queue_last = run;
        session->queue_first = run;
        /* Nobody has read it: it gets its number once more. */
        session->runs = run->number - 1;
        count(session, +1);
}

static void take(Run *run) {
        Session *session = run->session;

        if (run->previous)
                run->previous->next = run->next;
        else
                session->queue_first = run->next;
        if (run->next)
                run->next->previous = run->previous;
        else
                session->queue_last = run->previous;
        run->previous = run->next = NULL;
        count(session, -1);
}

/* --- runs that will not be --- */

/* Nobody is answered from inside a call: the next turn does it. */
static void answer_later(Run *run, bool is_refused) {
        Pool *pool = run->pool;
        Sessions *sessions = &pool->sessions;

        take(run);
        run->session = NULL;
        run->is_cancelled = true;
        run->is_refused = is_refused;
        run->previous = sessions->cancelled_last;
        if (sessions->cancelled_last)
                sessions->cancelled_last->next = run;
        else
                sessions->cancelled_first = run;
        sessions->cancelled_last = run;
        sessions->n_queued++;
        pool_wake_at(pool, clock_now_ns());
}

static void take_cancelled(Run *run) {
        Sessions *sessions = &run->pool->sessions;

        if (run->previous)
                run->previous->next = run->next;
        else
                sessions->cancelled_first = run->next;
        if (run->next)
                run->next->previous = run->previous;
        else
                sessions->cancelled_last = run->previous;
        run->previous = run->next = NULL;
        sessions->n_queued--;
}

void session_cancel_queue(Session *session) {
        while (session->queue_first)
                answer_later(session->queue_first, false);
}

void session_refuse_waiting(Session *session, uint64_t now_ns) {
        uint64_t wait_ns = session->pool->config.queue_wait_ms * NS_PER_MS;

        while (session->queue_first && session->queue_first->submitted_ns + wait_ns <= now_ns)
                answer_later(session->queue_first, true);
}

void sessions_answer_cancelled(Pool *pool) {
        /* A callback may submit more, and may end more: those have their own turn. */
        unsigned n = 0;

        for (const Run *run = pool->sessions.cancelled_first; run; run = run->next)
                n++;
        while (n-- > 0 && pool->sessions.cancelled_first) {
                Run *run = pool->sessions.cancelled_first;
                RunResult result = {
                        .refused = run->is_refused,
                        .status = run->is_refused ? RUN_LOST : RUN_CANCELLED,
                        .limits = run->limits,
                        .usage.queue_ns = clock_now_ns() - run->submitted_ns,
                        .session.is_in_session = true,
                };

                take_cancelled(run);
                if (run->is_refused)
                        pool->counters.refused++;
                else
                        pool->counters.runs[RUN_CANCELLED]++;
                run->callbacks.done(run->data, &result);
                run_free(run);
        }
}

void session_cancel(Run *run) {
        static const RunCallbacks nobody;

        if (run->is_cancelled) {
                take_cancelled(run);
                run_free(run);
        } else if (!run->slot) {
                take(run);
                run_free(run);
        } else {
                run->is_abandoned = true;
                run->callbacks = nobody;
                if (run->session)
                        session_interrupt_run(run->slot, run->pool->config.interrupt_grace_ms);
        }
}

/* --- handing over --- */

/* Whoever waits for the first run's turn is one more than those who wait behind it. */
static bool is_full(const Session *session) {
        unsigned waiting = session->n_queued;

        if (session->state == SESSION_IDLE && waiting == 0)
                return false;
        if (session->state == SESSION_STARTING || session->state == SESSION_LOST ||
            session_is_being_bound(session))
                return waiting > session->pool->config.session_queue_max;
        return waiting >= session->pool->config.session_queue_max;
}

int session_submit(Session *session, const RunRequest *request, const RunCallbacks *callbacks,
                   void *data, Run **ret_run) {
        Pool *pool = session->pool;
        RunRequest mine = *request;
        Run *run;
        int r;

        if (pool->draining)
                return POOL_E_DRAINING;
        if (is_full(session)) {
                pool->counters.refused++;
                return SESSION_E_QUEUE_FULL;
        }
        mine.template = session->template->index;
        r = run_new(pool, &mine, &run);
        if (r != 0)
                return r;
        run->callbacks = *callbacks;
        run->data = data;
        run->session = session;
        run->is_in_session = true;
        run->interrupt_first = request->interrupt_first;
        push(session, run);
        if (session->state == SESSION_LOST)
                session_want(session);
        /* Its timer may stand at the end of its life, if nothing has waited for it until now. */
        if (session->is_listed_starting && session->queue_first == run)
                timer_set(&pool->timers, &session->timer,
                          run->submitted_ns + pool->config.queue_wait_ms * NS_PER_MS);
        session_assign(session);
        *ret_run = run;
        return timer_heap_arm(&pool->timers);
}

void session_drop_output(Slot *slot) {
        static uint8_t chunk[READ_CHUNK]; /* one thread, and nothing of it is kept */

        for (int i = 0; i < _RUN_STREAMS; i++) {
                int *fd = &slot->worker.stream_fds[i];

                for (unsigned n_chunks = 0; n_chunks < CHUNKS_TO_DROP && *fd >= 0; n_chunks++) {
                        ssize_t n = read(*fd, chunk, sizeof(chunk));

                        if (n == 0)
                                close_fd(fd);
                        if (n < (ssize_t) sizeof(chunk))
                                break;
                }
        }
}

/* The options are the last frame of a message (pool/request.c). What is new since it was written is
 * said now. */
static void add_flags(Run *run, uint32_t flags) {
        RequestOptions options;
        uint8_t *at = run->message.data + run->message.size - sizeof(options);

        assert(run->message.size >= sizeof(options));
        memcpy(&options, at, sizeof(options));
        options.flags |= flags;
        memcpy(at, &options, sizeof(options));
}

static Run *take_first(Session *session) {
        Run *run = session->queue_first;

        if (!run)
                return NULL;
        take(run);
        run->number = ++session->runs;
        run->began_anew = session->lost;
        session->lost = NULL;
        if (session->packages_changed)
                add_flags(run, REQUEST_NEW_PACKAGES);
        session->packages_changed = false;
        return run;
}

void session_assign(Session *session) {
        Slot *slot = session->slot;
        Run *run;

        if (session->state != SESSION_IDLE || slot->state != SLOT_HELD || slot->answers)
                return;
        run = session_binding(session);
        if (!run)
                run = take_first(session);
        if (!run)
                return;
        session_drop_output(slot);
        session_end_interrupt(slot);
        timer_clear(&session->pool->timers, &session->timer);
        session_move(session, SESSION_EV_RUN);
        session->template->has_run = true;
        slot->run = run;
        slot_move(slot, SLOT_EV_ASSIGN);
}

/* --- the end of a run --- */

void session_on_answer(Slot *slot, const Run *run, VerdictCause cause, const Verdict *verdict,
                       RunInSession *ret_told) {
        Session *session = run->session;

        if (!run->is_in_session)
                return;
        *ret_told = (RunInSession){
                .is_in_session = true, .began_anew = run->began_anew, .number = run->number};
        slot->life_cpu_ns = slot->worker.meter.start_cpu_ns + slot->usage.cpu_ns;
        /* NULL: it has ended, or been reset. */
        if (!session)
                return;
        session_end_interrupt(slot);
        if (run->is_binding)
                session_on_bound(session, verdict);
        if (cause == CAUSE_DISK)
                session_allow_disk(session);
        if (slot->state == SLOT_HELD) {
                slot->answers = true;
                session_move(session, SESSION_EV_RUN_END);
        } else if (session->forgets) {
                session_forget(session);
        } else {
                ret_told->lost = session_loss_of_run(cause, verdict);
                session_lose(session, ret_told->lost);
        }
        /* What lives on is noted when its answer has left. */
        if (slot->state != SLOT_HELD)
                session_use(session);
        session_tell_interrupted(session, slot->state != SLOT_HELD);
}

void session_after_answer(Slot *slot) {
        slot->answers = false;
        if (!slot->session)
                return;
        session_use(slot->session);
        session_assign(slot->session);
        if (slot->session)
                session_measure(slot->session, slot->session->used_ns);
}

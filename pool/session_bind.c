/* session_bind: what a session's interpreter imports and binds before the first run of its caller.
 */

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/internal.h"

/* Wall and processor time: to import matplotlib takes under a second, and there may be slow
 * machines with many sessions. */
#define BIND_MS 60000

Run *session_binding(Session *session) {
        RunRequest request = {
                .template = session->template->index,
                .flags = session->bind_flags,
                .limits = session->limits,
        };
        Run *run;

        if (session->bind_flags == 0 || session->is_bound || session->cannot_be_bound ||
            session->pool->draining)
                return NULL;
        request.limits.of[LIMIT_WALL_MS] = request.limits.of[LIMIT_CPU_MS] = BIND_MS;
        if (run_new(session->pool, &request, &run) != 0)
                return NULL;
        run->session = session;
        run->is_in_session = true;
        run->is_binding = true;
        /* Nobody is answered. */
        run->is_abandoned = true;
        session->is_bound = true;
        return run;
}

bool session_is_being_bound(const Session *session) {
        return session->state == SESSION_BUSY && session->slot && session->slot->run &&
               session->slot->run->is_binding;
}

void session_on_bound(Session *session, const Verdict *verdict) {
        if (verdict->status == RUN_OK)
                return;
        session->cannot_be_bound = true;
        log_warning("the names of a session cannot be bound before its first run space=%s "
                    "session=%u status=%s",
                    session_space_name(session->space), session->index,
                    run_status_name(verdict->status));
}

void session_bind(Session *session, unsigned flags) {
        session->bind_flags = flags;
        session_assign(session);
        if (timer_heap_arm(&session->pool->timers) < 0)
                log_error("the pool's timers cannot be armed");
}

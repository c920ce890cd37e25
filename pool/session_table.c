/* session_table: the states of a session, and how it comes from one to another. This file only
 * decides. */

#include <assert.h>

#include "kit/log.h"
#include "pool/internal.h"

#define UNDECIDED _SESSION_STATES

static const SessionState moves[_SESSION_STATES][_SESSION_EVENTS] = {
        [SESSION_STARTING] =
                {
                        [SESSION_EV_WANT] = SESSION_STARTING,
                        [SESSION_EV_HELD] = SESSION_IDLE,
                        [SESSION_EV_RUN] = UNDECIDED,
                        [SESSION_EV_RUN_END] = UNDECIDED,
                        [SESSION_EV_FORK] = UNDECIDED,
                        [SESSION_EV_FORK_END] = UNDECIDED,
                        [SESSION_EV_LOSE] = SESSION_LOST,
                },
        [SESSION_IDLE] =
                {
                        [SESSION_EV_WANT] = SESSION_STARTING,
                        [SESSION_EV_HELD] = UNDECIDED,
                        [SESSION_EV_RUN] = SESSION_BUSY,
                        [SESSION_EV_RUN_END] = UNDECIDED,
                        [SESSION_EV_FORK] = SESSION_FORKING,
                        [SESSION_EV_FORK_END] = UNDECIDED,
                        [SESSION_EV_LOSE] = SESSION_LOST,
                },
        [SESSION_BUSY] =
                {
                        [SESSION_EV_WANT] = SESSION_STARTING,
                        [SESSION_EV_HELD] = UNDECIDED,
                        [SESSION_EV_RUN] = UNDECIDED,
                        [SESSION_EV_RUN_END] = SESSION_IDLE,
                        [SESSION_EV_FORK] = UNDECIDED,
                        [SESSION_EV_FORK_END] = UNDECIDED,
                        [SESSION_EV_LOSE] = SESSION_LOST,
                },
        [SESSION_FORKING] =
                {
                        [SESSION_EV_WANT] = SESSION_STARTING,
                        [SESSION_EV_HELD] = UNDECIDED,
                        [SESSION_EV_RUN] = UNDECIDED,
                        [SESSION_EV_RUN_END] = UNDECIDED,
                        [SESSION_EV_FORK] = UNDECIDED,
                        [SESSION_EV_FORK_END] = SESSION_IDLE,
                        [SESSION_EV_LOSE] = SESSION_LOST,
                },
        [SESSION_LOST] =
                {
                        [SESSION_EV_WANT] = SESSION_STARTING,
                        [SESSION_EV_HELD] = UNDECIDED,
                        [SESSION_EV_RUN] = UNDECIDED,
                        [SESSION_EV_RUN_END] = UNDECIDED,
                        [SESSION_EV_FORK] = UNDECIDED,
                        [SESSION_EV_FORK_END] = UNDECIDED,
                        [SESSION_EV_LOSE] = SESSION_LOST,
                },
};

SessionState session_next_state(SessionState state, SessionEvent event) {
        assert(state < _SESSION_STATES && event < _SESSION_EVENTS);
        return moves[state][event];
}

void session_move(Session *session, SessionEvent event) {
        Sessions *sessions = &session->pool->sessions;
        SessionState before = session->state, next = session_next_state(before, event);

        log_debug("session %u: %s -> %s (%s) slot=%d", session->index, session_state_name(before),
                  next < _SESSION_STATES ? session_state_name(next) : "?",
                  session_event_name(event), session->slot ? (int) session->slot->number : -1);
        assert(next != UNDECIDED);
        sessions->n_lost += (unsigned) (next == SESSION_LOST);
        sessions->n_lost -= (unsigned) (before == SESSION_LOST);
        session->state = next;
}

const char *session_space_name(SessionSpace space) {
        static const char *const names[_SESSION_SPACES] = {
                [SESSION_NATIVE] = "native",
                [SESSION_INTERPRETER] = "interpreter",
                [SESSION_CONTAINER] = "container",
                [SESSION_JUPYTER] = "jupyter",
        };

        assert(space < _SESSION_SPACES);
        return names[space];
}

const char *session_state_name(SessionState state) {
        static const char *const names[_SESSION_STATES] = {
                [SESSION_STARTING] = "starting", [SESSION_IDLE] = "idle", [SESSION_BUSY] = "busy",
                [SESSION_FORKING] = "forking",   [SESSION_LOST] = "lost",
        };

        assert(state < _SESSION_STATES);
        return names[state];
}

const char *session_event_name(SessionEvent event) {
        static const char *const names[_SESSION_EVENTS] = {
                [SESSION_EV_WANT] = "want", [SESSION_EV_HELD] = "held",
                [SESSION_EV_RUN] = "run",   [SESSION_EV_RUN_END] = "run-end",
                [SESSION_EV_FORK] = "fork", [SESSION_EV_FORK_END] = "fork-end",
                [SESSION_EV_LOSE] = "lose",
        };

        assert(event < _SESSION_EVENTS);
        return names[event];
}

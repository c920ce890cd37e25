#include "pool/slot.h"

#include <assert.h>

#include "wire/run.h"

static const SlotMove moves[_SLOT_STATES][_SLOT_EVENTS] =
        {
                [SLOT_EMPTY] =
                        {
                                [SLOT_EV_SPAWN] = {SLOT_STARTING, SLOT_AWAIT_READY},
                                [SLOT_EV_DIRTY] = {SLOT_QUARANTINED, SLOT_NOTHING},
                        },
                [SLOT_STARTING] =
                        {
                                [SLOT_EV_READY] = {SLOT_IDLE, SLOT_OFFER},
                                [SLOT_EV_VIOLATION] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_DEADLINE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_RETIRE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_RELEASE},
                        },
                [SLOT_IDLE] =
                        {
                                [SLOT_EV_TOUCH] = {SLOT_TOUCHING, SLOT_SEND_TOUCH},
                                [SLOT_EV_PROBE] = {SLOT_PROBING, SLOT_SEND_PROBE},
                                [SLOT_EV_ASSIGN] = {SLOT_BUSY, SLOT_SEND_RUN},
                                [SLOT_EV_HOLD] = {SLOT_HELD, SLOT_HOLD},
                                [SLOT_EV_VIOLATION] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_RETIRE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_RELEASE},
                        },
                [SLOT_TOUCHING] =
                        {
                                [SLOT_EV_TOUCHED] = {SLOT_IDLE, SLOT_OFFER},
                                [SLOT_EV_VIOLATION] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_DEADLINE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_RETIRE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_RELEASE},
                        },
                [SLOT_PROBING] =
                        {
                                [SLOT_EV_PROBED] = {SLOT_PROBING, SLOT_TAKE_ANSWER},
                                [SLOT_EV_VIOLATION] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_DEADLINE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_RETIRE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_RELEASE},
                        },
                [SLOT_BUSY] =
                        {
                                [SLOT_EV_END] = {SLOT_RETIRING, SLOT_ANSWER_AND_KILL},
                                [SLOT_EV_END_KEPT] = {SLOT_STARTING, SLOT_ANSWER_AND_KEEP},
                                [SLOT_EV_END_HELD] = {SLOT_HELD, SLOT_ANSWER_AND_HOLD},
                                [SLOT_EV_VIOLATION] = {SLOT_RETIRING, SLOT_ANSWER_AND_KILL},
                                [SLOT_EV_DEADLINE] = {SLOT_RETIRING, SLOT_ANSWER_AND_KILL},
                                [SLOT_EV_CANCEL] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_ANSWER_AND_RELEASE},
                        },
                [SLOT_HELD] =
                        {
                                [SLOT_EV_ASSIGN] = {SLOT_BUSY, SLOT_SEND_RUN},
                                [SLOT_EV_FORK] = {SLOT_FORKING, SLOT_SEND_FORK},
                                [SLOT_EV_PROBE] = {SLOT_PROBING, SLOT_SEND_PROBE},
                                [SLOT_EV_VIOLATION] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_DEADLINE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_RETIRE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_RELEASE},
                        },
                [SLOT_FORKING] =
                        {
                                [SLOT_EV_FORKED] = {SLOT_HELD, SLOT_HOLD},
                                [SLOT_EV_VIOLATION] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_DEADLINE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_RETIRE] = {SLOT_RETIRING, SLOT_KILL},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_RELEASE},
                        },
                [SLOT_RETIRING] =
                        {
                                [SLOT_EV_DEADLINE] = {SLOT_RETIRING, SLOT_COMPLAIN},
                                [SLOT_EV_RETIRE] = {SLOT_RETIRING, SLOT_NOTHING},
                                [SLOT_EV_EXIT] = {SLOT_EMPTY, SLOT_RELEASE},
                        },
};

SlotMove slot_next(SlotState state, SlotEvent event) {
        assert(state < _SLOT_STATES && event < _SLOT_EVENTS);
        return moves[state][event];
}

SlotEvent slot_event_of_frame(SlotState state, unsigned kind, int *ret_part) {
        *ret_part = 0;
        switch (state) {
        case SLOT_STARTING:
                return kind == RESULT_READY ? SLOT_EV_READY : SLOT_EV_VIOLATION;
        case SLOT_TOUCHING:
                return kind == RESULT_TOUCHED ? SLOT_EV_TOUCHED : SLOT_EV_VIOLATION;
        case SLOT_PROBING:
                return kind == RESULT_PROBED ? SLOT_EV_PROBED : SLOT_EV_VIOLATION;
        case SLOT_BUSY:
                if (kind == RESULT_END)
                        return SLOT_EV_END;
                if (kind >= RESULT_DISPLAY && kind < RESULT_END)
                        *ret_part = 1;
                return SLOT_EV_VIOLATION;
        case SLOT_EMPTY:
        case SLOT_IDLE:
        case SLOT_HELD:
        case SLOT_FORKING:
        case SLOT_RETIRING:
        case SLOT_QUARANTINED:
        case _SLOT_STATES:
                break;
        }
        return SLOT_EV_VIOLATION;
}

const char *slot_state_name(SlotState state) {
        static const char *const names[_SLOT_STATES] = {
                [SLOT_EMPTY] = "empty",       [SLOT_STARTING] = "starting",
                [SLOT_IDLE] = "idle",         [SLOT_TOUCHING] = "touching",
                [SLOT_PROBING] = "probing",   [SLOT_BUSY] = "busy",
                [SLOT_HELD] = "held",         [SLOT_FORKING] = "forking",
                [SLOT_RETIRING] = "retiring", [SLOT_QUARANTINED] = "quarantined",
        };

        assert(state < _SLOT_STATES);
        return names[state];
}

const char *slot_event_name(SlotEvent event) {
        static const char *const names[_SLOT_EVENTS] = {
                [SLOT_EV_SPAWN] = "spawn",       [SLOT_EV_READY] = "ready",
                [SLOT_EV_TOUCH] = "touch",       [SLOT_EV_TOUCHED] = "touched",
                [SLOT_EV_PROBE] = "probe",       [SLOT_EV_PROBED] = "probed",
                [SLOT_EV_ASSIGN] = "assign",     [SLOT_EV_END] = "end",
                [SLOT_EV_END_KEPT] = "end-kept", [SLOT_EV_VIOLATION] = "violation",
                [SLOT_EV_DEADLINE] = "deadline", [SLOT_EV_CANCEL] = "cancel",
                [SLOT_EV_RETIRE] = "retire",     [SLOT_EV_EXIT] = "exit",
                [SLOT_EV_DIRTY] = "dirty",       [SLOT_EV_HOLD] = "hold",
                [SLOT_EV_FORK] = "fork",         [SLOT_EV_FORKED] = "forked",
                [SLOT_EV_END_HELD] = "end-held",
        };

        assert(event < _SLOT_EVENTS);
        return names[event];
}

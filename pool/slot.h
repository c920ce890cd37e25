#pragma once
/*
 * slot: the life of one worker's place, as one table of moves. This file only decides;
 * pool/supervise.c carries out.
 *
 *     EMPTY     no process; the zygote will be asked for one
 *     STARTING  forked, shutting itself in and warming up; or, under `reset`, making itself new
 *               after a run
 *     IDLE      confined and waiting for a run
 *     TOUCHING  idle, and writing to the pages that heavy runs dirty
 *     PROBING   a canary: it tries to break out, says what came of it, and ends
 *     BUSY      has been given one run, whose caller waits
 *     HELD      belongs to a session, whose variables it has, and waits for the next run of it
 *     FORKING   held, and making a copy of itself
 *     RETIRING  condemned and killed; its pipes are closed, so nothing that it says is heard any
 *               more
 *     QUARANTINED  could not be made empty again; never used
 *
 * What a state does not tell: which generation of zygote the worker came from, whether it is
 * touched, and how often it was reset.
 */

typedef enum SlotState {
        SLOT_EMPTY,
        SLOT_STARTING,
        SLOT_IDLE,
        SLOT_TOUCHING,
        SLOT_PROBING,
        SLOT_BUSY,
        SLOT_HELD,
        SLOT_FORKING,
        SLOT_RETIRING,
        SLOT_QUARANTINED,
        _SLOT_STATES,
} SlotState;

typedef enum SlotEvent {
        SLOT_EV_SPAWN,     /* the zygote has been asked for a worker */
        SLOT_EV_READY,     /* the worker says that it can take a run */
        SLOT_EV_TOUCH,     /* it has been told to touch its pages */
        SLOT_EV_TOUCHED,   /* it says that it has */
        SLOT_EV_PROBE,     /* it has been chosen for a canary */
        SLOT_EV_PROBED,    /* it says what came of its attempts */
        SLOT_EV_ASSIGN,    /* a run has been chosen for it */
        SLOT_EV_HOLD,      /* a session takes it */
        SLOT_EV_FORK,      /* it has been told to copy itself */
        SLOT_EV_FORKED,    /* it says that it has, or could not */
        SLOT_EV_END,       /* the run's last frame has come, and the worker is to die */
        SLOT_EV_END_KEPT,  /* … and the worker stays, to be made new */
        SLOT_EV_END_HELD,  /* … and the worker stays as it is, in its session */
        SLOT_EV_VIOLATION, /* it sent what it may not send in this state */
        SLOT_EV_DEADLINE,  /* the time that this state may last is over, or a limit has been overrun
                            */
        SLOT_EV_CANCEL,    /* nobody wants the run's answer any more */
        SLOT_EV_RETIRE,    /* it is too old */
        SLOT_EV_EXIT,      /* the process has ended and has been waited for */
        SLOT_EV_DIRTY,     /* its folders could not be emptied */
        _SLOT_EVENTS,
} SlotEvent;

typedef enum SlotAction {
        SLOT_FORBIDDEN, /* 0: nobody has decided about this pair, so it is a bug */
        SLOT_NOTHING,
        SLOT_AWAIT_READY, /* arm the start deadline */
        SLOT_OFFER,       /* look for a run in the queue */
        SLOT_SEND_TOUCH,
        SLOT_SEND_PROBE,
        SLOT_TAKE_ANSWER, /* keep it; the end of the process is part of it */
        SLOT_SEND_RUN,
        SLOT_ANSWER_AND_KILL,
        SLOT_ANSWER_AND_KEEP,
        SLOT_ANSWER_AND_HOLD,
        SLOT_ANSWER_AND_RELEASE, /* it is dead already */
        SLOT_HOLD,               /* arm the first look between runs */
        SLOT_SEND_FORK,          /* arm the deadline of the copy */
        SLOT_KILL,
        SLOT_RELEASE,  /* close, empty, free */
        SLOT_COMPLAIN, /* killed, and still not gone */
        _SLOT_ACTIONS,
} SlotAction;

typedef struct SlotMove {
        SlotState next;
        SlotAction action;
} SlotMove;

SlotMove slot_next(SlotState state, SlotEvent event);

/* The event that a frame of that kind (ResultKind) is in that state, SLOT_EV_VIOLATION if it may
 * not come. A frame that is part of a run's result is no event; the caller keeps it: *ret_part is
 * set. */
SlotEvent slot_event_of_frame(SlotState state, unsigned kind, int *ret_part);

const char *slot_state_name(SlotState state);
const char *slot_event_name(SlotEvent event);

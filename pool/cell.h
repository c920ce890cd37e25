#pragma once
/*
 * cell: the life of one slot's cell (wire/cells.h), as one table of moves, and what the supervisor
 * holds of it. This file only decides; pool/cells.c carries out.
 *
 *     ABSENT     there is none
 *     ASKED      a maker has been asked; nothing has come yet
 *     NAMED      its keeper's process is known, and is at work on it
 *     READY      workers may be made in it
 *     ENDING     its keeper is killed, and with it all that lives in the cell
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pool/timer.h"
#include "wire/cells.h"

typedef enum CellState {
        CELL_ABSENT,
        CELL_ASKED,
        CELL_NAMED,
        CELL_READY,
        CELL_ENDING,
        _CELL_STATES,
} CellState;

typedef enum CellEvent {
        CELL_EV_ASK,    /* a maker has been asked for it */
        CELL_EV_NAMED,  /* CELL_STARTED */
        CELL_EV_MADE,   /* CELL_MADE */
        CELL_EV_FAILED, /* CELL_FAILED */
        CELL_EV_LOST,   /* its maker has gone: what it has not said, it does not say any more */
        CELL_EV_END,    /* it is not wanted any more */
        CELL_EV_EXIT,   /* its keeper has ended and has been waited for */
        _CELL_EVENTS,
} CellEvent;

typedef enum CellAction {
        CELL_FORBIDDEN, /* 0: nobody has decided about this pair, so it is a bug */
        CELL_DO_NOTHING,
        CELL_AWAIT,          /* arm the deadline */
        CELL_WATCH,          /* open a pidfd of the keeper */
        CELL_TAKE,           /* keep the descriptors */
        CELL_REFUSE,         /* a report that may not come now: the maker is not to be trusted */
        CELL_KILL,           /* the keeper, which is known */
        CELL_FORGET,         /* close what there is of it */
        CELL_FORGET_UNNAMED, /* … while its keeper may be about, unknown: the sweep finds it */
        _CELL_ACTIONS,
} CellAction;

typedef struct CellMove {
        CellState next;
        CellAction action;
} CellMove;

CellMove cell_next(CellState state, CellEvent event);

const char *cell_state_name(CellState state);
const char *cell_event_name(CellEvent event);

typedef struct Cell {
        CellState state;
        unsigned generation; /* of its maker */
        pid_t keeper_pid;    /* 0: not known */
        int keeper_pidfd;
        int fds[_CELL_FDS];
        uint64_t clean_bytes, clean_inodes; /* in use of its tmpfs when it was new */
        bool keeper_killed;                 /* while the cell was still needed, for what it holds */
        Timer timer;                        /* its being made, or its end, may last so long */
} Cell;

#define CELL_NONE                                                                                  \
        ((Cell){.keeper_pidfd = -1, .fds = {-1, -1, -1, -1}, .timer = {.position = TIMER_OFF}})

/* The keeper that was reported: it is our child. */
_must_check_ int cell_watch_keeper(Cell *cell, pid_t pid);
/* All processes in the cell die with it; -1 or 0 stand for none. */
void cell_kill_keeper(const Cell *cell);
/* Returns 1 when the keeper has ended and has been waited for, 0 while it lives, -errno. */
_must_check_ int cell_wait_keeper(const Cell *cell);

/* --- the folders, by the descriptor of the tmpfs; no name in them is followed --- */

/* Bytes and inodes in use. */
_must_check_ int cell_measure(const Cell *cell, uint64_t *ret_bytes, uint64_t *ret_inodes);

/* Opens "work", "tmp" or "shm" for reading, whatever its mode has become. */
_must_check_ int cell_open_folder(const Cell *cell, const char *name);

/*
 * Empties the folders. Returns -E2BIG when there is more in them than is worth removing one by one,
 * -ENOTEMPTY when there is something that has no name; then the cell is to be made anew, as after
 * any error. process_stays: what its process holds open is no dirt.
 */
_must_check_ int cell_empty(const Cell *cell, bool process_stays);

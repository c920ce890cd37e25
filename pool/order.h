#pragma once
/*
 * order: what a run has printed, shown and returned, one after the other, as its code did it. The
 * streams are cut where a display, or the other stream, came between.
 *
 *     RunOrder order = order_of(result);
 *     RunPiece piece;
 *
 *     while (order_next(&order, &piece))
 *             …
 *
 * How far that is true: a display is exactly in its place among what Python printed. So are the two
 * streams to one another, while a run lives to say it (RESULT_SWITCHES) and for the first
 * RESULT_SWITCHES_MAX turns; of what comes later, and between displays of a run that was killed,
 * standard output is first. What C libraries and children print is where it arrived. The value
 * comes before the figures that are shown at the end of a run, and behind all else.
 */

#include "pool/run.h"

typedef enum RunPieceKind { PIECE_OUTPUT, PIECE_DISPLAY, PIECE_VALUE } RunPieceKind;

typedef struct RunPiece {
        RunPieceKind kind;
        RunStream stream; /* of PIECE_OUTPUT */
        RunOutput output; /* likewise; where a stream was truncated, one piece of it is */
        Slice document;   /* of the others */
} RunPiece;

/* Borrows the result. */
typedef struct RunOrder {
        const RunResult *result;
        uint64_t at[_RUN_STREAMS], to[_RUN_STREAMS]; /* handed out; to be handed out next … */
        bool has_document;                           /* … and this behind it */
        RunPiece document;
        size_t next_display, next_switch;
        bool is_value_next, is_at_end;
} RunOrder;

RunOrder order_of(const RunResult *result);
/* False: there are no more. No piece is empty. */
bool order_next(RunOrder *order, RunPiece *ret_piece);

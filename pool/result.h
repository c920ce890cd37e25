#pragma once
/*
 * result: collects the frames of a worker. No I/O: bytes in, events out. The bytes may be hostile;
 * what is kept is bounded, and a document is proven to be JSON before anybody else sees it.
 */

#include <stdbool.h>

#include "kit/bytes.h"
#include "pool/run.h"
#include "pool/slot.h"
#include "wire/probe.h"
#include "wire/run.h"
#include "wire/session.h"

typedef struct ResultSpan {
        size_t offset, size;
} ResultSpan;

typedef struct ResultReader {
        Buffer bytes;  /* everything of the current run; spans point into it */
        size_t parsed; /* bytes that have become frames */
        size_t gap;    /* of these, the last so many are frames that have been forgotten */
        size_t value_bytes_max;
        bool is_copy; /* its RESULT_READY brings what the copy does not have */
        WireForkNotes fork_notes;
        bool worker_stays; /* then it may say RESULT_READY before its last frame has been read */
        bool present[_RESULT_KIND_MAX];
        ResultSpan spans[_RESULT_KIND_MAX];
        ResultSpan displays[RESULT_DISPLAYS_MAX];
        StreamPlace places[RESULT_DISPLAYS_MAX];   /* of the displays */
        Slice display_slices[RESULT_DISPLAYS_MAX]; /* made by result_fill() */
        size_t n_displays, displays_before_value;
        size_t display_bytes; /* of all displays kept; at most value_bytes_max */
        bool displays_truncated;
        bool ended; /* the final frame has come */
        ResultEnd end;
        ProbeAnswer probed; /* present[RESULT_PROBED] */
} ResultReader;

void result_reader_init(ResultReader *reader, size_t value_bytes_max);
void result_reader_done(ResultReader *reader);

/* Forgets the frames that were taken, so that the next run can be read. */
void result_reader_restart(ResultReader *reader);

/* Forgets everything that has been read; keeps the store if it is small. */
void result_reader_clear(ResultReader *reader);

/* What the next frame is, in that state. */
typedef enum ResultNext {
        RESULT_NEXT_NONE,  /* no whole frame there */
        RESULT_NEXT_PART,  /* a part of a result was kept; *ret_kind says which */
        RESULT_NEXT_EVENT, /* *ret_event */
} ResultNext;

/* Displays past the bounds are passed over, and displays_truncated is set. */
ResultNext result_next(ResultReader *reader, SlotState state, unsigned *ret_kind,
                       SlotEvent *ret_event);

/* The document of the display that came last, and its place among the output: what the worker
 * says, until whoever knows better changes it. */
Slice result_last_display(const ResultReader *reader);
StreamPlace *result_last_place(ResultReader *reader);

/* The text of a RESULT_FAILED frame at the start of what has been read, or an empty slice. */
Slice result_failure(const ResultReader *reader);

/* Points the result's documents into the reader. */
void result_fill(ResultReader *reader, RunResult *result);

#pragma once
/*
 * report: the worker's end of the result pipe. Small frames wait in a buffer and leave with the one
 * that closes the run, in one write: each write may wake the supervisor.
 */

#include <stdbool.h>

#include "kit/bytes.h"
#include "wire/run.h"

typedef struct Report {
        int fd; /* -1: nobody listens, as in a rehearsal */
        Buffer pending;
        bool is_ended; /* RESULT_END has left; whatever still runs here adds nothing to it */
} Report;

#define REPORT_INIT(fd_) ((Report){.fd = (fd_)})

/* Queues a frame. One that finds no memory is dropped: a result without it is still true. */
void report_add(Report *report, ResultKind kind, Slice body);

/* Queues a display and where it belongs. */
void report_add_display(Report *report, StreamPlace place, Slice document);

/* Sends what is queued. A supervisor that does not listen has given this worker up, which then ends
 * at once. */
void report_send(Report *report);

/* Queues the last frame of a run and sends all. */
void report_end(Report *report, ResultEnd end);

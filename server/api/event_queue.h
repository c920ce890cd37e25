#pragma once
/*
 * event_queue: what a streamed run has produced and its client has not taken yet. It waits as raw
 * bytes, which is its smallest form, and is written as server-sent events when there is room for
 * them.
 */

#include "kit/bytes.h"
#include "pool/run.h"

typedef enum EventKind {
        EVENT_STDOUT,
        EVENT_STDERR,
        EVENT_DISPLAY,
        EVENT_RESULT,
        EVENT_DONE,
        EVENT_ERROR,
        _EVENTS,
} EventKind;

typedef struct EventQueue {
        Buffer bytes;                  /* events, in order */
        size_t start;                  /* what lies before it has been taken */
        size_t newest;                 /* offset of the last event; valid while there is one */
        bool base64;                   /* output as bytes, not as text */
        uint8_t held[_RUN_STREAMS][4]; /* the beginning of a character whose end has not come yet */
        size_t held_size[_RUN_STREAMS];
} EventQueue;

void event_queue_init(EventQueue *queue, size_t limit, bool base64);
void event_queue_done(EventQueue *queue);
bool event_queue_is_empty(const EventQueue *queue);

/* Adds what the run has written. Text is kept back until its last character is whole. All of these
 * return as buffer_append(). */
_must_check_ int event_queue_output(EventQueue *queue, RunStream stream, Slice bytes);
/* No more output will come: what was kept back is let go. */
_must_check_ int event_queue_end_output(EventQueue *queue);
/* Adds an event that is a JSON document. */
_must_check_ int event_queue_push(EventQueue *queue, EventKind kind, Slice document);

/* Moves events to out, as text/event-stream, until that holds at least enough bytes or nothing is
 * left. No event is much larger than what was pushed at once. */
_must_check_ int event_queue_write(EventQueue *queue, Buffer *out, size_t enough);

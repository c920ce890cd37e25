#include "server/api/event_queue.h"

#include <assert.h>

#include "jsontext/utf8.h"
#include "jsontext/write.h"
#include "server/api/encode.h"

/* One event of a stream says at most so much; the rest follows in others. */
#define PIECE_MAX (32U << 10)

static const char *const event_names[_EVENTS] = {
        [EVENT_STDOUT] = "stdout", [EVENT_STDERR] = "stderr", [EVENT_DISPLAY] = "display",
        [EVENT_RESULT] = "result", [EVENT_DONE] = "done",     [EVENT_ERROR] = "error",
};

/* In the queue, each event is one of these and its bytes. */
typedef struct Event {
        uint32_t kind;
        uint32_t size;
} Event;

static bool is_output(uint32_t kind) {
        return kind == EVENT_STDOUT || kind == EVENT_STDERR;
}

void event_queue_init(EventQueue *queue, size_t limit, bool base64) {
        *queue = (EventQueue){.bytes = BUFFER_INIT(limit), .base64 = base64};
}

void event_queue_done(EventQueue *queue) {
        buffer_done(&queue->bytes);
        queue->start = 0;
}

bool event_queue_is_empty(const EventQueue *queue) {
        return queue->start == queue->bytes.size;
}

/* ── In ── */

/* Output that follows output of the same stream joins it while it waits. */
int event_queue_push(EventQueue *queue, EventKind kind, Slice document) {
        Event event = {.kind = kind, .size = (uint32_t) document.size};
        bool joins = false;
        Event newest;
        int r;

        if (!event_queue_is_empty(queue) && is_output(kind)) {
                memcpy(&newest, queue->bytes.data + queue->newest, sizeof(newest));
                joins = newest.kind == kind;
        }
        r = buffer_reserve(&queue->bytes, sizeof(event) + document.size);
        if (r < 0)
                return r;
        if (!joins) {
                queue->newest = queue->bytes.size;
                r = buffer_append(&queue->bytes, &event, sizeof(event));
                assert(r == 0);
                return buffer_append(&queue->bytes, document.data, document.size);
        }
        newest.size += event.size;
        memcpy(queue->bytes.data + queue->newest, &newest, sizeof(newest));
        return buffer_append(&queue->bytes, document.data, document.size);
}

static EventKind kind_of(RunStream stream) {
        return stream == RUN_STDOUT ? EVENT_STDOUT : EVENT_STDERR;
}

/* Adds bytes to a character that was begun, until it is complete or can be none. */
static int push_held(EventQueue *queue, RunStream stream, Slice *bytes) {
        uint8_t *held = queue->held[stream];
        size_t *size = &queue->held_size[stream];
        int r = 0;

        while (*size > 0 && bytes->size > 0 && r == 0) {
                size_t unfinished;

                held[(*size)++] = *bytes->data;
                *bytes = slice_of(bytes->data + 1, bytes->size - 1);
                unfinished = utf8_unfinished_tail(slice_of(held, *size));
                if (unfinished < *size)
                        r = event_queue_push(queue, kind_of(stream),
                                             slice_of(held, *size - unfinished));
                memmove(held, held + (*size - unfinished), unfinished);
                *size = unfinished;
        }
        return r;
}

int event_queue_output(EventQueue *queue, RunStream stream, Slice bytes) {
        size_t unfinished;
        int r;

        if (queue->base64)
                return bytes.size > 0 ? event_queue_push(queue, kind_of(stream), bytes) : 0;
        r = push_held(queue, stream, &bytes);
        if (r < 0 || bytes.size == 0)
                return r;
        unfinished = utf8_unfinished_tail(bytes);
        memcpy(queue->held[stream], bytes.data + bytes.size - unfinished, unfinished);
        queue->held_size[stream] = unfinished;
        if (bytes.size == unfinished)
                return 0;
        return event_queue_push(queue, kind_of(stream),
                                slice_of(bytes.data, bytes.size - unfinished));
}

int event_queue_end_output(EventQueue *queue) {
        int r = 0;

        for (int i = 0; i < _RUN_STREAMS && r == 0; i++) {
                Slice held = slice_of(queue->held[i], queue->held_size[i]);

                if (held.size > 0)
                        r = event_queue_push(queue, kind_of((RunStream) i), held);
                queue->held_size[i] = 0;
        }
        return r;
}

/* ── Out ── */

static int write_event(Buffer *out, uint32_t kind, Slice bytes, bool base64) {
        JsonWriter writer = JSON_WRITER(out);
        size_t data_start;
        int r;

        r = buffer_append(out, "event: ", 7);
        if (r == 0)
                r = buffer_append(out, event_names[kind], strlen(event_names[kind]));
        if (r == 0)
                r = buffer_append(out, "\ndata: ", 7);
        if (r < 0)
                return r;
        data_start = out->size;
        if (is_output(kind)) {
                json_begin_object(&writer);
                json_key(&writer, base64 ? "base64" : "text");
                if (base64)
                        json_base64(&writer, bytes, SLICE_NULL);
                else
                        json_text(&writer, bytes);
                json_end_object(&writer);
                r = writer.error;
        } else
                r = buffer_append(out, bytes.data, bytes.size);
        if (r < 0)
                return r;
        r = answer_make_one_line(out, data_start);
        if (r < 0)
                return r;
        return buffer_append(out, "\n\n", 2);
}

/* How much of an event's bytes to write now: output may be cut, between characters. */
static size_t piece_size(const EventQueue *queue, uint32_t kind, Slice bytes) {
        if (bytes.size <= PIECE_MAX || !is_output(kind))
                return bytes.size;
        if (queue->base64)
                return PIECE_MAX / 3 * 3;
        return PIECE_MAX - utf8_unfinished_tail(slice_of(bytes.data, PIECE_MAX));
}

static int write_first(EventQueue *queue, Buffer *out) {
        uint8_t *at = queue->bytes.data + queue->start;
        Event event;
        size_t size;
        int r;

        memcpy(&event, at, sizeof(event));
        size = piece_size(queue, event.kind, slice_of(at + sizeof(event), event.size));
        r = write_event(out, event.kind, slice_of(at + sizeof(event), size), queue->base64);
        if (r < 0)
                return r;
        if (size == event.size) {
                queue->start += sizeof(event) + size;
                return 0;
        }
        /* The rest becomes an event of its own; its head takes the place of bytes that have been
         * written. */
        if (queue->newest == queue->start)
                queue->newest += size;
        queue->start += size;
        event.size -= (uint32_t) size;
        memcpy(queue->bytes.data + queue->start, &event, sizeof(event));
        return 0;
}

/* Moves the rest to the front once more than half has been taken, so that each byte is moved about
 * once. */
static void compact(EventQueue *queue) {
        if (!event_queue_is_empty(queue) && queue->start < queue->bytes.size / 2)
                return;
        buffer_consume(&queue->bytes, queue->start);
        queue->newest -= queue->newest < queue->start ? queue->newest : queue->start;
        queue->start = 0;
}

int event_queue_write(EventQueue *queue, Buffer *out, size_t enough) {
        int r = 0;

        while (r == 0 && !event_queue_is_empty(queue) && out->size < enough)
                r = write_first(queue, out);
        compact(queue);
        return r;
}

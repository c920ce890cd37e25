#include "pool/result.h"

#include <assert.h>
#include <string.h>

#include "jsontext/scan.h"
#include "wire/frame.h"

/* A small run's bytes are kept allocated for the next run; a large one's are given back. */
#define KEEP_CAPACITY 16384

/* The most one result may hold: three documents, the displays, four texts, the switches, and the
 * headers and places. */
static size_t bytes_max(size_t value_bytes_max) {
        return value_bytes_max * 5 + 4 * (size_t) RESULT_TEXT_MAX + 128 * sizeof(FrameHeader) +
               (RESULT_SWITCHES_MAX + RESULT_DISPLAYS_MAX) * sizeof(StreamPlace) + 4096;
}

void result_reader_init(ResultReader *reader, size_t value_bytes_max) {
        *reader = (ResultReader){
                .bytes = BUFFER_INIT(bytes_max(value_bytes_max)),
                .value_bytes_max = value_bytes_max,
        };
}

void result_reader_done(ResultReader *reader) {
        buffer_done(&reader->bytes);
}

static void forget_frames(ResultReader *reader) {
        reader->parsed = 0;
        reader->gap = 0;
        memset(reader->present, 0, sizeof(reader->present));
        reader->n_displays = 0;
        reader->displays_before_value = 0;
        reader->display_bytes = 0;
        reader->displays_truncated = false;
        reader->ended = false;
        reader->end = (ResultEnd){0};
}

void result_reader_clear(ResultReader *reader) {
        if (reader->bytes.capacity > KEEP_CAPACITY)
                buffer_done(&reader->bytes);
        reader->bytes.size = 0;
        forget_frames(reader);
}

void result_reader_restart(ResultReader *reader) {
        if (reader->parsed == reader->bytes.size) {
                result_reader_clear(reader);
                return;
        }
        buffer_consume(&reader->bytes, reader->parsed);
        forget_frames(reader);
}

/* What of a part is the document, or the text. */
static Slice content_of(const Frame *frame) {
        size_t place = frame->kind == RESULT_DISPLAY ? sizeof(StreamPlace) : 0;

        return frame->body.size < place
                       ? SLICE_NULL
                       : slice_of(frame->body.data + place, frame->body.size - place);
}

/* Checks one part by its kind; false makes it a violation. */
static bool part_is_sound(const ResultReader *reader, const Frame *frame) {
        Slice content = content_of(frame);

        switch ((ResultKind) frame->kind) {
        case RESULT_DISPLAY:
        case RESULT_VALUE:
        case RESULT_VARIABLES:
                return content.size <= reader->value_bytes_max && json_is(content, JSON_OBJECT, 0);
        case RESULT_REPRS:
                return content.size <= reader->value_bytes_max && json_is(content, JSON_ARRAY, 0);
        case RESULT_ERROR_TYPE:
        case RESULT_ERROR_MESSAGE:
        case RESULT_ERROR_TRACEBACK:
                return content.size <= RESULT_TEXT_MAX;
        case RESULT_ERROR_LINE:
                return content.size == sizeof(uint32_t);
        case RESULT_SWITCHES:
                return content.size % sizeof(StreamPlace) == 0 &&
                       content.size <= RESULT_SWITCHES_MAX * sizeof(StreamPlace);
        case RESULT_END:
        case RESULT_READY:
        case RESULT_FAILED:
        case RESULT_TOUCHED:
        case RESULT_PROBED:
        case _RESULT_KIND_MAX:
                break;
        }
        return false;
}

/* Past the bounds, a display is forgotten at once: many figures are no reason to fail an honest
 * run. */
static bool is_one_display_too_many(const ResultReader *reader, const Frame *frame) {
        return frame->kind == RESULT_DISPLAY &&
               (reader->n_displays == RESULT_DISPLAYS_MAX ||
                reader->display_bytes + content_of(frame).size > reader->value_bytes_max);
}

/* Gives the room of forgotten frames back. Not after each of them: a worker that sends a million of
 * the smallest would have everything behind each moved a million times. */
static void close_gap(ResultReader *reader) {
        uint8_t *rest = reader->bytes.data + reader->parsed;

        memmove(rest - reader->gap, rest, reader->bytes.size - reader->parsed);
        reader->bytes.size -= reader->gap;
        reader->parsed -= reader->gap;
        reader->gap = 0;
}

static bool keep_part(ResultReader *reader, const Frame *frame) {
        Slice content = content_of(frame);
        ResultSpan span;

        if (!part_is_sound(reader, frame))
                return false;
        span = (ResultSpan){(size_t) (content.data - reader->bytes.data), content.size};
        if (frame->kind == RESULT_DISPLAY) {
                memcpy(&reader->places[reader->n_displays], frame->body.data, sizeof(StreamPlace));
                reader->displays[reader->n_displays++] = span;
                reader->display_bytes += span.size;
                return true;
        }
        if (reader->present[frame->kind])
                return false;
        if (frame->kind == RESULT_VALUE)
                reader->displays_before_value = reader->n_displays;
        reader->present[frame->kind] = true;
        reader->spans[frame->kind] = span;
        return true;
}

static Slice unread(const ResultReader *reader) {
        return reader->bytes.data ? slice_of(reader->bytes.data + reader->parsed,
                                             reader->bytes.size - reader->parsed)
                                  : SLICE_NULL;
}

static FrameParse parse_next(const ResultReader *reader, Frame *frame, size_t *used) {
        size_t body_max = reader->value_bytes_max;

        if (body_max < RESULT_TEXT_MAX)
                body_max = RESULT_TEXT_MAX;
        return frame_parse(unread(reader), body_max + sizeof(StreamPlace), frame, used);
}

/* The next frame that is not to be forgotten; those that are have been passed over. */
static FrameParse next_frame(ResultReader *reader, SlotState state, Frame *frame, size_t *used) {
        for (;;) {
                FrameParse parse = parse_next(reader, frame, used);

                if (parse == FRAME_COMPLETE && state == SLOT_BUSY &&
                    is_one_display_too_many(reader, frame)) {
                        reader->displays_truncated = true;
                        reader->parsed += *used;
                        reader->gap += *used;
                        continue;
                }
                if (reader->gap == 0)
                        return parse;
                close_gap(reader);
        }
}

static bool end_is_sound(const Frame *frame) {
        ResultEnd end;

        if (frame->body.size != sizeof(end))
                return false;
        memcpy(&end, frame->body.data, sizeof(end));
        return end.outcome >= OUTCOME_COMPLETED && end.outcome < _OUTCOME_MAX;
}

/* The event of a whole frame that is no part of a result. */
static SlotEvent take_event(ResultReader *reader, SlotEvent event, const Frame *frame,
                            size_t used) {
        if (event == SLOT_EV_END) {
                /* The run is over with this frame: whatever stands behind it was not written by our
                 * harness, unless that goes on and makes the worker new. */
                if (!end_is_sound(frame) ||
                    (used != reader->bytes.size - reader->parsed && !reader->worker_stays))
                        return SLOT_EV_VIOLATION;
                memcpy(&reader->end, frame->body.data, sizeof(reader->end));
                reader->ended = true;
        } else if (event == SLOT_EV_PROBED) {
                /* A canary has one answer. */
                if (frame->body.size != sizeof(reader->probed) || reader->present[RESULT_PROBED])
                        return SLOT_EV_VIOLATION;
                memcpy(&reader->probed, frame->body.data, sizeof(reader->probed));
                reader->present[RESULT_PROBED] = true;
        } else if (event == SLOT_EV_READY && reader->is_copy) {
                if (frame->body.size != sizeof(reader->fork_notes))
                        return SLOT_EV_VIOLATION;
                memcpy(&reader->fork_notes, frame->body.data, sizeof(reader->fork_notes));
        } else if (frame->body.size != 0) {
                return SLOT_EV_VIOLATION;
        }
        reader->parsed += used;
        return event;
}

ResultNext result_next(ResultReader *reader, SlotState state, unsigned *ret_kind,
                       SlotEvent *ret_event) {
        size_t used;
        Frame frame;
        int part;

        switch (next_frame(reader, state, &frame, &used)) {
        case FRAME_INCOMPLETE:
                return RESULT_NEXT_NONE;
        case FRAME_MALFORMED:
                *ret_event = SLOT_EV_VIOLATION;
                return RESULT_NEXT_EVENT;
        case FRAME_COMPLETE:
                break;
        }

        *ret_kind = frame.kind;
        *ret_event = slot_event_of_frame(state, frame.kind, &part);
        if (part && keep_part(reader, &frame)) {
                reader->parsed += used;
                return RESULT_NEXT_PART;
        }
        if (*ret_event != SLOT_EV_VIOLATION)
                *ret_event = take_event(reader, *ret_event, &frame, used);
        return RESULT_NEXT_EVENT;
}

static Slice at(const ResultReader *reader, ResultSpan span) {
        return slice_of(reader->bytes.data + span.offset, span.size);
}

Slice result_last_display(const ResultReader *reader) {
        assert(reader->n_displays > 0);
        return at(reader, reader->displays[reader->n_displays - 1]);
}

StreamPlace *result_last_place(ResultReader *reader) {
        assert(reader->n_displays > 0);
        return &reader->places[reader->n_displays - 1];
}

Slice result_failure(const ResultReader *reader) {
        Frame frame;
        size_t used;

        if (frame_parse(unread(reader), RESULT_TEXT_MAX, &frame, &used) != FRAME_COMPLETE ||
            frame.kind != RESULT_FAILED)
                return SLICE_NULL;
        return frame.body;
}

static Slice part_of(const ResultReader *reader, ResultKind kind) {
        return reader->present[kind] ? at(reader, reader->spans[kind]) : SLICE_NULL;
}

void result_fill(ResultReader *reader, RunResult *result) {
        result->value = part_of(reader, RESULT_VALUE);
        result->variables = part_of(reader, RESULT_VARIABLES);
        result->variables_repr = part_of(reader, RESULT_REPRS);
        result->error.type = part_of(reader, RESULT_ERROR_TYPE);
        result->error.message = part_of(reader, RESULT_ERROR_MESSAGE);
        result->error.traceback = part_of(reader, RESULT_ERROR_TRACEBACK);
        if (reader->present[RESULT_ERROR_LINE])
                memcpy(&result->error.line, part_of(reader, RESULT_ERROR_LINE).data,
                       sizeof(uint32_t));
        for (size_t i = 0; i < reader->n_displays; i++)
                reader->display_slices[i] = at(reader, reader->displays[i]);
        result->displays = reader->display_slices;
        result->places = reader->places;
        result->displays_before_value = reader->displays_before_value;
        result->switches = part_of(reader, RESULT_SWITCHES);
        result->n_displays = reader->n_displays;
        result->displays_truncated = reader->displays_truncated;
}

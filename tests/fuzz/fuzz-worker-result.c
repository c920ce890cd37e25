/*
 * What a worker may write to its result pipe, and in what pieces it may arrive. The first byte
 * chooses the state of its slot and the cap of a value, the second the sizes of the pieces.
 */
#include "pool/result.h"

#include <string.h>

#include "fuzz.h"
#include "jsontext/scan.h"
#include "wire/frame.h"

typedef struct Story {
        ResultNext last; /* RESULT_NEXT_NONE or RESULT_NEXT_EVENT */
        SlotEvent event;
        bool too_large;
} Story;

static const SlotState states[] = {SLOT_STARTING, SLOT_IDLE, SLOT_TOUCHING, SLOT_PROBING,
                                   SLOT_BUSY};
static const size_t value_maxima[] = {16, 300, 4096, 1 << 20};

static void check_document(const ResultReader *reader, Slice document, JsonKind kind) {
        if (document.size == 0)
                return;
        must(document.data >= reader->bytes.data);
        must(document.data + document.size <= reader->bytes.data + reader->bytes.size);
        must(document.size <= reader->value_bytes_max);
        must(json_is(document, kind, 0));
        must(json_check(document, 0).problem == JSON_FINE);
}

static void check_text(const ResultReader *reader, Slice text) {
        must(text.size <= RESULT_TEXT_MAX);
        must(text.size == 0 || (text.data >= reader->bytes.data &&
                                text.data + text.size <= reader->bytes.data + reader->bytes.size));
}

static void check(ResultReader *reader, SlotState state, RunResult *result) {
        size_t display_bytes = 0;

        must(reader->parsed <= reader->bytes.size);
        must(reader->bytes.size <= reader->bytes.limit);
        must(reader->gap == 0);

        *result = (RunResult){0};
        result_fill(reader, result);
        check_document(reader, result->value, JSON_OBJECT);
        check_document(reader, result->variables, JSON_OBJECT);
        check_document(reader, result->variables_repr, JSON_ARRAY);
        check_text(reader, result->error.type);
        check_text(reader, result->error.message);
        check_text(reader, result->error.traceback);
        check_text(reader, result_failure(reader));
        must(result->n_displays <= RESULT_DISPLAYS_MAX);
        for (size_t i = 0; i < result->n_displays; i++) {
                must(result->displays[i].size > 0);
                check_document(reader, result->displays[i], JSON_OBJECT);
                display_bytes += result->displays[i].size;
        }
        must(result->n_displays == 0 || result->places);
        must(result->displays_before_value <= result->n_displays);
        must(result->switches.size % sizeof(StreamPlace) == 0);
        must(result->switches.size <= RESULT_SWITCHES_MAX * sizeof(StreamPlace));
        must(display_bytes == reader->display_bytes);
        must(display_bytes <= reader->value_bytes_max);

        /* Only a run has a result. */
        if (state != SLOT_BUSY)
                must(!reader->ended && result->value.size == 0 && result->variables.size == 0 &&
                     result->n_displays == 0 && result->error.type.size == 0);
        if (reader->ended)
                must(reader->end.outcome >= OUTCOME_COMPLETED &&
                     reader->end.outcome < _OUTCOME_MAX);
}

/* Reads as pool/supervise.c does: everything up to the first event. */
static Story tell(ResultReader *reader, SlotState state, Slice bytes, uint8_t pieces) {
        Story story = {.last = RESULT_NEXT_NONE};
        RunResult result;
        uint32_t size = pieces;

        while (bytes.size > 0 && story.last == RESULT_NEXT_NONE) {
                unsigned kind = 0;
                size_t n;

                size = size * 1664525U + 1013904223U;
                n = pieces == 0 ? bytes.size : 1 + (size >> 8) % (pieces * 4U);
                if (n > bytes.size)
                        n = bytes.size;
                if (buffer_append(&reader->bytes, bytes.data, n) < 0) {
                        story.too_large = true;
                        break;
                }
                bytes = slice_of(bytes.data + n, bytes.size - n);

                do {
                        story.last = result_next(reader, state, &kind, &story.event);
                        if (story.last == RESULT_NEXT_PART)
                                must(state == SLOT_BUSY && kind >= RESULT_DISPLAY &&
                                     kind < RESULT_END);
                        if (story.last == RESULT_NEXT_PART && kind == RESULT_DISPLAY)
                                check_document(reader, result_last_display(reader), JSON_OBJECT);
                } while (story.last == RESULT_NEXT_PART);
                check(reader, state, &result);
        }
        if (story.last == RESULT_NEXT_EVENT)
                must(story.event == SLOT_EV_VIOLATION ||
                     (state == SLOT_STARTING && story.event == SLOT_EV_READY) ||
                     (state == SLOT_TOUCHING && story.event == SLOT_EV_TOUCHED) ||
                     (state == SLOT_PROBING && story.event == SLOT_EV_PROBED &&
                      reader->present[RESULT_PROBED]) ||
                     (state == SLOT_BUSY && story.event == SLOT_EV_END && reader->ended));
        return story;
}

static void same(Slice a, Slice b) {
        must(a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0));
}

/* In whatever pieces the bytes come, they say the same. What follows an end may come too late to
 * count. */
static void compare(ResultReader *whole, const Story *of_whole, ResultReader *cut,
                    const Story *of_cut, SlotState state) {
        RunResult a, b;

        if (of_whole->too_large || of_cut->too_large)
                return;
        if (of_whole->last == RESULT_NEXT_EVENT && of_whole->event == SLOT_EV_VIOLATION) {
                must(of_cut->last == RESULT_NEXT_EVENT);
                return;
        }
        must(of_whole->last == of_cut->last);
        if (of_whole->last == RESULT_NEXT_EVENT)
                must(of_whole->event == of_cut->event);
        check(whole, state, &a);
        check(cut, state, &b);
        same(a.value, b.value);
        same(a.variables, b.variables);
        same(a.variables_repr, b.variables_repr);
        same(a.error.type, b.error.type);
        same(a.error.message, b.error.message);
        same(a.error.traceback, b.error.traceback);
        must(a.error.line == b.error.line);
        must(a.displays_truncated == b.displays_truncated && a.n_displays == b.n_displays);
        must(a.displays_before_value == b.displays_before_value);
        same(a.switches, b.switches);
        for (size_t i = 0; i < a.n_displays; i++) {
                same(a.displays[i], b.displays[i]);
                must(memcmp(&a.places[i], &b.places[i], sizeof(a.places[i])) == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ResultReader whole, cut;
        Story of_whole, of_cut;
        SlotState state;
        size_t value_max;
        Slice bytes;

        if (size < 2)
                return 0;
        state = states[data[0] % N_ELEMENTS(states)];
        value_max = value_maxima[data[0] / 4 % N_ELEMENTS(value_maxima)];
        bytes = slice_of(data + 2, size - 2);

        result_reader_init(&whole, value_max);
        result_reader_init(&cut, value_max);
        of_whole = tell(&whole, state, bytes, 0);
        of_cut = tell(&cut, state, bytes, data[1] ? data[1] : 1);
        compare(&whole, &of_whole, &cut, &of_cut, state);

        /* A reader that was used before reads like a new one. */
        result_reader_clear(&cut);
        of_cut = tell(&cut, state, bytes, 0);
        must(of_cut.last == of_whole.last);
        compare(&whole, &of_whole, &cut, &of_cut, state);

        result_reader_done(&whole);
        result_reader_done(&cut);
        return 0;
}

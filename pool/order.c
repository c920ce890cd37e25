#include "pool/order.h"

#include <string.h>

static uint64_t total(const RunResult *result, RunStream stream) {
        const RunOutput *output = &result->output[stream];

        /* Of what could not be kept for lack of memory, there is nothing to cut. */
        return output->truncated ? output->total_bytes : output->head.size;
}

/* What of a slice that begins at start in its stream lies between the two. */
static Slice overlap(Slice slice, uint64_t start, uint64_t from, uint64_t to) {
        uint64_t end = start + slice.size;

        if (from < start)
                from = start;
        if (to > end)
                to = end;
        return from < to ? slice_of(slice.data + (from - start), to - from) : SLICE_NULL;
}

/* The piece that begins before what was left out has the mark of it. */
static RunOutput cut(const RunOutput *output, uint64_t from, uint64_t to) {
        uint64_t gap_from = output->head.size, gap_to = output->total_bytes - output->tail.size;
        RunOutput piece = {.head = overlap(output->head, 0, from, to)};

        piece.total_bytes = piece.head.size;
        if (!output->truncated)
                return piece;
        piece.tail = overlap(output->tail, gap_to, from, to);
        piece.truncated = from <= gap_from && gap_from < to;
        piece.total_bytes += piece.tail.size + (piece.truncated ? gap_to - gap_from : 0);
        return piece;
}

static bool next_output(RunOrder *order, RunPiece *ret_piece) {
        for (int i = 0; i < _RUN_STREAMS; i++) {
                uint64_t from = order->at[i];

                if (from == order->to[i])
                        continue;
                order->at[i] = order->to[i];
                *ret_piece = (RunPiece){
                        .kind = PIECE_OUTPUT,
                        .stream = (RunStream) i,
                        .output = cut(&order->result->output[i], from, order->to[i]),
                };
                if (ret_piece->output.total_bytes > 0)
                        return true;
        }
        return false;
}

static const StreamPlace at_the_end = {.bytes = {UINT64_MAX, UINT64_MAX}};

/* A worker may claim anything: it goes forward only, and not beyond what there is. */
static void go_to(RunOrder *order, const StreamPlace *place) {
        for (int i = 0; i < _RUN_STREAMS; i++) {
                uint64_t end = total(order->result, (RunStream) i);
                uint64_t to = place->bytes[i] < end ? place->bytes[i] : end;

                if (order->to[i] < to)
                        order->to[i] = to;
        }
}

static StreamPlace place_of_display(const RunOrder *order) {
        const RunResult *result = order->result;

        return result->places && order->next_display < result->n_displays
                       ? result->places[order->next_display]
                       : at_the_end;
}

/* Whether one of the places lies before the other, in a history in which both are true. */
static bool is_before(const StreamPlace *a, const StreamPlace *b) {
        return a->bytes[RUN_STDOUT] <= b->bytes[RUN_STDOUT] &&
               a->bytes[RUN_STDERR] <= b->bytes[RUN_STDERR];
}

static bool next_switch(const RunOrder *order, StreamPlace *ret_place) {
        Slice switches = order->result->switches;

        if (order->next_switch >= switches.size / sizeof(*ret_place))
                return false;
        memcpy(ret_place, switches.data + order->next_switch * sizeof(*ret_place),
               sizeof(*ret_place));
        return true;
}

static void take_document(RunOrder *order, RunPieceKind kind, Slice document) {
        order->has_document = true;
        order->document = (RunPiece){.kind = kind, .document = document};
}

/* Decides what is to be handed out next. */
static void advance(RunOrder *order) {
        const RunResult *result = order->result;
        StreamPlace display = place_of_display(order), place;

        if (next_switch(order, &place) && is_before(&place, &display)) {
                order->next_switch++;
                go_to(order, &place);
                return;
        }
        go_to(order, &display);
        if (order->is_value_next && order->next_display >= result->displays_before_value) {
                order->is_value_next = false;
                take_document(order, PIECE_VALUE, result->value);
        } else if (order->next_display < result->n_displays) {
                take_document(order, PIECE_DISPLAY, result->displays[order->next_display++]);
        } else {
                order->is_at_end = true;
        }
}

RunOrder order_of(const RunResult *result) {
        return (RunOrder){.result = result, .is_value_next = result->value.size > 0};
}

bool order_next(RunOrder *order, RunPiece *ret_piece) {
        for (;;) {
                if (next_output(order, ret_piece))
                        return true;
                if (order->has_document) {
                        order->has_document = false;
                        *ret_piece = order->document;
                        return true;
                }
                if (order->is_at_end)
                        return false;
                advance(order);
        }
}

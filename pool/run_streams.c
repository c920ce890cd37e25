/*
 * run_streams: what a run prints, while it runs and at its end.
 *
 * Displays come through another pipe. A worker writes a display before whatever it prints after it,
 * and says how much it had printed before. So what is read from a stream is *held* until the result
 * pipe has been read to its end: by then every display that belongs before it, or into the middle
 * of it, has come.
 */

#include <assert.h>
#include <unistd.h>

#include "pool/internal.h"

#define READ_CHUNK 65536

/* Chunks read from one stream in one turn, so that a flood does not keep others waiting; and for
 * one display, since no more than a pipe holds can have been printed before it and not been read.
 */
#define CHUNKS_PER_TURN 16

/* A worker may have made its pipes larger, up to /proc/sys/fs/pipe-max-size, 1 MiB as a rule. */
#define CHUNKS_AT_END 32

/* Of the slot that is being looked after; there is one thread, and when the look is over, nothing
 * is held. */
static uint8_t chunks[_RUN_STREAMS][READ_CHUNK];
static Slice held[_RUN_STREAMS];
static const Slot *holder;

static void drop_held(void) {
        for (int i = 0; i < _RUN_STREAMS; i++)
                held[i] = SLICE_NULL;
}

bool slot_holds_output(const Slot *slot) {
        return holder == slot && held[RUN_STDOUT].size + held[RUN_STDERR].size > 0;
}

/* Reads what is there, unless something is held. Returns how much that was. */
static size_t read_chunk(Slot *slot, RunStream stream) {
        int *fd = &slot->worker.stream_fds[stream];
        ssize_t n;

        assert(holder == slot || held[RUN_STDOUT].size + held[RUN_STDERR].size == 0);
        holder = slot;
        if (*fd < 0 || held[stream].size > 0)
                return 0;
        n = read(*fd, chunks[stream], READ_CHUNK);
        /* Every writer has closed it. A watched descriptor would now be readable for ever. */
        if (n == 0)
                close_fd(fd);
        if (n <= 0)
                return 0;
        held[stream] = slice_of(chunks[stream], (size_t) n);
        return (size_t) n;
}

/* Hands on what is held, up to that place in the stream. */
static void hand_on(Slot *slot, RunStream stream, uint64_t end) {
        Run *run = slot->run;
        OutputCapture *capture = &slot->output[stream];
        uint64_t room = run->limits.of[LIMIT_OUTPUT_BYTES];
        Slice part = held[stream];

        if (capture->total >= end || part.size == 0)
                return;
        if (part.size > end - capture->total)
                part.size = end - capture->total;
        room = room > capture->total ? room - capture->total : 0;
        if (run->callbacks.output && room > 0)
                run->callbacks.output(run->data, stream,
                                      slice_of(part.data, part.size < room ? part.size : room));
        /* The callback may have cancelled the run. */
        if (slot->state != SLOT_BUSY) {
                drop_held();
                return;
        }
        held[stream] = slice_of(held[stream].data + part.size, held[stream].size - part.size);
        if (output_append(capture, part) < 0 && slot->cause == CAUSE_NONE)
                slot->cause = CAUSE_INTERNAL;
}

void slot_hand_on_output(Slot *slot) {
        for (int i = 0; i < _RUN_STREAMS && slot_holds_output(slot); i++) {
                if (slot->state == SLOT_BUSY)
                        hand_on(slot, (RunStream) i, UINT64_MAX);
                else
                        drop_held();
        }
}

void slot_reach_place(Slot *slot, StreamPlace *place) {
        for (int i = 0; i < _RUN_STREAMS; i++) {
                const OutputCapture *capture = &slot->output[i];

                for (unsigned n = 0; n < CHUNKS_PER_TURN && capture->total < place->bytes[i]; n++) {
                        (void) read_chunk(slot, (RunStream) i);
                        if (held[i].size == 0)
                                break;
                        hand_on(slot, (RunStream) i, place->bytes[i]);
                        if (slot->state != SLOT_BUSY)
                                return;
                }
                place->bytes[i] = capture->total;
        }
}

static void check_output(Slot *slot) {
        Run *run = slot->run;

        if (!run || !run->output_overrun_kills || slot->cause != CAUSE_NONE)
                return;
        for (int i = 0; i < _RUN_STREAMS; i++) {
                if (slot->output[i].total > run->limits.of[LIMIT_OUTPUT_BYTES])
                        slot->cause = CAUSE_OUTPUT;
        }
}

void slot_on_stream(Slot *slot, RunStream stream) {
        for (unsigned i = 0; i < CHUNKS_PER_TURN && slot->state == SLOT_BUSY; i++) {
                size_t n = read_chunk(slot, stream);

                /* This hands on what is held when it knows which displays come before. The run may
                 * be over then, and another one have begun. */
                if (n > 0 && slot->run->has_displays)
                        slot_on_result(slot);
                else
                        slot_hand_on_output(slot);
                if (n < READ_CHUNK)
                        break;
        }
        if (slot->state != SLOT_BUSY)
                return;
        check_output(slot);
        if (slot->cause != CAUSE_NONE)
                slot_end_run(slot, slot->cause);
}

/* Until it is empty: what a dead worker has left is all there. */
static void drain(Slot *slot, RunStream stream) {
        for (unsigned i = 0; i < CHUNKS_AT_END && slot->state == SLOT_BUSY; i++) {
                size_t n = read_chunk(slot, stream);

                if (n == 0)
                        return;
                hand_on(slot, stream, UINT64_MAX);
                if (n < READ_CHUNK)
                        return;
        }
}

void slot_drain_streams(Slot *slot) {
        slot_hand_on_output(slot);
        for (int i = 0; i < _RUN_STREAMS; i++)
                drain(slot, (RunStream) i);
        check_output(slot);
}

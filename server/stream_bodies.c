#include "server/stream_bodies.h"

#include <string.h>

#define FRAME_HEAD_BYTES 9
#define FRAME_DATA       0

typedef struct Frame {
        size_t size; /* with its head */
        uint8_t type;
        uint32_t stream_id;
        size_t payload_size;
} Frame;

/* The next complete frame. The preface that stands before the first one counts as one of no type
 * that is known: as a frame it would be larger than any may be. */
static bool read_frame(Slice input, Frame *ret_frame) {
        static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        const uint8_t *head = input.data;

        if (input.size >= sizeof(preface) - 1 && memcmp(head, preface, sizeof(preface) - 1) == 0) {
                *ret_frame = (Frame){.size = sizeof(preface) - 1, .type = UINT8_MAX};
                return true;
        }
        if (input.size < FRAME_HEAD_BYTES)
                return false;
        ret_frame->payload_size = (size_t) head[0] << 16 | (size_t) head[1] << 8 | head[2];
        ret_frame->size = FRAME_HEAD_BYTES + ret_frame->payload_size;
        ret_frame->type = head[3];
        ret_frame->stream_id = (uint32_t) (head[5] & 0x7f) << 24 | (uint32_t) head[6] << 16 |
                               (uint32_t) head[7] << 8 | head[8];
        return ret_frame->size <= input.size;
}

static Slice after(Slice input, const Frame *frame) {
        return slice_of(input.data + frame->size, input.size - frame->size);
}

bool stream_bodies_has_data(Slice input) {
        Frame frame;

        for (; read_frame(input, &frame); input = after(input, &frame)) {
                if (frame.type == FRAME_DATA)
                        return true;
        }
        return false;
}

static StreamBody *find(StreamBodies *bodies, uint32_t stream_id) {
        for (unsigned i = 0; i < bodies->n; i++) {
                if (bodies->of[i].stream_id == stream_id)
                        return &bodies->of[i];
        }
        return NULL;
}

static void remove_body(StreamBodies *bodies, StreamBody *body) {
        bodies->bytes -= body->bytes;
        *body = bodies->of[--bodies->n];
}

static void count(StreamBodies *bodies, const Frame *frame, uint64_t body_bytes_max,
                  uint64_t now_ns) {
        StreamBody *body = find(bodies, frame->stream_id);
        uint64_t bytes = frame->payload_size;

        if (!body && bodies->n == STREAM_BODIES_MAX) {
                bodies->other_bytes += bytes;
                bodies->bytes += bytes;
                return;
        }
        if (!body) {
                body = &bodies->of[bodies->n++];
                *body = (StreamBody){.stream_id = frame->stream_id, .since_ns = now_ns};
        }
        if (bytes > body_bytes_max - body->bytes)
                bytes = body_bytes_max - body->bytes;
        body->bytes += bytes;
        bodies->bytes += bytes;
}

void stream_bodies_count(StreamBodies *bodies, Slice input, uint64_t body_bytes_max,
                         uint64_t now_ns) {
        Frame frame;

        for (; read_frame(input, &frame); input = after(input, &frame)) {
                if (frame.type == FRAME_DATA)
                        count(bodies, &frame, body_bytes_max, now_ns);
        }
}

void stream_bodies_complete(StreamBodies *bodies, uint32_t stream_id) {
        StreamBody *body = find(bodies, stream_id);

        if (body)
                body->is_complete = true;
}

void stream_bodies_remove(StreamBodies *bodies, uint32_t stream_id) {
        StreamBody *body = find(bodies, stream_id);

        if (body)
                remove_body(bodies, body);
}

void stream_bodies_keep(StreamBodies *bodies, bool (*is_live)(uint32_t stream_id, void *data),
                        void *data) {
        for (unsigned i = bodies->n; i-- > 0;) {
                if (!is_live(bodies->of[i].stream_id, data))
                        remove_body(bodies, &bodies->of[i]);
        }
        bodies->bytes -= bodies->other_bytes;
        bodies->other_bytes = 0;
}

uint64_t stream_bodies_oldest_ns(const StreamBodies *bodies) {
        uint64_t oldest_ns = UINT64_MAX;

        for (unsigned i = 0; i < bodies->n; i++) {
                if (!bodies->of[i].is_complete && bodies->of[i].since_ns < oldest_ns)
                        oldest_ns = bodies->of[i].since_ns;
        }
        return oldest_ns;
}

/* What a worker may write to its result pipe: any bytes. */
#include "wire/frame.h"

#include <string.h>

#include "fuzz.h"

static FrameParse parse(Slice bytes, size_t body_max, Frame *ret_frame, size_t *ret_used) {
        FrameParse parse = frame_parse(bytes, body_max, ret_frame, ret_used);

        if (parse != FRAME_COMPLETE)
                return parse;
        must(*ret_used == sizeof(FrameHeader) + ret_frame->body.size);
        must(*ret_used <= bytes.size);
        must(ret_frame->body.size <= body_max);
        must(ret_frame->body.data == bytes.data + sizeof(FrameHeader));
        return parse;
}

/* What a prefix says must agree with what the whole says: a reader sees prefixes in any division.
 */
static void check_prefix(Slice bytes, size_t size, size_t body_max, FrameParse whole, size_t used) {
        Frame frame;
        size_t prefix_used;
        FrameParse prefix = parse(slice_of(bytes.data, size), body_max, &frame, &prefix_used);

        switch (prefix) {
        case FRAME_COMPLETE:
                must(whole == FRAME_COMPLETE && prefix_used == used);
                break;
        case FRAME_MALFORMED:
                must(whole == FRAME_MALFORMED);
                break;
        case FRAME_INCOMPLETE:
                must(whole != FRAME_COMPLETE || size < used);
                break;
        }
}

static void check_comes_back(Slice bytes, const Frame *frame, size_t used) {
        _cleanup_(buffer_done) Buffer again = {0};

        must(frame_append(&again, frame->kind, frame->body) == 0);
        must(again.size == used && memcmp(again.data, bytes.data, used) == 0);
}

static void walk(Slice bytes, size_t body_max) {
        for (;;) {
                Frame frame;
                size_t used = 0;
                FrameParse whole = parse(bytes, body_max, &frame, &used);
                size_t prefixes = bytes.size < 64 ? bytes.size : 64;

                for (size_t size = 0; size < prefixes; size++)
                        check_prefix(bytes, size, body_max, whole, used);
                if (whole != FRAME_COMPLETE)
                        return;
                check_prefix(bytes, used, body_max, whole, used);
                check_prefix(bytes, used - 1, body_max, whole, used);
                check_comes_back(bytes, &frame, used);
                bytes = slice_of(bytes.data + used, bytes.size - used);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const size_t body_maxima[] = {0, 1, 40, 4096, FRAME_BODY_MAX};

        for (size_t i = 0; i < N_ELEMENTS(body_maxima); i++)
                walk(slice_of(data, size), body_maxima[i]);
        return 0;
}

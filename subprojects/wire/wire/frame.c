#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#define FRAME_MAGIC 0x48544331U /* "HTC1" */

FrameParse frame_parse(Slice bytes, size_t body_max, Frame *ret_frame, size_t *ret_used) {
        FrameHeader header;

        assert(body_max <= FRAME_BODY_MAX);
        if (bytes.size < sizeof(header))
                return FRAME_INCOMPLETE;
        memcpy(&header, bytes.data, sizeof(header)); /* no cast: bytes may be unaligned */

        if (header.magic != FRAME_MAGIC || header.size > body_max)
                return FRAME_MALFORMED;
        if (bytes.size - sizeof(header) < header.size)
                return FRAME_INCOMPLETE;

        *ret_frame = (Frame){header.kind, slice_of(bytes.data + sizeof(header), header.size)};
        *ret_used = sizeof(header) + header.size;
        return FRAME_COMPLETE;
}

FrameHeader frame_header(uint32_t kind, uint64_t size) {
        return (FrameHeader){.magic = FRAME_MAGIC, .kind = kind, .size = size};
}

int frame_append(Buffer *out, uint32_t kind, Slice body) {
        FrameHeader header = frame_header(kind, body.size);
        int r;

        r = buffer_reserve(out, sizeof(header) + body.size);
        if (r < 0)
                return r;
        r = buffer_append(out, &header, sizeof(header));
        if (r < 0)
                return r;
        return buffer_append(out, body.data, body.size);
}

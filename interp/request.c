#include "interp/request.h"

#include <errno.h>
#include <string.h>

#include "wire/frame.h"

void request_done(Request *request) {
        buffer_done(&request->arguments.store);
        buffer_done(&request->environment.store);
        buffer_done(&request->variables.store);
        buffer_done(&request->file_paths.store);
        buffer_done(&request->file_contents.store);
}

RequestParse request_scan(RequestScan *scan, Slice bytes) {
        if (bytes.size > REQUEST_BYTES_MAX)
                return REQUEST_MALFORMED;
        for (;;) {
                Slice rest = slice_of(bytes.data + scan->offset, bytes.size - scan->offset);
                FrameHeader header;
                Frame frame;
                size_t used;

                switch (frame_parse(rest, FRAME_BODY_MAX, &frame, &used)) {
                case FRAME_MALFORMED:
                        return REQUEST_MALFORMED;
                case FRAME_INCOMPLETE:
                        scan->missing = sizeof(header) - rest.size;
                        if (rest.size >= sizeof(header)) {
                                memcpy(&header, rest.data, sizeof(header));
                                scan->missing = sizeof(header) + header.size - rest.size;
                        }
                        if (scan->missing > REQUEST_BYTES_MAX - bytes.size)
                                return REQUEST_MALFORMED;
                        return REQUEST_INCOMPLETE;
                case FRAME_COMPLETE:
                        break;
                }
                scan->offset += used;
                if (++scan->n_frames > REQUEST_FRAMES_MAX)
                        return REQUEST_MALFORMED;
                if (frame.kind == REQUEST_END)
                        return REQUEST_COMPLETE;
                /* Each of these is a request of its own, so it ends where it stands. */
                if (frame.kind == REQUEST_TOUCH || frame.kind == REQUEST_PROBE)
                        return scan->n_frames == 1 ? REQUEST_COMPLETE : REQUEST_MALFORMED;
        }
}

static RequestParse add_slice(SliceList *list, Slice slice) {
        return buffer_append(&list->store, &slice, sizeof(slice)) < 0 ? REQUEST_NO_MEMORY
                                                                      : REQUEST_COMPLETE;
}

/* Sets what may come once. An empty slice cannot tell "not there" from "empty", and need not. */
static RequestParse set_slice(Slice *slot, Slice slice) {
        if (slot->data)
                return REQUEST_MALFORMED;
        *slot = slice;
        return REQUEST_COMPLETE;
}

static RequestParse decode_frame(const Frame *frame, Request *request) {
        size_t n_paths = slice_list_count(&request->file_paths);
        size_t n_contents = slice_list_count(&request->file_contents);

        if (n_paths != n_contents && frame->kind != REQUEST_FILE_CONTENT)
                return REQUEST_MALFORMED;

        switch ((RequestKind) frame->kind) {
        case REQUEST_TOUCH:
                request->is_touch = true;
                return frame->body.size == 0 ? REQUEST_COMPLETE : REQUEST_MALFORMED;
        case REQUEST_PROBE:
                request->probe = frame->body;
                return frame->body.size > 0 ? REQUEST_COMPLETE : REQUEST_MALFORMED;
        case REQUEST_CODE:
                return set_slice(&request->code, frame->body);
        case REQUEST_STDIN:
                return set_slice(&request->stdin_bytes, frame->body);
        case REQUEST_DATA:
                return set_slice(&request->data, frame->body);
        case REQUEST_ARGUMENT:
                return add_slice(&request->arguments, frame->body);
        case REQUEST_ENVIRONMENT:
                return add_slice(&request->environment, frame->body);
        case REQUEST_VARIABLE:
                return add_slice(&request->variables, frame->body);
        case REQUEST_FILE_PATH:
                return add_slice(&request->file_paths, frame->body);
        case REQUEST_FILE_CONTENT:
                if (n_paths != n_contents + 1)
                        return REQUEST_MALFORMED;
                return add_slice(&request->file_contents, frame->body);
        case REQUEST_END:
                if (frame->body.size != sizeof(request->options))
                        return REQUEST_MALFORMED;
                memcpy(&request->options, frame->body.data, sizeof(request->options));
                return REQUEST_COMPLETE;
        }
        return REQUEST_MALFORMED;
}

RequestParse request_decode(Slice bytes, Request *ret_request) {
        memset(ret_request, 0, sizeof(*ret_request));

        while (bytes.size > 0) {
                RequestParse parse;
                Frame frame;
                size_t used;

                if (frame_parse(bytes, FRAME_BODY_MAX, &frame, &used) != FRAME_COMPLETE)
                        return REQUEST_MALFORMED;
                parse = decode_frame(&frame, ret_request);
                if (parse != REQUEST_COMPLETE)
                        return parse;
                bytes = slice_of(bytes.data + used, bytes.size - used);
        }
        return REQUEST_COMPLETE;
}

#include "interp/report.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "wire/frame.h"

/* Above this the store is given back after a run. */
#define KEEP_CAPACITY 65536

void report_add(Report *report, ResultKind kind, Slice body) {
        if (report->is_ended)
                return;
        if (frame_append(&report->pending, kind, body) < 0)
                return;
}

void report_add_display(Report *report, StreamPlace place, Slice document) {
        FrameHeader header = frame_header(RESULT_DISPLAY, sizeof(place) + document.size);

        if (report->is_ended ||
            buffer_reserve(&report->pending, sizeof(header) + header.size) < 0 ||
            buffer_append(&report->pending, &header, sizeof(header)) < 0 ||
            buffer_append(&report->pending, &place, sizeof(place)) < 0 ||
            buffer_append(&report->pending, document.data, document.size) < 0)
                return;
}

static void write_all(int fd, Slice bytes) {
        while (bytes.size > 0) {
                ssize_t n = write(fd, bytes.data, bytes.size);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        _exit(0);
                }
                bytes = slice_of(bytes.data + n, bytes.size - (size_t) n);
        }
}

void report_send(Report *report) {
        if (report->fd >= 0)
                write_all(report->fd, buffer_slice(&report->pending));
        report->pending.size = 0;
        if (report->pending.capacity > KEEP_CAPACITY)
                buffer_done(&report->pending);
}

void report_end(Report *report, ResultEnd end) {
        struct {
                FrameHeader header;
                ResultEnd end;
        } frame = {frame_header(RESULT_END, sizeof(end)), end};

        assert(!report->is_ended);
        if (buffer_append(&report->pending, &frame, sizeof(frame)) < 0) {
                /* Out of memory: what is queued goes first, and the end, which must not get lost,
                 * behind it. */
                report_send(report);
                report->is_ended = true;
                write_all(report->fd, slice_of(&frame, sizeof(frame)));
                return;
        }
        report->is_ended = true;
        report_send(report);
}

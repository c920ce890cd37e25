#include "interp/receive.h"

#include <Python.h>

#include <errno.h>
#include <unistd.h>

#include "interp/confine.h"

static ssize_t read_pipe(void *data, size_t size, bool lets_threads_run) {
        PyThreadState *state = lets_threads_run ? PyEval_SaveThread() : NULL;
        ssize_t n;
        int error;

        do
                n = read(WORKER_FD_REQUEST, data, size);
        while (n < 0 && errno == EINTR);
        error = errno;
        if (state)
                PyEval_RestoreThread(state);
        errno = error;
        return n;
}

static ssize_t read_some(Buffer *bytes, size_t wanted, bool lets_threads_run) {
        ssize_t n;

        if (buffer_reserve(bytes, wanted) < 0)
                return -ENOMEM;
        n = read_pipe(bytes->data + bytes->size, bytes->capacity - bytes->size, lets_threads_run);
        if (n < 0)
                _exit(WORKER_EXIT_PROTOCOL);
        bytes->size += (size_t) n;
        return n;
}

static _Noreturn void end_without_memory(Report *report) {
        report_add(report, RESULT_ERROR_TYPE, slice_of_text("MemoryError"));
        report_add(report, RESULT_ERROR_MESSAGE,
                   slice_of_text("the request is larger than the memory that the run may use"));
        report_end(report, (ResultEnd){.outcome = OUTCOME_RAISED, .exit_code = 1});
        _exit(0);
}

/* Until the frame that ends it is there. */
static void read_whole(Buffer *bytes, Report *report, bool lets_threads_run) {
        RequestScan scan = {0};
        size_t wanted = RECEIVE_SIZE / 2;

        bytes->size = 0;
        for (;;) {
                ssize_t n = read_some(bytes, wanted, lets_threads_run);

                if (n == -ENOMEM)
                        end_without_memory(report);
                if (n == 0)
                        _exit(bytes->size == 0 ? 0 : WORKER_EXIT_PROTOCOL);
                switch (request_scan(&scan, buffer_slice(bytes))) {
                case REQUEST_INCOMPLETE:
                        /* No more than doubles: a size is only believed as its bytes arrive. */
                        wanted = scan.missing < bytes->size ? scan.missing : bytes->size;
                        continue;
                case REQUEST_COMPLETE:
                        /* Nothing may follow a request before it is answered. */
                        if (scan.offset != bytes->size)
                                _exit(WORKER_EXIT_PROTOCOL);
                        return;
                case REQUEST_MALFORMED:
                case REQUEST_NO_MEMORY:
                        _exit(WORKER_EXIT_PROTOCOL);
                }
        }
}

void receive_request(Buffer *bytes, Report *report, bool lets_threads_run, Request *ret_request) {
        read_whole(bytes, report, lets_threads_run);
        switch (request_decode(buffer_slice(bytes), ret_request)) {
        case REQUEST_COMPLETE:
                return;
        case REQUEST_NO_MEMORY:
                end_without_memory(report);
        case REQUEST_INCOMPLETE:
        case REQUEST_MALFORMED:
                break;
        }
        _exit(WORKER_EXIT_PROTOCOL);
}

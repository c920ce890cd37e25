#include "interp/session.h"

#include <Python.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interp/compat.h"
#include "interp/confine.h"
#include "interp/copy.h"
#include "interp/execute.h"
#include "interp/filter/policy.h"
#include "interp/interrupts.h"
#include "interp/receive.h"
#include "interp/runtime.h"

/* What a large request took is given back: it counts for the session's memory. */
#define KEEP_CAPACITY ((size_t) 1 << 20)

/* What a thread or a signal handler of the code's raises in the harness comes once. */
#define LEAVE_TRIES 3

_Static_assert(CONTROL_FD == WORKER_FD_CONTROL, "the filter lets no other socket receive");

int session_settle(Worker *worker) {
        const SpawnCommand *command = worker->command;
        _pyowned_ PyObject *result = NULL;
        char folder[CONFINE_FOLDER_SIZE];

        (void) snprintf(worker->home, sizeof(worker->home), "%s/work/%s", command->directory,
                        confine_session_folder(command, folder));
        confine_session_temporary(command, worker->temporary, sizeof(worker->temporary));
        result = runtime_call(
                RUNTIME_SETTLE, "(ssN)", worker->home, worker->temporary,
                PyUnicode_FromFormat("%s/packages/%u", command->directory, command->member));
        return result ? 0 : -1;
}

/* Threads of the code run meanwhile, as they do while a prompt waits. */
static void await_request(Worker *worker) {
        struct pollfd fds[] = {
                {.fd = WORKER_FD_REQUEST, .events = POLLIN},
                {.fd = WORKER_FD_CONTROL, .events = POLLIN},
        };

        for (;;) {
                PyThreadState *state = PyEval_SaveThread();
                int n = poll(fds, N_ELEMENTS(fds), -1);
                int error = errno;

                PyEval_RestoreThread(state);
                if (n < 0 && error != EINTR)
                        _exit(WORKER_EXIT_PROTOCOL);
                if (n > 0 && fds[0].revents)
                        return;
                if (n > 0 && fds[1].revents && !copy_on_control(worker))
                        fds[1].fd = -1;
        }
}

/* Each run's source has a name of its own, so that a function shows the right lines ever after. */
static int enter_next_run(const Worker *worker) {
        _pyowned_ PyObject *result = NULL;
        PyObject *name;

        if (worker->n_sources == 0)
                return 0;
        name = PyUnicode_FromFormat("<snippet %u>", worker->n_sources + 1);
        if (!name)
                return -1;
        runtime_set_source_name(name);
        result = runtime_call(RUNTIME_ENTER_RUN, "(OO)", execute_namespace(), name);
        return result ? 0 : -1;
}

static void leave_run(void) {
        for (int i = 0; i < LEAVE_TRIES; i++) {
                _pyowned_ PyObject *result = runtime_call_plain(RUNTIME_LEAVE_RUN);

                if (result)
                        return;
                PyErr_Clear();
        }
}

/* What the answer need not wait for: a caller who rests finds it done. The clock's limit goes last,
 * since what the code has left may be run by all that comes before it. */
static void rest(Worker *worker, Request *request) {
        leave_run();
        worker->n_runs++;
        worker->n_sources += request->code.size > 0;
        request_done(request);
        if (enter_next_run(worker) < 0)
                PyErr_Clear();
        if (worker->bytes.capacity > KEEP_CAPACITY)
                buffer_done(&worker->bytes);
        if (worker->command->layers & layer_bit(LAYER_RLIMITS))
                confine_rest();
}

static void run(Worker *worker, Request *request) {
        ResultEnd end;

        if (worker_apply_limits(worker, &request->options) < 0)
                _exit(WORKER_EXIT_UNCONFINED);
        worker->report.is_ended = false;
        end = execute_run(request, &worker->report);
        interrupts_ignore();
        runtime_set_report(NULL);
        report_end(&worker->report, end);
        rest(worker, request);
}

_Noreturn void session_serve(Worker *worker) {
        Request request;

        interrupts_ignore();
        for (;;) {
                await_request(worker);
                interrupts_note();
                if (worker_receive(worker, &request))
                        run(worker, &request);
                else
                        interrupts_ignore();
        }
}

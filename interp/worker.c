#include "interp/worker.h"

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "interp/compat.h"
#include "interp/confine.h"
#include "interp/confine_filter.h"
#include "interp/execute.h"
#include "interp/probe.h"
#include "interp/receive.h"
#include "interp/reset.h"
#include "interp/runtime.h"
#include "interp/session.h"
#include "interp/touch.h"

/* CPython 3.11 specializes bytecode that has been run eight times. */
#define TINY_TIMES 16

/* Says which step failed, and why. The result pipe may not be in its place yet. */
static _Noreturn void fail(int fd, const char *step, const char *why) {
        Report report = REPORT_INIT(fd);
        char text[512];

        (void) snprintf(text, sizeof(text), "%s: %s", step, why);
        report_add(&report, RESULT_FAILED, slice_of_text(text));
        report_send(&report);
        _exit(WORKER_EXIT_UNCONFINED);
}

static _Noreturn void fail_in_python(const char *step) {
        _pyowned_ PyObject *exception = compat_take_exception();
        _pyowned_ PyObject *text = exception ? PyObject_Str(exception) : NULL;
        const char *why = text ? PyUnicode_AsUTF8(text) : NULL;

        fail(WORKER_FD_RESULT, step, why ? why : "no reason given");
}

/* Returns 0, or -1 with a Python exception set: there is no namespace for a next run. */
static int rehearse_source(Worker *worker, Slice source, uint64_t value_bytes) {
        Request request = {
                .code = source,
                .options = {.flags = REQUEST_WANT_VALUE | REQUEST_WANT_DISPLAYS,
                            .value_bytes = value_bytes},
        };

        (void) execute_run(&request, &worker->report);
        worker->report.pending.size = 0;
        return execute_prepare();
}

/*
 * A run of nothing: what a small run writes to is private to this process from then on, and it
 * takes no page fault. Twice, since the second finds other free memory than the first. The general
 * way of encoding a value is left out: some hundred pages in every spare, for some runs.
 */
static int rehearse(Worker *worker) {
        static const Slice sources[] = {
                SLICE_LITERAL("print(end='')\n1 + 1"),
                SLICE_LITERAL("print(end='')\n1 + 1"),
        };

        for (size_t i = 0; i < N_ELEMENTS(sources); i++) {
                if (rehearse_source(worker, sources[i], 4096) < 0)
                        return -1;
        }
        /* The first pages of the request's store. */
        memset(worker->bytes.data, 0,
               worker->bytes.capacity < 8192 ? worker->bytes.capacity : 8192);
        return 0;
}

static void prepare(Worker *worker) {
        _pyowned_ PyObject *result = NULL;

        result = runtime_call(RUNTIME_AFTER_FORK, "(s)", worker->command->directory);
        if (!result)
                fail_in_python("new random state");
        if (worker->command->flags & SPAWN_SESSION && session_settle(worker) < 0)
                fail_in_python("places of the session");
        if (execute_prepare() < 0)
                fail_in_python("namespace");
        if (buffer_reserve(&worker->bytes, RECEIVE_SIZE) < 0)
                fail(WORKER_FD_RESULT, "memory", strerror(ENOMEM));
        (void) PyGC_Enable();
        if (worker->command->flags & SPAWN_REHEARSE && rehearse(worker) < 0)
                fail_in_python("rehearsal");
}

static Slice slice_of_bytes(PyObject *bytes) {
        return slice_of(PyBytes_AS_STRING(bytes), (size_t) PyBytes_GET_SIZE(bytes));
}

static int practise(Worker *worker, PyObject *sources) {
        for (unsigned i = 0; i < TINY_TIMES; i++) {
                if (rehearse(worker) < 0)
                        return -1;
        }
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(sources); i++) {
                if (rehearse_source(worker, slice_of_bytes(PyList_GET_ITEM(sources, i)), 1 << 20) <
                    0)
                        return -1;
        }
        return 0;
}

int worker_practise(const char *warm_up, bool common_only, unsigned times) {
        _pyowned_ PyObject *sources =
                runtime_call(RUNTIME_CORPUS, "(zi)", warm_up, (int) common_only);
        Worker worker = {.report = REPORT_INIT(-1)};
        int r = 0;

        if (!sources || buffer_reserve(&worker.bytes, RECEIVE_SIZE) < 0 || execute_prepare() < 0)
                return -1;
        for (unsigned i = 0; i < times && r == 0; i++)
                r = practise(&worker, sources);
        buffer_done(&worker.bytes);
        buffer_done(&worker.report.pending);
        return r;
}

void worker_record(void *warm_up) {
        static const SpawnCommand command = {.directory = "/nonexistent", .flags = SPAWN_REHEARSE};
        Worker worker = {.command = &command, .report = REPORT_INIT(-1)};

        prepare(&worker);
        (void) worker_practise(warm_up, true, 1);
}

int worker_apply_limits(Worker *worker, const RequestOptions *options) {
        RunLimits limits = {
                .address_bytes = worker->address_bytes + options->memory_bytes,
                .cpu_seconds = options->cpu_seconds,
                .file_bytes = options->file_bytes,
                .keep_maxima = worker->command->flags & (SPAWN_RESET | SPAWN_SESSION),
        };

        if (worker->command->flags & SPAWN_SUBPROCESSES &&
            worker->command->tasks < SPAWN_TASKS_SHARED)
                limits.tasks = options->processes + SPAWN_THREADS_MAX;

        if (worker->command->flags & SPAWN_SUBPROCESSES && worker->n_runs == 0 &&
            worker->command->layers & layer_bit(LAYER_SECCOMP)) {
                int r = confine_run_system_calls(options->processes > 1);

                if (r < 0)
                        return r;
        }
        return worker->command->layers & layer_bit(LAYER_RLIMITS) ? confine_run(&limits) : 0;
}

/* Blocks until the supervisor kills this process or closes the pipe. To exit at once would be to
 * give back the memory of a warm interpreter, for about a millisecond, on a core that the
 * supervisor may need to answer. */
static _Noreturn void wait_for_the_end(void) {
        char nothing;

        while (read(WORKER_FD_REQUEST, &nothing, 1) < 0 && errno == EINTR)
                ;
        _exit(0);
}

/* In place of a run; nothing else comes after it. */
static _Noreturn void serve_probe(Worker *worker, Slice body) {
        ProbeRequest request;
        ProbeAnswer answer;

        if (!probe_decode(body.data, body.size, &request))
                _exit(WORKER_EXIT_PROTOCOL);
        request.source_pid = worker->source_pid;
        probe_run(&request, &answer);
        report_add(&worker->report, RESULT_PROBED, slice_of(&answer, sizeof(answer)));
        report_send(&worker->report);
        if (request.flags & PROBE_FORBIDDEN_CALL)
                probe_forbidden(&request);
        _exit(0);
}

bool worker_receive(Worker *worker, Request *ret_request) {
        receive_request(&worker->bytes, &worker->report, worker->command->flags & SPAWN_SESSION,
                        ret_request);
        if (ret_request->probe.size > 0)
                serve_probe(worker, ret_request->probe);
        if (!ret_request->is_touch)
                return true;
        touch_pages();
        report_add(&worker->report, RESULT_TOUCHED, SLICE_NULL);
        report_send(&worker->report);
        return false;
}

static void serve(Worker *worker) {
        bool is_reset = worker->command->flags & SPAWN_RESET;
        Request request;
        ResultEnd end;

        if (!worker_receive(worker, &request))
                return;
        if (worker_apply_limits(worker, &request.options) < 0)
                _exit(WORKER_EXIT_UNCONFINED);
        if (is_reset)
                reset_enter();
        end = execute_run(&request, &worker->report);
        report_end(&worker->report, end);
        request_done(&request);

        if (!is_reset)
                wait_for_the_end();
        /* What a run with subprocesses may call was settled for good. */
        if (worker->command->flags & SPAWN_SUBPROCESSES || reset_leave(execute_namespace()) < 0 ||
            execute_prepare() < 0 || !confine_has_cpu_left(worker->command->cpu_seconds))
                _exit(0);
        worker->report.is_ended = false;
        report_add(&worker->report, RESULT_READY, SLICE_NULL);
        report_send(&worker->report);
}

_Noreturn void worker_main(const SpawnCommand *command, int *fds, pid_t parent) {
        Worker worker = {
                .command = command,
                .report = REPORT_INIT(WORKER_FD_RESULT),
                .parent = parent,
        };
        Confinement confinement = {.command = command, .fds = fds, .parent = parent};
        sigset_t none;
        int r;

        r = confine(&confinement);
        if (r < 0) {
                /* Whichever of the two is open; a step after the first dup3() has moved it. */
                if (fcntl(WORKER_FD_RESULT, F_GETFD) < 0)
                        fail(fds[SPAWN_FD_RESULT], confinement.failed_step, strerror(-r));
                fail(WORKER_FD_RESULT, confinement.failed_step, strerror(-r));
        }
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);

        prepare(&worker);
        worker.address_bytes = confinement.address_bytes;
        if (command->flags & SPAWN_RESET && reset_prepare() < 0)
                fail_in_python("baseline of the reset");
        report_add(&worker.report, RESULT_READY, SLICE_NULL);
        report_send(&worker.report);
        if (command->flags & SPAWN_SESSION)
                session_serve(&worker);
        for (;;)
                serve(&worker);
}

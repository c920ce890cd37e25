#include "interp/execute.h"

#include <Python.h>

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interp/compat.h"
#include "interp/compile.h"
#include "interp/confine.h"
#include "interp/interrupts.h"
#include "interp/runtime.h"
#include "interp/streams.h"

/* The namespace of the next run. */
static PyObject *main_globals;

int execute_prepare(void) {
        Py_CLEAR(main_globals);
        main_globals = runtime_call_plain(RUNTIME_NEW_MAIN);
        return main_globals ? 0 : -1;
}

PyObject *execute_namespace(void) {
        return main_globals;
}

/* Whether this is a process that the code has made, with fork(3) of the C library. */
static bool is_child;

static void note_child(void) {
        is_child = true;
}

int execute_watch_forks(void) {
        return -pthread_atfork(NULL, NULL, note_child);
}

static PyObject *list_of_bytes(const SliceList *list) {
        Py_ssize_t count = (Py_ssize_t) slice_list_count(list);
        PyObject *result = PyList_New(count);

        for (Py_ssize_t i = 0; result && i < count; i++) {
                Slice item = slice_list_items(list)[i];
                PyObject *bytes =
                        PyBytes_FromStringAndSize((const char *) item.data, (Py_ssize_t) item.size);

                if (!bytes)
                        Py_CLEAR(result);
                else
                        PyList_SET_ITEM(result, i, bytes);
        }
        return result;
}

/* What a tiny run does not have costs it nothing. */
static bool needs_set_up(const Request *request) {
        return request->stdin_bytes.size > 0 || request->data.size > 0 ||
               slice_list_count(&request->arguments) > 0 ||
               slice_list_count(&request->environment) > 0 ||
               slice_list_count(&request->file_paths) > 0 ||
               (request->options.flags & (REQUEST_BIND_ANALYSIS | REQUEST_BIND_PLOT |
                                          REQUEST_BIND_JSON | REQUEST_NEW_PACKAGES));
}

static int set_up(const Request *request) {
        _pyowned_ PyObject *result = NULL;

        if (!needs_set_up(request))
                return 0;
        result = runtime_call(
                RUNTIME_SET_UP, "(ONNNNy#y#I)", main_globals, list_of_bytes(&request->arguments),
                list_of_bytes(&request->environment), list_of_bytes(&request->file_paths),
                list_of_bytes(&request->file_contents),
                request->stdin_bytes.data ? (const char *) request->stdin_bytes.data : "",
                (Py_ssize_t) request->stdin_bytes.size,
                request->data.data ? (const char *) request->data.data : "",
                (Py_ssize_t) request->data.size, (unsigned) request->options.flags);
        return result ? 0 : -1;
}

/* Runs the two halves; a new reference to the value of the second, NULL with an exception set. */
static PyObject *run_code(const CompiledSource *compiled) {
        PyObject *value = Py_NewRef(Py_None);

        if (compiled->body)
                Py_SETREF(value, PyEval_EvalCode(compiled->body, main_globals, main_globals));
        if (value && compiled->last)
                Py_SETREF(value, PyEval_EvalCode(compiled->last, main_globals, main_globals));
        return value;
}

static PyObject *set_up_and_run(const Request *request) {
        _cleanup_(compiled_source_done) CompiledSource compiled = {0};
        _pyowned_ PyObject *source = NULL, *began = NULL;

        source = PyUnicode_DecodeUTF8((const char *) request->code.data,
                                      (Py_ssize_t) request->code.size, NULL);
        if (!source || set_up(request) < 0)
                return NULL;
        interrupts_deliver();
        began = runtime_call(RUNTIME_BEGIN, "(ONK)", source,
                             PyBool_FromLong(request->options.flags & REQUEST_WANT_DISPLAYS),
                             (unsigned long long) request->options.value_bytes);
        if (!began)
                return NULL;
        if (compile_source(source, request->options.flags & REQUEST_WANT_VALUE, &compiled) < 0)
                return NULL;
        return run_code(&compiled);
}

/* Queues an item of a tuple of bytes objects; None is left out. */
static void add_bytes(Report *report, ResultKind kind, PyObject *bytes) {
        if (PyBytes_Check(bytes))
                report_add(report, kind,
                           slice_of(PyBytes_AS_STRING(bytes), (size_t) PyBytes_GET_SIZE(bytes)));
}

static ResultEnd report_exception(PyObject *exception, Report *report) {
        ResultEnd end = {.outcome = OUTCOME_RAISED, .exit_code = 1};
        _pyowned_ PyObject *parts = NULL;
        PyObject *type, *message, *traceback;
        unsigned line;

        parts = runtime_call(RUNTIME_DESCRIBE, "(OI)", exception, RESULT_TEXT_MAX);
        if (!parts || !PyArg_ParseTuple(parts, "IiOOOI", &end.outcome, &end.exit_code, &type,
                                        &message, &traceback, &line)) {
                const char *name = Py_TYPE(exception)->tp_name;

                PyErr_Clear();
                report_add(report, RESULT_ERROR_TYPE, slice_of_text(name));
                return end;
        }
        if (end.outcome == OUTCOME_EXITED)
                return end;
        add_bytes(report, RESULT_ERROR_TYPE, type);
        add_bytes(report, RESULT_ERROR_MESSAGE, message);
        add_bytes(report, RESULT_ERROR_TRACEBACK, traceback);
        if (line > 0)
                report_add(report, RESULT_ERROR_LINE, slice_of(&line, sizeof(uint32_t)));
        return end;
}

/*
 * interp/python guards what it does with the user's objects; what still comes through, such as
 * memory that has run out, costs that part of the result only. But what an interrupt has cut off
 * must not look as if there were nothing.
 */
static void tell_interrupt(PyObject *result, ResultEnd *end, Report *report) {
        _pyowned_ PyObject *exception = result ? NULL : compat_take_exception();

        if (exception && end->outcome == OUTCOME_COMPLETED &&
            PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt))
                *end = report_exception(exception, report);
}

static void report_value(PyObject *value, const Request *request, ResultEnd *end, Report *report) {
        _pyowned_ PyObject *document = NULL;

        if (value == Py_None || !(request->options.flags & REQUEST_WANT_VALUE))
                return;
        document = runtime_call(RUNTIME_ENCODE_VALUE, "(OK)", value,
                                (unsigned long long) request->options.value_bytes);
        tell_interrupt(document, end, report);
        if (document)
                add_bytes(report, RESULT_VALUE, document);
}

static void show_figures(ResultEnd *end, Report *report) {
        _pyowned_ PyObject *result = runtime_call_plain(RUNTIME_SHOW_FIGURES);

        tell_interrupt(result, end, report);
}

static void report_variables(const Request *request, ResultEnd *end, Report *report) {
        bool all = request->options.flags & REQUEST_WANT_ALL_VARIABLES;
        bool plain = request->options.flags & REQUEST_PLAIN_VARIABLES;
        _pyowned_ PyObject *documents = NULL;
        PyObject *names;

        if (!all && slice_list_count(&request->variables) == 0)
                return;
        names = all ? Py_NewRef(Py_None) : list_of_bytes(&request->variables);
        documents = runtime_call(RUNTIME_VARIABLES, "(ONNK)", main_globals, names,
                                 PyBool_FromLong(plain),
                                 (unsigned long long) request->options.value_bytes);
        tell_interrupt(documents, end, report);
        if (documents && PyTuple_Check(documents) && PyTuple_GET_SIZE(documents) == 2) {
                add_bytes(report, RESULT_VARIABLES, PyTuple_GET_ITEM(documents, 0));
                add_bytes(report, RESULT_REPRS, PyTuple_GET_ITEM(documents, 1));
        }
}

static bool is_for_writing(int fd) {
        int flags = fcntl(fd, F_GETFL);

        return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* Who reads the standard input by open(0) closes it with that file, and the next one is 0. The
 * input itself is a file without a name. */
static bool has_file_for_stdin(const Request *request) {
        struct stat status;

        return request->stdin_bytes.size > 0 && fstat(STDIN_FILENO, &status) == 0 &&
               status.st_nlink > 0 && is_for_writing(STDIN_FILENO);
}

/*
 * To look for the streams themselves is to walk over all objects, so what cannot be written to is
 * passed over: matplotlib keeps its fonts open. Whatever a run has opened and closed before, any
 * number may be left. One call asks for all: poll(2) says POLLNVAL for those that are closed. Where
 * it fails, since the code has lowered RLIMIT_NOFILE, the answer is yes.
 */
static bool may_have_unwritten(const Request *request) {
        enum { FIRST = STDERR_FILENO + 1, COUNT = WORKER_FD_REQUEST - FIRST };
        struct pollfd fds[COUNT];
        int n;

        for (int i = 0; i < COUNT; i++)
                fds[i] = (struct pollfd){.fd = FIRST + i};
        n = poll(fds, COUNT, 0);
        for (int i = 0; i < COUNT; i++) {
                if (n < 0 || (!(fds[i].revents & POLLNVAL) && is_for_writing(fds[i].fd)))
                        return true;
        }
        return has_file_for_stdin(request);
}

static void call_and_forget(PyObject *result) {
        if (!result)
                PyErr_Clear();
        Py_XDECREF(result);
}

static void report_switches(Report *report) {
        Slice switches = streams_switches();

        if (switches.size > 0)
                report_add(report, RESULT_SWITCHES, switches);
}

static void say_exception(PyObject *exception) {
        PyObject *hook = PySys_GetObject("excepthook"); /* borrowed */
        _pyowned_ PyObject *trace = PyException_GetTraceback(exception);

        if (hook)
                call_and_forget(PyObject_CallFunctionObjArgs(hook, Py_TYPE(exception), exception,
                                                             trace ? trace : Py_None, NULL));
}

/* A child comes out of the code as its parent does, with copies of all that leads to the
 * supervisor. It ends as a program does at the end of its script: what there is to tell of the run,
 * and to read of the next request, is its parent's. */
static _Noreturn void end_child(PyObject *exception) {
        Report nobody = REPORT_INIT(-1);
        ResultEnd end = {.outcome = OUTCOME_COMPLETED};

        if (exception)
                end = report_exception(exception, &nobody);
        if (end.outcome == OUTCOME_RAISED)
                say_exception(exception);
        call_and_forget(runtime_call_one(RUNTIME_FINISH, Py_True));
        (void) fflush(NULL);
        _exit(end.exit_code);
}

ResultEnd execute_run(const Request *request, Report *report) {
        ResultEnd end = {.outcome = OUTCOME_COMPLETED};
        _pyowned_ PyObject *value = NULL, *exception = NULL;

        assert(main_globals);
        runtime_set_report(request->options.flags & REQUEST_WANT_DISPLAYS ? report : NULL);
        streams_begin();

        value = set_up_and_run(request);
        if (!value)
                exception = compat_take_exception();
        if (is_child)
                end_child(exception);
        if (exception)
                end = report_exception(exception, report);
        if (value)
                report_value(value, request, &end, report);
        /* Nothing holds on to what the run has left but its own variables. */
        Py_CLEAR(value);
        Py_CLEAR(exception);
        show_figures(&end, report);
        report_variables(request, &end, report);
        call_and_forget(
                runtime_call_one(RUNTIME_FINISH, may_have_unwritten(request) ? Py_True : Py_False));
        /* Files that C code opened with fopen(); _exit() would lose what they hold back. */
        (void) fflush(NULL);
        report_switches(report);
        /* Made by what is called last: a repr(), a callback of atexit. */
        if (is_child)
                end_child(NULL);
        return end;
}

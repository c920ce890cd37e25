#include "interp/runtime.h"

#include <assert.h>
#include <stdarg.h>

#include "interp/compat.h"
#include "interp/streams.h"
#include "harness-modules.h"

static const char *const function_names[_RUNTIME_FUNCTIONS] = {
        [RUNTIME_FAILURE_TEXT] = "failure_text",
        [RUNTIME_VERSIONS] = "versions",
        [RUNTIME_RUN_PRELUDE] = "run_prelude",
        [RUNTIME_CORPUS] = "corpus",
        [RUNTIME_BEFORE_FORKING] = "before_forking",
        [RUNTIME_AFTER_FORK] = "after_fork",
        [RUNTIME_NEW_MAIN] = "new_main",
        [RUNTIME_SET_UP] = "set_up",
        [RUNTIME_BEGIN] = "begin",
        [RUNTIME_COMPILE_IN_TWO] = "compile_in_two",
        [RUNTIME_ENCODE_VALUE] = "encode_value",
        [RUNTIME_DESCRIBE] = "describe",
        [RUNTIME_SHOW_FIGURES] = "show_figures",
        [RUNTIME_VARIABLES] = "variables",
        [RUNTIME_FINISH] = "finish",
        [RUNTIME_TAKE_BASELINE] = "take_baseline",
        [RUNTIME_MAKE_NEW] = "make_new",
        [RUNTIME_SETTLE] = "settle",
        [RUNTIME_ENTER_RUN] = "enter_run",
        [RUNTIME_LEAVE_RUN] = "leave_run",
        [RUNTIME_BECOME_COPY] = "become_copy",
};

static PyObject *functions[_RUNTIME_FUNCTIONS];
static PyObject *source_name;
static Report *display_report;

/* The GIL is held throughout, so frames of several threads do not mix. */
static PyObject *emit_display(PyObject *self, PyObject *document) {
        char *data;
        Py_ssize_t size;

        if (PyBytes_AsStringAndSize(document, &data, &size) < 0)
                return NULL;
        if (display_report) {
                report_add_display(display_report, streams_place(), slice_of(data, (size_t) size));
                /* The caller of the API may be watching. */
                report_send(display_report);
        }
        Py_RETURN_NONE;
}

static PyMethodDef emit_display_method = {
        "emit_display",
        emit_display,
        METH_O,
        "Sends a display, which is a JSON object as bytes.",
};

/* Runs one module in a namespace of its own. It sees a copy of the builtins, so that a run which
 * replaces one of them does not reach the harness. */
static PyObject *load_module(const HarnessModule *source, PyObject *builtins) {
        _pyowned_ PyObject *code = NULL, *result = NULL;
        PyObject *module = PyImport_AddModule(source->name), *globals;

        if (!module)
                return NULL;
        globals = PyModule_GetDict(module);
        if (PyDict_SetItemString(globals, "__builtins__", builtins) < 0)
                return NULL;
        code = Py_CompileString(source->text, "<hatchery>", Py_file_input);
        if (!code)
                return NULL;
        result = PyEval_EvalCode(code, globals, globals);
        return result ? globals : NULL;
}

/* The modules find each other by import, once; afterwards no run finds them. */
static int hide_modules(void) {
        PyObject *modules = PyImport_GetModuleDict();

        for (size_t i = 0; i < N_ELEMENTS(harness_modules); i++) {
                PyObject *module = PyDict_GetItemString(modules, harness_modules[i].name);

                Py_XINCREF(module); /* for ever: its functions need its namespace */
                if (PyDict_DelItemString(modules, harness_modules[i].name) < 0)
                        return -1;
        }
        return 0;
}

int runtime_load(void) {
        _pyowned_ PyObject *builtins = PyDict_Copy(PyEval_GetBuiltins());
        _pyowned_ PyObject *emit = PyCFunction_New(&emit_display_method, NULL);
        PyObject *globals = NULL;

        source_name = PyUnicode_InternFromString("<snippet>");
        if (!builtins || !emit || !source_name ||
            PyDict_SetItemString(builtins, "emit_display", emit) < 0)
                return -1;
        for (size_t i = 0; i < N_ELEMENTS(harness_modules); i++) {
                globals = load_module(&harness_modules[i], builtins);
                if (!globals)
                        return -1;
        }
        for (int i = 0; i < _RUNTIME_FUNCTIONS; i++) {
                functions[i] = Py_XNewRef(PyDict_GetItemString(globals, function_names[i]));
                assert(functions[i]);
        }
        return hide_modules();
}

void runtime_set_report(Report *report) {
        display_report = report;
}

PyObject *runtime_call(RuntimeFunction function, const char *format, ...) {
        _pyowned_ PyObject *arguments = NULL;
        va_list values;

        va_start(values, format);
        arguments = Py_VaBuildValue(format, values);
        va_end(values);
        if (!arguments)
                return NULL;
        assert(PyTuple_Check(arguments));
        return PyObject_Call(functions[function], arguments, NULL);
}

PyObject *runtime_call_plain(RuntimeFunction function) {
        return PyObject_CallNoArgs(functions[function]);
}

PyObject *runtime_call_one(RuntimeFunction function, PyObject *argument) {
        return PyObject_CallOneArg(functions[function], argument);
}

PyObject *runtime_source_name(void) {
        return source_name;
}

void runtime_set_source_name(PyObject *name) {
        Py_SETREF(source_name, name);
}

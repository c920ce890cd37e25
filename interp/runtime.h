#pragma once
/*
 * runtime: the Python half of the harness (interp/python, which is part of this program), seen from
 * C. Its functions are looked up once in the zygote, so that a run imports nothing and looks
 * nothing up by name.
 */

#include <Python.h>

#include <stdbool.h>

#include "interp/report.h"

typedef enum RuntimeFunction {
        RUNTIME_FAILURE_TEXT,
        RUNTIME_VERSIONS,
        RUNTIME_RUN_PRELUDE,
        RUNTIME_CORPUS,
        RUNTIME_BEFORE_FORKING,
        RUNTIME_AFTER_FORK,
        RUNTIME_NEW_MAIN,
        RUNTIME_SET_UP,
        RUNTIME_BEGIN,
        RUNTIME_COMPILE_IN_TWO,
        RUNTIME_ENCODE_VALUE,
        RUNTIME_DESCRIBE,
        RUNTIME_SHOW_FIGURES,
        RUNTIME_VARIABLES,
        RUNTIME_FINISH,
        RUNTIME_TAKE_BASELINE,
        RUNTIME_MAKE_NEW,
        RUNTIME_SETTLE,
        RUNTIME_ENTER_RUN,
        RUNTIME_LEAVE_RUN,
        RUNTIME_BECOME_COPY,
        _RUNTIME_FUNCTIONS,
} RuntimeFunction;

/* Runs the modules of interp/python. Python must have been started. Returns 0, or -1 with a Python
 * exception set. */
int runtime_load(void);

/* Where display() and figures go; NULL: nowhere. */
void runtime_set_report(Report *report);

/* Calls a function with positional arguments as Py_BuildValue() makes a tuple of them; format must
 * give a tuple or be NULL. Returns a new reference, or NULL with a Python exception set. */
PyObject *runtime_call(RuntimeFunction function, const char *format, ...);

/* Calls one without arguments, and cheaply. */
PyObject *runtime_call_plain(RuntimeFunction function);
PyObject *runtime_call_one(RuntimeFunction function, PyObject *argument);

/* The name that the user's source has in tracebacks. Borrowed. A session gives each run its own;
 * set takes the reference. */
PyObject *runtime_source_name(void);
void runtime_set_source_name(PyObject *name);

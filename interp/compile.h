#pragma once
/*
 * compile: turns a source into code that keeps the value of a last expression, as a notebook does.
 * Compiling by way of Python's ast module costs more than compiling itself, so it is the last
 * resort here and not the way.
 */

#include <Python.h>

#include <stdbool.h>

typedef struct CompiledSource {
        PyObject *body; /* runs first; NULL if there is nothing before the last expression */
        PyObject *last; /* gives the value; NULL if the source does not end in an expression */
} CompiledSource;

void compiled_source_done(CompiledSource *compiled);

/* source is a str. Without want_value, the value of a last expression may be dropped. Returns 0, or
 * -1 with a Python exception set. */
int compile_source(PyObject *source, bool want_value, CompiledSource *ret_compiled);

#pragma once
/* pyref: references to Python objects that drop themselves. Without _pyowned_ a PyObject * is
 * borrowed. */

#include <Python.h>

#include "kit/cleanup.h"

static inline void py_unrefp(PyObject **reference) {
        Py_XDECREF(*reference);
}

#define _pyowned_ _cleanup_(py_unrefp)

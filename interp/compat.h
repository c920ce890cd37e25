#pragma once
/* compat: what differs between the versions of CPython that are supported, 3.11 to 3.13, and
 * nowhere else. */

#include <Python.h>

#include "interp/pyref.h"

#if PY_VERSION_HEX < 0x030B0000
#error "Hatchery needs Python 3.11 or newer"
#endif

/* Takes the exception that is being raised, with its traceback; NULL if there is none. */
static inline PyObject *compat_take_exception(void) {
#if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
#else
        PyObject *type, *value, *traceback;

        PyErr_Fetch(&type, &value, &traceback);
        if (!type)
                return NULL;
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback)
                (void) PyException_SetTraceback(value, traceback);
        Py_DECREF(type);
        Py_XDECREF(traceback);
        return value;
#endif
}

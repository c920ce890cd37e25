#pragma once
/*
 * reset: makes a worker new after a run, from the inside, for the recycle policy `reset`. What is
 * put back, and what retires the worker instead, is listed in python/hatchery_reset.py; this side
 * looks at what Python does not see: descriptors, threads, child processes, limits, memory.
 */

#include <Python.h>

/* Records what "new" is. Returns 0, or -1 with a Python exception set. */
int reset_prepare(void);

/* Before a run: gives it context variables of its own. */
void reset_enter(void);

/* After it. namespace: of the run that is over; it is emptied. Returns 0; or -1 when in doubt, and
 * then the worker must end. */
int reset_leave(PyObject *namespace);

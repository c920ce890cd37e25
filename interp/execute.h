#pragma once
/* execute: one run in this process: set up, compile, run, report. */

#include <Python.h>

#include "interp/report.h"
#include "interp/request.h"

/* Once, in the zygote, before any run: from then on a child of a run's process, made with fork(3),
 * ends where its run does, and reports nothing. Returns 0 or -errno. */
int execute_watch_forks(void);

/* Makes a fresh __main__ for the next run, ahead of it. Returns 0, or -1 with a Python exception
 * set. */
int execute_prepare(void);

/* The namespace of __main__, of the run that is over or of the next one. Borrowed. */
PyObject *execute_namespace(void);

/* Runs a request and queues all its results but RESULT_END, which it returns. */
ResultEnd execute_run(const Request *request, Report *report);

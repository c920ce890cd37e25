#pragma once
/*
 * copy: how a session's worker becomes two (wire/session.h). Only between runs, when the supervisor
 * has ordered it.
 */

#include <stdbool.h>

#include "interp/worker.h"

/* Does what has come on the control socket. Returns in the worker, and, with another home, other
 * pipes and other random numbers, in each copy of it. False: nothing will come there any more. */
bool copy_on_control(Worker *worker);

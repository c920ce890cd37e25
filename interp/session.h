#pragma once
/* session: the life of a worker that remembers (SPAWN_SESSION), from its first run to its end. */

#include "interp/worker.h"

/* Home, packages and the like, before the first run. Returns 0, or -1 with a Python exception set.
 */
int session_settle(Worker *worker);

/* Takes run after run until it is killed, or the request pipe ends. */
_Noreturn void session_serve(Worker *worker);

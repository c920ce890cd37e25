#pragma once
/* reset: makes a worker new after a run, from the inside. */

/* Records what "new" is. Returns 0, or -1 with a Python exception set. */
int reset_prepare(void);

/* Returns 0; or -1 when in doubt, and then the worker must end. */
int reset_worker(void);

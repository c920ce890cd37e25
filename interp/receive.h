#pragma once
/* receive: a worker's end of the request pipe. */

#include <stdbool.h>

#include "interp/report.h"
#include "interp/request.h"

/* What a worker holds ready for a request: most are smaller. */
#define RECEIVE_SIZE 65536

/* Blocks until a whole request is there; its slices point into bytes. The end of the pipe, or
 * nonsense in it, is the end of this worker. A request that there is no memory for is answered
 * here, and ends it, too. lets_threads_run: gives the GIL away while it waits. */
void receive_request(Buffer *bytes, Report *report, bool lets_threads_run, Request *ret_request);

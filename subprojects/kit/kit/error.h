#pragma once
/*
 * error: how a failure of the machine travels. It is raised once, where it is born, as a negative
 * errno with a line in the log; callers pass it up with `return r;`. A bug asserts instead, and a
 * verdict on a run is data.
 */

#include "kit/cleanup.h"

/* Logs what was tried and why it failed; returns error, which must be a negative errno. */
int kit_raise(int error, const char *file, int line, const char *format, ...)
        __attribute__((format(printf, 4, 5), cold));

/* raise_errno("open %s", path): takes errno as it stands. Never returns 0 or more. */
#define raise_errno(...)        kit_raise(-errno, __FILE__, __LINE__, __VA_ARGS__)
#define raise_error(error, ...) kit_raise((error), __FILE__, __LINE__, __VA_ARGS__)

#pragma once
/*
 * signals: SIGTERM, SIGINT and SIGHUP as a descriptor. Handlers write to a pipe; signalfd(2) would
 * need the signals blocked, and a blocked signal stays blocked in every process started from here.
 */

#include "kit/cleanup.h"

/* Installs the handlers and ignores SIGPIPE. Returns the end to read from, or -errno. Once in a
 * process. */
_must_check_ int signals_open(void);

/* The next signal that has come, or 0. */
int signals_next(void);

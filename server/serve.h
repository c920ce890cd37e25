#pragma once
/* serve: the life of the server, from its options to its exit status. */

#include "server/options.h"

/* Serves until a signal ends it. Returns the exit status: 0 after everything under way had been
 * answered, else 1. */
int serve(const Options *options);

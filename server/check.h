#pragma once
/* check: `hatchery check`, which says what would keep runs in here, and has it tried. */

#include "server/options.h"

/* Prints to standard output what it finds. Returns the exit status: 0 when a server with these
 * options would start and nothing breaks out, EXIT_CONFIG when not, 1 when that cannot be found
 * out. */
int check(const Options *options);

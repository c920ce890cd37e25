#pragma once
/* cell_maker: the process that makes cells, as described in wire/cells.h. It has no Python in it.
 *
 * It keeps no privilege but those that making a cell takes; it reads nothing but commands of a
 * fixed size, and has one thread. */

#include <stdbool.h>

/* Whether the program was started to make cells (--make-cells comes first). */
bool cell_maker_is_asked_for(int argc, char **argv);

/* Returns the status to exit with, once the supervisor's end of the socket is closed. */
int cell_maker_main(int argc, char **argv);

#pragma once
/*
 * install: hatchery-python as the process that runs pip for one installation (wire/install.h). It
 * shuts itself in before it starts Python: a user of its own, limits, no rights, no file but the
 * system's programs, certificates and names of hosts, and its staging folder, no new program, no
 * signal to anybody. What it has and a worker has not is the network.
 */

#include <stdbool.h>

bool install_is_asked_for(int argc, char **argv);

/* Returns the process's exit status. */
int install_main(int argc, char **argv);

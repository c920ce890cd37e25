#pragma once
/* embed: starts the Python of this process, isolated from the environment and from the user's
 * configuration. */

#include <stddef.h>

typedef struct EmbedFailure {
        char text[8192];
} EmbedFailure;

/* Variables of the environment that must be set before Python and its libraries start; workers
 * inherit them. */
void embed_set_environment(void);

/* venv: folder of a virtual environment whose packages come first, or NULL. Returns 0 or -1 with
 * *ret_failure set. */
int embed_start(const char *venv, EmbedFailure *ret_failure);

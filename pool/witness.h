#pragma once
/*
 * witness: what the kernel itself says of a worker, in /proc, before it is given anything to do.
 * Some layers stop nothing that could be tried from inside: they are seen from outside instead.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "wire/layers.h"

typedef struct Testimony {
        LayerMask shown;  /* layers that were seen to be taken */
        LayerMask belied; /* layers that were seen not to be */
        char text[96];    /* of the first of these: "NoNewPrivs is 0"; empty: there is none */
} Testimony;

/* Looks for those of the layers that can be seen there. What cannot be read is neither: a worker
 * that has died, or namespaces of another user's, which take CAP_SYS_PTRACE. */
void witness_look(pid_t pid, LayerMask layers, Testimony *ret_testimony);

/* Of the text of /proc/PID/status. has_bounds: the bounding set must be empty, too; a plain user
 * cannot give that up outside of a user namespace. */
void witness_hear_status(const char *status, LayerMask layers, bool has_bounds,
                         Testimony *testimony);

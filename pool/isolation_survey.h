#pragma once
/*
 * isolation_survey: what the two files of the survey share. A trial is made in a child process of
 * its own, in memory that it shares with the server: what it was trying when it was killed is known
 * too. Private to isolation_*.c.
 */

#include <errno.h>
#include <sys/types.h>

#include "pool/isolation.h"

typedef struct Trial {
        LayerFinding finding; /* how far it came: no error when it came to its end */
        int abi;              /* of Landlock */
        Layer layer;
        uint32_t worker_uid;
        bool is_root, needs_user_namespace;
        /* Of what a maker of namespaces has made, for the trial to enter. They share descriptors;
         * memory only here. */
        int user_fd, inner_user_fd, fd;
        pid_t keeper;
} Trial;

/* What is tried is written down before the call: a policy may answer it with SIGSYS. */
#define attempt(trial, text, call)                                                                 \
        ((trial)->finding.tried = (text), (call) >= 0 ? 0 : ((trial)->finding.error = errno, -1))

/* In isolation_namespaces.c: makes the layer's namespace as a cell maker does, and enters it from
 * another process as a zygote or a worker does. Returns 0, or -1 when the trial says why not. */
int try_user_namespace(Trial *trial);
int try_pid_namespace(Trial *trial);
int try_mount_namespace(Trial *trial);
/* net, ipc, uts, cgroup */
int try_shared_namespace(Trial *trial);

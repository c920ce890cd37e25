#pragma once
/*
 * zygote: the supervisor's end of one zygote process: start it, ask it for workers, hear of its
 * progress, notice that it has died or hangs. What follows from that is decided in
 * pool/generation.c.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/template.h"
#include "wire/zygote.h"

typedef struct Zygote Zygote;

/* Starts the program; it becomes ready later. namespace_fds: to be entered first of all, as
 * cell_maker_shared_fds() has them; borrowed. log_level may be NULL. */
_must_check_ int zygote_new(const char *program, const TemplateConfig *config,
                            const int *namespace_fds, size_t n_namespaces, const char *log_level,
                            Zygote **ret_zygote);
/* Kills the process and waits for it. */
Zygote *zygote_free(Zygote *zygote);
DEFINE_CLEANUP(Zygote, zygote_free)

/* Readable when there is a report, or the process has ended. */
int zygote_fd(const Zygote *zygote);
pid_t zygote_pid(const Zygote *zygote);

enum {
        ZYGOTE_NO_REPORT = 0,
        ZYGOTE_REPORT, /* *ret_report is set */
        ZYGOTE_GONE,   /* it has closed its end */
};

/* Never blocks. */
_must_check_ int zygote_receive(Zygote *zygote, ZygoteReport *ret_report);

/* Asks for a worker; fds are the worker's ends and stay the caller's. Returns 0, -EAGAIN when the
 * socket is full, or another -errno when it is broken. */
_must_check_ int zygote_spawn(Zygote *zygote, const SpawnCommand *command,
                              const int fds[_SPAWN_FDS]);

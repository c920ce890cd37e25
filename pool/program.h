#pragma once
/*
 * program: one process of hatchery-python, started with a socket to talk to it. Zygotes and cell
 * makers are two of the things that it can be (pool/zygote.h, pool/cell_maker.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/template.h"

#define PROGRAM_ARGUMENTS_MAX 256
#define PROGRAM_INHERITED_MAX 8
#define PROGRAM_FDS_MAX       16 /* in one message */

/* Where the program finds its end of the socket, and behind it the descriptors that it inherits. */
#define PROGRAM_SOCKET_FD    3
#define PROGRAM_INHERITED_FD 4

/* An argument vector in the making; the strings are borrowed. */
typedef struct Arguments {
        const char *of[PROGRAM_ARGUMENTS_MAX]; /* ends in NULL */
        size_t n;
        bool overflows;
} Arguments;

void arguments_add(Arguments *arguments, const char *word);
/* Nothing, when value is NULL. */
void arguments_add_option(Arguments *arguments, const char *option, const char *value);

/* --view and --data: what a template's workers see besides the system. */
void program_add_views(const TemplateConfig *config, Arguments *arguments);

typedef struct Program {
        pid_t pid; /* 0: none */
        int socket_fd;
} Program;

#define PROGRAM_NONE ((Program){.socket_fd = -1})

/* Starts it, with an environment of its own making, no descriptor but those said here, and a
 * session of its own. inherited: descriptors that it shall find from PROGRAM_INHERITED_FD on, in
 * this order. */
_must_check_ int program_start(const Arguments *arguments, const int *inherited, size_t n_inherited,
                               Program *ret_program);
/* Kills the process and waits for it. */
void program_end(Program *program);

/* Sends one message with descriptors. Returns 0, -EAGAIN when the socket is full, -EPIPE when the
 * process has closed its end (what it said before that can still be received), or another
 * -errno. */
_must_check_ int program_send(const Program *program, const void *message, size_t size,
                              const int *fds, size_t n_fds);

enum {
        PROGRAM_NO_MESSAGE = 0,
        PROGRAM_MESSAGE,
        PROGRAM_GONE, /* it has closed its end */
};

/* Takes one message, without waiting; *ret_size says how long it is, the rest of `message` is
 * zeroed. The descriptors that came with it become the caller's. Returns one of the above, -EPROTO
 * when it does not fit or brings more than n_fds_max descriptors, or another -errno. */
_must_check_ int program_receive(const Program *program, void *message, size_t size,
                                 size_t *ret_size, int *fds, size_t n_fds_max, size_t *ret_n_fds);

#pragma once
/*
 * compile: from the rules of a profile to a program for the kernel, by way of libseccomp. Part of
 * the build and of the tests; no part of hatchery.
 */

#include <linux/filter.h>
#include <stddef.h>

#include "interp/filter/policy.h"

typedef enum Shape {
        SHAPE_LIST = 1, /* one comparison after the other, as libseccomp lays it out by itself */
        SHAPE_TREE = 2, /* a binary search over the numbers of the calls */
} Shape;

typedef struct Program {
        struct sock_filter *code;
        size_t size;
        size_t own_pid_places[8]; /* instructions that compare with OWN_PID */
        size_t n_own_pid_places;
} Program;

/* Returns 0; or -errno, having said why on stderr. Calls that this architecture does not have are
 * left out; a name that libseccomp has never heard of is an error. */
int compile_profile(Profile profile, Shape shape, Program *ret);
void program_done(Program *program);

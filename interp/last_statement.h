#pragma once
/*
 * last_statement: a guess, without parsing, where the last statement of a Python source begins and
 * whether it is an expression. The caller compiles what the guess leaves and so finds out; a wrong
 * guess must not change what a source does, so what is in doubt is LAST_IS_UNSURE.
 */

#include <stddef.h>

typedef enum LastKind {
        LAST_IS_UNSURE,
        LAST_IS_EXPRESSION, /* perhaps: to be compiled as one, which may fail */
        LAST_IS_STATEMENT,  /* certainly no expression, if what stands before it compiles by itself
                             */
} LastKind;

typedef struct LastStatement {
        LastKind kind;
        size_t offset;         /* of its first byte, which is in column 0 */
        size_t n_lines_before; /* lines in front of it */
} LastStatement;

/* text is NUL-terminated UTF-8 without other NULs. */
LastStatement find_last_statement(const char *text, size_t size);

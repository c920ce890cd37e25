#pragma once
/*
 * fuzz: what a fuzz target is: one function that is given any bytes, and aborts when what must hold
 * does not. It is linked with libFuzzer (-Dfuzz=true), which makes up bytes, and in every build
 * with replay.c, which reads them from the committed corpus.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stays in every build, unlike assert(). */
#define must(condition)                                                                            \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)

#pragma once
/* helpers: what the unit tests of the pool share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../skip.h"
#include "kit/bytes.h"

/* Numbers that look random and are the same in every run (xorshift64*, Vigna 2016). */
typedef struct Dice {
        uint64_t state;
} Dice;

static inline uint64_t dice_next(Dice *dice) {
        dice->state ^= dice->state >> 12;
        dice->state ^= dice->state << 25;
        dice->state ^= dice->state >> 27;
        return dice->state * 2685821657736338717ULL;
}

/* From 0 to bound - 1. */
static inline size_t dice_below(Dice *dice, size_t bound) {
        return (size_t) (dice_next(dice) >> 11) % bound;
}

static inline void assert_slice(Slice slice, const char *text) {
        assert_int_equal(slice.size, strlen(text));
        if (slice.size > 0)
                assert_memory_equal(slice.data, text, slice.size);
}

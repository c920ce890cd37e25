#pragma once
/* arrivals: when the requests of an open loop are due. The times are fixed before any answer is
 * known. */

#include <stdbool.h>
#include <stdint.h>

typedef struct Arrivals {
        double gap_ns; /* on average */
        bool poisson;
        uint64_t random_state;
        double next_ns; /* since the start; a fraction is kept, so that the rate is exact */
        uint64_t start_ns;
} Arrivals;

void arrivals_start(Arrivals *arrivals, double rate, bool poisson, uint64_t seed,
                    uint64_t start_ns);

/* When the next request is due, on CLOCK_MONOTONIC. */
uint64_t arrivals_peek_ns(const Arrivals *arrivals);
void arrivals_pop(Arrivals *arrivals);

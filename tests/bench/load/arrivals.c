#include <math.h>

#include "arrivals.h"
#include "kit/clock.h"

/* SplitMix64 (public domain, Sebastiano Vigna): good enough for gaps, and the same on every
 * machine. */
static uint64_t next_random(uint64_t *state) {
        uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
}

void arrivals_start(Arrivals *arrivals, double rate, bool poisson, uint64_t seed,
                    uint64_t start_ns) {
        *arrivals = (Arrivals){.gap_ns = (double) NS_PER_S / rate,
                               .poisson = poisson,
                               .random_state = seed,
                               .start_ns = start_ns};
}

uint64_t arrivals_peek_ns(const Arrivals *arrivals) {
        return arrivals->start_ns + (uint64_t) arrivals->next_ns;
}

void arrivals_pop(Arrivals *arrivals) {
        /* 53 random bits make a number in (0, 1]. */
        double uniform = ((double) (next_random(&arrivals->random_state) >> 11) + 1) * 0x1p-53;

        arrivals->next_ns +=
                arrivals->poisson ? -log(uniform) * arrivals->gap_ns : arrivals->gap_ns;
}

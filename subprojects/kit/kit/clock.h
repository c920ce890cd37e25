#pragma once
/* clock: monotonic time in nanoseconds. Durations and deadlines never use the wall clock. */

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL

static inline uint64_t clock_timespec_ns(const struct timespec *time) {
        return (uint64_t) time->tv_sec * NS_PER_S + (uint64_t) time->tv_nsec;
}

/* Time since an arbitrary start, on CLOCK_MONOTONIC. */
static inline uint64_t clock_now_ns(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return clock_timespec_ns(&now);
}

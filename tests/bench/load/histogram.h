#pragma once
/*
 * histogram: counts of durations in buckets whose width grows with the value, so that every
 * quantile is within 1 % from a nanosecond to minutes, in constant memory (the idea of
 * HdrHistogram).
 */

#include <stdint.h>

#define HISTOGRAM_STEPS_BITS 7  /* 128 buckets for each doubling: 0.8 % wide */
#define HISTOGRAM_DOUBLINGS  40 /* up to 2^40 ns, 18 minutes; more is counted there */
#define HISTOGRAM_BUCKETS    ((HISTOGRAM_DOUBLINGS - HISTOGRAM_STEPS_BITS + 1) << HISTOGRAM_STEPS_BITS)

typedef struct Histogram {
        uint64_t counts[HISTOGRAM_BUCKETS];
        uint64_t total;
        uint64_t sum_ns, minimum_ns, maximum_ns;
} Histogram;

/* A zeroed histogram is empty. */
void histogram_add(Histogram *histogram, uint64_t value_ns);

/* The middle of the bucket that holds the quantile (0 to 1); 0 when empty. */
uint64_t histogram_quantile(const Histogram *histogram, double quantile);

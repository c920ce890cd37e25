#include <assert.h>
#include <stddef.h>

#include "histogram.h"

#define STEPS (1U << HISTOGRAM_STEPS_BITS)

/* Values below STEPS have a bucket each; from there on, each doubling has STEPS buckets of equal
 * width. */
static size_t bucket_of(uint64_t value) {
        unsigned doubling;

        if (value < STEPS)
                return value;
        if (value >> HISTOGRAM_DOUBLINGS)
                return HISTOGRAM_BUCKETS - 1;
        doubling = 63U - (unsigned) __builtin_clzll(value) - HISTOGRAM_STEPS_BITS;
        return ((size_t) (doubling + 1) << HISTOGRAM_STEPS_BITS) + (value >> doubling) - STEPS;
}

static uint64_t middle_of(size_t bucket) {
        unsigned doubling;
        uint64_t step;

        if (bucket < STEPS)
                return bucket;
        doubling = (unsigned) (bucket >> HISTOGRAM_STEPS_BITS) - 1;
        step = (bucket & (STEPS - 1)) + STEPS;
        return (step << doubling) + ((1ULL << doubling) >> 1);
}

void histogram_add(Histogram *histogram, uint64_t value_ns) {
        histogram->counts[bucket_of(value_ns)]++;
        if (histogram->total == 0 || value_ns < histogram->minimum_ns)
                histogram->minimum_ns = value_ns;
        if (value_ns > histogram->maximum_ns)
                histogram->maximum_ns = value_ns;
        histogram->total++;
        histogram->sum_ns += value_ns;
}

uint64_t histogram_quantile(const Histogram *histogram, double quantile) {
        uint64_t wanted = (uint64_t) (quantile * (double) histogram->total);
        uint64_t seen = 0;

        if (histogram->total == 0)
                return 0;
        for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
                seen += histogram->counts[bucket];
                if (seen > wanted || seen == histogram->total)
                        return middle_of(bucket);
        }
        assert(!"the buckets hold fewer values than were added");
        return 0;
}

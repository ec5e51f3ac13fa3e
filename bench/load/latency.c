/* latency: see latency.h. */
#include "load/latency.h"

static size_t bucket_of(uint64_t value_us) {
    if (value_us < LATENCY_EXACT) {
        return (size_t)value_us;
    }
    if (value_us > LATENCY_MAX_US) {
        value_us = LATENCY_MAX_US;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value_us) - LATENCY_BITS;
    size_t within = (size_t)(value_us >> shift) - (1 << LATENCY_BITS);
    return LATENCY_EXACT + (shift - 1) * (1 << LATENCY_BITS) + within;
}

/* The middle of a bucket. */
static uint64_t value_of(size_t bucket) {
    if (bucket < LATENCY_EXACT) {
        return bucket;
    }
    size_t above = bucket - LATENCY_EXACT;
    unsigned shift = (unsigned)(above >> LATENCY_BITS) + 1;
    uint64_t within = above & ((1 << LATENCY_BITS) - 1);
    return (((1 << LATENCY_BITS) + within) << shift) + (UINT64_C(1) << (shift - 1));
}

void latency_add(struct latency *latency, uint64_t value_us) {
    latency->count++;
    latency->buckets[bucket_of(value_us)]++;
    latency->max_us = value_us > latency->max_us ? value_us : latency->max_us;
}

void latency_merge(struct latency *into, const struct latency *from) {
    into->count += from->count;
    into->max_us = from->max_us > into->max_us ? from->max_us : into->max_us;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t latency_percentile(const struct latency *latency, unsigned per_100000) {
    assert(per_100000 <= 100000);
    uint64_t rank = (latency->count * per_100000 + 99999) / 100000;
    uint64_t seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS && latency->count > 0; i++) {
        seen += latency->buckets[i];
        if (seen > 0 && seen >= rank) {
            return value_of(i) < latency->max_us ? value_of(i) : latency->max_us;
        }
    }
    return 0;
}

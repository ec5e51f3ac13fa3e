/* latency: how often which latency was seen, from a microsecond to more than a minute, within 1 %.
 *
 * Buckets are linear within each power of two: below 128 us one a microsecond, above 64 a
 * doubling. Not for: several threads (each has its own, and they are added up at the end).
 * Called by worker.c and report.c. */
#ifndef LOAD_LATENCY_H
#define LOAD_LATENCY_H

#include "base/base.h"

#define LATENCY_EXACT   128 /* values below are told exactly */
#define LATENCY_BITS    6   /* 64 buckets a doubling above */
#define LATENCY_MAX_US  ((UINT64_C(1) << 27) - 1)
#define LATENCY_BUCKETS (LATENCY_EXACT + (27 - 7) * (1 << LATENCY_BITS))

/* All zero: nothing seen. */
struct latency {
    uint64_t count;
    uint64_t max_us; /* as it was, however long */
    uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t value_us);
void latency_merge(struct latency *into, const struct latency *from);
/* The nearest rank's value of `per_100000` (99.9 %: 99900), the middle of its bucket but never
 * above what was seen. 0 when nothing was. */
uint64_t latency_percentile(const struct latency *latency, unsigned per_100000);

#endif

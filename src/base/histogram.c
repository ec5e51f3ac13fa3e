/* Histograms: one thread counts, any thread reads, nobody waits. See base.h. */
#include "base/base.h"

/* 100 us to 10 s in steps of 1, 2.5, 5: what a disk and a crowd can do to an answer. */
static const uint64_t durations_us[] = {100,     250,     500,     1000,    2500,   5000,
                                        10000,   25000,   50000,   100000,  250000, 500000,
                                        1000000, 2500000, 5000000, 10000000};
/* Powers of two to 2,048, which is as much as one commit takes. */
static const uint64_t sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};

_Static_assert(COUNT_OF(durations_us) <= HISTOGRAM_BOUNDS_MAX, "the bounds fit");
_Static_assert(COUNT_OF(sizes) <= HISTOGRAM_BOUNDS_MAX, "the bounds fit");

const struct histogram_bounds histogram_durations = {durations_us, COUNT_OF(durations_us)};
const struct histogram_bounds histogram_sizes = {sizes, COUNT_OF(sizes)};

void counter_add(struct counter *counter, uint64_t count) {
    uint64_t before = atomic_load_explicit(&counter->value, memory_order_relaxed);
    atomic_store_explicit(&counter->value, before + count, memory_order_relaxed);
}

uint64_t counter_read(const struct counter *counter) {
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds) {
    assert(bounds->count > 0 && bounds->count <= HISTOGRAM_BOUNDS_MAX);
    for (size_t i = 1; i < bounds->count; i++) {
        assert(bounds->values[i - 1] < bounds->values[i]);
    }
    histogram->bounds = bounds;
    atomic_init(&histogram->sum.value, 0);
    for (size_t i = 0; i < COUNT_OF(histogram->counts); i++) {
        atomic_init(&histogram->counts[i].value, 0);
    }
}

void histogram_add(struct histogram *histogram, uint64_t value, uint64_t count) {
    const struct histogram_bounds *bounds = histogram->bounds;
    size_t i = 0;
    while (i < bounds->count && value > bounds->values[i]) {
        i++;
    }
    counter_add(&histogram->counts[i], count);
    counter_add(&histogram->sum, value * count);
}

void histogram_read(const struct histogram *histogram, struct histogram_reading *total) {
    assert(!total->bounds || total->bounds == histogram->bounds);
    total->bounds = histogram->bounds;
    total->sum += counter_read(&histogram->sum);
    for (size_t i = 0; i <= histogram->bounds->count; i++) {
        total->counts[i] += counter_read(&histogram->counts[i]);
    }
}

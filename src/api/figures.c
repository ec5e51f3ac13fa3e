/* Counting what claims are told. See figures.h. Called where claims are answered. */
#include "api/figures.h"

/* The clock is read once for so many answers: about 0.1 ms of writing them. */
enum { TALLY_MAX = 32 };

void loop_figures_init(struct loop_figures *figures) {
    for (size_t i = 0; i < COUNT_OF(figures->claims); i++) {
        atomic_init(&figures->claims[i].value, 0);
    }
    histogram_init(&figures->issued_us, &histogram_durations);
    histogram_init(&figures->refused_us, &histogram_durations);
}

void figures_claim(struct loop_figures *figures, enum verdict verdict) {
    assert((size_t)verdict < VERDICT_COUNT);
    counter_add(&figures->claims[verdict], 1);
}

void tally_claim(struct tally *tally, enum verdict verdict) {
    if (verdict == VERDICT_ISSUED) {
        tally->issued++;
    } else {
        tally->refused++;
    }
    if (tally->issued + tally->refused == TALLY_MAX) {
        tally_end(tally);
    }
}

void tally_end(struct tally *tally) {
    int64_t took_us = clock_monotonic_us() - tally->handed_over_us;
    assert(took_us >= 0);
    if (tally->issued > 0) {
        histogram_add(&tally->figures->issued_us, (uint64_t)took_us, tally->issued);
    }
    if (tally->refused > 0) {
        histogram_add(&tally->figures->refused_us, (uint64_t)took_us, tally->refused);
    }
    tally->issued = 0;
    tally->refused = 0;
}

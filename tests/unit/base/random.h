/* Random numbers for the tests of base: a seed that is printed and can be given again with
 * COUPON_TEST_SEED, and splitmix64 (Sebastiano Vigna, public domain description). */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* From `low` to `high`, both included. */
static inline int64_t random_between(uint64_t *state, int64_t low, int64_t high) {
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;
    uint64_t drawn = random_next(state);
    return (int64_t)((uint64_t)low + (span ? drawn % span : drawn));
}

static inline uint64_t random_seed(void) {
    const char *given = getenv("COUPON_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_realtime(NULL);
    printf("# COUPON_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

#endif

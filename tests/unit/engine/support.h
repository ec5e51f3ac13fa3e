/* What the tests of the engine share: users by number and by name, open terms, short calls
 * that must work, random numbers from a seed that is printed. */
#ifndef TEST_ENGINE_SUPPORT_H
#define TEST_ENGINE_SUPPORT_H

#include "engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* From `low` to `high`, both included. */
static inline int64_t random_between(uint64_t *state, int64_t low, int64_t high) {
    return low + (int64_t)(random_next(state) % (uint64_t)(high - low + 1));
}

static inline uint64_t random_seed(void) {
    const char *given = getenv("COUPON_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_realtime(NULL);
    printf("# COUPON_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static inline struct digest user_numbered(uint64_t number) {
    uint64_t state = number * 2;
    struct digest user = {.low = random_next(&state)};
    user.high = random_next(&state);
    return user;
}

static inline struct digest user_named(const char *name) {
    uint64_t number = 0;
    for (; *name; name++)
        number = number * 131 + (uint64_t)*name;
    return user_numbered(number);
}

static inline struct engine_terms terms_open(uint32_t total) {
    return (struct engine_terms){.start_us = 0, .end_us = INT64_MAX, .total_quantity = total};
}

static inline struct engine *engine_with_coupons(size_t coupons) {
    struct engine *engine = NULL;
    struct engine_terms terms = terms_open(ENGINE_UNLIMITED);
    assert_int_equal(engine_new(coupons, &engine), STATUS_OK);
    for (uint64_t id = 1; id <= coupons; id++)
        assert_int_equal(engine_coupon_add(engine, id, &terms), STATUS_OK);
    return engine;
}

static inline struct engine_decision decide(struct engine *engine, uint64_t coupon_id,
                                            struct digest user, int64_t now_us) {
    struct engine_decision decision = {.rank = 77};
    engine_prefetch(engine, coupon_id, user);
    engine_prefetch_holding(engine, coupon_id, user);
    assert_int_equal(engine_decide(engine, coupon_id, user, now_us, &decision), STATUS_OK);
    return decision;
}

/* The rank this user holds, 0 for none. */
static inline uint32_t held(const struct engine *engine, uint64_t coupon_id, struct digest user) {
    uint32_t rank = 0;
    int64_t at = 0;
    int status = engine_holding(engine, coupon_id, user, &rank, &at);
    assert_true(status == STATUS_OK || (status == STATUS_NOT_FOUND && rank == 0));
    return rank;
}

/* All that can wait. */
static inline void tend(struct engine *engine, bool quiet) {
    while (engine_tend(engine, quiet)) {
    }
}

#endif

/* The map of coupons: ids that lie close, far and in each other's way, come and go. */
#include "support.h"

#define IDS 600

/* Runs of neighbours, multiples of powers of two, the largest that JSON keeps. */
static uint64_t id_of(size_t i) {
    switch (i % 4) {
    case 0:
        return i / 4 + 1;
    case 1:
        return ((uint64_t)i / 4 + 1) << 40;
    case 2:
        return (uint64_t)JSON_INTEGER_MAX - i / 4;
    }
    return user_numbered(i).low >> 11 | 1;
}

static void coupons_come_and_go_and_are_found_by_id(void **state) {
    (void)state;
    uint64_t random = random_seed();
    struct engine *engine = NULL;
    bool there[IDS] = {false};
    size_t count = 0;
    assert_int_equal(engine_new(IDS / 2, &engine), STATUS_OK);
    for (size_t step = 0; step < 20000; step++) {
        size_t i = (size_t)random_between(&random, 0, IDS - 1);
        struct engine_terms terms = terms_open((uint32_t)i); /* tells coupons apart */
        int expected = there[i] ? STATUS_EXISTS : count == IDS / 2 ? STATUS_FULL : STATUS_OK;
        if (random_next(&random) % 2) {
            assert_int_equal(engine_coupon_add(engine, id_of(i), &terms), expected);
            count += expected == STATUS_OK;
            there[i] = there[i] || expected == STATUS_OK;
        } else {
            engine_coupon_remove(engine, id_of(i));
            count -= there[i];
            there[i] = false;
        }
        for (size_t k = step % 97; k < IDS; k += 97)
            assert_int_equal(engine_coupon_known(engine, id_of(k)), there[k]);
    }
    assert_int_equal(engine_figures(engine).coupons, count);
    engine_free(engine);
}

static void the_last_place_is_given_and_no_further_one(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(100);
    struct engine_terms terms = terms_open(1);
    assert_int_equal(engine_coupon_add(engine, 101, &terms), STATUS_FULL);
    assert_int_equal(engine_coupon_add(engine, 100, &terms), STATUS_EXISTS);
    engine_coupon_remove(engine, 50);
    assert_int_equal(engine_coupon_add(engine, 101, &terms), STATUS_OK);
    assert_int_equal(engine_coupon_add(engine, 50, &terms), STATUS_FULL);
    engine_free(engine);
}

static void no_coupon_has_the_id_zero(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    assert_false(engine_coupon_known(engine, 0));
    assert_int_equal(decide(engine, 0, user_named("ann"), 5).verdict, ENGINE_NO_SUCH_COUPON);
    engine_coupon_remove(engine, 0);
    assert_int_equal(engine_figures(engine).coupons, 1);
    engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coupons_come_and_go_and_are_found_by_id),
        cmocka_unit_test(the_last_place_is_given_and_no_further_one),
        cmocka_unit_test(no_coupon_has_the_id_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

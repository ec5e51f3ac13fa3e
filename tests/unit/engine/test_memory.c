/* The memory budget, counted and not timed: bytes an issue from one to sixteen million, and
 * what small and empty coupons take. */
#include "support.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(SANITIZED) || defined(__SANITIZE_ADDRESS__)
#define ISSUES_LAST 3000000 /* sanitized, sixteen would take minutes */
#else
#define ISSUES_LAST 16000000
#endif

static void a_big_coupon_takes_forty_bytes_an_issue_at_most(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    double worst = 0;
    for (uint32_t i = 1; i <= ISSUES_LAST; i++) {
        struct engine_decision decision;
        assert_int_equal(engine_decide(engine, 1, user_numbered(i), 5, &decision), STATUS_OK);
        if (i % 1000 > 0)
            continue;
        engine_commit(engine);
        double bytes = (double)engine_figures(engine).memory_bytes / i;
        if (i >= 1000000 && bytes > worst)
            worst = bytes;
    }
    assert_int_equal(engine_issued(engine, 1), ISSUES_LAST);
    printf("# at most %.2f bytes an issue\n", worst);
    assert_true(worst <= 40);
    engine_free(engine);
}

static void a_small_coupon_takes_little(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    decide(engine, 1, user_named("ann"), 5);
    assert_in_range(engine_figures(engine).memory_bytes, 1, 640);
    for (uint32_t i = 2; i <= 1000; i++)
        decide(engine, 1, user_numbered(i), 5);
    assert_in_range(engine_figures(engine).memory_bytes, 1, 48 * 1000);
    engine_free(engine);
}

static void a_hundred_thousand_coupons_without_issues_take_megabytes(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(100000);
    assert_int_equal(engine_figures(engine).coupons, 100000);
    assert_in_range(engine_figures(engine).memory_bytes, 1, 100000 * 160);
    for (uint64_t id = 1; id <= 100000; id++)
        engine_coupon_remove(engine, id);
    assert_int_equal(engine_figures(engine).memory_bytes, 0);
    engine_free(engine);
}

static void a_removed_coupon_gives_all_its_memory_back(void **state) {
    (void)state;
    static const uint32_t counts[] = {0, 1, 8, 9, 12, 13, 768, 4096, 4097, 200000};
    for (size_t k = 0; k < COUNT_OF(counts); k++) {
        struct engine *engine = engine_with_coupons(1);
        for (uint32_t i = 1; i <= counts[k]; i++)
            decide(engine, 1, user_numbered(i), 5);
        engine_commit(engine);
        assert_int_equal(engine_figures(engine).issues, counts[k]);
        engine_coupon_remove(engine, 1);
        assert_int_equal(engine_figures(engine).memory_bytes, 0);
        assert_int_equal(engine_figures(engine).issues, 0);
        engine_free(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_big_coupon_takes_forty_bytes_an_issue_at_most),
        cmocka_unit_test(a_small_coupon_takes_little),
        cmocka_unit_test(a_hundred_thousand_coupons_without_issues_take_megabytes),
        cmocka_unit_test(a_removed_coupon_gives_all_its_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

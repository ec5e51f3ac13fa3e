/* The order in which verdicts are tried (I7): every combination of what can be said about a
 * claim, against the first that applies. */
#include "support.h"

#define START_US 100
#define END_US   200

/* One bit for each thing that may hold of a claim. */
enum trait { KNOWN = 1, HELD = 2, PAUSED = 4, EARLY = 8, LATE = 16, FULL = 32, TRAITS = 64 };

static enum engine_verdict expected_of(int traits) {
    if (!(traits & KNOWN))
        return ENGINE_NO_SUCH_COUPON;
    if (traits & HELD)
        return ENGINE_ALREADY_ISSUED;
    if (traits & PAUSED)
        return ENGINE_PAUSED;
    if (traits & EARLY)
        return ENGINE_NOT_STARTED;
    if (traits & LATE)
        return ENGINE_ENDED;
    if (traits & FULL)
        return ENGINE_SOLD_OUT;
    return ENGINE_GRANTED;
}

/* Another user holds rank 1, so that "full" can be a total of what is issued. */
static struct engine_decision decide_with(int traits) {
    struct engine *engine = NULL;
    struct engine_terms terms = {.start_us = START_US, .end_us = END_US, .total_quantity = 10};
    assert_int_equal(engine_new(4, &engine), STATUS_OK);
    assert_int_equal(engine_coupon_add(engine, 1, &terms), STATUS_OK);
    decide(engine, 1, user_named("first"), START_US);
    if (traits & HELD)
        decide(engine, 1, user_named("me"), START_US + 1);
    engine_commit(engine);
    terms.paused = traits & PAUSED;
    if (traits & FULL)
        terms.total_quantity = engine_issued(engine, 1);
    if (traits & LATE && traits & EARLY) /* both at once: the period is turned around */
        terms.end_us = START_US - 50;
    assert_int_equal(engine_coupon_change(engine, 1, &terms), STATUS_OK);
    int64_t now = traits & EARLY ? START_US - 1 : traits & LATE ? END_US : START_US;
    struct engine_decision decision = decide(engine, traits & KNOWN ? 1 : 2, user_named("me"), now);
    engine_free(engine);
    return decision;
}

static void verdicts_are_tried_in_their_order(void **state) {
    (void)state;
    for (int traits = 0; traits < TRAITS; traits++) {
        enum engine_verdict expected = expected_of(traits);
        struct engine_decision decision = decide_with(traits);
        if (decision.verdict != expected)
            fail_msg("traits %d: verdict %d, not %d", traits, (int)decision.verdict, (int)expected);
    }
}

static void a_decision_carries_what_belongs_to_its_verdict(void **state) {
    (void)state;
    for (int traits = 0; traits < TRAITS; traits++) {
        struct engine_decision decision = decide_with(traits);
        bool granted = decision.verdict == ENGINE_GRANTED;
        bool already = decision.verdict == ENGINE_ALREADY_ISSUED;
        assert_int_equal(decision.rank, granted || already ? 2 : 0);
        assert_int_equal(decision.issued_at_us, granted ? START_US : already ? START_US + 1 : 0);
        assert_int_equal(decision.start_us, decision.verdict == ENGINE_NOT_STARTED ? START_US : 0);
    }
}

static void a_period_holds_its_start_and_not_its_end(void **state) {
    (void)state;
    struct engine *engine = NULL;
    struct engine_terms terms = {.start_us = START_US, .end_us = END_US, .total_quantity = 10};
    assert_int_equal(engine_new(1, &engine), STATUS_OK);
    assert_int_equal(engine_coupon_add(engine, 1, &terms), STATUS_OK);
    struct digest user = user_named("me");
    assert_int_equal(decide(engine, 1, user, INT64_MIN).verdict, ENGINE_NOT_STARTED);
    assert_int_equal(decide(engine, 1, user, START_US - 1).verdict, ENGINE_NOT_STARTED);
    assert_int_equal(decide(engine, 1, user, END_US).verdict, ENGINE_ENDED);
    assert_int_equal(decide(engine, 1, user, INT64_MAX).verdict, ENGINE_ENDED);
    assert_int_equal(decide(engine, 1, user, END_US - 1).verdict, ENGINE_GRANTED);
    engine_abort(engine);
    assert_int_equal(decide(engine, 1, user, START_US).verdict, ENGINE_GRANTED);
    engine_free(engine);
}

static void a_quantity_is_given_to_the_last_one_and_no_further(void **state) {
    (void)state;
    struct engine *engine = NULL;
    struct engine_terms terms = terms_open(1000);
    assert_int_equal(engine_new(1, &engine), STATUS_OK);
    assert_int_equal(engine_coupon_add(engine, 1, &terms), STATUS_OK);
    for (uint32_t i = 1; i <= 1000; i++)
        assert_int_equal(decide(engine, 1, user_numbered(i), 5).rank, i);
    for (uint32_t i = 1001; i <= 1100; i++)
        assert_int_equal(decide(engine, 1, user_numbered(i), 5).verdict, ENGINE_SOLD_OUT);
    assert_int_equal(engine_pending(engine), 1000);
    engine_commit(engine);
    assert_int_equal(engine_issued(engine, 1), 1000);
    engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_tried_in_their_order),
        cmocka_unit_test(a_decision_carries_what_belongs_to_its_verdict),
        cmocka_unit_test(a_period_holds_its_start_and_not_its_end),
        cmocka_unit_test(a_quantity_is_given_to_the_last_one_and_no_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

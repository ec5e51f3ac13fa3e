/* Golden traces of issuer_step while all writes work: verdicts, ranks, repeats, counts. */
#include "support.h"

#include "trace.h"

static void a_crowd_gets_ranks_in_the_order_it_asks(void **state) {
    (void)state;
    check_trace("make 1 10..20 of 3 -> ok 1\n"
                "at 9: ann@1 -> not started before 10; no write\n"
                "at 10: ann@1 bob@1 -> issued 1 at 10, issued 2 at 10; 2 rows, 1=2\n"
                "board 1 -> 2 issued, version 1\n"
                "at 19: bob@1 cat@1 dan@1 -> "
                "already issued 2 at 10, issued 3 at 19, sold out; 1 row, 1=3\n"
                "at 19: dan@1 -> sold out; no write\n"
                "at 20: dan@1 ann@1 -> ended, already issued 1 at 10; no write\n"
                "record 1 -> ann@10 bob@10 cat@19\n");
}

static void one_commit_serves_many_batches_and_coupons(void **state) {
    (void)state;
    check_trace("make 1 0..20 of any -> ok 1\n"
                "make 7 0..20 of 2 -> ok 7\n"
                "at 1: ann@7 -> issued 1 at 1; 1 row, 7=1\n"
                "at 2: ann@1 bob@7 ann@7 + cat@7 bob@1 + dan@9 -> issued 1 at 2, issued 2 at 2, "
                "already issued 1 at 1, sold out, issued 2 at 2, no such coupon; 3 rows, 1=2 7=2\n"
                "at 3: eve@1 -> issued 3 at 3; 1 row, 1=3\n"
                "board 1 -> 3 issued, version 1\n"
                "board 7 -> 2 issued, version 1\n"
                "record 1 -> ann@2 bob@2 eve@3\n"
                "record 7 -> ann@1 bob@2\n");
}

static void who_asks_twice_in_one_batch_gets_one(void **state) {
    (void)state;
    check_trace("make 1 0..20 of 2 -> ok 1\n"
                "at 5: ann@1 ann@1 ann@1 bob@1 + ann@1 -> issued 1 at 5, already issued 1 at 5, "
                "already issued 1 at 5, issued 2 at 5, already issued 1 at 5; 2 rows, 1=2\n"
                "record 1 -> ann@5 bob@5\n");
}

static void the_same_key_replays_and_another_does_not(void **state) {
    (void)state;
    check_trace("make 1 0..20 of any -> ok 1\n"
                "make 2 0..20 of any -> ok 2\n"
                "at 5: ann@1#k ann@1#k ann@1#other ann@1 + ann@1#k -> issued 1 at 5, "
                "replayed 1 at 5, already issued 1 at 5, already issued 1 at 5, replayed 1 at 5; "
                "1 row, 1=1\n"
                "at 6: ann@1#k ann@1#other ann@1 -> "
                "replayed 1 at 5, already issued 1 at 5, already issued 1 at 5; no write\n"
                /* another user's or coupon's claim with the same key is another claim */
                "at 7: bob@1#k ann@2#k -> issued 2 at 7, issued 1 at 7; 2 rows, 1=2 2=1\n"
                /* who got one without a key has nothing to replay */
                "at 8: cat@1 -> issued 3 at 8; 1 row, 1=3\n"
                "at 9: cat@1#k -> already issued 3 at 8; no write\n"
                "reload -> ok\n"
                "at 99: ann@1#k ann@1#other -> replayed 1 at 5, already issued 1 at 5; no write\n"
                "record 1 -> ann@5#k bob@7#k cat@8\n");
}

static void refusals_follow_the_order_of_the_contract(void **state) {
    (void)state;
    check_trace("make 1 10..20 of 1 -> ok 1\n"
                "at 10: ann@1 -> issued 1 at 10; 1 row, 1=1\n"
                "at 10: bob@1 -> sold out; no write\n"
                "at 9: bob@1 -> not started before 10; no write\n"
                "at 20: bob@1 -> ended; no write\n"
                "change 1 paused -> ok version 2\n"
                "at 9: bob@1 -> paused; no write\n"
                "at 10: bob@1 ann@1 -> paused, already issued 1 at 10; no write\n"
                "at 20: bob@1 -> paused; no write\n"
                "change 1 archived -> ok version 3\n"
                "at 10: ann@1 bob@1 -> no such coupon, no such coupon; no write\n");
}

static void a_change_judges_the_next_step(void **state) {
    (void)state;
    check_trace("make 1 10..20 of 1 -> ok 1\n"
                "at 10: ann@1 bob@1 -> issued 1 at 10, sold out; 1 row, 1=1\n"
                "change 1 of 2 -> ok version 2\n"
                "board 1 -> 1 issued, version 2\n"
                "at 11: bob@1 cat@1 -> issued 2 at 11, sold out; 1 row, 1=2\n"
                "change 1 of 1 -> invalid totalQuantity\n"
                "change 1 of any -> ok version 3\n"
                "change 1 10..12 -> ok version 4\n"
                "at 12: cat@1 -> ended; no write\n"
                "change 1 30..40 -> ok version 5\n"
                "at 12: cat@1 -> not started before 30; no write\n"
                "at 30: cat@1 -> issued 3 at 30; 1 row, 1=3\n"
                "board 1 -> 3 issued, version 5\n"
                "reload -> ok\n"
                "board 1 -> 3 issued, version 5\n"
                "at 31: dan@1 -> issued 4 at 31; 1 row, 1=4\n");
}

static void a_step_may_be_as_large_as_its_limit(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, CLAIM_BATCH_MAX + 10);
    coupon_make(world, 2, 3);
    issue_many(world, 1, CLAIM_BATCH_MAX);
    assert_int_equal(world->ledger->operations[OPERATION_APPEND].calls, 1);
    assert_int_equal(world->ledger->row_count, CLAIM_BATCH_MAX);
    assert_int_equal(world->ledger->count_count, 1);
    assert_coupon_agrees(world, 1, CLAIM_BATCH_MAX);
    assert_coupon_agrees(world, 2, 0);
}

/* Each claim of another coupon: as many counts as rows. */
static void every_claim_of_a_step_may_be_of_another_coupon(void **state) {
    (void)state;
    enum { COUPONS = 300 };
    struct world world;
    struct claim claims[COUPONS];
    world_init(&world, COUPONS);
    for (size_t i = 0; i < COUPONS; i++) {
        coupon_make(&world, i + 1, 1);
        claims[i] = claim_of(&world, COUPONS - i, "ann", "");
    }
    step_claims(&world, 5, claims, COUPONS);
    assert_int_equal(world.ledger->count_count, COUPONS);
    for (size_t i = 0; i < COUPONS; i++) {
        assert_int_equal(claims[i].verdict, VERDICT_ISSUED);
        assert_int_equal(world.ledger->counts[i].coupon_id, COUPONS - i);
        assert_int_equal(world.ledger->counts[i].issued_quantity, 1);
        assert_coupon_agrees(&world, i + 1, 1);
    }
    world_done(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_gets_ranks_in_the_order_it_asks),
        cmocka_unit_test(one_commit_serves_many_batches_and_coupons),
        cmocka_unit_test(who_asks_twice_in_one_batch_gets_one),
        cmocka_unit_test(the_same_key_replays_and_another_does_not),
        cmocka_unit_test(refusals_follow_the_order_of_the_contract),
        cmocka_unit_test(a_change_judges_the_next_step),
        cmocka_unit_test_setup_teardown(a_step_may_be_as_large_as_its_limit, world_setup,
                                        world_teardown),
        cmocka_unit_test(every_claim_of_a_step_may_be_of_another_coupon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

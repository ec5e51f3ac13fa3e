/* Digests made to collide, and what the index does when it grows, splits and is taken back.
 *
 * What the index looks at (engine_index.c): the group is the low six bits of `low`, the tag
 * the next byte but two bits, the directory slot the high bits of `high`. */
#include "support.h"

#define PAGE_SLOTS 768

/* Same page for ever, same group, same tag: only the comparison of digests tells them apart. */
static struct digest twin(uint64_t number) {
    return (struct digest){.low = number << 16 | 0x0517, .high = 0};
}

static void digests_that_share_everything_are_still_told_apart(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t i = 1; i <= PAGE_SLOTS; i++) {
        assert_int_equal(held(engine, 1, twin(i)), 0);
        assert_int_equal(decide(engine, 1, twin(i), 5).rank, i);
    }
    for (uint32_t i = 1; i <= PAGE_SLOTS; i++)
        assert_int_equal(held(engine, 1, twin(i)), i);
    assert_int_equal(held(engine, 1, twin(PAGE_SLOTS + 1)), 0);
    engine_free(engine);
}

static void more_twins_than_a_page_holds_are_refused_and_change_nothing(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t i = 1; i <= PAGE_SLOTS; i++)
        decide(engine, 1, twin(i), 5);
    engine_commit(engine);
    size_t memory = engine_figures(engine).memory_bytes;
    for (uint32_t i = 1; i <= 1000; i++) {
        struct engine_decision decision = {.rank = 77};
        assert_int_equal(engine_decide(engine, 1, twin(PAGE_SLOTS + i), 5, &decision),
                         STATUS_NO_MEMORY);
        assert_int_equal(decision.rank, 77);
    }
    assert_int_equal(engine_pending(engine), 0);
    assert_in_range(memory, 0, 256 * 1024); /* the directory did not run away */
    assert_in_range(engine_figures(engine).memory_bytes, memory, 256 * 1024);
    struct digest other = {.low = 0x0517, .high = UINT64_MAX};
    assert_int_equal(decide(engine, 1, other, 5).rank, PAGE_SLOTS + 1);
    assert_int_equal(held(engine, 1, twin(PAGE_SLOTS)), PAGE_SLOTS);
    engine_free(engine);
}

static void twins_that_are_taken_back_leave_the_page_usable(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 1; i <= PAGE_SLOTS; i++)
            assert_int_equal(decide(engine, 1, twin(round * 1000 + i), 5).rank, i);
        engine_abort(engine);
        for (uint32_t i = 1; i <= PAGE_SLOTS; i++)
            assert_int_equal(held(engine, 1, twin(round * 1000 + i)), 0);
    }
    engine_free(engine);
}

/* 65,536 is one more than the count of a group holds. */
static void one_twin_may_come_and_go_for_ever(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t i = 1; i <= 12; i++) /* the home group is full */
        decide(engine, 1, twin(i), 5);
    for (uint32_t i = 0; i < 500; i++) /* there are other groups */
        decide(engine, 1, user_numbered(i), 5);
    engine_commit(engine);
    for (uint32_t round = 0; round < 70000; round++) {
        assert_int_equal(decide(engine, 1, twin(99), 5).rank, 513);
        assert_int_equal(held(engine, 1, twin(99)), 513);
        engine_abort(engine);
    }
    engine_free(engine);
}

static void batches_that_come_and_go_take_no_more_memory_each_time(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t i = 1; i <= 560; i++)
        decide(engine, 1, user_numbered(i), 5);
    engine_commit(engine);
    size_t memory = 0;
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 1; i <= 60; i++)
            decide(engine, 1, user_numbered(1000 + i), 5);
        if (round == 0)
            memory = engine_figures(engine).memory_bytes;
        assert_int_equal(engine_figures(engine).memory_bytes, memory);
        engine_abort(engine);
    }
    engine_free(engine);
}

/* Digests that share their first `bits` directory bits and are random otherwise. */
static struct digest cousin(uint64_t number, unsigned bits) {
    struct digest user = user_numbered(number);
    user.high >>= bits;
    return user;
}

static void long_common_prefixes_split_as_far_as_they_must(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t i = 1; i <= 20000; i++)
        assert_int_equal(decide(engine, 1, cousin(i, 4), 5).rank, i);
    for (uint32_t i = 1; i <= 20000; i++)
        assert_int_equal(held(engine, 1, cousin(i, 4)), i);
    for (uint32_t i = 20001; i <= 40000; i++)
        assert_int_equal(held(engine, 1, cousin(i, 4)), 0);
    engine_free(engine);
}

static void an_abort_across_splits_takes_back_exactly_the_batch(void **state) {
    (void)state;
    static const uint32_t kept[] = {0, 5, 12, 13, 100, 300, 640, 700, 3000, 20000};
    for (size_t k = 0; k < COUNT_OF(kept); k++) {
        struct engine *engine = engine_with_coupons(1);
        for (uint32_t i = 1; i <= kept[k]; i++)
            decide(engine, 1, user_numbered(i), 5);
        engine_commit(engine);
        for (uint32_t round = 1; round <= 3; round++) { /* the first grows, the others do not */
            for (uint32_t i = kept[k] + 1; i <= kept[k] * 3 + 2000; i++)
                assert_int_equal(decide(engine, 1, user_numbered(i), round).rank, i);
            for (uint32_t i = 1; i <= kept[k] * 3 + 2000; i++)
                assert_int_equal(held(engine, 1, user_numbered(i)), i);
            engine_abort(engine);
            assert_int_equal(engine_issued(engine, 1), kept[k]);
            for (uint32_t i = 1; i <= kept[k] * 3 + 2000; i++)
                assert_int_equal(held(engine, 1, user_numbered(i)), i <= kept[k] ? i : 0);
        }
        engine_free(engine);
    }
}

static void the_end_bits_of_a_digest_are_as_good_as_any(void **state) {
    (void)state;
    static const uint64_t words[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63, UINT64_MAX >> 1};
    struct engine *engine = engine_with_coupons(1);
    uint32_t rank = 0;
    for (uint32_t i = 1; i <= 5000; i++) /* so that there is a directory */
        assert_int_equal(decide(engine, 1, user_numbered(i), 5).rank, ++rank);
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        for (size_t j = 0; j < COUNT_OF(words); j++)
            assert_int_equal(decide(engine, 1, (struct digest){words[i], words[j]}, 5).rank,
                             ++rank);
    }
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        for (size_t j = 0; j < COUNT_OF(words); j++)
            assert_int_equal(held(engine, 1, (struct digest){words[i], words[j]}),
                             5000 + i * COUNT_OF(words) + j + 1);
    }
    engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_that_share_everything_are_still_told_apart),
        cmocka_unit_test(more_twins_than_a_page_holds_are_refused_and_change_nothing),
        cmocka_unit_test(twins_that_are_taken_back_leave_the_page_usable),
        cmocka_unit_test(one_twin_may_come_and_go_for_ever),
        cmocka_unit_test(batches_that_come_and_go_take_no_more_memory_each_time),
        cmocka_unit_test(long_common_prefixes_split_as_far_as_they_must),
        cmocka_unit_test(an_abort_across_splits_takes_back_exactly_the_batch),
        cmocka_unit_test(the_end_bits_of_a_digest_are_as_good_as_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

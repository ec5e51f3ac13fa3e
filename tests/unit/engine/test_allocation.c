/* Every allocation of the engine fails once: what it returns then, and that nothing changed.
 * malloc is among those that fail as the compiler makes it of a realloc of nothing; the linker
 * leads mmap here too (--wrap, see meson.build). */
#include "support.h"

#include "support/allocation.h"

#include <sys/mman.h>

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);

static size_t allocations_left = SIZE_MAX; /* until they begin to fail */
static bool failed;                        /* one did */
static size_t maps_failed;

bool allocation_fails(void) {
    if (allocations_left == 0) {
        failed = true;
        return true;
    }
    allocations_left--;
    return false;
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    if (!allocation_fails())
        return __real_mmap64(address, size, protection, flags, file, offset);
    maps_failed++;
    return MAP_FAILED;
}

/* From the next allocation but `count` on all fail, until this is lifted. */
static void fail_after(size_t count) {
    allocations_left = count;
    failed = false;
}

static void fail_never(void) {
    allocations_left = SIZE_MAX;
}

static void an_engine_that_cannot_be_made_leaves_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct engine *engine = NULL;
        fail_after(i);
        assert_int_equal(engine_new(1000, &engine), STATUS_NO_MEMORY);
        fail_never();
        assert_null(engine);
    }
    struct engine *engine = NULL;
    assert_int_equal(engine_new(SIZE_MAX, &engine), STATUS_NO_MEMORY);
    engine_free(NULL);
}

static void a_coupon_that_cannot_be_added_is_not_there(void **state) {
    (void)state;
    struct engine *engine = NULL;
    struct engine_terms terms = terms_open(5);
    assert_int_equal(engine_new(2, &engine), STATUS_OK);
    fail_after(0);
    assert_int_equal(engine_coupon_add(engine, 1, &terms), STATUS_NO_MEMORY);
    fail_never();
    assert_false(engine_coupon_known(engine, 1));
    assert_int_equal(engine_figures(engine).memory_bytes, 0);
    assert_int_equal(engine_coupon_add(engine, 1, &terms), STATUS_OK);
    engine_free(engine);
}

/* Decides with all memory gone. When that is refused nothing may have changed, and the same
 * claim is granted once there is memory again. True when it was refused. */
static bool claim_without_memory(struct engine *engine, uint32_t number) {
    struct digest user = user_numbered(number);
    struct engine_decision decision = {.rank = 77};
    size_t pending = engine_pending(engine);
    fail_after(0);
    int status = engine_decide(engine, 1, user, 5, &decision);
    fail_never();
    if (status == STATUS_OK) { /* there was room; a page that could not grow may wait */
        assert_int_equal(decision.rank, number);
        return false;
    }
    assert_int_equal(status, STATUS_NO_MEMORY);
    assert_int_equal(decision.rank, 77);
    assert_int_equal(engine_pending(engine), pending);
    assert_int_equal(held(engine, 1, user), 0);
    assert_int_equal(decide(engine, 1, user, 5).rank, number);
    return true;
}

static void a_claim_without_memory_changes_nothing(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    size_t refused = 0;
    for (uint32_t i = 1; i <= 20000; i++) {
        refused += claim_without_memory(engine, i);
        if (i == 10000) /* more pending than the list begins with */
            engine_commit(engine);
    }
    for (uint32_t i = 1; i <= 20000; i++)
        assert_int_equal(held(engine, 1, user_numbered(i)), i);
    printf("# %zu of 20000 claims met a failure\n", refused);
    assert_in_range(refused, 15, 1000);
    engine_abort(engine);
    for (uint32_t i = 1; i <= 20000; i++)
        assert_int_equal(held(engine, 1, user_numbered(i)), i <= 10000 ? i : 0);
    engine_free(engine);
}

/* The allocations of one claim fail from the second, the third … on. */
static void a_claim_that_fails_half_way_changes_nothing(void **state) {
    (void)state;
    for (size_t first = 0; first < 6; first++) {
        struct engine *engine = engine_with_coupons(1);
        for (uint32_t i = 1; i <= 6000; i++) {
            struct engine_decision decision;
            fail_after(first);
            int status = engine_decide(engine, 1, user_numbered(i), 5, &decision);
            fail_never();
            assert_true(status == STATUS_OK || (status == STATUS_NO_MEMORY && failed));
            assert_int_equal(held(engine, 1, user_numbered(i)), status == STATUS_OK ? i : 0);
            if (status < 0)
                assert_int_equal(decide(engine, 1, user_numbered(i), 5).rank, i);
        }
        for (uint32_t i = 1; i <= 6000; i++)
            assert_int_equal(held(engine, 1, user_numbered(i)), i);
        engine_free(engine);
    }
}

/* A page that cannot split is put up with until it is full; a segment must be had at once. */
static void a_big_coupon_outlives_a_lack_of_memory(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    size_t refused = 0;
    for (uint32_t i = 1; i <= 400000; i++) {
        struct engine_decision decision;
        fail_after(i / 1000 % 3 > 0 ? SIZE_MAX : 0);
        int status = engine_decide(engine, 1, user_numbered(i), 5, &decision);
        fail_never();
        refused += status < 0;
        if (status < 0)
            decision = decide(engine, 1, user_numbered(i), 5);
        assert_int_equal(decision.rank, i);
        if (i % 1000 == 0)
            engine_commit(engine);
    }
    assert_in_range(refused, 3, 1000);
    for (uint32_t i = 1; i <= 400000; i++)
        assert_int_equal(held(engine, 1, user_numbered(i)), i);
    assert_true(maps_failed > 0);
    engine_free(engine);
}

static void a_restore_without_memory_can_be_tried_again(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t i = 1; i <= 3000; i++) {
        struct digest user = user_numbered(i);
        fail_after(0);
        int status = engine_restore(engine, 1, i, user, 5);
        fail_never();
        assert_int_equal(engine_issued(engine, 1), status == STATUS_OK ? i : i - 1);
        if (status < 0)
            assert_int_equal(engine_restore(engine, 1, i, user, 5), STATUS_OK);
    }
    assert_int_equal(engine_figures(engine).issues, 3000);
    engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_that_cannot_be_made_leaves_nothing),
        cmocka_unit_test(a_coupon_that_cannot_be_added_is_not_there),
        cmocka_unit_test(a_claim_without_memory_changes_nothing),
        cmocka_unit_test(a_claim_that_fails_half_way_changes_nothing),
        cmocka_unit_test(a_big_coupon_outlives_a_lack_of_memory),
        cmocka_unit_test(a_restore_without_memory_can_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

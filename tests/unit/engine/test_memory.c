/* The memory budget, counted and not timed: bytes an issue from one to sixteen million, and
 * what small and empty coupons take. */
#include "support.h"

#include <sys/mman.h>

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

/* The linker leads the engine's own calls here (--wrap, see meson.build). */
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *address, size_t size);
int __real_munmap(void *address, size_t size);

static size_t mapped_bytes; /* by the engine; what it gave back is taken off */

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    mapped_bytes += size;
    return __real_mmap64(address, size, protection, flags, file, offset);
}

int __wrap_munmap(void *address, size_t size) {
    mapped_bytes -= size;
    return __real_munmap(address, size);
}

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
        if (i % 1000000 == 0)
            tend(engine, true);
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
    static const uint32_t counts[] = {0, 1, 8, 9, 12, 13, 768, 4096, 4097, 70000, 200000, 600000};
    for (size_t k = 0; k < COUNT_OF(counts); k++) {
        struct engine *engine = engine_with_coupons(1);
        for (uint32_t i = 1; i <= counts[k]; i++)
            decide(engine, 1, user_numbered(i), 5);
        engine_commit(engine);
        assert_int_equal(engine_figures(engine).issues, counts[k]);
        engine_coupon_remove(engine, 1);
        tend(engine, false);
        assert_int_equal(engine_figures(engine).memory_bytes, 0);
        assert_int_equal(engine_figures(engine).issues, 0);
        engine_free(engine);
    }
}

/* What a removal leaves for later it leaves to engine_tend, and that does a part at a time. */
static void a_big_coupon_is_given_back_in_parts(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(2);
    for (uint32_t i = 1; i <= 1000000; i++)
        decide(engine, 1, user_numbered(i), 5);
    for (uint32_t i = 1; i <= 1000; i++)
        decide(engine, 2, user_numbered(i), 5);
    engine_commit(engine);
    size_t memory = engine_figures(engine).memory_bytes;
    engine_coupon_remove(engine, 1);
    assert_in_range(engine_figures(engine).memory_bytes, memory - 1000000, memory);
    for (bool more = true; more;) {
        memory = engine_figures(engine).memory_bytes;
        more = engine_tend(engine, true);
        assert_in_range(memory - engine_figures(engine).memory_bytes, 1, 8 << 20);
    }
    assert_in_range(engine_figures(engine).memory_bytes, 1, 48 * 1000);
    for (uint32_t i = 1; i <= 1000; i++)
        assert_int_equal(held(engine, 2, user_numbered(i)), i);
    engine_free(engine);
}

/* Whether the system has huge pages to give or not. */
static void huge_pages_change_no_answer_and_take_no_more_than_their_chunk(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    uint32_t issued = 0;
    for (uint32_t round = 1; round <= 10; round++) {
        for (; issued < round * 100000; issued++)
            assert_int_equal(decide(engine, 1, user_numbered(issued), 5).rank, issued + 1);
        engine_commit(engine);
        size_t memory = engine_figures(engine).memory_bytes;
        tend(engine, true);
        assert_in_range(engine_figures(engine).memory_bytes, memory, memory + issued);
        for (uint32_t i = 0; i < issued; i += 7)
            assert_int_equal(held(engine, 1, user_numbered(i)), i + 1);
    }
    assert_in_range(engine_figures(engine).memory_bytes, 1, 40 * issued);
    engine_coupon_remove(engine, 1);
    tend(engine, true);
    assert_int_equal(engine_figures(engine).memory_bytes, 0);
    engine_free(engine);
}

static void chunks_are_tended_one_by_one_and_all_of_them_are_unmapped(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(1);
    for (uint32_t i = 1; i <= 1000000; i++)
        decide(engine, 1, user_numbered(i), 5);
    engine_commit(engine);
    size_t chunks = engine_figures(engine).memory_bytes >> 21;
    assert_in_range(chunks, 10, 20);
    assert_in_range(mapped_bytes, chunks << 21, (chunks + 4) << 21);
    size_t tended = 0;
    while (engine_tend(engine, true))
        tended++;
    assert_in_range(tended, chunks - 4, chunks); /* not the newest of each arena, nor the last */
    engine_free(engine);
    assert_int_equal(mapped_bytes, 0);
}

static void an_engine_is_freed_while_a_coupon_is_being_given_back(void **state) {
    (void)state;
    struct engine *engine = engine_with_coupons(2);
    for (uint64_t id = 1; id <= 2; id++) {
        for (uint32_t i = 1; i <= 400000; i++)
            decide(engine, id, user_numbered(i), 5);
    }
    engine_commit(engine);
    engine_tend(engine, true);
    engine_coupon_remove(engine, 1);
    assert_true(engine_tend(engine, false));
    engine_free(engine); /* asserts that nothing is left */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_big_coupon_takes_forty_bytes_an_issue_at_most),
        cmocka_unit_test(a_small_coupon_takes_little),
        cmocka_unit_test(a_hundred_thousand_coupons_without_issues_take_megabytes),
        cmocka_unit_test(a_removed_coupon_gives_all_its_memory_back),
        cmocka_unit_test(a_big_coupon_is_given_back_in_parts),
        cmocka_unit_test(huge_pages_change_no_answer_and_take_no_more_than_their_chunk),
        cmocka_unit_test(chunks_are_tended_one_by_one_and_all_of_them_are_unmapped),
        cmocka_unit_test(an_engine_is_freed_while_a_coupon_is_being_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Digests: known answers, and that key and text both count. */
#include "base/base.h"

#include "random.h"
#include "test.h"

static struct digest_key counting_key(void) {
    struct digest_key key;
    for (size_t i = 0; i < sizeof(key.bytes); i++) {
        key.bytes[i] = (unsigned char)i;
    }
    return key;
}

/* SipHash-2-4 with 128 bits of output, key 00 01 … 0f, message 00 01 … (size - 1): the
 * vectors published with its reference implementation (vectors_sip128). */
static void the_published_answers_are_given(void **state) {
    (void)state;
    static const unsigned char answers[][16] = {
        {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
         0x93},
        {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
         0x45},
        {0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff,
         0xe4},
        {0x9c, 0x70, 0xb6, 0x0c, 0x52, 0x67, 0xa9, 0x4e, 0x5f, 0x33, 0xb6, 0xb0, 0x29, 0x85, 0xed,
         0x51},
    };
    struct digest_key key = counting_key();
    for (size_t size = 0; size < COUNT_OF(answers); size++) {
        static const char message[] = {0, 1, 2, 3};
        struct digest digest = digest_of(&key, (struct slice){message, size});
        assert_memory_equal(&digest, answers[size], sizeof(digest));
    }
}

static void nothing_at_all_has_a_digest(void **state) {
    (void)state;
    struct digest_key key = counting_key();
    struct digest none = digest_of(&key, (struct slice){NULL, 0});
    assert_true(digest_equal(none, digest_of(&key, slice_of(""))));
}

static void equal_texts_under_one_key_are_equal(void **state) {
    (void)state;
    struct digest_key key = counting_key();
    char copy[] = "alice";
    struct digest alice = digest_of(&key, slice_of("alice"));
    assert_true(digest_equal(alice, digest_of(&key, slice_of(copy))));
    assert_false(digest_equal(alice, digest_of(&key, slice_of("alicf"))));
    assert_false(digest_equal(alice, digest_of(&key, slice_of("alice "))));
    assert_false(digest_equal(alice, digest_of(&key, (struct slice){"alice\0", 6})));
}

static void another_key_gives_other_digests(void **state) {
    (void)state;
    struct digest_key a, b;
    digest_key_random(&a);
    digest_key_random(&b);
    assert_memory_not_equal(a.bytes, b.bytes, sizeof(a.bytes));
    assert_false(digest_equal(digest_of(&a, slice_of("x")), digest_of(&b, slice_of("x"))));
}

static void both_halves_make_a_digest(void **state) {
    (void)state;
    struct digest digest = {1, 2};
    assert_true(digest_equal(digest, (struct digest){1, 2}));
    assert_false(digest_equal(digest, (struct digest){1, 3}));
    assert_false(digest_equal(digest, (struct digest){3, 2}));
}

static int by_value(const void *left, const void *right) {
    const struct digest *a = left, *b = right;
    if (a->high != b->high) {
        return a->high < b->high ? -1 : 1;
    }
    return a->low < b->low ? -1 : a->low > b->low;
}

static void a_hundred_thousand_users_are_all_different(void **state) {
    (void)state;
    enum { USERS = 100000 };
    static struct digest digests[USERS];
    struct digest_key key;
    digest_key_random(&key);
    for (size_t i = 0; i < USERS; i++) {
        char user[32];
        snprintf(user, sizeof(user), "user-%zu", i);
        digests[i] = digest_of(&key, slice_of(user));
    }
    qsort(digests, USERS, sizeof(digests[0]), by_value);
    for (size_t i = 1; i < USERS; i++) {
        assert_false(digest_equal(digests[i - 1], digests[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_answers_are_given),
        cmocka_unit_test(nothing_at_all_has_a_digest),
        cmocka_unit_test(equal_texts_under_one_key_are_equal),
        cmocka_unit_test(another_key_gives_other_digests),
        cmocka_unit_test(both_halves_make_a_digest),
        cmocka_unit_test(a_hundred_thousand_users_are_all_different),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

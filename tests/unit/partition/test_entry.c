/* Entries of a queue as coupon_claim writes them, and whatever else may stand there. */
#include "partition/partition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- answers of Redis, made here ---- */

struct answer {
    redisReply texts[16];
    redisReply *fields[16];
    redisReply id;
    redisReply list;
    redisReply *pair[2];
    redisReply element;
};

static redisReply text_reply(const char *bytes, size_t size) {
    return (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)bytes, .len = size};
}

/* "name", "value", … ended by NULL; the last value may have a size of its own. */
static const redisReply *entry_of(struct answer *answer, const char *id, const char *const *words,
                                  size_t last_size) {
    size_t count = 0;
    for (; words[count]; count++) {
        size_t size = last_size > 0 && !words[count + 1] ? last_size : strlen(words[count]);
        answer->texts[count] = text_reply(words[count], size);
        answer->fields[count] = &answer->texts[count];
    }
    answer->id = text_reply(id, strlen(id));
    answer->list =
        (redisReply){.type = REDIS_REPLY_ARRAY, .elements = count, .element = answer->fields};
    answer->pair[0] = &answer->id;
    answer->pair[1] = &answer->list;
    answer->element =
        (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = answer->pair};
    return &answer->element;
}

static const redisReply *plain(struct answer *answer, const char *id, const char *coupon,
                               const char *time_us, const char *claims) {
    const char *words[] = {"coupon", coupon, "time_us", time_us, "claims", claims, NULL};
    return entry_of(answer, id, words, 0);
}

static void expect_unreadable(const redisReply *element, const char *kept) {
    struct partition_entry entry;
    struct settle_claim claim;
    assert_int_equal(partition_entry_read(element, 7, &entry), STATUS_OK);
    assert_int_equal(entry.coupon_id, 0);
    assert_int_equal(entry.claim_count, 1);
    partition_entry_claims(&entry, &claim);
    assert_true(claim.raw.size > 0);
    assert_true(slice_is(claim.raw, kept));
    assert_int_equal(claim.n, entry.n);
}

/* ---- tests ---- */

static void an_entry_becomes_its_claims_in_order(void **state) {
    (void)state;
    struct answer answer;
    struct partition_entry entry;
    struct settle_claim claims[2];
    const redisReply *element =
        plain(&answer, "42-0", "71", "1767225600000001", "3:abc5:alice0:3:abd3:bob7:key:1:x");
    assert_int_equal(partition_entry_read(element, 7, &entry), STATUS_OK);
    assert_int_equal(entry.n, 42);
    assert_int_equal(entry.coupon_id, 71);
    assert_int_equal(entry.claim_count, 2);
    partition_entry_claims(&entry, claims);
    assert_true(slice_is(claims[0].claim_id, "abc"));
    assert_true(slice_is(claims[0].user_id, "alice"));
    assert_int_equal(claims[0].request_key.size, 0);
    assert_true(slice_is(claims[1].user_id, "bob"));
    assert_true(slice_is(claims[1].request_key, "key:1:x"));
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(claims[i].n, 42);
        assert_int_equal(claims[i].index, i);
        assert_int_equal(claims[i].coupon_id, 71);
        assert_int_equal(claims[i].admitted_us, 1767225600000001);
        assert_int_equal(claims[i].raw.size, 0);
    }
}

static void fields_may_stand_in_any_order_and_others_between(void **state) {
    (void)state;
    struct answer answer;
    struct partition_entry entry;
    const char *words[] = {"claims", "1:c1:u0:", "later", "x", "time_us", "5", "coupon", "7", NULL};
    assert_int_equal(partition_entry_read(entry_of(&answer, "1-0", words, 0), 7, &entry),
                     STATUS_OK);
    assert_int_equal(entry.coupon_id, 7);
}

static void what_cannot_be_read_is_kept_as_it_is(void **state) {
    (void)state;
    struct answer answer;
    static const char *const bad[] = {
        "x",                  /* no size */
        "1:c1:u",             /* the key is missing */
        "1:c1:u1:",           /* shorter than it says */
        "1:c0:0:",            /* no user */
        "0:1:u0:",            /* no name */
        "1:c1: 0:",           /* a space is no user's */
        "1:c1:u0:rubbish",    /* more behind it */
        "1:c1:u0:1:d1:v",     /* the second is cut */
        "01:c1:u0:",          /* a size with a zero in front */
        "-1:c1:u0:",          /* … or a sign */
        "99999999999:c1:u0:", /* larger than any */
        "18446744073709551616:c1:u0:",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        expect_unreadable(plain(&answer, "3-0", "7", "5", bad[i]), bad[i]);
    }
    expect_unreadable(plain(&answer, "3-0", "0", "5", "1:c1:u0:"), "1:c1:u0:");
    expect_unreadable(plain(&answer, "3-0", "8", "5", "1:c1:u0:"), "1:c1:u0:");
    expect_unreadable(plain(&answer, "3-0", "9007199254740999", "5", "1:c1:u0:"), "1:c1:u0:");
    expect_unreadable(plain(&answer, "3-0", "7", "0", "1:c1:u0:"), "1:c1:u0:");
    expect_unreadable(plain(&answer, "3-0", "7", "-5", "1:c1:u0:"), "1:c1:u0:");
    expect_unreadable(plain(&answer, "3-0", "7", "5", ""), "3-0");
}

static void a_zero_byte_within_a_user_makes_it_unreadable(void **state) {
    (void)state;
    struct answer answer;
    struct partition_entry entry;
    const char *words[] = {"coupon", "7", "time_us", "5", "claims", "1:c3:a\0b0:", NULL};
    assert_int_equal(partition_entry_read(entry_of(&answer, "3-0", words, 10), 7, &entry),
                     STATUS_OK);
    assert_int_equal(entry.coupon_id, 0);
}

static void of_a_large_unreadable_entry_the_beginning_is_kept(void **state) {
    (void)state;
    struct answer answer;
    struct partition_entry entry;
    static char large[1 << 20];
    memset(large, 'x', sizeof(large) - 1);
    const redisReply *element = plain(&answer, "3-0", "7", "5", large);
    assert_int_equal(partition_entry_read(element, 7, &entry), STATUS_OK);
    assert_int_equal(entry.coupon_id, 0);
    assert_int_equal(entry.packed.size, PARTITION_RAW_MAX);
}

static void an_odd_number_of_fields_is_no_fault_of_reading(void **state) {
    (void)state;
    struct answer answer;
    const char *words[] = {"garbage", NULL};
    expect_unreadable(entry_of(&answer, "9-0", words, 0), "9-0");
}

static void an_entry_without_a_number_of_ours_is_damage(void **state) {
    (void)state;
    struct answer answer;
    struct partition_entry entry;
    static const char *const bad[] = {"", "0", "-0", "1-1", "x-0", "1767225600000-", "01-0"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const redisReply *element = plain(&answer, bad[i], "7", "5", "1:c1:u0:");
        assert_int_equal(partition_entry_read(element, 7, &entry), STATUS_DAMAGED);
    }
    redisReply nothing = {.type = REDIS_REPLY_NIL};
    assert_int_equal(partition_entry_read(&nothing, 7, &entry), STATUS_DAMAGED);
}

static void the_most_claims_of_the_longest_texts_fit(void **state) {
    (void)state;
    struct answer answer;
    struct partition_entry entry;
    struct settle_claim *claims = calloc(SETTLE_CLAIMS_MAX, sizeof(*claims));
    char text[USER_ID_MAX + 1];
    struct buffer packed;
    assert_non_null(claims);
    memset(text, '~', USER_ID_MAX);
    text[USER_ID_MAX] = '\0';
    buffer_init(&packed);
    for (size_t i = 0; i < SETTLE_CLAIMS_MAX; i++) {
        buffer_format(&packed, "%d:%.*s%d:%s%d:%s", CLAIM_ID_MAX, CLAIM_ID_MAX, text, USER_ID_MAX,
                      text, REQUEST_KEY_MAX, text);
    }
    buffer_append(&packed, "", 1);
    assert_false(packed.failed);
    assert_int_equal(partition_entry_read(plain(&answer, "1-0", "7", "5", packed.bytes), 7, &entry),
                     STATUS_OK);
    assert_int_equal(entry.claim_count, SETTLE_CLAIMS_MAX);
    partition_entry_claims(&entry, claims);
    assert_int_equal(claims[SETTLE_CLAIMS_MAX - 1].user_id.size, USER_ID_MAX);
    packed.size--;
    buffer_text(&packed, "1:c1:u0:"); /* one more than a settlement takes */
    buffer_append(&packed, "", 1);
    assert_int_equal(partition_entry_read(plain(&answer, "1-0", "7", "5", packed.bytes), 7, &entry),
                     STATUS_OK);
    assert_int_equal(entry.coupon_id, 0);
    buffer_done(&packed);
    free(claims);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_becomes_its_claims_in_order),
        cmocka_unit_test(fields_may_stand_in_any_order_and_others_between),
        cmocka_unit_test(what_cannot_be_read_is_kept_as_it_is),
        cmocka_unit_test(a_zero_byte_within_a_user_makes_it_unreadable),
        cmocka_unit_test(of_a_large_unreadable_entry_the_beginning_is_kept),
        cmocka_unit_test(an_odd_number_of_fields_is_no_fault_of_reading),
        cmocka_unit_test(an_entry_without_a_number_of_ours_is_damage),
        cmocka_unit_test(the_most_claims_of_the_longest_texts_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

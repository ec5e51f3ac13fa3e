/* The names of keys are those of coupon.lua, and messages are read strictly. */
#include "partition/partition.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect_key(struct partition_key key, const char *expected) {
    assert_string_equal(key.text, expected);
    assert_int_equal(key.size, strlen(expected));
}

static void keys_are_those_of_the_function_library(void **state) {
    (void)state;
    expect_key(partition_key_gate(7), "coupon:{p07}:gate");
    expect_key(partition_key_queue(63, 12), "coupon:{p63}:queue:12");
    expect_key(partition_key_meta(71), "coupon:{p07}:meta:71");
    expect_key(partition_key_holders(71, 3), "coupon:{p07}:holders:71:3");
}

static void the_largest_numbers_fit_a_key(void **state) {
    (void)state;
    expect_key(partition_key_holders((uint64_t)JSON_INTEGER_MAX, UINT64_MAX),
               "coupon:{p63}:holders:9007199254740991:18446744073709551615");
}

static void a_settlement_is_read(void **state) {
    (void)state;
    struct ledger_cursor cursor;
    assert_int_equal(partition_settled_read(slice_of("07 12 345"), &cursor), STATUS_OK);
    assert_int_equal(cursor.partition, 7);
    assert_int_equal(cursor.epoch, 12);
    assert_int_equal(cursor.n, 345);
}

static void a_hint_of_work_is_read(void **state) {
    (void)state;
    struct ledger_cursor cursor;
    assert_int_equal(partition_queued_read(slice_of("63 4"), &cursor), STATUS_OK);
    assert_int_equal(cursor.partition, 63);
    assert_int_equal(cursor.epoch, 4);
}

static void messages_of_any_other_form_are_refused(void **state) {
    (void)state;
    struct ledger_cursor cursor;
    static const char *const settled[] = {
        "",        "07",     "07 12", "7 12 345", "64 1 1",  "07 x 1",  "07 1 1 1", "07 -1 1",
        " 07 1 1", "0a 1 1", "07 1 ", "07  1 1",  "07 1 01", "07 1 1 ", "07\t1 1",  "007 1 1"};
    for (size_t i = 0; i < COUNT_OF(settled); i++) {
        assert_int_equal(partition_settled_read(slice_of(settled[i]), &cursor), STATUS_INVALID);
    }
    static const char *const queued[] = {"", "07", "07 ", "07 x", "64 1", "07 1 1", "7 1"};
    for (size_t i = 0; i < COUNT_OF(queued); i++) {
        assert_int_equal(partition_queued_read(slice_of(queued[i]), &cursor), STATUS_INVALID);
    }
}

static void what_was_issued_is_read(void **state) {
    (void)state;
    struct ledger_cursor before;
    struct partition_issued entries[2];
    size_t count;
    assert_int_equal(partition_issued_read(slice_of("07 12 345 8 1700 abc 0 0 -"), &before, entries,
                                           COUNT_OF(entries), &count),
                     STATUS_OK);
    assert_int_equal(before.partition, 7);
    assert_int_equal(before.epoch, 12);
    assert_int_equal(before.n, 345);
    assert_int_equal(count, 2);
    assert_int_equal(entries[0].rank, 8);
    assert_int_equal(entries[0].issued_at_us, 1700);
    assert_true(slice_is(entries[0].claim_id, "abc"));
    assert_int_equal(entries[1].rank, 0);
}

static void what_was_issued_in_any_other_form_or_beyond_the_room_is_refused(void **state) {
    (void)state;
    struct ledger_cursor before;
    struct partition_issued entries[2];
    size_t count;
    static const char *const messages[] = {"",
                                           "07 1",
                                           "64 1 1 1 1 a",
                                           "07 x 1 1 1 a",
                                           "07 1 1 1",
                                           "07 1 1 1 1",
                                           "07 1 1 1 1 ",
                                           "07 1 1 -1 1 a",
                                           "07 1 1 4294967296 1 a",
                                           "07 1 1  1 1 a",
                                           "07 1 1 1 x",
                                           "07 1 1 x 1 a",
                                           "7 1 1 1 1 a",
                                           "07 1 1 1 1 a 2 2 b 3 3 c"};
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        assert_int_equal(partition_issued_read(slice_of(messages[i]), &before, entries,
                                               COUNT_OF(entries), &count),
                         STATUS_INVALID);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_those_of_the_function_library),
        cmocka_unit_test(the_largest_numbers_fit_a_key),
        cmocka_unit_test(a_settlement_is_read),
        cmocka_unit_test(a_hint_of_work_is_read),
        cmocka_unit_test(messages_of_any_other_form_are_refused),
        cmocka_unit_test(what_was_issued_is_read),
        cmocka_unit_test(what_was_issued_in_any_other_form_or_beyond_the_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

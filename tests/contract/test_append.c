/* Appends on a healthy store: a batch is written whole, and one that contradicts the record is
 * refused and leaves no trace. */
#include "place.h"

#include <stdio.h>

static void user_ids_differ_by_case_and_by_length(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 5);
    char longest[USER_ID_MAX];
    memset(longest, '~', sizeof(longest));
    struct issue_row rows[] = {
        {.reference = {id, 1}, .user_id = slice_of("Anna"), .issued_at_us = NOW_US},
        {.reference = {id, 2}, .user_id = slice_of("anna"), .issued_at_us = NOW_US},
        {.reference = {id, 3},
         .user_id = {longest, sizeof(longest)},
         .request_key = {longest, sizeof(longest)},
         .issued_at_us = NOW_US},
    };
    struct issued_count issued = {id, 3};
    assert_int_equal(ledger_append(ledger, rows, 3, &issued, 1, &complaint), STATUS_OK);
    struct issue_record issue;
    assert_int_equal(ledger_issue_read(ledger, rows[0].reference, &issue), STATUS_OK);
    assert_string_equal(issue.user_id, "Anna");
    assert_int_equal(ledger_issue_read(ledger, rows[2].reference, &issue), STATUS_OK);
    assert_int_equal(strlen(issue.user_id), USER_ID_MAX);
    assert_int_equal(strlen(issue.request_key), REQUEST_KEY_MAX);
}

static void a_batch_may_span_coupons(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t a = add_coupon(ledger, 5);
    uint64_t b = add_coupon(ledger, COUPON_UNLIMITED);
    struct issue_row rows[] = {
        {.reference = {b, 1}, .user_id = slice_of("u1"), .issued_at_us = NOW_US},
        {.reference = {a, 1}, .user_id = slice_of("u1"), .issued_at_us = NOW_US},
        {.reference = {b, 2}, .user_id = slice_of("u2"), .issued_at_us = NOW_US},
    };
    struct issued_count issued[] = {{b, 2}, {a, 1}};
    assert_int_equal(ledger_append(ledger, rows, 3, issued, 2, &complaint), STATUS_OK);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, b, &coupon), STATUS_OK);
    assert_int_equal(coupon.issued_quantity, 2);
    assert_int_equal(ledger_append(ledger, NULL, 0, NULL, 0, &complaint), STATUS_OK);
}

static void the_ledger_itself_refuses_over_issue(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 3);
    assert_int_equal(append_ranks(ledger, id, 1, 2), STATUS_OK);
    assert_complains(STATUS_CONFLICT, append_ranks(ledger, id, 3, 2));
    assert_ranks(ledger, id, 2);
    assert_int_equal(append_ranks(ledger, id, 3, 1), STATUS_OK);
    assert_complains(STATUS_CONFLICT, append_ranks(ledger, id, 4, 1));
    assert_ranks(ledger, id, 3);
}

static void a_rank_is_given_once(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 100);
    assert_int_equal(append_ranks(ledger, id, 1, 2), STATUS_OK);
    assert_complains(STATUS_CONFLICT, append_ranks(ledger, id, 2, 2));
    assert_ranks(ledger, id, 2);
}

static void impossible_rows_are_refused(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 100);
    char too_long[USER_ID_MAX + 1];
    memset(too_long, 'x', sizeof(too_long));
    struct issue_row bad[] = {
        {.reference = {id, 0}, .user_id = slice_of("u"), .issued_at_us = NOW_US},
        {.reference = {id, 1}, .user_id = {NULL, 0}, .issued_at_us = NOW_US},
        {.reference = {id, 1}, .user_id = {too_long, sizeof(too_long)}, .issued_at_us = NOW_US},
        {.reference = {id, 1},
         .user_id = slice_of("u"),
         .request_key = {too_long, sizeof(too_long)},
         .issued_at_us = NOW_US},
        {.reference = {id, 1}, .user_id = slice_of("u"), .issued_at_us = TIME_US_MAX + 1},
    };
    struct issued_count issued = {id, 1};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_complains(STATUS_CONFLICT,
                         ledger_append(ledger, &bad[i], 1, &issued, 1, &complaint));
    }
    assert_ranks(ledger, id, 0);
}

static void issues_need_a_coupon_and_a_count_that_rises(void **state) {
    struct ledger *ledger = ledger_of(state);
    assert_complains(STATUS_CONFLICT, append_ranks(ledger, 8, 1, 1));
    uint64_t id = add_coupon(ledger, 100);
    assert_int_equal(append_ranks(ledger, id, 1, 5), STATUS_OK);
    struct issue_row row = {
        .reference = {id, 6}, .user_id = slice_of("u6"), .issued_at_us = NOW_US};
    struct issued_count lower = {id, 5};
    assert_complains(STATUS_CONFLICT, ledger_append(ledger, &row, 1, &lower, 1, &complaint));
    assert_ranks(ledger, id, 5);
}

/* Ranks 1 to 10 of the coupon, whose count becomes 10; `texts` has room for their users. */
static void rows_of_ten(uint64_t id, char texts[10][8], struct issue_row ret_rows[10]) {
    for (uint32_t i = 0; i < 10; i++) {
        snprintf(texts[i], sizeof(texts[i]), "u%u", i + 1);
        ret_rows[i] = (struct issue_row){
            .reference = {id, i + 1}, .user_id = slice_of(texts[i]), .issued_at_us = NOW_US + i};
    }
}

static void a_row_that_fails_in_the_midst_is_named_and_takes_all_with_it(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, 100);
    uint64_t other = add_coupon(ledger, 100);
    char texts[10][8];
    struct issue_row rows[10];
    rows_of_ten(id, texts, rows);
    struct issued_count issued = {id, 10};
    rows[6].reference.rank = 3;
    assert_complains(STATUS_CONFLICT, ledger_append(ledger, rows, 10, &issued, 1, &complaint));
    assert_non_null(strstr(complaint.text, "coupon 1 rank 3 "));
    rows[6].reference.rank = 7;
    rows[9].reference = (struct issue_reference){other, 1};
    assert_int_equal(append_ranks(ledger, other, 1, 1), STATUS_OK);
    assert_complains(STATUS_CONFLICT, ledger_append(ledger, rows, 10, &issued, 1, &complaint));
    assert_non_null(strstr(complaint.text, "coupon 2 rank 1 "));
    rows[9].reference = (struct issue_reference){id, 10};
    rows[4].user_id.size = 0;
    assert_complains(STATUS_CONFLICT, ledger_append(ledger, rows, 10, &issued, 1, &complaint));
    assert_non_null(strstr(complaint.text, "coupon 1 rank 5:"));
    assert_ranks(ledger, id, 0);
    assert_ranks(ledger, other, 1);
    rows[4].user_id = slice_of(texts[4]);
    assert_int_equal(ledger_append(ledger, rows, 10, &issued, 1, &complaint), STATUS_OK);
    struct issue_record issue;
    assert_int_equal(ledger_issue_read(ledger, rows[4].reference, &issue), STATUS_OK);
    assert_string_equal(issue.user_id, "u5");
}

/* Each store hands over the rows in room that it keeps: the shortest and the longest batch, and
 * none of the batch before it. */
static void batches_of_every_size_follow_each_other(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    static const uint32_t sizes[] = {2048, 1, 2, 700, 1, 2048, 3};
    uint32_t issued = 0;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_int_equal(append_ranks(ledger, id, issued + 1, sizes[i]), STATUS_OK);
        issued += sizes[i];
        assert_complains(STATUS_CONFLICT, append_ranks(ledger, id, issued, 2));
    }
    assert_ranks(ledger, id, issued);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(user_ids_differ_by_case_and_by_length),
        with_ledger(a_batch_may_span_coupons),
        with_ledger(the_ledger_itself_refuses_over_issue),
        with_ledger(a_rank_is_given_once),
        with_ledger(impossible_rows_are_refused),
        with_ledger(issues_need_a_coupon_and_a_count_that_rises),
        with_ledger(a_row_that_fails_in_the_midst_is_named_and_takes_all_with_it),
        with_ledger(batches_of_every_size_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

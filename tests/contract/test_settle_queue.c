/* A settlement with a cursor: where it must stand, who is at it, and what is kept of the claims
 * that were refused. */
#include "claims.h"

#include <stdio.h>
#include <stdlib.h>

/* md5 of the bytes 0, 1 … 255, 0, 1 … */
#define MD5_OF_1000    "cbecbdb0fdd5cec1e242493b6008cc79"
#define MD5_OF_1048576 "c35cc7d8d91728a0cb052831bc4ef372"

static int settle_at(struct ledger *ledger, struct ledger_cursor *cursor, uint64_t n,
                     struct settle_claim *claims, size_t count) {
    struct settlement settlement = {
        .claims = claims, .count = count, .fresh = true, .cursor = cursor, .cursor_n = n};
    return ledger_settle(ledger, &settlement, &complaint);
}

static struct ledger_cursor cursor_of(uint64_t coupon_id, uint64_t n) {
    return (struct ledger_cursor){.partition = (unsigned)(coupon_id % PARTITION_COUNT), .n = n};
}

static void assert_stands(void **state, unsigned partition, const char *epoch_and_n) {
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT epoch, n FROM partitions WHERE p = %u", partition);
    assert_sql(state, sql, epoch_and_n);
}

/* ---- the cursor ---- */

static void a_settlement_at_the_right_place_moves_the_cursor(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 5);
    struct settle_claim claims[] = {claim_of(id, "a", "1"), claim_of(id, "b", "2")};
    struct ledger_cursor cursor = cursor_of(id, 0);
    assert_int_equal(settle_at(ledger, &cursor, 1, claims, 2), STATUS_OK);
    assert_stands(state, cursor.partition, "0|1");
    claims[0] = claim_of(id, "c", "3");
    cursor.n = 1;
    assert_int_equal(settle_at(ledger, &cursor, 700, claims, 1), STATUS_OK);
    assert_issued(claims[0], 3);
    assert_stands(state, cursor.partition, "0|700");
    cursor.n = 700;
    assert_int_equal(settle_at(ledger, &cursor, 701, NULL, 0), STATUS_OK);
    assert_stands(state, cursor.partition, "0|701");
    assert_stands(state, cursor.partition + 1, "0|0");
    assert_sql(state, "SELECT last_id FROM partitions WHERE n = 701", "701-0");
    assert_int_equal(sound_issues(ledger, id), 3);
}

static void a_settlement_at_another_place_is_told_where_it_is(void **state) {
    static const struct ledger_cursor wrong[] = {{0, 7, 40}, {0, 7, 42}, {0, 6, 41}, {0, 8, 41}};
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 5);
    uint64_t none = add_open_coupon(ledger, 0);
    assert_sql(state, "UPDATE partitions SET epoch = 7, n = 41", "");
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct settle_claim claims[] = {claim_of(id, "a", "1"), claim_of(none, "a", "2")};
        struct ledger_cursor cursor = wrong[i];
        cursor.partition = (unsigned)id;
        claims[1].n = cursor.n + 1;
        assert_complains(STATUS_NOT_FOUND, settle_at(ledger, &cursor, cursor.n + 1, claims, 2));
        assert_true(cursor.epoch == 7 && cursor.n == 41 && cursor.partition == id);
    }
    assert_int_equal(sound_issues(ledger, id), 0);
    assert_sql(state, "SELECT count(*) FROM coupon_rejects", "0");
    assert_sql(state, "SELECT count(*) FROM partitions WHERE epoch = 7 AND n = 41", "64");
}

static void a_cursor_that_another_is_at_is_not_waited_for(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 5);
    uint64_t next = add_open_coupon(ledger, 5);
    struct settle_claim claim = claim_of(id, "a", "1");
    struct settle_claim other = claim_of(next, "a", "2");
    struct ledger_cursor cursor = cursor_of(id, 0);
    struct ledger_cursor next_cursor = cursor_of(next, 0);
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT n FROM partitions WHERE p = %u FOR UPDATE",
             cursor.partition);
    void *session = session_begin(state);
    free(session_ask(session, "BEGIN"));
    free(session_ask(session, sql));
    int status = settle_at(ledger, &cursor, 1, &claim, 1);
    int next_status = settle_at(ledger, &next_cursor, 1, &other, 1);
    session_end(session);
    assert_int_equal(status, STATUS_BUSY);
    assert_int_equal(next_status, STATUS_OK);
    assert_int_equal(sound_issues(ledger, id), 0);
    assert_stands(state, cursor.partition, "0|0");
    assert_int_equal(settle_at(ledger, &cursor, 1, &claim, 1), STATUS_OK);
    assert_issued(claim, 1);
}

static void a_settlement_that_fails_leaves_the_cursor(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 5);
    struct settle_claim claims[] = {claim_of(999, "a", "1"), claim_of(id, "", "2")};
    struct ledger_cursor cursor = cursor_of(id, 0);
    claims[0].n = 1;
    assert_complains(STATUS_CONFLICT, settle_at(ledger, &cursor, 1, claims, 2));
    assert_stands(state, cursor.partition, "0|0");
    assert_sql(state, "SELECT count(*) FROM coupon_rejects", "0");
}

/* ---- rejects ---- */

static void refusals_are_kept_with_all_that_names_them(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 1);
    struct settle_claim claims[] = {
        claim_of(id, "a", "c1"), claim_of(id, "it's", "c\\2"), claim_of(9, "b", ""),
        claim_of(id, "a", "c3"), {.raw = {"no claim", 8}},
    };
    for (size_t i = 0; i < COUNT_OF(claims); i++) {
        claims[i].n = i < 3 ? 11 : 12;
        claims[i].index = (uint32_t)(i % 3);
    }
    struct ledger_cursor cursor = {.partition = 1, .epoch = 3, .n = 10};
    assert_sql(state, "UPDATE partitions SET epoch = 3, n = 10", "");
    assert_int_equal(settle_at(ledger, &cursor, 12, claims, COUNT_OF(claims)), STATUS_OK);
    assert_issued(claims[0], 1);
    assert_outcome(claims[4], SETTLE_UNREADABLE);
    assert_sql(state,
               "SELECT p, epoch, n, idx, claim_id, coupon_id, user_id, reason FROM coupon_rejects"
               " ORDER BY n, idx",
               "1|3|11|1|c\\2|1|it's|sold-out\n"
               "1|3|11|2|-|9|b|coupon-not-found\n"
               "1|3|12|0|c3|1|a|already-issued\n"
               "1|3|12|1|-|-|-|unreadable");
    assert_sql(state, "SELECT md5(raw) FROM coupon_rejects WHERE raw IS NOT NULL",
               "a9b12714b74fd6a36dad96dda08c7d91");
    assert_stands(state, 1, "3|12");
}

static void what_is_no_claim_is_kept_byte_by_byte(void **state) {
    static const struct {
        size_t size;
        const char *md5;
    } raws[] = {{1, "93b885adfe0da089cdf634904fd59f71"}, /* a zero */
                {1000, MD5_OF_1000},
                {1048576, MD5_OF_1048576},
                {1048576, MD5_OF_1048576}};
    struct ledger *ledger = ledger_of(state);
    char *bytes = malloc(1048576);
    assert_non_null(bytes);
    for (size_t i = 0; i < 1048576; i++) {
        bytes[i] = (char)i;
    }
    struct settle_claim claims[COUNT_OF(raws)];
    for (size_t i = 0; i < COUNT_OF(raws); i++) {
        claims[i] = (struct settle_claim){.raw = {bytes, raws[i].size}, .n = i + 1};
    }
    struct ledger_cursor cursor = {.partition = 63};
    assert_int_equal(settle_at(ledger, &cursor, 4, claims, COUNT_OF(claims)), STATUS_OK);
    free(bytes);
    for (size_t i = 0; i < COUNT_OF(raws); i++) {
        char sql[96];
        char answer[96];
        snprintf(sql, sizeof(sql),
                 "SELECT p, length(raw), md5(raw) FROM coupon_rejects WHERE n = %zu", i + 1);
        snprintf(answer, sizeof(answer), "63|%zu|%s", raws[i].size, raws[i].md5);
        assert_sql(state, sql, answer);
    }
    assert_stands(state, 63, "0|4");
}

static void every_claim_of_a_settlement_may_be_a_reject(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 0);
    struct settle_claim *claims = calloc(SETTLE_CLAIMS_MAX, sizeof(*claims));
    char(*users)[USER_ID_MAX] = calloc(SETTLE_CLAIMS_MAX, sizeof(*users));
    assert_true(claims && users);
    for (unsigned i = 0; i < SETTLE_CLAIMS_MAX; i++) {
        memset(users[i], '\'', USER_ID_MAX);
        users[i][snprintf(users[i], USER_ID_MAX, "%u", i)] = '\\';
        claims[i] = (struct settle_claim){.coupon_id = id,
                                          .user_id = {users[i], USER_ID_MAX},
                                          .claim_id = {users[i], CLAIM_ID_MAX},
                                          .n = 1,
                                          .index = i};
        if (i % 2 == 1) {
            claims[i] = (struct settle_claim){.raw = {users[i], 100}, .n = 1, .index = i};
        }
    }
    struct ledger_cursor cursor = cursor_of(id, 0);
    assert_int_equal(settle_at(ledger, &cursor, 1, claims, SETTLE_CLAIMS_MAX), STATUS_OK);
    free(users);
    free(claims);
    assert_sql(state,
               "SELECT reason, count(*), sum(length(raw)), sum(length(user_id)),"
               " count(DISTINCT user_id) FROM coupon_rejects GROUP BY reason ORDER BY reason",
               "sold-out|1024|-|131072|1024\nunreadable|1024|102400|-|0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(a_settlement_at_the_right_place_moves_the_cursor),
        with_ledger(a_settlement_at_another_place_is_told_where_it_is),
        with_ledger(a_cursor_that_another_is_at_is_not_waited_for),
        with_ledger(a_settlement_that_fails_leaves_the_cursor),
        with_ledger(refusals_are_kept_with_all_that_names_them),
        with_ledger(what_is_no_claim_is_kept_byte_by_byte),
        with_ledger(every_claim_of_a_settlement_may_be_a_reject),
    };
    if (!place_is_shared()) {
        print_message("1..0 # SKIP this store is one program's\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

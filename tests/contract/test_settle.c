/* What a settlement decides, and what it writes: outcomes and their order (I7), ranks, dates,
 * repeats; what users hold. Not here: queues (test_settle_queue.c), several settlements at once
 * (test_settle_race.c), the server going away (test_settle.py). */
#include "claims.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- outcomes ---- */

/* Terms, the strangest first, and what who holds none is told. "holder" holds one of each. */
static const struct {
    bool archived;
    bool paused;
    int64_t start_us; /* from now */
    int64_t end_us;
    int64_t total_quantity;
    enum settle_outcome stranger;
} terms[] = {
    {true, true, HOUR_US, 2 * HOUR_US, 1, SETTLE_NO_SUCH_COUPON},
    {false, true, HOUR_US, 2 * HOUR_US, 1, SETTLE_PAUSED},
    {false, true, -2 * HOUR_US, -HOUR_US, 1, SETTLE_PAUSED},
    {false, true, -HOUR_US, HOUR_US, 5, SETTLE_PAUSED},
    {false, false, HOUR_US, 2 * HOUR_US, 1, SETTLE_NOT_STARTED},
    {false, false, HOUR_US, 2 * HOUR_US, 5, SETTLE_NOT_STARTED},
    {false, false, -2 * HOUR_US, -HOUR_US, 1, SETTLE_ENDED},
    {false, false, -2 * HOUR_US, -HOUR_US, 5, SETTLE_ENDED},
    {false, false, -HOUR_US, HOUR_US, 1, SETTLE_SOLD_OUT},
    {false, false, -HOUR_US, HOUR_US, 5, SETTLE_ISSUED},
    {false, false, -HOUR_US, HOUR_US, COUPON_UNLIMITED, SETTLE_ISSUED},
};

/* One with these terms, of which "holder" got rank 1 while it was open. */
static uint64_t add_with_terms(struct ledger *ledger, size_t i) {
    struct coupon_record coupon = coupon_open(ledger, terms[i].total_quantity);
    int64_t now_us = coupon.created_us + HOUR_US;
    coupon.id = create_coupon(ledger, coupon);
    struct settle_claim holder = claim_of(coupon.id, "holder", "first");
    holder.admitted_us = coupon.created_us;
    assert_int_equal(outcome_of(ledger, holder, false), SETTLE_ISSUED);
    coupon.issue_start_us = now_us + terms[i].start_us;
    coupon.issue_end_us = now_us + terms[i].end_us;
    coupon.paused = terms[i].paused;
    coupon.archived_us = terms[i].archived ? coupon.created_us : 0;
    coupon.version = 2;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    return coupon.id;
}

static void assert_holds_first(const struct settle_claim *claim, size_t i) {
    assert_outcome(*claim, terms[i].archived ? SETTLE_NO_SUCH_COUPON : SETTLE_ALREADY_ISSUED);
    assert_int_equal(claim->rank, terms[i].archived ? 0 : 1);
}

static void outcomes_are_tried_in_their_order(bool fresh, void **state) {
    struct ledger *ledger = ledger_of(state);
    for (size_t i = 0; i < COUNT_OF(terms); i++) {
        uint64_t id = add_with_terms(ledger, i);
        struct settle_claim claims[] = {claim_of(id, "stranger", "a"), claim_of(id, "holder", "b")};
        /* alone, since a key that another finds taken is a reason to look at everybody */
        settle(ledger, &claims[1], 1, fresh);
        assert_holds_first(&claims[1], i);
        settle(ledger, claims, 2, fresh);
        assert_outcome(claims[0], terms[i].stranger);
        assert_holds_first(&claims[1], i);
        if (claims[0].outcome == SETTLE_NOT_STARTED) {
            assert_true(claims[0].starts_us > server_now_us(ledger) + HOUR_US / 2);
        }
    }
    assert_int_equal(outcome_of(ledger, claim_of(1000, "stranger", "a"), fresh),
                     SETTLE_NO_SUCH_COUPON);
    assert_int_equal(outcome_of(ledger, claim_of(0, "stranger", "a"), fresh),
                     SETTLE_NO_SUCH_COUPON);
}

static void who_is_told_what_goes_by_the_order_of_verdicts(void **state) {
    outcomes_are_tried_in_their_order(false, state);
}

/* A node that waited for its claim while the coupon was archived must not call it refused. */
static void what_was_issued_for_this_very_claim_is_told_of_an_archived_coupon(void **state) {
    struct ledger *ledger = ledger_of(state);
    for (size_t i = 0; i < COUNT_OF(terms); i++) {
        struct settle_claim mine = claim_of(add_with_terms(ledger, i), "holder", "first");
        assert_int_equal(ledger_look(ledger, &mine, 1, &complaint), STATUS_OK);
        assert_outcome(mine, SETTLE_ALREADY_ISSUED);
        assert_true(mine.same_claim);
        assert_int_equal(mine.rank, 1);
    }
}

static void the_order_of_verdicts_is_kept_where_most_claims_are_fresh(void **state) {
    outcomes_are_tried_in_their_order(true, state);
}

static void a_refusal_has_a_stable_word(void **state) {
    (void)state;
    static const char *const words[] = {
        [SETTLE_NO_SUCH_COUPON] = "coupon-not-found",
        [SETTLE_ALREADY_ISSUED] = "already-issued",
        [SETTLE_PAUSED] = "paused",
        [SETTLE_NOT_STARTED] = "not-started",
        [SETTLE_ENDED] = "ended",
        [SETTLE_SOLD_OUT] = "sold-out",
        [SETTLE_ISSUED] = "issued",
        [SETTLE_WAITING] = "waiting",
        [SETTLE_UNREADABLE] = "unreadable",
    };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        assert_string_equal(settle_outcome_name((enum settle_outcome)i), words[i]);
    }
}

/* ---- ranks ---- */

static void ranks_go_on_from_settlement_to_settlement(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, COUPON_UNLIMITED);
    for (uint32_t i = 0; i < 4; i++) {
        char users[3][16];
        struct settle_claim claims[3];
        for (uint32_t k = 0; k < 3; k++) {
            snprintf(users[k], sizeof(users[k]), "u%u", 3 * i + k);
            claims[k] = claim_of(id, users[k], "");
        }
        settle(ledger, claims, 3, i % 2 == 0);
        for (uint32_t k = 0; k < 3; k++) {
            assert_issued(claims[k], 3 * i + k + 1);
        }
    }
    assert_int_equal(sound_issues(ledger, id), 12);
}

static void several_coupons_share_a_settlement_in_any_order(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t ids[3];
    for (size_t i = 0; i < 3; i++) {
        ids[i] = add_open_coupon(ledger, 3);
    }
    for (int round = 0; round < 2; round++) {
        static const size_t order[] = {2, 0, 1, 2, 2, 0, 1, 2};
        char users[COUNT_OF(order)][16];
        struct settle_claim claims[COUNT_OF(order) + 1];
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            snprintf(users[i], sizeof(users[i]), "r%d-%zu", round, i);
            claims[i] = claim_of(ids[order[i]], users[i], "");
        }
        claims[COUNT_OF(order)] = claim_of(999, "u", ""); /* and one that is not there */
        settle(ledger, claims, COUNT_OF(claims), round == 0);
        assert_outcome(claims[COUNT_OF(order)], SETTLE_NO_SUCH_COUPON);
        assert_outcome(claims[7], SETTLE_SOLD_OUT); /* the fourth of the third coupon */
        assert_int_equal(claims[1].rank, 2 * round + 1);
        assert_int_equal(claims[6].rank, round == 0 ? 2 : 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sound_issues(ledger, ids[i]), 3);
    }
}

static void a_settlement_ends_where_the_quantity_does(void **state) {
    struct ledger *ledger = ledger_of(state);
    for (int fresh = 0; fresh < 2; fresh++) {
        uint64_t id = add_open_coupon(ledger, 5);
        uint64_t none = add_open_coupon(ledger, 0);
        char users[8][4];
        struct settle_claim claims[8];
        for (unsigned i = 0; i < 8; i++) {
            snprintf(users[i], sizeof(users[i]), "u%u", i);
            claims[i] = claim_of(id, users[i], "");
        }
        settle(ledger, claims, 3, fresh);
        settle(ledger, claims, 8, fresh); /* the first three again */
        for (unsigned i = 0; i < 8; i++) {
            assert_outcome(claims[i], i < 3   ? SETTLE_ALREADY_ISSUED
                                      : i < 5 ? SETTLE_ISSUED
                                              : SETTLE_SOLD_OUT);
            assert_int_equal(claims[i].rank, i < 5 ? i + 1 : 0);
        }
        assert_int_equal(sound_issues(ledger, id), 5);
        assert_int_equal(outcome_of(ledger, claim_of(none, "u", ""), fresh), SETTLE_SOLD_OUT);
    }
}

static void an_empty_settlement_is_one(void **state) {
    settle(ledger_of(state), NULL, 0, false);
}

/* ---- repeats ---- */

static void assert_repeat(const struct settle_claim *claim, const struct settle_claim *first,
                          bool same_claim, bool same_key) {
    assert_outcome(*claim, SETTLE_ALREADY_ISSUED);
    assert_int_equal(claim->rank, first->rank);
    assert_int_equal(claim->issued_at_us, first->issued_at_us);
    assert_int_equal(claim->same_claim, same_claim);
    assert_int_equal(claim->same_key, same_key);
}

static void a_repeat_is_told_what_the_first_got(void **state) {
    struct ledger *ledger = ledger_of(state);
    for (int fresh = 0; fresh < 2; fresh++) {
        uint64_t id = add_open_coupon(ledger, 5);
        struct settle_claim claims[] = {
            claim_of(id, "v", "c0"), claim_of(id, "u", "c1"), claim_of(id, "u", "c1"),
            claim_of(id, "u", "c2"), claim_of(id, "u", "c1"), claim_of(id, "v", ""),
        };
        claims[1].request_key = slice_of("key");
        claims[3].request_key = slice_of("key");
        claims[4].request_key = slice_of("kez");
        for (int again = 0; again < 2; again++) { /* within one settlement, and over two */
            settle(ledger, claims + again, COUNT_OF(claims) - (size_t)again, fresh);
            assert_repeat(&claims[2], &claims[1], true, false);
            assert_repeat(&claims[3], &claims[1], false, true);
            assert_repeat(&claims[4], &claims[1], true, false);
            assert_repeat(&claims[5], &claims[0], false, false);
        }
        assert_repeat(&claims[1], &claims[2], true, true);
        assert_int_equal(claims[1].rank, 2);
        assert_int_equal(sound_issues(ledger, id), 2);
    }
}

static void a_fresh_settlement_that_meets_a_holder_is_judged_anew(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 4);
    uint64_t other = add_open_coupon(ledger, 4);
    assert_int_equal(outcome_of(ledger, claim_of(id, "b", "old"), true), SETTLE_ISSUED);
    struct settle_claim claims[] = {
        claim_of(id, "a", "1"), claim_of(other, "b", "2"), claim_of(id, "b", "3"),
        claim_of(id, "c", "4"), claim_of(id, "d", "5"),    claim_of(id, "e", "6"),
    };
    settle(ledger, claims, COUNT_OF(claims), true);
    assert_issued(claims[0], 2);
    assert_issued(claims[1], 1);
    assert_outcome(claims[2], SETTLE_ALREADY_ISSUED);
    assert_int_equal(claims[2].rank, 1);
    assert_issued(claims[3], 3);
    assert_issued(claims[4], 4);
    assert_outcome(claims[5], SETTLE_SOLD_OUT);
    assert_int_equal(sound_issues(ledger, id), 4);
    assert_int_equal(sound_issues(ledger, other), 1);
}

static void a_contradiction_is_told_and_nothing_is_written(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 4);
    assert_int_equal(outcome_of(ledger, claim_of(id, "a", ""), true), SETTLE_ISSUED);
    assert_sql(state, "UPDATE coupons SET issued_quantity = 0", "");
    for (int fresh = 0; fresh < 2; fresh++) {
        struct settle_claim claim = claim_of(id, "b", "");
        struct settlement settlement = {.claims = &claim, .count = 1, .fresh = fresh};
        assert_complains(STATUS_CONFLICT, ledger_settle(ledger, &settlement, &complaint));
    }
    assert_sql(state, "SELECT rank_no, user_id FROM coupon_issues", "1|a");
    assert_sql(state, "SELECT issued_quantity FROM coupons", "0");
}

static void texts_that_no_row_can_hold_are_refused(void **state) {
    struct ledger *ledger = ledger_of(state);
    char text[USER_ID_MAX + 1];
    memset(text, 'x', sizeof(text));
    uint64_t id = add_open_coupon(ledger, 4);
    for (int i = 0; i < 3; i++) {
        struct settle_claim claim = claim_of(id, "a", "");
        *(i == 0   ? &claim.user_id
          : i == 1 ? &claim.request_key
                   : &claim.claim_id) = (struct slice){text, i < 2 ? sizeof(text) : 65};
        struct settlement settlement = {.claims = &claim, .count = 1};
        assert_complains(STATUS_CONFLICT, ledger_settle(ledger, &settlement, &complaint));
    }
    assert_int_equal(sound_issues(ledger, id), 0);
}

/* ---- a look ---- */

static void a_look_leaves_what_may_be_issued_waiting(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 2);
    uint64_t full = add_open_coupon(ledger, 1);
    assert_int_equal(outcome_of(ledger, claim_of(id, "a", "1"), true), SETTLE_ISSUED);
    assert_int_equal(outcome_of(ledger, claim_of(full, "a", "2"), true), SETTLE_ISSUED);
    struct settle_claim claims[] = {claim_of(full, "b", "3"), claim_of(id, "b", "4"),
                                    claim_of(id, "a", "1"),   claim_of(77, "a", "5"),
                                    claim_of(full, "a", "6"), claim_of(id, "c", "7")};
    assert_int_equal(ledger_look(ledger, claims, COUNT_OF(claims), &complaint), STATUS_OK);
    assert_outcome(claims[0], SETTLE_SOLD_OUT);
    assert_outcome(claims[1], SETTLE_WAITING);
    assert_outcome(claims[2], SETTLE_ALREADY_ISSUED);
    assert_true(claims[2].same_claim);
    assert_outcome(claims[3], SETTLE_NO_SUCH_COUPON);
    assert_outcome(claims[4], SETTLE_ALREADY_ISSUED);
    assert_false(claims[4].same_claim);
    assert_outcome(claims[5], SETTLE_WAITING); /* each for itself, there is one left */
    assert_int_equal(sound_issues(ledger, id), 1);
    assert_int_equal(ledger_look(ledger, NULL, 0, &complaint), STATUS_OK);
}

static void a_look_waits_for_nobody(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 2);
    void *session = session_begin(state);
    free(session_ask(session, "BEGIN"));
    free(session_ask(session, "SELECT id FROM coupons FOR UPDATE"));
    struct settle_claim claim = claim_of(id, "a", "");
    int status = ledger_look(ledger, &claim, 1, &complaint);
    session_end(session);
    assert_int_equal(status, STATUS_OK);
    assert_outcome(claim, SETTLE_WAITING);
    assert_int_equal(outcome_of(ledger, claim, false), SETTLE_ISSUED);
}

/* ---- time ---- */

static void the_clock_is_the_server_s(void **state) {
    struct ledger *ledger = ledger_of(state);
    int64_t before_us = clock_realtime(NULL);
    int64_t first_us = server_now_us(ledger);
    uint64_t id = add_open_coupon(ledger, 2);
    struct settle_claim claim = claim_of(id, "a", "");
    settle(ledger, &claim, 1, true);
    int64_t last_us = server_now_us(ledger);
    assert_in_range(claim.issued_at_us - first_us, 0, (uintmax_t)(last_us - first_us));
    /* the suite's servers are on this machine; they may round */
    assert_true(first_us > before_us - US_PER_SECOND);
    assert_true(last_us < clock_realtime(NULL) + US_PER_SECOND);
}

static void dates_never_decrease(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t id = add_open_coupon(ledger, 5);
    int64_t ahead_us = server_now_us(ledger) + HOUR_US / 2;
    struct issue_row row = {
        .reference = {id, 1}, .user_id = slice_of("a"), .issued_at_us = ahead_us};
    struct issued_count issued = {id, 1};
    assert_int_equal(ledger_append(ledger, &row, 1, &issued, 1, &complaint), STATUS_OK);
    struct settle_claim claims[] = {claim_of(id, "b", ""), claim_of(id, "c", "")};
    claims[1].admitted_us = ahead_us - HOUR_US;
    settle(ledger, claims, 2, false);
    assert_int_equal(claims[0].issued_at_us, ahead_us);
    assert_int_equal(claims[1].issued_at_us, ahead_us);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, id, &coupon), STATUS_OK);
    coupon.version++;
    coupon.updated_us = ahead_us + 7;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    claims[0] = claim_of(id, "d", "");
    settle(ledger, claims, 1, false);
    assert_int_equal(claims[0].issued_at_us, ahead_us + 7);
    coupon.version++;
    coupon.updated_us = ahead_us - 7;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    assert_int_equal(sound_issues(ledger, id), 4);
}

static void a_claim_is_judged_by_when_it_was_admitted(void **state) {
    struct ledger *ledger = ledger_of(state);
    struct coupon_record coupon = coupon_open(ledger, 5);
    int64_t now_us = coupon.created_us + HOUR_US;
    coupon.issue_start_us = now_us - HOUR_US / 2;
    coupon.issue_end_us = now_us - HOUR_US / 4;
    uint64_t id = create_coupon(ledger, coupon);
    struct settle_claim claims[] = {claim_of(id, "a", ""), claim_of(id, "b", ""),
                                    claim_of(id, "c", ""), claim_of(id, "d", "")};
    claims[0].admitted_us = coupon.issue_start_us - 1;
    claims[1].admitted_us = coupon.issue_start_us;
    claims[2].admitted_us = coupon.issue_end_us - 1;
    claims[3].admitted_us = coupon.issue_end_us;
    settle(ledger, claims, 4, false);
    assert_outcome(claims[0], SETTLE_NOT_STARTED);
    assert_int_equal(claims[0].starts_us, coupon.issue_start_us);
    assert_issued(claims[1], 1);
    assert_int_equal(claims[1].issued_at_us, coupon.issue_start_us);
    assert_issued(claims[2], 2);
    assert_int_equal(claims[2].issued_at_us, coupon.issue_end_us - 1);
    assert_outcome(claims[3], SETTLE_ENDED);
    assert_int_equal(outcome_of(ledger, claim_of(id, "e", ""), false), SETTLE_ENDED);
}

/* ---- texts ---- */

/* Every visible character is in one of 94, and twice or more where it is one to be quoted. */
static void hostile_text(unsigned number, char text[USER_ID_MAX + 1]) {
    static const char *const pieces[] = {"'", "\\", "\"", "\\'", "''", "{", "}", ",", "NULL", "--"};
    memset(text, '!' + (int)(number % 94), USER_ID_MAX);
    text[USER_ID_MAX] = '\0';
    size_t at = (size_t)snprintf(text, USER_ID_MAX, "%u", number);
    for (unsigned i = 0; at + 5 < USER_ID_MAX / 2; i++) {
        at += (size_t)snprintf(text + at, 5, "%s", pieces[(number + i * i) % COUNT_OF(pieces)]);
    }
    text[at] = '\''; /* where snprintf put the end */
}

static void the_largest_settlement_of_the_worst_texts_is_written_as_it_is(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t ids[2] = {add_open_coupon(ledger, COUPON_UNLIMITED), add_open_coupon(ledger, 5000)};
    struct settle_claim *claims = calloc(SETTLE_CLAIMS_MAX, sizeof(*claims));
    char(*texts)[USER_ID_MAX + 1] = calloc(SETTLE_CLAIMS_MAX, sizeof(*texts));
    assert_true(claims && texts);
    for (unsigned i = 0; i < SETTLE_CLAIMS_MAX; i++) {
        hostile_text(i, texts[i]);
        claims[i] = claim_of(ids[i % 2], texts[i], "");
        claims[i].request_key = claims[i].user_id;
        claims[i].claim_id = (struct slice){texts[i], CLAIM_ID_MAX};
    }
    for (int turn = 0; turn < 2; turn++) {
        settle(ledger, claims, SETTLE_CLAIMS_MAX, turn == 0);
        for (unsigned i = 0; i < SETTLE_CLAIMS_MAX; i++) {
            assert_outcome(claims[i], turn == 0 ? SETTLE_ISSUED : SETTLE_ALREADY_ISSUED);
            assert_int_equal(claims[i].rank, i / 2 + 1);
            assert_int_equal(claims[i].same_claim && claims[i].same_key, turn);
        }
    }
    struct issue_record issue;
    assert_int_equal(ledger_holding_read(ledger, ids[1], claims[93].user_id, &issue), STATUS_OK);
    assert_string_equal(issue.user_id, texts[93]);
    assert_string_equal(issue.request_key, texts[93]);
    assert_int_equal(sound_issues(ledger, ids[0]), SETTLE_CLAIMS_MAX / 2);
    assert_int_equal(sound_issues(ledger, ids[1]), SETTLE_CLAIMS_MAX / 2);
    free(texts);
    free(claims);
}

/* ---- what users hold ---- */

static void what_a_user_holds_is_found(void **state) {
    struct ledger *ledger = ledger_of(state);
    uint64_t ids[7];
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        ids[i] = add_open_coupon(ledger, 5);
        struct settle_claim claims[] = {claim_of(ids[i], "other", "x"),
                                        claim_of(ids[i], i == 3 ? "U" : "u", "y")};
        claims[1].request_key = slice_of("key");
        settle(ledger, claims, 2, true);
    }
    struct issue_record issue;
    assert_int_equal(ledger_holding_read(ledger, ids[2], slice_of("u"), &issue), STATUS_OK);
    assert_true(issue.reference.coupon_id == ids[2] && issue.reference.rank == 2);
    assert_string_equal(issue.user_id, "u");
    assert_string_equal(issue.request_key, "key");
    assert_int_equal(ledger_holding_read(ledger, ids[3], slice_of("u"), &issue), STATUS_NOT_FOUND);
    assert_int_equal(ledger_holding_read(ledger, 999, slice_of("u"), &issue), STATUS_NOT_FOUND);

    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, ids[1], &coupon), STATUS_OK);
    coupon.version++;
    coupon.archived_us = coupon.updated_us;
    assert_int_equal(ledger_coupon_change(ledger, &coupon, NULL, &complaint), STATUS_OK);
    static const size_t held[] = {0, 2, 4, 5, 6}; /* the second is archived, the fourth is U's */
    uint64_t after = 0;
    for (size_t at = 0, count = 2; count > 0; at += count) {
        struct issue_record issues[2];
        assert_int_equal(ledger_holdings_read(ledger, slice_of("u"), after, 2, issues, &count),
                         STATUS_OK);
        assert_int_equal(count, at + 2 <= COUNT_OF(held) ? 2 : COUNT_OF(held) - at);
        for (size_t i = 0; i < count; i++) {
            after = issues[i].reference.coupon_id;
            assert_true(after == ids[held[at + i]] && issues[i].reference.rank == 2);
            assert_string_equal(issues[i].user_id, "u");
        }
        if (at + count == COUNT_OF(held)) {
            break;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(who_is_told_what_goes_by_the_order_of_verdicts),
        with_ledger(what_was_issued_for_this_very_claim_is_told_of_an_archived_coupon),
        with_ledger(the_order_of_verdicts_is_kept_where_most_claims_are_fresh),
        cmocka_unit_test(a_refusal_has_a_stable_word),
        with_ledger(ranks_go_on_from_settlement_to_settlement),
        with_ledger(several_coupons_share_a_settlement_in_any_order),
        with_ledger(a_settlement_ends_where_the_quantity_does),
        with_ledger(an_empty_settlement_is_one),
        with_ledger(a_repeat_is_told_what_the_first_got),
        with_ledger(a_fresh_settlement_that_meets_a_holder_is_judged_anew),
        with_ledger(a_contradiction_is_told_and_nothing_is_written),
        with_ledger(texts_that_no_row_can_hold_are_refused),
        with_ledger(a_look_leaves_what_may_be_issued_waiting),
        with_ledger(a_look_waits_for_nobody),
        with_ledger(the_clock_is_the_server_s),
        with_ledger(dates_never_decrease),
        with_ledger(a_claim_is_judged_by_when_it_was_admitted),
        with_ledger(the_largest_settlement_of_the_worst_texts_is_written_as_it_is),
        with_ledger(what_a_user_holds_is_found),
    };
    if (!place_is_shared()) {
        print_message("1..0 # SKIP this store is one program's\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

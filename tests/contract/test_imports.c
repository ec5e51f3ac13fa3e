/* Imports: issues, count, range and audit in one transaction, or none of them. */
#include "place.h"

#include <stdio.h>
#include <stdlib.h>

/* What a visit tells of coupon 1, in its order. */
struct seen {
    struct coupon_import imports[4];
    size_t import_count;
    uint32_t issues;
    int status; /* of on_import */
};

static int on_import(void *context, const struct coupon_import *import) {
    struct seen *seen = context;
    assert_int_equal(seen->issues, 0); /* before the issues they speak of */
    assert_true(seen->import_count < COUNT_OF(seen->imports));
    seen->imports[seen->import_count++] = *import;
    return seen->status;
}

static int on_issue(void *context, const struct issue_row *issue) {
    struct seen *seen = context;
    assert_int_equal(issue->reference.rank, ++seen->issues);
    return STATUS_OK;
}

static int look(struct ledger *ledger, struct seen *seen) {
    struct ledger_visitor visitor = {.context = seen, .import = on_import, .issue = on_issue};
    return ledger_visit(ledger, &visitor, &complaint);
}

/* Users "u<rank>", so that assert_ranks would know them but for their dates. */
static int import_ranks(struct ledger *ledger, uint32_t first, uint32_t count) {
    struct slice *users = calloc(count, sizeof(*users));
    char(*texts)[16] = calloc(count, sizeof(*texts));
    assert_true(users && texts);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "u%u", first + i);
        users[i] = slice_of(texts[i]);
    }
    struct coupon_import import = {1, first, first + count - 1, NOW_US + 9999999};
    int status = ledger_import(ledger, &import, users, &complaint);
    free(texts);
    free(users);
    return status;
}

static void an_import_is_there_with_its_range_and_its_audit(void **state) {
    struct ledger *ledger = ledger_of(state);
    add_coupon(ledger, COUPON_UNLIMITED);
    assert_int_equal(append_ranks(ledger, 1, 1, 3), STATUS_OK);
    assert_int_equal(import_ranks(ledger, 4, 1), STATUS_OK);
    assert_int_equal(import_ranks(ledger, 5, 5000), STATUS_OK); /* more than are made at a time */

    ledger = ledger_reopened(state);
    struct seen seen = {.status = STATUS_OK};
    assert_int_equal(look(ledger, &seen), STATUS_OK);
    assert_int_equal(seen.import_count, 2);
    assert_int_equal(seen.imports[0].coupon_id, 1);
    assert_int_equal(seen.imports[0].first_rank, 4);
    assert_int_equal(seen.imports[0].last_rank, 4);
    assert_int_equal(seen.imports[1].first_rank, 5);
    assert_int_equal(seen.imports[1].last_rank, 5004);
    assert_int_equal(seen.imports[1].imported_us, NOW_US + 9999999);
    assert_int_equal(seen.issues, 5004);

    struct issue_record issue;
    assert_int_equal(ledger_issue_read(ledger, (struct issue_reference){1, 5004}, &issue),
                     STATUS_OK);
    assert_string_equal(issue.user_id, "u5004");
    assert_string_equal(issue.request_key, "");
    assert_int_equal(issue.issued_at_us, NOW_US + 9999999);
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, 1, &coupon), STATUS_OK);
    assert_int_equal(coupon.issued_quantity, 5004);
    int64_t latest_us = 0;
    assert_int_equal(ledger_latest_us(ledger, &latest_us), STATUS_OK);
    assert_int_equal(latest_us, NOW_US + 9999999);
    struct audit_record audits[3];
    size_t count = 0;
    assert_int_equal(ledger_audits_read(ledger, 0, 3, audits, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(audits[1].admin, "import");
    assert_string_equal(audits[1].action, "issues-imported");
    assert_string_equal(audits[1].request, "{\"firstRank\":5,\"lastRank\":5004}");
    assert_int_equal(audits[1].changed_us, NOW_US + 9999999);
}

static void assert_untouched(struct ledger *ledger, uint32_t issues) {
    struct seen seen = {.status = STATUS_OK};
    struct audit_record audit;
    size_t count = 9;
    assert_int_equal(look(ledger, &seen), STATUS_OK);
    assert_int_equal(seen.import_count, 0);
    assert_int_equal(seen.issues, issues);
    assert_int_equal(ledger_audits_read(ledger, 0, 1, &audit, &count), STATUS_OK);
    assert_int_equal(count, 0);
}

static void what_contradicts_the_record_leaves_nothing(void **state) {
    struct ledger *ledger = ledger_of(state);
    add_coupon(ledger, 100);
    assert_int_equal(append_ranks(ledger, 1, 1, 3), STATUS_OK);
    assert_int_equal(import_ranks(ledger, 3, 2), STATUS_CONFLICT);  /* taken */
    assert_int_equal(import_ranks(ledger, 4, 98), STATUS_CONFLICT); /* too many (I1) */
    struct slice users[] = {{"a", 1}, {NULL, 0}};
    struct coupon_import import = {1, 4, 5, NOW_US};
    assert_int_equal(ledger_import(ledger, &import, users, &complaint), STATUS_CONFLICT);
    import.coupon_id = 9;
    assert_int_equal(ledger_import(ledger, &import, users, &complaint), STATUS_CONFLICT);
    assert_untouched(ledger, 3);
    assert_int_equal(import_ranks(ledger, 4, 97), STATUS_OK);
}

static void a_visitor_that_stops_at_an_import_is_obeyed(void **state) {
    struct ledger *ledger = ledger_of(state);
    add_coupon(ledger, COUPON_UNLIMITED);
    assert_int_equal(import_ranks(ledger, 1, 2), STATUS_OK);
    struct seen seen = {.status = STATUS_STOPPED};
    assert_int_equal(look(ledger, &seen), STATUS_STOPPED);
    assert_int_equal(seen.import_count, 1);
    assert_int_equal(seen.issues, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(an_import_is_there_with_its_range_and_its_audit),
        with_ledger(what_contradicts_the_record_leaves_nothing),
        with_ledger(a_visitor_that_stops_at_an_import_is_obeyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "claims.h"

#include <stdio.h>
#include <stdlib.h>

#define REVISIONS_MAX 512

/* ---- coupons and claims ---- */

int64_t server_now_us(struct ledger *ledger) {
    int64_t now_us = 0;
    assert_int_equal(ledger_now_us(ledger, &now_us), STATUS_OK);
    return now_us;
}

struct coupon_record coupon_open(struct ledger *ledger, int64_t total_quantity) {
    int64_t now_us = server_now_us(ledger);
    struct coupon_record coupon = coupon_example(total_quantity);
    coupon.issue_start_us = now_us - HOUR_US;
    coupon.issue_end_us = now_us + HOUR_US;
    coupon.created_us = coupon.updated_us = now_us - HOUR_US;
    return coupon;
}

uint64_t create_coupon(struct ledger *ledger, struct coupon_record coupon) {
    int status = ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint);
    if (status != STATUS_OK) {
        fail_msg("create: %s: %s", status_name(status), complaint.text);
    }
    return coupon.id;
}

uint64_t add_open_coupon(struct ledger *ledger, int64_t total_quantity) {
    return create_coupon(ledger, coupon_open(ledger, total_quantity));
}

struct settle_claim claim_of(uint64_t coupon_id, const char *user_id, const char *claim_id) {
    return (struct settle_claim){
        .coupon_id = coupon_id, .user_id = slice_of(user_id), .claim_id = slice_of(claim_id)};
}

void settle(struct ledger *ledger, struct settle_claim *claims, size_t count, bool fresh) {
    struct settlement settlement = {.claims = claims, .count = count, .fresh = fresh};
    int status = ledger_settle(ledger, &settlement, &complaint);
    if (status != STATUS_OK) {
        fail_msg("settle: %s: %s", status_name(status), complaint.text);
    }
}

enum settle_outcome outcome_of(struct ledger *ledger, struct settle_claim claim, bool fresh) {
    settle(ledger, &claim, 1, fresh);
    return claim.outcome;
}

/* ---- the record ---- */

struct record {
    uint64_t coupon_id;
    uint32_t issued_quantity;
    struct coupon_revision revisions[REVISIONS_MAX];
    size_t revision_count;
    size_t in_force;
    char (*users)[USER_ID_MAX + 1];
    uint32_t issue_count;
    int64_t latest_us;
};

/* What is wrong is told by the visit's status: the visit must come to its end. */
static int wrong(const struct record *record, const char *what) {
    return complain(&complaint, STATUS_CONFLICT, "coupon %llu rank %u: %s",
                    (unsigned long long)record->coupon_id, record->issue_count, what);
}

static int on_coupon(void *context, const struct coupon_record *coupon) {
    struct record *record = context;
    if (coupon->id == record->coupon_id) {
        record->issued_quantity = coupon->issued_quantity;
        record->users = calloc(coupon->issued_quantity + 1, sizeof(*record->users));
    }
    return STATUS_OK;
}

static int on_revision(void *context, const struct coupon_revision *revision) {
    struct record *record = context;
    if (revision->coupon_id != record->coupon_id) {
        return STATUS_OK;
    }
    if (record->revision_count == REVISIONS_MAX ||
        revision->version != record->revision_count + 1) {
        return wrong(record, "its revisions are not 1, 2, 3 …");
    }
    record->revisions[record->revision_count++] = *revision;
    return STATUS_OK;
}

static int judge_terms(struct record *record, const struct issue_row *issue) {
    const struct coupon_revision *revisions = record->revisions;
    while (record->in_force + 1 < record->revision_count &&
           revisions[record->in_force + 1].first_rank <= issue->reference.rank) {
        record->in_force++;
    }
    const struct coupon_revision *terms = &revisions[record->in_force];
    bool newest = record->in_force + 1 == record->revision_count;
    if (issue->issued_at_us < terms->changed_us) {
        return wrong(record, "issued before the terms were in force");
    }
    if (!newest && issue->issued_at_us > terms[1].changed_us) {
        return wrong(record, "issued after the terms were in force");
    }
    if (issue->issued_at_us < terms->issue_start_us || issue->issued_at_us >= terms->issue_end_us ||
        terms->paused || terms->archived) {
        return wrong(record, "issued though the terms forbid it");
    }
    if (terms->total_quantity != COUPON_UNLIMITED &&
        issue->reference.rank > terms->total_quantity) {
        return wrong(record, "issued beyond the quantity");
    }
    return STATUS_OK;
}

static int on_issue(void *context, const struct issue_row *issue) {
    struct record *record = context;
    if (issue->reference.coupon_id != record->coupon_id) {
        return STATUS_OK;
    }
    if (!record->users || record->issue_count == record->issued_quantity) {
        return wrong(record, "more rows than are counted");
    }
    memcpy(record->users[record->issue_count], issue->user_id.bytes, issue->user_id.size);
    if (issue->reference.rank != ++record->issue_count) {
        return wrong(record, "the rank after it is another");
    }
    if (issue->issued_at_us < record->latest_us) {
        return wrong(record, "issued before the rank before it");
    }
    record->latest_us = issue->issued_at_us;
    return judge_terms(record, issue);
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

uint32_t sound_issues(struct ledger *ledger, uint64_t coupon_id) {
    struct record record = {.coupon_id = coupon_id};
    struct ledger_visitor visitor = {.context = &record,
                                     .archived_too = true,
                                     .coupon = on_coupon,
                                     .revision = on_revision,
                                     .issue = on_issue};
    int status = ledger_visit(ledger, &visitor, &complaint);
    if (status != STATUS_OK) {
        fail_msg("visit: %s: %s", status_name(status), complaint.text);
    }
    assert_non_null(record.users);
    assert_int_equal(record.issue_count, record.issued_quantity);
    qsort(record.users, record.issue_count, sizeof(*record.users), by_text);
    for (uint32_t i = 1; i < record.issue_count; i++) {
        assert_string_not_equal(record.users[i - 1], record.users[i]);
    }
    free(record.users);
    return record.issue_count;
}

/* The ledger's calls, handed to whichever store was opened, after the checks that are the
 * same for all of them. For the issuer's writer thread and verify. */
#include "ledger/ledger.h"

/* ---- what the stores share ---- */

/* As the stores' decoders ask of a row. Here, since CHECKs in SQLite's table took a fifth of the
 * time of an append. */
static bool issue_is_possible(const struct issue_row *issue) {
    return issue->reference.coupon_id >= 1 && issue->reference.coupon_id <= JSON_INTEGER_MAX &&
           issue->reference.rank >= 1 && issue->user_id.size >= 1 &&
           issue->user_id.size <= USER_ID_MAX && issue->request_key.size <= REQUEST_KEY_MAX &&
           issue->claim_id.size <= CLAIM_ID_MAX && issue->issued_at_us >= TIME_US_MIN &&
           issue->issued_at_us <= TIME_US_MAX;
}

int ledger_rows_check(const struct issue_row *issues, size_t count, struct complaint *complaint) {
    for (size_t i = 0; i < count; i++) {
        if (!issue_is_possible(&issues[i])) {
            return complain(complaint, STATUS_CONFLICT,
                            "coupon %llu rank %u: its user, key or date cannot be in a ledger",
                            (unsigned long long)issues[i].reference.coupon_id,
                            issues[i].reference.rank);
        }
    }
    return STATUS_OK;
}

void ledger_import_rows(const struct coupon_import *import, const struct slice *users, size_t at,
                        size_t count, struct issue_row *ret_rows) {
    for (size_t i = 0; i < count; i++) {
        ret_rows[i] = (struct issue_row){
            .reference = {import->coupon_id, import->first_rank + (uint32_t)(at + i)},
            .user_id = users[at + i],
            .issued_at_us = import->imported_us,
        };
    }
}

/* ---- the calls ---- */

int ledger_close(struct ledger *ledger, struct complaint *complaint) {
    return ledger ? ledger->operations->close(ledger, complaint) : STATUS_OK;
}

int ledger_latest_us(struct ledger *ledger, int64_t *ret_latest_us) {
    assert(ret_latest_us);
    return ledger->operations->latest_us(ledger, ret_latest_us);
}

int ledger_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                  const struct issued_count *counts, size_t coupon_count,
                  struct complaint *complaint) {
    assert(issues || issue_count == 0);
    assert(counts || coupon_count == 0);
    if (issue_count == 0) {
        return STATUS_OK;
    }
    assert(coupon_count > 0 && coupon_count <= issue_count);
    return ledger->operations->append(ledger, issues, issue_count, counts, coupon_count, complaint);
}

int ledger_import(struct ledger *ledger, const struct coupon_import *import,
                  const struct slice *users, struct complaint *complaint) {
    assert(users);
    assert(import->first_rank >= 1 && import->first_rank <= import->last_rank);
    return ledger->operations->import(ledger, import, users, complaint);
}

static void audit_assert(const struct audit *audit) {
    if (audit) {
        assert(audit->admin.size >= 1);
        assert(audit->admin.size <= ADMIN_NAME_MAX);
        assert(audit->request.size <= AUDIT_REQUEST_MAX);
    }
}

int ledger_coupon_create(struct ledger *ledger, struct coupon_record *coupon,
                         const struct creation_key *key, const struct audit *audit,
                         struct complaint *complaint) {
    assert(coupon);
    assert(!key || key->key.size <= REQUEST_KEY_MAX);
    audit_assert(audit);
    return ledger->operations->coupon_create(ledger, coupon, key, audit, complaint);
}

int ledger_creation_read(struct ledger *ledger, const struct creation_key *key,
                         uint64_t *ret_coupon_id) {
    assert(key && key->key.size > 0);
    assert(ret_coupon_id);
    return ledger->operations->creation_read(ledger, key, ret_coupon_id);
}

int ledger_coupon_change(struct ledger *ledger, const struct coupon_record *coupon,
                         const struct audit *audit, struct complaint *complaint) {
    assert(coupon);
    assert(coupon->version > 1);
    audit_assert(audit);
    return ledger->operations->coupon_change(ledger, coupon, audit, complaint);
}

int ledger_coupon_read(struct ledger *ledger, uint64_t coupon_id,
                       struct coupon_record *ret_coupon) {
    assert(ret_coupon);
    return ledger->operations->coupon_read(ledger, coupon_id, ret_coupon);
}

int ledger_coupons_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                        struct coupon_record *ret_coupons, size_t *ret_count) {
    assert(limit <= LEDGER_SLICE_MAX);
    assert(ret_coupons && ret_count);
    return ledger->operations->coupons_read(ledger, after_id, limit, ret_coupons, ret_count);
}

int ledger_issue_read(struct ledger *ledger, struct issue_reference reference,
                      struct issue_record *ret_issue) {
    assert(ret_issue);
    return ledger->operations->issue_read(ledger, reference, ret_issue);
}

int ledger_issues_read(struct ledger *ledger, struct issue_reference after, size_t limit,
                       struct issue_record *ret_issues, size_t *ret_count) {
    assert(limit <= LEDGER_SLICE_MAX);
    assert(ret_issues && ret_count);
    return ledger->operations->issues_read(ledger, after, limit, ret_issues, ret_count);
}

int ledger_audits_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                       struct audit_record *ret_audits, size_t *ret_count) {
    assert(limit <= LEDGER_SLICE_MAX);
    assert(ret_audits && ret_count);
    return ledger->operations->audits_read(ledger, after_id, limit, ret_audits, ret_count);
}

int ledger_visit(struct ledger *ledger, const struct ledger_visitor *visitor,
                 struct complaint *complaint) {
    assert(visitor);
    return ledger->operations->visit(ledger, visitor, complaint);
}

int ledger_probe(struct ledger *ledger, struct complaint *complaint) {
    return ledger->operations->probe(ledger, complaint);
}

int ledger_tend(struct ledger *ledger, bool idle, struct complaint *complaint) {
    return ledger->operations->tend(ledger, idle, complaint);
}

int ledger_check(struct ledger *ledger, struct complaint *complaint) {
    return ledger->operations->check(ledger, complaint);
}

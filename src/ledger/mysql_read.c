/* Small reads of the MariaDB and MySQL ledger, and how rows become records: every value is
 * checked against what the schema promises, since others have access to the server too. For
 * ledger.h. A read is a transaction of its own; the next may see what others committed since. */
#include "ledger/mysql_ledger.h"

/* ---- decoding ---- */

int maria_coupon_decode(const struct mysql_rows *rows, struct coupon_record *ret_coupon) {
    struct coupon_record coupon;
    int64_t id, issued, paused, version;
    int damage = 0;
    damage |= maria_integer_decode(rows, 0, 1, JSON_INTEGER_MAX, &id);
    damage |= maria_text_copy(rows, 1, COUPON_TITLE_MAX, coupon.title);
    damage |= maria_optional_decode(rows, 2, 0, COUPON_QUANTITY_MAX, COUPON_UNLIMITED,
                                    &coupon.total_quantity);
    damage |= maria_integer_decode(rows, 3, 0, UINT32_MAX, &issued);
    damage |= maria_integer_decode(rows, 4, 0, JSON_INTEGER_MAX, &coupon.discount_amount);
    damage |= maria_integer_decode(rows, 5, 0, JSON_INTEGER_MAX, &coupon.min_available_amount);
    damage |= maria_integer_decode(rows, 6, TIME_US_MIN, TIME_US_MAX, &coupon.issue_start_us);
    damage |= maria_integer_decode(rows, 7, TIME_US_MIN, TIME_US_MAX, &coupon.issue_end_us);
    damage |= maria_integer_decode(rows, 8, 0, 1, &paused);
    damage |= maria_text_copy(rows, 9, COUPON_METADATA_MAX, coupon.metadata);
    damage |= maria_integer_decode(rows, 10, 1, UINT32_MAX, &version);
    damage |= maria_integer_decode(rows, 11, TIME_US_MIN, TIME_US_MAX, &coupon.created_us);
    damage |= maria_integer_decode(rows, 12, TIME_US_MIN, TIME_US_MAX, &coupon.updated_us);
    damage |= maria_optional_decode(rows, 13, TIME_US_MIN, TIME_US_MAX, 0, &coupon.archived_us);
    /* More issued than the total is for verify to tell and for the issuer to refuse. */
    if (damage || coupon.issue_start_us >= coupon.issue_end_us) {
        return STATUS_DAMAGED;
    }
    coupon.id = (uint64_t)id;
    coupon.issued_quantity = (uint32_t)issued;
    coupon.paused = paused == 1;
    coupon.version = (uint32_t)version;
    *ret_coupon = coupon;
    return STATUS_OK;
}

int maria_issue_decode(const struct mysql_rows *rows, uint64_t coupon_id,
                       struct issue_row *ret_issue) {
    struct issue_row issue = {.issued_at_us = 0};
    int64_t rank;
    if (maria_integer_decode(rows, 0, 1, UINT32_MAX, &rank) < 0 ||
        maria_text_decode(rows, 1, 1, USER_ID_MAX, &issue.user_id) < 0 ||
        maria_text_decode(rows, 2, 0, REQUEST_KEY_MAX, &issue.request_key) < 0 ||
        maria_integer_decode(rows, 3, TIME_US_MIN, TIME_US_MAX, &issue.issued_at_us) < 0) {
        return STATUS_DAMAGED;
    }
    issue.reference = (struct issue_reference){coupon_id, (uint32_t)rank};
    *ret_issue = issue;
    return STATUS_OK;
}

int maria_issue_copy(const struct mysql_rows *rows, uint64_t coupon_id,
                     struct issue_record *ret_issue) {
    struct issue_row row;
    int status = maria_issue_decode(rows, coupon_id, &row);
    if (status == STATUS_OK) {
        status = maria_text_copy(rows, 1, USER_ID_MAX, ret_issue->user_id);
    }
    if (status == STATUS_OK) {
        status = maria_text_copy(rows, 2, REQUEST_KEY_MAX, ret_issue->request_key);
    }
    if (status == STATUS_OK) {
        ret_issue->reference = row.reference;
        ret_issue->issued_at_us = row.issued_at_us;
    }
    return status;
}

static int audit_decode(const struct mysql_rows *rows, struct audit_record *ret_audit) {
    int64_t id, coupon_id, version;
    int damage = 0;
    damage |= maria_integer_decode(rows, 0, 1, INT64_MAX, &id);
    damage |= maria_integer_decode(rows, 1, TIME_US_MIN, TIME_US_MAX, &ret_audit->changed_us);
    damage |= maria_text_copy(rows, 2, ADMIN_NAME_MAX, ret_audit->admin);
    damage |= maria_text_copy(rows, 3, sizeof(ret_audit->action) - 1, ret_audit->action);
    damage |= maria_integer_decode(rows, 4, 1, JSON_INTEGER_MAX, &coupon_id);
    damage |= maria_integer_decode(rows, 5, 1, UINT32_MAX, &version);
    damage |= maria_text_copy(rows, 6, AUDIT_REQUEST_MAX, ret_audit->request);
    if (damage) {
        return STATUS_DAMAGED;
    }
    ret_audit->id = (uint64_t)id;
    ret_audit->coupon_id = (uint64_t)coupon_id;
    ret_audit->version = (uint32_t)version;
    return STATUS_OK;
}

/* ---- one row ---- */

/* Reads and goes to the first row. STATUS_NOT_FOUND: there is none. */
static int row_read(struct mysql_ledger *ledger, enum mysql_statement statement,
                    const struct mysql_value *values, size_t count, struct mysql_rows *ret_rows) {
    struct mysql_rows rows;
    int status = maria_read(ledger, statement, values, count, &rows);
    if (status < 0) {
        return status;
    }
    if (!maria_rows_next(&rows)) {
        maria_rows_done(&rows);
        return STATUS_NOT_FOUND;
    }
    *ret_rows = rows;
    return STATUS_OK;
}

int maria_latest_us(struct ledger *base, int64_t *ret_latest_us) {
    struct mysql_rows rows;
    int status = row_read(mysql_of(base), MARIA_LATEST_READ, NULL, 0, &rows);
    if (status == STATUS_OK) {
        status = maria_integer_decode(&rows, 0, TIME_US_MIN, TIME_US_MAX, ret_latest_us);
        maria_rows_done(&rows);
    }
    return status;
}

static int creation_decode(const struct mysql_rows *rows, const struct creation_key *key,
                           uint64_t *ret_coupon_id) {
    int64_t id;
    struct slice digest;
    size_t size = sizeof(key->request_digest);
    if (maria_integer_decode(rows, 0, 1, JSON_INTEGER_MAX, &id) < 0 ||
        maria_text_decode(rows, 1, size, size, &digest) < 0) {
        return STATUS_DAMAGED;
    }
    if (memcmp(digest.bytes, key->request_digest, size) != 0) {
        return STATUS_CONFLICT;
    }
    *ret_coupon_id = (uint64_t)id;
    return STATUS_OK;
}

int maria_creation_read(struct ledger *base, const struct creation_key *key,
                        uint64_t *ret_coupon_id) {
    struct mysql_rows rows;
    int status =
        row_read(mysql_of(base), MARIA_CREATION_READ, VALUES(value_bytes(key->key)), &rows);
    if (status == STATUS_OK) {
        status = creation_decode(&rows, key, ret_coupon_id);
        maria_rows_done(&rows);
    }
    return status;
}

int maria_coupon_read(struct ledger *base, uint64_t coupon_id, struct coupon_record *ret_coupon) {
    if (coupon_id > JSON_INTEGER_MAX) {
        return STATUS_NOT_FOUND;
    }
    struct mysql_rows rows;
    int status = row_read(mysql_of(base), MARIA_COUPON_READ,
                          VALUES(value_integer((int64_t)coupon_id)), &rows);
    if (status == STATUS_OK) {
        status = maria_coupon_decode(&rows, ret_coupon);
        maria_rows_done(&rows);
    }
    return status;
}

int maria_issue_read(struct ledger *base, struct issue_reference reference,
                     struct issue_record *ret_issue) {
    if (reference.coupon_id > JSON_INTEGER_MAX) {
        return STATUS_NOT_FOUND;
    }
    struct mysql_rows rows;
    int status = row_read(
        mysql_of(base), MARIA_ISSUE_READ,
        VALUES(value_integer((int64_t)reference.coupon_id), value_integer(reference.rank)), &rows);
    if (status == STATUS_OK) {
        status = maria_issue_copy(&rows, reference.coupon_id, ret_issue);
        maria_rows_done(&rows);
    }
    return status;
}

/* ---- slices ---- */

int maria_coupons_read(struct ledger *base, uint64_t after_id, size_t limit,
                       struct coupon_record *ret_coupons, size_t *ret_count) {
    struct mysql_rows rows;
    int64_t after = after_id < JSON_INTEGER_MAX ? (int64_t)after_id : JSON_INTEGER_MAX;
    int status = maria_read(mysql_of(base), MARIA_COUPONS_READ,
                            VALUES(value_integer(after), value_integer((int64_t)limit)), &rows);
    if (status < 0) {
        return status;
    }
    size_t count = 0;
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        assert(count < limit);
        status = maria_coupon_decode(&rows, &ret_coupons[count++]);
    }
    maria_rows_done(&rows);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

int maria_issues_read(struct ledger *base, struct issue_reference after, size_t limit,
                      struct issue_record *ret_issues, size_t *ret_count) {
    if (after.coupon_id > JSON_INTEGER_MAX) {
        *ret_count = 0;
        return STATUS_OK;
    }
    struct mysql_rows rows;
    int status = maria_read(mysql_of(base), MARIA_ISSUES_READ,
                            VALUES(value_integer((int64_t)after.coupon_id),
                                   value_integer(after.rank), value_integer((int64_t)limit)),
                            &rows);
    if (status < 0) {
        return status;
    }
    size_t count = 0;
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        assert(count < limit);
        status = maria_issue_copy(&rows, after.coupon_id, &ret_issues[count++]);
    }
    maria_rows_done(&rows);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

int maria_audits_read(struct ledger *base, uint64_t after_id, size_t limit,
                      struct audit_record *ret_audits, size_t *ret_count) {
    struct mysql_rows rows;
    int64_t after = after_id < INT64_MAX ? (int64_t)after_id : INT64_MAX;
    int status = maria_read(mysql_of(base), MARIA_AUDITS_READ,
                            VALUES(value_integer(after), value_integer((int64_t)limit)), &rows);
    if (status < 0) {
        return status;
    }
    size_t count = 0;
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        assert(count < limit);
        status = audit_decode(&rows, &ret_audits[count++]);
    }
    maria_rows_done(&rows);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

/* ---- the check ---- */

static bool column_is(const struct mysql_rows *rows, unsigned column, const char *wanted) {
    struct slice text;
    return maria_text_decode(rows, column, 1, 1024, &text) == STATUS_OK && slice_is(text, wanted);
}

/* What the promises rest on: somebody may have dropped a key to load data faster. */
int maria_check(struct ledger *base, struct complaint *complaint) {
    static const struct {
        const char *wanted;
        const char *missing;
    } facts[] = {
        {"coupon_id,rank_no", "the primary key of coupon_issues is not (coupon_id, rank_no)"},
        {"coupon_id,user_id",
         "coupon_issues has no unique key coupon_issues_user (coupon_id, user_id)"},
        {"1", "coupons has no CHECK coupons_not_over_issued"},
        {"0", "a table's engine is not InnoDB"},
    };
    struct mysql_ledger *ledger = mysql_of(base);
    struct mysql_rows rows;
    int status = maria_connect_again(ledger, complaint);
    if (status < 0) {
        return status;
    }
    status = row_read(ledger, MARIA_CHECK, NULL, 0, &rows);
    if (status < 0) {
        return maria_fail(ledger, status, "check", complaint);
    }
    for (size_t i = 0; status == STATUS_OK && i < COUNT_OF(facts); i++) {
        if (!column_is(&rows, (unsigned)i, facts[i].wanted)) {
            status = complain(complaint, STATUS_DAMAGED, "%s: %s; stop, and put it back as it was",
                              ledger->name, facts[i].missing);
        }
    }
    maria_rows_done(&rows);
    return status;
}

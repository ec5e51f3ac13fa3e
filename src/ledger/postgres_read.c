/* Small reads of the PostgreSQL ledger, each a statement by itself, and the check. For the
 * issuer and verify, through ledger.h. */
#include "ledger/postgres_ledger.h"

static struct postgres_row row_of(const PGresult *result, int number) {
    return (struct postgres_row){result, number};
}

/* An id or a rank that may be above what a bigint holds: then nothing is there. */
static int64_t as_integer(uint64_t value) {
    return value < INT64_MAX ? (int64_t)value : INT64_MAX;
}

int postgres_issue_copy(struct postgres_row row, uint64_t coupon_id,
                        struct issue_record *ret_issue) {
    struct issue_row issue;
    struct issue_record copy;
    int status = postgres_issue_decode(row, coupon_id, &issue);
    if (status == STATUS_OK) {
        status = row_text_copy(row, 1, USER_ID_MAX, copy.user_id);
    }
    if (status == STATUS_OK) {
        status = row_text_copy(row, 2, REQUEST_KEY_MAX, copy.request_key);
    }
    if (status == STATUS_OK) {
        copy.reference = issue.reference;
        copy.issued_at_us = issue.issued_at_us;
        *ret_issue = copy;
    }
    return status;
}

static int audit_decode(struct postgres_row row, struct audit_record *ret_audit) {
    int64_t id, coupon_id, version;
    int damage = 0;
    damage |= row_integer(row, 0, 1, INT64_MAX, &id);
    damage |= row_integer(row, 1, TIME_US_MIN, TIME_US_MAX, &ret_audit->changed_us);
    damage |= row_text_copy(row, 2, ADMIN_NAME_MAX, ret_audit->admin);
    damage |= row_text_copy(row, 3, sizeof(ret_audit->action) - 1, ret_audit->action);
    damage |= row_integer(row, 4, 1, JSON_INTEGER_MAX, &coupon_id);
    damage |= row_integer(row, 5, 1, UINT32_MAX, &version);
    damage |= row_text_copy(row, 6, AUDIT_REQUEST_MAX, ret_audit->request);
    if (damage) {
        return STATUS_DAMAGED;
    }
    ret_audit->id = (uint64_t)id;
    ret_audit->coupon_id = (uint64_t)coupon_id;
    ret_audit->version = (uint32_t)version;
    return STATUS_OK;
}

int postgres_latest_us(struct ledger *base, int64_t *ret_latest_us) {
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_LATEST_READ, NULL, &result);
    if (status == STATUS_OK) {
        status = row_integer(row_of(result, 0), 0, TIME_US_MIN, TIME_US_MAX, ret_latest_us);
        PQclear(result);
    }
    return status;
}

static int creation_decode(struct postgres_row row, const struct creation_key *key,
                           uint64_t *ret_coupon_id) {
    int64_t id;
    struct slice digest;
    size_t size = sizeof(key->request_digest);
    if (row_integer(row, 0, 1, JSON_INTEGER_MAX, &id) < 0 ||
        row_text(row, 1, size, size, &digest) < 0) {
        return STATUS_DAMAGED;
    }
    if (memcmp(digest.bytes, key->request_digest, size) != 0) {
        return STATUS_CONFLICT;
    }
    *ret_coupon_id = (uint64_t)id;
    return STATUS_OK;
}

int postgres_creation_read(struct ledger *base, const struct creation_key *key,
                           uint64_t *ret_coupon_id) {
    struct postgres_values values = {.count = 0};
    values_text(&values, key->key);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_CREATION_READ, &values, &result);
    if (status == STATUS_OK) {
        status = PQntuples(result) == 0 ? STATUS_NOT_FOUND
                                        : creation_decode(row_of(result, 0), key, ret_coupon_id);
        PQclear(result);
    }
    return status;
}

int postgres_coupon_read(struct ledger *base, uint64_t coupon_id,
                         struct coupon_record *ret_coupon) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, as_integer(coupon_id));
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_COUPON_READ, &values, &result);
    if (status == STATUS_OK) {
        status = PQntuples(result) == 0 ? STATUS_NOT_FOUND
                                        : postgres_coupon_decode(row_of(result, 0), ret_coupon);
        PQclear(result);
    }
    return status;
}

int postgres_coupons_read(struct ledger *base, uint64_t after_id, size_t limit,
                          struct coupon_record *ret_coupons, size_t *ret_count) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, as_integer(after_id));
    values_integer(&values, (int64_t)limit);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_COUPONS_READ, &values, &result);
    if (status < 0) {
        return status;
    }
    int count = PQntuples(result);
    assert((size_t)count <= limit);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        status = postgres_coupon_decode(row_of(result, i), &ret_coupons[i]);
    }
    PQclear(result);
    if (status == STATUS_OK) {
        *ret_count = (size_t)count;
    }
    return status;
}

int postgres_issue_read(struct ledger *base, struct issue_reference reference,
                        struct issue_record *ret_issue) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, as_integer(reference.coupon_id));
    values_integer(&values, reference.rank);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_ISSUE_READ, &values, &result);
    if (status == STATUS_OK) {
        status = PQntuples(result) == 0
                     ? STATUS_NOT_FOUND
                     : postgres_issue_copy(row_of(result, 0), reference.coupon_id, ret_issue);
        PQclear(result);
    }
    return status;
}

int postgres_issues_read(struct ledger *base, struct issue_reference after, size_t limit,
                         struct issue_record *ret_issues, size_t *ret_count) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, as_integer(after.coupon_id));
    values_integer(&values, after.rank);
    values_integer(&values, (int64_t)limit);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_ISSUES_READ, &values, &result);
    if (status < 0) {
        return status;
    }
    int count = PQntuples(result);
    assert((size_t)count <= limit);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        status = postgres_issue_copy(row_of(result, i), after.coupon_id, &ret_issues[i]);
    }
    PQclear(result);
    if (status == STATUS_OK) {
        *ret_count = (size_t)count;
    }
    return status;
}

int postgres_audits_read(struct ledger *base, uint64_t after_id, size_t limit,
                         struct audit_record *ret_audits, size_t *ret_count) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, as_integer(after_id));
    values_integer(&values, (int64_t)limit);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_AUDITS_READ, &values, &result);
    if (status < 0) {
        return status;
    }
    int count = PQntuples(result);
    assert((size_t)count <= limit);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        status = audit_decode(row_of(result, i), &ret_audits[i]);
    }
    PQclear(result);
    if (status == STATUS_OK) {
        *ret_count = (size_t)count;
    }
    return status;
}

/* The pages are the server's to check (data checksums, pg_amcheck); what is asked here is
 * whether the keys and CHECKs are there that the promises rest on. */
int postgres_check(struct ledger *base, struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    PGresult *result;
    int status = postgres_read(ledger, PG_CHECK, NULL, &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "check", complaint);
    }
    if (PQntuples(result) > 0) {
        status = complain(complaint, STATUS_DAMAGED,
                          "%s: the %.*s is not as it was made; stop, and look who changed it",
                          ledger->name, PQgetlength(result, 0, 0), PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return status;
}

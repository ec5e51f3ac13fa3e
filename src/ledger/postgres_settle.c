/* The steps of a settlement in PostgreSQL, their order being settle.c's, and what users hold. For
 * the issuers and the worker, through settle.h. */
#include "ledger/postgres_ledger.h"

/* ---- the transaction ---- */

struct change {
    ledger_change change;
    void *context;
};

static int change_run(struct postgres_ledger *ledger, void *context, struct complaint *complaint) {
    const struct change *change = context;
    (void)ledger;
    return change->change(change->context, complaint);
}

static int transact(struct ledger *base, ledger_change change, void *context,
                    struct complaint *complaint) {
    struct change both = {change, context};
    return postgres_transact(postgres_of(base), change_run, &both, complaint);
}

static int observe(struct ledger *base, ledger_change change, void *context,
                   struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    for (int attempt = 0;; attempt++) {
        int status = postgres_connect(ledger, complaint);
        if (status < 0) {
            return status;
        }
        status = change(context, complaint);
        if (status == STATUS_OK || !ledger->lost || ledger->late || attempt > 0) {
            return status;
        }
    }
}

/* ---- the cursor ---- */

static int cursor_decode(struct postgres_row row, struct ledger_cursor *ret_cursor) {
    int64_t epoch, n;
    if (row_integer(row, 0, 0, INT64_MAX, &epoch) < 0 ||
        row_integer(row, 1, 0, INT64_MAX, &n) < 0) {
        return STATUS_DAMAGED;
    }
    ret_cursor->epoch = (uint64_t)epoch;
    ret_cursor->n = (uint64_t)n;
    return STATUS_OK;
}

static int cursor_lock(struct ledger *base, struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    struct postgres_values values = {.count = 0};
    values_integer(&values, cursor->partition);
    PGresult *result;
    int status = postgres_run(ledger, PG_CURSOR_LOCK, &values, &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "lock a partition of", complaint);
    }
    if (PQntuples(result) == 0) {
        status = complain(complaint, STATUS_BUSY, "another program settles partition %u",
                          cursor->partition);
    } else if (cursor_decode((struct postgres_row){result, 0}, cursor) < 0) {
        status = complain(complaint, STATUS_DAMAGED, "%s: partition %u is at no place that can be",
                          ledger->name, cursor->partition);
    }
    PQclear(result);
    return status;
}

static int cursor_move(struct ledger *base, const struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    struct postgres_values values = {.count = 0};
    uint64_t changed = 0;
    values_integer(&values, cursor->partition);
    values_integer(&values, (int64_t)cursor->epoch);
    values_integer(&values, (int64_t)cursor->n);
    int status = postgres_run_change(ledger, PG_CURSOR_MOVE, &values, &changed);
    if (status < 0) {
        return postgres_fail(ledger, status, "move a cursor in", complaint);
    }
    assert(changed == 1); /* it is locked */
    return STATUS_OK;
}

/* ---- coupons ---- */

static int coupons_lock(struct ledger *base, const uint64_t *ids, size_t count,
                        struct complaint *complaint) {
    return postgres_coupons_lock(postgres_of(base), ids, count, complaint);
}

/* The coupon that the row is of; they are in the same order. */
static int coupon_decode(struct postgres_row row, struct settle_coupon *coupons, size_t count,
                         size_t *at) {
    struct settle_coupon coupon = {.known = true};
    int64_t id, issued;
    int damage = 0;
    damage |= row_integer(row, 1, 1, JSON_INTEGER_MAX, &id);
    damage |=
        row_optional(row, 2, 0, COUPON_QUANTITY_MAX, COUPON_UNLIMITED, &coupon.total_quantity);
    damage |= row_integer(row, 3, 0, UINT32_MAX, &issued);
    damage |= row_integer(row, 4, TIME_US_MIN, TIME_US_MAX, &coupon.issue_start_us);
    damage |= row_integer(row, 5, TIME_US_MIN, TIME_US_MAX, &coupon.issue_end_us);
    damage |= row_boolean(row, 6, &coupon.paused);
    damage |= row_integer(row, 7, TIME_US_MIN, TIME_US_MAX, &coupon.latest_us);
    if (damage) {
        return STATUS_DAMAGED;
    }
    coupon.id = (uint64_t)id;
    coupon.issued_quantity = (uint32_t)issued;
    while (*at < count && coupons[*at].id != coupon.id) {
        ++*at;
    }
    assert(*at < count);
    coupons[*at] = coupon;
    return STATUS_OK;
}

static int coupons_read(struct ledger *base, struct settle_coupon *coupons, size_t count,
                        int64_t *ret_now_us, struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    struct postgres_values values = {.count = 0};
    struct buffer *ids = &ledger->columns[0];
    array_begin_integers(ids, count);
    for (size_t i = 0; i < count; i++) {
        array_integer(ids, (int64_t)coupons[i].id);
    }
    PGresult *result;
    int status = values_array(&values, ids);
    if (status == STATUS_OK) {
        status = postgres_run(ledger, PG_SETTLE_COUPONS, &values, &result);
    }
    if (status < 0) {
        return postgres_fail(ledger, status, "read coupons of", complaint);
    }
    size_t at = 0;
    for (int i = 0; status == STATUS_OK && i < PQntuples(result); i++) {
        struct postgres_row row = {result, i};
        status = coupon_decode(row, coupons, count, &at);
        if (status == STATUS_OK && i == 0) {
            status = row_integer(row, 0, TIME_US_MIN, TIME_US_MAX, ret_now_us);
        }
    }
    PQclear(result);
    return status < 0 ? complain(complaint, status, "%s has a coupon that cannot be", ledger->name)
                      : STATUS_OK;
}

/* ---- holders ---- */

static int holder_decode(struct postgres_row row, struct issue_row *ret_issue) {
    struct issue_row issue = {.issued_at_us = 0};
    int64_t coupon_id, rank;
    int damage = 0;
    damage |= row_integer(row, 0, 1, JSON_INTEGER_MAX, &coupon_id);
    damage |= row_integer(row, 1, 1, UINT32_MAX, &rank);
    damage |= row_text(row, 2, 1, USER_ID_MAX, &issue.user_id);
    damage |= row_text(row, 3, 0, REQUEST_KEY_MAX, &issue.request_key);
    damage |= row_integer(row, 4, TIME_US_MIN, TIME_US_MAX, &issue.issued_at_us);
    damage |= row_text(row, 5, 0, CLAIM_ID_MAX, &issue.claim_id);
    if (damage) {
        return STATUS_DAMAGED;
    }
    issue.reference = (struct issue_reference){(uint64_t)coupon_id, (uint32_t)rank};
    *ret_issue = issue;
    return STATUS_OK;
}

static int asked_fill(struct postgres_ledger *ledger, const struct settle_claim *claims,
                      size_t count, struct postgres_values *ret_values) {
    size_t asked = 0;
    for (size_t i = 0; i < count; i++) {
        asked += claims[i].raw.size == 0;
    }
    struct buffer *ids = &ledger->columns[0];
    struct buffer *users = &ledger->columns[1];
    array_begin_integers(ids, asked);
    array_begin_texts(users, asked);
    for (size_t i = 0; i < count; i++) {
        if (claims[i].raw.size == 0) {
            array_integer(ids, (int64_t)claims[i].coupon_id);
            array_text(users, claims[i].user_id);
        }
    }
    int status = values_array(ret_values, ids);
    return status < 0 ? status : values_array(ret_values, users);
}

static int holders_read(struct ledger *base, const struct settle_claim *claims, size_t count,
                        settle_holder holder, void *context, struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    struct postgres_values values = {.count = 0};
    PGresult *result;
    int status = asked_fill(ledger, claims, count, &values);
    if (status == STATUS_OK) {
        status = postgres_run(ledger, PG_SETTLE_HOLDERS, &values, &result);
    }
    if (status < 0) {
        return postgres_fail(ledger, status, "read who holds coupons in", complaint);
    }
    for (int i = 0; status == STATUS_OK && i < PQntuples(result); i++) {
        struct issue_row issue;
        status = holder_decode((struct postgres_row){result, i}, &issue);
        if (status == STATUS_OK) {
            holder(context, &issue);
        }
    }
    PQclear(result);
    return status < 0 ? complain(complaint, status, "%s has an issue that cannot be", ledger->name)
                      : STATUS_OK;
}

/* ---- what is written ---- */

static int write_issues(struct ledger *base, const struct issue_row *rows, size_t row_count,
                        const struct issued_count *counts, size_t coupon_count,
                        struct complaint *complaint) {
    return postgres_issues_write(postgres_of(base), rows, row_count, counts, coupon_count,
                                 complaint);
}

static int reject_raw_write(struct postgres_ledger *ledger, const struct ledger_cursor *cursor,
                            const struct settle_claim *reject) {
    struct postgres_values values = {.count = 0};
    uint64_t added;
    values_integer(&values, cursor->partition);
    values_integer(&values, (int64_t)cursor->epoch);
    values_integer(&values, (int64_t)reject->n);
    values_integer(&values, reject->index);
    values_text(&values, slice_of(settle_outcome_name(reject->outcome)));
    values_bytes(&values, reject->raw.bytes, reject->raw.size);
    return postgres_run_change(ledger, PG_REJECT_RAW_INSERT, &values, &added);
}

enum reject_column { REJECT_N, REJECT_INDEX, REJECT_CLAIM, REJECT_COUPON, REJECT_USER, REJECT_WHY };
static_assert(REJECT_WHY < COUNT_OF(((struct postgres_ledger *)NULL)->columns), "each one");

static void reject_add(struct buffer *columns, const struct settle_claim *reject) {
    array_integer(&columns[REJECT_N], (int64_t)reject->n);
    array_integer(&columns[REJECT_INDEX], reject->index);
    array_text(&columns[REJECT_CLAIM], reject->claim_id);
    array_integer(&columns[REJECT_COUPON], (int64_t)reject->coupon_id);
    array_text(&columns[REJECT_USER], reject->user_id);
    array_text(&columns[REJECT_WHY], slice_of(settle_outcome_name(reject->outcome)));
}

/* Those that were claims, `plain` of them, by one statement. */
static int rejects_plain_write(struct postgres_ledger *ledger, const struct ledger_cursor *cursor,
                               const struct settle_claim *const *rejects, size_t count,
                               size_t plain) {
    struct buffer *columns = ledger->columns;
    for (size_t i = 0; i < COUNT_OF(ledger->columns); i++) {
        bool number = i == REJECT_N || i == REJECT_INDEX || i == REJECT_COUPON;
        (number ? array_begin_integers : array_begin_texts)(&columns[i], plain);
    }
    for (size_t i = 0; i < count; i++) {
        if (rejects[i]->raw.size == 0) {
            reject_add(columns, rejects[i]);
        }
    }
    struct postgres_values values = {.count = 0};
    values_integer(&values, cursor->partition);
    values_integer(&values, (int64_t)cursor->epoch);
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < COUNT_OF(ledger->columns); i++) {
        status = values_array(&values, &columns[i]);
    }
    uint64_t added;
    return status < 0 ? status : postgres_run_change(ledger, PG_REJECTS_INSERT, &values, &added);
}

static int rejects_write(struct ledger *base, const struct ledger_cursor *cursor,
                         const struct settle_claim *const *rejects, size_t count,
                         struct complaint *complaint) {
    struct postgres_ledger *ledger = postgres_of(base);
    size_t plain = count;
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        if (rejects[i]->raw.size > 0) {
            plain--;
            status = reject_raw_write(ledger, cursor, rejects[i]);
        }
    }
    if (status == STATUS_OK && plain > 0) {
        status = rejects_plain_write(ledger, cursor, rejects, count, plain);
    }
    return status < 0 ? postgres_fail(ledger, status, "add rejects to", complaint) : STATUS_OK;
}

/* ---- reads ---- */

static int now_us(struct ledger *base, int64_t *ret_now_us) {
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_NOW_READ, NULL, &result);
    if (status == STATUS_OK) {
        status =
            row_integer((struct postgres_row){result, 0}, 0, TIME_US_MIN, TIME_US_MAX, ret_now_us);
        PQclear(result);
    }
    return status;
}

static int holding_read(struct ledger *base, uint64_t coupon_id, struct slice user_id,
                        struct issue_record *ret_issue) {
    struct postgres_values values = {.count = 0};
    values_integer(&values, (int64_t)coupon_id);
    values_text(&values, user_id);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_HOLDING_READ, &values, &result);
    if (status == STATUS_OK) {
        status = PQntuples(result) == 0
                     ? STATUS_NOT_FOUND
                     : postgres_issue_copy((struct postgres_row){result, 0}, coupon_id, ret_issue);
        PQclear(result);
    }
    return status;
}

static int holdings_read(struct ledger *base, struct slice user_id, uint64_t after_coupon_id,
                         size_t limit, struct issue_record *ret_issues, size_t *ret_count) {
    struct postgres_values values = {.count = 0};
    values_text(&values, user_id);
    values_integer(&values, (int64_t)after_coupon_id);
    values_integer(&values, (int64_t)limit);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_HOLDINGS_READ, &values, &result);
    if (status < 0) {
        return status;
    }
    int count = PQntuples(result);
    assert((size_t)count <= limit);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        struct postgres_row row = {result, i};
        int64_t coupon_id;
        status = row_integer(row, 4, 1, JSON_INTEGER_MAX, &coupon_id);
        if (status == STATUS_OK) {
            status = postgres_issue_copy(row, (uint64_t)coupon_id, &ret_issues[i]);
        }
    }
    PQclear(result);
    if (status == STATUS_OK) {
        *ret_count = (size_t)count;
    }
    return status;
}

const struct ledger_shared_operations postgres_shared_operations = {
    .transact = transact,
    .observe = observe,
    .cursor_lock = cursor_lock,
    .cursor_move = cursor_move,
    .coupons_lock = coupons_lock,
    .coupons_read = coupons_read,
    .holders_read = holders_read,
    .write = write_issues,
    .rejects_write = rejects_write,
    .now_us = now_us,
    .holding_read = holding_read,
    .holdings_read = holdings_read,
};

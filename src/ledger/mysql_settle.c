/* The steps of a settlement in MariaDB and MySQL, their order being settle.c's, and what users
 * hold. For the issuers and the worker, through settle.h. */
#include "ledger/mysql_ledger.h"

#include <stdlib.h>

/* ---- the transaction ---- */

struct change {
    ledger_change change;
    void *context;
};

static int change_run(struct mysql_ledger *ledger, void *context, struct complaint *complaint) {
    const struct change *change = context;
    (void)ledger;
    return change->change(change->context, complaint);
}

static int transact(struct ledger *base, ledger_change change, void *context,
                    struct complaint *complaint) {
    struct change both = {change, context};
    return maria_transact(mysql_of(base), change_run, &both, complaint);
}

static int observe(struct ledger *base, ledger_change change, void *context,
                   struct complaint *complaint) {
    struct mysql_ledger *ledger = mysql_of(base);
    assert(!ledger->in_transaction);
    for (int attempt = 0;; attempt++) {
        int status = maria_connect_again(ledger, complaint);
        if (status < 0) {
            return status;
        }
        status = change(context, complaint);
        if (status == STATUS_OK || !(ledger->lost || ledger->replay) || attempt > 0) {
            return status;
        }
    }
}

/* ---- the cursor ---- */

static int cursor_lock(struct ledger *base, struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct mysql_ledger *ledger = mysql_of(base);
    struct mysql_rows rows;
    int64_t epoch, n;
    int status =
        maria_query(ledger, MARIA_CURSOR_LOCK, VALUES(value_integer(cursor->partition)), &rows);
    if (status < 0) {
        return maria_fail(ledger, status, "lock a partition of", complaint);
    }
    if (!maria_rows_next(&rows)) {
        status = complain(complaint, STATUS_BUSY, "another program settles partition %u",
                          cursor->partition);
    } else if (maria_integer_decode(&rows, 0, 0, INT64_MAX, &epoch) < 0 ||
               maria_integer_decode(&rows, 1, 0, INT64_MAX, &n) < 0) {
        status = complain(complaint, STATUS_DAMAGED, "%s: partition %u is at no place that can be",
                          ledger->name, cursor->partition);
    } else {
        cursor->epoch = (uint64_t)epoch;
        cursor->n = (uint64_t)n;
    }
    maria_rows_done(&rows);
    return status;
}

static int cursor_move(struct ledger *base, const struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct mysql_ledger *ledger = mysql_of(base);
    uint64_t changed = 0;
    int status =
        maria_run(ledger, MARIA_CURSOR_MOVE,
                  VALUES(value_integer(cursor->partition), value_integer((int64_t)cursor->epoch),
                         value_integer((int64_t)cursor->n)),
                  &changed);
    return status < 0 ? maria_fail(ledger, status, "move a cursor in", complaint) : STATUS_OK;
}

/* ---- coupons ---- */

static void ids_append(struct buffer *text, const uint64_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++) {
        buffer_text(text, i > 0 ? "," : "");
        buffer_u64(text, ids[i]);
    }
}

/* Sends what stands in ledger->statement. */
static int statement_query(struct mysql_ledger *ledger, const char *doing,
                           struct mysql_rows *ret_rows, struct complaint *complaint) {
    if (ledger->statement.failed) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a statement");
    }
    int status = maria_query_text(ledger, buffer_view(&ledger->statement), ret_rows);
    return status < 0 ? maria_fail(ledger, status, doing, complaint) : STATUS_OK;
}

int maria_coupons_lock(struct mysql_ledger *ledger, const uint64_t *ids, size_t count,
                       struct complaint *complaint) {
    struct buffer *text = &ledger->statement;
    buffer_clear(text);
    buffer_text(text, "SELECT id FROM coupons WHERE id IN (");
    ids_append(text, ids, count);
    buffer_text(text, ") ORDER BY id FOR UPDATE");
    struct mysql_rows rows;
    int status = statement_query(ledger, "lock coupons in", &rows, complaint);
    if (status == STATUS_OK) {
        maria_rows_done(&rows);
    }
    return status;
}

static int coupons_lock(struct ledger *base, const uint64_t *ids, size_t count,
                        struct complaint *complaint) {
    return maria_coupons_lock(mysql_of(base), ids, count, complaint);
}

/* The coupon that the row is of; they are in the same order. */
static int coupon_decode(const struct mysql_rows *rows, struct settle_coupon *coupons, size_t count,
                         size_t *at) {
    struct settle_coupon coupon = {.known = true};
    int64_t id, issued, paused;
    int damage = 0;
    damage |= maria_integer_decode(rows, 1, 1, JSON_INTEGER_MAX, &id);
    damage |= maria_optional_decode(rows, 2, 0, COUPON_QUANTITY_MAX, COUPON_UNLIMITED,
                                    &coupon.total_quantity);
    damage |= maria_integer_decode(rows, 3, 0, UINT32_MAX, &issued);
    damage |= maria_integer_decode(rows, 4, TIME_US_MIN, TIME_US_MAX, &coupon.issue_start_us);
    damage |= maria_integer_decode(rows, 5, TIME_US_MIN, TIME_US_MAX, &coupon.issue_end_us);
    damage |= maria_integer_decode(rows, 6, 0, 1, &paused);
    damage |= maria_integer_decode(rows, 7, TIME_US_MIN, TIME_US_MAX, &coupon.latest_us);
    if (damage) {
        return STATUS_DAMAGED;
    }
    coupon.id = (uint64_t)id;
    coupon.issued_quantity = (uint32_t)issued;
    coupon.paused = paused == 1;
    while (*at < count && coupons[*at].id != coupon.id) {
        ++*at;
    }
    assert(*at < count);
    coupons[*at] = coupon;
    return STATUS_OK;
}

static void coupons_read_build(struct buffer *text, const struct settle_coupon *coupons,
                               size_t count) {
    buffer_clear(text);
    buffer_text(text, "SELECT " MYSQL_CLOCK_US ", id, total_quantity, issued_quantity,"
                      " date_issue_start, date_issue_end, paused,"
                      " greatest(date_updated, coalesce((SELECT date_issued FROM coupon_issues"
                      " WHERE coupon_id = coupons.id ORDER BY rank_no DESC LIMIT 1),"
                      " date_updated))"
                      " FROM coupons WHERE date_archived IS NULL AND id IN (");
    for (size_t i = 0; i < count; i++) {
        ids_append(text, &coupons[i].id, 1);
        buffer_text(text, i + 1 < count ? "," : ") ORDER BY id");
    }
}

static int coupons_read(struct ledger *base, struct settle_coupon *coupons, size_t count,
                        int64_t *ret_now_us, struct complaint *complaint) {
    struct mysql_ledger *ledger = mysql_of(base);
    struct mysql_rows rows;
    coupons_read_build(&ledger->statement, coupons, count);
    int status = statement_query(ledger, "read coupons of", &rows, complaint);
    if (status < 0) {
        return status;
    }
    size_t at = 0;
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        status = coupon_decode(&rows, coupons, count, &at);
        if (status == STATUS_OK) {
            status = maria_integer_decode(&rows, 0, TIME_US_MIN, TIME_US_MAX, ret_now_us);
        }
    }
    maria_rows_done(&rows);
    return status < 0 ? complain(complaint, status, "%s has a coupon that cannot be", ledger->name)
                      : STATUS_OK;
}

/* ---- holders ---- */

static int holder_decode(const struct mysql_rows *rows, struct issue_row *ret_issue) {
    struct issue_row issue = {.issued_at_us = 0};
    int64_t coupon_id, rank;
    int damage = 0;
    damage |= maria_integer_decode(rows, 0, 1, JSON_INTEGER_MAX, &coupon_id);
    damage |= maria_integer_decode(rows, 1, 1, UINT32_MAX, &rank);
    damage |= maria_text_decode(rows, 2, 1, USER_ID_MAX, &issue.user_id);
    damage |= maria_text_decode(rows, 3, 0, REQUEST_KEY_MAX, &issue.request_key);
    damage |= maria_integer_decode(rows, 4, TIME_US_MIN, TIME_US_MAX, &issue.issued_at_us);
    damage |= maria_text_decode(rows, 5, 0, CLAIM_ID_MAX, &issue.claim_id);
    if (damage) {
        return STATUS_DAMAGED;
    }
    issue.reference = (struct issue_reference){(uint64_t)coupon_id, (uint32_t)rank};
    *ret_issue = issue;
    return STATUS_OK;
}

/* One SELECT for each run of claims of one coupon, in one statement: a list of pairs would not go
 * by the key in every version of the server. */
static void holders_build(struct mysql_ledger *ledger, const struct settle_claim *claims,
                          size_t count) {
    struct buffer *text = &ledger->statement;
    const struct settle_claim *before = NULL;
    buffer_clear(text);
    for (size_t i = 0; i < count; i++) {
        if (claims[i].raw.size > 0) {
            continue;
        }
        if (!before || claims[i].coupon_id != before->coupon_id) {
            buffer_text(text, before ? ") UNION ALL " : "");
            buffer_text(text, "SELECT coupon_id, rank_no, user_id, request_key, date_issued,"
                              " claim_id FROM coupon_issues WHERE coupon_id = ");
            buffer_u64(text, claims[i].coupon_id);
            buffer_text(text, " AND user_id IN (");
        } else {
            buffer_text(text, ",");
        }
        struct mysql_value user = value_bytes(claims[i].user_id);
        maria_value_append(ledger, text, &user);
        before = &claims[i];
    }
    buffer_text(text, ")");
}

/* The claims by coupon, so that each has one run. */
static int by_coupon(const void *a, const void *b) {
    const struct settle_claim *first = a;
    const struct settle_claim *second = b;
    return (first->coupon_id > second->coupon_id) - (first->coupon_id < second->coupon_id);
}

static bool is_of_one_coupon(const struct settle_claim *claims, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (claims[i].coupon_id != claims[0].coupon_id) {
            return false;
        }
    }
    return true;
}

static int holders_query(struct mysql_ledger *ledger, const struct settle_claim *claims,
                         size_t count, struct mysql_rows *ret_rows, struct complaint *complaint) {
    if (is_of_one_coupon(claims, count)) {
        holders_build(ledger, claims, count);
        return statement_query(ledger, "read who holds coupons in", ret_rows, complaint);
    }
    struct settle_claim *ordered = malloc(count * sizeof(*ordered));
    if (!ordered) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for %zu claims", count);
    }
    memcpy(ordered, claims, count * sizeof(*ordered));
    qsort(ordered, count, sizeof(*ordered), by_coupon);
    holders_build(ledger, ordered, count);
    free(ordered);
    return statement_query(ledger, "read who holds coupons in", ret_rows, complaint);
}

static int holders_read(struct ledger *base, const struct settle_claim *claims, size_t count,
                        settle_holder holder, void *context, struct complaint *complaint) {
    struct mysql_ledger *ledger = mysql_of(base);
    struct mysql_rows rows;
    int status = holders_query(ledger, claims, count, &rows, complaint);
    if (status < 0) {
        return status;
    }
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        struct issue_row issue;
        status = holder_decode(&rows, &issue);
        if (status == STATUS_OK) {
            holder(context, &issue);
        }
    }
    maria_rows_done(&rows);
    return status < 0 ? complain(complaint, status, "%s has an issue that cannot be", ledger->name)
                      : STATUS_OK;
}

/* ---- what is written ---- */

static int write_issues(struct ledger *base, const struct issue_row *rows, size_t row_count,
                        const struct issued_count *counts, size_t coupon_count,
                        struct complaint *complaint) {
    return maria_issues_write(mysql_of(base), rows, row_count, counts, coupon_count, complaint);
}

static void reject_append(struct mysql_ledger *ledger, const struct ledger_cursor *cursor,
                          const struct settle_claim *reject) {
    struct buffer *text = &ledger->statement;
    bool is_claim = reject->raw.size == 0;
    struct mysql_value values[] = {
        value_bytes(reject->claim_id),
        is_claim ? value_integer((int64_t)reject->coupon_id)
                 : (struct mysql_value){.kind = VALUE_NULL},
        value_bytes(reject->user_id),
        value_text(slice_of(settle_outcome_name(reject->outcome))),
        value_bytes(reject->raw),
    };
    buffer_format(text, "(%u,%llu,%llu,%u", cursor->partition, (unsigned long long)cursor->epoch,
                  (unsigned long long)reject->n, reject->index);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        buffer_text(text, ",");
        maria_value_append(ledger, text, &values[i]);
    }
    buffer_text(text, ")");
}

static int rejects_write(struct ledger *base, const struct ledger_cursor *cursor,
                         const struct settle_claim *const *rejects, size_t count,
                         struct complaint *complaint) {
    struct mysql_ledger *ledger = mysql_of(base);
    struct buffer *text = &ledger->statement;
    size_t at = 0;
    while (at < count) {
        buffer_clear(text);
        buffer_text(text, "INSERT INTO coupon_rejects (p, epoch, n, idx, claim_id, coupon_id,"
                          " user_id, reason, raw) VALUES ");
        size_t first = at;
        do {
            buffer_text(text, at > first ? "," : "");
            reject_append(ledger, cursor, rejects[at++]);
        } while (at < count &&
                 text->size + 2 * rejects[at]->raw.size + 1024 < ledger->statement_size_max);
        if (text->failed) {
            return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a statement");
        }
        uint64_t changed;
        int status = maria_send(ledger, buffer_view(text), &changed);
        if (status < 0) {
            return maria_fail(ledger, status, "add rejects to", complaint);
        }
    }
    return STATUS_OK;
}

/* ---- reads ---- */

static int now_us(struct ledger *base, int64_t *ret_now_us) {
    struct mysql_rows rows;
    int status = maria_read(mysql_of(base), MARIA_NOW_READ, NULL, 0, &rows);
    if (status < 0) {
        return status;
    }
    status = maria_rows_next(&rows)
                 ? maria_integer_decode(&rows, 0, TIME_US_MIN, TIME_US_MAX, ret_now_us)
                 : STATUS_DAMAGED;
    maria_rows_done(&rows);
    return status;
}

static int holding_read(struct ledger *base, uint64_t coupon_id, struct slice user_id,
                        struct issue_record *ret_issue) {
    struct mysql_rows rows;
    int status = maria_read(mysql_of(base), MARIA_HOLDING_READ,
                            VALUES(value_integer((int64_t)coupon_id), value_bytes(user_id)), &rows);
    if (status < 0) {
        return status;
    }
    status =
        maria_rows_next(&rows) ? maria_issue_copy(&rows, coupon_id, ret_issue) : STATUS_NOT_FOUND;
    maria_rows_done(&rows);
    return status;
}

static int holdings_read(struct ledger *base, struct slice user_id, uint64_t after_coupon_id,
                         size_t limit, struct issue_record *ret_issues, size_t *ret_count) {
    struct mysql_rows rows;
    int status = maria_read(mysql_of(base), MARIA_HOLDINGS_READ,
                            VALUES(value_bytes(user_id), value_integer((int64_t)after_coupon_id),
                                   value_integer((int64_t)limit)),
                            &rows);
    if (status < 0) {
        return status;
    }
    size_t count = 0;
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        int64_t coupon_id;
        assert(count < limit);
        status = maria_integer_decode(&rows, 4, 1, JSON_INTEGER_MAX, &coupon_id);
        if (status == STATUS_OK) {
            status = maria_issue_copy(&rows, (uint64_t)coupon_id, &ret_issues[count++]);
        }
    }
    maria_rows_done(&rows);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

const struct ledger_shared_operations maria_shared_operations = {
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

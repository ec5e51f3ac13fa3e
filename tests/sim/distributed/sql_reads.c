/* The reads of the model's store, each of one statement: see sql_store.h. */
#include "sim/distributed/sql_store.h"

#include "sim/distributed/bugs.h"

/* A read of one statement; the caller copies what it finds at once and then comes back. */
static int read_begin(struct sql_ledger *ledger) {
    for (int attempt = 0;; attempt++) {
        int status = sql_connect(ledger, NULL);
        if (status == STATUS_OK) {
            status = sql_statement(ledger, NULL);
        }
        if (status == STATUS_OK || !ledger->lost || ledger->late || attempt > 0) {
            return status;
        }
    }
}

int sql_cursors_read(struct ledger *base, struct ledger_cursor *ret_cursors) {
    int status = read_begin(sql_ledger_of(base));
    if (status < 0) {
        return status;
    }
    for (unsigned p = 0; p < PARTITION_COUNT; p++) {
        const struct sql_partition *partition = &sql_server()->shown.partitions[p];
        ret_cursors[p] = (struct ledger_cursor){p, partition->epoch, partition->n};
    }
    sql_statement_done();
    return STATUS_OK;
}

int sql_latest_read(struct ledger *base, int64_t *ret_latest_us) {
    int64_t latest = 0;
    int status = read_begin(sql_ledger_of(base));
    for (size_t i = 0; status == STATUS_OK && i < sql_server()->shown.coupon_count; i++) {
        int64_t of_coupon = sql_coupon_latest_us(sql_server()->shown.coupons[i]);
        latest = of_coupon > latest ? of_coupon : latest;
    }
    if (status == STATUS_OK) {
        *ret_latest_us = latest;
    }
    return status;
}

int sql_now_read(struct ledger *base, int64_t *ret_now_us) {
    int status = read_begin(sql_ledger_of(base));
    if (status == STATUS_OK) {
        *ret_now_us = sql_clock_us();
        sql_statement_done();
    }
    return status;
}

int sql_coupon_read(struct ledger *base, uint64_t coupon_id, struct coupon_record *ret_coupon) {
    int status = read_begin(sql_ledger_of(base));
    const struct sql_coupon *coupon = sql_coupon_find(coupon_id);
    if (status < 0 || !coupon) {
        return status < 0 ? status : STATUS_NOT_FOUND;
    }
    *ret_coupon = coupon->record;
    sql_statement_done();
    return STATUS_OK;
}

int sql_coupons_list(struct ledger *base, uint64_t after_id, size_t limit,
                     struct coupon_record *ret_coupons, size_t *ret_count) {
    size_t count = 0;
    int status = read_begin(sql_ledger_of(base));
    for (size_t i = 0; status == STATUS_OK && i < sql_server()->shown.coupon_count; i++) {
        const struct sql_coupon *coupon = sql_server()->shown.coupons[i];
        if (coupon->record.id > after_id && count < limit) {
            ret_coupons[count++] = coupon->record;
        }
    }
    if (status == STATUS_OK) {
        *ret_count = count;
        sql_statement_done();
    }
    return status;
}

static void issue_copy(const struct issue_row *row, struct issue_record *ret_issue) {
    *ret_issue =
        (struct issue_record){.reference = row->reference, .issued_at_us = row->issued_at_us};
    memcpy(ret_issue->user_id, row->user_id.bytes, row->user_id.size);
    memcpy(ret_issue->request_key, row->request_key.bytes, row->request_key.size);
}

int sql_issue_read(struct ledger *base, struct issue_reference reference,
                   struct issue_record *ret_issue) {
    int status = read_begin(sql_ledger_of(base));
    const struct sql_coupon *coupon = sql_coupon_find(reference.coupon_id);
    if (status < 0) {
        return status;
    }
    if (!coupon || reference.rank == 0 || reference.rank > coupon->issue_count) {
        return STATUS_NOT_FOUND;
    }
    issue_copy(&coupon->issues[reference.rank - 1].row, ret_issue);
    sql_statement_done();
    return STATUS_OK;
}

int sql_holding_read(struct ledger *base, uint64_t coupon_id, struct slice user_id,
                     struct issue_record *ret_issue) {
    int status = read_begin(sql_ledger_of(base));
    const struct sql_coupon *coupon = sql_coupon_find(coupon_id);
    const struct sql_issue *issue =
        status == STATUS_OK && coupon ? sql_issue_of(coupon, user_id) : NULL;
    if (!issue) {
        return status < 0 ? status : STATUS_NOT_FOUND;
    }
    issue_copy(&issue->row, ret_issue);
    sql_statement_done();
    return STATUS_OK;
}

int sql_rejects_read(struct ledger *base, const struct reject_place *after, size_t limit,
                     struct reject_record *ret_rejects, size_t *ret_count) {
    size_t count = 0;
    int status = read_begin(sql_ledger_of(base));
    for (size_t i = 0; status == STATUS_OK && i < sql_server()->shown.reject_count; i++) {
        if (count < limit && sql_place_order(&sql_server()->shown.rejects[i].place, after) > 0) {
            ret_rejects[count++] = sql_server()->shown.rejects[i];
        }
    }
    if (status == STATUS_OK) {
        *ret_count = count;
        sql_statement_done();
    }
    return status;
}

int sql_rejects_count(struct ledger *base, uint64_t *ret_count) {
    int status = read_begin(sql_ledger_of(base));
    if (status == STATUS_OK) {
        *ret_count = sql_server()->shown.reject_count;
        sql_statement_done();
    }
    return status;
}

/* ---- within a settlement or a look ---- */

int sql_settle_coupons_read(struct ledger *base, struct settle_coupon *coupons, size_t count,
                            int64_t *ret_now_us, struct complaint *complaint) {
    int status = sql_statement(sql_ledger_of(base), complaint);
    if (status < 0) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        const struct sql_coupon *coupon = sql_coupon_find(coupons[i].id);
        if (coupon && coupon->record.archived_us == 0) {
            const struct coupon_record *record = &coupon->record;
            bool more = bug_is(BUG_QUANTITY_OFF_BY_ONE) && record->total_quantity >= 0;
            coupons[i] = (struct settle_coupon){
                .id = record->id,
                .known = true,
                .paused = record->paused,
                .total_quantity = record->total_quantity + more,
                .issued_quantity = record->issued_quantity,
                .issue_start_us = record->issue_start_us,
                .issue_end_us = record->issue_end_us,
                .latest_us = sql_coupon_latest_us(coupon),
            };
        }
    }
    *ret_now_us = sql_clock_us();
    sql_statement_done();
    return STATUS_OK;
}

int sql_holders_read(struct ledger *base, const struct settle_claim *claims, size_t count,
                     settle_holder holder, void *context, struct complaint *complaint) {
    int status = sql_statement(sql_ledger_of(base), complaint);
    if (status < 0) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        const struct sql_coupon *coupon =
            claims[i].raw.size == 0 ? sql_coupon_find(claims[i].coupon_id) : NULL;
        const struct sql_issue *issue = coupon ? sql_issue_of(coupon, claims[i].user_id) : NULL;
        if (issue) {
            holder(context, &issue->row);
        }
    }
    sql_statement_done();
    return STATUS_OK;
}

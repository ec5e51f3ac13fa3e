/* Tables and what is written into them: see sql_tables.h. */
#include "sim/distributed/sql_tables.h"

#include "sim/distributed/oracle.h"

void *sql_grown(void *array, size_t count, size_t more, size_t *capacity, size_t size) {
    if (count + more <= *capacity) {
        return array;
    }
    while (*capacity < count + more) {
        *capacity = *capacity ? 2 * *capacity : 16;
    }
    void *larger = world_alloc(*capacity * size);
    if (count > 0) {
        memcpy(larger, array, count * size);
    }
    return larger;
}

/* ---- coupons ---- */

static void revision_add(struct sql_coupon *coupon) {
    const struct coupon_record *record = &coupon->record;
    coupon->revisions = sql_grown(coupon->revisions, coupon->revision_count, 1,
                                  &coupon->revision_capacity, sizeof(coupon->revisions[0]));
    coupon->revisions[coupon->revision_count++] = (struct coupon_revision){
        .coupon_id = record->id,
        .version = record->version,
        .changed_us = record->updated_us,
        .total_quantity = record->total_quantity,
        .issue_start_us = record->issue_start_us,
        .issue_end_us = record->issue_end_us,
        .paused = record->paused,
        .archived = record->archived_us != 0,
        .first_rank = record->issued_quantity + 1,
    };
}

void sql_tables_coupon_add(struct sql_tables *tables, const struct coupon_record *record) {
    assert(tables->coupon_count < SQL_COUPONS_MAX);
    struct sql_coupon *coupon = world_alloc(sizeof(*coupon));
    coupon->record = *record;
    revision_add(coupon);
    size_t at = tables->coupon_count++;
    while (at > 0 && tables->coupons[at - 1]->record.id > record->id) {
        tables->coupons[at] = tables->coupons[at - 1];
        at--;
    }
    tables->coupons[at] = coupon;
}

struct sql_coupon *sql_tables_coupon(const struct sql_tables *tables, uint64_t id) {
    for (size_t i = 0; i < tables->coupon_count; i++) {
        if (tables->coupons[i]->record.id == id) {
            return tables->coupons[i];
        }
    }
    return NULL;
}

const struct sql_issue *sql_issue_of(const struct sql_coupon *coupon, struct slice user_id) {
    for (size_t i = 0; i < coupon->issue_count; i++) {
        if (slice_equal(coupon->issues[i].row.user_id, user_id)) {
            return &coupon->issues[i];
        }
    }
    return NULL;
}

int64_t sql_coupon_latest_us(const struct sql_coupon *coupon) {
    int64_t issued_us = coupon->issue_count > 0
                            ? coupon->issues[coupon->issue_count - 1].row.issued_at_us
                            : INT64_MIN;
    return issued_us > coupon->record.updated_us ? issued_us : coupon->record.updated_us;
}

/* ---- writing ---- */

bool sql_writes_nothing(const struct sql_writes *writes) {
    return writes->row_count == 0 && writes->count_count == 0 && writes->reject_count == 0 &&
           !writes->writes_cursor && !writes->raises_epoch && !writes->change && !writes->probes;
}

static void write_issues(struct sql_tables *tables, const struct sql_writes *writes) {
    for (size_t i = 0; i < writes->row_count; i++) {
        const struct issue_row *row = &writes->rows[i];
        struct sql_coupon *coupon = sql_tables_coupon(tables, row->reference.coupon_id);
        coupon->issues = sql_grown(coupon->issues, coupon->issue_count, 1, &coupon->issue_capacity,
                                   sizeof(coupon->issues[0]));
        coupon->issues[coupon->issue_count++] = (struct sql_issue){
            *row, now_us(),
            tables->partitions[partition_of(row->reference.coupon_id)].epoch_since_us};
        if (tables->is_record) {
            oracle_issued(coupon, row);
        }
    }
    for (size_t i = 0; i < writes->count_count; i++) {
        sql_tables_coupon(tables, writes->counts[i].coupon_id)->record.issued_quantity =
            writes->counts[i].issued_quantity;
    }
}

int sql_place_order(const struct reject_place *a, const struct reject_place *b) {
    const uint64_t first[] = {a->partition, a->epoch, a->n, a->index};
    const uint64_t second[] = {b->partition, b->epoch, b->n, b->index};
    for (size_t i = 0; i < COUNT_OF(first); i++) {
        if (first[i] != second[i]) {
            return first[i] < second[i] ? -1 : 1;
        }
    }
    return 0;
}

static void write_rejects(struct sql_tables *tables, const struct sql_writes *writes) {
    for (size_t i = 0; i < writes->reject_count; i++) {
        tables->rejects = sql_grown(tables->rejects, tables->reject_count, 1,
                                    &tables->reject_capacity, sizeof(tables->rejects[0]));
        size_t at = tables->reject_count++;
        while (at > 0 &&
               sql_place_order(&tables->rejects[at - 1].place, &writes->rejects[i].place) > 0) {
            tables->rejects[at] = tables->rejects[at - 1];
            at--;
        }
        tables->rejects[at] = writes->rejects[i];
        if (tables->is_record) {
            oracle_rejected(&writes->rejects[i]);
        }
    }
}

static void write_change(struct sql_tables *tables, const struct coupon_record *change) {
    struct sql_coupon *coupon = sql_tables_coupon(tables, change->id);
    uint32_t issued = coupon->record.issued_quantity;
    int64_t latest_us = sql_coupon_latest_us(coupon);
    int64_t created_us = coupon->record.created_us;
    coupon->record = *change;
    coupon->record.issued_quantity = issued;
    coupon->record.created_us = created_us;
    coupon->record.updated_us = change->updated_us > latest_us ? change->updated_us : latest_us;
    revision_add(coupon);
    if (tables->is_record) {
        oracle_changed(coupon);
    }
}

static void write_cursor(struct sql_tables *tables, const struct sql_writes *writes) {
    struct sql_partition *partition = &tables->partitions[writes->cursor.partition];
    struct ledger_cursor before = {writes->cursor.partition, partition->epoch, partition->n};
    if (writes->raises_epoch) {
        partition->epoch_since_us = partition->epoch > 0 ? now_us() : 0;
        partition->epoch = writes->cursor.epoch;
        partition->n = 0;
    } else {
        partition->n = writes->cursor.n;
    }
    if (tables->is_record && writes->raises_epoch) {
        oracle_epoch_raised(&before, writes->change != NULL);
    } else if (tables->is_record) {
        oracle_cursor_moved(&before, &writes->cursor);
    }
}

void sql_tables_write(struct sql_tables *tables, const struct sql_writes *writes) {
    write_issues(tables, writes);
    write_rejects(tables, writes);
    if (writes->writes_cursor || writes->raises_epoch) {
        write_cursor(tables, writes);
    }
    if (writes->change) {
        write_change(tables, writes->change);
    }
}

/* Rows and revisions are only ever added, in one order: what is in the record is a beginning of
 * what is shown. Rejects are sorted. */
void sql_tables_take_back(struct sql_tables *shown, const struct sql_tables *record) {
    assert(shown->coupon_count == record->coupon_count);
    for (size_t i = 0; i < record->coupon_count; i++) {
        struct sql_coupon *coupon = shown->coupons[i];
        const struct sql_coupon *kept = record->coupons[i];
        assert(!coupon->locked_by && kept->issue_count <= coupon->issue_count);
        coupon->record = kept->record;
        coupon->issue_count = kept->issue_count;
        coupon->revision_count = kept->revision_count;
    }
    memcpy(shown->partitions, record->partitions, sizeof(shown->partitions));
    shown->reject_count = record->reject_count;
    if (record->reject_count > 0) {
        memcpy(shown->rejects, record->rejects, record->reject_count * sizeof(shown->rejects[0]));
    }
}

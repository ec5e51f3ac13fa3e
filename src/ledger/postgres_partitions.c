/* Cursors, epochs and rejects in PostgreSQL. For ledger.h; the steps of a settlement, which moves
 * the cursors, are in postgres_settle.c. */
#include "ledger/postgres_ledger.h"

static struct postgres_row row_of(const PGresult *result, int number) {
    return (struct postgres_row){result, number};
}

static int cursor_decode(struct postgres_row row, struct ledger_cursor *ret_cursor) {
    int64_t partition, epoch, n;
    if (row_integer(row, 0, 0, PARTITION_COUNT - 1, &partition) < 0 ||
        row_integer(row, 1, 0, INT64_MAX, &epoch) < 0 ||
        row_integer(row, 2, 0, INT64_MAX, &n) < 0) {
        return STATUS_DAMAGED;
    }
    *ret_cursor = (struct ledger_cursor){(unsigned)partition, (uint64_t)epoch, (uint64_t)n};
    return STATUS_OK;
}

static int cursors_read(struct ledger *base, struct ledger_cursor *ret_cursors) {
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_CURSORS_READ, NULL, &result);
    if (status < 0) {
        return status;
    }
    status = PQntuples(result) == PARTITION_COUNT ? STATUS_OK : STATUS_DAMAGED;
    for (int i = 0; status == STATUS_OK && i < PARTITION_COUNT; i++) {
        status = cursor_decode(row_of(result, i), &ret_cursors[i]);
    }
    PQclear(result);
    return status;
}

/* ---- epochs ---- */

static int epoch_write(struct postgres_ledger *ledger, void *context, struct complaint *complaint) {
    struct ledger_cursor *cursor = context;
    struct postgres_values values = {.count = 0};
    uint64_t changed = 0;
    values_integer(&values, cursor->partition);
    values_integer(&values, (int64_t)cursor->epoch);
    int status = postgres_run_change(ledger, PG_EPOCH_RAISE, &values, &changed);
    if (status < 0) {
        return postgres_fail(ledger, status, "begin an epoch in", complaint);
    }
    if (changed == 1) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_CONFLICT, "partition %u is not at epoch %llu any more",
                    cursor->partition, (unsigned long long)cursor->epoch);
}

static int epoch_raise(struct ledger *base, struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    struct ledger_cursor all[PARTITION_COUNT];
    int status = postgres_transact(postgres_of(base), epoch_write, cursor, complaint);
    if (status == STATUS_OK) {
        cursor->epoch++;
        cursor->n = 0;
    } else if (status == STATUS_CONFLICT && cursors_read(base, all) == STATUS_OK) {
        *cursor = all[cursor->partition];
    }
    return status;
}

/* ---- rejects ---- */

static void place_values(struct postgres_values *values, const struct reject_place *place) {
    values_integer(values, place->partition);
    values_integer(values, (int64_t)place->epoch);
    values_integer(values, (int64_t)place->n);
    values_integer(values, place->index);
}

static int reject_decode(struct postgres_row row, struct reject_record *ret_reject) {
    struct reject_record reject = {.coupon_id = 0};
    int64_t partition, epoch, n, at, coupon_id, raw_size;
    int damage = 0;
    damage |= row_integer(row, 0, 0, PARTITION_COUNT - 1, &partition);
    damage |= row_integer(row, 1, 0, INT64_MAX, &epoch);
    damage |= row_integer(row, 2, 1, INT64_MAX, &n);
    damage |= row_integer(row, 3, 0, UINT32_MAX, &at);
    damage |= row_text_copy(row, 4, CLAIM_ID_MAX, reject.claim_id);
    damage |= row_optional(row, 5, 0, JSON_INTEGER_MAX, 0, &coupon_id);
    damage |= row_text_copy(row, 6, USER_ID_MAX, reject.user_id);
    damage |= row_text_copy(row, 7, REJECT_REASON_MAX, reject.reason);
    damage |= row_optional(row, 8, 0, INT64_MAX, 0, &raw_size);
    if (damage) {
        return STATUS_DAMAGED;
    }
    reject.place =
        (struct reject_place){(unsigned)partition, (uint64_t)epoch, (uint64_t)n, (uint32_t)at};
    reject.coupon_id = (uint64_t)coupon_id;
    reject.raw_size = (size_t)raw_size;
    *ret_reject = reject;
    return STATUS_OK;
}

static int rejects_read(struct ledger *base, const struct reject_place *after, size_t limit,
                        struct reject_record *ret_rejects, size_t *ret_count) {
    struct postgres_values values = {.count = 0};
    place_values(&values, after);
    values_integer(&values, (int64_t)limit);
    PGresult *result;
    int status = postgres_read(postgres_of(base), PG_REJECTS_READ, &values, &result);
    if (status < 0) {
        return status;
    }
    int count = PQntuples(result);
    assert((size_t)count <= limit);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        status = reject_decode(row_of(result, i), &ret_rejects[i]);
    }
    PQclear(result);
    if (status == STATUS_OK) {
        *ret_count = (size_t)count;
    }
    return status;
}

static int rejects_count(struct ledger *base, uint64_t *ret_count) {
    PGresult *result;
    int64_t count = 0;
    int status = postgres_read(postgres_of(base), PG_REJECTS_COUNT, NULL, &result);
    if (status == STATUS_OK) {
        status = row_integer(row_of(result, 0), 0, 0, INT64_MAX, &count);
        PQclear(result);
    }
    if (status == STATUS_OK) {
        *ret_count = (uint64_t)count;
    }
    return status;
}

static int reject_delete(struct postgres_ledger *ledger, void *context,
                         struct complaint *complaint) {
    struct postgres_values values = {.count = 0};
    uint64_t changed = 0;
    place_values(&values, context);
    int status = postgres_run_change(ledger, PG_REJECT_DELETE, &values, &changed);
    if (status < 0) {
        return postgres_fail(ledger, status, "drop a reject from", complaint);
    }
    return changed == 1 ? STATUS_OK
                        : complain(complaint, STATUS_NOT_FOUND, "there is no such reject");
}

static int reject_drop(struct ledger *base, const struct reject_place *place,
                       struct complaint *complaint) {
    struct reject_place copy = *place;
    return postgres_transact(postgres_of(base), reject_delete, &copy, complaint);
}

const struct ledger_partition_operations postgres_partition_operations = {
    .cursors_read = cursors_read,
    .epoch_raise = epoch_raise,
    .rejects_read = rejects_read,
    .rejects_count = rejects_count,
    .reject_drop = reject_drop,
};

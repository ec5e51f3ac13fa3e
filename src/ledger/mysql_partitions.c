/* Cursors, epochs and rejects in MariaDB and MySQL. For ledger.h; the steps of a settlement, which
 * moves the cursors, are in mysql_settle.c. */
#include "ledger/mysql_ledger.h"

static int cursor_decode(const struct mysql_rows *rows, struct ledger_cursor *ret_cursor) {
    int64_t partition, epoch, n;
    if (maria_integer_decode(rows, 0, 0, PARTITION_COUNT - 1, &partition) < 0 ||
        maria_integer_decode(rows, 1, 0, INT64_MAX, &epoch) < 0 ||
        maria_integer_decode(rows, 2, 0, INT64_MAX, &n) < 0) {
        return STATUS_DAMAGED;
    }
    *ret_cursor = (struct ledger_cursor){(unsigned)partition, (uint64_t)epoch, (uint64_t)n};
    return STATUS_OK;
}

static int cursors_read(struct ledger *base, struct ledger_cursor *ret_cursors) {
    struct mysql_rows rows;
    int status = maria_read(mysql_of(base), MARIA_CURSORS_READ, NULL, 0, &rows);
    if (status < 0) {
        return status;
    }
    for (int i = 0; status == STATUS_OK && i < PARTITION_COUNT; i++) {
        status = maria_rows_next(&rows) ? cursor_decode(&rows, &ret_cursors[i]) : STATUS_DAMAGED;
    }
    maria_rows_done(&rows);
    return status;
}

/* ---- epochs ---- */

static int epoch_write(struct mysql_ledger *ledger, void *context, struct complaint *complaint) {
    struct ledger_cursor *cursor = context;
    uint64_t changed = 0;
    int status = maria_run(
        ledger, MARIA_EPOCH_RAISE,
        VALUES(value_integer(cursor->partition), value_integer((int64_t)cursor->epoch)), &changed);
    if (status < 0) {
        return maria_fail(ledger, status, "begin an epoch in", complaint);
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
    int status = maria_transact(mysql_of(base), epoch_write, cursor, complaint);
    if (status == STATUS_OK) {
        cursor->epoch++;
        cursor->n = 0;
    } else if (status == STATUS_CONFLICT && cursors_read(base, all) == STATUS_OK) {
        *cursor = all[cursor->partition];
    }
    return status;
}

/* ---- rejects ---- */

#define PLACE_VALUES(place)                                                                        \
    value_integer((place)->partition), value_integer((int64_t)(place)->epoch),                     \
        value_integer((int64_t)(place)->n), value_integer((place)->index)

static int reject_decode(const struct mysql_rows *rows, struct reject_record *ret_reject) {
    struct reject_record reject = {.coupon_id = 0};
    int64_t partition, epoch, n, at, coupon_id, raw_size;
    int damage = 0;
    damage |= maria_integer_decode(rows, 0, 0, PARTITION_COUNT - 1, &partition);
    damage |= maria_integer_decode(rows, 1, 0, INT64_MAX, &epoch);
    damage |= maria_integer_decode(rows, 2, 1, INT64_MAX, &n);
    damage |= maria_integer_decode(rows, 3, 0, UINT32_MAX, &at);
    damage |= maria_text_copy(rows, 4, CLAIM_ID_MAX, reject.claim_id);
    damage |= maria_optional_decode(rows, 5, 0, JSON_INTEGER_MAX, 0, &coupon_id);
    damage |= maria_text_copy(rows, 6, USER_ID_MAX, reject.user_id);
    damage |= maria_text_copy(rows, 7, REJECT_REASON_MAX, reject.reason);
    damage |= maria_optional_decode(rows, 8, 0, INT64_MAX, 0, &raw_size);
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
    struct mysql_rows rows;
    int status = maria_read(mysql_of(base), MARIA_REJECTS_READ,
                            VALUES(PLACE_VALUES(after), value_integer((int64_t)limit)), &rows);
    if (status < 0) {
        return status;
    }
    size_t count = 0;
    while (status == STATUS_OK && maria_rows_next(&rows)) {
        assert(count < limit);
        status = reject_decode(&rows, &ret_rejects[count++]);
    }
    maria_rows_done(&rows);
    if (status == STATUS_OK) {
        *ret_count = count;
    }
    return status;
}

static int rejects_count(struct ledger *base, uint64_t *ret_count) {
    struct mysql_rows rows;
    int64_t count = 0;
    int status = maria_read(mysql_of(base), MARIA_REJECTS_COUNT, NULL, 0, &rows);
    if (status < 0) {
        return status;
    }
    status = maria_rows_next(&rows) ? maria_integer_decode(&rows, 0, 0, INT64_MAX, &count)
                                    : STATUS_DAMAGED;
    maria_rows_done(&rows);
    if (status == STATUS_OK) {
        *ret_count = (uint64_t)count;
    }
    return status;
}

static int reject_delete(struct mysql_ledger *ledger, void *context, struct complaint *complaint) {
    const struct reject_place *place = context;
    uint64_t changed = 0;
    int status = maria_run(ledger, MARIA_REJECT_DELETE, VALUES(PLACE_VALUES(place)), &changed);
    if (status < 0) {
        return maria_fail(ledger, status, "drop a reject from", complaint);
    }
    return changed == 1 ? STATUS_OK
                        : complain(complaint, STATUS_NOT_FOUND, "there is no such reject");
}

static int reject_drop(struct ledger *base, const struct reject_place *place,
                       struct complaint *complaint) {
    struct reject_place copy = *place;
    return maria_transact(mysql_of(base), reject_delete, &copy, complaint);
}

const struct ledger_partition_operations maria_partition_operations = {
    .cursors_read = cursors_read,
    .epoch_raise = epoch_raise,
    .rejects_read = rejects_read,
    .rejects_count = rejects_count,
    .reject_drop = reject_drop,
};

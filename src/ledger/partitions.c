/* The calls of partitions.h, handed to the store. */
#include "ledger/ledger.h"

int ledger_cursors_read(struct ledger *ledger,
                        struct ledger_cursor ret_cursors[static PARTITION_COUNT]) {
    assert(ledger->partitions);
    return ledger->partitions->cursors_read(ledger, ret_cursors);
}

int ledger_epoch_raise(struct ledger *ledger, struct ledger_cursor *cursor,
                       struct complaint *complaint) {
    assert(ledger->partitions);
    assert(cursor->partition < PARTITION_COUNT);
    return ledger->partitions->epoch_raise(ledger, cursor, complaint);
}

int ledger_rejects_read(struct ledger *ledger, const struct reject_place *after, size_t limit,
                        struct reject_record *ret_rejects, size_t *ret_count) {
    assert(ledger->partitions);
    assert(limit >= 1 && limit <= LEDGER_SLICE_MAX);
    return ledger->partitions->rejects_read(ledger, after, limit, ret_rejects, ret_count);
}

int ledger_reject_read(struct ledger *ledger, const struct reject_place *place,
                       struct reject_record *ret_reject) {
    struct reject_record reject;
    struct reject_place before = *place;
    size_t count = 0;
    before.n -= place->index == 0;
    before.index = place->index == 0 ? UINT32_MAX : place->index - 1;
    int status = ledger_rejects_read(ledger, &before, 1, &reject, &count);
    if (status) {
        return status;
    }
    if (count == 0 || reject.place.partition != place->partition ||
        reject.place.epoch != place->epoch || reject.place.n != place->n ||
        reject.place.index != place->index) {
        return STATUS_NOT_FOUND;
    }
    *ret_reject = reject;
    return STATUS_OK;
}

int ledger_rejects_count(struct ledger *ledger, uint64_t *ret_count) {
    assert(ledger->partitions);
    return ledger->partitions->rejects_count(ledger, ret_count);
}

int ledger_reject_drop(struct ledger *ledger, const struct reject_place *place,
                       struct complaint *complaint) {
    assert(ledger->partitions);
    return ledger->partitions->reject_drop(ledger, place, complaint);
}

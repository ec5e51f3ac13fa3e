/* What the queues of the distributed protocol leave in a shared ledger: how far each partition is
 * settled, in which epoch, and the claims that were admitted and then refused. A part of ledger.h,
 * which includes it; settle.h moves the cursors. For the redis issuer, the worker, verify. */
#ifndef COUPON_LEDGER_PARTITIONS_H
#define COUPON_LEDGER_PARTITIONS_H

#include "ledger/settle.h"

#define REJECT_REASON_MAX 64
#define REJECT_RAW_MAX    4096 /* bytes that a read tells; the ledger keeps them all */

static inline unsigned partition_of(uint64_t coupon_id) {
    return (unsigned)(coupon_id % PARTITION_COUNT);
}

/* Names one reject. */
struct reject_place {
    unsigned partition;
    uint64_t epoch;
    uint64_t n;
    uint32_t index;
};

/* A row of `coupon_rejects`. Texts are terminated. */
struct reject_record {
    struct reject_place place;
    char claim_id[CLAIM_ID_MAX + 1]; /* "" for what was no claim, as is the next but one */
    uint64_t coupon_id;              /* 0 for what was no claim */
    char user_id[USER_ID_MAX + 1];
    char reason[REJECT_REASON_MAX + 1]; /* as settle_outcome_name */
    size_t raw_size;                    /* 0: it was a claim */
};

/* Where all partitions stand, by number, without waiting for those who settle. */
int MUST_CHECK ledger_cursors_read(struct ledger *ledger,
                                   struct ledger_cursor ret_cursors[static PARTITION_COUNT]);

/* Begins the partition's next epoch, at entry 0: from now on nothing of an earlier one can be
 * settled (the fence of a rebuild). *cursor is what it is believed to be, and becomes what it is.
 * STATUS_CONFLICT: it was at another epoch, which *cursor tells; nothing was written. A change of
 * a coupon (ledger_coupon_change) begins one too, in its own transaction. */
int MUST_CHECK ledger_epoch_raise(struct ledger *ledger, struct ledger_cursor *cursor,
                                  struct complaint *complaint);

/* Up to `limit` (<= LEDGER_SLICE_MAX) rejects behind `after`, of all partitions, in the order of
 * their places. */
int MUST_CHECK ledger_rejects_read(struct ledger *ledger, const struct reject_place *after,
                                   size_t limit, struct reject_record *ret_rejects,
                                   size_t *ret_count);
/* One. STATUS_NOT_FOUND. */
int MUST_CHECK ledger_reject_read(struct ledger *ledger, const struct reject_place *place,
                                  struct reject_record *ret_reject);
/* How many there are. */
int MUST_CHECK ledger_rejects_count(struct ledger *ledger, uint64_t *ret_count);
/* Forgets one. STATUS_NOT_FOUND. */
int MUST_CHECK ledger_reject_drop(struct ledger *ledger, const struct reject_place *place,
                                  struct complaint *complaint);

/* How a store joins: one function for each call above, same meaning; one reject is read by the
 * reading of many. */
struct ledger_partition_operations {
    int (*cursors_read)(struct ledger *, struct ledger_cursor *);
    int (*epoch_raise)(struct ledger *, struct ledger_cursor *, struct complaint *);
    int (*rejects_read)(struct ledger *, const struct reject_place *, size_t,
                        struct reject_record *, size_t *);
    int (*rejects_count)(struct ledger *, uint64_t *);
    int (*reject_drop)(struct ledger *, const struct reject_place *, struct complaint *);
};

#endif

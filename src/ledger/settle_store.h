/* What a SQL store does for a settlement, between the begin and the commit of its transaction:
 * the steps differ in their SQL only, their order is settle.c's. A part of store.h. */
#ifndef COUPON_LEDGER_SETTLE_STORE_H
#define COUPON_LEDGER_SETTLE_STORE_H

#include "ledger/settle.h"

/* A coupon as a settlement judges by it. */
struct settle_coupon {
    uint64_t id; /* given; the rest is found */
    bool known;  /* there is one, and it is not archived */
    bool paused;
    int64_t total_quantity;
    uint32_t issued_quantity;
    int64_t issue_start_us;
    int64_t issue_end_us;
    int64_t latest_us; /* of its last issue or change */
};

/* Told of an issue that one of the asked users holds. */
typedef void (*settle_holder)(void *context, const struct issue_row *issue);

typedef int (*ledger_change)(void *context, struct complaint *complaint);

struct ledger_shared_operations {
    /* One transaction around the change, which may be called again after a rollback. */
    int (*transact)(struct ledger *, ledger_change, void *context, struct complaint *);
    /* Connects, for reads of one statement each, without a transaction; once more when the
     * connection turns out to be lost. */
    int (*observe)(struct ledger *, ledger_change, void *context, struct complaint *);
    /* Locks the partition's row and reads it; STATUS_BUSY: another session has it. */
    int (*cursor_lock)(struct ledger *, struct ledger_cursor *, struct complaint *);
    int (*cursor_move)(struct ledger *, const struct ledger_cursor *, struct complaint *);
    /* In the order of their ids, until the transaction ends. */
    int (*coupons_lock)(struct ledger *, const uint64_t *ids, size_t count, struct complaint *);
    /* Fills the coupons, which are in the order of their ids, and tells the server's time. */
    int (*coupons_read)(struct ledger *, struct settle_coupon *coupons, size_t count,
                        int64_t *ret_now_us, struct complaint *);
    /* Tells who of the claims' users holds what of the claims' coupons. */
    int (*holders_read)(struct ledger *, const struct settle_claim *claims, size_t count,
                        settle_holder holder, void *context, struct complaint *);
    /* As for append. */
    int (*write)(struct ledger *, const struct issue_row *rows, size_t row_count,
                 const struct issued_count *counts, size_t coupon_count, struct complaint *);
    int (*rejects_write)(struct ledger *, const struct ledger_cursor *,
                         const struct settle_claim *const *rejects, size_t count,
                         struct complaint *);
    int (*now_us)(struct ledger *, int64_t *);
    int (*holding_read)(struct ledger *, uint64_t, struct slice, struct issue_record *);
    int (*holdings_read)(struct ledger *, struct slice, uint64_t, size_t, struct issue_record *,
                         size_t *);
};

#endif

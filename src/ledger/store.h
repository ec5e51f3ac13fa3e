/* The table of operations by which a store joins the ledger. A part of ledger.h, which includes
 * it; for the stores, and for tests that stand in for one. */
#ifndef COUPON_LEDGER_STORE_H
#define COUPON_LEDGER_STORE_H

/* How a store joins: one function for each call above, same meaning. */
struct ledger_operations {
    int (*close)(struct ledger *, struct complaint *);
    int (*latest_us)(struct ledger *, int64_t *);
    int (*append)(struct ledger *, const struct issue_row *, size_t, const struct issued_count *,
                  size_t, struct complaint *);
    int (*import)(struct ledger *, const struct coupon_import *, const struct slice *,
                  struct complaint *);
    int (*coupon_create)(struct ledger *, struct coupon_record *, const struct creation_key *,
                         const struct audit *, struct complaint *);
    int (*creation_read)(struct ledger *, const struct creation_key *, uint64_t *);
    int (*coupon_change)(struct ledger *, const struct coupon_record *, const struct audit *,
                         struct complaint *);
    int (*coupon_read)(struct ledger *, uint64_t, struct coupon_record *);
    int (*coupons_read)(struct ledger *, uint64_t, size_t, struct coupon_record *, size_t *);
    int (*issue_read)(struct ledger *, struct issue_reference, struct issue_record *);
    int (*issues_read)(struct ledger *, struct issue_reference, size_t, struct issue_record *,
                       size_t *);
    int (*audits_read)(struct ledger *, uint64_t, size_t, struct audit_record *, size_t *);
    int (*visit)(struct ledger *, const struct ledger_visitor *, struct complaint *);
    int (*probe)(struct ledger *, struct complaint *);
    int (*tend)(struct ledger *, bool, struct complaint *);
    int (*check)(struct ledger *, struct complaint *);
};

/* The first member of every store's own struct. */
struct ledger {
    const struct ledger_operations *operations;
};

#endif

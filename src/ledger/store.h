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

#include "ledger/settle_store.h" /* … and what a SQL store does besides */

/* The first member of every store's own struct. */
struct ledger {
    const struct ledger_operations *operations;
    const struct ledger_shared_operations *shared;        /* NULL: one program has it alone … */
    const struct ledger_partition_operations *partitions; /* … and so is this */
    uint64_t sessions;   /* of a SQL store: how often it has connected */
    bool shows_unsynced; /* … and whether others' rows may be read before they are durable, and
                            this one may write: see ledger_barrier */
};

/* Whether every row can be in a ledger: ids, ranks, dates and the sizes of the texts. The stores
 * ask before they write, as their tables have few or no CHECKs on issues. STATUS_CONFLICT. */
int MUST_CHECK ledger_rows_check(const struct issue_row *issues, size_t count,
                                 struct complaint *complaint);

/* Rows `at` … `at` + count - 1 of the import, counted from 0; they share the users' bytes. */
void ledger_import_rows(const struct coupon_import *import, const struct slice *users, size_t at,
                        size_t count, struct issue_row *ret_rows);
/* How many rows of an import the stores make at a time: as many as of a large batch of claims. */
#define LEDGER_IMPORT_ROWS 2048

#endif

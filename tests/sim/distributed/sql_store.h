/* What the files of the model's store share: sql_store.c has the way to the server, transactions
 * and what is written in them, sql_reads.c the reads. Not for anyone else. */
#ifndef SIM_DISTRIBUTED_SQL_STORE_H
#define SIM_DISTRIBUTED_SQL_STORE_H

#include "sim/distributed/sql_server.h"

struct sql_ledger {
    struct ledger ledger; /* first */
    struct process *process;
    struct ledger_sql_options options;
    struct sql_session *session; /* NULL: not connected */
    struct sql_session *left;    /* was lost with a transaction open */
    int64_t retry_pause_us;
    int64_t retry_at_us;
    bool lost;
    bool late;
    bool replay;
    const struct ledger_cursor *wanted; /* by the settlement that is running */
};

static inline struct sql_ledger *sql_ledger_of(struct ledger *base) {
    return (struct sql_ledger *)base;
}

/* Connects, where that is needed. STATUS_IO. */
int MUST_CHECK sql_connect(struct sql_ledger *ledger, struct complaint *complaint);
/* Until the server does the statement. STATUS_IO: the session is lost. */
int MUST_CHECK sql_statement(struct sql_ledger *ledger, struct complaint *complaint);
/* The way back. */
void sql_statement_done(void);

/* ---- sql_reads.c ---- */

int sql_cursors_read(struct ledger *base, struct ledger_cursor *ret_cursors);
int sql_latest_read(struct ledger *base, int64_t *ret_latest_us);
int sql_now_read(struct ledger *base, int64_t *ret_now_us);
int sql_coupon_read(struct ledger *base, uint64_t coupon_id, struct coupon_record *ret_coupon);
int sql_coupons_list(struct ledger *base, uint64_t after_id, size_t limit,
                     struct coupon_record *ret_coupons, size_t *ret_count);
int sql_issue_read(struct ledger *base, struct issue_reference reference,
                   struct issue_record *ret_issue);
int sql_holding_read(struct ledger *base, uint64_t coupon_id, struct slice user_id,
                     struct issue_record *ret_issue);
int sql_rejects_read(struct ledger *base, const struct reject_place *after, size_t limit,
                     struct reject_record *ret_rejects, size_t *ret_count);
int sql_rejects_count(struct ledger *base, uint64_t *ret_count);
int sql_settle_coupons_read(struct ledger *base, struct settle_coupon *coupons, size_t count,
                            int64_t *ret_now_us, struct complaint *complaint);
int sql_holders_read(struct ledger *base, const struct settle_claim *claims, size_t count,
                     settle_holder holder, void *context, struct complaint *complaint);

#endif

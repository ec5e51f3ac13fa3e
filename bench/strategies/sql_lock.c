/* sql-lock: the same as race, in one transaction that begins by locking the coupon's row.
 *
 *   START TRANSACTION; SELECT the coupon's row FOR UPDATE; SELECT the user's issue
 *   the program compares
 *   INSERT the issue; UPDATE issued = issued + 1; COMMIT
 *
 * Costs: 6 round trips, 1 commit, all of it one claim after the other: while one waits for its
 * commit to reach the disk nobody else of that coupon does anything, and a refusal queues as well.
 * Breaks: not in what it decides. Only the lock keeps a user from a second issue, no key does; and
 * under a crowd every thread of the pool waits for the one row, so that all else waits too. */
#include "strategy.h"

#include <inttypes.h>

/* Within the transaction. */
static int issue_locked(struct desk *desk, struct claim *claim) {
    struct coupon coupon;
    bool holds_one = false;
    int status = coupon_read(desk, claim->coupon_id, "FOR UPDATE", &coupon);
    if (status == STATUS_OK) {
        status = issue_exists(desk, claim, &holds_one);
    }
    if (status || !judge_all(&coupon, holds_one, claim)) {
        return status;
    }
    judged_issued(claim, coupon.issued + 1);
    status = issue_insert(desk, claim);
    if (status == STATUS_OK) {
        status =
            sql_run(desk, "UPDATE strategy_coupons SET issued = issued + 1 WHERE id = %" PRIu64,
                    claim->coupon_id);
    }
    return status;
}

static int sql_lock_claim(struct desk *desk, struct claim *claim) {
    int status = sql_run(desk, "START TRANSACTION");
    if (status == STATUS_OK) {
        status = issue_locked(desk, claim);
    }
    if (!desk->sql) {
        return status; /* the connection went, and the transaction with it */
    }
    int ended = sql_run(desk, status ? "ROLLBACK" : "COMMIT");
    return status ? status : ended;
}

const struct strategy strategy_sql_lock = {
    .name = "sql-lock",
    .summary = "the same in a transaction, SELECT ... FOR UPDATE first",
    .claim = sql_lock_claim,
};

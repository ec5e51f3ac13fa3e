/* set-lock: set as it is, within the lock of redis-lock. About 1,000 requests a second in the
 * original.
 *
 *   take the lock; what set does; delete the lock
 *
 * Costs: 6 round trips and O(1) each, as many tries as it takes to get the lock, one claim after
 * the other. A refusal waits for the lock like a success.
 * Breaks: as redis-lock does, when the lock expires under its holder; and success is told before
 * MariaDB has the row: what Redis loses was promised. */
#include "strategy.h"

static int set_lock_claim(struct desk *desk, struct claim *claim) {
    return redis_lock_around(desk, claim, set_claim);
}

const struct strategy strategy_set_lock = {
    .name = "set-lock",
    .summary = "the same within a lock in Redis (SET NX PX)",
    .uses_redis = true,
    .queues = true,
    .claim = set_lock_claim,
};

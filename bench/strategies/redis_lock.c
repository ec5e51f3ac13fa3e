/* redis-lock: race as it is, while a lock in Redis keeps all others out, as Redisson's lock does
 * for any number of servers.
 *
 *   SET lock token NX PX 10000, again after a short random pause while somebody else has it
 *   what race does
 *   delete the lock if the token is still ours (a script, so that nothing comes between)
 *
 * Costs: 6 round trips when nobody waits, and as many tries as it takes when somebody does; one
 * claim after the other, each with its 2 commits. Who waits longest is not served first.
 * Breaks: a holder that is held up for longer than ten seconds (a slow disk, a paused machine)
 * loses the lock, does not know, and writes beside the next one. So does everybody when Redis
 * fails over to a replica that has not heard of the lock. */
#include "strategy.h"

#include <sodium.h>
#include <time.h>

static const int64_t WAIT_US = 10 * US_PER_SECOND;
enum { PAUSE_MIN_US = 1000, PAUSE_MAX_US = 10000 };

static const char RELEASE[] = "if redis.call('GET', KEYS[1]) == ARGV[1] then "
                              "return redis.call('DEL', KEYS[1]) end "
                              "return 0";

static void pause_randomly(void) {
    uint32_t pause_us = PAUSE_MIN_US + randombytes_uniform(PAUSE_MAX_US - PAUSE_MIN_US);
    struct timespec pause = {.tv_nsec = (long)pause_us * 1000};
    nanosleep(&pause, NULL);
}

static int lock(struct desk *desk, unsigned long long coupon_id, unsigned long long token) {
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    for (;;) {
        int64_t taken;
        int status = redis_number(desk, &taken, "SET lock:%llu %llx NX PX 10000", coupon_id, token);
        if (status != STATUS_CONFLICT) { /* nil: somebody has it */
            return status;
        }
        if (clock_monotonic_us() >= until_us) {
            return complain(&desk->why, STATUS_BUSY, "the lock could not be had for 10 s");
        }
        pause_randomly();
    }
}

int redis_lock_around(struct desk *desk, struct claim *claim,
                      int (*claim_within)(struct desk *, struct claim *)) {
    unsigned long long coupon_id = claim->coupon_id;
    unsigned long long token;
    randombytes_buf(&token, sizeof(token));
    int status = lock(desk, coupon_id, token);
    if (status) {
        return status;
    }
    status = claim_within(desk, claim);
    int64_t released;
    int ended =
        redis_number(desk, &released, "EVAL %s 1 lock:%llu %llx", RELEASE, coupon_id, token);
    (void)ended; /* it expires by itself; what was decided stands */
    return status;
}

static int redis_lock_claim(struct desk *desk, struct claim *claim) {
    return redis_lock_around(desk, claim, race_claim);
}

const struct strategy strategy_redis_lock = {
    .name = "redis-lock",
    .summary = "race within a lock in Redis (SET NX PX)",
    .uses_redis = true,
    .claim = redis_lock_claim,
};

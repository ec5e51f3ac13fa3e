/* set: who holds one is in a set of Redis, whose size is how many there are. About 7,000 requests
 * a second in the original, and unsafe.
 *
 *   the coupon, from a cache: does it exist, is it its time
 *   SISMEMBER: does the user hold one
 *   SCARD: is the size below the total
 *   SADD the user; RPUSH an entry onto the queue; a worker writes the row
 *
 * Costs: 4 round trips (2 for sold out, 1 for already issued), each O(1).
 * Breaks: the calls of others come between. Between SCARD and SADD, and more than the total is
 * issued; between SISMEMBER and SADD, and a user who clicks twice has two entries in the queue,
 * though the set has them once. A program that ends between SADD and RPUSH leaves a user who holds
 * one for ever and never gets a row. And success is told before MariaDB has the row: what Redis
 * loses was promised. */
#include "strategy.h"

int set_claim(struct desk *desk, struct claim *claim) {
    struct coupon coupon;
    int status = coupon_read_cached(desk, claim->coupon_id, &coupon);
    if (status || !judge_period(&coupon, claim)) {
        return status;
    }
    unsigned long long coupon_id = claim->coupon_id;
    struct slice user = claim->user_id;
    int64_t is_member;
    status =
        redis_number(desk, &is_member, "SISMEMBER set:%llu %b", coupon_id, user.bytes, user.size);
    if (status) {
        return status;
    }
    if (is_member) {
        judged_already_issued(claim);
        return STATUS_OK;
    }
    int64_t size;
    status = redis_number(desk, &size, "SCARD set:%llu", coupon_id);
    if (status || !judge_quantity(&coupon, size, claim)) {
        return status;
    }
    int64_t added; /* 0: they were added meanwhile; nobody looks, as nobody did */
    status = redis_number(desk, &added, "SADD set:%llu %b", coupon_id, user.bytes, user.size);
    if (status) {
        return status;
    }
    judged_issued(claim, size + 1);
    return redis_queue(desk, claim);
}

const struct strategy strategy_set = {
    .name = "set",
    .summary = "SISMEMBER, SCARD, SADD, RPUSH; no lock",
    .uses_redis = true,
    .queues = true,
    .claim = set_claim,
};

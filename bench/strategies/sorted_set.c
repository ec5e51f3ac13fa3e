/* sorted-set: everybody gets a place in a line that Redis keeps by time; the first `total` of it
 * are the winners.
 *
 *   the coupon, from a cache: does it exist, is it its time
 *   ZADD NX the user with the time in microseconds: 0 means they stand in the line already
 *   ZRANK: the place; below the total it is an issue
 *   RPUSH an entry onto the queue; a worker writes the row
 *
 * Costs: 3 round trips (2 for a refusal); ZADD and ZRANK are O(log n), and n grows with everyone
 * who ever asked, winners or not: a line of millions for a coupon of 500.
 * Breaks: the time is taken before Redis is asked. A claim with an earlier time that comes after
 * the last winner was told so takes a place before theirs, and is a winner as well: one more than
 * the total. One machine with one clock hardly ever shows it; two whose clocks differ need no luck.
 * Equal times go by the user's name. Who was sold out and asks again is told that they hold one.
 * And success is told before MariaDB has the row: what Redis loses was promised. */
#include "strategy.h"

static int sorted_set_claim(struct desk *desk, struct claim *claim) {
    struct coupon coupon;
    int status = coupon_read_cached(desk, claim->coupon_id, &coupon);
    if (status || !judge_period(&coupon, claim)) {
        return status;
    }
    unsigned long long coupon_id = claim->coupon_id;
    struct slice user = claim->user_id;
    int64_t added;
    status = redis_number(desk, &added, "ZADD sorted-set:%llu NX %lld %b", coupon_id,
                          (long long)clock_realtime(NULL), user.bytes, user.size);
    if (status) {
        return status;
    }
    if (added == 0) {
        judged_already_issued(claim);
        return STATUS_OK;
    }
    int64_t place;
    status =
        redis_number(desk, &place, "ZRANK sorted-set:%llu %b", coupon_id, user.bytes, user.size);
    if (status || !judge_quantity(&coupon, place, claim)) {
        return status;
    }
    judged_issued(claim, place + 1);
    return redis_queue(desk, claim);
}

const struct strategy strategy_sorted_set = {
    .name = "sorted-set",
    .summary = "ZADD NX with the time, ZRANK, a queue",
    .uses_redis = true,
    .queues = true,
    .claim = sorted_set_claim,
};

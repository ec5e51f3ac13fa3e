/* lua: what set does, as one script (issue.lua), which Redis runs from end to end before it looks
 * at anything else. So the original ended.
 *
 *   the coupon, from a cache: does it exist, is it its time
 *   EVALSHA: already issued, sold out, or added to the set and to the queue
 *   a worker writes the row
 *
 * Costs: 1 round trip, O(1); all coupons share the one thread that Redis has.
 * Breaks: not in what it decides. But success is told before MariaDB has the row. Redis killed
 * within a second of it (appendfsync everysec), or failed over to a replica that is behind, and
 * the user holds a promise that nothing knows of, and the place is given away again. A worker
 * that is killed between its commit and LTRIM writes the same rows twice. */
#include "strategy.h"

#include <stdio.h>

extern const char lua_issue_script[]; /* made of issue.lua */

/* What the script answers that is no rank. */
enum { ANSWER_ALREADY_ISSUED = -2, ANSWER_SOLD_OUT = -3 };

static int lua_load(struct desk *desk) {
    redisReply *reply = redis_ask(desk, "SCRIPT LOAD %s", lua_issue_script);
    if (!reply) {
        return STATUS_IO;
    }
    snprintf(desk->script, sizeof(desk->script), "%s", reply->str ? reply->str : "");
    freeReplyObject(reply);
    return STATUS_OK;
}

static int lua_claim(struct desk *desk, struct claim *claim) {
    struct coupon coupon;
    int status = coupon_read_cached(desk, claim->coupon_id, &coupon);
    if (status || !judge_period(&coupon, claim)) {
        return status;
    }
    long long total = coupon.total == COUPON_UNLIMITED ? UINT32_MAX : coupon.total;
    struct slice user = claim->user_id;
    char entry[QUEUE_ROOM_MAX];
    size_t entry_size = redis_entry(claim, entry);
    int64_t answer;
    status = redis_number(desk, &answer, "EVALSHA %s 2 lua:%llu " QUEUE " %b %lld %b", desk->script,
                          (unsigned long long)claim->coupon_id, user.bytes, user.size, total, entry,
                          entry_size);
    if (status) {
        return status;
    }
    if (answer == ANSWER_ALREADY_ISSUED) {
        judged_already_issued(claim);
    } else if (answer == ANSWER_SOLD_OUT) {
        claim->verdict = VERDICT_SOLD_OUT;
    } else {
        judged_issued(claim, answer);
    }
    return STATUS_OK;
}

const struct strategy strategy_lua = {
    .name = "lua",
    .summary = "the whole of set in one script",
    .uses_redis = true,
    .queues = true,
    .redis_opened = lua_load,
    .claim = lua_claim,
};

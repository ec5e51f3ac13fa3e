/* race: read, compare, write, and nothing that keeps others from doing the same meanwhile. So the
 * original began, the way an entity of an ORM does it.
 *
 *   SELECT the coupon's row; SELECT the user's issue
 *   the program compares
 *   INSERT the issue; UPDATE issued = what was read + 1
 *
 * Costs: 4 round trips, 2 commits. Every claim writes the coupon's one row.
 * Breaks: two threads read 498 of 500, both issue, both write 499: of what was issued meanwhile the
 * count knows one. It ends at 500 and looks right, while there are more rows than that: 505 in the
 * original, many times the total when a whole pool reads the same number. Two claims of one user
 * at the same moment both find no issue, and each gets one. */
#include "strategy.h"

#include <inttypes.h>

int race_claim(struct desk *desk, struct claim *claim) {
    struct coupon coupon;
    bool holds_one = false;
    int status = coupon_read(desk, claim->coupon_id, "", &coupon);
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
            sql_run(desk, "UPDATE strategy_coupons SET issued = %" PRId64 " WHERE id = %" PRIu64,
                    coupon.issued + 1, claim->coupon_id);
    }
    return status;
}

const struct strategy strategy_race = {
    .name = "race",
    .summary = "read, compare, write in SQL; no lock",
    .claim = race_claim,
};

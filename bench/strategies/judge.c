/* What a claim is judged by once the facts are there. Knows no server. Called by the designs. */
#include "strategy.h"

bool judge_period(const struct coupon *coupon, struct claim *claim) {
    claim->issued_at_us = clock_realtime(NULL);
    if (claim->issued_at_us < coupon->start_us) {
        claim->verdict = VERDICT_NOT_STARTED;
        claim->starts_us = coupon->start_us;
        return false;
    }
    if (claim->issued_at_us >= coupon->end_us) {
        claim->verdict = VERDICT_ENDED;
        return false;
    }
    return true;
}

bool judge_quantity(const struct coupon *coupon, int64_t issued, struct claim *claim) {
    if (coupon->total != COUPON_UNLIMITED && issued >= coupon->total) {
        claim->verdict = VERDICT_SOLD_OUT;
        return false;
    }
    return true;
}

bool judge_all(const struct coupon *coupon, bool holds_one, struct claim *claim) {
    if (!judge_period(coupon, claim)) {
        return false;
    }
    if (holds_one) {
        judged_already_issued(claim);
        return false;
    }
    return judge_quantity(coupon, coupon->issued, claim);
}

void judged_issued(struct claim *claim, int64_t rank) {
    claim->verdict = VERDICT_ISSUED;
    claim->rank = (uint32_t)rank;
}

void judged_already_issued(struct claim *claim) {
    claim->verdict = VERDICT_ALREADY_ISSUED;
    claim->rank = 0;
}

/* Coupons that are open now, claims to settle, and a look at what came of them: for the tests of
 * the settle transaction, whose clock is the server's. */
#ifndef COUPON_TESTS_CONTRACT_CLAIMS_H
#define COUPON_TESTS_CONTRACT_CLAIMS_H

#include "place.h"

#define HOUR_US (3600 * US_PER_SECOND)

/* The server's clock. */
int64_t server_now_us(struct ledger *ledger);
/* A coupon to be changed and created: made an hour ago, open since then and for an hour more. */
struct coupon_record coupon_open(struct ledger *ledger, int64_t total_quantity);
uint64_t create_coupon(struct ledger *ledger, struct coupon_record coupon);
uint64_t add_open_coupon(struct ledger *ledger, int64_t total_quantity);

struct settle_claim claim_of(uint64_t coupon_id, const char *user_id, const char *claim_id);
/* Settles without a queue, which must go well. */
void settle(struct ledger *ledger, struct settle_claim *claims, size_t count, bool fresh);
/* The outcome of one claim, settled by itself. */
enum settle_outcome outcome_of(struct ledger *ledger, struct settle_claim claim, bool fresh);

#define assert_outcome(claim, expected)                                                            \
    assert_string_equal(settle_outcome_name((claim).outcome), settle_outcome_name(expected))
#define assert_issued(claim, expected_rank)                                                        \
    do {                                                                                           \
        assert_outcome(claim, SETTLE_ISSUED);                                                      \
        assert_int_equal((claim).rank, expected_rank);                                             \
    } while (0)

/* Visits, and judges the coupon's record as `coupon verify` does: ranks without gaps and as many
 * as are counted, nobody twice, dates that never decrease, each within the terms that were in
 * force. Tells how many issues there are. */
uint32_t sound_issues(struct ledger *ledger, uint64_t coupon_id);

#endif

/* Outcomes of the ledger as verdicts. See settled.h. */
#include "issuer/settled.h"

#include <stdlib.h>

enum verdict settled_verdict(const struct settle_claim *claim) {
    switch (claim->outcome) {
    case SETTLE_ISSUED:
        return VERDICT_ISSUED;
    case SETTLE_ALREADY_ISSUED:
        return claim->same_claim ? VERDICT_ISSUED
               : claim->same_key ? VERDICT_REPLAYED
                                 : VERDICT_ALREADY_ISSUED;
    case SETTLE_NO_SUCH_COUPON:
        return VERDICT_NO_SUCH_COUPON;
    case SETTLE_PAUSED:
        return VERDICT_PAUSED;
    case SETTLE_NOT_STARTED:
        return VERDICT_NOT_STARTED;
    case SETTLE_ENDED:
        return VERDICT_ENDED;
    case SETTLE_SOLD_OUT:
        return VERDICT_SOLD_OUT;
    case SETTLE_WAITING:
    case SETTLE_UNREADABLE:
        break;
    }
    assert(false && "an outcome");
    abort();
}

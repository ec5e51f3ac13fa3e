/* settled: what a shared ledger found out about a claim, as the verdict that its submitter gets.
 * Internal to issuer/: for the sql and redis issuers. */
#ifndef COUPON_ISSUER_SETTLED_H
#define COUPON_ISSUER_SETTLED_H

#include "issuer/issuer.h"

/* Of a claim that was decided: neither waiting nor unreadable. What the user holds for this very
 * claim is issued, under its request key replayed. */
enum verdict settled_verdict(const struct settle_claim *claim);

#endif

/* figures: what a loop counts of the claims it answers, for /metrics. Internal to api/.
 *
 * Each loop counts in memory of its own and reads the clock once for many answers, so that
 * counting does not show beside answering. */
#ifndef COUPON_API_FIGURES_H
#define COUPON_API_FIGURES_H

#include "issuer/issuer.h"

enum { VERDICT_COUNT = VERDICT_STARTING + 1 };

struct loop_figures {
    struct counter claims[VERDICT_COUNT]; /* told, by verdict */
    struct histogram issued_us;           /* from handed over to told: new issues … */
    struct histogram refused_us;          /* … and everything else the issuer answered */
};

void loop_figures_init(struct loop_figures *figures);

/* Before a claim is told its verdict, so that no count is behind what was told. */
void figures_claim(struct loop_figures *figures, enum verdict verdict);

/* Claims that came back together, while they are answered one after another. */
struct tally {
    struct loop_figures *figures;
    int64_t handed_over_us; /* monotonic: when the first of them was */
    uint64_t issued;        /* told since the clock was last read */
    uint64_t refused;
};

/* After the answer to a claim was written: how long it took. */
void tally_claim(struct tally *tally, enum verdict verdict);
/* After the last one. */
void tally_end(struct tally *tally);

#endif

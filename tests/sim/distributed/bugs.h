/* bugs: faults of the protocol that can be planted in one program run, to prove that the
 * simulation finds them. None of them is in src/: each is in the model, or a change of coupon.lua's
 * text after it was read. For main.c and the models. */
#ifndef SIM_DISTRIBUTED_BUGS_H
#define SIM_DISTRIBUTED_BUGS_H

#include "base/base.h"

enum bug {
    BUG_NONE,
    BUG_NO_EPOCH_CHECK,      /* a settlement does not look at the partition's epoch */
    BUG_CURSOR_APART,        /* the cursor moves in a transaction of its own, before */
    BUG_REPLY_BEFORE_COMMIT, /* a settlement counts as done when COMMIT is sent */
    BUG_DUPLICATE_IGNORED,   /* INSERT IGNORE */
    BUG_QUANTITY_OFF_BY_ONE, /* the ledger issues one more than there are */
    BUG_SEATS_KEPT,          /* rejects do not give their seats back */
    BUG_PROMOTION_UNNOTICED, /* the replication id is not looked at */
    BUG_TRIM_EARLY,          /* entries leave the queue before they are settled */
    BUG_SOLD_OUT_EARLY,      /* sold out is said when all seats are admitted */
    BUG_DATED_EARLY,         /* entries are dated by the period's beginning */
    BUG_EVICTION_UNNOTICED,  /* holders that Redis forgot are refused as if they held nothing */
    BUG_REJECTS_LOST,        /* refusals of a settlement are not written */
    BUG_NO_BARRIER,          /* what others have committed is told before it is durable */
    BUG_COUNT
};

const char *bug_name(enum bug bug);
/* BUG_COUNT: there is none of this name. */
enum bug bug_find(const char *name);
void bug_plant(enum bug bug);
enum bug bug_planted(void);
bool bug_is(enum bug bug);
/* The text of coupon.lua, changed where the planted bug is one of it. STATUS_DAMAGED: what is to
 * be changed is not there, once: the bug needs to be planted anew. */
int MUST_CHECK bug_library(const char *text, char **ret_text, struct complaint *complaint);

#endif

/* step: what the writer does with the jobs it took, as one call: decide, write, answer.
 *
 * No thread, clock or queue: time and jobs are arguments, the verdicts are left in the jobs.
 * The ledger is whichever it is given, so a test or a simulator drives it as it likes.
 * Internal to issuer/.
 *
 * States (I8); the arrow's function in brackets:
 *
 *   STARTING --load ok [core_load]--> READY
 *   READY --known write failure [core_failed]--> UNWRITABLE
 *   UNWRITABLE --a write worked [core_probe]--> READY
 *   any --outcome unknown, memory and record apart [core_failed]--> BROKEN (never left)
 */
#ifndef COUPON_ISSUER_STEP_H
#define COUPON_ISSUER_STEP_H

#include "engine/engine.h"
#include "issuer/board.h"
#include "issuer/queue.h"

struct core {
    struct engine *engine;
    struct ledger *ledger;
    struct board *board;
    struct digest_key digest_key;
    size_t coupons_max;
    enum issuer_state state;
    struct complaint why; /* of the last failure */
    atomic_bool hurry;    /* any thread's: see issuer_hurry */
    unsigned searches;    /* of archived coupons, under way */
    uint64_t step;
    size_t row_count; /* the grants of this step … */
    struct issue_row rows[CLAIM_BATCH_MAX];
    size_t count_count; /* … and the new counts of their coupons */
    struct issued_count counts[CLAIM_BATCH_MAX];
    struct issue_record *slice; /* LEDGER_SLICE_MAX, for reads of archived coupons */
};

/* Takes the ledger over, frees it on failure too. STATUS_NO_MEMORY. */
int MUST_CHECK core_new(struct ledger *ledger, size_t coupons_max,
                        const struct digest_key *digest_key, struct core **ret_core);
/* Closes the ledger; its complaint and status. */
int core_close(struct core *core, struct complaint *complaint);
void core_free(struct core *core); /* closed before; takes NULL */

/* Fills engine and board from the ledger. On failure the state is BROKEN and `why` tells;
 * STATUS_STOPPED: given up in a hurry, the state is STARTING still. */
int MUST_CHECK core_load(struct core *core, void (*progress)(void *, uint64_t, uint64_t),
                         void *context);

/* Decides all claims of the batches in order, writes the granted ones in one commit, and
 * leaves a verdict in every claim (I3, I8). At most CLAIM_BATCH_MAX claims together. */
void issuer_step(struct core *core, int64_t now_us, const struct job_list *batches);

/* Does one command, or one slice of it. False: it wants another turn. */
bool MUST_CHECK core_command(struct core *core, int64_t now_us, struct command *command);

/* UNWRITABLE: tries a write that means nothing. READY when it worked. */
void core_probe(struct core *core);
/* Housekeeping between steps. */
void core_tend(struct core *core, bool idle);

/* Takes note of a failed write: UNWRITABLE when it is known that nothing was written, else
 * BROKEN. core->why says what happened. For step.c and command.c. */
void core_failed(struct core *core, int status);

/* What the engine judges a coupon by. */
struct engine_terms core_terms(const struct coupon_record *coupon);

#endif

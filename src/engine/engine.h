/* engine: the decision who gets a coupon, as a pure state machine.
 *
 * It holds, for every coupon in memory, the terms in force, who holds which rank since
 * when, and an index from user to rank. It decides claims one after another; what it
 * granted since the last commit is pending until the caller says that the ledger has it
 * (engine_commit) or that it has not (engine_abort). No clock, file, thread or log: time
 * comes in as an argument. Called by the issuer's writer thread only; verify uses one too.
 *
 * Keeps I1, I2, I4, I5 (by the `now` it is given), I6 and the order of verdicts of I7.
 *
 * Memory: 24 bytes an issue in segments by rank, and an index of 32-bit ranks in pages of
 * 64-byte groups (engine_index.c), both in chunks of 2 MiB (engine_arena.h). From 1 to 16
 * million issues of one coupon at most 40 bytes an issue on average, 56 at the worst instant.
 * No call moves more than one index page (and, when it doubles, the page directory: half a
 * megabyte at 16 million), so none stops the writer for more than 2 ms. What takes longer can
 * wait, and is done a part at a time by engine_tend.
 */
#ifndef COUPON_ENGINE_H
#define COUPON_ENGINE_H

#include "base/base.h"

/* Ranks are 32 bits wide; the last values stay free for marks. */
#define ENGINE_RANK_MAX  UINT32_C(4000000000)
#define ENGINE_UNLIMITED UINT32_C(4294967295) /* total_quantity: as far as ranks go */

struct engine;

/* The judged terms of a coupon: issues happen while start <= now < end, ranks <= total. */
struct engine_terms {
    int64_t start_us;
    int64_t end_us;
    uint32_t total_quantity; /* ENGINE_UNLIMITED: up to ENGINE_RANK_MAX */
    bool paused;
};

/* In the order in which they are tried (I7). */
enum engine_verdict {
    ENGINE_NO_SUCH_COUPON,
    ENGINE_ALREADY_ISSUED,
    ENGINE_PAUSED,
    ENGINE_NOT_STARTED,
    ENGINE_ENDED,
    ENGINE_SOLD_OUT,
    ENGINE_GRANTED,
};

/* One decision. `rank` and `issued_at_us` are of the new issue when GRANTED, of the one
 * held when ALREADY_ISSUED, else 0. `start_us` is the coupon's, when NOT_STARTED, else 0. */
struct engine_decision {
    enum engine_verdict verdict;
    uint32_t rank;
    int64_t issued_at_us;
    int64_t start_us;
};

/* `coupons_max`: how many coupons may be in memory at once (the map is made for them at
 * once and touched as they come). STATUS_NO_MEMORY. */
int MUST_CHECK engine_new(size_t coupons_max, struct engine **ret_engine);
void engine_free(struct engine *engine); /* takes NULL */

/* Adds a coupon without issues. STATUS_EXISTS, STATUS_FULL (coupons_max), STATUS_NO_MEMORY.
 * coupon_id > 0. */
int MUST_CHECK engine_coupon_add(struct engine *engine, uint64_t coupon_id,
                                 const struct engine_terms *terms);
/* Replaces the terms. Nothing may be pending. STATUS_NOT_FOUND; STATUS_INVALID when
 * total_quantity is below what is issued: nothing was changed. */
int MUST_CHECK engine_coupon_change(struct engine *engine, uint64_t coupon_id,
                                    const struct engine_terms *terms);
/* Forgets the coupon and its issues (archiving). Nothing may be pending. No effect when there
 * is none. Of a large coupon most of the memory is given back by engine_tend, later. */
void engine_coupon_remove(struct engine *engine, uint64_t coupon_id);

/* Does a part of what can wait, up to 1 ms of it: gives back memory of removed coupons. When
 * there is none and it is `quiet` (nobody asked for a while): turns 2 MiB of issues or index
 * into one huge page, so that look-ups among millions of issues cost a third less. That takes
 * 0.6 ms, and 7 to 20 where a virtual machine is lent its memory as it touches it (measured).
 * True: the same call again would do more. Changes no answer. Never called, removed coupons
 * keep their memory until engine_free. */
bool engine_tend(struct engine *engine, bool quiet);

/* Puts back an issue read from the ledger, committed at once; ranks come as 1, 2, 3 ….
 * STATUS_NOT_FOUND no such coupon, STATUS_INVALID not the next rank, STATUS_EXISTS the user
 * holds one already (all three: the record is damaged), STATUS_NO_MEMORY. Total and period
 * are not judged: they may have changed since. Nothing may be pending. */
int MUST_CHECK engine_restore(struct engine *engine, uint64_t coupon_id, uint32_t rank,
                              struct digest user, int64_t issued_at_us);

/* How many claims ahead of engine_decide the two steps below do their work: far enough for
 * memory to answer, near enough for the answer to be in the first-level cache still. Half and
 * twice as many cost the same, within what can be measured. */
#define ENGINE_PREFETCH_AHEAD         16
#define ENGINE_PREFETCH_HOLDING_AHEAD 8

/* Hints the processor to load what deciding this claim will touch, for every claim of a batch
 * in its turn: at ten million issues every look-up is a cache miss, and misses that overlap
 * cost little. Changes nothing: a claim granted in between is seen all the same. */
void engine_prefetch(const struct engine *engine, uint64_t coupon_id, struct digest user);
/* The second step, once what the first asked for has arrived: loads the issue by which a
 * repeat is answered, and the next group of the index where the first is full. Changes
 * nothing. */
void engine_prefetch_holding(const struct engine *engine, uint64_t coupon_id, struct digest user);

/* Decides one claim at `now_us`. A grant is pending from here on and is seen by the claims
 * after it. STATUS_NO_MEMORY: nothing changed, the decision is not written. */
int MUST_CHECK engine_decide(struct engine *engine, uint64_t coupon_id, struct digest user,
                             int64_t now_us, struct engine_decision *ret_decision);

size_t engine_pending(const struct engine *engine); /* grants not yet committed or aborted */
void engine_commit(struct engine *engine);          /* the ledger has what is pending */
void engine_abort(struct engine *engine);           /* it has not: take all pending back */

/* What the user holds of the coupon, committed or pending: STATUS_NOT_FOUND (no coupon, or
 * none held). *ret_rank and *ret_issued_at_us on success only. */
int MUST_CHECK engine_holding(const struct engine *engine, uint64_t coupon_id, struct digest user,
                              uint32_t *ret_rank, int64_t *ret_issued_at_us);

/* Issued and committed of this coupon, pending ones left out; 0 when there is no coupon. */
uint32_t engine_issued(const struct engine *engine, uint64_t coupon_id);
bool engine_coupon_known(const struct engine *engine, uint64_t coupon_id);

struct engine_figures {
    size_t coupons;
    uint64_t issues;     /* committed, all coupons */
    size_t memory_bytes; /* allocated for issues and index, all coupons */
};
struct engine_figures engine_figures(const struct engine *engine);

#endif

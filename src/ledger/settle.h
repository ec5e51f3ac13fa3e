/* What programs that share a ledger ask of it: to judge claims by itself, and how far the queue
 * of each partition is settled. For the stores that are SQL servers; SQLite has one writer, whose
 * engine decides. A part of ledger.h, which includes it.
 *
 * The clock is the server's, one for all (I5), read behind the coupon's lock: a moment is never
 * before the coupon's last issue or change. */
#ifndef COUPON_LEDGER_SETTLE_H
#define COUPON_LEDGER_SETTLE_H

#include "base/base.h"

#define SETTLE_CLAIMS_MAX 2048 /* of one settlement */
#define CLAIM_ID_MAX      64   /* visible ASCII characters */
#define PARTITION_COUNT   64   /* a coupon's is its id modulo this */

/* In the order in which they are tried (I7). */
enum settle_outcome {
    SETTLE_NO_SUCH_COUPON, /* or it is archived */
    SETTLE_ALREADY_ISSUED, /* the user holds one: rank, issued_at_us, same_claim, same_key */
    SETTLE_PAUSED,
    SETTLE_NOT_STARTED, /* starts_us tells when */
    SETTLE_ENDED,
    SETTLE_SOLD_OUT,
    SETTLE_ISSUED,     /* rank and issued_at_us */
    SETTLE_WAITING,    /* of ledger_look: nothing speaks against it, so far */
    SETTLE_UNREADABLE, /* `raw` was given: what stood in the queue is no claim */
};

/* The stable word of an outcome that is a refusal ("sold-out"). */
const char *settle_outcome_name(enum settle_outcome outcome);

struct settle_claim {
    /* asked; texts last until the call returns */
    uint64_t coupon_id;
    struct slice user_id;
    struct slice request_key; /* size 0: none */
    struct slice claim_id;    /* names this claim wherever it is asked again; size 0: none */
    int64_t admitted_us;      /* the moment it is judged by; 0: now */
    struct slice raw;         /* size > 0: no claim, to be kept among the rejects */
    uint64_t n;               /* with a cursor: its entry … */
    uint32_t index;           /* … and its place there, which together name a reject */
    /* answered */
    enum settle_outcome outcome;
    bool same_claim; /* what the user holds was issued for this very claim */
    bool same_key;   /* … or under the same request key */
    uint32_t rank;
    int64_t issued_at_us;
    int64_t starts_us;
};

/* How far a partition's queue is settled: entries up to n of this epoch. */
struct ledger_cursor {
    unsigned partition; /* 0 … PARTITION_COUNT - 1 */
    uint64_t epoch;
    uint64_t n; /* 0: none */
};

struct settlement {
    struct settle_claim *claims;  /* in order; of any coupons, or with a cursor of its partition */
    size_t count;                 /* 0 … SETTLE_CLAIMS_MAX */
    bool fresh;                   /* most users hold nothing yet: write at once, and look who holds
                                     what only when a key says that somebody does */
    struct ledger_cursor *cursor; /* where it must stand; NULL: no queue */
    uint64_t cursor_n;            /* where it stands afterwards */
};

/* Judges the claims in order, in one transaction: locks the coupons in the order of their ids,
 * gives ranks, writes the issues and counts, and with a cursor the rejects (all refusals) and the
 * cursor's move; durable when it returns STATUS_OK (I3). Then each claim has its outcome.
 *
 * STATUS_BUSY: another program is at this cursor now. STATUS_NOT_FOUND: the cursor stands
 * elsewhere, and *cursor says where. STATUS_AMBIGUOUS: the same again tells, since what was
 * issued is found by its claim_id (SETTLE_ALREADY_ISSUED with same_claim) and by the cursor.
 * STATUS_CONFLICT: what it wrote contradicts the record in a way a look does not explain. */
int MUST_CHECK ledger_settle(struct ledger *ledger, struct settlement *settlement,
                             struct complaint *complaint);

/* Judges the claims without a lock and without writing: a refusal is true at a moment within the
 * call, a claim that may be issued is left SETTLE_WAITING. What it tells is durable. */
int MUST_CHECK ledger_look(struct ledger *ledger, struct settle_claim *claims, size_t count,
                           struct complaint *complaint);

/* Which session the last read was of. 0: of none yet, or the ledger has none. */
uint64_t ledger_session(const struct ledger *ledger);

/* What was read on this session is durable once this returns STATUS_OK; only then may anybody
 * be told of it, or anything be thrown away for it. Wanted where this program did not write it
 * itself:
 *
 * InnoDB makes a commit visible, and gives its locks back, before it writes and syncs its log (it
 * is the other way round only with a binary log), and PostgreSQL shows what it could not replicate
 * when somebody ends the session that waits for a standby. A crash, or a fail-over, may then take
 * back what was read. Logs are sequential: when a write of our own is durable, so is all before.
 *
 * `session` is that of the first of the reads. ledger_settle and ledger_look do this themselves. Of
 * a ledger that only reads it asks nothing. STATUS_IO, also when the session is another one by now:
 * what the former has read may have been taken back. */
int MUST_CHECK ledger_barrier(struct ledger *ledger, uint64_t session, struct complaint *complaint);

/* Whether the store can do any of this. */
bool ledger_is_shared(const struct ledger *ledger);

/* The server's clock. */
int MUST_CHECK ledger_now_us(struct ledger *ledger, int64_t *ret_now_us);

/* What a user holds of a coupon. STATUS_NOT_FOUND. */
int MUST_CHECK ledger_holding_read(struct ledger *ledger, uint64_t coupon_id, struct slice user_id,
                                   struct issue_record *ret_issue);
/* Up to `limit` (<= LEDGER_SLICE_MAX) issues that a user holds of coupons with id >
 * after_coupon_id that are not archived, by coupon. */
int MUST_CHECK ledger_holdings_read(struct ledger *ledger, struct slice user_id,
                                    uint64_t after_coupon_id, size_t limit,
                                    struct issue_record *ret_issues, size_t *ret_count);

#endif

/* issuer: takes batches of claims and gives verdicts; the only way to an issue.
 *
 * One interface for every way to run (struct issuer_operations is how one joins): local, a writer
 * thread around engine and SQLite ledger; sql, where a ledger that many share decides. Not for:
 * HTTP, JSON, credentials. Called by the api from any loop's thread.
 *
 * A job (a batch of claims or a command) belongs to the issuer from a successful
 * issuer_submit until it calls job->done, in the writer's thread; the memory stays the
 * submitter's. Jobs of one kind are done in the order they were submitted; claims go
 * before commands, operators' before reads. No verdict leaves before the commit it may rest
 * on (I3, I8).
 */
#ifndef COUPON_ISSUER_H
#define COUPON_ISSUER_H

#include "base/base.h"
#include "ledger/ledger.h"

/* ---- claims ---- */

enum verdict {
    VERDICT_ISSUED,
    VERDICT_REPLAYED,       /* the same claim again, by its request key: the same issue */
    VERDICT_ALREADY_ISSUED, /* the user holds one: rank and issued_at_us tell which */
    VERDICT_NO_SUCH_COUPON,
    VERDICT_PAUSED,
    VERDICT_NOT_STARTED, /* starts_us tells when */
    VERDICT_ENDED,
    VERDICT_SOLD_OUT,
    VERDICT_ADMITTED, /* it has a place in the queue, and no answer yet: queue_epoch, queue_n,
                         rank (its place within that entry) */
    /* not verdicts on the claim but on us; 503. So a submitter also calls a claim that it could not
     * hand over; STARTING is never the issuer's. */
    VERDICT_OVERLOADED, /* of the issuer with Redis: what is left is admitted and not settled yet,
                           or too many are in hand */
    VERDICT_STORAGE_UNAVAILABLE,
    VERDICT_OUTCOME_UNKNOWN,
    VERDICT_STARTING,
};

struct claim {
    /* asked; texts last until done */
    uint64_t coupon_id;
    struct digest user; /* issuer_user_digest of user_id */
    struct slice user_id;
    struct slice request_key; /* Idempotency-Key; size 0: none */
    void *context;            /* the submitter's */
    bool respond_async;       /* a place in the queue is answer enough, where there is one */
    /* answered */
    enum verdict verdict;
    uint32_t rank;
    int64_t issued_at_us;
    int64_t starts_us;
    uint64_t queue_epoch;
    uint64_t queue_n;
};

/* ---- jobs ---- */

enum job_kind {
    JOB_CLAIMS,
    JOB_COUPON_CREATE,    /* coupon, key -> coupon, status; EXISTS, CONFLICT; replayed */
    JOB_COUPON_CHANGE,    /* patch -> coupon, status; NOT_FOUND, CONFLICT, INVALID + field */
    JOB_COUPON_READ,      /* coupon.id -> coupon; archived ones too; NOT_FOUND */
    JOB_COUPONS_READ,     /* after_id, limit -> coupons, coupon_count */
    JOB_ISSUE_READ,       /* reference -> issue; NOT_FOUND */
    JOB_HOLDING_READ,     /* reference.coupon_id, user, user_id -> issue; NOT_FOUND
                             (`known` tells whether there is such a coupon) */
    JOB_ISSUES_READ,      /* reference (rank: after), limit -> issues, issue_count; NOT_FOUND */
    JOB_USER_ISSUES_READ, /* user -> holdings, holding_count: of coupons in memory */
    JOB_AUDITS_READ,      /* after_id, limit -> audits, audit_count */
    JOB_CLAIM_READ,       /* reference.coupon_id, user_id, place -> standing, issue, reject;
                             NOT_FOUND: no such coupon, or there is no queue here */
};

struct job {
    enum job_kind kind;
    struct job *next; /* the issuer's while it owns the job, the submitter's otherwise */
    void (*done)(struct job *job);
    void *context; /* the submitter's */
};

/* Jobs in order, linked by `next`; zeroed: none. For whoever has the jobs at the time. */
struct job_list {
    struct job *first;
    struct job *last;
};

void job_list_push(struct job_list *list, struct job *job);
struct job *job_list_pop(struct job_list *list); /* the oldest; NULL when empty */

#define CLAIM_BATCH_MAX 2048

struct claim_batch {
    struct job job; /* first */
    struct claim *claims;
    size_t count; /* 1 … CLAIM_BATCH_MAX */
};

/* What a PATCH asks for; a member counts when its bit is set in `set`. */
enum coupon_patch_bit {
    PATCH_TITLE = 1,
    PATCH_TOTAL_QUANTITY = 2,
    PATCH_ISSUE_START = 4,
    PATCH_ISSUE_END = 8,
    PATCH_DISCOUNT_AMOUNT = 16,
    PATCH_MIN_AVAILABLE_AMOUNT = 32,
    PATCH_PAUSED = 64,
    PATCH_METADATA = 128,
    PATCH_ARCHIVED = 256,
};

/* What became of a claim that was admitted. */
enum claim_standing { CLAIM_ISSUED, CLAIM_PENDING, CLAIM_REFUSED, CLAIM_LOST };

/* One issue that a user holds. */
struct holding {
    struct issue_reference reference;
    int64_t issued_at_us;
};

struct command {
    struct job job;    /* first */
    int status;        /* answered: STATUS_OK, one named at the kind, or FULL, IO, NO_MEMORY,
                          AMBIGUOUS, DAMAGED (503 each) */
    const char *field; /* with STATUS_INVALID: the API's name of the field, or NULL; a constant */
    const char *why;   /* with STATUS_INVALID: a sentence; a constant */
    bool known;
    bool replayed;
    struct coupon_record coupon;
    struct creation_key key;
    struct audit audit;          /* of a creation and a change; admin of size 0: none */
    unsigned patch_set;          /* of enum coupon_patch_bit; the values are in `coupon` */
    const uint32_t *if_versions; /* If-Match: any of these; NULL: no condition */
    size_t if_version_count;
    struct issue_reference reference;
    struct digest user;
    struct slice user_id;
    struct issue_record issue;
    struct reject_place place; /* of the claim in its queue */
    enum claim_standing standing;
    struct reject_record reject; /* of CLAIM_REFUSED */
    uint64_t after_id;
    size_t limit;
    struct coupon_record *coupons; /* room for `limit`, the submitter's */
    size_t coupon_count;
    struct issue_record *issues; /* room for `limit`, the submitter's */
    size_t issue_count;
    struct audit_record *audits; /* room for `limit`, the submitter's */
    size_t audit_count;
    struct holding *holdings; /* from malloc, the submitter's to free; in no order */
    size_t holding_count;
    size_t holding_capacity;
    size_t progress; /* the issuer's: where the next turn goes on; 0 at first */
};

struct issuer; /* opaque; begins with its operations */

/* Hands a job over. STATUS_FULL the queue is full, STATUS_STOPPED the issuer is stopping:
 * in both cases the job stays the caller's and done is not called. */
int MUST_CHECK issuer_submit(struct issuer *issuer, struct job *job);

/* The digest this issuer knows a user by. Any thread. */
struct digest issuer_user_digest(const struct issuer *issuer, struct slice user_id);

/* ---- published: what loops may read without asking the writer. Any thread. ---- */

enum issuer_state {
    ISSUER_STARTING, /* reading the record */
    ISSUER_READY,
    ISSUER_UNWRITABLE, /* the last write failed; back to READY by itself when one works */
    ISSUER_BROKEN,     /* outcome unknown: must be stopped and started anew */
    ISSUER_STOPPING,
};
enum issuer_state issuer_state(const struct issuer *issuer);

/* A coupon in memory as last published (issued_quantity: committed), or STATUS_NOT_FOUND
 * (never there, or archived). */
int MUST_CHECK issuer_coupon(const struct issuer *issuer, uint64_t coupon_id,
                             struct coupon_record *ret_coupon);

/* What of a coupon changes with every issue. */
struct coupon_quantities {
    uint64_t coupon_id;
    int64_t total_quantity; /* COUPON_UNLIMITED */
    uint32_t issued_quantity;
};
/* Up to `limit` of the coupons in memory with id > after_id, by id; returns how many.
 * Looked up in slices, so that it holds up nobody for long. */
size_t issuer_quantities(const struct issuer *issuer, uint64_t after_id, size_t limit,
                         struct coupon_quantities *ret_quantities);

struct issuer_figures {
    uint64_t coupons;
    uint64_t issues;
    uint64_t queue_depth; /* claims waiting */
    int64_t clock_held_back_us;
    uint64_t memory_bytes;                /* of the engine: issues and their index */
    uint64_t commit_failures;             /* commits that failed, their claims told so */
    struct histogram_reading step_claims; /* claims decided together */
    struct histogram_reading commit_rows; /* issues a commit */
    struct histogram_reading commit_us;   /* deciding, writing and syncing such a batch */
    struct histogram_reading checkpoint_us;
    struct queue_figures {
        bool present;        /* there is a queue: Redis in front of SQL */
        uint64_t waiting;    /* entries admitted and not settled, all partitions … */
        int64_t oldest_us;   /* … and how long the first of them has waited */
        uint64_t gates_open; /* of PARTITION_COUNT */
        uint64_t admitted;   /* claims, by this node, as are the next … */
        uint64_t asked_again;
        uint64_t questions; /* claims that the ledger is being asked about */
        uint64_t late;      /* answered with their place, at their deadline */
        uint64_t rebuilt;   /* gates opened anew */
        uint64_t rejects;   /* in the ledger */
    } queue;
};
struct issuer_figures issuer_figures(const struct issuer *issuer);

#include "issuer/start.h" /* how each way to run is started */

/* The process is to end: what takes long and changes nothing (reading the record at the
 * start, looking through an archived coupon) is given up from now on; such a command gets
 * STATUS_STOPPED. All else goes on until issuer_stop. Any thread. */
void issuer_hurry(struct issuer *issuer);

/* Finishes every job in the queue, takes no new ones, closes the ledger, joins the thread.
 * The complaint tells when closing failed. */
int issuer_stop(struct issuer *issuer, struct complaint *complaint);
void issuer_free(struct issuer *issuer); /* stopped before; takes NULL */

/* How a way to run joins: one function for each call above, same meaning. */
struct issuer_operations {
    int (*submit)(struct issuer *, struct job *);
    struct digest (*user_digest)(const struct issuer *, struct slice);
    enum issuer_state (*state)(const struct issuer *);
    int (*coupon)(const struct issuer *, uint64_t, struct coupon_record *);
    size_t (*quantities)(const struct issuer *, uint64_t, size_t, struct coupon_quantities *);
    struct issuer_figures (*figures)(const struct issuer *);
    void (*hurry)(struct issuer *);
    int (*stop)(struct issuer *, struct complaint *);
    void (*free)(struct issuer *);
};

struct issuer {
    const struct issuer_operations *operations;
};

#endif

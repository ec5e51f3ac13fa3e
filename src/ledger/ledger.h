/* ledger: the durable record of coupons and issues.
 *
 * What is in the ledger happened; memory is rebuilt from it. One interface for every store
 * (struct ledger_operations is how a store joins): SQLite, PostgreSQL, MySQL. Not for: deciding
 * who gets a coupon (engine) or when to write (issuer). Called by the issuer's writer thread
 * and by verify; a ledger is used by one thread at a time.
 *
 * What a failed write means, for every call that writes:
 *   STATUS_NO_MEMORY, STATUS_FULL, STATUS_IO   nothing was written, the transaction is
 *       rolled back, the ledger can be used again (the "known failure" of I8);
 *   STATUS_AMBIGUOUS   fsync failed, or the rollback did, or the connection was lost in COMMIT:
 *       nobody knows whether this write is durable, and only the record can tell: read it again.
 *       SQLite: every later call returns STATUS_AMBIGUOUS too; close and open anew first.
 *       SQL: this call only; the next one connects anew, and what it reads is final.
 * Writing to a ledger that was opened with existing_only is a programmer's mistake.
 */
#ifndef COUPON_LEDGER_H
#define COUPON_LEDGER_H

#include "base/base.h"

#define COUPON_TITLE_MAX    256  /* bytes of UTF-8 */
#define COUPON_METADATA_MAX 2048 /* bytes of JSON */
#define USER_ID_MAX         128  /* visible ASCII characters */
#define REQUEST_KEY_MAX     128  /* visible ASCII characters */
#define ADMIN_NAME_MAX      64   /* visible ASCII characters */
#define AUDIT_REQUEST_MAX   4096 /* bytes of JSON */
#define COUPON_UNLIMITED    INT64_C(-1)
#define COUPON_QUANTITY_MAX INT64_C(4000000000) /* ranks are 32 bits wide */
#define LEDGER_SLICE_MAX    1000                /* rows one read may return */

/* Whether it is 1 … USER_ID_MAX visible ASCII characters. */
static inline bool user_id_is_valid(struct slice user_id) {
    return user_id.size >= 1 && user_id.size <= USER_ID_MAX && slice_is_visible(user_id);
}

/* A row of `coupons`. Texts are terminated. Times in microseconds, UTC. */
struct coupon_record {
    uint64_t id; /* 1 … 2^53-1 */
    char title[COUPON_TITLE_MAX + 1];
    int64_t total_quantity; /* COUPON_UNLIMITED: NULL in the table */
    uint32_t issued_quantity;
    int64_t discount_amount;
    int64_t min_available_amount;
    int64_t issue_start_us;
    int64_t issue_end_us;
    bool paused;
    uint32_t version; /* 1 at first, +1 with every change */
    int64_t created_us;
    int64_t updated_us;
    int64_t archived_us;                    /* 0: not archived */
    char metadata[COUPON_METADATA_MAX + 1]; /* a JSON object, or "" for none; last (board.c) */
};

/* Names one issue: the pair travels together so that the two are never swapped. */
struct issue_reference {
    uint64_t coupon_id;
    uint32_t rank;
};

/* A row of `coupon_issues`, its texts owned by whoever made it. In a row given to a visitor
 * they last until the visitor returns. */
struct issue_row {
    struct issue_reference reference;
    struct slice user_id;
    struct slice request_key; /* size 0: none was sent */
    struct slice claim_id;    /* size 0: none; SQLite keeps none, and no read tells it */
    int64_t issued_at_us;
};

/* The same with room of its own, for what outlives the call. Texts are terminated. */
struct issue_record {
    struct issue_reference reference;
    char user_id[USER_ID_MAX + 1];
    char request_key[REQUEST_KEY_MAX + 1];
    int64_t issued_at_us;
};

/* A row of `coupon_revisions`: what was in force from `first_rank` on. */
struct coupon_revision {
    uint64_t coupon_id;
    uint32_t version;
    int64_t changed_us;
    int64_t total_quantity;
    int64_t issue_start_us;
    int64_t issue_end_us;
    bool paused;
    bool archived;
    uint32_t first_rank;
};

/* A coupon's issued_quantity after a batch. */
struct issued_count {
    uint64_t coupon_id;
    uint32_t issued_quantity;
};

/* The Idempotency-Key of a coupon's creation, and a digest of what was asked with it. */
struct creation_key {
    struct slice key; /* size 0: none */
    unsigned char request_digest[32];
};

/* Who asks for a change of a coupon, and how it was put; written with the change. */
struct audit {
    struct slice admin;   /* the credential's name */
    struct slice request; /* a JSON object; size 0: none */
};

/* A row of `audits`. Texts are terminated. */
struct audit_record {
    uint64_t id; /* 1, 2, 3 … in the order of the changes */
    int64_t changed_us;
    char admin[ADMIN_NAME_MAX + 1];
    char action[32]; /* coupon-created, coupon-changed, coupon-archived, issues-imported */
    uint64_t coupon_id;
    uint32_t version;                    /* of the coupon, since this change */
    char request[AUDIT_REQUEST_MAX + 1]; /* "" for none */
};

/* A row of `coupon_imports`: these ranks were given away by the operator, not claimed. */
struct coupon_import {
    uint64_t coupon_id;
    uint32_t first_rank;
    uint32_t last_rank;
    int64_t imported_us; /* the date of each of them */
};

/* Receives the record in order: each coupon by id, its revisions by version, its imports
 * and its issues by rank. A negative return stops the visit, which returns it. A NULL member
 * is not called. */
struct ledger_visitor {
    void *context;
    bool archived_too; /* also archived coupons with their issues */
    int (*coupon)(void *context, const struct coupon_record *coupon);
    int (*revision)(void *context, const struct coupon_revision *revision);
    int (*import)(void *context, const struct coupon_import *import);
    int (*issue)(void *context, const struct issue_row *issue);
    /* issues or imports of no coupon; NULL: the visit returns STATUS_DAMAGED there */
    int (*orphan)(void *context, uint64_t coupon_id);
    /* every 100,000 issues; `total` is the sum of issued_quantity of what will be visited */
    void (*progress)(void *context, uint64_t visited, uint64_t total);
};

struct ledger; /* opaque; begins with its operations */

#include "ledger/open.h" /* how each store is opened */

/* ---- any store ---- */

/* Closes, SQLite after folding the WAL into the file. Takes NULL. Returns STATUS_OK, or why the
 * last folding failed (what was committed is safe all the same). */
int ledger_close(struct ledger *ledger, struct complaint *complaint);

/* The latest moment the record tells of: issues, creations, changes. 0 when empty. */
int MUST_CHECK ledger_latest_us(struct ledger *ledger, int64_t *ret_latest_us);

/* One transaction: all issues, in the order given (a coupon's by rank), and the new count of
 * every coupon among them; durable when it returns STATUS_OK (I3). No issues: nothing is
 * written. STATUS_CONFLICT: they contradict the record (a rank taken, more than total_quantity,
 * no such coupon), nothing was written, the caller's memory is wrong: read the record again. */
int MUST_CHECK ledger_append(struct ledger *ledger, const struct issue_row *issues,
                             size_t issue_count, const struct issued_count *counts,
                             size_t coupon_count, struct complaint *complaint);

/* One transaction: an issue for each of `users`, whose ranks are the import's, the coupon's
 * new count, the import's own row and an audit by "import". STATUS_CONFLICT, and then nothing
 * written, as for ledger_append; neither period nor pause are looked at, nor who holds one. */
int MUST_CHECK ledger_import(struct ledger *ledger, const struct coupon_import *import,
                             const struct slice *users, struct complaint *complaint);

/* Inserts the coupon with its first revision; id 0: the next free id is put into
 * coupon->id (STATUS_FULL: 2^53-1 is taken). version, issued_quantity and archived_us are
 * set to 1, 0, 0. STATUS_EXISTS: the id is taken, archived ones included. STATUS_INVALID: a
 * value the schema forbids. STATUS_CONFLICT: the key was used. `key` and `audit` may be NULL:
 * the change then has no row in `audits`. */
int MUST_CHECK ledger_coupon_create(struct ledger *ledger, struct coupon_record *coupon,
                                    const struct creation_key *key, const struct audit *audit,
                                    struct complaint *complaint);

/* Who was created with this key. STATUS_NOT_FOUND; STATUS_CONFLICT: with another digest. */
int MUST_CHECK ledger_creation_read(struct ledger *ledger, const struct creation_key *key,
                                    uint64_t *ret_coupon_id);

/* Writes all of the coupon but issued_quantity and created_us, and its revision, whose
 * first_rank is issued_quantity + 1 (of the ledger, not of `coupon`). The caller has raised
 * `version` by one; STATUS_CONFLICT: the ledger's is another. STATUS_NOT_FOUND,
 * STATUS_INVALID: a value the schema forbids, as a total below what is issued. */
int MUST_CHECK ledger_coupon_change(struct ledger *ledger, const struct coupon_record *coupon,
                                    const struct audit *audit, struct complaint *complaint);

/* Reads. STATUS_NOT_FOUND; STATUS_IO or STATUS_DAMAGED when the record cannot be read. */
int MUST_CHECK ledger_coupon_read(struct ledger *ledger, uint64_t coupon_id,
                                  struct coupon_record *ret_coupon);
/* Up to `limit` (<= LEDGER_SLICE_MAX) coupons with id > after_id, by id, archived included. */
int MUST_CHECK ledger_coupons_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                                   struct coupon_record *ret_coupons, size_t *ret_count);
int MUST_CHECK ledger_issue_read(struct ledger *ledger, struct issue_reference reference,
                                 struct issue_record *ret_issue);
/* Up to `limit` (<= LEDGER_SLICE_MAX) issues of the coupon with rank > after.rank, by rank. */
int MUST_CHECK ledger_issues_read(struct ledger *ledger, struct issue_reference after, size_t limit,
                                  struct issue_record *ret_issues, size_t *ret_count);
/* Up to `limit` (<= LEDGER_SLICE_MAX) audits with id > after_id, by id. */
int MUST_CHECK ledger_audits_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                                  struct audit_record *ret_audits, size_t *ret_count);

/* Hands the whole record, as it was at one moment, to the visitor, which makes no call of this
 * ledger. STATUS_DAMAGED when rows contradict the schema. */
int MUST_CHECK ledger_visit(struct ledger *ledger, const struct ledger_visitor *visitor,
                            struct complaint *complaint);

/* Writes and commits one row that means nothing: tells whether writing works again. */
int MUST_CHECK ledger_probe(struct ledger *ledger, struct complaint *complaint);

/* Housekeeping between batches (SQLite: checkpoint when due, or sooner when `idle`: nobody
 * waits; SQL: nothing). STATUS_AMBIGUOUS as for a write; STATUS_IO or STATUS_FULL: it will be
 * tried again. */
int MUST_CHECK ledger_tend(struct ledger *ledger, bool idle, struct complaint *complaint);

/* The store's own check (SQLite: PRAGMA quick_check of the file; SQL: the keys and CHECKs that
 * the promises rest on are there, and valid). STATUS_DAMAGED. */
int MUST_CHECK ledger_check(struct ledger *ledger, struct complaint *complaint);

#include "ledger/partitions.h" /* … and the queues of the distributed protocol */
#include "ledger/settle.h"     /* what programs that share a ledger ask of it */
#include "ledger/store.h"      /* how a store joins */

#endif

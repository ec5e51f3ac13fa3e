/* How each way to run is started. A part of issuer.h, which includes it. */
#ifndef COUPON_ISSUER_START_H
#define COUPON_ISSUER_START_H

#include "issuer/issuer.h"

struct issuer;

/* ---- the embedded issuer ---- */

struct issuer_local_options {
    const char *directory;     /* the data folder */
    const char *vfs;           /* SQLite VFS; NULL: the default */
    size_t queue_max;          /* claims that may wait; more: STATUS_FULL */
    size_t coupons_max;        /* coupons not archived */
    int64_t probe_interval_us; /* after a failure, how long until each new try to write */
    int64_t held_size_max; /* this and `held` (may be NULL) as in struct ledger_sqlite_options */
    void (*held)(void *context, bool broken, int64_t log_size);
    int64_t (*clock_source)(void *context); /* NULL: CLOCK_REALTIME */
    void *clock_context;
    struct digest_key digest_key; /* random, from the caller */
    /* In the writer's thread, on every change of state; may be NULL. BROKEN and the end of
     * a start that failed (`why` says what to do) want the process to stop. */
    void (*state_changed)(void *context, enum issuer_state state, const char *why);
    /* In the writer's thread while it reads a long record; may be NULL. */
    void (*progress)(void *context, uint64_t issues, uint64_t total);
    void *context;
};
void issuer_local_options_default(struct issuer_local_options *ret_options);

/* Opens the ledger (STATUS_BUSY, DAMAGED, NEWER, IO at once; INVALID: the record is over 60 s
 * ahead of the clock) and starts the writer, which reads the record: STARTING until it is
 * READY, or BROKEN when the record cannot be used. */
int MUST_CHECK issuer_local_start(const struct issuer_local_options *options,
                                  struct issuer **ret_issuer, struct complaint *complaint);

/* ---- SQL: a ledger that any number of nodes share ---- */

struct issuer_sql_options {
    struct ledger_sql_options ledger;
    size_t queue_max;            /* claims that may wait; more: STATUS_FULL */
    int64_t probe_interval_us;   /* after a failure, how long until each new try to write */
    int64_t refresh_interval_us; /* how often the published quantities are read anew */
    int64_t outcome_timeout_us;  /* how long a COMMIT without an answer is asked after */
    void (*state_changed)(void *context, enum issuer_state state, const char *why);
    void *context;
};
void issuer_sql_options_default(struct issuer_sql_options *ret_options);

/* Opens the ledger twice, for a writer's thread and a reader's, and is READY. Each step of the
 * writer settles all waiting claims in one transaction (see ledger_settle). STATUS_INVALID: the
 * URL, a ledger that is no shared one, or a record over 60 s ahead of the server's clock; and as
 * for ledger_open_url. Never BROKEN: what a lost COMMIT did, the ledger tells. */
int MUST_CHECK issuer_sql_start(const struct issuer_sql_options *options,
                                struct issuer **ret_issuer, struct complaint *complaint);

/* ---- Redis in front of such a ledger ---- */

struct issuer_redis_options {
    const char *redis_url;
    struct ledger_sql_options ledger;
    size_t queue_max;            /* claims in hand; more: STATUS_FULL */
    int64_t answer_timeout_us;   /* how long a claim waits for its verdict: then VERDICT_ADMITTED */
    int64_t refresh_interval_us; /* how often published quantities are read anew, and gates looked
                                    at */
    void (*state_changed)(void *context, enum issuer_state state, const char *why);
    void (*rebuilt)(void *context, unsigned partition, uint64_t epoch); /* the keeper's thread */
    void *context;
};
void issuer_redis_options_default(struct issuer_redis_options *ret_options);

/* Opens the ledger for each of its threads and begins to connect to Redis: STARTING until both can
 * be used, UNWRITABLE whenever one cannot, and back by itself. Errors as for issuer_sql_start. */
int MUST_CHECK issuer_redis_start(const struct issuer_redis_options *options,
                                  struct issuer **ret_issuer, struct complaint *complaint);

#endif

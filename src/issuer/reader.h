/* reader: a thread that answers what is asked of a shared ledger, and publishes its quantities.
 *
 * It has a connection of its own, so that reads and claims do not wait for each other. Not for:
 * claims, creations, changes. Internal to issuer/: for the sql and redis issuers. */
#ifndef COUPON_ISSUER_READER_H
#define COUPON_ISSUER_READER_H

#include "issuer/board.h"
#include "issuer/queue.h"

struct reader {
    struct ledger *ledger;
    uint64_t session; /* of the ledger, at the present command's first read; 0: none yet */
    struct queue queue;
    struct board *board;        /* as of the last refresh; the reader's to change */
    struct issue_record *slice; /* LEDGER_SLICE_MAX */
    struct coupon_record *coupons;
    size_t coupons_max;
    int64_t refresh_interval_us;
    int64_t refresh_at_us; /* monotonic */
    uint64_t refresh;      /* counts them */
    _Atomic uint64_t issues;
    pthread_t thread;
};

/* Coupons that published quantities are kept of. */
#define READER_COUPONS_MAX 262144

/* Opens a ledger for one of a node's threads. STATUS_INVALID also: it is no shared one, or the
 * record is over 60 s ahead of the server's clock. */
int MUST_CHECK ledger_open_shared(const struct ledger_sql_options *options,
                                  struct ledger **ret_ledger, struct complaint *complaint);

/* Takes the ledger over, closes it on failure too, and starts the thread. STATUS_NO_MEMORY. */
int MUST_CHECK reader_start(struct reader *reader, struct ledger *ledger, size_t coupons_max,
                            int64_t refresh_interval_us);
/* As issuer_submit, for commands that read. Any thread. */
int MUST_CHECK reader_submit(struct reader *reader, struct job *job);
/* Answers what waits, closes the ledger, joins the thread. The board can still be read. */
void reader_stop(struct reader *reader);
void reader_done(struct reader *reader);

#endif

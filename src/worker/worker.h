/* worker: settles what waits in the queues of Redis in the SQL ledger, exactly once.
 *
 * Any number of workers do this at the same time, of all partitions each: who comes to a partition
 * that another is at goes on to the next. Not for: claims (issuer) or HTTP. Called by coupon
 * worker.
 *
 * One thread, the one that calls worker_run.
 */
#ifndef COUPON_WORKER_H
#define COUPON_WORKER_H

#include "partition/partition.h"

struct worker;

enum worker_state {
    WORKER_STARTING,
    WORKER_WORKING,
    WORKER_REDIS_AWAY,  /* and tries again by itself, for ever … */
    WORKER_LEDGER_AWAY, /* … as here */
};

struct worker_options {
    struct partition_link_options link;
    int64_t poll_interval_us;  /* how often all queues are looked at, hint or not */
    int64_t check_interval_us; /* how often Redis is asked what it has heard of */
    /* Changes only, in worker_run's thread; may be NULL. */
    void (*state_changed)(void *context, enum worker_state state, const char *why);
    /* A queue that lacks entries was given up and its next epoch begun; may be NULL. */
    void (*rebuilt)(void *context, unsigned partition, uint64_t epoch, const char *why);
    void *context;
};
void worker_options_default(struct worker_options *ret_options);

/* Opens the ledger; Redis is waited for in worker_run. Errors as of partition_link_open. */
int MUST_CHECK worker_new(const struct worker_options *options, struct worker **ret_worker,
                          struct complaint *complaint);
/* Works until worker_stop. A settlement under way is finished. */
void worker_run(struct worker *worker);
/* From any thread or a signal's handler. */
void worker_stop(struct worker *worker);
void worker_free(struct worker *worker); /* takes NULL */

struct worker_figures {
    uint64_t settlements; /* transactions that settled something */
    uint64_t claims;
    uint64_t issued;
    uint64_t rejected;
};
/* The thread of worker_run, or after it. */
struct worker_figures worker_figures(const struct worker *worker);

#endif

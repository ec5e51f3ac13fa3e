/* queue_link: opens a ledger and, where it is wanted, the Redis in front of it, for commands that
 * an operator gives. Internal to cli/: for rejects, rebuild and verify. */
#ifndef COUPON_CLI_QUEUE_LINK_H
#define COUPON_CLI_QUEUE_LINK_H

#include "partition/partition.h"

struct queue_urls {
    const char *ledger;
    const char *redis;    /* NULL: without */
    bool reads_only;      /* nothing is written to the ledger by this session */
    bool weak_durability; /* as in struct ledger_sql_options */
};

/* *ret_link is NULL without Redis, else the ledger is the link's. Waits until Redis answers.
 * STATUS_INVALID: a URL, or a ledger in a file, which has no queue; STATUS_IO: Redis does not
 * answer; and as for ledger_open_url. */
int MUST_CHECK queue_link_open(const struct queue_urls *urls, struct ledger **ret_ledger,
                               struct partition_link **ret_link, struct complaint *complaint);
/* Takes NULL for both. */
void queue_link_close(struct ledger *ledger, struct partition_link *link);

#endif

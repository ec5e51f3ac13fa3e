/* verify_redis: Redis against the record it stands before. Internal to cli/: for verify. */
#ifndef COUPON_CLI_VERIFY_REDIS_H
#define COUPON_CLI_VERIFY_REDIS_H

/* Compares and prints every difference with what it means; changes nothing, and nodes and workers
 * may go on meanwhile. Returns an exit code: 1 only where Redis says more than is true, 2 where it
 * could not be compared. */
int verify_redis(const char *redis_url, const char *ledger_url);

#endif

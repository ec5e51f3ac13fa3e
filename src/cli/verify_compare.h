/* What the two halves of the comparison share. Not for anyone else: outside there is only
 * verify_redis.h.
 *
 *   verify_redis.c    partitions: gates against cursors, queues; the whole
 *   verify_coupons.c  coupons: terms, counts, seats, holders
 *
 * Whatever changes meanwhile must not look like a violation. So Redis is always read first: what it
 * says is settled, the ledger has by then, and still has when it is asked after. */
#ifndef COUPON_CLI_VERIFY_COMPARE_H
#define COUPON_CLI_VERIFY_COMPARE_H

#include "cli/queue_link.h"

/* Entries and holders a call. */
#define COMPARE_SLICE 1000

/* An entry of a queue. */
struct flight {
    uint64_t n;
    uint64_t coupon_id; /* 0: unreadable */
    size_t claim_count;
};

/* What was found of a partition. */
struct compared {
    bool usable; /* gate and ledger are of one epoch: its coupons can be compared */
    struct partition_status gate;
    struct ledger_cursor cursor; /* read after gate and queue */
    struct flight *flights;
    size_t flight_count;
    size_t flight_capacity;
    uint64_t gap_n; /* the first entry that is missing behind the cursor; 0: none */
};

/* A user of `holders`; the text is in struct comparison. */
struct holder {
    size_t offset;
    size_t size;
    uint64_t n;
};

struct comparison {
    struct partition_link *link;
    struct ledger *ledger;
    struct complaint *complaint;
    struct compared partitions[PARTITION_COUNT];
    struct buffer texts; /* of a slice of holders */
    struct holder *holders;
    size_t holder_count;
    size_t holder_capacity;
    struct settle_claim *claims; /* SETTLE_CLAIMS_MAX */
    struct coupon_record coupon; /* read again */
    uint64_t lines;
    uint64_t violations;
    uint64_t differences;
    uint64_t used;
    uint64_t coupons;
    uint64_t in_flight;
    uint64_t lost;
};

/* Prints "WHAT: …"; after a thousand lines it only counts. */
void PRINTF_LIKE(3, 4)
    compare_tell(struct comparison *comparison, const char *what, const char *format, ...);

#define VIOLATION(comparison, invariant, ...)                                                      \
    do {                                                                                           \
        (comparison)->violations++;                                                                \
        compare_tell((comparison), "violation of " invariant, __VA_ARGS__);                        \
    } while (0)

#define DIFFERENCE(comparison, ...)                                                                \
    do {                                                                                           \
        (comparison)->differences++;                                                               \
        compare_tell((comparison), "difference", __VA_ARGS__);                                     \
    } while (0)

/* ledger_cursors_read, with a complaint. */
int MUST_CHECK compare_cursors(struct comparison *comparison,
                               struct ledger_cursor ret_cursors[static PARTITION_COUNT]);

/* All coupons whose partitions are usable. */
int MUST_CHECK compare_coupons(struct comparison *comparison);

#endif

/* partition: the queue of one sixty-fourth of all coupons, on its way from Redis to the ledger.
 *
 * For: the names of the keys, reading entries, settling them in the ledger and telling Redis so,
 * and the rebuild that begins a new epoch. Not for: admitting claims (issuer) or looking for work
 * (worker). The distributed protocol is docs/scaling.md; what Redis does is src/redis/coupon.lua.
 *
 * A link is a Redis client and a ledger in one thread, asked one thing after the other: every call
 * here blocks until it has its answer, while the link's loop runs. Called by the worker, by the
 * redis issuer's keeper, by verify and rebuild.
 */
#ifndef COUPON_PARTITION_H
#define COUPON_PARTITION_H

#include "base/base.h"
#include "ledger/ledger.h"
#include "redis/redis.h"

/* ---- names ---- */

#define PARTITION_KEY_MAX 80

/* Room for the name of a key. */
struct partition_key {
    char text[PARTITION_KEY_MAX];
    size_t size;
};

static inline struct slice partition_key_view(const struct partition_key *key) {
    return (struct slice){key->text, key->size};
}

struct partition_key partition_key_gate(unsigned partition);
struct partition_key partition_key_queue(unsigned partition, uint64_t epoch);
struct partition_key partition_key_meta(uint64_t coupon_id);
struct partition_key partition_key_holders(uint64_t coupon_id, uint64_t epoch);

/* Messages: after a settlement what it issued (partition_issued_read), and, when Redis knows,
 * "<partition> <epoch> <n>"; "<partition> <epoch>" when there is work. */
#define PARTITION_CHANNEL_SETTLED "coupon:settled"
#define PARTITION_CHANNEL_QUEUED  "coupon:queued"

/* STATUS_INVALID. */
int MUST_CHECK partition_settled_read(struct slice message, struct ledger_cursor *ret_cursor);
int MUST_CHECK partition_queued_read(struct slice message, struct ledger_cursor *ret_cursor);

#define PARTITION_ENTRIES_MAX 1024 /* of one settlement */

/* What the COMMIT of a settlement made of an entry whose claims were all issued: its claim i, from
 * 0, has the rank `rank` + i. Of any other entry the ledger must be asked. */
struct partition_issued {
    uint32_t rank; /* 0: any other */
    int64_t issued_at_us;
    struct slice claim_id; /* of the first claim: whose entry it is. The message's */
};

/* Reads "<partition> <epoch> <n>" and, for each of the entries n + 1, n + 2 …, " <rank>
 * <issued_at_us> <claim id>", with 0 0 - for any other. STATUS_INVALID, also when they are more
 * than `room`. */
int MUST_CHECK partition_issued_read(struct slice message, struct ledger_cursor *ret_before,
                                     struct partition_issued *ret_entries, size_t room,
                                     size_t *ret_count);

/* ---- entries ---- */

/* Bytes of an unreadable entry that are kept, so that a reject fits one statement of any server. */
#define PARTITION_RAW_MAX 8192

/* One entry of a queue. Its claims' texts are the reply's. */
struct partition_entry {
    uint64_t n;
    uint64_t coupon_id; /* 0: unreadable */
    int64_t admitted_us;
    struct slice packed; /* its claims; all of it when it is unreadable */
    size_t claim_count;
};

/* Reads an element of XRANGE's reply. STATUS_DAMAGED: not even its number can be read. What is
 * wrong inside makes it unreadable (coupon_id 0), which is settled as a reject. */
int MUST_CHECK partition_entry_read(const redisReply *element, unsigned partition,
                                    struct partition_entry *ret_entry);
/* Puts the entry's claims, or one for an unreadable entry, behind each other. Room for them. */
void partition_entry_claims(const struct partition_entry *entry, struct settle_claim *ret_claims);

/* ---- the link ---- */

struct partition_link;

struct partition_link_options {
    struct redis_options redis; /* its library is ours to set */
    struct ledger_sql_options ledger;
};

/* Opens the ledger and begins to connect to Redis, which is not waited for. STATUS_INVALID: a URL,
 * or a ledger that is no shared one; and as for ledger_open_url. */
int MUST_CHECK partition_link_open(const struct partition_link_options *options,
                                   struct partition_link **ret_link, struct complaint *complaint);
void partition_link_close(struct partition_link *link); /* takes NULL */
struct ledger *partition_link_ledger(struct partition_link *link);
struct redis_client *partition_link_redis(struct partition_link *link);
uv_loop_t *partition_link_loop(struct partition_link *link);

/* Takes an answer while it lasts; a negative return is the call's. */
typedef int partition_take(void *context, const redisReply *reply);

/* One call, waited for. An error answer is STATUS_INVALID with its words in the complaint; else the
 * statuses of redis_done. `take` may be NULL. */
int MUST_CHECK partition_call(struct partition_link *link, struct slice key,
                              const struct slice *words, size_t word_count, partition_take *take,
                              void *context, struct complaint *complaint);

/* ---- settling ---- */

struct partition_progress {
    uint64_t entries;
    uint64_t claims;
    uint64_t issued;
    uint64_t rejected;
    bool more; /* there may be more to settle now */
};

/* Settles up to SETTLE_CLAIMS_MAX claims that wait in the partition's queue, in one transaction,
 * and tells Redis. STATUS_OK also when nothing waits. STATUS_BUSY: another program is at it.
 * STATUS_CONFLICT: entries are missing, the partition wants a rebuild. STATUS_IO, AMBIGUOUS and
 * the like: try again later; the cursor tells how far it came. */
int MUST_CHECK partition_settle(struct partition_link *link, unsigned partition,
                                struct partition_progress *ret_progress,
                                struct complaint *complaint);

/* The partition was heard to be at this epoch: another one than was last seen is asked for anew. */
void partition_heard(struct partition_link *link, unsigned partition, uint64_t epoch);

/* Tells Redis of settlements that it has not heard of, as when the worker ended between its COMMIT
 * and its call. STATUS_CONFLICT: the queue lacks entries that wait to be settled (the server has
 * evicted it, say), the partition wants a rebuild. */
int MUST_CHECK partition_catch_up(struct partition_link *link, unsigned partition,
                                  struct complaint *complaint);

/* ---- gates ---- */

/* How a partition stands, for figures and verify. */
struct partition_status {
    uint64_t epoch; /* of the gate; 0: it is closed */
    uint64_t n;     /* entries admitted in this epoch */
    uint64_t settled_n;
    bool open;         /* and the server is the one that opened it */
    uint64_t queued;   /* entries in the queue */
    int64_t oldest_us; /* of the first of them; 0: none */
};
int MUST_CHECK partition_status_read(struct partition_link *link, unsigned partition,
                                     uint64_t epoch, struct partition_status *ret_status,
                                     struct complaint *complaint);

/* Rebuilds: closes the gate, settles what can still be read, begins the next epoch in the ledger
 * (which fences every late worker and every old master) and opens its gate. Any number of
 * programs may do so at once. A gate that is as the ledger says stays, unless `always`. */
int MUST_CHECK partition_reopen(struct partition_link *link, unsigned partition, bool always,
                                uint64_t *ret_epoch, struct complaint *complaint);
/* Closes the gate and settles what is queued: before a coupon's terms change. */
int MUST_CHECK partition_drain(struct partition_link *link, unsigned partition,
                               struct complaint *complaint);

/* Tells Redis a coupon's terms and counts, for this epoch. STATUS_NOT_FOUND: there is none, or it
 * is archived; STATUS_CONFLICT: the gate is closed or of another epoch. */
int MUST_CHECK partition_load(struct partition_link *link, uint64_t coupon_id, uint64_t epoch,
                              struct complaint *complaint);

#endif

/* What a settlement issued, told on a channel to the nodes whose claims wait for it: who hears it
 * answers at once, who misses it asks the ledger a little later. Said only after the COMMIT, and
 * true for ever then: an entry of an epoch is settled once, and issues do not change. See
 * partition.h. */
#include "partition/internal.h"

/* ---- saying it ---- */

/* Whether the claims of one entry, in its order, were all issued, one rank after the other. */
static bool is_whole(const struct settle_claim *claims, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (claims[i].outcome != SETTLE_ISSUED || claims[i].index != i ||
            claims[i].rank != claims[0].rank + i ||
            claims[i].issued_at_us != claims[0].issued_at_us) {
            return false;
        }
    }
    return true;
}

static void entries_append(struct buffer *text, const struct settle_claim *claims, size_t count) {
    for (size_t at = 0; at < count;) {
        size_t size = 1;
        while (at + size < count && claims[at + size].n == claims[at].n) {
            size++;
        }
        bool whole = is_whole(&claims[at], size);
        buffer_text(text, " ");
        buffer_u64(text, whole ? claims[at].rank : 0);
        buffer_text(text, " ");
        buffer_u64(text, whole ? (uint64_t)claims[at].issued_at_us : 0);
        buffer_text(text, " ");
        buffer_slice(text, whole ? claims[at].claim_id : slice_of("-"));
        at += size;
    }
}

static void said(void *context, int status, const redisReply *reply) {
    (void)context; /* who has not heard it asks the ledger */
    (void)status;
    (void)reply;
}

/* To the server that coupon_settled() goes to next: its word, that they are settled, comes behind.
 */
void tell_issued(struct partition_link *link, const struct ledger_cursor *before,
                 const struct settle_claim *claims, size_t count) {
    struct partition_key queue = partition_key_queue(before->partition, before->epoch);
    struct buffer text;
    buffer_init(&text);
    buffer_format(&text, "%02u %llu %llu", before->partition, (unsigned long long)before->epoch,
                  (unsigned long long)before->n);
    entries_append(&text, claims, count);
    struct slice words[] = {slice_of("PUBLISH"), slice_of(PARTITION_CHANNEL_SETTLED),
                            buffer_view(&text)};
    if (!text.failed) {
        int status = redis_call(link->redis, partition_key_view(&queue), words, COUNT_OF(words), 0,
                                said, NULL);
        (void)status; /* as in said() */
    }
    buffer_done(&text);
}

/* ---- hearing it ---- */

static int entry_read(struct slice *message, struct partition_issued *ret_entry) {
    uint64_t rank, issued_at_us;
    if (slice_to_u64(word_take(message), UINT32_MAX, &rank) ||
        slice_to_u64(word_take(message), (uint64_t)TIME_US_MAX, &issued_at_us)) {
        return STATUS_INVALID;
    }
    struct slice claim_id = word_take(message);
    if (claim_id.size == 0) {
        return STATUS_INVALID;
    }
    *ret_entry = (struct partition_issued){(uint32_t)rank, (int64_t)issued_at_us, claim_id};
    return STATUS_OK;
}

int partition_issued_read(struct slice message, struct ledger_cursor *ret_before,
                          struct partition_issued *ret_entries, size_t room, size_t *ret_count) {
    struct ledger_cursor before;
    size_t count = 0;
    if (partition_word_read(word_take(&message), &before.partition) ||
        slice_to_u64(word_take(&message), INT64_MAX, &before.epoch) ||
        slice_to_u64(word_take(&message), INT64_MAX, &before.n)) {
        return STATUS_INVALID;
    }
    while (message.size > 0) {
        if (count == room || entry_read(&message, &ret_entries[count])) {
            return STATUS_INVALID;
        }
        count++;
    }
    *ret_before = before;
    *ret_count = count;
    return STATUS_OK;
}

/* Entries of a queue: what coupon_claim wrote, as claims for the ledger. Whatever stands in Redis
 * is input: it is judged here, and what cannot be is kept as a reject. See partition.h. */
#include "partition/partition.h"

/* "<size>:<bytes>", taken from the front. */
static int text_take(struct slice *packed, size_t size_max, struct slice *ret_text) {
    const char *colon = packed->size > 0 ? memchr(packed->bytes, ':', packed->size) : NULL;
    uint64_t size = 0;
    if (!colon) {
        return STATUS_INVALID;
    }
    struct slice digits = {packed->bytes, (size_t)(colon - packed->bytes)};
    if (slice_to_u64(digits, size_max, &size)) {
        return STATUS_INVALID;
    }
    size_t used = digits.size + 1 + (size_t)size;
    if (used > packed->size) {
        return STATUS_INVALID;
    }
    *ret_text = (struct slice){colon + 1, (size_t)size};
    *packed = (struct slice){packed->bytes + used, packed->size - used};
    return STATUS_OK;
}

static int claim_take(struct slice *packed, struct settle_claim *ret_claim) {
    struct settle_claim claim = {.coupon_id = 0};
    if (text_take(packed, CLAIM_ID_MAX, &claim.claim_id) ||
        text_take(packed, USER_ID_MAX, &claim.user_id) ||
        text_take(packed, REQUEST_KEY_MAX, &claim.request_key) || claim.claim_id.size == 0 ||
        !slice_is_visible(claim.claim_id) || !user_id_is_valid(claim.user_id) ||
        !slice_is_visible(claim.request_key)) {
        return STATUS_INVALID;
    }
    *ret_claim = claim;
    return STATUS_OK;
}

/* How many claims it holds; 0: it is none of ours. */
static size_t claims_count(struct slice packed) {
    struct settle_claim claim;
    size_t count = 0;
    while (packed.size > 0) {
        if (count == SETTLE_CLAIMS_MAX || claim_take(&packed, &claim)) {
            return 0;
        }
        count++;
    }
    return count;
}

static bool is_text(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static struct slice text_of(const redisReply *reply) {
    return (struct slice){reply->str, (size_t)reply->len};
}

/* "<n>-0" */
static int number_read(struct slice id, uint64_t *ret_n) {
    if (id.size < 3 || memcmp(id.bytes + id.size - 2, "-0", 2) != 0) {
        return STATUS_DAMAGED;
    }
    return slice_to_u64((struct slice){id.bytes, id.size - 2}, INT64_MAX, ret_n) ? STATUS_DAMAGED
                                                                                 : STATUS_OK;
}

/* The value of a field; size 0: there is none. */
static struct slice field_of(const redisReply *fields, const char *name) {
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (is_text(fields->element[i]) && is_text(fields->element[i + 1]) &&
            slice_is(text_of(fields->element[i]), name)) {
            return text_of(fields->element[i + 1]);
        }
    }
    return (struct slice){NULL, 0};
}

static int fields_read(const redisReply *fields, unsigned partition,
                       struct partition_entry *entry) {
    uint64_t time_us;
    uint64_t coupon_id;
    if (slice_to_u64(field_of(fields, "coupon"), (uint64_t)JSON_INTEGER_MAX, &coupon_id) ||
        slice_to_u64(field_of(fields, "time_us"), (uint64_t)TIME_US_MAX, &time_us) ||
        coupon_id == 0 || time_us == 0 || partition_of(coupon_id) != partition) {
        return STATUS_INVALID;
    }
    size_t count = claims_count(field_of(fields, "claims"));
    if (count == 0) {
        return STATUS_INVALID;
    }
    entry->coupon_id = coupon_id;
    entry->admitted_us = (int64_t)time_us;
    entry->packed = field_of(fields, "claims");
    entry->claim_count = count;
    return STATUS_OK;
}

int partition_entry_read(const redisReply *element, unsigned partition,
                         struct partition_entry *ret_entry) {
    if (element->type != REDIS_REPLY_ARRAY || element->elements != 2 ||
        !is_text(element->element[0])) {
        return STATUS_DAMAGED;
    }
    struct partition_entry entry = {.claim_count = 1};
    if (number_read(text_of(element->element[0]), &entry.n)) {
        return STATUS_DAMAGED;
    }
    const redisReply *fields = element->element[1];
    if (fields->type != REDIS_REPLY_ARRAY || fields_read(fields, partition, &entry)) {
        entry.packed = fields->type == REDIS_REPLY_ARRAY ? field_of(fields, "claims")
                                                         : (struct slice){NULL, 0};
        if (entry.packed.size == 0) {
            entry.packed = text_of(element->element[0]); /* a reject has some text */
        }
        if (entry.packed.size > PARTITION_RAW_MAX) {
            entry.packed.size = PARTITION_RAW_MAX;
        }
    }
    *ret_entry = entry;
    return STATUS_OK;
}

void partition_entry_claims(const struct partition_entry *entry, struct settle_claim *ret_claims) {
    if (entry->coupon_id == 0) {
        ret_claims[0] = (struct settle_claim){.raw = entry->packed, .n = entry->n};
        return;
    }
    struct slice packed = entry->packed;
    for (uint32_t i = 0; i < entry->claim_count; i++) {
        int status = claim_take(&packed, &ret_claims[i]);
        assert(status == STATUS_OK); /* as it was counted */
        ret_claims[i].coupon_id = entry->coupon_id;
        ret_claims[i].admitted_us = entry->admitted_us;
        ret_claims[i].n = entry->n;
        ret_claims[i].index = i;
    }
}

/* Coupons in Redis against the record: terms, counts, seats, and who holds what. See
 * verify_compare.h. */
#include "cli/verify_compare.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- replies ---- */

/* Size 0: there is none. */
static struct slice text_at(const redisReply *reply, size_t at) {
    if (reply->type != REDIS_REPLY_ARRAY || at >= reply->elements ||
        reply->element[at]->type != REDIS_REPLY_STRING) {
        return (struct slice){NULL, 0};
    }
    return (struct slice){reply->element[at]->str, (size_t)reply->element[at]->len};
}

/* A whole number, "-" in front of it allowed. */
static int integer_at(const redisReply *reply, size_t at, int64_t *ret_integer) {
    struct slice text = text_at(reply, at);
    uint64_t number = 0;
    bool below = text.size > 0 && text.bytes[0] == '-';
    struct slice digits = {text.bytes + below, text.size - below};
    if (digits.size == 0 || slice_to_u64(digits, INT64_MAX, &number)) {
        return STATUS_DAMAGED;
    }
    *ret_integer = below ? -(int64_t)number : (int64_t)number;
    return STATUS_OK;
}

/* ---- holders ---- */

struct holders_reading {
    struct comparison *comparison;
    char cursor[24]; /* of HSCAN; "0": the end */
};

/* Of "<claim id>:<n>:<idx>" the n; 0: it is none. */
static uint64_t place_of(struct slice value) {
    uint64_t n = 0;
    const char *first = value.size > 0 ? memchr(value.bytes, ':', value.size) : NULL;
    if (!first) {
        return 0;
    }
    struct slice rest = {first + 1, value.size - (size_t)(first + 1 - value.bytes)};
    const char *second = memchr(rest.bytes, ':', rest.size);
    struct slice digits = {rest.bytes, second ? (size_t)(second - rest.bytes) : 0};
    return slice_to_u64(digits, INT64_MAX, &n) ? 0 : n;
}

static int holder_add(struct comparison *comparison, struct slice user, struct slice value) {
    if (comparison->holder_count == comparison->holder_capacity) {
        size_t capacity = comparison->holder_capacity * 2 + COMPARE_SLICE;
        struct holder *holders = realloc(comparison->holders, capacity * sizeof(holders[0]));
        if (!holders) {
            return STATUS_NO_MEMORY;
        }
        comparison->holders = holders;
        comparison->holder_capacity = capacity;
    }
    comparison->holders[comparison->holder_count++] =
        (struct holder){comparison->texts.size, user.size, place_of(value)};
    buffer_slice(&comparison->texts, user);
    return comparison->texts.failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static int holders_take(void *context, const redisReply *reply) {
    struct holders_reading *reading = context;
    struct comparison *comparison = reading->comparison;
    struct slice cursor = text_at(reply, 0);
    if (cursor.size == 0 || cursor.size >= sizeof(reading->cursor) || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY) {
        return complain(comparison->complaint, STATUS_IO, "Redis did not answer with holders");
    }
    memcpy(reading->cursor, cursor.bytes, cursor.size);
    reading->cursor[cursor.size] = '\0';
    const redisReply *fields = reply->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (holder_add(comparison, text_at(fields, i), text_at(fields, i + 1))) {
            return complain(comparison->complaint, STATUS_NO_MEMORY,
                            "not enough memory for holders");
        }
    }
    return STATUS_OK;
}

/* What a slice of holders came to. */
struct holders_found {
    uint64_t untold; /* refused, which Redis has not heard yet */
    uint64_t lost;   /* neither holding an issue nor waiting */
};

/* Of those that were settled by the cursor, who holds nothing. */
static int look(struct comparison *comparison, uint64_t coupon_id, const struct compared *partition,
                const size_t *asked, size_t count, struct holders_found *found) {
    for (size_t i = 0; i < count; i++) {
        const struct holder *holder = &comparison->holders[asked[i]];
        comparison->claims[i] = (struct settle_claim){
            .coupon_id = coupon_id,
            .user_id = {comparison->texts.bytes + holder->offset, holder->size},
        };
    }
    int status = ledger_look(comparison->ledger, comparison->claims, count, comparison->complaint);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        bool holds = comparison->claims[i].outcome == SETTLE_ALREADY_ISSUED;
        bool told = comparison->holders[asked[i]].n <= partition->gate.settled_n;
        found->untold += !holds && !told;
        found->lost += !holds && told;
    }
    return status;
}

static int judge_holders(struct comparison *comparison, uint64_t coupon_id,
                         const struct compared *partition, const struct ledger_cursor *cursor,
                         struct holders_found *found) {
    size_t asked[SETTLE_CLAIMS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < comparison->holder_count; i++) {
        const struct holder *holder = &comparison->holders[i];
        struct slice user = {comparison->texts.bytes + holder->offset, holder->size};
        if (holder->n > cursor->n) {
            found->lost += partition->gap_n > 0 && holder->n >= partition->gap_n;
        } else if (!user_id_is_valid(user)) {
            found->lost++; /* no claim of ours, and nobody can hold an issue under it */
        } else {
            asked[count++] = i;
        }
        if (count == SETTLE_CLAIMS_MAX || (count > 0 && i + 1 == comparison->holder_count)) {
            int status = look(comparison, coupon_id, partition, asked, count, found);
            if (status) {
                return status;
            }
            count = 0;
        }
    }
    return STATUS_OK;
}

/* STATUS_CONFLICT: the partition began a new epoch meanwhile. */
static int compare_holders(struct comparison *comparison, uint64_t coupon_id,
                           const struct compared *partition, struct holders_found *ret_found) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    struct partition_key key = partition_key_holders(coupon_id, partition->cursor.epoch);
    struct holders_reading reading = {.comparison = comparison, .cursor = "0"};
    char count[16];
    snprintf(count, sizeof(count), "%d", COMPARE_SLICE);
    *ret_found = (struct holders_found){0};
    do {
        char from[sizeof(reading.cursor)];
        memcpy(from, reading.cursor, sizeof(from));
        struct slice words[] = {slice_of("HSCAN"), partition_key_view(&key), slice_of(from),
                                slice_of("COUNT"), slice_of(count)};
        buffer_clear(&comparison->texts);
        comparison->holder_count = 0;
        int status = partition_call(comparison->link, words[1], words, COUNT_OF(words),
                                    holders_take, &reading, comparison->complaint);
        if (status == STATUS_OK) {
            status = compare_cursors(comparison, cursors);
        }
        if (status == STATUS_OK &&
            cursors[partition_of(coupon_id)].epoch != partition->cursor.epoch) {
            status = STATUS_CONFLICT;
        }
        if (status == STATUS_OK) {
            status = judge_holders(comparison, coupon_id, partition,
                                   &cursors[partition_of(coupon_id)], ret_found);
        }
        if (status) {
            return status;
        }
    } while (strcmp(reading.cursor, "0") != 0);
    return STATUS_OK;
}

/* ---- a coupon ---- */

/* As Redis has it. */
struct loaded {
    int64_t epoch; /* 0: it is not loaded */
    int64_t version;
    int64_t total;
    int64_t start_us;
    int64_t end_us;
    int64_t paused;
    int64_t admitted;
    int64_t settled;
    int64_t complete;
};

static int loaded_take(void *context, const redisReply *reply) {
    struct loaded *loaded = context;
    int64_t *const members[] = {&loaded->epoch,    &loaded->version, &loaded->total,
                                &loaded->start_us, &loaded->end_us,  &loaded->paused,
                                &loaded->admitted, &loaded->settled, &loaded->complete};
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (integer_at(reply, i, members[i])) {
            loaded->epoch = 0;
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

static int loaded_read(struct comparison *comparison, uint64_t coupon_id,
                       struct loaded *ret_loaded) {
    struct partition_key key = partition_key_meta(coupon_id);
    struct slice words[] = {slice_of("HMGET"),   partition_key_view(&key), slice_of("epoch"),
                            slice_of("version"), slice_of("total"),        slice_of("start_us"),
                            slice_of("end_us"),  slice_of("paused"),       slice_of("admitted"),
                            slice_of("settled"), slice_of("complete")};
    *ret_loaded = (struct loaded){0};
    return partition_call(comparison->link, words[1], words, COUNT_OF(words), loaded_take,
                          ret_loaded, comparison->complaint);
}

static int size_take(void *context, const redisReply *reply) {
    *(int64_t *)context = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    return STATUS_OK;
}

static int holders_count(struct comparison *comparison, uint64_t coupon_id, uint64_t epoch,
                         int64_t *ret_count) {
    struct partition_key key = partition_key_holders(coupon_id, epoch);
    struct slice words[] = {slice_of("HLEN"), partition_key_view(&key)};
    return partition_call(comparison->link, words[1], words, COUNT_OF(words), size_take, ret_count,
                          comparison->complaint);
}

/* Says more than is true? `coupon` was read after `loaded`. */
static void judge_loaded(struct comparison *comparison, const struct loaded *loaded,
                         int64_t holders) {
    const struct coupon_record *coupon = &comparison->coupon;
    unsigned long long id = coupon->id;
    if (loaded->settled > (int64_t)coupon->issued_quantity) {
        VIOLATION(comparison, "I6", "coupon %llu: Redis has %lld issued, and the ledger %u", id,
                  (long long)loaded->settled, coupon->issued_quantity);
    }
    if (loaded->complete && holders < loaded->settled) {
        VIOLATION(comparison, "I7",
                  "coupon %llu: Redis takes itself to know all %lld holders, and knows %lld", id,
                  (long long)loaded->settled, (long long)holders);
    }
    if (loaded->version > (int64_t)coupon->version) {
        VIOLATION(comparison, "I5", "coupon %llu: Redis goes by version %lld, the ledger has %u",
                  id, (long long)loaded->version, coupon->version);
    } else if (loaded->version < (int64_t)coupon->version) {
        DIFFERENCE(comparison, "coupon %llu: it was changed, and Redis still has version %lld", id,
                   (long long)loaded->version);
    } else if (loaded->total != coupon->total_quantity ||
               loaded->start_us != coupon->issue_start_us ||
               loaded->end_us != coupon->issue_end_us || loaded->paused != coupon->paused) {
        VIOLATION(comparison, "I5", "coupon %llu: Redis goes by other terms than version %u has",
                  id, coupon->version);
    }
}

/* Those of the coupon that Redis has not heard to be settled. */
static uint64_t claims_behind(const struct compared *partition, uint64_t coupon_id) {
    uint64_t claims = 0;
    for (size_t i = 0; i < partition->flight_count; i++) {
        const struct flight *flight = &partition->flights[i];
        bool counts = flight->coupon_id == coupon_id && flight->n > partition->gate.settled_n;
        claims += counts ? flight->claim_count : 0;
    }
    return claims;
}

/* Only where nothing moved since the queue was read. */
static int judge_seats(struct comparison *comparison, const struct loaded *loaded,
                       const struct compared *partition) {
    struct partition_status now;
    uint64_t coupon_id = comparison->coupon.id;
    int status = partition_status_read(comparison->link, partition->cursor.partition,
                                       partition->cursor.epoch, &now, comparison->complaint);
    if (status || now.epoch != partition->gate.epoch || now.n != partition->gate.n ||
        now.settled_n != partition->gate.settled_n) {
        return status;
    }
    int64_t behind = (int64_t)claims_behind(partition, coupon_id);
    int64_t held = loaded->admitted - loaded->settled - behind;
    if (held > 0) {
        DIFFERENCE(comparison,
                   "coupon %llu: %lld seats are held by no claim that waits; the next epoch gives "
                   "them back (coupon rebuild --partition %u)",
                   (unsigned long long)coupon_id, (long long)held, partition->cursor.partition);
    } else if (held < 0) {
        DIFFERENCE(comparison,
                   "coupon %llu: %lld claims wait without a seat; the ledger refuses them if there "
                   "is none",
                   (unsigned long long)coupon_id, (long long)-held);
    }
    return STATUS_OK;
}

static void tell_holders(struct comparison *comparison, uint64_t coupon_id,
                         const struct holders_found *found) {
    comparison->lost += found->lost;
    if (found->lost > 0) {
        DIFFERENCE(comparison,
                   "coupon %llu: %llu lost admissions: Redis knows these users, who hold nothing "
                   "and do not wait; they can claim again in the next epoch",
                   (unsigned long long)coupon_id, (unsigned long long)found->lost);
    }
    if (found->untold > 0) {
        DIFFERENCE(comparison,
                   "coupon %llu: %llu users were refused by the ledger, which a worker tells Redis",
                   (unsigned long long)coupon_id, (unsigned long long)found->untold);
    }
}

static int compare_coupon(struct comparison *comparison, uint64_t coupon_id) {
    const struct compared *partition = &comparison->partitions[partition_of(coupon_id)];
    struct loaded loaded;
    struct holders_found found;
    int64_t holders = 0;
    int status = loaded_read(comparison, coupon_id, &loaded);
    if (status || (uint64_t)loaded.epoch != partition->cursor.epoch) {
        return status;
    }
    comparison->coupons++;
    status = holders_count(comparison, coupon_id, partition->cursor.epoch, &holders);
    if (status == STATUS_OK) {
        status = compare_holders(comparison, coupon_id, partition, &found);
    }
    if (status == STATUS_CONFLICT) {
        DIFFERENCE(comparison, "coupon %llu: its partition began a new epoch meanwhile",
                   (unsigned long long)coupon_id);
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = ledger_coupon_read(comparison->ledger, coupon_id, &comparison->coupon);
    }
    if (status) {
        return status;
    }
    judge_loaded(comparison, &loaded, holders);
    tell_holders(comparison, coupon_id, &found);
    return judge_seats(comparison, &loaded, partition);
}

int compare_coupons(struct comparison *comparison) {
    struct coupon_record *coupons = calloc(LEDGER_SLICE_MAX, sizeof(*coupons));
    uint64_t after_id = 0;
    size_t count = LEDGER_SLICE_MAX;
    int status = coupons ? STATUS_OK : STATUS_NO_MEMORY;
    while (status == STATUS_OK && count == LEDGER_SLICE_MAX) {
        status =
            ledger_coupons_read(comparison->ledger, after_id, LEDGER_SLICE_MAX, coupons, &count);
        for (size_t i = 0; status == STATUS_OK && i < count; i++) {
            after_id = coupons[i].id;
            if (!coupons[i].archived_us && comparison->partitions[partition_of(after_id)].usable) {
                status = compare_coupon(comparison, after_id);
            }
        }
    }
    free(coupons);
    return status;
}

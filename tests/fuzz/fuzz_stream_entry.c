/* Entries of a queue as Redis hands them out, and the messages about them. The first byte
 * chooses: any fields and values, or claims that are packed as coupon.lua packs them. What is
 * read as claims must be exactly those that were packed. */
#include "fuzz.h"
#include "partition/partition.h"

#include <stdio.h>

enum { FIELDS_MAX = 16, PACKED_CLAIMS_MAX = 8 };

/* A reply of hiredis made by hand: an id and fields. */
struct element {
    redisReply reply;
    redisReply id;
    redisReply fields;
    redisReply values[FIELDS_MAX];
    redisReply *parts[2];
    redisReply *list[FIELDS_MAX];
};

static void put_text(redisReply *reply, struct slice text) {
    *reply = (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)text.bytes, .len = text.size};
}

static void element_init(struct element *element, struct slice id) {
    *element = (struct element){.parts = {&element->id, &element->fields}};
    element->reply = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2};
    element->reply.element = element->parts;
    element->fields = (redisReply){.type = REDIS_REPLY_ARRAY, .element = element->list};
    put_text(&element->id, id);
}

static void element_add(struct element *element, struct slice text) {
    size_t at = element->fields.elements;
    assert(at < FIELDS_MAX);
    put_text(&element->values[at], text);
    element->list[at] = &element->values[at];
    element->fields.elements = at + 1;
}

static void pack_text(struct buffer *packed, struct slice text) {
    buffer_u64(packed, text.size);
    buffer_text(packed, ":");
    buffer_slice(packed, text);
}

static void pack_claims(struct buffer *packed, const struct settle_claim *claims, size_t count) {
    for (size_t i = 0; i < count; i++) {
        pack_text(packed, claims[i].claim_id);
        pack_text(packed, claims[i].user_id);
        pack_text(packed, claims[i].request_key);
    }
}

/* ---- what must hold of whatever was read ---- */

static void check_readable(const struct partition_entry *entry, unsigned partition,
                           const struct settle_claim *claims) {
    struct buffer again;
    buffer_init(&again);
    assert(entry->coupon_id <= (uint64_t)JSON_INTEGER_MAX);
    assert(partition_of(entry->coupon_id) == partition);
    assert(entry->admitted_us > 0 && entry->admitted_us <= TIME_US_MAX);
    pack_claims(&again, claims, entry->claim_count);
    assert(slice_equal(buffer_view(&again), entry->packed));
    for (size_t i = 0; i < entry->claim_count; i++) {
        assert(claims[i].coupon_id == entry->coupon_id && claims[i].n == entry->n);
        assert(claims[i].index == i && user_id_is_valid(claims[i].user_id));
        assert(claims[i].claim_id.size > 0 && claims[i].raw.size == 0);
    }
    buffer_done(&again);
}

/* Reads the entry; tells whether it has a number at all. */
static bool check_entry(const redisReply *reply, unsigned partition,
                        struct partition_entry *ret_entry) {
    static struct settle_claim claims[SETTLE_CLAIMS_MAX];
    int status = partition_entry_read(reply, partition, ret_entry);
    assert(status == STATUS_OK || status == STATUS_DAMAGED);
    if (status != STATUS_OK) {
        return false;
    }
    assert(ret_entry->claim_count >= 1 && ret_entry->claim_count <= SETTLE_CLAIMS_MAX);
    assert(ret_entry->packed.size > 0);
    memset(claims, 0, ret_entry->claim_count * sizeof(claims[0]));
    partition_entry_claims(ret_entry, claims);
    if (ret_entry->coupon_id == 0) {
        assert(ret_entry->claim_count == 1 && claims[0].n == ret_entry->n);
        assert(claims[0].raw.size > 0 && claims[0].raw.size <= PARTITION_RAW_MAX);
    } else {
        check_readable(ret_entry, partition, claims);
    }
    return true;
}

/* ---- any fields ---- */

static void any_fields(struct slice input) {
    static const char *const names[] = {"coupon", "time_us", "claims", "n"};
    struct element element;
    struct partition_entry entry;
    unsigned partition = (unsigned)fuzz_number(&input, PARTITION_COUNT - 1);
    element_init(&element, fuzz_text(&input));
    if (fuzz_number(&input, 15) == 15) {
        element.fields.type = (int)fuzz_number(&input, 6);
    }
    while (element.fields.type == REDIS_REPLY_ARRAY && input.size > 0 &&
           element.fields.elements + 1 < FIELDS_MAX) {
        size_t name = (size_t)fuzz_number(&input, COUNT_OF(names));
        element_add(&element, name < COUNT_OF(names) ? slice_of(names[name]) : fuzz_text(&input));
        element_add(&element, fuzz_text(&input));
    }
    check_entry(&element.reply, partition, &entry);
}

/* ---- packed claims ---- */

static struct slice visible(struct slice *input, size_t size_max, size_t size_min,
                            char room[static 129]) {
    struct slice text = fuzz_text(input);
    size_t size = text.size < size_max ? text.size : size_max;
    size = size < size_min ? size_min : size;
    for (size_t i = 0; i < size; i++) {
        room[i] = (char)(0x21 + (i < text.size ? (unsigned char)text.bytes[i] : i) % 94);
    }
    return (struct slice){room, size};
}

static void packed_claims(struct slice input) {
    char rooms[PACKED_CLAIMS_MAX][3][129];
    struct settle_claim claims[PACKED_CLAIMS_MAX] = {0};
    struct partition_entry entry;
    struct element element;
    struct buffer packed;
    char id[32], coupon[24], time[24];
    size_t count = 1 + (size_t)fuzz_number(&input, PACKED_CLAIMS_MAX - 1);
    uint64_t coupon_id = 1 + fuzz_number(&input, (uint64_t)JSON_INTEGER_MAX - 1);
    uint64_t time_us = 1 + fuzz_number(&input, (uint64_t)TIME_US_MAX - 1);
    uint64_t n = fuzz_number(&input, INT64_MAX);
    for (size_t i = 0; i < count; i++) {
        claims[i].claim_id = visible(&input, CLAIM_ID_MAX, 1, rooms[i][0]);
        claims[i].user_id = visible(&input, USER_ID_MAX, 1, rooms[i][1]);
        claims[i].request_key = visible(&input, REQUEST_KEY_MAX, 0, rooms[i][2]);
    }
    buffer_init(&packed);
    pack_claims(&packed, claims, count);
    snprintf(id, sizeof(id), "%llu-0", (unsigned long long)n);
    snprintf(coupon, sizeof(coupon), "%llu", (unsigned long long)coupon_id);
    snprintf(time, sizeof(time), "%llu", (unsigned long long)time_us);
    element_init(&element, slice_of(id));
    const struct slice fields[] = {slice_of("coupon"), slice_of(coupon),   slice_of("time_us"),
                                   slice_of(time),     slice_of("claims"), buffer_view(&packed)};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        element_add(&element, fields[i]);
    }
    bool read = check_entry(&element.reply, partition_of(coupon_id), &entry);
    assert(read && entry.n == n && entry.coupon_id == coupon_id);
    assert(entry.admitted_us == (int64_t)time_us && entry.claim_count == count);
    buffer_done(&packed);
}

/* ---- messages ---- */

static void check_again(struct ledger_cursor cursor, bool settled) {
    char text[80];
    struct ledger_cursor again = {.n = 0};
    snprintf(text, sizeof(text), settled ? "%02u %llu %llu" : "%02u %llu", cursor.partition,
             (unsigned long long)cursor.epoch, (unsigned long long)cursor.n);
    int status = settled ? partition_settled_read(slice_of(text), &again)
                         : partition_queued_read(slice_of(text), &again);
    assert(status == STATUS_OK && again.partition == cursor.partition);
    assert(again.epoch == cursor.epoch && (!settled || again.n == cursor.n));
}

static void messages(struct slice input) {
    enum { ROOM = 8 };
    struct ledger_cursor cursor = {.n = 0};
    struct partition_issued entries[ROOM];
    size_t count = 0;
    char *text = fuzz_exact(input);
    struct slice message = {text, input.size};
    if (partition_settled_read(message, &cursor) == STATUS_OK) {
        check_again(cursor, true);
    }
    cursor = (struct ledger_cursor){.n = 0};
    if (partition_queued_read(message, &cursor) == STATUS_OK) {
        check_again(cursor, false);
    }
    if (partition_issued_read(message, &cursor, entries, ROOM, &count) == STATUS_OK) {
        assert(count <= ROOM && cursor.partition < PARTITION_COUNT);
        for (size_t i = 0; i < count; i++) {
            assert(entries[i].issued_at_us >= 0 && entries[i].issued_at_us <= TIME_US_MAX);
            assert(entries[i].claim_id.size > 0 &&
                   entries[i].claim_id.bytes + entries[i].claim_id.size <= text + input.size);
        }
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    switch (fuzz_number(&input, 2)) {
    case 0:
        any_fields(input);
        break;
    case 1:
        packed_claims(input);
        break;
    default:
        messages(input);
        break;
    }
    return 0;
}

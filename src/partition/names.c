/* The names of keys and the messages of channels, as coupon.lua has them. See partition.h. */
#include "partition/internal.h"

#include <stdarg.h>
#include <stdio.h>

static struct partition_key PRINTF_LIKE(1, 2) key_of(const char *format, ...) {
    struct partition_key key;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(key.text, sizeof(key.text), format, arguments);
    va_end(arguments);
    assert(size > 0 && (size_t)size < sizeof(key.text));
    key.size = (size_t)size;
    return key;
}

struct partition_key partition_key_gate(unsigned partition) {
    return key_of("coupon:{p%02u}:gate", partition);
}

struct partition_key partition_key_queue(unsigned partition, uint64_t epoch) {
    return key_of("coupon:{p%02u}:queue:%llu", partition, (unsigned long long)epoch);
}

struct partition_key partition_key_meta(uint64_t coupon_id) {
    return key_of("coupon:{p%02u}:meta:%llu", partition_of(coupon_id),
                  (unsigned long long)coupon_id);
}

struct partition_key partition_key_holders(uint64_t coupon_id, uint64_t epoch) {
    return key_of("coupon:{p%02u}:holders:%llu:%llu", partition_of(coupon_id),
                  (unsigned long long)coupon_id, (unsigned long long)epoch);
}

struct slice word_take(struct slice *text) {
    const char *space = text->size > 0 ? memchr(text->bytes, ' ', text->size) : NULL;
    struct slice word = {text->bytes, space ? (size_t)(space - text->bytes) : text->size};
    size_t used = word.size + (space ? 1 : 0);
    *text = (struct slice){text->bytes + used, text->size - used};
    return word;
}

int partition_word_read(struct slice text, unsigned *ret_partition) {
    if (text.size != 2 || text.bytes[0] < '0' || text.bytes[0] > '9' || text.bytes[1] < '0' ||
        text.bytes[1] > '9') {
        return STATUS_INVALID;
    }
    unsigned partition = (unsigned)(text.bytes[0] - '0') * 10 + (unsigned)(text.bytes[1] - '0');
    if (partition >= PARTITION_COUNT) {
        return STATUS_INVALID;
    }
    *ret_partition = partition;
    return STATUS_OK;
}

int partition_settled_read(struct slice message, struct ledger_cursor *ret_cursor) {
    struct ledger_cursor cursor;
    if (partition_word_read(word_take(&message), &cursor.partition) ||
        slice_to_u64(word_take(&message), INT64_MAX, &cursor.epoch) ||
        slice_to_u64(message, INT64_MAX, &cursor.n)) {
        return STATUS_INVALID;
    }
    *ret_cursor = cursor;
    return STATUS_OK;
}

int partition_queued_read(struct slice message, struct ledger_cursor *ret_cursor) {
    struct ledger_cursor cursor = {.n = 0};
    if (partition_word_read(word_take(&message), &cursor.partition) ||
        slice_to_u64(message, INT64_MAX, &cursor.epoch)) {
        return STATUS_INVALID;
    }
    *ret_cursor = cursor;
    return STATUS_OK;
}

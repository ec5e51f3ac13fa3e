/* A Redis server's bytes through hiredis' reader into what judges them: the slot map, the
 * verdicts, the entries of queues. Beside them a plain second reading of the slot map, and the
 * slot of a key by a table of its CRC. */
#include "fuzz.h"
#include "partition/partition.h"
#include "redis/internal.h"

#include <stdio.h>

/* ---- the slot map ---- */

struct seen {
    uint16_t owner[SLOT_COUNT]; /* port of the last master that the rows give a slot to */
    size_t rows;
};

static int see(void *context, const struct redis_slot_row *row) {
    struct seen *seen = context;
    seen->rows++;
    assert(row->first <= row->last && row->last < SLOT_COUNT);
    assert(row->port > 0 && row->host.size > 0 && row->host.size < REDIS_HOST_SIZE);
    for (unsigned slot = row->first; row->is_master && slot <= row->last; slot++) {
        seen->owner[slot] = row->port;
    }
    return STATUS_OK;
}

/* The same map with nothing checked: only called once the reading succeeded. */
static size_t naive_slots(const redisReply *reply, uint16_t owner[static SLOT_COUNT]) {
    size_t rows = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *row = reply->element[i];
        rows += row->elements - 2;
        for (long long slot = row->element[0]->integer; slot <= row->element[1]->integer; slot++) {
            owner[slot] = (uint16_t)row->element[2]->element[1]->integer;
        }
    }
    return rows;
}

static void check_slots(const redisReply *reply) {
    static struct seen seen;
    static uint16_t expected[SLOT_COUNT];
    memset(&seen, 0, sizeof(seen));
    memset(expected, 0, sizeof(expected));
    int status = redis_slots_read(reply, slice_of("asked"), see, &seen);
    assert(status == STATUS_OK || (status == STATUS_INVALID && seen.rows == 0));
    if (status == STATUS_OK) {
        assert(naive_slots(reply, expected) == seen.rows);
        assert(memcmp(expected, seen.owner, sizeof(expected)) == 0);
    }
}

/* ---- verdicts ---- */

static void check_verdict(const redisReply *reply) {
    struct redis_redirect redirect = {0};
    enum verdict verdict = redis_verdict_of(reply, &redirect);
    if (reply->type != REDIS_REPLY_ERROR) {
        assert(verdict == VERDICT_ANSWER);
        return;
    }
    if (verdict == VERDICT_MOVED || verdict == VERDICT_ASK) {
        char text[REDIS_HOST_SIZE + 64];
        snprintf(text, sizeof(text), "%s %u %.*s:%u", verdict == VERDICT_ASK ? "ASK" : "MOVED",
                 redirect.slot, (int)redirect.host.size, redirect.host.bytes, redirect.port);
        assert(redirect.slot < SLOT_COUNT && redirect.port > 0);
        assert(strcmp(text, reply->str) == 0 || memchr(reply->str, 0, reply->len));
    }
}

/* ---- entries ---- */

static void check_entries(const redisReply *reply) {
    static struct settle_claim claims[SETTLE_CLAIMS_MAX];
    struct partition_entry entry;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        if (partition_entry_read(reply->element[i], 7, &entry) == STATUS_OK) {
            assert(entry.claim_count >= 1 && entry.claim_count <= SETTLE_CLAIMS_MAX);
            assert(entry.packed.size > 0);
            partition_entry_claims(&entry, claims);
        }
    }
}

/* ---- keys ---- */

/* CRC16 of the whole, a byte at a time by the remainders of single bytes. */
static uint16_t table_crc16(struct slice text) {
    uint16_t crc = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint16_t remainder = (uint16_t)((crc >> 8 ^ (uint8_t)text.bytes[i]) << 8);
        for (int bit = 0; bit < 8; bit++) {
            bool carry = remainder & 0x8000;
            remainder = (uint16_t)(remainder << 1);
            remainder = (uint16_t)(carry ? remainder ^ 0x1021 : remainder);
        }
        crc = (uint16_t)(crc << 8 ^ remainder);
    }
    return crc;
}

static void check_key(struct slice key) {
    const char *open = key.size ? memchr(key.bytes, '{', key.size) : NULL;
    size_t rest = open ? key.size - (size_t)(open + 1 - key.bytes) : 0;
    const char *close = rest ? memchr(open + 1, '}', rest) : NULL;
    struct slice hashed = key;
    if (close && close > open + 1) {
        hashed = (struct slice){open + 1, (size_t)(close - open - 1)};
    }
    assert(redis_slot_of(key) == table_crc16(hashed) % SLOT_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_exact((struct slice){(const char *)data, size});
    check_key((struct slice){text, size});
    struct redis_reading reading;
    redisReader *reader = redisReaderCreate();
    assert(reader != NULL);
    redis_reading_init(&reading, reader, NULL);
    void *reply = NULL;
    redisReaderFeed(reader, text, size);
    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        check_slots(reply);
        check_verdict(reply);
        check_entries(reply);
        freeReplyObject(reply);
    }
    redisReaderFree(reader);
    free(text);
    return 0;
}

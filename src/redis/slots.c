/* Hash slots: which one a key has, and the answer to CLUSTER SLOTS read (Redis Cluster
 * specification, "Key distribution model" and "Hash tags"). Pure: for topology.c and calls.c. */
#include "redis/internal.h"

#define POLYNOMIAL 0x1021 /* CRC16 XMODEM: initial value 0, bits in order, no final XOR */

/* Without a table: a key is short, and only what is within {} of it counts. */
static uint16_t crc16(struct slice text) {
    uint32_t crc = 0;
    for (size_t i = 0; i < text.size; i++) {
        crc ^= (uint32_t)(unsigned char)text.bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc << 1) ^ (crc & 0x8000 ? POLYNOMIAL : 0);
        }
    }
    return (uint16_t)crc;
}

uint16_t redis_slot_of(struct slice key) {
    const char *open = key.size ? memchr(key.bytes, '{', key.size) : NULL;
    if (open) {
        size_t rest = key.size - (size_t)(open + 1 - key.bytes);
        const char *close = memchr(open + 1, '}', rest);
        if (close && close != open + 1) {
            key = (struct slice){open + 1, (size_t)(close - open - 1)};
        }
    }
    return crc16(key) % SLOT_COUNT;
}

/* ---- CLUSTER SLOTS: [[first, last, [host, port, id, …], replica …] …] ---- */

static bool is_slot(const redisReply *reply) {
    return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0 && reply->integer < SLOT_COUNT;
}

static bool is_server(const redisReply *reply) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2) {
        return false;
    }
    const redisReply *host = reply->element[0], *port = reply->element[1];
    bool named = host->type == REDIS_REPLY_NIL ||
                 (host->type == REDIS_REPLY_STRING && host->len < REDIS_HOST_SIZE);
    return named && port->type == REDIS_REPLY_INTEGER && port->integer > 0 &&
           port->integer <= UINT16_MAX;
}

static bool is_row(const redisReply *reply) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 || !is_slot(reply->element[0]) ||
        !is_slot(reply->element[1]) || reply->element[0]->integer > reply->element[1]->integer) {
        return false;
    }
    for (size_t i = 2; i < reply->elements; i++) {
        if (!is_server(reply->element[i])) {
            return false;
        }
    }
    return true;
}

static int row_visit(const redisReply *row, struct slice asked_host,
                     int (*visit)(void *context, const struct redis_slot_row *row), void *context) {
    int status = STATUS_OK;
    for (size_t i = 2; status == STATUS_OK && i < row->elements; i++) {
        const redisReply *host = row->element[i]->element[0];
        bool named = host->type == REDIS_REPLY_STRING && host->len > 0;
        struct redis_slot_row one = {.first = (uint16_t)row->element[0]->integer,
                                     .last = (uint16_t)row->element[1]->integer,
                                     .is_master = i == 2,
                                     .host =
                                         named ? (struct slice){host->str, host->len} : asked_host,
                                     .port = (uint16_t)row->element[i]->element[1]->integer};
        status = visit(context, &one);
    }
    return status;
}

int redis_slots_read(const redisReply *reply, struct slice asked_host,
                     int (*visit)(void *context, const struct redis_slot_row *row), void *context) {
    if (reply->type != REDIS_REPLY_ARRAY) {
        return STATUS_INVALID;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        if (!is_row(reply->element[i])) {
            return STATUS_INVALID;
        }
    }
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < reply->elements; i++) {
        status = row_visit(reply->element[i], asked_host, visit, context);
    }
    return status;
}

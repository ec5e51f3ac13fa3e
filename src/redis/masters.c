/* The same command for every master, the answers gathered: redis_call_masters(). */
#include "redis/internal.h"

#include <stdlib.h>

struct part {
    struct sweep *sweep;
    char server[SERVER_SIZE];
};

struct sweep {
    struct redis_waiter waiter;
    struct redis_client *client;
    redis_masters_done *done;
    void *context;
    int64_t deadline_us;
    struct buffer words; /* their bytes, one after the other */
    struct slice *list;
    size_t word_count;
    struct part *parts;
    struct redis_result *results;
    size_t count;
    size_t open; /* results that are still to come */
};

static void sweep_free(struct sweep *sweep) {
    for (size_t i = 0; i < sweep->count; i++) {
        if (sweep->results[i].reply) {
            freeReplyObject(sweep->results[i].reply);
        }
    }
    buffer_done(&sweep->words);
    free(sweep->list);
    free(sweep->parts);
    free(sweep->results);
    free(sweep);
}

static void sweep_end(struct sweep *sweep, int status) {
    sweep->done(sweep->context, status, sweep->results, status == STATUS_OK ? sweep->count : 0);
    sweep_free(sweep);
}

/* hiredis frees the reply when the callback returns; what is in it is moved out, so that hiredis
 * frees an empty one. NULL: no memory. */
static redisReply *reply_take(const redisReply *reply) {
    redisReply *mine = malloc(sizeof(*mine));
    if (mine) {
        redisReply *theirs = (redisReply *)reply;
        *mine = *theirs;
        *theirs = (redisReply){.type = REDIS_REPLY_NIL};
    }
    return mine;
}

static void on_result(void *context, int status, const redisReply *reply) {
    struct part *part = context;
    struct sweep *sweep = part->sweep;
    struct redis_result *result = &sweep->results[part - sweep->parts];
    result->status = status;
    if (status == STATUS_OK) {
        result->reply = reply_take(reply);
        result->status = result->reply ? STATUS_OK : STATUS_AMBIGUOUS;
    }
    if (--sweep->open == 0) {
        sweep_end(sweep, STATUS_OK);
    }
}

static bool sweep_room(struct sweep *sweep) {
    struct redis_client *client = sweep->client;
    sweep->parts = calloc(client->node_count, sizeof(*sweep->parts));
    sweep->results = calloc(client->node_count, sizeof(*sweep->results));
    return sweep->parts && sweep->results;
}

/* The first one's place is kept open until all were asked, in case none could be. */
static void on_known(struct redis_waiter *waiter, int status) {
    struct sweep *sweep = LINK_OWNER(waiter, struct sweep, waiter);
    struct redis_client *client = sweep->client;
    if (status < 0 || !sweep_room(sweep)) {
        sweep_end(sweep, status < 0 ? status : STATUS_IO);
        return;
    }
    sweep->open = 1;
    for (size_t i = 0; i < client->node_count; i++) {
        if (!redis_topology_has(client, client->nodes[i])) {
            continue;
        }
        struct part *part = &sweep->parts[sweep->count];
        struct redis_result *result = &sweep->results[sweep->count++];
        struct redis_pinned pinned = {.node = client->nodes[i],
                                      .words = sweep->list,
                                      .word_count = sweep->word_count,
                                      .deadline_us = sweep->deadline_us};
        part->sweep = sweep;
        redis_connection_server(&client->nodes[i]->connection, part->server);
        result->server = part->server;
        result->status = redis_call_pinned(&pinned, on_result, part);
        sweep->open += result->status == STATUS_OK ? 1 : 0;
        result->status = result->status == STATUS_OK ? STATUS_OK : STATUS_IO;
    }
    if (--sweep->open == 0) {
        sweep_end(sweep, STATUS_OK);
    }
}

static bool words_keep(struct sweep *sweep, const struct slice *words, size_t count) {
    buffer_init(&sweep->words);
    sweep->list = calloc(count, sizeof(*sweep->list));
    for (size_t i = 0; i < count; i++) {
        buffer_slice(&sweep->words, words[i]);
    }
    if (!sweep->list || sweep->words.failed) {
        return false;
    }
    const char *at = sweep->words.bytes;
    for (size_t i = 0; i < count; i++) {
        sweep->list[i] = (struct slice){at, words[i].size};
        at += words[i].size;
    }
    sweep->word_count = count;
    return true;
}

int redis_call_masters(struct redis_client *client, const struct slice *words, size_t word_count,
                       int64_t deadline_us, redis_masters_done *done, void *context) {
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    if (!sweep) {
        return STATUS_NO_MEMORY;
    }
    sweep->client = client;
    sweep->done = done;
    sweep->context = context;
    sweep->deadline_us = redis_deadline(client, deadline_us);
    sweep->waiter.known = on_known;
    int status = words_keep(sweep, words, word_count)
                     ? redis_topology_wait(client, &sweep->waiter, sweep->deadline_us)
                     : STATUS_NO_MEMORY;
    if (status < 0) {
        sweep_free(sweep);
    }
    return status;
}

/* A Redis client and a ledger in one thread, asked one thing after the other. See partition.h. */
#include "partition/internal.h"

#include <stdlib.h>

/* Who stops within a settlement holds up its partition for so long. It costs nobody anything else
 * to be taken for stopped: what the server ended is done again. */
static const int64_t IDLE_TIMEOUT_US = 5 * US_PER_SECOND;

/* ---- calls that are waited for ---- */

struct waiting {
    partition_take *take;
    void *context;
    struct complaint *complaint;
    bool done;
    int status;
};

static void call_done(void *context, int status, const redisReply *reply) {
    struct waiting *waiting = context;
    waiting->done = true;
    waiting->status = status;
    if (status != STATUS_OK) {
        complain(waiting->complaint, status, "Redis gave no answer in time (%s)",
                 status_name(status));
    } else if (reply->type == REDIS_REPLY_ERROR) {
        waiting->status =
            complain(waiting->complaint, STATUS_INVALID, "Redis refused: %s", reply->str);
    } else if (waiting->take) {
        waiting->status = waiting->take(waiting->context, reply);
    }
}

int partition_call(struct partition_link *link, struct slice key, const struct slice *words,
                   size_t word_count, partition_take *take, void *context,
                   struct complaint *complaint) {
    struct waiting waiting = {.take = take, .context = context, .complaint = complaint};
    int status = redis_call(link->redis, key, words, word_count, 0, call_done, &waiting);
    if (status) {
        return complain(complaint, status, "Redis cannot be asked (%s)", status_name(status));
    }
    while (!waiting.done) {
        uv_run(&link->loop, UV_RUN_ONCE);
    }
    return waiting.status;
}

/* ---- opening ---- */

int partition_link_open(const struct partition_link_options *options,
                        struct partition_link **ret_link, struct complaint *complaint) {
    struct partition_link *link = calloc(1, sizeof(*link));
    if (!link || uv_loop_init(&link->loop)) {
        free(link);
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory to start");
    }
    struct ledger_sql_options ledger = options->ledger;
    if (ledger.idle_timeout_us == 0) {
        ledger.idle_timeout_us = IDLE_TIMEOUT_US;
    }
    int status = ledger_open_url(&ledger, &link->ledger, complaint);
    if (status == STATUS_OK && !ledger_is_shared(link->ledger)) {
        status = complain(complaint, STATUS_INVALID,
                          "Redis goes before a SQL server, not before a file");
    }
    struct redis_options redis = options->redis;
    redis.library = &redis_coupon_library;
    if (status == STATUS_OK) {
        status = redis_client_new(&link->loop, &redis, &link->redis, complaint);
    }
    if (status) {
        partition_link_close(link);
        return status;
    }
    *ret_link = link;
    return STATUS_OK;
}

static void client_closed(void *context) {
    *(bool *)context = true;
}

void partition_link_close(struct partition_link *link) {
    if (!link) {
        return;
    }
    bool closed = !link->redis;
    if (link->redis) {
        redis_client_close(link->redis, client_closed, &closed);
    }
    while (!closed) {
        uv_run(&link->loop, UV_RUN_ONCE);
    }
    uv_run(&link->loop, UV_RUN_NOWAIT);
    int busy = uv_loop_close(&link->loop);
    assert(busy == 0); /* whoever opened handles on the loop has closed them */
    ledger_close(link->ledger, NULL);
    buffer_done(&link->packed);
    free(link);
}

struct ledger *partition_link_ledger(struct partition_link *link) {
    return link->ledger;
}

struct redis_client *partition_link_redis(struct partition_link *link) {
    return link->redis;
}

uv_loop_t *partition_link_loop(struct partition_link *link) {
    return &link->loop;
}

/* ---- replies of the library ---- */

bool reply_is(const redisReply *reply, const char *word) {
    return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[0]->str, word) == 0;
}

int reply_number(const redisReply *reply, size_t at, uint64_t *ret_number) {
    if (reply->type != REDIS_REPLY_ARRAY || at >= reply->elements ||
        reply->element[at]->type != REDIS_REPLY_STRING) {
        return STATUS_DAMAGED;
    }
    const redisReply *element = reply->element[at];
    struct slice digits = {element->str, (size_t)element->len};
    return slice_to_u64(digits, INT64_MAX, ret_number) ? STATUS_DAMAGED : STATUS_OK;
}

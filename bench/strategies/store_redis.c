/* A connection to Redis, by hiredis: a call is sent and its answer waited for, as the original's
 * client does it. Not for: which calls (the designs). */
#include "strategy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>

static const struct timeval CONNECT_TIMEOUT = {.tv_sec = 5};
static const struct timeval ANSWER_TIMEOUT = {.tv_sec = 10};

void redis_close(struct desk *desk) {
    if (desk->redis) {
        redisFree(desk->redis);
        desk->redis = NULL;
    }
}

static int redis_failed(struct desk *desk, const char *why) {
    int status =
        complain(&desk->why, STATUS_IO, "Redis on port %u: %s", desk->redis_address->port, why);
    redis_close(desk);
    return status;
}

/* Takes the reply over; NULL when it is none, or an error. */
static redisReply *answer_of(struct desk *desk, redisReply *reply) {
    if (!reply) {
        redis_failed(desk, desk->redis->errstr);
        return NULL;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_failed(desk, reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

static int log_in(struct desk *desk) {
    const struct address *to = desk->redis_address;
    if (!to->user[0] && !to->password[0]) {
        return STATUS_OK;
    }
    redisReply *reply = to->user[0]
                            ? redisCommand(desk->redis, "AUTH %s %s", to->user, to->password)
                            : redisCommand(desk->redis, "AUTH %s", to->password);
    reply = answer_of(desk, reply);
    if (!reply) {
        return STATUS_IO;
    }
    freeReplyObject(reply);
    return STATUS_OK;
}

int redis_open(struct desk *desk) {
    if (desk->redis) {
        return STATUS_OK;
    }
    const struct address *to = desk->redis_address;
    desk->redis = redisConnectWithTimeout(to->host, to->port, CONNECT_TIMEOUT);
    if (!desk->redis) {
        return complain(&desk->why, STATUS_NO_MEMORY, "not enough memory for a connection");
    }
    if (desk->redis->err) {
        return redis_failed(desk, desk->redis->errstr);
    }
    redisSetTimeout(desk->redis, ANSWER_TIMEOUT);
    int status = log_in(desk);
    if (status == STATUS_OK && desk->strategy && desk->strategy->redis_opened) {
        status = desk->strategy->redis_opened(desk);
    }
    return status;
}

static redisReply *ask(struct desk *desk, const char *format, va_list arguments) {
    return redis_open(desk) ? NULL : answer_of(desk, redisvCommand(desk->redis, format, arguments));
}

redisReply *redis_ask(struct desk *desk, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(desk, format, arguments);
    va_end(arguments);
    return reply;
}

int redis_number(struct desk *desk, int64_t *ret_number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(desk, format, arguments);
    va_end(arguments);
    if (!reply) {
        return STATUS_IO;
    }
    int type = reply->type;
    int64_t number = type == REDIS_REPLY_INTEGER ? reply->integer : 1;
    freeReplyObject(reply);
    if (type == REDIS_REPLY_NIL) {
        return STATUS_CONFLICT;
    }
    *ret_number = number;
    return STATUS_OK;
}

/* ---- the queue ---- */

size_t redis_entry(const struct claim *claim, char room[static QUEUE_ROOM_MAX]) {
    int size = snprintf(room, QUEUE_ROOM_MAX, "%" PRIu64 " %" PRId64 " %.*s", claim->coupon_id,
                        claim->issued_at_us, (int)claim->user_id.size, claim->user_id.bytes);
    assert(size > 0 && size < QUEUE_ROOM_MAX);
    return (size_t)size;
}

int redis_queue(struct desk *desk, const struct claim *claim) {
    char entry[QUEUE_ROOM_MAX];
    size_t size = redis_entry(claim, entry);
    int64_t length;
    return redis_number(desk, &length, "RPUSH " QUEUE " %b", entry, size);
}

/* Calls: taken, sent to the master of their slot, repeated when a server says that it did not do
 * them, answered once. Not for: where the masters are (topology.c).
 *
 *   PARKED ── sent ──> IN_FLIGHT ── answer ──> done(OK)
 *     ^  │                │  │ └── deadline ──> done(AMBIGUOUS), LATE ── answer, loss ──> freed
 *     │  └─ deadline ─>   │  └──── loss ──────> done(AMBIGUOUS)
 *     │     done(IO)      │
 *     └── "not done" ─────┘
 *
 * A call is freed only once hiredis has let go of it, so that a late answer meets its own call and
 * no other's. */
#include "redis/internal.h"

#include <stdlib.h>

int64_t redis_deadline(const struct redis_client *client, int64_t deadline_us) {
    return deadline_us > 0 ? deadline_us : clock_monotonic_us() + client->options.call_timeout_us;
}

/* ---- the end of one ---- */

static void call_free(struct redis_call_record *call) {
    struct redis_client *client = call->client;
    timers_cancel(&client->timers, &call->timed);
    timers_unreserve(&client->timers);
    link_remove(&call->link);
    client->call_count -= call->pinned ? 0 : 1;
    free(call);
}

/* Frees first, so that the callback finds room for another. */
static void finish(struct redis_call_record *call, int status, const redisReply *reply) {
    redis_done *done = call->done;
    void *context = call->context;
    call_free(call);
    done(context, status, reply);
}

static void on_expired(struct timed *timed) {
    struct redis_call_record *call = LINK_OWNER(timed, struct redis_call_record, timed);
    if (call->state == CALL_PARKED) {
        finish(call, STATUS_IO, NULL);
    } else {
        call->state = CALL_LATE;
        call->done(call->context, STATUS_AMBIGUOUS, NULL);
    }
}

void redis_calls_stop(struct redis_client *client) {
    while (!link_alone(&client->parked)) {
        finish(LINK_OWNER(client->parked.next, struct redis_call_record, link), STATUS_STOPPED,
               NULL);
    }
}

/* ---- answers ---- */

static void park(struct redis_call_record *call) {
    link_remove(&call->link);
    call->state = CALL_PARKED;
    link_append(&call->client->parked, &call->link);
    redis_client_retry(call->client);
}

static bool call_send(struct redis_call_record *call);

static void follow(struct redis_call_record *call, const struct redis_redirect *redirect,
                   bool asking) {
    struct redis_client *client = call->client;
    struct slice host =
        redirect->host.size > 0 ? redirect->host : slice_of(call->node->connection.host);
    struct redis_node *node;
    call->node = NULL;
    call->library_tried = false; /* not on that server */
    if (redis_node_find_or_add(client, host, redirect->port, &node) < 0) {
        park(call);
        return;
    }
    if (asking) {
        call->asking = true;
        call->node = node;
        node->wanted_until_us = call->timed.due_us;
        redis_nodes_tend(client);
    } else {
        redis_topology_moved(client, redirect->slot, node);
    }
    if (++call->redirects > REDIRECTS_MAX || !call_send(call)) {
        call->redirects = 0;
        park(call);
    }
}

/* It was not done, says the server, and by what it says it may be done yet. */
static void do_again(struct redis_call_record *call, enum verdict verdict,
                     const struct redis_redirect *redirect) {
    struct redis_node *node = call->node;
    call->asking = false;
    if (verdict == VERDICT_MOVED || verdict == VERDICT_ASK) {
        follow(call, redirect, verdict == VERDICT_ASK);
        return;
    }
    if (!call->pinned) {
        call->node = NULL;
    }
    if (verdict == VERDICT_NO_MASTER) {
        redis_topology_demoted(node);
    }
    park(call);
    if (verdict == VERDICT_NO_FUNCTION) {
        call->node = node;
        call->library_tried = true;
        redis_library_mend(node);
    }
}

static bool is_answer(const struct redis_call_record *call, enum verdict verdict) {
    switch (verdict) {
    case VERDICT_ANSWER:
        return true;
    case VERDICT_MOVED:
    case VERDICT_ASK:
        return call->pinned || !call->client->url.cluster;
    case VERDICT_PAUSE:
        return call->impatient;
    case VERDICT_NO_MASTER:
        return call->pinned;
    case VERDICT_NO_FUNCTION:
        return call->pinned || call->library_tried || !call->client->options.library;
    }
    return true;
}

static void on_answer(redisAsyncContext *context, void *data, void *private) {
    struct redis_call_record *call = private;
    const redisReply *reply = data;
    struct redis_redirect redirect;
    if (!reply) {
        redis_connection_gone(context);
        if (call->state == CALL_LATE) {
            call_free(call);
        } else {
            finish(call, STATUS_AMBIGUOUS, NULL);
        }
        return;
    }
    redis_node_answered(call->node);
    if (call->state == CALL_LATE) {
        call_free(call);
        return;
    }
    enum verdict verdict = redis_verdict_of(reply, &redirect);
    if (is_answer(call, verdict) || call->client->closing) {
        finish(call, STATUS_OK, reply);
    } else {
        do_again(call, verdict, &redirect);
    }
}

/* ---- sending ---- */

/* Where it can go now, or NULL. */
static struct redis_node *goal_of(const struct redis_call_record *call) {
    struct redis_node *node = call->node;
    if (!node) {
        node = redis_topology_master(call->client, call->slot);
    } else if (call->library_tried && !call->pinned) {
        if (node->library_loads > 0) {
            return NULL;
        }
        bool anywhere = call->client->url.cluster && call->slot == SLOT_NOWHERE;
        node = anywhere ? node : redis_topology_master(call->client, call->slot);
    }
    return node && redis_node_ready(node) ? node : NULL;
}

static void on_asking(redisAsyncContext *context, void *data, void *private) {
    (void)private;
    if (!data) {
        redis_connection_gone(context);
    }
}

/* Whether it was handed to a connection. */
static bool call_send(struct redis_call_record *call) {
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    struct redis_node *node = goal_of(call);
    if (!node || clock_monotonic_us() >= call->timed.due_us) { /* late: it must have no effect */
        return false;
    }
    redisAsyncContext *context = node->connection.context;
    if (call->asking && redisAsyncFormattedCommand(context, on_asking, NULL, asking,
                                                   sizeof(asking) - 1) != REDIS_OK) {
        return false;
    }
    if (redisAsyncFormattedCommand(context, on_answer, call, call->bytes, call->size) != REDIS_OK) {
        return false;
    }
    call->node = node;
    call->state = CALL_IN_FLIGHT;
    link_remove(&call->link);
    link_append(&node->in_flight, &call->link);
    redis_node_sent(node);
    return true;
}

/* Each once, in their order; those that must wait on keep their places. */
void redis_calls_dispatch(struct redis_client *client) {
    struct link *next;
    for (struct link *link = client->parked.next; link != &client->parked; link = next) {
        next = link->next;
        call_send(LINK_OWNER(link, struct redis_call_record, link));
    }
}

/* ---- taking ---- */

static int digits_of(size_t number) {
    int digits = 1;
    while (number >= 10) {
        number /= 10;
        digits++;
    }
    return digits;
}

/* The size of the command as the protocol has it: *N, then $SIZE and the bytes of each word. */
static size_t command_size(const struct slice *words, size_t count) {
    size_t size = (size_t)digits_of(count) + 3;
    for (size_t i = 0; i < count; i++) {
        size += (size_t)digits_of(words[i].size) + 5 + words[i].size;
    }
    return size;
}

static char *put_number(char *at, char kind, size_t number) {
    *at = kind;
    int digits = digits_of(number);
    for (int i = digits; i > 0; i--) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
    memcpy(at + digits + 1, "\r\n", 2);
    return at + digits + 3;
}

static void command_write(struct redis_call_record *call, const struct slice *words, size_t count) {
    char *at = put_number(call->bytes, '*', count);
    for (size_t i = 0; i < count; i++) {
        at = put_number(at, '$', words[i].size);
        if (words[i].size > 0) {
            memcpy(at, words[i].bytes, words[i].size);
        }
        memcpy(at + words[i].size, "\r\n", 2);
        at += words[i].size + 2;
    }
    assert(at == call->bytes + call->size);
}

static int call_new(struct redis_client *client, const struct slice *words, size_t word_count,
                    struct redis_call_record **ret_call) {
    assert(word_count > 0);
    if (client->closing) {
        return STATUS_STOPPED;
    }
    if (timers_reserve(&client->timers) < 0) {
        return STATUS_NO_MEMORY;
    }
    size_t size = command_size(words, word_count);
    struct redis_call_record *call = malloc(sizeof(*call) + size);
    if (!call) {
        timers_unreserve(&client->timers);
        return STATUS_NO_MEMORY;
    }
    *call = (struct redis_call_record){
        .client = client, .timed.expired = on_expired, .slot = SLOT_NOWHERE, .size = size};
    link_init(&call->link);
    command_write(call, words, word_count);
    *ret_call = call;
    return STATUS_OK;
}

static void call_begin(struct redis_call_record *call, int64_t deadline_us, redis_done *done,
                       void *context) {
    call->done = done;
    call->context = context;
    redis_client_time(call->client, &call->timed, redis_deadline(call->client, deadline_us));
    if (!call_send(call)) {
        park(call);
    }
}

int redis_call(struct redis_client *client, struct slice key, const struct slice *words,
               size_t word_count, int64_t deadline_us, redis_done *done, void *context) {
    struct redis_call_record *call;
    if (client->call_count >= client->options.calls_max && !client->closing) {
        return STATUS_FULL;
    }
    int status = call_new(client, words, word_count, &call);
    if (status < 0) {
        return status;
    }
    call->slot = key.size > 0 && client->url.cluster ? redis_slot_of(key) : SLOT_NOWHERE;
    client->call_count++;
    call_begin(call, deadline_us, done, context);
    return STATUS_OK;
}

int redis_call_pinned(const struct redis_pinned *pinned, redis_done *done, void *context) {
    struct redis_call_record *call;
    int status =
        call_new(pinned->node->connection.client, pinned->words, pinned->word_count, &call);
    if (status == STATUS_OK) {
        call->pinned = true;
        call->impatient = pinned->impatient;
        call->node = pinned->node;
        call_begin(call, pinned->deadline_us, done, context);
    }
    return status;
}

/* Channels: one connection each, since one that listens takes no calls. In a cluster any server
 * passes every message on, so any will do. Not for: patterns, sharded channels. */
#include "redis/internal.h"

#include <stdlib.h>

struct subscription {
    struct redis_connection connection; /* first */
    struct link link;
    struct redis_subscriber subscriber;
    char *channel;
    bool live;        /* subscribed() was told for this connection */
    int64_t heard_us; /* the last that came */
    struct timed heartbeat;
    size_t host_next; /* of the URL, while no server is known */
};

static struct subscription *subscription_of(struct redis_connection *connection) {
    return (struct subscription *)(void *)connection;
}

/* ---- what comes ---- */

/* Whether it is a string, and this one if `text` is not NULL. */
static bool is_string(const redisReply *reply, const char *text) {
    return reply->type == REDIS_REPLY_STRING &&
           (text == NULL || slice_is((struct slice){reply->str, reply->len}, text));
}

static void on_message(redisAsyncContext *context, void *data, void *private) {
    struct subscription *subscription = private;
    const redisReply *reply = data;
    if (!reply) {
        redis_connection_gone(context);
        return;
    }
    if (subscription->connection.context != context || reply->type != REDIS_REPLY_ARRAY ||
        reply->elements != 3 || !is_string(reply->element[0], NULL) ||
        !is_string(reply->element[1], subscription->channel)) {
        return;
    }
    const struct redis_subscriber *subscriber = &subscription->subscriber;
    struct slice kind = {reply->element[0]->str, reply->element[0]->len};
    subscription->heard_us = clock_monotonic_us();
    if (slice_is(kind, "message") && reply->element[2]->type == REDIS_REPLY_STRING) {
        subscriber->message(subscriber->context,
                            (struct slice){reply->element[2]->str, reply->element[2]->len});
    } else if (slice_is(kind, "subscribe") && !subscription->live) {
        subscription->live = true;
        if (subscriber->subscribed) {
            subscriber->subscribed(subscriber->context);
        }
    }
}

static void say_subscribe(struct subscription *subscription) {
    const char *words[] = {"SUBSCRIBE", subscription->channel};
    if (redisAsyncCommandArgv(subscription->connection.context, on_message, subscription,
                              COUNT_OF(words), words, NULL) != REDIS_OK) {
        redis_connection_drop(&subscription->connection, "there is no memory for a command");
    }
}

/* ---- silence ---- */

static void heartbeat_set(struct subscription *subscription) {
    struct redis_client *client = subscription->connection.client;
    redis_client_time(client, &subscription->heartbeat,
                      clock_monotonic_us() + client->options.call_timeout_us / 2 + 1);
}

/* Subscribing once more is what asks for a sign of life: hiredis 0.14 would keep a record of every
 * PING sent over a connection that listens, for ever. */
static void on_heartbeat(struct timed *timed) {
    struct subscription *subscription = LINK_OWNER(timed, struct subscription, heartbeat);
    struct redis_connection *connection = &subscription->connection;
    int64_t silent_us = clock_monotonic_us() - subscription->heard_us;
    int64_t timeout_us = connection->client->options.call_timeout_us;
    if (connection->state != CONNECTION_READY) {
        return;
    }
    if (silent_us >= 2 * timeout_us) {
        redis_connection_drop(connection, "it does not answer");
        return;
    }
    heartbeat_set(subscription);
    if (silent_us >= timeout_us) {
        say_subscribe(subscription);
    }
}

/* ---- its connection ---- */

static void on_ready(struct redis_connection *connection) {
    struct subscription *subscription = subscription_of(connection);
    subscription->live = false;
    subscription->heard_us = clock_monotonic_us();
    heartbeat_set(subscription);
    say_subscribe(subscription);
}

static void on_lost(struct redis_connection *connection, bool was_ready, const char *why) {
    (void)was_ready;
    (void)why; /* the nodes tell of servers that are away */
    timers_cancel(&connection->client->timers, &subscription_of(connection)->heartbeat);
}

/* A master if one is connected, else the hosts of the URL in turn. */
static void on_retry(struct redis_connection *connection) {
    struct redis_client *client = connection->client;
    const struct redis_node *node = redis_topology_master(client, SLOT_NOWHERE);
    if (node) {
        memcpy(connection->host, node->connection.host, sizeof(connection->host));
        connection->port = node->connection.port;
    } else {
        size_t next = subscription_of(connection)->host_next++ % client->url.host_count;
        memcpy(connection->host, client->url.hosts[next].name, sizeof(connection->host));
        connection->port = client->url.hosts[next].port;
    }
    redis_connection_open(connection);
}

static const struct redis_connection_events events = {on_ready, on_lost, on_retry};

/* ---- life ---- */

static int timers_reserve_two(struct timers *timers) {
    int status = timers_reserve(timers);
    if (status == STATUS_OK && timers_reserve(timers) < 0) {
        timers_unreserve(timers);
        status = STATUS_NO_MEMORY;
    }
    return status;
}

int redis_subscribe(struct redis_client *client, const char *channel,
                    const struct redis_subscriber *subscriber) {
    if (client->closing) {
        return STATUS_STOPPED;
    }
    struct subscription *subscription = calloc(1, sizeof(*subscription));
    char *copy = strdup(channel);
    if (!subscription || !copy || timers_reserve_two(&client->timers) < 0) {
        free(subscription);
        free(copy);
        return STATUS_NO_MEMORY;
    }
    redis_connection_init(&subscription->connection, client, &events);
    subscription->subscriber = *subscriber;
    subscription->channel = copy;
    subscription->heartbeat.expired = on_heartbeat;
    link_append(&client->subscriptions, &subscription->link);
    redis_client_time(client, &subscription->connection.timed, clock_monotonic_us());
    return STATUS_OK;
}

void redis_subscriptions_end(struct redis_client *client) {
    for (struct link *link = client->subscriptions.next; link != &client->subscriptions;
         link = link->next) {
        redis_connection_end(&LINK_OWNER(link, struct subscription, link)->connection);
    }
}

void redis_subscriptions_free(struct redis_client *client) {
    while (!link_alone(&client->subscriptions)) {
        struct subscription *subscription =
            LINK_OWNER(client->subscriptions.next, struct subscription, link);
        link_remove(&subscription->link);
        free(subscription->channel);
        free(subscription);
    }
}

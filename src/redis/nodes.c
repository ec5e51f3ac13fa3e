/* The servers a client knows: found by address, connected while they are wanted, watched for
 * silence while they owe answers. Not for: which one is whose master (topology.c). */
#include "redis/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- events of its connection ---- */

static struct redis_node *node_of(struct redis_connection *connection) {
    return (struct redis_node *)(void *)connection; /* its first member */
}

/* Is it worth a connection? */
static bool is_wanted(const struct redis_node *node) {
    const struct redis_client *client = node->connection.client;
    if (!client->url.cluster || node->in_map || node->wanted_until_us > clock_monotonic_us()) {
        return true;
    }
    for (size_t i = 0; i < client->node_count; i++) {
        if (client->nodes[i]->in_map && redis_node_ready(client->nodes[i])) {
            return false;
        }
    }
    return node->seed || node->fallback;
}

static void on_ready(struct redis_connection *connection) {
    struct redis_node *node = node_of(connection);
    node->asking_role = false;
    redis_client_tell(connection, true, NULL);
    if (!connection->client->closing) {
        redis_topology_ready(node);
    }
}

static void on_lost(struct redis_connection *connection, bool was_ready, const char *why) {
    struct redis_node *node = node_of(connection);
    timers_cancel(&connection->client->timers, &node->watch);
    redis_client_tell(connection, false, why);
    if (was_ready) {
        redis_topology_lost(node);
    }
    redis_client_retry(connection->client); /* others may be wanted instead */
}

static void on_retry(struct redis_connection *connection) {
    if (is_wanted(node_of(connection))) {
        redis_connection_open(connection);
    }
}

static const struct redis_connection_events events = {on_ready, on_lost, on_retry};

/* ---- silence ---- */

/* Answers come in order, so only the first that is owed matters. One that was given more time than
 * usual (a command that waits at the server) takes that time before its silence means anything. */
static void on_watch(struct timed *timed) {
    struct redis_node *node = LINK_OWNER(timed, struct redis_node, watch);
    struct redis_client *client = node->connection.client;
    if (link_alone(&node->in_flight) || !redis_node_ready(node)) {
        return;
    }
    const struct redis_call_record *first =
        LINK_OWNER(node->in_flight.next, struct redis_call_record, link);
    int64_t now_us = clock_monotonic_us();
    int64_t due_us = node->progress_us + client->options.call_timeout_us;
    if (due_us < first->timed.due_us) {
        due_us = first->timed.due_us;
    }
    if (due_us > now_us) {
        redis_client_time(client, &node->watch, due_us);
        return;
    }
    char why[WHY_SIZE];
    snprintf(why, sizeof(why), "it owed an answer and said nothing for %lld ms",
             (long long)((now_us - node->progress_us) / 1000));
    redis_connection_drop(&node->connection, why);
}

void redis_node_sent(struct redis_node *node) {
    struct redis_client *client = node->connection.client;
    if (node->in_flight.next == node->in_flight.previous) { /* nothing was owed before it */
        node->progress_us = clock_monotonic_us();
    }
    if (node->watch.place == 0) {
        redis_client_time(client, &node->watch,
                          node->progress_us + client->options.call_timeout_us);
    }
}

void redis_node_answered(struct redis_node *node) {
    node->progress_us = clock_monotonic_us();
}

/* ---- the table ---- */

static bool is_at(const struct redis_node *node, struct slice host, uint16_t port) {
    return node->connection.port == port && slice_is(host, node->connection.host);
}

/* Nobody needs it, and nothing points at it. */
static bool is_unused(const struct redis_node *node) {
    return !node->seed && !node->in_map && !node->fallback &&
           node->wanted_until_us < clock_monotonic_us() &&
           node->connection.state == CONNECTION_RESTING && !node->connection.resolving &&
           link_alone(&node->in_flight) && node->library_loads == 0;
}

static void node_begin(struct redis_node *node, struct redis_client *client, struct slice host,
                       uint16_t port) {
    uint16_t index = node->index;
    timers_cancel(&client->timers, &node->connection.timed);
    timers_cancel(&client->timers, &node->watch);
    *node = (struct redis_node){.index = index};
    redis_connection_init(&node->connection, client, &events);
    memcpy(node->connection.host, host.bytes, host.size);
    node->connection.host[host.size] = '\0';
    node->connection.port = port;
    node->watch.expired = on_watch;
    link_init(&node->in_flight);
}

/* Two timers a node. */
static int node_new(struct redis_client *client, struct redis_node **ret_node) {
    struct redis_node *node = NULL;
    int status = timers_reserve(&client->timers);
    if (status == STATUS_OK) {
        status = timers_reserve(&client->timers);
        if (status < 0) {
            timers_unreserve(&client->timers);
        }
    }
    if (status == STATUS_OK) {
        node = calloc(1, sizeof(*node));
        if (!node) {
            timers_unreserve(&client->timers);
            timers_unreserve(&client->timers);
            return STATUS_NO_MEMORY;
        }
        node->index = (uint16_t)client->node_count;
        client->nodes[client->node_count++] = node;
        *ret_node = node;
    }
    return status;
}

/* A parked call may be on its way to a node that nobody else wants any more. */
static bool is_awaited(const struct redis_client *client, const struct redis_node *node) {
    for (const struct link *link = client->parked.next; link != &client->parked;
         link = link->next) {
        if (LINK_OWNER(link, const struct redis_call_record, link)->node == node) {
            return true;
        }
    }
    return false;
}

int redis_node_find_or_add(struct redis_client *client, struct slice host, uint16_t port,
                           struct redis_node **ret_node) {
    assert(host.size < REDIS_HOST_SIZE);
    struct redis_node *node = NULL;
    for (size_t i = 0; i < client->node_count; i++) {
        if (is_at(client->nodes[i], host, port)) {
            *ret_node = client->nodes[i];
            return STATUS_OK;
        }
    }
    for (size_t i = 0; i < client->node_count && !node; i++) {
        if (is_unused(client->nodes[i]) && !is_awaited(client, client->nodes[i])) {
            node = client->nodes[i];
        }
    }
    if (!node) {
        int status = client->node_count < NODES_MAX ? node_new(client, &node) : STATUS_FULL;
        if (status < 0) {
            return status;
        }
    }
    node_begin(node, client, host, port);
    *ret_node = node;
    return STATUS_OK;
}

void redis_nodes_free(struct redis_client *client) {
    for (size_t i = 0; i < client->node_count; i++) {
        assert(link_alone(&client->nodes[i]->in_flight));
        free(client->nodes[i]);
    }
    client->node_count = 0;
}

void redis_nodes_tend(struct redis_client *client) {
    for (size_t i = 0; i < client->node_count && !client->closing; i++) {
        struct redis_node *node = client->nodes[i];
        bool wanted = is_wanted(node);
        if (wanted && redis_connection_may_open(&node->connection)) {
            redis_connection_open(&node->connection);
        } else if (!wanted && link_alone(&node->in_flight) &&
                   node->connection.state != CONNECTION_RESTING) {
            redis_connection_end(&node->connection);
        }
    }
}

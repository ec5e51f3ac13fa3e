/* Who is the master of what. With cluster=1: the slot map, asked for at the start, after MOVED,
 * and while something cannot be done. Without: the one server of the URL, or whichever of several
 * says role:master. Not for: connections (nodes.c).
 *
 * A master stays one until it is lost or says that it is none: one that was stopped while another
 * was promoted is not noticed here. The gate's replication id tells (docs/scaling.md). */
#include "redis/internal.h"

/* ---- what is known ---- */

bool redis_topology_known(const struct redis_client *client) {
    return client->url.cluster ? client->slots_unserved == 0 : client->master != NULL;
}

struct redis_node *redis_topology_master(const struct redis_client *client, uint16_t slot) {
    if (!client->url.cluster) {
        return client->master;
    }
    if (slot != SLOT_NOWHERE) {
        uint16_t index = client->slots[slot];
        return index == SLOT_NOWHERE ? NULL : client->nodes[index];
    }
    for (size_t i = 0; i < client->node_count; i++) {
        if (client->nodes[i]->in_map && redis_node_ready(client->nodes[i])) {
            return client->nodes[i];
        }
    }
    return NULL;
}

bool redis_topology_has(const struct redis_client *client, const struct redis_node *node) {
    return client->url.cluster ? node->in_map : node == client->master;
}

/* ---- waiting for it ---- */

static void waiter_known(struct redis_waiter *waiter, int status) {
    link_remove(&waiter->link);
    timers_cancel(&waiter->client->timers, &waiter->timed);
    timers_unreserve(&waiter->client->timers);
    waiter->known(waiter, status);
}

static void on_waiter_expired(struct timed *timed) {
    waiter_known(LINK_OWNER(timed, struct redis_waiter, timed), STATUS_IO);
}

int redis_topology_wait(struct redis_client *client, struct redis_waiter *waiter,
                        int64_t deadline_us) {
    int status = client->closing ? STATUS_STOPPED : timers_reserve(&client->timers);
    if (status < 0) {
        return status;
    }
    waiter->client = client;
    waiter->timed.expired = on_waiter_expired;
    link_append(&client->waiters, &waiter->link);
    redis_client_time(client, &waiter->timed, redis_deadline(client, deadline_us));
    redis_client_retry(client);
    return STATUS_OK;
}

/* Those who are waiting now; who comes meanwhile is told the next time. */
void redis_topology_tell(struct redis_client *client) {
    struct link *last = client->waiters.previous;
    while (!link_alone(&client->waiters) && (client->closing || redis_topology_known(client))) {
        struct link *first = client->waiters.next;
        bool end = first == last;
        waiter_known(LINK_OWNER(first, struct redis_waiter, link),
                     client->closing ? STATUS_STOPPED : STATUS_OK);
        if (end) {
            break;
        }
    }
}

/* ---- changes ---- */

/* One look at everything that waited for a change. */
static void changed(struct redis_client *client) {
    redis_nodes_tend(client);
    redis_topology_tell(client);
    redis_calls_dispatch(client);
}

void redis_topology_ready(struct redis_node *node) {
    struct redis_client *client = node->connection.client;
    if (client->url.cluster) {
        if (!redis_topology_known(client)) {
            client->refresh_due_us = 0;
            redis_topology_refresh(client);
        }
    } else if (node->connection.is_master && !client->master) {
        client->master = node;
    }
    changed(client);
}

void redis_topology_lost(struct redis_node *node) {
    struct redis_client *client = node->connection.client;
    if (client->master == node) {
        client->master = NULL;
    }
}

void redis_topology_demoted(struct redis_node *node) {
    struct redis_client *client = node->connection.client;
    node->connection.is_master = false;
    if (client->master == node) {
        client->master = NULL;
    }
    redis_client_retry(client);
}

/* ---- cluster: the map ---- */

static void slot_set(struct redis_client *client, uint16_t slot, uint16_t index) {
    client->slots_unserved -= client->slots[slot] == SLOT_NOWHERE ? 1 : 0;
    client->slots_unserved += index == SLOT_NOWHERE ? 1 : 0;
    client->slots[slot] = index;
}

static void map_clear(struct redis_client *client) {
    for (size_t i = 0; i < client->node_count; i++) {
        client->nodes[i]->in_map = false;
        client->nodes[i]->fallback = false;
    }
    for (uint16_t slot = 0; slot < SLOT_COUNT; slot++) {
        slot_set(client, slot, SLOT_NOWHERE);
    }
}

static int row_take(void *context, const struct redis_slot_row *row) {
    struct redis_client *client = context;
    struct redis_node *node;
    int status = redis_node_find_or_add(client, row->host, row->port, &node);
    if (status < 0) {
        return status;
    }
    node->in_map |= row->is_master;
    node->fallback |= !row->is_master;
    for (unsigned slot = row->first; row->is_master && slot <= row->last; slot++) {
        slot_set(client, (uint16_t)slot, node->index);
    }
    return STATUS_OK;
}

static int row_ignore(void *context, const struct redis_slot_row *row) {
    (void)context;
    (void)row;
    return STATUS_OK;
}

/* `context` is the node that was asked. */
static void on_map(void *context, int status, const redisReply *reply) {
    struct redis_node *node = context;
    struct redis_client *client = node->connection.client;
    struct slice host = slice_of(node->connection.host);
    client->refreshing = false;
    client->refresh_due_us = clock_monotonic_us() + REFRESH_US;
    if (client->closing) {
        return;
    }
    if (status == STATUS_OK && redis_slots_read(reply, host, row_ignore, NULL) == STATUS_OK &&
        reply->elements > 0) {
        map_clear(client);
        status = redis_slots_read(reply, host, row_take, client);
    }
    if (status < 0 || !redis_topology_known(client)) {
        redis_client_retry(client);
    }
    changed(client);
}

static void map_ask(struct redis_client *client) {
    static const struct slice words[] = {{"CLUSTER", 7}, {"SLOTS", 5}};
    for (size_t i = 0; i < client->node_count; i++) {
        struct redis_node *node = client->nodes[client->refresh_next++ % client->node_count];
        if (redis_node_ready(node)) {
            struct redis_pinned pinned = {
                .node = node, .words = words, .word_count = COUNT_OF(words), .impatient = true};
            client->refreshing = redis_call_pinned(&pinned, on_map, node) == STATUS_OK;
            return;
        }
    }
}

void redis_topology_moved(struct redis_client *client, uint16_t slot, struct redis_node *node) {
    node->in_map = true;
    slot_set(client, slot, node->index);
    redis_topology_refresh(client);
    redis_nodes_tend(client);
}

/* ---- several servers: roles ---- */

static void on_role(void *context, int status, const redisReply *reply) {
    struct redis_node *node = context;
    struct redis_client *client = node->connection.client;
    node->asking_role = false;
    if (status != STATUS_OK || client->closing) {
        return;
    }
    node->connection.is_master =
        reply->type == REDIS_REPLY_STRING &&
        memmem(reply->str, reply->len, "role:master", strlen("role:master")) != NULL;
    if (node->connection.is_master && redis_node_ready(node) && !client->master) {
        client->master = node;
        changed(client);
    }
}

static void roles_ask(struct redis_client *client) {
    static const struct slice words[] = {{"INFO", 4}, {"replication", 11}};
    for (size_t i = 0; i < client->node_count; i++) {
        struct redis_node *node = client->nodes[i];
        if (redis_node_ready(node) && !node->asking_role) {
            struct redis_pinned pinned = {
                .node = node, .words = words, .word_count = COUNT_OF(words), .impatient = true};
            node->asking_role = redis_call_pinned(&pinned, on_role, node) == STATUS_OK;
        }
    }
}

void redis_topology_refresh(struct redis_client *client) {
    int64_t now_us = clock_monotonic_us();
    if (client->closing || client->refreshing) {
        return;
    }
    if (now_us < client->refresh_due_us) {
        redis_client_retry(client);
        return;
    }
    if (client->url.cluster) {
        client->refresh_due_us = now_us + REFRESH_US;
        map_ask(client);
    } else if (!client->master && client->url.host_count > 1) {
        client->refresh_due_us = now_us + REFRESH_US;
        roles_ask(client);
    }
}

/* ---- looking again ---- */

/* The only server of a URL is no master any more: behind its name or proxy there may be another
 * by now, so it is connected to anew, once it has answered all that it owes. */
static void reconnect_demoted(struct redis_client *client) {
    struct redis_node *node = client->nodes[0];
    if (!client->url.cluster && client->url.host_count == 1 && redis_node_ready(node) &&
        !node->connection.is_master && link_alone(&node->in_flight)) {
        redis_connection_drop(&node->connection, "it is no master any more");
    }
}

void redis_topology_look(struct redis_client *client) {
    reconnect_demoted(client);
    bool whole = redis_topology_known(client);
    for (size_t i = 0; i < client->node_count; i++) {
        whole = whole && (redis_node_ready(client->nodes[i]) || !client->nodes[i]->in_map);
    }
    if (!whole || !link_alone(&client->parked)) {
        redis_topology_refresh(client);
    }
    changed(client);
    if (!link_alone(&client->parked)) {
        redis_client_retry(client);
    } else if (!whole || !link_alone(&client->waiters)) {
        redis_client_time(client, &client->retry, clock_monotonic_us() + REFRESH_US);
    }
}

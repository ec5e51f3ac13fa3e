/* The client: its life, its one clock, what it tells its embedder. Everything else it does is in
 * the other files of this folder; see internal.h for how they hang together. */
#include "redis/internal.h"

#include <stdlib.h>

#define TIMEOUT_DEFAULT_US INT64_C(1000000)
#define CALLS_DEFAULT      16384

/* ---- the clock ---- */

static void on_tick(uv_timer_t *tick);

/* Has the uv timer ring when the first deadline is due, if it would not do so by itself. */
static void tick_set(struct redis_client *client) {
    int64_t due_us = timers_due_us(&client->timers);
    if (due_us >= client->tick_due_us) {
        return;
    }
    int64_t wait_us = due_us - clock_monotonic_us();
    uint64_t wait_ms = wait_us > 0 ? (uint64_t)(wait_us + 999) / 1000 : 0;
    client->tick_due_us = due_us;
    uv_update_time(client->loop);
    int failed = uv_timer_start(&client->tick, on_tick, wait_ms, 0);
    assert(failed == 0);
}

static void on_tick(uv_timer_t *tick) {
    struct redis_client *client = tick->data;
    int64_t now_us = clock_monotonic_us();
    struct timed *timed;
    client->tick_due_us = INT64_MIN; /* whatever is set meanwhile is looked at below */
    while (!client->closing && (timed = timers_take_due(&client->timers, now_us))) {
        timed->expired(timed);
    }
    client->tick_due_us = INT64_MAX;
    if (!client->closing) {
        tick_set(client);
    }
}

void redis_client_time(struct redis_client *client, struct timed *timed, int64_t due_us) {
    if (!client->closing) {
        timers_set(&client->timers, timed, due_us);
        tick_set(client);
    }
}

static void on_retry(struct timed *timed) {
    redis_topology_look(LINK_OWNER(timed, struct redis_client, retry));
}

void redis_client_retry(struct redis_client *client) {
    int64_t due_us = clock_monotonic_us() + RETRY_US;
    if (client->retry.place == 0 || client->retry.due_us > due_us) {
        redis_client_time(client, &client->retry, due_us);
    }
}

uint64_t redis_client_random(struct redis_client *client) {
    client->random ^= client->random << 13; /* xorshift64 (Marsaglia, 2003) */
    client->random ^= client->random >> 7;
    client->random ^= client->random << 17;
    return client->random;
}

/* ---- what is told ---- */

void redis_client_tell(struct redis_connection *connection, bool connected, const char *why) {
    const struct redis_options *options = &connection->client->options;
    char server[SERVER_SIZE];
    redis_connection_server(connection, server);
    if (connected) {
        connection->loss_told = false;
        if (options->connected) {
            options->connected(options->context, server);
        }
    } else if (!connection->loss_told) {
        connection->loss_told = true;
        if (options->lost) {
            options->lost(options->context, server, why);
        }
    }
}

bool redis_client_ready(const struct redis_client *client) {
    if (client->closing || !redis_topology_known(client)) {
        return false;
    }
    for (size_t i = 0; i < client->node_count; i++) {
        const struct redis_node *node = client->nodes[i];
        if (redis_topology_has(client, node) && !redis_node_ready(node)) {
            return false;
        }
    }
    return true;
}

/* ---- life ---- */

static void client_free(struct redis_client *client) {
    redis_nodes_free(client);
    redis_subscriptions_free(client);
    timers_done(&client->timers);
    redis_url_done(&client->url);
    free(client);
}

void redis_client_given_back(struct redis_client *client) {
    assert(client->pending > 0);
    if (--client->pending == 0) {
        void (*closed)(void *context) = client->closed;
        void *context = client->closed_context;
        assert(client->closing && client->call_count == 0);
        client_free(client);
        if (closed) {
            closed(context);
        }
    }
}

static void on_tick_closed(uv_handle_t *handle) {
    redis_client_given_back(handle->data);
}

static void options_take(struct redis_client *client, const struct redis_options *options) {
    client->options = *options;
    client->options.url = NULL; /* it has the password, and may be gone */
    if (client->options.connect_timeout_us == 0) {
        client->options.connect_timeout_us = TIMEOUT_DEFAULT_US;
    }
    if (client->options.call_timeout_us == 0) {
        client->options.call_timeout_us = TIMEOUT_DEFAULT_US;
    }
    if (client->options.calls_max == 0) {
        client->options.calls_max = CALLS_DEFAULT;
    }
    client->random = options->seed ? options->seed : (uint64_t)clock_monotonic_us() | 1;
}

static int seeds_add(struct redis_client *client) {
    int status = timers_reserve(&client->timers); /* for client->retry */
    for (size_t i = 0; status == STATUS_OK && i < client->url.host_count; i++) {
        const struct redis_host *host = &client->url.hosts[i];
        struct redis_node *node;
        status = redis_node_find_or_add(client, slice_of(host->name), host->port, &node);
        if (status == STATUS_OK) {
            node->seed = true;
        }
    }
    return status;
}

int redis_client_new(uv_loop_t *loop, const struct redis_options *options,
                     struct redis_client **ret_client, struct complaint *complaint) {
    struct redis_client *client = calloc(1, sizeof(*client));
    if (!client) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for a client of Redis");
    }
    client->loop = loop;
    client->tick.data = client;
    client->tick_due_us = INT64_MAX;
    client->retry.expired = on_retry;
    client->slots_unserved = SLOT_COUNT;
    memset(client->slots, 0xff, sizeof(client->slots)); /* SLOT_NOWHERE */
    link_init(&client->parked);
    link_init(&client->waiters);
    link_init(&client->subscriptions);
    options_take(client, options);
    int status = redis_url_parse(&client->url, options->url, complaint);
    if (status == STATUS_OK) {
        status = seeds_add(client);
        if (status < 0) {
            complain(complaint, status, "not enough memory for a client of Redis");
        }
    }
    if (status == STATUS_OK && uv_timer_init(loop, &client->tick) != 0) {
        status = complain(complaint, STATUS_IO, "a timer for the client of Redis cannot be made");
    }
    if (status < 0) {
        client_free(client);
        return status;
    }
    client->pending = 1;
    /* By the loop, since a loss may be told at once. */
    redis_client_time(client, &client->retry, clock_monotonic_us());
    *ret_client = client;
    return STATUS_OK;
}

void redis_client_close(struct redis_client *client, void (*done)(void *context), void *context) {
    assert(!client->closing);
    client->closing = true;
    client->closed = done;
    client->closed_context = context;
    redis_calls_stop(client);
    redis_topology_tell(client);
    redis_subscriptions_end(client);
    for (size_t i = 0; i < client->node_count; i++) {
        redis_connection_end(&client->nodes[i]->connection);
    }
    uv_close((uv_handle_t *)&client->tick, on_tick_closed);
}

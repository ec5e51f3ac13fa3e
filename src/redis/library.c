/* The function library: put on every master that lacks it or has an older one, when the embedder
 * asks and when a call misses it. Not for: what is in it (coupon.lua).
 *
 *   FCALL_RO version ── older, none ──> FUNCTION LOAD REPLACE ──> there
 *          └── the same: there; newer: left as it is
 */
#include "redis/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* One master being looked after. */
struct load {
    struct redis_node *node;
    int64_t deadline_us;
    struct gathering *gathering; /* NULL: for the sake of a call */
};

/* All of them, for redis_library_load(). */
struct gathering {
    struct redis_waiter waiter;
    struct redis_client *client;
    redis_library_done *done;
    void *context;
    int64_t deadline_us;
    size_t open;
    int status;
    char why[WHY_SIZE + SERVER_SIZE];
};

/* ---- the outcome ---- */

static void gathering_end(struct gathering *gathering) {
    gathering->done(gathering->context, gathering->status, gathering->why);
    free(gathering);
}

/* A failure counts more than "newer", and the first failure more than later ones. */
static void gathering_add(struct gathering *gathering, int status, const char *server,
                          const char *why) {
    if (status != STATUS_OK &&
        (gathering->status == STATUS_OK || gathering->status == STATUS_NEWER)) {
        gathering->status = status;
        snprintf(gathering->why, sizeof(gathering->why), "%s%s%s", server, *server ? ": " : "",
                 why);
    }
    if (--gathering->open == 0) {
        gathering_end(gathering);
    }
}

static void load_end(struct load *load, int status, const char *why) {
    struct redis_node *node = load->node;
    struct redis_client *client = node->connection.client;
    struct gathering *gathering = load->gathering;
    char server[SERVER_SIZE];
    redis_connection_server(&node->connection, server);
    free(load);
    node->library_loads--;
    if (gathering) {
        gathering_add(gathering, status, server, why);
    }
    redis_calls_dispatch(client);
}

static const char *why_of(int status) {
    return status == STATUS_IO          ? "it could not be reached in time"
           : status == STATUS_AMBIGUOUS ? "it did not answer in time"
                                        : "the client was closed";
}

/* ---- one master ---- */

static int load_say(struct load *load, const struct slice *words, size_t count, redis_done *done) {
    struct redis_pinned pinned = {
        .node = load->node, .words = words, .word_count = count, .deadline_us = load->deadline_us};
    return redis_call_pinned(&pinned, done, load);
}

static void on_loaded(void *context, int status, const redisReply *reply) {
    struct load *load = context;
    if (status != STATUS_OK) {
        load_end(load, status, why_of(status));
    } else if (reply->type == REDIS_REPLY_ERROR) {
        load_end(load, STATUS_INVALID, reply->str);
    } else {
        load_end(load, STATUS_OK, "");
    }
}

static void replace(struct load *load) {
    const struct redis_library *library = load->node->connection.client->options.library;
    const struct slice words[] = {slice_of("FUNCTION"), slice_of("LOAD"), slice_of("REPLACE"),
                                  slice_of(library->text)};
    int status = load_say(load, words, COUNT_OF(words), on_loaded);
    if (status < 0) {
        load_end(load, status == STATUS_STOPPED ? status : STATUS_IO, status_name(status));
    }
}

static bool version_read(const redisReply *reply, uint64_t *ret_version) {
    if (reply->type == REDIS_REPLY_ARRAY) {
        return reply->elements > 0 && reply->element[0]->type != REDIS_REPLY_ARRAY &&
               version_read(reply->element[0], ret_version);
    }
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0) {
        *ret_version = (uint64_t)reply->integer;
        return true;
    }
    struct slice text = {reply->str, reply->len};
    return (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
           slice_to_u64(text, JSON_INTEGER_MAX, ret_version) == STATUS_OK;
}

static void on_version(void *context, int status, const redisReply *reply) {
    struct load *load = context;
    const struct redis_library *library = load->node->connection.client->options.library;
    struct redis_redirect redirect;
    uint64_t version = 0;
    char why[WHY_SIZE];
    if (status != STATUS_OK) {
        load_end(load, status, why_of(status));
    } else if (redis_verdict_of(reply, &redirect) == VERDICT_NO_FUNCTION) {
        replace(load);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        load_end(load, STATUS_INVALID, reply->str);
    } else if (!version_read(reply, &version)) {
        snprintf(why, sizeof(why), "it has a function %s that is none of ours",
                 library->version_function);
        load_end(load, STATUS_INVALID, why);
    } else if (version < library->version) {
        replace(load);
    } else if (version > library->version) {
        snprintf(why, sizeof(why),
                 "it has version %" PRIu64 " of the functions and this program %" PRIu64, version,
                 library->version);
        load_end(load, STATUS_NEWER, why);
    } else {
        load_end(load, STATUS_OK, "");
    }
}

/* 0, or nothing was begun. */
static int load_begin(struct redis_node *node, struct gathering *gathering, int64_t deadline_us) {
    const struct redis_library *library = node->connection.client->options.library;
    const struct slice words[] = {slice_of("FCALL_RO"), slice_of(library->version_function),
                                  slice_of("0")};
    struct load *load = malloc(sizeof(*load));
    if (!load) {
        return STATUS_NO_MEMORY;
    }
    *load = (struct load){.node = node, .gathering = gathering, .deadline_us = deadline_us};
    int status = load_say(load, words, COUNT_OF(words), on_version);
    if (status < 0) {
        free(load);
        return status;
    }
    node->library_loads++;
    return STATUS_OK;
}

void redis_library_mend(struct redis_node *node) {
    if (node->library_loads == 0) {
        int status = load_begin(node, NULL, 0);
        (void)status; /* the call is sent again all the same, and told that it is not there */
    }
}

/* ---- every master ---- */

static void on_known(struct redis_waiter *waiter, int status) {
    struct gathering *gathering = LINK_OWNER(waiter, struct gathering, waiter);
    struct redis_client *client = gathering->client;
    gathering->open = 1; /* until all were asked */
    for (size_t i = 0; status == STATUS_OK && i < client->node_count; i++) {
        if (redis_topology_has(client, client->nodes[i])) {
            gathering->open++;
            int begun = load_begin(client->nodes[i], gathering, gathering->deadline_us);
            if (begun < 0) {
                gathering_add(gathering, begun == STATUS_STOPPED ? begun : STATUS_IO, "",
                              status_name(begun));
            }
        }
    }
    gathering_add(gathering, status, "",
                  status == STATUS_STOPPED ? "the client was closed"
                                           : "the masters were not found in time");
}

int redis_library_load(struct redis_client *client, int64_t deadline_us, redis_library_done *done,
                       void *context) {
    assert(client->options.library);
    struct gathering *gathering = calloc(1, sizeof(*gathering));
    if (!gathering) {
        return STATUS_NO_MEMORY;
    }
    gathering->client = client;
    gathering->done = done;
    gathering->context = context;
    gathering->deadline_us = redis_deadline(client, deadline_us);
    gathering->waiter.known = on_known;
    int status = redis_topology_wait(client, &gathering->waiter, gathering->deadline_us);
    if (status < 0) {
        free(gathering);
    }
    return status;
}

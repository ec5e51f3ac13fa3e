/* One connection to one server: name resolved, connected, greeted (AUTH, SELECT, its name), lost
 * and, after a pause, made again. Not for: what is sent over it. For nodes.c and subscription.c.
 *
 * The traps of hiredis 0.14 that this file is built around:
 *   - a context may not be freed within its own connect callback; nothing is done there but notes;
 *   - freed within a reply's callback it lives until that returns, so `context` is cleared first
 *     and whoever is called back later compares it;
 *   - when hiredis finds an error it answers all that was sent with NULL before it tells that the
 *     connection is gone, and tells only if it was connected: the first NULL counts as the news;
 *   - for a message of a channel that nobody subscribed to it calls back whoever it called last;
 *   - it resolves names blocking: it is given addresses only;
 *   - it copies an error's text into the context late: `c.errstr` has it always. */
#include "redis/internal.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#define REST_MIN_US INT64_C(10000)
#define REST_MAX_US INT64_C(1000000)
#define STEADY_US   INT64_C(1000000) /* a connection that lasted for so long was a good one */

/* A name being looked up; outlives a connection that gave it up. */
struct redis_resolving {
    uv_getaddrinfo_t request;
    struct redis_client *client;
    struct redis_connection *connection; /* NULL: nobody waits any more */
};

static void on_timed(struct timed *timed);

void redis_connection_init(struct redis_connection *connection, struct redis_client *client,
                           const struct redis_connection_events *events) {
    *connection = (struct redis_connection){.client = client, .events = events};
    connection->timed.expired = on_timed;
}

void redis_connection_server(const struct redis_connection *connection,
                             char ret_server[static SERVER_SIZE]) {
    bool bracket = strchr(connection->host, ':') != NULL;
    snprintf(ret_server, SERVER_SIZE, bracket ? "[%s]:%u" : "%s:%u", connection->host,
             connection->port);
}

bool redis_connection_may_open(const struct redis_connection *connection) {
    return connection->state == CONNECTION_RESTING && connection->timed.place == 0 &&
           !connection->client->closing;
}

/* ---- the end of an attempt ---- */

static void resolving_give_up(struct redis_connection *connection) {
    if (connection->resolving) {
        connection->resolving->connection = NULL;
        uv_cancel((uv_req_t *)&connection->resolving->request);
        connection->resolving = NULL;
    }
}

/* At least half of it, so that those who lost the same server do not return as one. */
static int64_t rest_of(struct redis_connection *connection) {
    int64_t half_us = connection->rest_us / 2;
    uint64_t random = redis_client_random(connection->client);
    return half_us + (int64_t)(random % (uint64_t)(half_us + 1));
}

/* Everything but the context, which the caller frees or hiredis does. */
static void lost(struct redis_connection *connection, const char *why) {
    char text[WHY_SIZE];
    bool was_ready = connection->state == CONNECTION_READY;
    int64_t now_us = clock_monotonic_us();
    snprintf(text, sizeof(text), "%s", why);
    bool steady = was_ready && now_us - connection->opened_us >= STEADY_US;
    int64_t longer_us = connection->rest_us * 2;
    connection->rest_us = steady || connection->rest_us == 0 ? REST_MIN_US
                          : longer_us < REST_MAX_US          ? longer_us
                                                             : REST_MAX_US;
    connection->state = CONNECTION_RESTING;
    connection->context = NULL;
    resolving_give_up(connection);
    redis_client_time(connection->client, &connection->timed, now_us + rest_of(connection));
    connection->events->lost(connection, was_ready, text);
}

static const char *why_closed(const struct redis_connection *connection) {
    const redisAsyncContext *context = connection->context;
    if (connection->reading.refusal) {
        return connection->reading.refusal;
    }
    return context->c.err != 0 && context->c.errstr[0] != '\0' ? context->c.errstr
                                                               : "the connection was closed";
}

void redis_connection_gone(redisAsyncContext *context) {
    struct redis_connection *connection = context->data;
    if (connection->context == context) {
        lost(connection, why_closed(connection));
    }
}

void redis_connection_drop(struct redis_connection *connection, const char *why) {
    redisAsyncContext *context = connection->context;
    if (connection->state == CONNECTION_RESTING) {
        return;
    }
    lost(connection, why);
    if (context) {
        redisAsyncFree(context);
    }
}

void redis_connection_end(struct redis_connection *connection) {
    redisAsyncContext *context = connection->context;
    connection->state = CONNECTION_RESTING;
    connection->context = NULL;
    resolving_give_up(connection);
    timers_cancel(&connection->client->timers, &connection->timed);
    if (context) {
        redisAsyncFree(context);
    }
}

static void on_timed(struct timed *timed) {
    struct redis_connection *connection = LINK_OWNER(timed, struct redis_connection, timed);
    if (connection->state == CONNECTION_RESTING) {
        connection->events->retry(connection);
    } else {
        redis_connection_drop(connection, "it did not answer in time when connecting");
    }
}

/* ---- the greeting ---- */

static bool says_master(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING &&
           memmem(reply->str, reply->len, "role:master", strlen("role:master")) != NULL;
}

static void greeted(struct redis_connection *connection) {
    timers_cancel(&connection->client->timers, &connection->timed);
    connection->state = CONNECTION_READY;
    connection->opened_us = clock_monotonic_us();
    redisEnableKeepAlive(&connection->context->c);
    connection->events->ready(connection);
}

static void on_greeting(redisAsyncContext *context, void *data, void *word) {
    struct redis_connection *connection = context->data;
    const redisReply *reply = data;
    if (!reply) {
        redis_connection_gone(context);
        return;
    }
    if (connection->context != context || connection->greetings == 0) {
        return;
    }
    /* A name is a courtesy to the operator: a user that may not give one works without. */
    bool optional = word != NULL && reply->type == REDIS_REPLY_ERROR &&
                    strncmp(reply->str, "NOPERM", strlen("NOPERM")) == 0;
    if (reply->type == REDIS_REPLY_ERROR && !optional) {
        redis_connection_drop(connection, reply->str);
        return;
    }
    connection->is_master |= says_master(reply);
    if (--connection->greetings == 0) {
        greeted(connection);
    }
}

static bool say(struct redis_connection *connection, void *optional, const char *const *words,
                size_t count) {
    char *bytes = NULL;
    const char *list[4];
    assert(count <= COUNT_OF(list));
    memcpy(list, words, count * sizeof(list[0]));
    int size = redisFormatCommandArgv(&bytes, (int)count, list, NULL);
    if (size < 0) {
        return false;
    }
    int failed =
        redisAsyncFormattedCommand(connection->context, on_greeting, optional, bytes, (size_t)size);
    explicit_bzero(bytes, (size_t)size); /* it may be the password */
    redisFreeCommand(bytes);
    connection->greetings += failed == REDIS_OK ? 1 : 0;
    return failed == REDIS_OK;
}
#define SAY(connection, optional, ...)                                                             \
    say((connection), (optional), (const char *const[]){__VA_ARGS__},                              \
        COUNT_OF(((const char *const[]){__VA_ARGS__})))

/* Sent before it is even connected, and ahead of all else. */
static bool greet(struct redis_connection *connection) {
    const struct redis_url *url = &connection->client->url;
    char database[16];
    bool said = true;
    connection->greetings = 0;
    connection->is_master = url->cluster || url->host_count == 1;
    snprintf(database, sizeof(database), "%u", url->database);
    if (url->user) {
        said = SAY(connection, NULL, "AUTH", url->user, url->password);
    } else if (url->password) {
        said = SAY(connection, NULL, "AUTH", url->password);
    }
    if (url->database != 0) {
        said = said && SAY(connection, NULL, "SELECT", database);
    }
    if (!connection->is_master) {
        said = said && SAY(connection, NULL, "INFO", "replication");
    }
    return said && SAY(connection, connection, "CLIENT", "SETNAME", "coupon");
}

/* ---- the attempt ---- */

/* hiredis frees a context whose connecting failed after this has returned. */
static void on_connect(const redisAsyncContext *context, int failed) {
    struct redis_connection *connection = context->data;
    if (failed && connection->context == context) {
        lost(connection, context->c.errstr[0] ? context->c.errstr : "it cannot be reached");
    }
}

static void on_disconnect(const redisAsyncContext *context, int failed) {
    (void)failed;
    struct redis_connection *connection = context->data;
    if (connection->context == context) {
        lost(connection, why_closed(connection));
    }
}

static void dial(struct redis_connection *connection, const char *address) {
    redisAsyncContext *context = redisAsyncConnect(address, connection->port);
    if (!context) {
        redis_connection_drop(connection, "there is no memory for a connection");
        return;
    }
    connection->context = context;
    context->data = connection;
    redis_reading_init(&connection->reading, context->c.reader, context);
    if (context->err) {
        char why[WHY_SIZE];
        snprintf(why, sizeof(why), "%s", context->errstr);
        redis_connection_drop(connection, why);
        return;
    }
    if (redis_adapter_attach(context, connection->client->loop) != REDIS_OK) {
        redis_connection_drop(connection, "the loop does not take the connection");
        return;
    }
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    if (!greet(connection)) {
        redis_connection_drop(connection, "there is no memory for a connection");
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int failed, struct addrinfo *found) {
    struct redis_resolving *resolving = request->data;
    struct redis_connection *connection = resolving->connection;
    struct redis_client *client = resolving->client;
    char address[INET6_ADDRSTRLEN];
    free(resolving);
    if (connection) {
        connection->resolving = NULL;
        if (!failed) {
            failed = getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL,
                                 0, NI_NUMERICHOST);
        }
        if (failed) {
            redis_connection_drop(connection, "its name cannot be resolved");
        } else {
            dial(connection, address);
        }
    }
    uv_freeaddrinfo(found);
    redis_client_given_back(client);
}

static int resolve(struct redis_connection *connection) {
    struct redis_client *client = connection->client;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct redis_resolving *resolving = calloc(1, sizeof(*resolving));
    if (!resolving) {
        return STATUS_NO_MEMORY;
    }
    resolving->client = client;
    resolving->connection = connection;
    resolving->request.data = resolving;
    if (uv_getaddrinfo(client->loop, &resolving->request, on_resolved, connection->host, NULL,
                       &hints) != 0) {
        free(resolving);
        return STATUS_IO;
    }
    connection->resolving = resolving;
    client->pending++;
    return STATUS_OK;
}

void redis_connection_open(struct redis_connection *connection) {
    struct redis_client *client = connection->client;
    unsigned char address[sizeof(struct in6_addr)];
    assert(connection->state == CONNECTION_RESTING);
    connection->state = CONNECTION_OPENING;
    redis_client_time(client, &connection->timed,
                      clock_monotonic_us() + client->options.connect_timeout_us);
    if (inet_pton(AF_INET, connection->host, address) == 1 ||
        inet_pton(AF_INET6, connection->host, address) == 1) {
        dial(connection, connection->host);
    } else if (resolve(connection) < 0) {
        redis_connection_drop(connection, "its name cannot be looked up");
    }
}

/* internal: what the files of this folder share. Not for anyone else: outside there is only
 * redis.h.
 *
 *   client ─┬─ nodes: a server each, with a connection and the calls that are on it
 *           ├─ parked: calls that wait for a server, for a pause, or for the library
 *           ├─ waiters: who waits until the masters are known
 *           ├─ subscriptions: a connection each
 *           └─ timers: every deadline, behind one uv timer
 *
 * Everything belongs to the loop's thread. Whoever calls back to the user may find the client
 * closing afterwards, but never freed: that is done in a turn of its own (client.c).
 */
#ifndef COUPON_REDIS_INTERNAL_H
#define COUPON_REDIS_INTERNAL_H

#include "redis/redis.h"

#include <hiredis/async.h>

#include "redis/timers.h"
#include "redis/url.h"

#define SLOT_COUNT         16384
#define SLOT_NOWHERE       UINT16_MAX
#define NODES_MAX          512                   /* servers a client knows at once */
#define RETRY_US           INT64_C(20000)        /* between looks at what could not be done */
#define REFRESH_US         INT64_C(100000)       /* between questions for the slot map or a role */
#define SERVER_SIZE        (REDIS_HOST_SIZE + 8) /* "[host]:port" */
#define WHY_SIZE           256
#define REDIRECTS_MAX      5         /* of a call without a pause */
#define REPLY_ELEMENTS_MAX (1 << 20) /* of one array: the largest we ask for has some thousands */

/* ---- lists: circular, through a head that is a link itself ---- */

struct link {
    struct link *previous;
    struct link *next;
};

static inline void link_init(struct link *link) {
    link->previous = link->next = link;
}
static inline bool link_alone(const struct link *link) {
    return link->next == link;
}
static inline void link_remove(struct link *link) {
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link_init(link);
}
static inline void link_append(struct link *head, struct link *link) {
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}
#define LINK_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* ---- reader.c ---- */

/* How a context's replies are made. Lives as long as the context. */
struct redis_reading {
    redisReplyObjectFunctions functions;
    const redisReplyObjectFunctions *original;
    const redisAsyncContext *context;
    const char *refusal; /* why the reading has ended; NULL: it has not, or not by us */
};
/* For a reader that has read nothing yet. An array of more than REPLY_ELEMENTS_MAX elements, and
 * what answers no question of the context's and is no message either, end the reading with
 * REDIS_ERR_OOM. `context` NULL: everything was asked for. */
void redis_reading_init(struct redis_reading *ret_reading, redisReader *reader,
                        const redisAsyncContext *context);

/* ---- connection.c ---- */

/*   RESTING ── open ──> OPENING ── greeted ──> READY
 *      ^                   │                     │
 *      └──── lost: retry() is called later ──────┘
 */
enum connection_state { CONNECTION_RESTING, CONNECTION_OPENING, CONNECTION_READY };

struct redis_connection;
struct redis_resolving;

struct redis_connection_events {
    void (*ready)(struct redis_connection *connection);
    void (*lost)(struct redis_connection *connection, bool was_ready, const char *why);
    void (*retry)(struct redis_connection *connection); /* it has rested for long enough */
};

struct redis_connection {
    struct redis_client *client;
    const struct redis_connection_events *events;
    char host[REDIS_HOST_SIZE];
    uint16_t port;
    enum connection_state state;
    redisAsyncContext *context;   /* NULL while RESTING */
    struct redis_reading reading; /* the context's */
    struct redis_resolving *resolving;
    struct timed timed; /* RESTING: the next attempt; OPENING: its deadline */
    unsigned greetings; /* answers that are still to come before READY */
    bool is_master;     /* as it said in its greeting; asked only where there is a choice */
    bool loss_told;     /* by client.c, since it was last ready */
    int64_t opened_us;  /* READY: since when */
    int64_t rest_us;    /* the last pause before an attempt; 0: none yet */
};

void redis_connection_init(struct redis_connection *connection, struct redis_client *client,
                           const struct redis_connection_events *events);
/* Begins an attempt; RESTING. May be lost before it returns. */
void redis_connection_open(struct redis_connection *connection);
bool redis_connection_may_open(const struct redis_connection *connection);
/* hiredis has given `context` up, with an error in it: the first who notices tells. */
void redis_connection_gone(redisAsyncContext *context);
/* Gives it up: lost() first, then NULL for all that was sent. */
void redis_connection_drop(struct redis_connection *connection, const char *why);
/* For good: no event but NULL for all that was sent. */
void redis_connection_end(struct redis_connection *connection);
void redis_connection_server(const struct redis_connection *connection,
                             char ret_server[static SERVER_SIZE]);

/* adapter.c: has `loop` serve the context. REDIS_OK or REDIS_ERR. */
int redis_adapter_attach(redisAsyncContext *context, uv_loop_t *loop);

/* ---- nodes.c: servers ---- */

struct redis_node {
    struct redis_connection connection; /* first: a node's connection is its address */
    uint16_t index;                     /* in client->nodes */
    bool in_map;                        /* cluster: a master with slots */
    bool fallback;                      /* cluster: asked for the map when no master is there */
    bool seed;                          /* the URL has it */
    bool asking_role;
    unsigned library_loads; /* under way on it */
    int64_t wanted_until_us;
    struct link in_flight; /* calls, in the order of their answers, those given up included */
    int64_t progress_us;   /* the last answer, or when the first unanswered was sent */
    struct timed watch;    /* while calls are in flight */
};

int MUST_CHECK redis_node_find_or_add(struct redis_client *client, struct slice host, uint16_t port,
                                      struct redis_node **ret_node);
void redis_nodes_free(struct redis_client *client);
static inline bool redis_node_ready(const struct redis_node *node) {
    return node->connection.state == CONNECTION_READY;
}
/* Opens connections that are wanted and closes those that are not. */
void redis_nodes_tend(struct redis_client *client);
void redis_node_sent(struct redis_node *node);     /* a call was added to in_flight */
void redis_node_answered(struct redis_node *node); /* something came */

/* ---- slots.c: pure ---- */

/* CRC16 (XMODEM) of the key, or of what is within its first {} if that is not empty. */
uint16_t redis_slot_of(struct slice key);

struct redis_slot_row {
    uint16_t first;
    uint16_t last;
    bool is_master; /* the row's first server; then its replicas, each a row of its own */
    struct slice host;
    uint16_t port;
};
/* Reads the answer to CLUSTER SLOTS; visits nothing unless all of it is well-formed. An empty
 * host means the one who was asked. STATUS_INVALID, or what `visit` returned. */
int MUST_CHECK redis_slots_read(const redisReply *reply, struct slice asked_host,
                                int (*visit)(void *context, const struct redis_slot_row *row),
                                void *context);

/* ---- verdict.c: pure ---- */

enum verdict {
    VERDICT_ANSWER,
    VERDICT_MOVED,
    VERDICT_ASK,
    VERDICT_PAUSE,       /* not now: TRYAGAIN, LOADING, BUSY */
    VERDICT_NO_MASTER,   /* not here any more: READONLY, CLUSTERDOWN, MASTERDOWN */
    VERDICT_NO_FUNCTION, /* the library is not there */
};

struct redis_redirect {
    uint16_t slot;
    struct slice host; /* empty: the one who said so */
    uint16_t port;
};
/* What the answer asks for; *ret_redirect with MOVED and ASK. */
enum verdict redis_verdict_of(const redisReply *reply, struct redis_redirect *ret_redirect);

/* ---- topology.c: who is the master of what ---- */

void redis_topology_ready(struct redis_node *node);
void redis_topology_lost(struct redis_node *node);
/* Asks for the map or roles, unless that was done just now. */
void redis_topology_refresh(struct redis_client *client);
void redis_topology_moved(struct redis_client *client, uint16_t slot, struct redis_node *node);
void redis_topology_demoted(struct redis_node *node); /* it says that it is no master */
bool redis_topology_known(const struct redis_client *client);
/* The master of a slot as far as is known, or NULL; SLOT_NOWHERE: any master. */
struct redis_node *redis_topology_master(const struct redis_client *client, uint16_t slot);
/* Whether the node is one of the masters; the topology is known. */
bool redis_topology_has(const struct redis_client *client, const struct redis_node *node);

/* Somebody who waits until the masters are known. */
struct redis_waiter {
    struct link link;
    struct timed timed;
    struct redis_client *client;
    /* STATUS_OK, STATUS_IO at the deadline, STATUS_STOPPED. Not before wait returns. */
    void (*known)(struct redis_waiter *waiter, int status);
};
void redis_topology_tell(struct redis_client *client); /* those whose wait is over */
void redis_topology_look(struct redis_client *client); /* a moment later: what can be done now? */
int MUST_CHECK redis_topology_wait(struct redis_client *client, struct redis_waiter *waiter,
                                   int64_t deadline_us);

/* ---- calls.c ---- */

enum call_state { CALL_PARKED, CALL_IN_FLIGHT, CALL_LATE };

struct redis_call_record {
    struct link link;   /* in parked or in a node's in_flight */
    struct timed timed; /* its deadline */
    struct redis_client *client;
    struct redis_node *node; /* where it is in flight; where it must go, when pinned or asking */
    redis_done *done;
    void *context;
    enum call_state state;
    uint16_t slot;
    uint8_t redirects;
    bool pinned;        /* to `node`: one of our own, or to every master */
    bool impatient;     /* LOADING and the like is an answer */
    bool asking;        /* ASKING goes before it, to `node` */
    bool library_tried; /* the library was loaded for its sake */
    size_t size;
    char bytes[];
};

/* A call of our own to one node; not counted. */
struct redis_pinned {
    struct redis_node *node;
    const struct slice *words;
    size_t word_count;
    int64_t deadline_us;
    bool impatient;
};
int MUST_CHECK redis_call_pinned(const struct redis_pinned *pinned, redis_done *done,
                                 void *context);
/* Sends parked calls that can be sent. */
void redis_calls_dispatch(struct redis_client *client);
void redis_calls_stop(struct redis_client *client); /* answers those that are parked */
int64_t redis_deadline(const struct redis_client *client, int64_t deadline_us);

/* ---- library.c ---- */

/* Loads the library on a node for the sake of a call that missed it. */
void redis_library_mend(struct redis_node *node);

/* ---- subscription.c ---- */

void redis_subscriptions_end(struct redis_client *client);
void redis_subscriptions_free(struct redis_client *client);

/* ---- client.c ---- */

struct redis_client {
    uv_loop_t *loop;
    struct redis_options options;
    struct redis_url url;
    struct timers timers;
    uv_timer_t tick;
    int64_t tick_due_us; /* INT64_MAX: not started */
    struct timed retry;  /* while something could not be done */
    uint64_t random;
    size_t call_count;
    size_t pending; /* what libuv must still give back before it may be freed */
    bool closing;
    void (*closed)(void *context);
    void *closed_context;

    struct redis_node *nodes[NODES_MAX];
    size_t node_count;
    struct redis_node *master;  /* without cluster=1 */
    uint16_t slots[SLOT_COUNT]; /* cluster: node indexes, or SLOT_NOWHERE */
    size_t slots_unserved;
    bool refreshing;
    int64_t refresh_due_us; /* not before */
    size_t refresh_next;    /* the node to ask, in turns */

    struct link parked;
    struct link waiters;
    struct link subscriptions;
};

void redis_client_retry(struct redis_client *client); /* look again soon */
/* A member's timer: due at a time, or never again. The place was reserved. */
void redis_client_time(struct redis_client *client, struct timed *timed, int64_t due_us);
uint64_t redis_client_random(struct redis_client *client);
void redis_client_given_back(struct redis_client *client); /* one of `pending` */
/* Tells the embedder, changes only. */
void redis_client_tell(struct redis_connection *connection, bool connected, const char *why);

#endif

/* The client of Redis, behind the product's own header src/redis/redis.h and linked in the place
 * of src/redis: calls travel over wires that delay, lose and cut them; it finds the master again
 * as the real one does. A model: what hiredis, the parser and the topology do is tested elsewhere
 * (tests/unit/redis, tests/contract/redis_client).
 *
 * A wire keeps its order. What was on its way when it is cut may still reach the server, the
 * answer never comes. A call whose deadline passes stays on its wire: it may be done yet. */
#include "sim/distributed/redis_client.h"

#include "sim/distributed/loops.h"
#include "sim/distributed/trouble.h"

#include <stdlib.h>

static const int64_t CALL_TIMEOUT_US = US_PER_SECOND;
static const int64_t CONNECT_PAUSE_US = 20000;

struct wire {
    struct redis_server *server;
    bool cut;
    int64_t cut_us;       /* what arrives at the server later is lost */
    int64_t to_server_us; /* when the last one sent arrives … */
    int64_t to_client_us; /* … and the last answer */
    int64_t heard_us;
};

struct listener {
    struct listener *next;
    struct redis_client *client;
    struct slice channel;
    struct redis_subscriber subscriber;
    struct wire *wire; /* NULL: not connected */
    bool connecting;
};

enum call_state { CALL_PARKED, CALL_SENT, CALL_OVER };

struct call {
    struct call *next; /* of its client */
    struct redis_client *client;
    struct command_words command;
    redis_done *done;
    void *context;
    enum call_state state;
    struct wire *wire;
    int64_t deadline_us; /* of the world's time */
    int64_t sent_us;
    int status;
    struct value answer;
};

struct redis_client {
    struct redis_client *next;
    struct process *process;
    uv_loop_t *loop;
    struct wire *wire; /* NULL: not connected */
    bool connecting;
    bool closed;
    struct call *calls; /* that are not over */
    struct call *last;
    size_t call_count;
    size_t calls_max;
    struct listener *listeners;
};

static struct { struct redis_client *clients; } world;

void redis_clients_begin(void) {
    world.clients = NULL;
}

static bool is_there(const struct redis_client *client) {
    return client->process->alive && !client->closed;
}

/* ---- the end of a call ---- */

static void reply_fill(const struct value *value, redisReply *reply) {
    static const int types[] = {
        [VALUE_NIL] = REDIS_REPLY_NIL,     [VALUE_INTEGER] = REDIS_REPLY_INTEGER,
        [VALUE_TEXT] = REDIS_REPLY_STRING, [VALUE_STATUS] = REDIS_REPLY_STATUS,
        [VALUE_ERROR] = REDIS_REPLY_ERROR, [VALUE_ARRAY] = REDIS_REPLY_ARRAY,
    };
    *reply = (redisReply){.type = types[value->type], .integer = value->integer};
    if (value->type == VALUE_TEXT || value->type == VALUE_STATUS || value->type == VALUE_ERROR) {
        struct slice text = world_copy(value->text); /* and a zero behind it */
        reply->str = (char *)(uintptr_t)text.bytes;
        reply->len = text.size;
    }
    if (value->type == VALUE_ARRAY) {
        redisReply *elements = world_alloc(value->count * sizeof(*elements));
        reply->elements = value->count;
        reply->element = world_alloc(value->count * sizeof(reply->element[0]));
        for (size_t i = 0; i < value->count; i++) {
            reply->element[i] = &elements[i];
            reply_fill(&value->elements[i], &elements[i]);
        }
    }
}

static void on_over(void *context, uint64_t word) {
    struct call *call = context;
    redisReply reply;
    (void)word;
    reply_fill(&call->answer, &reply);
    call->done(call->context, call->status, call->status == STATUS_OK ? &reply : NULL);
}

static void call_end(struct call *call, int status) {
    struct redis_client *client = call->client;
    struct call **place = &client->calls;
    assert(call->state != CALL_OVER);
    client->last = NULL;
    while (*place) {
        if (*place == call) {
            *place = call->next;
        } else {
            client->last = *place;
            place = &(*place)->next;
        }
    }
    client->call_count--;
    call->state = CALL_OVER;
    call->status = status;
    loop_post(client->loop, on_over, call, 0);
}

/* ---- sending ---- */

static void client_lose(struct redis_client *client);
static void client_connect_later(struct redis_client *client, int64_t pause_us);
static void call_send(struct call *call);

static void wire_cut(struct wire *wire) {
    wire->cut = true;
    wire->cut_us = now_us() + (random_chance(dice(), 1, 2) ? trouble_redis_delay() : 0);
}

static void on_library_loaded(void *context, uint64_t word) {
    struct call *call = context;
    (void)word;
    if (call->wire && !call->wire->cut && call->wire->server->up) {
        server_load_library(call->wire->server);
    }
    if (call->state == CALL_PARKED && call->client->wire) {
        call_send(call);
    }
}

static bool begins(struct slice text, const char *word) {
    return text.size >= strlen(word) && memcmp(text.bytes, word, strlen(word)) == 0;
}

static void on_answer(void *context, uint64_t word) {
    struct call *call = context;
    struct wire *wire = call->wire;
    (void)word;
    if (wire->cut || !is_there(call->client)) {
        return;
    }
    wire->heard_us = now_us();
    if (call->state != CALL_SENT) {
        return; /* late */
    }
    bool error = call->answer.type == VALUE_ERROR;
    if (error && begins(call->answer.text, "ERR Function not found")) {
        call->state = CALL_PARKED;
        event_at(now_us() + trouble_redis_delay(), call->client->process, on_library_loaded, call,
                 0);
    } else if (error && begins(call->answer.text, "READONLY ")) {
        call->state = CALL_PARKED;
        client_lose(call->client);
    } else {
        call_end(call, STATUS_OK);
    }
}

static void on_request(void *context, uint64_t arrived_us) {
    struct call *call = context;
    struct wire *wire = call->wire;
    struct redis_server *server = wire->server;
    if (!server->up || (wire->cut && (int64_t)arrived_us > wire->cut_us)) {
        return;
    }
    if (server->paused_until_us > now_us()) {
        event_at(server->paused_until_us, NULL, on_request, call, arrived_us);
        return;
    }
    call->answer = server_execute(server, &call->command);
    bool heard = is_there(call->client) && call->client->wire == wire;
    if (heard && trouble_strikes(TROUBLE_REDIS_ANSWER_LOST)) {
        client_lose(call->client);
        return;
    }
    int64_t at_us = now_us() + trouble_redis_delay();
    wire->to_client_us = at_us > wire->to_client_us ? at_us : wire->to_client_us;
    event_at(wire->to_client_us, call->client->process, on_answer, call, 0);
}

static void call_send(struct call *call) {
    struct wire *wire = call->client->wire;
    int64_t at_us = now_us() + trouble_redis_delay();
    call->state = CALL_SENT;
    call->wire = wire;
    call->sent_us = now_us();
    wire->to_server_us = at_us > wire->to_server_us ? at_us : wire->to_server_us;
    if (trouble_strikes(TROUBLE_REDIS_REQUEST_LOST)) {
        client_lose(call->client);
        wire->cut_us = INT64_MIN;
        return;
    }
    event_at(wire->to_server_us, NULL, on_request, call, (uint64_t)wire->to_server_us);
}

/* A server that owes an answer and has said nothing since is given up. */
static void on_deadline(void *context, uint64_t word) {
    struct call *call = context;
    (void)word;
    if (call->state == CALL_PARKED) {
        call_end(call, STATUS_IO);
    } else if (call->state == CALL_SENT) {
        bool silent = call->wire->heard_us < call->sent_us;
        struct wire *wire = call->wire;
        call_end(call, STATUS_AMBIGUOUS);
        if (silent && call->client->wire == wire) {
            client_lose(call->client);
        }
    }
}

/* ---- connecting ---- */

static void client_lose(struct redis_client *client) {
    struct wire *wire = client->wire;
    if (!wire) {
        return;
    }
    wire_cut(wire);
    client->wire = NULL;
    for (struct call *call = client->calls, *next; call; call = next) {
        next = call->next;
        if (call->state == CALL_SENT && call->wire == wire) {
            call_end(call, STATUS_AMBIGUOUS);
        }
    }
    client_connect_later(client, random_between(dice(), 100, CONNECT_PAUSE_US));
}

static void listener_connect_later(struct listener *listener);

/* One of those that say that they are the master and can be reached. */
static struct redis_server *master_seen_by(const struct redis_client *client) {
    struct redis_server *found[SERVERS_MAX];
    size_t count = 0;
    for (unsigned i = 0; server_at(i); i++) {
        struct redis_server *server = server_at(i);
        if (server->up && server->master && server->paused_until_us <= now_us() &&
            !trouble_is_apart(client->process, server)) {
            found[count++] = server;
        }
    }
    return count > 0 ? found[random_below(dice(), count)] : NULL;
}

static struct wire *wire_new(struct redis_server *server) {
    struct wire *wire = world_alloc(sizeof(*wire));
    wire->server = server;
    wire->heard_us = now_us();
    return wire;
}

static void on_connect(void *context, uint64_t word) {
    struct redis_client *client = context;
    (void)word;
    client->connecting = false;
    if (client->closed || client->wire) {
        return;
    }
    struct redis_server *server = master_seen_by(client);
    if (!server) {
        client_connect_later(client, random_between(dice(), 1000, CONNECT_PAUSE_US));
        return;
    }
    client->wire = wire_new(server);
    for (struct call *call = client->calls; call; call = call->next) {
        if (call->state == CALL_PARKED) {
            call_send(call);
            if (!client->wire) {
                return;
            }
        }
    }
    for (struct listener *listener = client->listeners; listener; listener = listener->next) {
        listener_connect_later(listener);
    }
}

static void client_connect_later(struct redis_client *client, int64_t pause_us) {
    if (!client->connecting && !client->closed) {
        client->connecting = true;
        event_at(now_us() + pause_us, client->process, on_connect, client, 0);
    }
}

/* ---- listening ---- */

static void on_subscribed(void *context, uint64_t word) {
    const struct listener *listener = context;
    (void)word;
    if (listener->subscriber.subscribed && is_there(listener->client)) {
        listener->subscriber.subscribed(listener->subscriber.context);
    }
}

static void on_listener_connect(void *context, uint64_t word) {
    struct listener *listener = context;
    (void)word;
    listener->connecting = false;
    if (!listener->client->closed && !listener->wire && listener->client->wire) {
        listener->wire = wire_new(listener->client->wire->server);
        loop_post(listener->client->loop, on_subscribed, listener, 0);
    }
}

static void listener_connect_later(struct listener *listener) {
    bool elsewhere = listener->wire && listener->client->wire &&
                     listener->wire->server != listener->client->wire->server;
    if (elsewhere) {
        listener->wire->cut = true;
        listener->wire = NULL;
    }
    if (!listener->wire && !listener->connecting) {
        listener->connecting = true;
        event_at(now_us() + random_between(dice(), 500, CONNECT_PAUSE_US),
                 listener->client->process, on_listener_connect, listener, 0);
    }
}

struct message {
    struct listener *listener;
    struct wire *wire;
    struct slice payload;
};

static void on_message_turn(void *context, uint64_t word) {
    const struct message *message = context;
    (void)word;
    if (!message->listener->client->closed) {
        message->listener->subscriber.message(message->listener->subscriber.context,
                                              message->payload);
    }
}

static void on_message(void *context, uint64_t word) {
    struct message *message = context;
    (void)word;
    if (!message->wire->cut && is_there(message->listener->client)) {
        loop_post(message->listener->client->loop, on_message_turn, message, 0);
    }
}

static void message_send(struct listener *listener, struct slice payload) {
    struct wire *wire = listener->wire;
    if (trouble_strikes(TROUBLE_HINT_LOST)) {
        wire->cut = true;
        listener->wire = NULL;
        listener_connect_later(listener);
        return;
    }
    struct message *message = world_alloc(sizeof(*message));
    *message = (struct message){listener, wire, payload};
    int64_t late_us = trouble_hint_delay();
    int64_t at_us = now_us() + late_us + trouble_redis_delay();
    wire->to_client_us = at_us > wire->to_client_us ? at_us : wire->to_client_us;
    event_at(wire->to_client_us, listener->client->process, on_message, message, 0);
}

void clients_publish(struct redis_server *server, struct slice channel, struct slice payload) {
    struct slice kept = world_copy(payload);
    for (struct redis_client *client = world.clients; client; client = client->next) {
        for (struct listener *listener = client->listeners; listener && is_there(client);
             listener = listener->next) {
            if (listener->wire && listener->wire->server == server &&
                slice_equal(listener->channel, channel)) {
                message_send(listener, kept);
            }
        }
    }
}

static void listeners_cut(struct redis_client *client, const struct redis_server *server) {
    for (struct listener *listener = client->listeners; listener; listener = listener->next) {
        if (listener->wire && listener->wire->server == server) {
            listener->wire->cut = true;
            listener->wire = NULL;
            listener_connect_later(listener);
        }
    }
}

void clients_cut(struct redis_server *server) {
    for (struct redis_client *client = world.clients; client; client = client->next) {
        if (is_there(client)) {
            if (client->wire && client->wire->server == server) {
                client_lose(client);
            }
            listeners_cut(client, server);
        }
    }
}

void clients_cut_process(const struct process *process, struct redis_server *server) {
    for (struct redis_client *client = world.clients; client; client = client->next) {
        if (is_there(client) && client->process == process) {
            if (client->wire && client->wire->server == server) {
                client_lose(client);
            }
            listeners_cut(client, server);
        }
    }
}

/* ---- redis.h ---- */

int redis_client_new(uv_loop_t *loop, const struct redis_options *options,
                     struct redis_client **ret_client, struct complaint *complaint) {
    (void)complaint;
    struct redis_client *client = world_alloc(sizeof(*client));
    client->process = process_self();
    client->loop = loop;
    client->calls_max = options->calls_max ? options->calls_max : 16384;
    client->next = world.clients;
    world.clients = client;
    loop_hold(loop);
    client_connect_later(client, random_between(dice(), 100, CONNECT_PAUSE_US));
    *ret_client = client;
    return STATUS_OK;
}

struct closing {
    struct redis_client *client;
    void (*done)(void *context);
    void *context;
};

static void on_closed(void *context, uint64_t word) {
    struct closing *closing = context;
    (void)word;
    loop_release(closing->client->loop);
    if (closing->done) {
        closing->done(closing->context);
    }
}

void redis_client_close(struct redis_client *client, void (*done)(void *context), void *context) {
    assert(!client->closed);
    while (client->calls) {
        call_end(client->calls,
                 client->calls->state == CALL_SENT ? STATUS_AMBIGUOUS : STATUS_STOPPED);
    }
    if (client->wire) {
        wire_cut(client->wire);
    }
    client->closed = true;
    struct closing *closing = world_alloc(sizeof(*closing));
    *closing = (struct closing){client, done, context};
    loop_post(client->loop, on_closed, closing, 0);
}

bool redis_client_ready(const struct redis_client *client) {
    return client->wire;
}

int redis_call(struct redis_client *client, struct slice key, const struct slice *words,
               size_t word_count, int64_t deadline_us, redis_done *done, void *context) {
    (void)key;
    assert(deadline_us == 0); /* as src/partition and src/issuer have it */
    if (client->closed) {
        return STATUS_STOPPED;
    }
    if (client->call_count >= client->calls_max) {
        return STATUS_FULL;
    }
    struct call *call = world_alloc(sizeof(*call));
    *call = (struct call){.client = client, .done = done, .context = context};
    call->command.words = world_alloc(word_count * sizeof(words[0]));
    call->command.count = word_count;
    for (size_t i = 0; i < word_count; i++) {
        call->command.words[i] = world_copy(words[i]);
    }
    *(client->last ? &client->last->next : &client->calls) = call;
    client->last = call;
    client->call_count++;
    event_deadline(now_us() + CALL_TIMEOUT_US, client->process, on_deadline, call, 0);
    if (client->wire) {
        call_send(call);
    }
    return STATUS_OK;
}

int redis_subscribe(struct redis_client *client, const char *channel,
                    const struct redis_subscriber *subscriber) {
    struct listener *listener = world_alloc(sizeof(*listener));
    *listener = (struct listener){.next = client->listeners,
                                  .client = client,
                                  .channel = world_copy(slice_of(channel)),
                                  .subscriber = *subscriber};
    client->listeners = listener;
    listener_connect_later(listener);
    return STATUS_OK;
}

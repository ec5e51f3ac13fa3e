/* The client of Redis against a server that says what the input wants, when it wants.
 *
 * The first line chooses the URL: "cluster", "replicas", or one server. Then come, in any order,
 * answers and acts:
 *
 *   ECHO -MOVED 5 127.0.0.1:7001|    what the next ECHO is answered with; '|' is a line's end
 *   CLUSTER close                    the connection is reset instead
 *   INFO silence                     nothing is answered any more over this connection
 *   CLIENT half +OK|                 in two pieces
 *   >call KEY                        an ECHO of its own number
 *   >masters   >load   >subscribe    the client's other calls
 *   >wait MS                         time passes
 *
 * A command for which there is no answer gets a sensible one. Time is simulated, every address
 * leads here, names lead nowhere.
 *
 * Every call that was taken is answered once. While each answer is one whole reply, a call is
 * sent again only after an answer by which it was not done, and STATUS_IO is true: it was not. */
#include "fuzz.h"
#include "redis/internal.h"
#include "resp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWERS_MAX = 128, ACTS_MAX = 64, PEERS_MAX = 64 };

#define TIMEOUT_US INT64_C(200000)

/* ---- simulated time, and ways that lead here only ---- */

static struct world {
    uv_loop_t loop;
    struct redis_client *client;
    int listener;
    uint16_t port;
    int64_t now_us;
    int64_t timer_due_us; /* INT64_MAX: none */
    uv_timer_t *timer;
    uv_timer_cb timer_rings;
    bool lawful; /* so far each answer was one whole reply */
    bool closed;
} world;

int64_t __wrap_clock_monotonic_us(void);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb rings, uint64_t wait_ms, uint64_t repeat);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb found,
                          const char *name, const char *service, const struct addrinfo *hints);
redisAsyncContext *__wrap_redisAsyncConnect(const char *address, int port);
redisAsyncContext *__real_redisAsyncConnect(const char *address, int port);

int64_t __wrap_clock_monotonic_us(void) {
    return world.now_us;
}

int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb rings, uint64_t wait_ms, uint64_t repeat) {
    assert(repeat == 0);
    world.timer = timer;
    world.timer_rings = rings;
    world.timer_due_us = world.now_us + (int64_t)wait_ms * 1000;
    return 0;
}

int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb found,
                          const char *name, const char *service, const struct addrinfo *hints) {
    (void)loop;
    (void)request;
    (void)found;
    (void)name;
    (void)service;
    (void)hints;
    return UV_EAI_NONAME;
}

redisAsyncContext *__wrap_redisAsyncConnect(const char *address, int port) {
    (void)address;
    assert(port > 0 && port <= UINT16_MAX);
    return __real_redisAsyncConnect("127.0.0.1", world.port);
}

/* ---- calls ---- */

struct call {
    bool taken;
    unsigned answered; /* by the client */
    unsigned received; /* by the server … */
    unsigned not_done; /* … and said to be not done */
};

static struct call calls[ACTS_MAX];
static struct call others[ACTS_MAX]; /* to all masters, or of the library */

static void on_done(void *context, int status, const redisReply *reply) {
    struct call *call = context;
    assert(call->taken && call->answered++ == 0);
    assert(status == STATUS_OK || status == STATUS_IO || status == STATUS_AMBIGUOUS ||
           status == STATUS_STOPPED);
    assert((status == STATUS_OK) == (reply != NULL));
    if (world.lawful && (status == STATUS_IO || status == STATUS_STOPPED)) {
        assert(call->received == call->not_done);
    }
}

static void on_masters(void *context, int status, const struct redis_result *results,
                       size_t count) {
    struct call *call = context;
    assert(call->taken && call->answered++ == 0);
    assert(status == STATUS_OK ||
           (count == 0 && (status == STATUS_IO || status == STATUS_STOPPED)));
    for (size_t i = 0; i < count; i++) {
        assert((results[i].status == STATUS_OK) == (results[i].reply != NULL));
        assert(strchr(results[i].server, ':') != NULL);
    }
}

static void on_library(void *context, int status, const char *why) {
    struct call *call = context;
    assert(call->taken && call->answered++ == 0);
    assert(why != NULL && (status == STATUS_OK || why[0] != '\0'));
}

static void on_message(void *context, struct slice payload) {
    (void)context;
    free(fuzz_exact(payload));
}

static void on_closed(void *context) {
    *(bool *)context = true;
}

/* ---- the server ---- */

struct answer {
    struct slice command; /* the word it answers */
    struct slice bytes;
    bool used;
};

static struct answer answers[ANSWERS_MAX];
static size_t answer_count;

struct peer {
    int socket; /* -1: none */
    bool silent;
    struct buffer input;
};

static struct peer peers[PEERS_MAX];

static void peer_close(struct peer *peer) {
    if (peer->socket >= 0) {
        close(peer->socket);
    }
    buffer_done(&peer->input);
    *peer = (struct peer){.socket = -1};
}

static struct answer *answer_to(struct slice command) {
    for (size_t i = 0; i < answer_count; i++) {
        if (!answers[i].used && slice_equal(answers[i].command, command)) {
            answers[i].used = true;
            return &answers[i];
        }
    }
    return NULL;
}

static const char *sensible_answer(struct slice command) {
    static const struct {
        const char *command;
        const char *answer;
    } table[] = {
        {"INFO", "$11\r\nrole:master\r\n"},
        {"CLUSTER", "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n"},
        {"SUBSCRIBE", "*3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n"},
        {"FCALL_RO", ":1\r\n"},
        {"ECHO", "$4\r\necho\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (slice_is(command, table[i].command)) {
            return table[i].answer;
        }
    }
    return "+OK\r\n";
}

static void say(struct peer *peer, struct slice bytes) {
    if (peer->socket < 0 || bytes.size == 0) {
        return;
    }
    if (send(peer->socket, bytes.bytes, bytes.size, MSG_NOSIGNAL) < 0 && errno != EPIPE) {
        peer_close(peer);
    }
}

/* With '|' turned into CRLF. */
static struct buffer expanded(struct slice text) {
    struct buffer bytes;
    buffer_init(&bytes);
    for (size_t i = 0; i < text.size; i++) {
        bool end = text.bytes[i] == '|';
        buffer_append(&bytes, end ? "\r\n" : &text.bytes[i], end ? 2 : 1);
    }
    return bytes;
}

static void give_answer(struct peer *peer, struct slice text, struct call *call) {
    if (slice_is(text, "close")) {
        peer_close(peer);
        return;
    }
    if (slice_is(text, "silence")) {
        peer->silent = true;
        return;
    }
    bool half = resp_begins(text, "half ");
    text = half ? (struct slice){text.bytes + 5, text.size - 5} : text;
    struct buffer bytes = expanded(text);
    struct slice whole = buffer_view(&bytes);
    world.lawful = world.lawful && resp_is_one_reply(whole);
    if (call && resp_says_not_done(whole)) {
        call->not_done++;
    }
    size_t first = half ? whole.size / 2 : whole.size;
    say(peer, (struct slice){whole.bytes, first});
    if (half) {
        uv_run(&world.loop, UV_RUN_NOWAIT);
        say(peer, (struct slice){whole.bytes + first, whole.size - first});
    }
    buffer_done(&bytes);
}

static struct call *call_of(const struct slice words[static RESP_WORDS_MAX]) {
    uint64_t number = 0;
    if (!slice_is(words[0], "ECHO") || slice_to_u64(words[1], ACTS_MAX - 1, &number)) {
        return NULL;
    }
    return &calls[number];
}

static void serve(struct peer *peer) {
    struct slice input = buffer_view(&peer->input);
    struct slice words[RESP_WORDS_MAX];
    size_t whole = input.size;
    while (peer->socket >= 0 && resp_command_take(&input, words)) {
        struct call *call = call_of(words);
        struct answer *answer = peer->silent ? NULL : answer_to(words[0]);
        if (call) {
            call->received++;
            assert(!world.lawful || call->received <= call->not_done + 1);
        }
        if (peer->silent) {
            continue;
        }
        if (answer) {
            give_answer(peer, answer->bytes, call);
        } else {
            say(peer, slice_of(sensible_answer(words[0])));
        }
    }
    if (peer->socket >= 0) {
        buffer_drop_front(&peer->input, whole - input.size);
    }
}

static bool peers_accept(void) {
    bool any = false;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (peers[i].socket < 0) {
            int accepted = accept4(world.listener, NULL, NULL, SOCK_NONBLOCK);
            if (accepted < 0) {
                return any;
            }
            struct linger reset = {.l_onoff = 1}; /* or used ports would run out */
            setsockopt(accepted, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
            peers[i].socket = accepted;
            any = true;
        }
    }
    return any;
}

/* Tells whether anything happened. */
static bool server_turn(void) {
    bool any = peers_accept();
    for (size_t i = 0; i < PEERS_MAX; i++) {
        char room[16384];
        ssize_t size = peers[i].socket < 0 ? 0 : recv(peers[i].socket, room, sizeof(room), 0);
        if (size > 0) {
            buffer_append(&peers[i].input, room, (size_t)size);
            serve(&peers[i]);
            any = true;
        } else if (peers[i].socket >= 0 && (size == 0 || errno != EAGAIN)) {
            peer_close(&peers[i]);
            any = true;
        }
    }
    return any;
}

/* ---- time passes ---- */

static void run_until_quiet(void) {
    for (int quiet = 0, turns = 0; quiet < 3 && turns < 500; turns++) {
        uv_run(&world.loop, UV_RUN_NOWAIT);
        quiet = server_turn() ? 0 : quiet + 1;
    }
}

static void pass(int64_t time_us) {
    int64_t until_us = world.now_us + time_us;
    run_until_quiet();
    for (int rings = 0; world.timer_due_us <= until_us && rings < 300; rings++) {
        world.now_us = world.timer_due_us > world.now_us ? world.timer_due_us : world.now_us;
        world.timer_due_us = INT64_MAX;
        world.timer_rings(world.timer);
        run_until_quiet();
    }
    world.now_us = until_us;
}

/* ---- an input ---- */

static void act(size_t number, struct slice line) {
    static const struct redis_subscriber subscriber = {.message = on_message};
    char digits[8];
    struct slice kind = fuzz_word(&line);
    snprintf(digits, sizeof(digits), "%zu", number);
    const struct slice words[] = {slice_of("ECHO"), slice_of(digits)};
    uint64_t wait_ms = 0;
    int status = STATUS_STOPPED;
    if (slice_is(kind, ">call")) {
        calls[number].taken = true;
        status = redis_call(world.client, line, words, 2, 0, on_done, &calls[number]);
        calls[number].taken = status == STATUS_OK;
    } else if (slice_is(kind, ">masters")) {
        others[number].taken = true;
        status = redis_call_masters(world.client, words, 1, 0, on_masters, &others[number]);
        others[number].taken = status == STATUS_OK;
    } else if (slice_is(kind, ">load")) {
        others[number].taken = true;
        status = redis_library_load(world.client, 0, on_library, &others[number]);
        others[number].taken = status == STATUS_OK;
    } else if (slice_is(kind, ">subscribe")) {
        status = redis_subscribe(world.client, "channel", &subscriber);
    } else if (slice_to_u64(line, 2000, &wait_ms) == STATUS_OK) {
        pass((int64_t)wait_ms * 1000);
    }
}

static size_t input_read(struct slice input, struct slice acts[static ACTS_MAX]) {
    size_t count = 0;
    answer_count = 0;
    while (input.size > 0) {
        struct slice line = fuzz_line(&input);
        if (resp_begins(line, ">")) {
            count += count < ACTS_MAX ? 1 : 0;
            acts[count - 1] = line;
        } else if (answer_count < ANSWERS_MAX) {
            struct slice command = fuzz_word(&line);
            answers[answer_count++] = (struct answer){.command = command, .bytes = line};
        }
    }
    return count;
}

static void client_open(struct slice kind) {
    static const struct redis_library library = {"#!lua name=coupon\n", "coupon_version", 1};
    struct redis_options options = {
        .url = slice_is(kind, "cluster")    ? "redis://127.0.0.1:7000,127.0.0.1:7001/?cluster=1"
               : slice_is(kind, "replicas") ? "redis://u:p@127.0.0.1:7000,127.0.0.1:7001/2"
                                            : "redis://127.0.0.1:7000",
        .connect_timeout_us = TIMEOUT_US,
        .call_timeout_us = TIMEOUT_US,
        .calls_max = 8,
        .seed = 7,
        .library = &library,
    };
    world.timer_due_us = INT64_MAX;
    world.lawful = true;
    world.closed = false;
    int status = redis_client_new(&world.loop, &options, &world.client, NULL);
    assert(status == STATUS_OK);
}

static void client_close(void) {
    redis_client_close(world.client, on_closed, &world.closed);
    for (int turns = 0; turns < 50 && !world.closed; turns++) {
        uv_run(&world.loop, UV_RUN_NOWAIT);
        server_turn();
    }
    assert(world.closed);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        peer_close(&peers[i]);
    }
    run_until_quiet();
    for (size_t i = 0; i < PEERS_MAX; i++) {
        peer_close(&peers[i]);
    }
    assert(!uv_loop_alive(&world.loop));
    for (size_t i = 0; i < ACTS_MAX; i++) {
        assert(calls[i].answered == (calls[i].taken ? 1 : 0));
        assert(others[i].answered == (others[i].taken ? 1 : 0));
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        peers[i].socket = -1;
    }
    world.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int failed = bind(world.listener, (struct sockaddr *)&address, sizeof(address));
    failed |= listen(world.listener, 128);
    failed |= getsockname(world.listener, (struct sockaddr *)&address, &size);
    failed |= uv_loop_init(&world.loop);
    assert(failed == 0);
    world.port = ntohs(address.sin_port);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    struct slice acts[ACTS_MAX];
    struct slice kind = fuzz_line(&input);
    size_t count = input_read(input, acts);
    world.now_us = 1000000;
    memset(calls, 0, sizeof(calls));
    memset(others, 0, sizeof(others));
    client_open(kind);
    for (size_t i = 0; i < count; i++) {
        act(i, acts[i]);
    }
    pass(3 * TIMEOUT_US);
    client_close();
    return 0;
}

/* ---- lines that are worth having ---- */

static const char *const samples[] = {
    "cluster",
    "replicas",
    ">call a",
    ">call {p07}",
    ">masters",
    ">load",
    ">subscribe",
    ">wait 0",
    ">wait 30",
    ">wait 250",
    "ECHO -MOVED 5 127.0.0.1:7001|",
    "ECHO -ASK 5 127.0.0.1:7001|",
    "ECHO -MOVED 16383 :7002|",
    "ECHO -TRYAGAIN x|",
    "ECHO -LOADING x|",
    "ECHO -READONLY x|",
    "ECHO -CLUSTERDOWN x|",
    "ECHO -ERR Function not found|",
    "ECHO -ERR other|",
    "ECHO *2|$1|a|:5|",
    "ECHO close",
    "ECHO silence",
    "ECHO half $4|echo|",
    "ASKING close",
    "CLUSTER *2|*3|:0|:8191|*2|$9|127.0.0.1|:7000|*3|:8192|:16383|*2|$-1|:7001|",
    "CLUSTER *1|*3|:0|:100|*2|$9|127.0.0.1|:7000|",
    "CLUSTER -LOADING x|",
    "CLUSTER -ERR This instance has cluster support disabled|",
    "CLUSTER close",
    "CLUSTER silence",
    "INFO $10|role:slave|",
    "INFO close",
    "ROLE *3|$5|slave|$1|a|:1|",
    "CLIENT -NOPERM x|",
    "CLIENT -ERR x|",
    "CLIENT close",
    "AUTH -WRONGPASS x|",
    "SELECT -ERR x|",
    "FCALL_RO :0|",
    "FCALL_RO :2|",
    "FCALL_RO -ERR Function not found|",
    "FUNCTION -ERR x|",
    "FUNCTION close",
    "SUBSCRIBE *3|$7|message|$7|channel|$2|hi|",
    "SUBSCRIBE silence",
    "SUBSCRIBE close",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return fuzz_mutate_lines(data, size, max_size, seed, samples, COUNT_OF(samples));
}

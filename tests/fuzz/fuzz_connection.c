/* A whole connection: the real loop and state machine, and a client whose bytes come in pieces.
 *
 * The first bytes choose how: where it is cut, whether the client reads meanwhile, whether the
 * handler answers at once or at the turn's end, whether the client says that it is done. Then
 * come the bytes. They are sent twice, whole and in pieces; the answers must be the same, and
 * whatever the handler was given must be what a plain, lax reading of the same bytes finds: two
 * readings that disagree on where a request ends are how requests are smuggled.
 *
 * The loop has no thread here: it is run a turn at a time, on sockets of the Unix domain.
 */
#include "fuzz.h"
#include "http/internal.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HANDLER_BODY_MAX 4096
#define LARGE_SIZE       (600 * 1024)

/* ---- the handler: says what it was given ---- */

struct world {
    struct http_server server;
    struct http_loop loop;
    struct sockaddr_un address;
    socklen_t address_size;
    bool defer;           /* answers wait for the turn's end */
    struct buffer heard;  /* a line a request: method, path, query, size and sum of its body */
    struct buffer answer; /* a large one */
    struct http_exchange *waiting[64];
    size_t waiting_count;
};

static struct world world;

static void reply(struct http_exchange *exchange, int status, struct slice body, bool close) {
    struct http_response response = {
        .status = status, .content_type = "text/plain", .body = body, .close = close};
    http_reply(exchange, &response);
}

static uint64_t sum_of(struct slice body) {
    uint64_t sum = 5381;
    for (size_t i = 0; i < body.size; i++) {
        sum = sum * 33 + (unsigned char)body.bytes[i];
    }
    return sum;
}

static void hear(struct buffer *heard, struct slice path, struct slice query, struct slice body) {
    buffer_slice(heard, path);
    buffer_text(heard, query.size > 0 ? "?" : "");
    buffer_slice(heard, query);
    buffer_format(heard, " %zu %llx\n", body.size, (unsigned long long)sum_of(body));
}

static int64_t on_head(void *context, struct http_exchange *exchange,
                       const struct http_head *head) {
    (void)context;
    unsigned char *room = http_exchange_room(exchange);
    assert(room[0] == 0); /* cleared for every exchange */
    room[0] = 1;
    if (slice_is(head->path, "/no")) {
        reply(exchange, 403, slice_of("no"), false);
        return -1;
    }
    return slice_is(head->path, "/none") ? 0 : HANDLER_BODY_MAX;
}

static void on_request(void *context, struct http_exchange *exchange, const struct http_head *head,
                       struct slice body) {
    (void)context;
    assert(((unsigned char *)http_exchange_room(exchange))[0] == 1);
    assert(body.size <= HANDLER_BODY_MAX);
    hear(&world.heard, head->path, head->query, body);
    if (world.defer && world.waiting_count < COUNT_OF(world.waiting)) {
        world.waiting[world.waiting_count++] = exchange;
    } else if (slice_is(head->path, "/large")) {
        reply(exchange, 200, buffer_view(&world.answer), false);
    } else {
        reply(exchange, 200, body, slice_is(head->path, "/close"));
    }
}

static void on_refused(void *context, struct http_exchange *exchange, enum http_refusal refusal,
                       const char *why) {
    (void)context;
    assert(why != NULL && refusal != HTTP_REFUSED_TIMEOUT && refusal != HTTP_REFUSED_CROWDED);
    reply(exchange, 400 + (int)refusal, slice_of(why), false);
}

static void on_turn_end(void *context) {
    (void)context;
    for (size_t i = 0; i < world.waiting_count; i++) {
        reply(world.waiting[i], 202, slice_of("later"), false);
    }
    world.waiting_count = 0;
}

/* ---- the client ---- */

struct manner {
    bool reads;     /* between pieces too */
    bool half_done; /* says that it has no more to say */
    uint8_t cuts[4];
};

enum { MANNER_SIZE = 5 }; /* bytes of an input that choose it */

struct client {
    int socket;
    struct buffer answers;
    bool over; /* the server has closed its side */
};

static void turns(int count) {
    for (int i = 0; i < count; i++) {
        uv_run(&world.loop.uv, UV_RUN_NOWAIT);
    }
}

static void client_open(struct client *client) {
    *client = (struct client){.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    assert(client->socket >= 0);
    int failed = connect(client->socket, (struct sockaddr *)&world.address, world.address_size);
    assert(failed == 0);
    turns(2);
    assert(world.loop.connection_count == 1);
}

static void client_read(struct client *client) {
    static char room[64 * 1024];
    ssize_t size;
    while ((size = recv(client->socket, room, sizeof(room), 0)) > 0) {
        buffer_append(&client->answers, room, (size_t)size);
    }
    client->over = client->over || size == 0;
}

/* Sends as much as the server takes; it may be lingering, or gone. */
static void client_send(struct client *client, struct slice bytes, bool reads) {
    for (int tries = 0; bytes.size > 0 && tries < 1000; tries++) {
        ssize_t size = send(client->socket, bytes.bytes, bytes.size, MSG_NOSIGNAL);
        if (size > 0) {
            bytes = (struct slice){bytes.bytes + size, bytes.size - (size_t)size};
        } else if (errno != EAGAIN) {
            return;
        }
        turns(2);
        if (reads || bytes.size > 0) { /* or both would wait for each other */
            client_read(client);
        }
    }
}

/* Reads until nothing comes any more, however the server is at it. */
static void client_finish(struct client *client, const struct manner *manner) {
    if (manner->half_done) {
        shutdown(client->socket, SHUT_WR);
    }
    size_t before;
    do {
        before = client->answers.size;
        turns(4);
        client_read(client);
    } while (client->answers.size > before);
    assert(!client->answers.failed);
    close(client->socket);
    for (int i = 0; i < 100 && world.loop.connection_count > 0; i++) {
        turns(1);
    }
    assert(world.loop.connection_count == 0);
    assert(atomic_load(&world.server.connections_open) == 0 && world.loop.extra_count == 0);
}

static struct buffer talk(struct slice bytes, const struct manner *manner, bool whole) {
    struct client client;
    client_open(&client);
    for (size_t i = 0; !whole && i < COUNT_OF(manner->cuts); i++) {
        size_t cut = manner->cuts[i] < bytes.size ? manner->cuts[i] : bytes.size;
        client_send(&client, (struct slice){bytes.bytes, cut}, manner->reads);
        bytes = (struct slice){bytes.bytes + cut, bytes.size - cut};
    }
    client_send(&client, bytes, manner->reads);
    client_finish(&client, manner);
    return client.answers;
}

/* ---- comparing ---- */

static void drop(struct buffer *text, size_t at, size_t size) {
    memmove(text->bytes + at, text->bytes + at + size, text->size - at - size);
    text->size -= size;
}

/* What may differ: "continue" is said only to who waits for it, and the second may turn. */
static void drop_all(struct buffer *text, const char *begin, size_t size) {
    char *from = text->bytes;
    while (text->size > 0) {
        size_t left = text->size - (size_t)(from - text->bytes);
        char *found = memmem(from, left, begin, strlen(begin));
        if (!found || left - (size_t)(found - from) < size) {
            return;
        }
        drop(text, (size_t)(found - text->bytes), size);
        from = found;
    }
}

static void make_comparable(struct buffer *answers) {
    static const char more[] = "HTTP/1.1 100 Continue\r\n\r\n";
    static const char date[] = "\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT";
    drop_all(answers, more, sizeof(more) - 1);
    drop_all(answers, "\r\nDate: ", sizeof(date) - 1);
}

/* ---- a plain reading, laxer than ours ---- */

static struct slice line_of(struct slice *rest) {
    const char *end = rest->size ? memmem(rest->bytes, rest->size, "\r\n", 2) : NULL;
    size_t size = end ? (size_t)(end - rest->bytes) : rest->size;
    struct slice line = {rest->bytes, size};
    size_t used = end ? size + 2 : size;
    *rest = (struct slice){rest->bytes + used, rest->size - used};
    return line;
}

static bool begins(struct slice line, const char *word) {
    size_t size = strlen(word);
    return line.size >= size && strncasecmp(line.bytes, word, size) == 0;
}

static size_t number_of(struct slice text, int base) {
    char room[32] = {0};
    memcpy(room, text.bytes, text.size < sizeof(room) - 1 ? text.size : sizeof(room) - 1);
    return (size_t)strtoull(room, NULL, base);
}

static void naive_chunks(struct slice *rest, struct buffer *body) {
    size_t size;
    do {
        size = number_of(line_of(rest), 16);
        struct slice chunk = {rest->bytes, size < rest->size ? size : rest->size};
        buffer_slice(body, chunk);
        *rest = (struct slice){rest->bytes + chunk.size, rest->size - chunk.size};
        while (line_of(rest).size > 0 && size == 0) { /* trailers, or the end of the chunk */
        }
    } while (size > 0 && rest->size > 0);
}

/* The target as our parser gives it: without scheme and authority. */
static struct slice path_of(struct slice line) {
    fuzz_word(&line);
    struct slice target = fuzz_word(&line);
    if (begins(target, "http://")) {
        size_t at = strlen("http://");
        while (at < target.size && strchr("/?", target.bytes[at]) == NULL) {
            at++;
        }
        target = (struct slice){target.bytes + at, target.size - at};
    }
    return target;
}

/* The next request of the bytes as a line, the way hear() writes it. False: its length is told
 * more than once, so that somebody may read it otherwise. */
static bool naive_request(struct slice *rest, struct buffer *heard) {
    struct buffer body;
    size_t length = 0;
    bool chunked = false;
    int told = 0;
    struct slice line = line_of(rest);
    line = line.size == 0 ? line_of(rest) : line;
    struct slice target = path_of(line);
    while ((line = line_of(rest)).size > 0) {
        if (begins(line, "content-length:")) {
            length = number_of((struct slice){line.bytes + 15, line.size - 15}, 10);
            told++;
        } else if (begins(line, "transfer-encoding:")) {
            chunked = true;
            told++;
        }
    }
    buffer_init(&body);
    if (chunked) {
        naive_chunks(rest, &body);
    } else {
        length = length < rest->size ? length : rest->size;
        buffer_append(&body, rest->bytes, length);
        *rest = (struct slice){rest->bytes + length, rest->size - length};
    }
    const char *query = target.size ? memchr(target.bytes, '?', target.size) : NULL;
    size_t path_size = query ? (size_t)(query - target.bytes) : target.size;
    struct slice path = {path_size ? target.bytes : "/", path_size ? path_size : 1};
    struct slice after =
        query ? (struct slice){query + 1, target.size - path_size - 1} : (struct slice){NULL, 0};
    hear(heard, path, after, buffer_view(&body));
    buffer_done(&body);
    return told <= 1;
}

/* Every request that the handler was given is one of those that the plain reading finds, in
 * order; those that were answered by their heads alone are not among them. */
static void check_heard(struct slice bytes, struct slice heard) {
    while (heard.size > 0) {
        struct slice line = fuzz_line(&heard);
        bool found = false;
        while (!found) {
            struct buffer expected;
            assert(bytes.size > 0 && "the handler was given what nobody sent");
            buffer_init(&expected);
            bool clear = naive_request(&bytes, &expected);
            found = slice_equal(line, (struct slice){expected.bytes, expected.size - 1});
            assert(clear && "one length");
            bool answered_early = begins(buffer_view(&expected), "/no");
            assert(found || answered_early);
            buffer_done(&expected);
        }
    }
}

/* ---- life ---- */

static int listener_make(void) {
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert(listener >= 0);
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int failed = bind(listener, (struct sockaddr *)&any, sizeof(any.sun_family)); /* any name */
    world.address_size = sizeof(world.address);
    failed |= listen(listener, 16);
    failed |= getsockname(listener, (struct sockaddr *)&world.address, &world.address_size);
    assert(failed == 0);
    return listener;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    signal(SIGPIPE, SIG_IGN);
    http_options_default(&world.server.options);
    world.server.handler = (struct http_handler){.exchange_size = 16,
                                                 .head = on_head,
                                                 .request = on_request,
                                                 .refused = on_refused,
                                                 .turn_end = on_turn_end};
    int status = buffer_reserve(&world.answer, LARGE_SIZE);
    assert(status == STATUS_OK);
    memset(world.answer.bytes, 'x', LARGE_SIZE);
    world.answer.size = LARGE_SIZE;
    status = loop_init(&world.loop, &world.server, listener_make(), NULL);
    assert(status == STATUS_OK);
    world.loop.duty = LOOP_SERVES;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    struct manner manner = {.reads = false};
    uint8_t choice = fuzz_byte(&input);
    manner.reads = choice & 1;
    manner.half_done = choice & 2;
    world.defer = choice & 4;
    for (size_t i = 0; i < COUNT_OF(manner.cuts); i++) {
        manner.cuts[i] = fuzz_byte(&input);
    }
    struct buffer whole = talk(input, &manner, true);
    struct buffer heard = world.heard;
    buffer_init(&world.heard);
    check_heard(input, buffer_view(&heard));
    struct buffer pieces = talk(input, &manner, false);
    assert(slice_equal(buffer_view(&heard), buffer_view(&world.heard)));
    make_comparable(&whole);
    make_comparable(&pieces);
    assert(slice_equal(buffer_view(&whole), buffer_view(&pieces)));
    buffer_done(&heard);
    buffer_done(&world.heard);
    buffer_done(&whole);
    buffer_done(&pieces);
    return 0;
}

/* ---- requests that are worth having ---- */

#define HOST "Host: a\r\n"

static const char *const samples[] = {
    "GET /a HTTP/1.1\r\n" HOST "\r\n",
    "HEAD /a?b HTTP/1.1\r\n" HOST "\r\n",
    "GET /large HTTP/1.1\r\n" HOST "\r\n",
    "GET /close HTTP/1.1\r\n" HOST "\r\n",
    "GET /no HTTP/1.1\r\n" HOST "\r\n",
    "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /p HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
    "POST /none HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nh",
    "POST /p HTTP/1.1\r\n" HOST "Content-Length: 4097\r\n\r\n",
    "POST /p HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
    "POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfff\r\n",
};

/* Where a request may begin: after an empty line, or at the end. */
static size_t some_boundary(const uint8_t *data, size_t size, unsigned seed) {
    size_t at = MANNER_SIZE + seed % (size - MANNER_SIZE + 1);
    const uint8_t *end = memmem(data + at, size - at, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : size;
}

/* Mostly any change; else a whole request is put in between two. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    struct slice sample = slice_of(samples[seed / 4 % COUNT_OF(samples)]);
    if (seed % 4 != 0 || size < MANNER_SIZE || size + sample.size > max_size) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    size_t at = some_boundary(data, size, seed / 64);
    memmove(data + at + sample.size, data + at, size - at);
    memcpy(data + at, sample.bytes, sample.size);
    return size + sample.size;
}

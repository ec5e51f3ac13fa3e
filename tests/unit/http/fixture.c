#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the handler ---------------------------------------------------------------------- */

struct loop_context {
    struct fixture *fixture;
    struct room *turn_first;
    struct room *later_first;
};

/* What the handler keeps of an exchange. */
struct room {
    struct http_exchange *exchange;
    struct room *next;
    bool used; /* zero at the start of every exchange, or the room was not cleared */
    const char *text;
};

static struct room *room_claim(struct http_exchange *exchange) {
    struct room *room = http_exchange_room(exchange);
    if (!room->used) {
        assert(room->exchange == NULL && room->next == NULL);
        room->used = true;
        room->exchange = exchange;
    }
    assert(room->exchange == exchange);
    return room;
}

static void answer(struct fixture *fixture, struct http_exchange *exchange, int status,
                   struct slice body, bool close) {
    struct http_response response = {
        .status = status,
        .content_type = "text/plain",
        .fields = slice_of("X-Test: yes\r\n"),
        .body = body,
        .close = close,
    };
    atomic_fetch_add(&fixture->replies, 1);
    http_reply(exchange, &response);
}

static int on_loop_start(void *context, struct http_loop *loop, void **ret_loop_context) {
    struct fixture *fixture = context;
    struct loop_context *own = calloc(1, sizeof *own);
    assert(own != NULL);
    own->fixture = fixture;
    pthread_mutex_lock(&fixture->lock);
    bool last = fixture->loop_count + 1 == fixture->options.loop_count;
    int status = last ? fixture->loop_start_status : STATUS_OK;
    if (status == STATUS_OK) {
        fixture->loops[fixture->loop_count] = loop;
        fixture->contexts[fixture->loop_count] = own;
        fixture->loop_count++;
    }
    pthread_mutex_unlock(&fixture->lock);
    if (status != STATUS_OK) {
        free(own);
        return status;
    }
    *ret_loop_context = own;
    return STATUS_OK;
}

static void on_loop_stop(void *loop_context) {
    struct loop_context *own = loop_context;
    assert(own->turn_first == NULL && own->later_first == NULL);
    atomic_fetch_add(&own->fixture->stopped_loops, 1);
    free(own);
}

static int64_t on_head(void *loop_context, struct http_exchange *exchange,
                       const struct http_head *head) {
    struct loop_context *own = loop_context;
    atomic_fetch_add(&own->fixture->heads, 1);
    room_claim(exchange);
    if (slice_is(head->path, "/forbidden")) {
        answer(own->fixture, exchange, 403, slice_of("forbidden"), false);
        return -1;
    }
    return BODY_MAX;
}

static void answer_size(struct fixture *fixture, struct http_exchange *exchange,
                        struct slice query) {
    char digits[20];
    struct slice text;
    uint64_t size = 0;
    int status = http_query_value(query, "n", digits, sizeof digits, &text);
    assert(status == STATUS_OK);
    status = slice_to_u64(text, 1U << 30, &size);
    assert(status == STATUS_OK);
    char *body = malloc(size + 1);
    assert(body != NULL);
    memset(body, 'z', size);
    answer(fixture, exchange, 200, (struct slice){body, size}, false);
    free(body);
}

static void hold(struct room **list, struct room *room, const char *text) {
    room->text = text;
    room->next = *list;
    *list = room;
}

static void answer_list(struct fixture *fixture, struct room **list, atomic_uint *waiting) {
    while (*list != NULL) {
        struct room *room = *list;
        *list = room->next;
        if (waiting != NULL) {
            atomic_fetch_sub(waiting, 1);
        }
        answer(fixture, room->exchange, 200, slice_of(room->text), false);
    }
}

static bool is_released(struct fixture *fixture) {
    pthread_mutex_lock(&fixture->lock);
    bool released = fixture->released;
    pthread_mutex_unlock(&fixture->lock);
    return released;
}

static void nap(void) {
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

static void stall(const struct fixture *fixture) {
    for (int i = 0; i < PATIENCE_MS && !atomic_load(&fixture->stall_over); i++) {
        nap();
    }
}

static void on_request(void *loop_context, struct http_exchange *exchange,
                       const struct http_head *head, struct slice body) {
    struct loop_context *own = loop_context;
    struct fixture *fixture = own->fixture;
    struct room *room = room_claim(exchange);
    atomic_fetch_add(&fixture->requests, 1);
    if (slice_is(head->path, "/turn") || fixture->defer_all) {
        hold(&own->turn_first, room, "turn");
    } else if (slice_is(head->path, "/later")) {
        hold(&own->later_first, room, "later");
        atomic_fetch_add(&fixture->waiting, 1);
        if (is_released(fixture)) {
            answer_list(fixture, &own->later_first, &fixture->waiting);
        }
    } else if (slice_is(head->path, "/echo")) {
        answer(fixture, exchange, 200, body, false);
    } else if (slice_is(head->path, "/size")) {
        answer_size(fixture, exchange, head->query);
    } else if (slice_is(head->path, "/empty")) {
        answer(fixture, exchange, 204, slice_of(""), false);
    } else {
        if (slice_is(head->path, "/stall")) {
            stall(fixture);
        }
        answer(fixture, exchange, 200, slice_of("now"), slice_is(head->path, "/close"));
    }
}

static void on_refused(void *loop_context, struct http_exchange *exchange,
                       enum http_refusal refusal, const char *why) {
    static const int statuses[] = {
        [HTTP_REFUSED_MALFORMED] = 400,      [HTTP_REFUSED_TIMEOUT] = 408,
        [HTTP_REFUSED_BODY_TOO_LARGE] = 413, [HTTP_REFUSED_EXPECTATION] = 417,
        [HTTP_REFUSED_HEAD_TOO_LARGE] = 431, [HTTP_REFUSED_CROWDED] = 503,
    };
    struct loop_context *own = loop_context;
    assert(why != NULL);
    room_claim(exchange);
    atomic_fetch_add(&own->fixture->refusals[refusal], 1);
    answer(own->fixture, exchange, statuses[refusal], slice_of(why), false);
}

static void on_turn_end(void *loop_context) {
    struct loop_context *own = loop_context;
    atomic_fetch_add(&own->fixture->turns, 1);
    answer_list(own->fixture, &own->turn_first, NULL);
}

static void on_woken(void *loop_context) {
    struct loop_context *own = loop_context;
    if (is_released(own->fixture)) {
        answer_list(own->fixture, &own->later_first, &own->fixture->waiting);
    }
}

struct http_handler fixture_handler(struct fixture *fixture) {
    return (struct http_handler){
        .context = fixture,
        .exchange_size = sizeof(struct room),
        .loop_start = on_loop_start,
        .loop_stop = on_loop_stop,
        .head = on_head,
        .request = on_request,
        .refused = on_refused,
        .turn_end = on_turn_end,
        .woken = on_woken,
    };
}

/* ---- the server ----------------------------------------------------------------------- */

void fixture_init(struct fixture *fixture) {
    memset(fixture, 0, sizeof *fixture);
    pthread_mutex_init(&fixture->lock, NULL);
    http_options_default(&fixture->options);
    fixture->options.port = 0;
    fixture->options.head_deadline_us = MS(2 * PATIENCE_MS);
    fixture->options.body_deadline_us = MS(2 * PATIENCE_MS);
    fixture->options.idle_deadline_us = MS(2 * PATIENCE_MS);
    fixture->options.linger_us = MS(PATIENCE_MS);
}

void fixture_start(struct fixture *fixture) {
    struct http_handler handler = fixture_handler(fixture);
    int status =
        http_server_start(&fixture->options, &handler, &fixture->server, &fixture->complaint);
    if (status != STATUS_OK) {
        fail_msg("the server does not start: %s", fixture->complaint.text);
    }
    fixture->port = http_server_port(fixture->server);
    assert_int_not_equal(fixture->port, 0);
}

void fixture_release(struct fixture *fixture) {
    pthread_mutex_lock(&fixture->lock);
    fixture->released = true;
    pthread_mutex_unlock(&fixture->lock);
    for (unsigned i = 0; i < fixture->loop_count; i++) {
        http_loop_wake(fixture->loops[i]);
    }
}

void fixture_stop(struct fixture *fixture) {
    http_server_stop(fixture->server, DRAIN_LONG);
    struct http_figures figures = http_server_figures(fixture->server);
    assert_true(figures.connections_open == 0);
    assert_int_equal(atomic_load(&fixture->stopped_loops), fixture->options.loop_count);
    for (unsigned i = 0; i < fixture->loop_count; i++) {
        http_loop_wake(fixture->loops[i]); /* late wakers do no harm */
    }
    http_server_free(fixture->server);
    pthread_mutex_destroy(&fixture->lock);
}

int fixture_setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture_init(fixture);
    fixture_start(fixture);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state) {
    struct fixture *fixture = *state;
    fixture_release(fixture);
    fixture_stop(fixture);
    free(fixture);
    return 0;
}

void await_count(const atomic_uint *counter, unsigned wanted) {
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (atomic_load(counter) >= wanted) {
            return;
        }
        nap();
    }
    fail_msg("a counter stays at %u below %u", atomic_load(counter), wanted);
}

void await_open(const struct fixture *fixture, uint64_t open) {
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (http_server_figures(fixture->server).connections_open == open) {
            return;
        }
        nap();
    }
    fail_msg("there are not %llu connections", (unsigned long long)open);
}

/* ---- the client ----------------------------------------------------------------------- */

int client_connect(const struct fixture *fixture) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(fixture->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fail_msg("cannot connect: %s", strerror(errno));
    }
    return fd;
}

void client_send_bytes(int fd, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += sent;
        size -= (size_t)sent;
    }
}

void client_send(int fd, const char *text) {
    client_send_bytes(fd, text, strlen(text));
}

/* What recv gives; fails when nothing comes for long. */
static ssize_t receive_some(int fd, char *room, size_t size) {
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    int ready = poll(&waiting, 1, PATIENCE_MS);
    if (ready != 1) {
        fail_msg("the server is silent");
    }
    return recv(fd, room, size, 0);
}

void client_expect_end(int fd) {
    char byte;
    ssize_t size = receive_some(fd, &byte, 1);
    if (size > 0) {
        fail_msg("a byte came where the end was expected: %d", byte);
    }
    close(fd);
}

static size_t content_length(const char *head) {
    const char *field = strstr(head, "\r\nContent-Length: ");
    return field == NULL ? 0 : (size_t)strtoull(field + 18, NULL, 10);
}

struct reply client_receive(int fd, bool head_only) {
    struct reply reply = {0};
    size_t size = 0;
    while (size < 4 || memcmp(reply.head + size - 4, "\r\n\r\n", 4) != 0) {
        assert_true(size < sizeof reply.head - 1);
        ssize_t got = receive_some(fd, reply.head + size, 1);
        if (got != 1) {
            fail_msg("the connection ends within a head: %s", reply.head);
        }
        size++;
    }
    assert_memory_equal(reply.head, "HTTP/1.1 ", 9);
    reply.status = (int)strtol(reply.head + 9, NULL, 10);
    reply.body_size = head_only ? 0 : content_length(reply.head);
    reply.body = calloc(1, reply.body_size + 1);
    assert_non_null(reply.body);
    for (size = 0; size < reply.body_size;) {
        ssize_t got = receive_some(fd, reply.body + size, reply.body_size - size);
        if (got <= 0) {
            fail_msg("the connection ends within a body");
        }
        size += (size_t)got;
    }
    return reply;
}

void reply_done(struct reply *reply) {
    free(reply->body);
}

void client_expect(int fd, int status, const char *body) {
    struct reply reply = client_receive(fd, false);
    if (reply.status != status || (body != NULL && strcmp(reply.body, body) != 0)) {
        fail_msg("unexpected reply: %s%s", reply.head, reply.body);
    }
    reply_done(&reply);
}

bool reply_has(const struct reply *reply, const char *line) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "\r\n%s\r\n", line);
    return strstr(reply->head, wanted) != NULL;
}

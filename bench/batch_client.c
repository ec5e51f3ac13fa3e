/* batch-client: sends prepared issues:batch calls as fast as the server takes them, and counts
 * what it is told. Prints one JSON object.
 *
 *   batch-client PORT COUPON CONNECTIONS CALLS USERS PREFIX    the operators' token on stdin
 *
 * CALLS calls of USERS users each over every one of CONNECTIONS connections, a thread each; no
 * user comes twice. Not for: the rate of a real client, which has to make its bodies. Here they
 * are made before the clock starts, and an answer is looked through only after the next call
 * has left, so that the server never waits for this program. Called by suite/parts/batch.py. */
#include "base/base.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define HEAD_MAX        512
#define USER_MAX        48
#define REPLY_MAX       (4 << 20)

struct plan {
    uint16_t port;
    uint64_t coupon_id;
    size_t connections;
    size_t calls;
    size_t users;
    const char *prefix;
    char token[256];
};

struct connection {
    const struct plan *plan;
    size_t number;
    int socket;
    char **requests;
    size_t *sizes;
    char *reply;
    uint64_t issued;
    int64_t began_us;
    int64_t ended_us;
    pthread_t thread;
};

static void die(const char *why) {
    perror(why);
    exit(1);
}

static void *memory(size_t size) {
    void *block = calloc(1, size);
    if (!block) {
        die("memory");
    }
    return block;
}

/* ---- before the clock starts ---- */

static void request_make(struct connection *connection, size_t call) {
    const struct plan *plan = connection->plan;
    size_t room = HEAD_MAX + plan->users * USER_MAX;
    char *body = memory(room);
    size_t size = (size_t)snprintf(body, room, "{\"userIds\":");
    for (size_t i = 0; i < plan->users; i++) {
        size += (size_t)snprintf(body + size, room - size, "%c\"%s-%zu-%zu\"", i ? ',' : '[',
                                 plan->prefix, connection->number, call * plan->users + i);
    }
    size += (size_t)snprintf(body + size, room - size, "]}");
    assert(size < room);
    char *request = memory(HEAD_MAX + size);
    int head = snprintf(request, HEAD_MAX,
                        "POST /v1/coupons/%" PRIu64 "/issues:batch HTTP/1.1\r\n"
                        "Host: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                        plan->coupon_id, plan->port, plan->token, size);
    assert(head > 0 && head < HEAD_MAX);
    memcpy(request + head, body, size);
    free(body);
    connection->requests[call] = request;
    connection->sizes[call] = (size_t)head + size;
}

static void connection_open(struct connection *connection) {
    const struct plan *plan = connection->plan;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(plan->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->socket < 0 ||
        connect(connection->socket, (struct sockaddr *)&address, sizeof(address))) {
        die("connect");
    }
    int on = 1;
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    connection->reply = memory(REPLY_MAX + 1);
    connection->requests = memory(plan->calls * sizeof(*connection->requests));
    connection->sizes = memory(plan->calls * sizeof(*connection->sizes));
    for (size_t call = 0; call < plan->calls; call++) {
        request_make(connection, call);
    }
}

/* ---- the calls ---- */

static void send_call(const struct connection *connection, size_t call) {
    size_t sent = 0;
    while (sent < connection->sizes[call]) {
        ssize_t part = send(connection->socket, connection->requests[call] + sent,
                            connection->sizes[call] - sent, MSG_NOSIGNAL);
        if (part <= 0) {
            die("send");
        }
        sent += (size_t)part;
    }
}

/* The size of the whole reply once its head is there; 0 before. */
static size_t reply_size(const char *reply) {
    static const char field[] = "Content-Length: ";
    const char *end = strstr(reply, "\r\n\r\n");
    if (!end) {
        return 0;
    }
    const char *length = strcasestr(reply, field);
    if (strncmp(reply, "HTTP/1.1 200 ", 13) != 0 || !length || length > end) {
        fprintf(stderr, "batch-client: not what was asked for: %.300s\n", reply);
        exit(1);
    }
    return (size_t)(end + 4 - reply) + strtoul(length + sizeof(field) - 1, NULL, 10);
}

/* Reads one whole reply, terminated. */
static void receive_reply(struct connection *connection) {
    size_t size = 0;
    size_t wanted = 0;
    do {
        ssize_t part = recv(connection->socket, connection->reply + size, REPLY_MAX - size, 0);
        if (part <= 0) {
            die("recv");
        }
        size += (size_t)part;
        connection->reply[size] = '\0';
        wanted = wanted ? wanted : reply_size(connection->reply);
    } while (!wanted || size < wanted);
}

static uint64_t count_issued(const char *reply) {
    static const char issued[] = "\"result\":\"issued\"";
    uint64_t count = 0;
    while ((reply = strstr(reply, issued))) {
        count++;
        reply += sizeof(issued) - 1;
    }
    return count;
}

static void *run(void *argument) {
    struct connection *connection = argument;
    connection->began_us = clock_monotonic_us();
    send_call(connection, 0);
    for (size_t call = 0; call < connection->plan->calls; call++) {
        receive_reply(connection);
        connection->ended_us = clock_monotonic_us();
        if (call + 1 < connection->plan->calls) {
            send_call(connection, call + 1);
        }
        connection->issued += count_issued(connection->reply);
    }
    return NULL;
}

/* ---- the whole ---- */

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t number_of(const char *text, uint64_t max) {
    uint64_t number = 0;
    if (slice_to_u64(slice_of(text), max, &number) < 0 || number == 0) {
        fprintf(stderr, "batch-client: %s is no number from 1 to %" PRIu64 "\n", text, max);
        exit(2);
    }
    return number;
}

static struct plan read_plan(char **argv) {
    struct plan plan = {.port = (uint16_t)number_of(argv[1], 65535),
                        .coupon_id = number_of(argv[2], JSON_INTEGER_MAX),
                        .connections = number_of(argv[3], CONNECTIONS_MAX),
                        .calls = number_of(argv[4], 100000),
                        .users = number_of(argv[5], 10000),
                        .prefix = argv[6]};
    if (strlen(plan.prefix) > 10 || !fgets(plan.token, sizeof(plan.token), stdin)) {
        fprintf(stderr, "batch-client: wants a prefix of at most 10 characters, and a token\n");
        exit(2);
    }
    plan.token[strcspn(plan.token, "\r\n")] = '\0';
    return plan;
}

int main(int argc, char **argv) {
    static struct connection connections[CONNECTIONS_MAX];
    if (argc != 7) {
        fprintf(stderr, "use: %s PORT COUPON CONNECTIONS CALLS USERS PREFIX <TOKEN\n", argv[0]);
        return 2;
    }
    struct plan plan = read_plan(argv);
    for (size_t i = 0; i < plan.connections; i++) {
        connections[i] = (struct connection){.plan = &plan, .number = i};
        connection_open(&connections[i]);
    }
    double prepared = cpu_seconds();
    for (size_t i = 0; i < plan.connections; i++) {
        if (pthread_create(&connections[i].thread, NULL, run, &connections[i])) {
            die("pthread_create");
        }
    }
    uint64_t issued = 0;
    int64_t began_us = INT64_MAX;
    int64_t ended_us = 0;
    for (size_t i = 0; i < plan.connections; i++) {
        pthread_join(connections[i].thread, NULL);
        issued += connections[i].issued;
        began_us = connections[i].began_us < began_us ? connections[i].began_us : began_us;
        ended_us = connections[i].ended_us > ended_us ? connections[i].ended_us : ended_us;
    }
    printf("{\"users\":%zu,\"issued\":%" PRIu64 ",\"seconds\":%.6f,\"client_cpu_s\":%.6f}\n",
           plan.connections * plan.calls * plan.users, issued, (double)(ended_us - began_us) / 1e6,
           cpu_seconds() - prepared);
    return 0;
}

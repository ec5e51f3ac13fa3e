/* crash-client: claims over several connections, and keeps a log that survives what it does to the
 * server.
 *
 *   crash-client --port P [--port P …] --coupon ID [--coupon ID …] --connections N --users FIRST:N
 *                --seed S --log FILE [--seconds S] [--stay]
 *
 * Each connection has a thread and a log of its own, FILE.0, FILE.1 …, with the lines of
 * tests/sim/checker/log.h: an invocation is on the disk before the request leaves, a return before
 * the next invocation. Users are drawn at random from the range, so many ask again, some with the
 * key of before. A connection is made before the invocation is written: so a request belongs to the
 * one process that it was connected to, and dies with it.
 *
 * Ends when nobody takes connections any more, or with --stay, which goes on with another port,
 * after --seconds or SIGTERM. Exit code 0; 2: wrong use, or a log that cannot be written. Called by
 * tests/crash; not for measuring. */
#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX       8
#define COUPONS_MAX     16
#define CONNECTIONS_MAX 64
#define ANSWER_SIZE     8192
#define ANSWER_WAIT_S   20
#define KEYS            2 /* of a user, besides none */

static struct plan {
    uint16_t ports[PORTS_MAX];
    uint64_t coupons[COUPONS_MAX];
    size_t port_count;
    size_t coupon_count;
    size_t connections;
    uint64_t user_first;
    uint64_t user_count;
    uint64_t seed;
    int64_t end_us;
    const char *log;
    bool stay;
} plan = {.connections = 8, .user_count = 100, .end_us = INT64_MAX};

static atomic_bool ended;

struct client {
    size_t number;
    int log;
    int socket; /* -1: none */
    size_t port;
    uint64_t random;
    uint64_t asked;
    pthread_t thread;
};

static void die(const char *why) {
    perror(why);
    exit(2);
}

static void on_signal(int number) {
    (void)number;
    atomic_store(&ended, true);
}

static bool is_over(void) {
    return atomic_load(&ended) || clock_monotonic_us() >= plan.end_us;
}

/* splitmix64 (Steele, Lea, Flood) */
static uint64_t draw(struct client *client, uint64_t limit) {
    uint64_t value = client->random += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return (value ^ value >> 31) % limit;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t realtime_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

/* One line, whole and on the disk when it returns. */
static void PRINTF_LIKE(2, 3) note(const struct client *client, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof(line) ||
        write(client->log, line, (size_t)size) != size || fdatasync(client->log)) {
        die("crash-client: log");
    }
}

/* ---- connections ---- */

static bool connect_to(struct client *client, uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = ANSWER_WAIT_S};
    int on = 1;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        die("crash-client: socket");
    }
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (connect(descriptor, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(descriptor);
        return false;
    }
    client->socket = descriptor;
    return true;
}

/* On the next port that takes one. False: there is none, or it is over. */
static bool reconnect(struct client *client) {
    const struct timespec pause = {.tv_nsec = 2000000};
    while (!is_over()) {
        for (size_t i = 0; i < plan.port_count; i++) {
            client->port = (client->port + 1) % plan.port_count;
            if (connect_to(client, plan.ports[client->port])) {
                return true;
            }
        }
        if (!plan.stay) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

static void hang_up(struct client *client) {
    close(client->socket);
    client->socket = -1;
}

/* ---- answers ---- */

struct answer {
    int status;
    const char *verdict;
    uint64_t rank;
    int64_t issued_at_us;
    bool closes;
};

/* The value behind "NAME":, a number or a text, without its quotes. */
static struct slice member(const char *text, const char *name) {
    const char *at = strstr(text, name);
    if (!at) {
        return (struct slice){NULL, 0};
    }
    at += strlen(name);
    size_t size = *at == '"' ? strcspn(++at, "\"") : strspn(at, "0123456789");
    return (struct slice){at, size};
}

static const char *const codes[] = {
    "already-issued", "coupon-not-found",    "paused",          "not-started", "ended", "sold-out",
    "overloaded",     "storage-unavailable", "outcome-unknown", "starting"};

static const char *verdict_of(int status, const char *text) {
    if (status == 201) {
        return strcasestr(text, "\r\nidempotent-replayed: true") ? "replayed" : "issued";
    }
    if (status == 202) {
        return "pending";
    }
    struct slice code = member(text, "\"code\":");
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        if (slice_is(code, codes[i])) {
            return codes[i];
        }
    }
    return NULL;
}

/* Whether the text has a whole answer. */
static bool is_whole(const char *text, size_t size) {
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = end ? strcasestr(text, "\r\ncontent-length: ") : NULL;
    return length && size >= (size_t)(end + 4 - text) + strtoul(length + 18, NULL, 10);
}

static bool read_answer(const struct client *client, struct answer *ret_answer) {
    char text[ANSWER_SIZE];
    size_t size = 0;
    text[0] = '\0';
    while (!is_whole(text, size)) {
        ssize_t part = recv(client->socket, text + size, sizeof(text) - 1 - size, 0);
        if (part <= 0) {
            return false;
        }
        size += (size_t)part;
        text[size] = '\0';
    }
    struct answer answer = {.status = (int)strtol(text + 9, NULL, 10)};
    answer.verdict = verdict_of(answer.status, text);
    if (!answer.verdict) {
        fprintf(stderr, "crash-client: an answer that it does not know: %s\n", text);
        exit(2);
    }
    struct slice issued_at = member(text, "\"issuedAt\":");
    if (issued_at.bytes && (time_parse(issued_at, &answer.issued_at_us) ||
                            slice_to_u64(member(text, "\"rank\":"), UINT32_MAX, &answer.rank))) {
        fprintf(stderr, "crash-client: an issue that it cannot read: %s\n", text);
        exit(2);
    }
    answer.closes = strcasestr(text, "\r\nconnection: close") != NULL;
    *ret_answer = answer;
    return true;
}

/* ---- claims ---- */

static bool send_claim(const struct client *client, uint64_t coupon, const char *user,
                       const char *key) {
    char request[768];
    char body[96];
    int body_size = snprintf(body, sizeof(body), "{\"userId\":\"%s\"}", user);
    int size = snprintf(request, sizeof(request),
                        "POST /v1/coupons/%llu/issues HTTP/1.1\r\nHost: coupon.test\r\n"
                        "Content-Type: application/json\r\nContent-Length: %d\r\n%s%s%s\r\n%s",
                        (unsigned long long)coupon, body_size, *key ? "Idempotency-Key: " : "", key,
                        *key ? "\r\n" : "", body);
    return size > 0 && (size_t)size < sizeof(request) &&
           send(client->socket, request, (size_t)size, MSG_NOSIGNAL) == size;
}

/* The clock, before and after: the readings that are between them are of this moment. */
static void note_clock(struct client *client) {
    int64_t lowest_us = realtime_us();
    int64_t at = now_ns();
    note(client, "clock %lld %lld %lld\n", (long long)at, (long long)lowest_us,
         (long long)realtime_us());
}

static void claim(struct client *client) {
    uint64_t coupon = plan.coupons[draw(client, plan.coupon_count)];
    uint64_t number = plan.user_first + draw(client, plan.user_count);
    uint64_t key_number = draw(client, KEYS + 1);
    char user[32];
    char key[40] = "";
    struct answer answer;
    snprintf(user, sizeof(user), "user-%llu", (unsigned long long)number);
    if (key_number > 0) {
        snprintf(key, sizeof(key), "key-%llu.%llu", (unsigned long long)number,
                 (unsigned long long)key_number);
    }
    uint64_t id = ++client->asked;
    note(client, "claim %llu %lld %llu %s %s\n", (unsigned long long)id, (long long)now_ns(),
         (unsigned long long)coupon, user, *key ? key : "-");
    if (!send_claim(client, coupon, user, key) || !read_answer(client, &answer)) {
        hang_up(client);
        return;
    }
    note(client, "told %llu %lld %s %llu %lld\n", (unsigned long long)id, (long long)now_ns(),
         answer.verdict, (unsigned long long)answer.rank, (long long)answer.issued_at_us);
    if (answer.closes) {
        hang_up(client);
    }
}

static void *run(void *context) {
    struct client *client = context;
    while (!is_over()) {
        if (client->socket < 0 && !reconnect(client)) {
            break;
        }
        claim(client);
    }
    if (client->socket >= 0) {
        hang_up(client);
    }
    return NULL;
}

/* ---- options ---- */

static uint64_t number_of(const char *text) {
    uint64_t value;
    if (slice_to_u64(slice_of(text), INT64_MAX, &value)) {
        fprintf(stderr, "crash-client: %s is no number\n", text);
        exit(2);
    }
    return value;
}

static void read_users(char *text) {
    char *colon = strchr(text, ':');
    if (!colon) {
        fprintf(stderr, "crash-client: --users FIRST:COUNT\n");
        exit(2);
    }
    *colon = '\0';
    plan.user_first = number_of(text);
    plan.user_count = number_of(colon + 1);
}

static bool read_option(int option) {
    switch (option) {
    case 'p':
        plan.ports[plan.port_count++ % PORTS_MAX] = (uint16_t)number_of(optarg);
        return plan.port_count <= PORTS_MAX;
    case 'c':
        plan.coupons[plan.coupon_count++ % COUPONS_MAX] = number_of(optarg);
        return plan.coupon_count <= COUPONS_MAX;
    case 'n':
        plan.connections = number_of(optarg);
        return plan.connections >= 1 && plan.connections <= CONNECTIONS_MAX;
    case 'u':
        read_users(optarg);
        return plan.user_count > 0;
    case 's':
        plan.seed = number_of(optarg);
        return true;
    case 'l':
        plan.log = optarg;
        return true;
    case 't':
        plan.end_us = clock_monotonic_us() + (int64_t)number_of(optarg) * US_PER_SECOND;
        return true;
    case 'y':
        plan.stay = true;
        return true;
    default:
        return false;
    }
}

static bool read_options(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"coupon", required_argument, NULL, 'c'},
                                            {"connections", required_argument, NULL, 'n'},
                                            {"users", required_argument, NULL, 'u'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"stay", no_argument, NULL, 'y'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (!read_option(option)) {
            return false;
        }
    }
    return optind == argc && plan.port_count > 0 && plan.coupon_count > 0 && plan.log;
}

static void open_log(struct client *client) {
    char path[4096];
    snprintf(path, sizeof(path), "%s.%zu", plan.log, client->number);
    client->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (client->log < 0) {
        die("crash-client: log");
    }
}

int main(int argc, char **argv) {
    static struct client clients[CONNECTIONS_MAX];
    if (!read_options(argc, argv)) {
        fprintf(stderr, "crash-client: wrong use, see the head of client.c\n");
        return 2;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    for (size_t i = 0; i < plan.connections; i++) {
        clients[i] = (struct client){
            .number = i, .socket = -1, .port = i % plan.port_count, .random = plan.seed * 1000 + i};
        open_log(&clients[i]);
    }
    note_clock(&clients[0]);
    for (size_t i = 0; i < plan.connections; i++) {
        if (pthread_create(&clients[i].thread, NULL, run, &clients[i])) {
            die("crash-client: thread");
        }
    }
    for (size_t i = 0; i < plan.connections; i++) {
        pthread_join(clients[i].thread, NULL);
        close(clients[i].log);
    }
    return 0;
}

/* See routes_server.h. */
#include "routes_server.h"

#include "api/api.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- the server ---- */

static struct server {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum issuer_state state; /* guarded by lock */
    struct issuer *issuer;
    struct api *api;
    struct http_server *http;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note_state(void *context, enum issuer_state state, const char *why) {
    (void)context;
    (void)why;
    pthread_mutex_lock(&server.lock);
    server.state = state;
    pthread_cond_broadcast(&server.changed);
    pthread_mutex_unlock(&server.lock);
}

static void wait_ready(void) {
    pthread_mutex_lock(&server.lock);
    while (server.state == ISSUER_STARTING) {
        pthread_cond_wait(&server.changed, &server.lock);
    }
    assert(server.state == ISSUER_READY);
    pthread_mutex_unlock(&server.lock);
}

static void record_forget(void) {
    static const char *const names[] = {"coupon.db", "coupon.db-wal", "coupon.lock", "coupon.hold"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), names[i]);
        unlink(path);
    }
}

static void http_start(void) {
    struct http_options options;
    struct http_handler handler = api_handler(server.api);
    http_options_default(&options);
    options.port = 0;
    int status = http_server_start(&options, &handler, &server.http, NULL);
    assert(status == STATUS_OK);
    api_server_started(server.api, server.http);
}

void server_start(void) {
    struct issuer_local_options local;
    assert(sodium_init() >= 0);
    record_forget();
    issuer_local_options_default(&local);
    local.directory = fuzz_folder();
    local.coupons_max = 4096; /* walked through by some reads */
    local.state_changed = note_state;
    digest_key_random(&local.digest_key);
    server.state = ISSUER_STARTING;
    int status = issuer_local_start(&local, &server.issuer, NULL);
    assert(status == STATUS_OK);
    struct api_options options = {
        .issuer = server.issuer,
        .secrets.admin_tokens = {slice_of(ADMIN_TOKEN), "the tokens"},
        .loop_count = 1,
    };
    status = api_new(&options, &server.api, NULL);
    assert(status == STATUS_OK);
    http_start();
    wait_ready();
}

void server_stop(void) {
    http_server_stop(server.http, US_PER_SECOND);
    int status = issuer_stop(server.issuer, NULL);
    assert(status == STATUS_OK);
    http_server_free(server.http);
    issuer_free(server.issuer);
    api_free(server.api);
    record_forget();
}

/* ---- asking ---- */

/* Until a connect that libFuzzer's alarm broke into has come to its end: it goes on by itself. */
static int connect_wait(int fd) {
    struct pollfd wanted = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof(error);
    while (poll(&wanted, 1, -1) < 0 && errno == EINTR) {
    }
    int failed = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return failed ? errno : error;
}

static void asker_open(struct asker *asker) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_server_port(server.http)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct timeval patience = {.tv_sec = 20};
    struct linger reset = {.l_onoff = 1}; /* or used ports would run out */
    asker->socket = socket(AF_INET, SOCK_STREAM, 0);
    assert(asker->socket >= 0);
    setsockopt(asker->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(asker->socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    int error = connect(asker->socket, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
    error = error == EINTR ? connect_wait(asker->socket) : error;
    assert(error == 0);
}

void asker_close(struct asker *asker) {
    if (asker->socket >= 0) {
        close(asker->socket);
    }
    *asker = (struct asker){.socket = -1};
}

void asker_send(struct asker *asker, struct slice request, bool head) {
    assert(!asker->asked);
    if (asker->socket < 0) {
        asker_open(asker);
    }
    ssize_t size = send(asker->socket, request.bytes, request.size, MSG_NOSIGNAL);
    assert(size == (ssize_t)request.size);
    asker->asked = true;
    asker->head = head;
}

/* ---- answers ---- */

static size_t head_size_of(const struct buffer *raw) {
    const char *end = raw->size ? memmem(raw->bytes, raw->size, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - raw->bytes) + 4 : 0;
}

/* A field's value, terminated, in `room`; false: there is none. It must not be there twice. */
static bool field_of(const struct buffer *raw, const char *name, char room[static 128]) {
    char line[64];
    size_t head_size = head_size_of(raw);
    snprintf(line, sizeof(line), "\r\n%s: ", name);
    char *at = memmem(raw->bytes, head_size, line, strlen(line));
    if (!at) {
        return false;
    }
    at += strlen(line);
    size_t left = head_size - (size_t)(at - raw->bytes);
    size_t size = (size_t)((char *)memmem(at, left, "\r\n", 2) - at);
    assert(size < 128 && memmem(at, left, line, strlen(line)) == NULL);
    memcpy(room, at, size);
    room[size] = '\0';
    return true;
}

static size_t body_size_of(const struct asker *asker, const struct buffer *raw) {
    char value[128];
    uint64_t size = 0;
    bool told = field_of(raw, "Content-Length", value);
    assert(told);
    int status = slice_to_u64(slice_of(value), 16 << 20, &size);
    assert(status == STATUS_OK);
    return asker->head ? 0 : (size_t)size;
}

static void receive_some(const struct asker *asker, struct buffer *raw) {
    char room[8192];
    ssize_t size;
    do {
        size = recv(asker->socket, room, sizeof(room), 0);
    } while (size < 0 && errno == EINTR); /* libFuzzer has an alarm */
    assert(size > 0 && "an answer, and all of it");
    buffer_append(raw, room, (size_t)size);
}

static void judge_head(struct answer *answer, size_t head_size) {
    char value[128];
    const char *bytes = answer->raw.bytes;
    bool told = head_size > 13 && memcmp(bytes, "HTTP/1.1 ", 9) == 0 && bytes[12] == ' ';
    assert(told);
    for (size_t i = 9; i < 12; i++) {
        assert(bytes[i] >= '0' && bytes[i] <= '9');
        answer->status = answer->status * 10 + (bytes[i] - '0');
    }
    told = field_of(&answer->raw, "Date", value);
    assert(told && strlen(value) == 29);
    answer->close = field_of(&answer->raw, "Connection", value) && strcmp(value, "close") == 0;
    answer->replayed = field_of(&answer->raw, "Idempotent-Replayed", value);
    told = field_of(&answer->raw, "Content-Type", value);
    assert(told);
    answer->problem = strcmp(value, "application/problem+json") == 0;
    assert(answer->problem || strcmp(value, "application/json") == 0 ||
           strncmp(value, "text/plain", 10) == 0);
}

void asker_receive(struct asker *asker, struct answer *ret_answer) {
    assert(asker->asked);
    *ret_answer = (struct answer){.status = 0};
    struct buffer *raw = &ret_answer->raw;
    while (head_size_of(raw) == 0) {
        receive_some(asker, raw);
    }
    size_t head_size = head_size_of(raw);
    size_t size = head_size + body_size_of(asker, raw);
    while (raw->size < size) {
        receive_some(asker, raw);
    }
    judge_head(ret_answer, head_size);
    /* A HEAD that is malformed may not have been known as one. */
    assert(raw->size == size || (asker->head && ret_answer->close && ret_answer->status == 400));
    assert(!raw->failed);
    ret_answer->json = json_loadb(raw->bytes + head_size, size - head_size,
                                  JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    asker->asked = false;
    if (ret_answer->close) {
        asker_close(asker);
    }
}

void answer_done(struct answer *answer) {
    json_decref(answer->json);
    buffer_done(&answer->raw);
}

/* epoll-server: the least that a server of HTTP can do on this machine, a ceiling for all others.
 *
 *   epoll-server PORT THREADS REPLY_BYTES     until a signal ends it
 *
 * Each thread has its own listening socket (SO_REUSEPORT) and its own epoll. It reads a request
 * until its body is complete by Content-Length, and writes a constant 200 of REPLY_BYTES bytes in
 * all. Nothing else: no path, no header but that one, no time limit, no record. What it gets wrong,
 * such as a request beyond its buffer, ends the connection. Not for: anybody's use. Called by
 * suite/parts/peers.py. */
#include "base/base.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MAX 64
#define EVENTS_MAX  256
#define REQUEST_MAX 4096
#define REPLY_MAX   4096

struct connection {
    int socket;
    size_t size;
    char request[REQUEST_MAX + 1];
};

static struct {
    uint16_t port;
    size_t reply_size;
    char reply[REPLY_MAX + 1];
} plan;

static void die(const char *why) {
    perror(why);
    exit(1);
}

/* The size of the first request once all of it is there; 0 before. */
static size_t request_size(const struct connection *connection) {
    static const char field[] = "\r\nContent-Length: ";
    const char *end = strstr(connection->request, "\r\n\r\n");
    if (!end) {
        return 0;
    }
    const char *length = strcasestr(connection->request, field);
    size_t size = (size_t)(end + 4 - connection->request);
    if (length && length < end) {
        size += strtoul(length + sizeof(field) - 1, NULL, 10);
    }
    return size <= connection->size ? size : 0;
}

/* Answers what has come. False: the connection is over. */
static bool serve(struct connection *connection) {
    ssize_t part = recv(connection->socket, connection->request + connection->size,
                        REQUEST_MAX - connection->size, 0);
    if (part <= 0) {
        return false;
    }
    connection->size += (size_t)part;
    connection->request[connection->size] = '\0';
    size_t size;
    while ((size = request_size(connection))) {
        if (send(connection->socket, plan.reply, plan.reply_size, MSG_NOSIGNAL) !=
            (ssize_t)plan.reply_size) {
            return false;
        }
        connection->size -= size;
        memmove(connection->request, connection->request + size, connection->size + 1);
    }
    return connection->size < REQUEST_MAX;
}

static void watch(int epoll, int socket, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event)) {
        die("epoll_ctl");
    }
}

static void welcome(int epoll, int listener) {
    int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (socket < 0) {
        die("accept");
    }
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        die("memory");
    }
    connection->socket = socket;
    watch(epoll, socket, connection);
}

static void *run(void *argument) {
    int listener = *(int *)argument;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener, NULL);
    while (true) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection) {
                welcome(epoll, listener);
            } else if (!serve(connection)) {
                close(connection->socket);
                free(connection);
            }
        }
    }
    return NULL;
}

static int listener_open(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(plan.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4096)) {
        die("listen");
    }
    return listener;
}

/* A reply of that many bytes, head and body: the body is what the head leaves, whose length names
 * it with four digits. */
static void reply_make(size_t size) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Content-Length: %04zu\r\n\r\n";
    size_t head_size = sizeof(head) - 1 - strlen("%04zu") + 4;
    if (size < head_size) {
        fprintf(stderr, "epoll-server: a reply has at least %zu bytes\n", head_size);
        exit(2);
    }
    memset(plan.reply, 'x', size);
    snprintf(plan.reply, sizeof(plan.reply), head, size - head_size);
    plan.reply[head_size] = 'x'; /* where snprintf ended its text */
    plan.reply_size = size;
}

static size_t number_of(const char *text, uint64_t max) {
    uint64_t number = 0;
    if (slice_to_u64(slice_of(text), max, &number) < 0 || number == 0) {
        fprintf(stderr, "epoll-server: %s is no number up to %u\n", text, (unsigned)max);
        exit(2);
    }
    return (size_t)number;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "use: %s PORT THREADS REPLY_BYTES\n", argv[0]);
        return 2;
    }
    plan.port = (uint16_t)number_of(argv[1], UINT16_MAX);
    size_t threads = number_of(argv[2], THREADS_MAX);
    reply_make(number_of(argv[3], REPLY_MAX));
    static int listeners[THREADS_MAX];
    pthread_t thread = 0;
    for (size_t i = 0; i < threads; i++) {
        listeners[i] = listener_open();
        if (pthread_create(&thread, NULL, run, &listeners[i])) {
            die("pthread_create");
        }
    }
    pthread_join(thread, NULL);
    return 0;
}

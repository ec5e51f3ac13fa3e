/* worker: one thread's connections: opened, written to, read, timed, opened again.
 *
 * One read and one write a request, no memory taken, one look at the clock an answer: on a machine
 * that the server shares, what this costs the server does not get. See load.h. */
#include "load/load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256

static atomic_bool stopped;

void workers_stop(void) {
    atomic_store(&stopped, true);
}

bool workers_stopped(void) {
    return atomic_load_explicit(&stopped, memory_order_relaxed);
}

static void die(const char *why) {
    perror(why);
    exit(1);
}

/* ---- queues ---- */

void queue_push(struct queue *queue, struct connection *connection) {
    connection->next = NULL;
    if (queue->first) {
        queue->last->next = connection;
    } else {
        queue->first = connection;
    }
    queue->last = connection;
}

struct connection *queue_pop(struct queue *queue) {
    struct connection *first = queue->first;
    if (first) {
        queue->first = first->next;
    }
    return first;
}

void queue_remove(struct queue *queue, const struct connection *connection) {
    struct connection *before = NULL;
    for (struct connection *at = queue->first; at; before = at, at = at->next) {
        if (at != connection) {
            continue;
        }
        if (before) {
            before->next = at->next;
        } else {
            queue->first = at->next;
        }
        queue->last = queue->last == at ? before : queue->last;
        return;
    }
}

/* ---- what was told ---- */

static void told_flush(struct worker *worker) {
    size_t written = 0;
    while (written < worker->told.size) {
        ssize_t part =
            write(worker->plan->told, worker->told.bytes + written, worker->told.size - written);
        if (part < 0 && errno != EINTR) {
            die("load-client: --told");
        }
        written += part > 0 ? (size_t)part : 0;
    }
    buffer_clear(&worker->told);
}

/* Lines of several workers do not mix: each writes whole lines into a file opened to append. */
static void told_add(struct worker *worker, uint64_t user) {
    char name[REQUEST_PREFIX_MAX + 24];
    size_t size = request_user(&worker->plan->request, user, name);
    name[size++] = '\n';
    if (worker->told.size + size > TOLD_BUFFER_BYTES) {
        told_flush(worker);
    }
    buffer_append(&worker->told, name, size);
}

/* ---- connections ---- */

/* What was under way on it counts as failed, as it was begun and is never answered. */
static void connection_lost(struct worker *worker, struct connection *connection) {
    worker->under_way -= connection->phase == PHASE_WAITING;
    worker->opening -= connection->phase == PHASE_CONNECTING;
    if (connection->phase == PHASE_FREE) {
        queue_remove(&worker->free, connection);
    }
    if (connection->socket >= 0) {
        close(connection->socket);
    }
    connection->socket = -1;
    connection->phase = PHASE_CLOSED;
    memset(&connection->reply, 0, offsetof(struct reply, head));
    if (worker->plan->mode->keeps_open) {
        connection->retry_us = worker->now_us + RETRY_US;
        queue_push(&worker->closed, connection);
    }
}

/* Each source address has its own ports, of which a herd needs many. */
static int bind_source(const struct worker *worker, const struct connection *connection) {
    if (worker->plan->mode->keeps_open) {
        return 0;
    }
    int on = 1;
    uint32_t address = INADDR_LOOPBACK + (uint32_t)(connection->number % HERD_ADDRESSES);
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    setsockopt(connection->socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(connection->socket, (struct sockaddr *)&source, sizeof(source));
}

void worker_open(struct worker *worker, struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(worker->plan->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
    int on = 1;
    connection->phase = PHASE_CONNECTING;
    worker->opening++;
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->socket < 0 ||
        setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind_source(worker, connection) < 0 ||
        (connect(connection->socket, (struct sockaddr *)&address, sizeof(address)) < 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(worker->epoll, EPOLL_CTL_ADD, connection->socket, &event) < 0) {
        connection_lost(worker, connection);
    }
}

static void connection_opened(struct worker *worker, struct connection *connection) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error || epoll_ctl(worker->epoll, EPOLL_CTL_MOD, connection->socket, &event) < 0) {
        connection_lost(worker, connection);
        return;
    }
    worker->opening--;
    connection->phase = PHASE_FREE;
    if (worker->started) {
        worker->plan->mode->ready(worker, connection);
    }
}

void worker_send(struct worker *worker, struct connection *connection, uint64_t coupon_id,
                 uint64_t user, int64_t since_us) {
    assert(connection->phase == PHASE_FREE);
    char room[REQUEST_MAX];
    size_t size = request_render(&worker->plan->request, coupon_id, user, room);
    connection->phase = PHASE_WAITING;
    connection->user = user;
    connection->since_us = since_us;
    worker->under_way++;
    /* A request fits into an empty socket: a part sent is a connection that is of no use. */
    if (send(connection->socket, room, size, MSG_NOSIGNAL) != (ssize_t)size) {
        connection_lost(worker, connection);
    }
}

/* ---- answers ---- */

/* A status beyond STATUSES_MAX different ones is no answer. */
static void connection_answered(struct worker *worker, struct connection *connection) {
    int status = connection->reply.status;
    struct status_count *count = status_count_of(worker->statuses, &worker->status_count, status);
    worker->now_us = clock_monotonic_us();
    worker->last_answer_us = worker->now_us;
    worker->under_way--;
    connection->phase = PHASE_FREE;
    if (count) {
        worker->answered++;
        latency_add(&count->latency, (uint64_t)(worker->now_us - connection->since_us));
    }
    if (status == 201 && worker->plan->told >= 0) {
        told_add(worker, connection->user);
    }
}

static void connection_read(struct worker *worker, struct connection *connection) {
    ssize_t size = recv(connection->socket, worker->input, INPUT_BYTES, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        connection_lost(worker, connection);
        return;
    }
    size_t taken = 0;
    struct slice bytes = {worker->input, (size_t)size};
    enum reply_end end = reply_feed(&connection->reply, bytes, &taken);
    if (end == REPLY_BROKEN || connection->phase != PHASE_WAITING || taken < bytes.size) {
        worker->broken++;
        connection_lost(worker, connection);
    } else if (end == REPLY_WHOLE) {
        connection_answered(worker, connection);
        if (connection->reply.closes) {
            connection_lost(worker, connection);
        } else {
            worker->plan->mode->ready(worker, connection);
        }
    }
}

/* ---- the loop ---- */

static int64_t wake_us(const struct worker *worker) {
    const struct mode *mode = worker->plan->mode;
    int64_t wake = worker->now_us + WAIT_MAX_US;
    if (worker->closed.first && worker->closed.first->retry_us < wake) {
        wake = worker->closed.first->retry_us;
    }
    if (worker->started && mode->wake_us && mode->wake_us(worker) < wake) {
        wake = mode->wake_us(worker);
    }
    return wake;
}

static void turn(struct worker *worker) {
    struct epoll_event events[EVENTS_MAX];
    int64_t wait_us = wake_us(worker) - worker->now_us;
    wait_us = wait_us > 0 ? wait_us : 0;
    struct timespec wait = {.tv_nsec = (long)wait_us * 1000}; /* below WAIT_MAX_US */
    int count = epoll_pwait2(worker->epoll, events, EVENTS_MAX, &wait, NULL);
    worker->now_us = clock_monotonic_us();
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (connection->phase == PHASE_CONNECTING) {
            connection_opened(worker, connection);
        } else if (connection->phase != PHASE_CLOSED) { /* by a send earlier in this turn */
            connection_read(worker, connection);
        }
    }
    while (worker->closed.first && worker->closed.first->retry_us <= worker->now_us) {
        worker_open(worker, queue_pop(&worker->closed));
    }
    if (worker->started && worker->plan->mode->tick) {
        worker->plan->mode->tick(worker);
    }
}

static bool done(const struct worker *worker) {
    const struct plan *plan = worker->plan;
    int64_t hope_us = plan->start_us + plan->duration_us;
    hope_us = worker->last_answer_us > hope_us ? worker->last_answer_us : hope_us;
    bool unasked = !plan->mode->keeps_open && worker->opening > 0;
    return workers_stopped() || worker->now_us > hope_us + plan->patience_us ||
           (plan->mode->spent(worker) && worker->under_way == 0 && !unasked);
}

static void worker_make(struct worker *worker) {
    worker->connections = calloc(worker->connection_count, sizeof(*worker->connections));
    worker->statuses = calloc(STATUSES_MAX, sizeof(*worker->statuses));
    worker->input = malloc(INPUT_BYTES);
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!worker->connections || !worker->statuses || !worker->input || worker->epoll < 0 ||
        buffer_reserve(&worker->told, TOLD_BUFFER_BYTES) < 0) {
        die("load-client");
    }
    for (size_t i = 0; i < worker->connection_count; i++) {
        worker->connections[i].socket = -1;
        worker->connections[i].number = i * worker->plan->threads + worker->number;
    }
}

/* Those that cannot be opened now are tried again when the clock runs. */
static void open_all(struct worker *worker) {
    worker->now_us = clock_monotonic_us();
    int64_t until_us = worker->now_us + worker->plan->patience_us;
    for (size_t i = 0; i < worker->connection_count; i++) {
        worker_open(worker, &worker->connections[i]);
    }
    while (worker->opening > 0 && worker->now_us < until_us && !workers_stopped()) {
        turn(worker);
    }
}

static void start(struct worker *worker) {
    worker->started = true;
    worker->now_us = clock_monotonic_us();
    worker->last_answer_us = worker->now_us;
    for (size_t i = 0; i < worker->connection_count; i++) {
        if (worker->connections[i].phase == PHASE_FREE) {
            worker->plan->mode->ready(worker, &worker->connections[i]);
        }
    }
}

void *worker_run(void *argument) {
    struct worker *worker = argument;
    worker_make(worker);
    if (worker->plan->mode->keeps_open) {
        open_all(worker);
    }
    pthread_barrier_wait(&worker->plan->gate);
    pthread_barrier_wait(&worker->plan->gate);
    start(worker);
    while (!done(worker)) {
        turn(worker);
    }
    told_flush(worker);
    for (size_t i = 0; i < worker->connection_count; i++) {
        if (worker->connections[i].socket >= 0) {
            close(worker->connections[i].socket);
        }
    }
    close(worker->epoll);
    free(worker->connections);
    free(worker->input);
    buffer_done(&worker->told);
    return NULL;
}

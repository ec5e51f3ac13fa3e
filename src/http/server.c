/* server: all loops together: made, started, stopped, counted.
 *
 * Not for: what a loop does (loop.c). Called by whoever wires the process: cli.
 *
 * A start has two halves, so that one loop's failure leaves nothing behind: every thread
 * runs handler.loop_start and reports; only when all have succeeded are they let go.
 */
#include "http/internal.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOPS_MAX 256

void http_options_default(struct http_options *ret_options) {
    *ret_options = (struct http_options){
        .host = "127.0.0.1",
        .port = 8080,
        .loop_count = 1,
        .connections_max = 10000,
        .head_deadline_us = 5 * US_PER_SECOND,
        .body_deadline_us = 5 * US_PER_SECOND,
        .idle_deadline_us = 60 * US_PER_SECOND,
        .linger_us = 2 * US_PER_SECOND,
    };
}

static void free_loop(struct http_loop *loop) {
    loop_done(loop);
    sem_destroy(&loop->started);
    sem_destroy(&loop->go);
    free(loop);
}

static void free_server(struct http_server *server) {
    for (unsigned i = 0; i < server->loop_count; i++) {
        free_loop(server->loops[i]);
    }
    free(server->loops);
    free(server);
}

/* Appends a loop to the server. Takes the socket over whatever it returns. */
static int add_loop(struct http_server *server, int listener_fd, struct complaint *complaint) {
    struct http_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        close(listener_fd);
        return complain(complaint, STATUS_NO_MEMORY, "There is no memory for a loop.");
    }
    int status = loop_init(loop, server, listener_fd, complaint);
    if (status != STATUS_OK) {
        free(loop);
        return status;
    }
    int failed = sem_init(&loop->started, 0, 0) | sem_init(&loop->go, 0, 0);
    assert(failed == 0);
    loop->number = server->loop_count;
    server->loops[server->loop_count++] = loop;
    return STATUS_OK;
}

static int add_loops(struct http_server *server, struct complaint *complaint) {
    unsigned count = server->options.loop_count;
    int sockets[LOOPS_MAX];
    int status = listen_open(&server->options, count, sockets, &server->port, complaint);
    if (status != STATUS_OK) {
        return status;
    }
    for (unsigned i = 0; i < count; i++) {
        if (status == STATUS_OK) {
            status = add_loop(server, sockets[i], complaint);
        } else {
            close(sockets[i]);
        }
    }
    return status;
}

/* Loops take no signals but those of their own faults: the rest are the process's business,
 * and SIGPIPE must not end it. */
static int create_thread(struct http_loop *loop) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        sigdelset(&blocked, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int failed = pthread_create(&loop->thread, NULL, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    loop->thread_started = failed == 0;
    return failed;
}

static void join_threads(struct http_server *server) {
    for (unsigned i = 0; i < server->loop_count; i++) {
        if (server->loops[i]->thread_started) {
            int failed = pthread_join(server->loops[i]->thread, NULL);
            assert(failed == 0);
        }
    }
}

static int start_threads(struct http_server *server, struct complaint *complaint) {
    int status = STATUS_OK;
    for (unsigned i = 0; i < server->loop_count && status == STATUS_OK; i++) {
        int failed = create_thread(server->loops[i]);
        if (failed) {
            status =
                complain(complaint, STATUS_IO, "A thread cannot be made: %s.", strerror(failed));
            break;
        }
        while (sem_wait(&server->loops[i]->started) != 0) {
            /* a signal came; wait on */
        }
        if (server->loops[i]->start_status != STATUS_OK) {
            status = complain(complaint, server->loops[i]->start_status,
                              "The handler could not start in a loop (%s).",
                              status_name(server->loops[i]->start_status));
        }
    }
    server->serve = status == STATUS_OK;
    for (unsigned i = 0; i < server->loop_count; i++) {
        sem_post(&server->loops[i]->go);
    }
    if (status != STATUS_OK) {
        join_threads(server);
    }
    return status;
}

int http_server_start(const struct http_options *options, const struct http_handler *handler,
                      struct http_server **ret_server, struct complaint *complaint) {
    assert(options->loop_count > 0 && options->loop_count <= LOOPS_MAX);
    assert(handler->head != NULL && handler->request != NULL && handler->refused != NULL);
    struct http_server *server = calloc(1, sizeof *server);
    struct http_loop **loops = calloc(options->loop_count, sizeof(struct http_loop *));
    if (server == NULL || loops == NULL) {
        free(server);
        free(loops);
        return complain(complaint, STATUS_NO_MEMORY, "There is no memory for the server.");
    }
    server->options = *options;
    server->handler = *handler;
    server->loops = loops;
    int status = add_loops(server, complaint);
    if (status == STATUS_OK) {
        status = start_threads(server, complaint);
    }
    if (status != STATUS_OK) {
        free_server(server);
        return status;
    }
    *ret_server = server;
    return STATUS_OK;
}

uint16_t http_server_port(const struct http_server *server) {
    return server->port;
}

void http_server_wind_down(struct http_server *server) {
    atomic_store_explicit(&server->winding_down, true, memory_order_relaxed);
}

void http_server_stop(struct http_server *server, int64_t deadline_us) {
    assert(!server->stopped);
    assert(deadline_us >= 0);
    server->stopped = true;
    http_server_wind_down(server);
    atomic_store_explicit(&server->drain_deadline_us, deadline_us, memory_order_relaxed);
    for (unsigned i = 0; i < server->loop_count; i++) {
        assert(!pthread_equal(pthread_self(), server->loops[i]->thread));
        int failed = uv_async_send(&server->loops[i]->stop);
        assert(failed == 0);
    }
    join_threads(server);
}

void http_server_free(struct http_server *server) {
    if (server == NULL) {
        return;
    }
    assert(server->stopped);
    free_server(server);
}

struct http_figures http_server_figures(const struct http_server *server) {
    struct http_figures figures = {
        .connections_open = atomic_load_explicit(&server->connections_open, memory_order_relaxed),
    };
    for (unsigned i = 0; i < server->loop_count; i++) {
        const struct http_loop *loop = server->loops[i];
        figures.connections_accepted += atomic_load_explicit(&loop->accepted, memory_order_relaxed);
        figures.connections_turned_away +=
            atomic_load_explicit(&loop->turned_away, memory_order_relaxed);
        figures.requests += atomic_load_explicit(&loop->requests, memory_order_relaxed);
    }
    return figures;
}

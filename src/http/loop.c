/* loop: one thread, one libuv loop, one listening socket: turns, deadlines, draining.
 *
 * Not for: what happens on a connection (connection.c), starting and stopping all loops
 * together (server.c). Called by server.c; connection.c tells it who is ready and who has
 * gone.
 *
 * One turn is: poll (reads, accepts, wake-ups), then on_check: connections whose reply came
 * from elsewhere take up their pipelined input, then handler.turn_end.
 *
 * Draining takes some turns that do not wait: the first ones still accept what is in the
 * backlog, then the listener closes; the next ones still read, so that a request that had
 * already arrived is answered, then idle connections close. The loop ends when the last
 * connection has been freed, which is after the handler's last reply.
 */
#include "http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- for connections ------------------------------------------------------------------ */

void loop_count(atomic_uint_fast64_t *counter) {
    uint_fast64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

const char *loop_date(struct http_loop *loop) {
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME_COARSE, &now);
    assert(failed == 0);
    if ((int64_t)now.tv_sec != loop->date_second) {
        loop->date_second = (int64_t)now.tv_sec;
        response_date(loop->date_second, loop->date);
    }
    return loop->date;
}

void loop_ready(struct http_loop *loop, struct connection *connection) {
    if (connection->ready) {
        return;
    }
    connection->ready = true;
    connection->ready_next = loop->ready_first;
    loop->ready_first = connection;
}

static void loop_end(struct http_loop *loop) {
    assert(loop->connection_count == 0);
    loop->duty = LOOP_ENDED;
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->spin, NULL);
    uv_close((uv_handle_t *)&loop->stop, NULL);
}

static bool drain_turns_over(const struct http_loop *loop) {
    return loop->drain_turns > DRAIN_IDLE_TURNS;
}

bool loop_cuts_idle(const struct http_loop *loop) {
    return loop->duty == LOOP_DRAINS && drain_turns_over(loop);
}

void loop_connection_gone(struct http_loop *loop) {
    assert(loop->connection_count > 0);
    loop->connection_count--;
    if (loop->connection_count == 0 && loop_cuts_idle(loop)) {
        loop_end(loop);
    }
}

void http_loop_wake(struct http_loop *loop) {
    int failed = uv_async_send(&loop->wake);
    assert(failed == 0);
}

/* ---- turns ---------------------------------------------------------------------------- */

static void resume_ready(struct http_loop *loop) {
    while (loop->ready_first != NULL) {
        struct connection *connection = loop->ready_first;
        loop->ready_first = connection->ready_next;
        connection->ready = false;
        connection_resume(connection);
    }
}

static struct connection *connection_of(struct link *link) {
    return (struct connection *)((char *)link - offsetof(struct connection, link));
}

static void cut_phase(struct http_loop *loop, enum phase phase) {
    struct link *list = &loop->phases[phase];
    while (!link_alone(list)) {
        connection_abort(connection_of(list->next));
    }
}

static void close_listener(struct http_loop *loop) {
    uv_close((uv_handle_t *)&loop->listener, NULL);
    close(loop->listener_fd);
    loop->listener_fd = -1;
    if (loop->owed_fd >= 0) {
        close(loop->owed_fd);
        loop->owed_fd = -1;
    }
}

static void drain_turn(struct http_loop *loop) {
    if (drain_turns_over(loop)) {
        return;
    }
    loop->drain_turns++;
    if (loop->drain_turns == DRAIN_LISTEN_TURNS) {
        close_listener(loop);
    } else if (drain_turns_over(loop)) {
        uv_idle_stop(&loop->spin);
        cut_phase(loop, PHASE_IDLE);
        if (loop->connection_count == 0) {
            loop_end(loop);
        }
    }
}

static void on_check(uv_check_t *check) {
    struct http_loop *loop = check->data;
    loop->polled_ms = uv_now(&loop->uv);
    const struct http_handler *handler = &loop->server->handler;
    for (;;) {
        resume_ready(loop); /* may hand over requests, as turn_end may make others ready */
        if (!loop->handed_over) {
            break;
        }
        loop->handed_over = false;
        if (handler->turn_end != NULL) {
            handler->turn_end(loop->context);
        }
    }
    if (loop->duty == LOOP_DRAINS) {
        drain_turn(loop);
    }
}

static void on_spin(uv_idle_t *spin) {
    (void)spin;
}

static void on_wake(uv_async_t *wake) {
    struct http_loop *loop = wake->data;
    if (loop->server->handler.woken != NULL) {
        loop->server->handler.woken(loop->context);
    }
}

/* ---- accepting ------------------------------------------------------------------------ */

/* Nobody is taken before the next tick: a socket with somebody in its backlog stays readable. */
static void put_off(struct http_loop *loop) {
    loop->accept_owed = true;
    uv_poll_stop(&loop->listener);
}

static int open_spare(void) {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* There is no descriptor for those who wait, if anybody does, which accept tells only when it has
 * one: all of them learn it at once, by their end, rather than wait. False: the spare one did not
 * help. Another thread may have it by now. */
static bool turn_away(struct http_loop *loop) {
    if (loop->spare_fd < 0) {
        return false;
    }
    close(loop->spare_fd);
    int fd = 0;
    while ((fd = accept4(loop->listener_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        loop_count(&loop->turned_away);
        close(fd);
    }
    bool helped = errno == EAGAIN;
    loop->spare_fd = open_spare();
    return helped;
}

/* accept(2): errors that Linux tells of the connection that it took out of the backlog, so that the
 * next call meets the next one. After any other, such as a security module's EACCES, the same one
 * is still there. */
static bool is_of_who_came(int error) {
    switch (error) {
    case EINTR: /* of nobody, and asked again */
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

/* Whoever waits becomes a connection. libuv's own listener would not do: when there is no
 * descriptor, and its spare one is gone too, or no memory in the kernel, it calls accept again and
 * again and serves nobody meanwhile, so that no descriptor ever comes free. */
static void take_waiting(struct http_loop *loop) {
    for (;;) {
        int fd = loop->owed_fd >= 0
                     ? loop->owed_fd
                     : accept4(loop->listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        loop->owed_fd = -1;
        if (fd >= 0 && connection_accept(loop, fd)) {
            continue;
        }
        if (fd >= 0) {
            loop->owed_fd = fd;
            put_off(loop);
            return;
        }
        int error = errno;
        assert(error != EBADF && error != EINVAL && error != ENOTSOCK);
        bool descriptors_lack = error == EMFILE || error == ENFILE;
        if (error == EAGAIN || (descriptors_lack && turn_away(loop))) {
            return;
        }
        if (!is_of_who_came(error)) {
            put_off(loop);
            return;
        }
    }
}

static void on_listener(uv_poll_t *listener, int status, int events) {
    (void)status; /* an error of the socket is told by accept */
    (void)events;
    take_waiting(listener->data);
}

static int listen_again(struct http_loop *loop) {
    return uv_poll_start(&loop->listener, UV_READABLE, on_listener);
}

/* ---- deadlines ------------------------------------------------------------------------ */

/* Judged by the time of the last poll, not by now: what arrived while a long turn kept the
 * loop from reading is not late. */
static void expire_phase(struct http_loop *loop, enum phase phase) {
    struct link *list = &loop->phases[phase];
    while (!link_alone(list) && connection_of(list->next)->due_ms <= loop->polled_ms) {
        connection_expire(connection_of(list->next));
    }
}

static void on_tick(uv_timer_t *tick) {
    struct http_loop *loop = tick->data;
    for (enum phase phase = PHASE_IDLE; phase < PHASE_COUNT; phase++) {
        if (loop->timeout_ms[phase] > 0) {
            expire_phase(loop, phase);
        }
    }
    if (loop->accept_owed && loop->duty == LOOP_SERVES) {
        loop->accept_owed = false;
        int failed = listen_again(loop);
        assert(failed == 0);
        loop->spare_fd = loop->spare_fd < 0 ? open_spare() : loop->spare_fd;
        take_waiting(loop);
    }
    if (loop_cuts_idle(loop) && uv_now(&loop->uv) >= loop->drain_due_ms) {
        for (enum phase phase = PHASE_IDLE; phase < PHASE_CLOSED; phase++) {
            cut_phase(loop, phase);
        }
    }
}

static void on_stop(uv_async_t *stop) {
    struct http_loop *loop = stop->data;
    if (loop->duty != LOOP_SERVES) {
        return;
    }
    int64_t deadline_us =
        atomic_load_explicit(&loop->server->drain_deadline_us, memory_order_relaxed);
    uint64_t deadline_ms = (uint64_t)(deadline_us + 999) / 1000;
    loop->duty = LOOP_DRAINS;
    loop->drain_due_ms = uv_now(&loop->uv) + deadline_ms;
    if (deadline_ms < uv_timer_get_repeat(&loop->tick)) {
        uint64_t repeat_ms = deadline_ms == 0 ? 1 : deadline_ms;
        int failed = uv_timer_start(&loop->tick, on_tick, repeat_ms, repeat_ms);
        assert(failed == 0);
    }
    int failed = uv_idle_start(&loop->spin, on_spin);
    assert(failed == 0);
}

static uint64_t ms_of(int64_t duration_us) {
    assert(duration_us > 0);
    return ((uint64_t)duration_us + 999) / 1000;
}

/* Sets the phases' deadlines; returns how often to look at them. */
static uint64_t deadlines_init(struct http_loop *loop, const struct http_options *options) {
    loop->timeout_ms[PHASE_IDLE] = ms_of(options->idle_deadline_us);
    loop->timeout_ms[PHASE_HEAD] = ms_of(options->head_deadline_us);
    loop->timeout_ms[PHASE_BODY] = ms_of(options->body_deadline_us);
    loop->timeout_ms[PHASE_WRITING] = ms_of(options->idle_deadline_us);
    loop->timeout_ms[PHASE_LINGER] = ms_of(options->linger_us);
    uint64_t tick_ms = TICK_MAX_MS;
    for (enum phase phase = PHASE_IDLE; phase < PHASE_COUNT; phase++) {
        link_init(&loop->phases[phase]);
        uint64_t part = loop->timeout_ms[phase] / TICKS_A_DEADLINE;
        if (loop->timeout_ms[phase] > 0 && part < tick_ms) {
            tick_ms = part == 0 ? 1 : part;
        }
    }
    return tick_ms;
}

/* ---- life ----------------------------------------------------------------------------- */

/* 0 or libuv's error. */
static int handles_init(struct http_loop *loop, uint64_t tick_ms) {
    int failed = uv_async_init(&loop->uv, &loop->wake, on_wake);
    failed = failed ? failed : uv_async_init(&loop->uv, &loop->stop, on_stop);
    failed = failed ? failed : uv_check_init(&loop->uv, &loop->check);
    failed = failed ? failed : uv_check_start(&loop->check, on_check);
    failed = failed ? failed : uv_idle_init(&loop->uv, &loop->spin);
    failed = failed ? failed : uv_timer_init(&loop->uv, &loop->tick);
    failed = failed ? failed : uv_timer_start(&loop->tick, on_tick, tick_ms, tick_ms);
    failed = failed ? failed : uv_poll_init(&loop->uv, &loop->listener, loop->listener_fd);
    if (failed) {
        return failed;
    }
    loop->wake.data = loop;
    loop->stop.data = loop;
    loop->check.data = loop;
    loop->tick.data = loop;
    loop->listener.data = loop;
    uv_unref((uv_handle_t *)&loop->wake); /* the loop may end although it stays open */
    return listen_again(loop);
}

int loop_init(struct http_loop *loop, struct http_server *server, int listener_fd,
              struct complaint *complaint) {
    loop->server = server;
    loop->duty = LOOP_WAITS;
    loop->date_second = INT64_MIN;
    loop->listener_fd = listener_fd;
    loop->owed_fd = -1;
    loop->read_buffer = malloc(READ_BUFFER_SIZE);
    if (loop->read_buffer == NULL) {
        close(listener_fd);
        return complain(complaint, STATUS_NO_MEMORY, "There is no memory for a loop.");
    }
    int failed = uv_loop_init(&loop->uv);
    if (failed) {
        close(listener_fd);
        free(loop->read_buffer);
        return complain(complaint, STATUS_IO, "A loop cannot be made: %s.", uv_strerror(failed));
    }
    loop->spare_fd = open_spare(); /* it does without one, too */
    failed = handles_init(loop, deadlines_init(loop, &server->options));
    if (failed) {
        loop_done(loop);
        return complain(complaint, STATUS_IO, "A loop cannot be made: %s.", uv_strerror(failed));
    }
    return STATUS_OK;
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void loop_done(struct http_loop *loop) {
    assert(loop->connection_count == 0);
    uv_walk(&loop->uv, close_handle, NULL);
    int busy = uv_run(&loop->uv, UV_RUN_DEFAULT);
    assert(busy == 0);
    busy = uv_loop_close(&loop->uv);
    assert(busy == 0);
    if (loop->listener_fd >= 0) {
        close(loop->listener_fd);
    }
    if (loop->spare_fd >= 0) {
        close(loop->spare_fd);
    }
    buffer_done(&loop->output);
    buffer_done(&loop->aside);
    free(loop->read_buffer);
}

/* The thread stays on the core of this number among those that it may use. Where there are fewer,
 * or a sandbox forbids it, the kernel chooses as before. */
static void stay_on_core(unsigned number) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed)) {
        return;
    }
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, &allowed) && number-- == 0) {
            cpu_set_t own;
            CPU_ZERO(&own);
            CPU_SET(core, &own);
            (void)sched_setaffinity(0, sizeof(own), &own);
            return;
        }
    }
}

void *loop_main(void *argument) {
    struct http_loop *loop = argument;
    const struct http_handler *handler = &loop->server->handler;
    pthread_setname_np(pthread_self(), "loop");
    if (loop->server->options.pin_loops) {
        stay_on_core(loop->number);
    }
    loop->start_status = handler->loop_start == NULL
                             ? STATUS_OK
                             : handler->loop_start(handler->context, loop, &loop->context);
    sem_post(&loop->started);
    while (sem_wait(&loop->go) != 0) {
        /* a signal came; wait on */
    }
    if (loop->server->serve) {
        loop->duty = LOOP_SERVES;
        uv_update_time(&loop->uv);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        assert(loop->duty == LOOP_ENDED);
    }
    if (loop->start_status == STATUS_OK && handler->loop_stop != NULL) {
        handler->loop_stop(loop->context);
    }
    return NULL;
}

/* connection: the one state machine between a socket and the handler.
 *
 * Not for: what bytes mean (parser.c, chunked.c), how replies look (response.c), when
 * deadlines are looked at (loop.c). Called by loop.c and, through http_reply, by the
 * handler; always in the loop's thread.
 *
 *   accept ──> IDLE ──(1)──> HEAD ──(2)──> BODY ──(3)──> EXCHANGE ──(4)──> IDLE
 *                │             │             │              │
 *               (7)           (5)           (5)            (4) the kernel takes only part
 *                │             │             │              v
 *                v             v             v           WRITING ──(6)──> IDLE
 *             CLOSED <─(8)─ LINGER <────────────────────────┘
 *
 *   1 step_head       the first byte of a head that is not whole yet (1 to 3: exchange.c)
 *   2 begin_exchange  the head is whole: handler.head; a request without a body, or with
 *                     all of it at hand, passes through BODY within the call
 *   3 hand_over       the body is whole: handler.request
 *   4 http_reply, then connection_answered: the reply is with the kernel, or waits for it
 *   5 exchange_refuse handler.refused answers, the connection closes after it
 *   6 on_written, then connection_answered: the kernel has taken the rest
 *   - connection_finish  after a last reply: we shut down our side and drop what still
 *                     comes, so that no reset overtakes the answer (RFC 9112 9.6)
 *   7 connection_close without an answer: idle too long, end of input between requests
 *   8 connection_close: the client closed too, or linger_us or LINGER_BYTES_MAX are over
 *   - connection_abort from any state: the client has gone, memory is out, the drain is over
 *
 * A connection in CLOSED is freed once libuv is done with its socket and its exchange, if
 * one is under way, was answered. An exchange begun is always ended by the handler: one
 * that breaks off within its body goes to handler.refused.
 *
 * Input is handled where the read left it, in the loop's buffer; only what cannot be used
 * yet is copied to `input`. In BODY `input` begins with the head, which is parsed again
 * for handler.request: cheaper than keeping 2 KiB of head with every connection.
 */
#include "http/internal.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct write {
    uv_write_t request;
    char bytes[];
};

static void connection_answered(struct connection *connection);
static void connection_drive(struct connection *connection, struct slice window);
static void refuse_now(struct connection *connection, enum http_refusal refusal, const char *why);

static uv_stream_t *stream_of(struct connection *connection) {
    return (uv_stream_t *)&connection->tcp;
}

/* Every arrow passes here. Within a phase all deadlines are equally far, so a list is in
 * the order of its deadlines by itself. */
void connection_enter(struct connection *connection, enum phase phase) {
    struct http_loop *loop = connection->loop;
    assert(connection->phase != PHASE_CLOSED);
    connection->phase = phase;
    connection->progress = 0;
    connection->due_ms = uv_now(&loop->uv) + loop->timeout_ms[phase];
    link_remove(&connection->link);
    link_append(&loop->phases[phase], &connection->link);
}

/* ---- the end -------------------------------------------------------------------------- */

static void free_if_over(struct connection *connection) {
    if (!connection->freeable || connection->exchange_open) {
        return;
    }
    struct http_loop *loop = connection->loop;
    assert(!connection->ready);
    link_remove(&connection->link);
    free(connection);
    loop_connection_gone(loop);
}

static void on_closed(uv_handle_t *handle) {
    struct connection *connection = handle->data;
    buffer_done(&connection->input);
    buffer_done(&connection->body);
    connection->freeable = true;
    free_if_over(connection);
}

static void leave_seat(struct connection *connection) {
    struct http_loop *loop = connection->loop;
    switch (connection->seat) {
    case SEAT_OWN:
        atomic_fetch_sub_explicit(&loop->server->connections_open, 1, memory_order_relaxed);
        break;
    case SEAT_EXTRA:
        loop->extra_count--;
        break;
    case SEAT_NONE:
        break;
    }
    connection->seat = SEAT_NONE;
}

void connection_close(struct connection *connection) {
    leave_seat(connection);
    connection_enter(connection, PHASE_CLOSED);
    uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

void connection_abort(struct connection *connection) {
    bool handler_waits = connection->phase == PHASE_BODY && connection->exchange_open;
    connection_close(connection);
    if (handler_waits) {
        struct http_loop *loop = connection->loop;
        loop->server->handler.refused(loop->context, &connection->exchange, HTTP_REFUSED_MALFORMED,
                                      "The client has gone before its request was complete.");
        assert(!connection->exchange_open);
    }
}

/* ---- reading -------------------------------------------------------------------------- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer) {
    (void)suggested;
    struct connection *connection = handle->data;
    size_t size = READ_BUFFER_SIZE;
    if (connection->phase == PHASE_EXCHANGE || connection->phase == PHASE_WRITING) {
        size_t held = connection->input.size;
        size = held < PIPELINE_MAX ? PIPELINE_MAX - held : 0;
    }
    *ret_buffer = uv_buf_init(connection->loop->read_buffer, (unsigned)size);
}

static void on_eof(struct connection *connection) {
    connection->eof = true;
    switch (connection->phase) {
    case PHASE_IDLE:
        if (connection->input.size > 0) {
            return; /* it is in the ready list with a request */
        }
        connection_close(connection);
        return;
    case PHASE_HEAD:
    case PHASE_LINGER:
        connection_close(connection);
        return;
    case PHASE_BODY:
        refuse_now(connection, HTTP_REFUSED_MALFORMED, "The body ends before it is complete.");
        return;
    case PHASE_EXCHANGE: /* half-closed: it may still read */
    case PHASE_WRITING:
    case PHASE_CLOSED:
        return;
    case PHASE_COUNT:
        break;
    }
    assert(false && "a connection is in one of its phases");
}

static void on_bytes(struct connection *connection, struct slice bytes);

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
    struct connection *connection = stream->data;
    if (connection->phase == PHASE_CLOSED) {
        return;
    }
    if (size > 0) {
        on_bytes(connection, (struct slice){buffer->base, (size_t)size});
    } else if (size == UV_EOF) {
        on_eof(connection);
    } else if (size < 0 && size != UV_ENOBUFS) {
        connection_abort(connection);
    }
}

/* Reads while there is room; once full, again only when half of it is free, so that the
 * poller is not told at every request. */
static void regulate(struct connection *connection) {
    if (connection->phase == PHASE_CLOSED || connection->eof) {
        return;
    }
    bool busy = connection->phase == PHASE_EXCHANGE || connection->phase == PHASE_WRITING;
    size_t held_max = connection->reading ? PIPELINE_MAX : PIPELINE_MAX / 2;
    bool wanted = !busy || connection->input.size < held_max;
    if (wanted && !connection->reading) {
        connection->reading = true;
        if (uv_read_start(stream_of(connection), on_allocate, on_read) != 0) {
            connection_abort(connection);
        }
    } else if (!wanted && connection->reading) {
        connection->reading = false;
        uv_read_stop(stream_of(connection));
    }
}

static void on_bytes(struct connection *connection, struct slice bytes) {
    if (connection->phase == PHASE_LINGER) {
        connection->progress += bytes.size;
        if (connection->progress > LINGER_BYTES_MAX) {
            connection_close(connection);
        }
        return;
    }
    bool busy = connection->phase == PHASE_EXCHANGE || connection->phase == PHASE_WRITING;
    if (!busy && connection->input.size == 0) {
        connection_drive(connection, bytes);
        return;
    }
    buffer_slice(&connection->input, bytes);
    if (connection->input.failed) {
        connection_abort(connection);
    } else if (busy) {
        regulate(connection);
    } else {
        connection_drive(connection, buffer_view(&connection->input));
    }
}

/* ---- writing -------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int status) {
    struct connection *connection = request->handle->data;
    free(request); /* the first member of struct write */
    connection->write_count--;
    if (connection->phase == PHASE_CLOSED) {
        return;
    }
    if (status != 0) {
        connection_abort(connection);
    } else if (connection->phase == PHASE_WRITING && connection->write_count == 0) {
        connection_answered(connection);
    }
}

/* What the kernel would not take at once goes to the heap and follows. */
static int write_rest(struct connection *connection, struct slice rest) {
    struct write *write = malloc(sizeof *write + rest.size);
    if (write == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(write->bytes, rest.bytes, rest.size);
    uv_buf_t buffer = uv_buf_init(write->bytes, (unsigned)rest.size);
    if (uv_write(&write->request, stream_of(connection), &buffer, 1, on_written) != 0) {
        free(write);
        return STATUS_IO;
    }
    connection->write_count++;
    return STATUS_OK;
}

/* Sends the output and empties it. May end in CLOSED. */
static void flush(struct connection *connection, struct buffer *output) {
    bool lost = output->failed;
    if (connection->phase != PHASE_CLOSED && output->size > 0 && !lost) {
        uv_buf_t buffer = uv_buf_init(output->bytes, (unsigned)output->size);
        int result = uv_try_write(stream_of(connection), &buffer, 1);
        size_t sent = result > 0 ? (size_t)result : 0;
        if (result < 0 && result != UV_EAGAIN) {
            lost = true;
        } else if (sent < output->size) {
            struct slice rest = {output->bytes + sent, output->size - sent};
            lost = write_rest(connection, rest) != STATUS_OK;
        }
    }
    buffer_clear(output);
    if (output->capacity > OUTPUT_KEEP_MAX) {
        buffer_done(output);
    }
    if (lost && connection->phase != PHASE_CLOSED) {
        connection_abort(connection);
    }
}

/* ---- after a reply -------------------------------------------------------------------- */

static void connection_finish(struct connection *connection) {
    buffer_done(&connection->input);
    uv_os_fd_t socket = -1;
    if (connection->eof || uv_fileno((uv_handle_t *)&connection->tcp, &socket) != 0 ||
        shutdown(socket, SHUT_WR) != 0) {
        connection_close(connection);
        return;
    }
    connection_enter(connection, PHASE_LINGER);
    regulate(connection);
}

/* Bytes written that the client has not taken: those libuv holds and those the kernel does,
 * which asks for more only when a good part of its own buffer is free. */
static size_t unread_size(struct connection *connection) {
    uv_os_fd_t socket = -1;
    int held = 0;
    if (uv_fileno((uv_handle_t *)&connection->tcp, &socket) != 0 ||
        ioctl(socket, SIOCOUTQ, &held) != 0) {
        held = 0;
    }
    return uv_stream_get_write_queue_size(stream_of(connection)) + (size_t)held;
}

/* No exchange is under way and the last reply was handed to flush. */
static void connection_answered(struct connection *connection) {
    if (connection->phase == PHASE_CLOSED) {
        return;
    }
    assert(!connection->exchange_open);
    if (connection->write_count > 0) {
        uv_update_time(&connection->loop->uv); /* a reply this large took its time to make */
        connection_enter(connection, PHASE_WRITING);
        connection->progress = unread_size(connection);
    } else if (connection->close_after ||
               (loop_cuts_idle(connection->loop) && connection->input.size == 0)) {
        connection_finish(connection);
    } else if (connection->eof && connection->input.size == 0) {
        connection_close(connection);
    } else {
        if (connection->phase != PHASE_IDLE) {
            connection_enter(connection, PHASE_IDLE);
        }
        if (connection->input.size > 0) {
            loop_ready(connection->loop, connection);
        }
    }
}

void http_reply(struct http_exchange *exchange, const struct http_response *response) {
    struct connection *connection = exchange->connection;
    struct http_loop *loop = connection->loop;
    assert(connection->exchange_open);
    connection->exchange_open = false;
    if (connection->phase == PHASE_CLOSED) {
        free_if_over(connection);
        return;
    }
    assert(connection->driving || connection->phase == PHASE_EXCHANGE);
    bool body_unread = connection->phase != PHASE_EXCHANGE && connection->body_announced;
    connection->close_after =
        connection->close_after || response->close || body_unread || !connection->keep_alive ||
        atomic_load_explicit(&loop->server->winding_down, memory_order_relaxed);
    struct response_frame frame = {
        .date = loop_date(loop),
        .close = connection->close_after,
        .say_keep_alive = connection->old_version,
        .head_only = connection->head_only,
    };
    if (connection->driving) {
        response_render(&loop->output, response, frame);
        return;
    }
    response_render(&loop->aside, response, frame);
    flush(connection, &loop->aside);
    connection_answered(connection);
}

/* ---- input to requests ------------------------------------------------------------------ */

static void refuse_now(struct connection *connection, enum http_refusal refusal, const char *why) {
    connection->driving = true;
    exchange_refuse(connection, refusal, why);
    connection->driving = false;
    flush(connection, &connection->loop->output);
    connection_answered(connection);
}

/* Keeps what the steps left of the window, which is `input` itself or the loop's buffer. */
static void keep_rest(struct connection *connection, struct slice window, size_t taken) {
    struct buffer *input = &connection->input;
    if (connection->phase == PHASE_CLOSED) {
        return;
    }
    size_t rest = window.size - taken;
    if (connection->close_after && !connection->exchange_open) {
        rest = 0; /* whatever follows the last request is not one */
    } else if (connection->phase == PHASE_BODY && connection->chunked) {
        rest = connection->head_size; /* the chunks went to `body` */
    }
    if (window.bytes == input->bytes) {
        buffer_drop_front(input, taken);
        input->size = rest;
    } else {
        assert(input->size == 0);
        buffer_append(input, window.bytes + taken, rest);
    }
    if (input->failed) {
        connection_abort(connection);
    } else if (input->size == 0) {
        buffer_done(input);
    }
}

/* What becomes of a connection whose input is used up as far as it goes. */
static void settle(struct connection *connection) {
    switch (connection->phase) {
    case PHASE_HEAD:
        if (connection->eof) {
            connection_close(connection);
        }
        return;
    case PHASE_BODY:
        if (connection->eof) {
            refuse_now(connection, HTTP_REFUSED_MALFORMED, "The body ends before it is complete.");
        }
        return;
    case PHASE_IDLE:
    case PHASE_EXCHANGE:
        if (!connection->exchange_open) {
            connection_answered(connection);
        }
        return;
    case PHASE_WRITING:
    case PHASE_LINGER:
    case PHASE_CLOSED:
    case PHASE_COUNT:
        return;
    }
}

/* Takes as many requests from the window as can be taken now. Replies given meanwhile
 * gather in the loop's output and leave together. */
static void connection_drive(struct connection *connection, struct slice window) {
    struct buffer *output = &connection->loop->output;
    assert(output->size == 0);
    connection->driving = true;
    size_t taken = 0;
    while (taken < window.size) {
        struct slice rest = {window.bytes + taken, window.size - taken};
        size_t used = exchange_step(connection, rest);
        taken += used;
        if (used == 0 || connection->phase != PHASE_IDLE) {
            break;
        }
        if (output->size > COALESCE_MAX) {
            flush(connection, output);
            if (connection->phase == PHASE_CLOSED || connection->write_count > 0) {
                break;
            }
        }
    }
    connection->driving = false;
    keep_rest(connection, window, taken);
    flush(connection, output);
    settle(connection);
    regulate(connection);
}

/* ---- called by the loop --------------------------------------------------------------- */

void connection_resume(struct connection *connection) {
    if (connection->phase == PHASE_IDLE && connection->input.size > 0) {
        connection_drive(connection, buffer_view(&connection->input));
    }
}

static void expire_writing(struct connection *connection) {
    size_t unread = unread_size(connection);
    if (unread == connection->progress) {
        connection_abort(connection);
        return;
    }
    connection_enter(connection, PHASE_WRITING); /* slow, but it reads */
    connection->progress = unread;
}

void connection_expire(struct connection *connection) {
    switch (connection->phase) {
    case PHASE_IDLE:
    case PHASE_LINGER:
        connection_close(connection);
        return;
    case PHASE_HEAD:
        refuse_now(connection, HTTP_REFUSED_TIMEOUT, "The head took too long to arrive.");
        return;
    case PHASE_BODY:
        refuse_now(connection, HTTP_REFUSED_TIMEOUT, "The body took too long to arrive.");
        return;
    case PHASE_WRITING:
        expire_writing(connection);
        return;
    case PHASE_EXCHANGE:
    case PHASE_CLOSED:
    case PHASE_COUNT:
        break;
    }
    assert(false && "these phases have no deadline");
}

static bool take_seat(struct http_server *server) {
    unsigned open = atomic_fetch_add_explicit(&server->connections_open, 1, memory_order_relaxed);
    if (open < server->options.connections_max) {
        return true;
    }
    atomic_fetch_sub_explicit(&server->connections_open, 1, memory_order_relaxed);
    return false;
}

static struct connection *connection_new(struct http_loop *loop) {
    struct connection *connection =
        calloc(1, sizeof *connection + loop->server->handler.exchange_size);
    if (connection == NULL) {
        return NULL;
    }
    if (uv_tcp_init(&loop->uv, &connection->tcp) != 0) {
        free(connection);
        return NULL;
    }
    connection->tcp.data = connection;
    connection->loop = loop;
    link_init(&connection->link);
    loop->connection_count++;
    return connection;
}

/* A connection whose socket is open. */
static void seat(struct connection *connection) {
    struct http_loop *loop = connection->loop;
    loop_count(&loop->accepted);
    if (take_seat(loop->server)) {
        connection->seat = SEAT_OWN;
        connection_enter(connection, PHASE_IDLE);
        regulate(connection);
        return;
    }
    if (loop->extra_count >= EXTRAS_MAX) {
        connection_close(connection);
        return;
    }
    connection->seat = SEAT_EXTRA;
    loop->extra_count++;
    refuse_now(connection, HTTP_REFUSED_CROWDED, "There are too many connections.");
}

bool connection_accept(struct http_loop *loop, int fd) {
    struct connection *connection = connection_new(loop);
    if (connection == NULL) {
        return false;
    }
    if (uv_tcp_open(&connection->tcp, fd) != 0) {
        close(fd);
        connection_close(connection);
    } else {
        seat(connection);
    }
    return true;
}

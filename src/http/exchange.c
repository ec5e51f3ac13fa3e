/* exchange: from bytes to handler calls, one request at a time: the arrows 1, 2, 3 and 5 of
 * the diagram in connection.c.
 *
 * Not for: sockets, buffers, what happens after the reply. Called by connection_drive, with
 * the input that is not used up yet; whatever is answered within a step gathers in the
 * loop's output, which the caller sends.
 */
#include "http/internal.h"

void *http_exchange_room(struct http_exchange *exchange) {
    return exchange->room;
}

static void open_exchange(struct connection *connection) {
    assert(!connection->exchange_open);
    connection->exchange_open = true;
    connection->exchange.connection = connection;
    size_t room_size = connection->loop->server->handler.exchange_size;
    if (room_size > 0) {
        memset(connection->exchange.room, 0, room_size);
    }
}

size_t exchange_refuse(struct connection *connection, enum http_refusal refusal, const char *why) {
    assert(connection->driving);
    struct http_loop *loop = connection->loop;
    if (!connection->exchange_open) {
        open_exchange(connection);
        connection->head_only = false;
    }
    connection->close_after = true;
    loop->server->handler.refused(loop->context, &connection->exchange, refusal, why);
    assert(!connection->exchange_open);
    connection_enter(connection, PHASE_EXCHANGE);
    return 0;
}

/* The request is whole. Returns `used`, the bytes it takes from the window. */
static size_t hand_over(struct connection *connection, const struct http_head *head,
                        struct slice body, size_t used) {
    struct http_loop *loop = connection->loop;
    connection_enter(connection, PHASE_EXCHANGE);
    loop->handed_over = true;
    loop->server->handler.request(loop->context, &connection->exchange, head, body);
    buffer_done(&connection->body);
    if (!connection->exchange_open && !connection->close_after) {
        connection_enter(connection, PHASE_IDLE);
    }
    return used;
}

/* In BODY; `window` begins with the head. Returns 0 while the body is not whole. */
static size_t step_chunked(struct connection *connection, const struct http_head *head,
                           struct slice window) {
    struct slice input = {window.bytes + head->size, window.size - head->size};
    const char *why = NULL;
    size_t taken = 0;
    switch (http_chunked_decode(&connection->decoder, input, connection->body_max,
                                &connection->body, &taken, &why)) {
    case HTTP_PARSE_DONE:
        if (connection->body.failed) {
            break;
        }
        return hand_over(connection, head, buffer_view(&connection->body), head->size + taken);
    case HTTP_PARSE_MORE:
        if (connection->body.failed) {
            break;
        }
        return 0;
    case HTTP_PARSE_TOO_LARGE:
        return exchange_refuse(connection, HTTP_REFUSED_BODY_TOO_LARGE, why);
    case HTTP_PARSE_MALFORMED:
    case HTTP_PARSE_BAD_EXPECT:
        return exchange_refuse(connection, HTTP_REFUSED_MALFORMED, why);
    }
    connection_abort(connection);
    return 0;
}

static size_t step_body(struct connection *connection, const struct http_head *head,
                        struct slice window) {
    if (connection->chunked) {
        return step_chunked(connection, head, window);
    }
    size_t size = (size_t)connection->content_length;
    if (window.size - head->size < size) {
        return 0;
    }
    struct slice body = {window.bytes + head->size, size};
    return hand_over(connection, head, body, head->size + size);
}

/* In BODY with new bytes; the head at the window's start is known to be good. */
static size_t continue_body(struct connection *connection, struct slice window) {
    assert(window.size >= connection->head_size);
    if (!connection->chunked && window.size - connection->head_size < connection->content_length) {
        return 0;
    }
    struct http_head head;
    struct slice bytes = {window.bytes, connection->head_size};
    enum http_parse result = http_parse_head(bytes, &head, NULL);
    assert(result == HTTP_PARSE_DONE);
    return step_body(connection, &head, window);
}

static void keep_frame(struct connection *connection, const struct http_head *head) {
    connection->head_size = head->size;
    connection->content_length = head->content_length;
    connection->chunked = head->chunked;
    connection->body_announced = head->chunked || head->content_length > 0;
    connection->keep_alive = head->keep_alive;
    connection->old_version = head->minor_version == 0;
    connection->head_only = head->method == HTTP_HEAD;
    connection->decoder = (struct http_chunked){0};
}

static size_t begin_exchange(struct connection *connection, const struct http_head *head,
                             struct slice window) {
    struct http_loop *loop = connection->loop;
    connection_enter(connection, PHASE_BODY);
    open_exchange(connection);
    keep_frame(connection, head);
    loop_count(&loop->requests);
    int64_t body_max = loop->server->handler.head(loop->context, &connection->exchange, head);
    if (body_max < 0) {
        assert(!connection->exchange_open);
        connection_enter(connection, connection->close_after ? PHASE_EXCHANGE : PHASE_IDLE);
        return head->size;
    }
    assert(connection->exchange_open);
    connection->body_max = (uint64_t)body_max;
    if (head->content_length > connection->body_max) {
        return exchange_refuse(connection, HTTP_REFUSED_BODY_TOO_LARGE,
                               "The body is larger than what is taken here.");
    }
    size_t used = step_body(connection, head, window);
    if (connection->phase == PHASE_BODY && head->expect_continue && window.size == head->size) {
        buffer_text(&loop->output, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return used;
}

static size_t step_head(struct connection *connection, struct slice window) {
    struct http_head head;
    const char *why = NULL;
    switch (http_parse_head(window, &head, &why)) {
    case HTTP_PARSE_DONE:
        return begin_exchange(connection, &head, window);
    case HTTP_PARSE_MORE:
        if (connection->phase == PHASE_IDLE) {
            connection_enter(connection, PHASE_HEAD);
        }
        return 0;
    case HTTP_PARSE_MALFORMED:
        return exchange_refuse(connection, HTTP_REFUSED_MALFORMED, why);
    case HTTP_PARSE_TOO_LARGE:
        return exchange_refuse(connection, HTTP_REFUSED_HEAD_TOO_LARGE, why);
    case HTTP_PARSE_BAD_EXPECT:
        return exchange_refuse(connection, HTTP_REFUSED_EXPECTATION, why);
    }
    assert(false && "the parser has no other result");
    return 0;
}

size_t exchange_step(struct connection *connection, struct slice window) {
    assert(connection->driving);
    assert(window.size > 0);
    return connection->phase == PHASE_BODY ? continue_body(connection, window)
                                           : step_head(connection, window);
}

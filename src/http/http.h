/* http: HTTP/1.1 for a crowd. Loops that share a port, connections with deadlines and
 * limits, a strict parser, responses. On libuv. Knows no coupon: what a request means is
 * the handler's business.
 *
 * Threads: http_server_start makes one thread a loop. All handler calls and all calls on
 * an exchange happen in the thread of the loop it belongs to, except http_loop_wake, which
 * any thread may call. Loops share nothing but the port.
 *
 * One exchange (a request and its answer) is under way per connection; pipelined requests
 * wait in the connection's bounded input. An exchange lasts from handler.head or
 * handler.refused until http_reply, also when the client has gone meanwhile.
 */
#ifndef COUPON_HTTP_H
#define COUPON_HTTP_H

#include "base/base.h"

#define HTTP_HEAD_MAX   8192 /* bytes of request line and fields; more: 431 */
#define HTTP_FIELDS_MAX 64   /* more: 431 */

/* ---- parser: pure functions, no state outside their arguments ------------------------- */

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHOD_OTHER
};

struct http_field {
    struct slice name;
    struct slice value; /* without the white space around it */
};

/* A request's head. Slices point into the bytes that were parsed. */
struct http_head {
    enum http_method method;
    struct slice path;  /* of the target, begins with '/' (or is "*" with OPTIONS) */
    struct slice query; /* after '?'; size 0 when there is none */
    int minor_version;  /* 0 or 1 */
    bool chunked;
    bool has_content_length;
    uint64_t content_length; /* 0 when absent */
    bool keep_alive;
    bool expect_continue;
    size_t size; /* bytes of the head, its empty line included */
    size_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

enum http_parse {
    HTTP_PARSE_DONE,
    HTTP_PARSE_MORE,
    HTTP_PARSE_MALFORMED,
    HTTP_PARSE_TOO_LARGE,
    HTTP_PARSE_BAD_EXPECT
};

/* Parses a head from its first byte. Refused as MALFORMED as soon as the bytes show it, so
 * the answer does not depend on how they arrived: anything but CRLF line ends, white space
 * before a colon, folded lines, control characters, an empty or unknown version, CONNECT, a
 * target that is not origin-form, absolute-form (http) or "*", no Host or two of them in 1.1, two
 * Content-Lengths, Content-Length with Transfer-Encoding, any Transfer-Encoding but a
 * single "chunked", Transfer-Encoding in 1.0. TOO_LARGE past HTTP_HEAD_MAX bytes or
 * HTTP_FIELDS_MAX fields. *ret_why, when it is not NULL and the result is a refusal, is a
 * constant sentence for the client. *ret_head is complete on DONE only. One empty line
 * before the request line is skipped and counts into ret_head->size. */
enum http_parse http_parse_head(struct slice bytes, struct http_head *ret_head,
                                const char **ret_why);

/* The field's value; size 0 and NULL bytes when it is absent. *ret_count (may be NULL):
 * how often it occurs. `name` in any case. */
struct slice http_head_field(const struct http_head *head, const char *name, size_t *ret_count);

/* The value of a query parameter, percent-decoded ('+' stays) into `room`. STATUS_NOT_FOUND,
 * STATUS_INVALID (bad escape, given twice), STATUS_FULL (longer than the room). */
int MUST_CHECK http_query_value(struct slice query, const char *name, char *room, size_t room_size,
                                struct slice *ret_value);

/* A percent-encoded text, decoded into `room`. STATUS_INVALID (bad escape), STATUS_FULL. */
int MUST_CHECK http_percent_decode(struct slice encoded, char *room, size_t room_size,
                                   struct slice *ret_decoded);

/* A chunked body, decoded as it comes. Zeroed at first. */
struct http_chunked {
    int phase;
    uint64_t left;    /* bytes of the present chunk still to come */
    size_t line_size; /* of the present chunk-size line or trailer section */
    int detail;
};

/* Takes from `input` what it can; appends decoded bytes to `body`; *ret_taken tells how
 * much of the input is used up (all of it on MORE). TOO_LARGE past `body_max` decoded
 * bytes. Strict: hexadecimal digits only and at most 16 of them, CRLF only, chunk
 * extensions and trailers are bounded (256 bytes a size line, HTTP_HEAD_MAX of trailers),
 * checked and dropped. */
enum http_parse http_chunked_decode(struct http_chunked *decoder, struct slice input,
                                    uint64_t body_max, struct buffer *body, size_t *ret_taken,
                                    const char **ret_why);

/* ---- server --------------------------------------------------------------------------- */

struct http_server;
struct http_loop;
struct http_exchange;

/* What http refuses by itself; the handler writes the words. The connection closes after
 * all of them, lingering so that the client can read the answer. */
enum http_refusal {
    HTTP_REFUSED_MALFORMED,      /* 400 */
    HTTP_REFUSED_TIMEOUT,        /* 408: head or body too slow */
    HTTP_REFUSED_BODY_TOO_LARGE, /* 413 */
    HTTP_REFUSED_EXPECTATION,    /* 417 */
    HTTP_REFUSED_HEAD_TOO_LARGE, /* 431 */
    HTTP_REFUSED_CROWDED,        /* 503: connections_max reached */
};

struct http_response {
    int status;
    const char *content_type; /* NULL: none */
    struct slice fields;      /* further lines, each "Name: value\r\n"; may be empty */
    struct slice body;
    bool close; /* close the connection after it */
};

struct http_handler {
    void *context;
    size_t exchange_size; /* bytes of the handler's own per exchange, zeroed at its start */

    /* In the loop's thread before it serves, and after its last exchange. */
    int (*loop_start)(void *context, struct http_loop *loop, void **ret_loop_context);
    void (*loop_stop)(void *loop_context);

    /* The head is there, the body not yet. Returns the most bytes of body it will take
     * (0: none; more than that is refused with 413), or answers at once with http_reply
     * and returns -1; then the connection closes if a body was announced, else goes on. */
    int64_t (*head)(void *loop_context, struct http_exchange *exchange,
                    const struct http_head *head);
    /* The whole request. Head and body last until this returns. Answers with http_reply,
     * now or later. */
    void (*request)(void *loop_context, struct http_exchange *exchange,
                    const struct http_head *head, struct slice body);
    /* Must call http_reply before it returns. `why` is a sentence for the client. The
     * exchange is a new one, or the one that head() took when its body breaks off (too
     * slow, too large, malformed, client gone): then its room is as head() left it. */
    void (*refused)(void *loop_context, struct http_exchange *exchange, enum http_refusal refusal,
                    const char *why);
    /* After all input of one turn of the loop was handed over: send off what gathered. */
    void (*turn_end)(void *loop_context);
    /* After http_loop_wake, once for any number of calls. */
    void (*woken)(void *loop_context);
};

/* The handler's exchange_size bytes of this exchange; aligned for any type. */
void *http_exchange_room(struct http_exchange *exchange);
/* Answers; the exchange is over and may not be touched again. The response is copied or
 * sent before it returns. HEAD gets the same head without the body. Adds Date,
 * Content-Length, and Connection where needed. */
void http_reply(struct http_exchange *exchange, const struct http_response *response);
/* Makes the loop call handler.woken soon. Any thread, until http_server_free. */
void http_loop_wake(struct http_loop *loop);

struct http_options {
    const char *host; /* numeric IPv4 or IPv6 address */
    uint16_t port;    /* 0: the system chooses */
    unsigned loop_count;
    bool pin_loops;           /* each loop stays on a core of its own, as far as there are cores */
    unsigned connections_max; /* all loops together */
    int64_t head_deadline_us; /* 5 s: from its first byte to its last */
    int64_t body_deadline_us; /* 5 s: likewise */
    int64_t idle_deadline_us; /* 60 s: between requests, before the first, and for a reply
                                 the client does not read */
    int64_t linger_us;        /* 2 s: how long a closing connection still drains input */
};
void http_options_default(struct http_options *ret_options); /* 127.0.0.1:8080, 1 loop, 10,000 */

/* Binds (SO_REUSEPORT, one socket a loop) and starts the loops. The handler is copied.
 * STATUS_BUSY the port is taken, STATUS_INVALID the address, STATUS_IO, STATUS_NO_MEMORY. */
int MUST_CHECK http_server_start(const struct http_options *options,
                                 const struct http_handler *handler,
                                 struct http_server **ret_server, struct complaint *complaint);
uint16_t http_server_port(const struct http_server *server);

/* From now on every reply says Connection: close; to be called before it is told that the
 * server stops. Any thread. */
void http_server_wind_down(struct http_server *server);

/* Drains: takes what already waits in the backlog, then no new connections; idle ones
 * close, requests under way are answered with Connection: close; after `deadline_us` the
 * rest is cut. Returns when every loop's thread has ended, which is after http_reply to
 * every exchange: the handler must not keep one for ever. Once; not from a loop's thread. */
void http_server_stop(struct http_server *server, int64_t deadline_us);
void http_server_free(struct http_server *server); /* stopped before; takes NULL */

struct http_figures {
    uint64_t connections_open;
    uint64_t connections_accepted;
    uint64_t connections_turned_away; /* closed unread: the process had no descriptor for them */
    uint64_t requests;
};
struct http_figures http_server_figures(const struct http_server *server); /* any thread */

#endif

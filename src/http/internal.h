/* internal: what the files of this folder share. Not for anyone else: outside there
 * is only http.h.
 *
 * A server owns its loops, a loop its connections; nothing points the other way but to
 * ask. Whatever is not marked atomic belongs to the loop's thread once that thread runs.
 */
#ifndef COUPON_HTTP_INTERNAL_H
#define COUPON_HTTP_INTERNAL_H

#include "http/http.h"

#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <uv.h>

#define LISTEN_BACKLOG     4096         /* the kernel cuts it to net.core.somaxconn */
#define READ_BUFFER_SIZE   (64 * 1024)  /* one a loop: what a single read may bring */
#define PIPELINE_MAX       (16 * 1024)  /* input beyond the request under way */
#define COALESCE_MAX       (64 * 1024)  /* replies of one read that leave in one write */
#define UNSENT_MAX         (16 * 1024)  /* the kernel keeps of one that does not read, about */
#define OUTPUT_KEEP_MAX    (256 * 1024) /* a loop's output memory is given back above it */
#define LINGER_BYTES_MAX   (256 * 1024) /* dropped from a closing connection, at most */
#define EXTRAS_MAX         64           /* a loop's connections beyond connections_max */
#define TICK_MAX_MS        250          /* deadlines are looked at this often, or a */
#define TICKS_A_DEADLINE   4            /* quarter of the shortest */
#define DRAIN_LISTEN_TURNS 2            /* turns of the loop in which a draining one */
#define DRAIN_IDLE_TURNS   4            /* still accepts; still reads idle connections */
#define DATE_SIZE          30           /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* ---- lists: circular, through a head that is a link itself ---- */

struct link {
    struct link *previous;
    struct link *next;
};

static inline void link_init(struct link *link) {
    link->previous = link->next = link;
}
static inline bool link_alone(const struct link *link) {
    return link->next == link;
}
static inline void link_remove(struct link *link) {
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link_init(link);
}
static inline void link_append(struct link *head, struct link *link) {
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

/* ---- connection: its states are explained in connection.c ---- */

enum phase {
    PHASE_IDLE,
    PHASE_HEAD,
    PHASE_BODY,
    PHASE_EXCHANGE,
    PHASE_WRITING,
    PHASE_LINGER,
    PHASE_CLOSED,
    PHASE_COUNT,
};

/* What a connection counts as, so that its end is counted off the same account. */
enum seat { SEAT_NONE, SEAT_OWN, SEAT_EXTRA };

struct http_exchange {
    struct connection *connection;
    alignas(max_align_t) unsigned char room[];
};

struct connection {
    uv_tcp_t tcp;
    struct http_loop *loop;
    struct link link; /* in the loop's list of its phase */
    struct connection *ready_next;
    uint64_t due_ms;
    struct buffer input; /* bytes not yet used up; NULL bytes when there are none */
    struct buffer body;  /* decoded chunks */
    struct http_chunked decoder;
    size_t head_size; /* in BODY: of the head at the input's start */
    uint64_t content_length;
    uint64_t body_max;
    size_t progress;      /* WRITING: bytes unread at the last look; LINGER: bytes dropped */
    unsigned write_count; /* writes libuv has still to finish */
    enum phase phase;
    enum seat seat;
    bool reading;
    bool eof;           /* the client has said all it will say */
    bool freeable;      /* libuv is done with `tcp` */
    bool ready;         /* in the loop's ready list */
    bool driving;       /* connection_drive works on it: it sends the output */
    bool exchange_open; /* from head() or refused() to http_reply */
    bool close_after;   /* the reply that was or will be sent is the last one */
    bool chunked;       /* this and the rest: of the request under way */
    bool body_announced;
    bool keep_alive;
    bool old_version;              /* 1.0 */
    bool head_only;                /* the method is HEAD */
    struct http_exchange exchange; /* last: the handler's room follows */
};

_Static_assert(sizeof(struct connection) < 768, "an idle connection is to stay small");

/* connection.c */
/* Takes the socket over. False: there is no memory for it, and nothing has happened. */
bool MUST_CHECK connection_accept(struct http_loop *loop, int fd);
void connection_expire(struct connection *connection); /* its deadline has passed */
void connection_resume(struct connection *connection); /* it was in the ready list */
void connection_enter(struct connection *connection, enum phase phase);
void connection_close(struct connection *connection); /* no answer is owed */
void connection_abort(struct connection *connection); /* whatever is under way */

/* exchange.c; both within connection_drive or its like */

/* Takes what it can of one request, the first in the window, which is not empty; returns
 * how many bytes of it are used up. 0: more input is needed, or this was the last. */
size_t exchange_step(struct connection *connection, struct slice window);
/* Has the handler refuse; always returns 0, as exchange_step would. */
size_t exchange_refuse(struct connection *connection, enum http_refusal refusal, const char *why);

/* ---- loop ---- */

enum loop_duty { LOOP_WAITS, LOOP_SERVES, LOOP_DRAINS, LOOP_ENDED };

struct http_loop {
    struct http_server *server;
    uv_loop_t uv;
    uv_poll_t listener; /* of listener_fd; why not libuv's own: loop.c, take_waiting */
    int listener_fd;    /* -1: closed */
    int owed_fd;        /* -1, or accepted, and not yet taken for want of memory */
    int spare_fd;       /* -1, or given up to turn away whom there is no descriptor for */
    uv_async_t wake;    /* lives until http_server_free: wakers may come late */
    uv_async_t stop;
    uv_check_t check;
    uv_idle_t spin; /* while draining begins: turns do not wait */
    uv_timer_t tick;
    pthread_t thread;
    unsigned number; /* of the server's loops, from 0 */
    bool thread_started;
    sem_t started;
    sem_t go;
    int start_status;
    void *context; /* the handler's */

    enum loop_duty duty;
    int drain_turns;
    uint64_t drain_due_ms;
    uint64_t polled_ms; /* when the last poll returned */
    bool handed_over;   /* requests went to the handler since turn_end */
    bool accept_owed;   /* nobody is taken before the next tick: see take_waiting */
    struct connection *ready_first;
    struct link phases[PHASE_COUNT];
    uint64_t timeout_ms[PHASE_COUNT]; /* 0: the phase has no deadline */
    unsigned connection_count;        /* allocated, also those that wait for their reply */
    unsigned extra_count;

    char *read_buffer;
    struct buffer output; /* replies of the connection being driven */
    struct buffer aside;  /* a reply to any other */
    int64_t date_second;
    char date[DATE_SIZE];

    atomic_uint_fast64_t accepted;
    atomic_uint_fast64_t turned_away;
    atomic_uint_fast64_t requests;
};

/* Takes the socket over, whatever it returns. */
int MUST_CHECK loop_init(struct http_loop *loop, struct http_server *server, int listener_fd,
                         struct complaint *complaint);
void loop_done(struct http_loop *loop); /* the thread has ended, or never began */
void *loop_main(void *loop);            /* the thread */
void loop_ready(struct http_loop *loop, struct connection *connection);
void loop_connection_gone(struct http_loop *loop); /* one has been freed */
/* The loop drains, and who has nothing under way is not waited for any more. */
bool loop_cuts_idle(const struct http_loop *loop);
const char *loop_date(struct http_loop *loop); /* for the Date field */
/* Only the loop's thread adds, so no locked instruction is needed. */
void loop_count(atomic_uint_fast64_t *counter);

/* ---- server ---- */

struct http_server {
    struct http_options options;
    struct http_handler handler;
    uint16_t port;
    bool stopped;
    bool serve; /* set before the loops' `go` */
    unsigned loop_count;
    struct http_loop **loops;
    atomic_bool winding_down;
    _Atomic int64_t drain_deadline_us;
    atomic_uint connections_open;
};

/* ---- listen.c ---- */

/* Binds `count` sockets to one address and listens; *ret_port is what was bound. */
int MUST_CHECK listen_open(const struct http_options *options, unsigned count, int *ret_sockets,
                           uint16_t *ret_port, struct complaint *complaint);

/* ---- response.c ---- */

struct response_frame {
    const char *date;
    bool close;
    bool say_keep_alive; /* a 1.0 client must be told */
    bool head_only;
};
void response_render(struct buffer *output, const struct http_response *response,
                     struct response_frame frame);
void response_date(int64_t second, char ret_text[static DATE_SIZE]);

#endif

/* fixture: a server with a handler that does on demand what a test wants, and a blocking
 * client that fails the test rather than wait for ever. */
#ifndef COUPON_TEST_HTTP_FIXTURE_H
#define COUPON_TEST_HTTP_FIXTURE_H

#include "http/http.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LOOPS_MAX   4
#define BODY_MAX    1000
#define PATIENCE_MS 10000 /* longer than anything here takes: a failure, not a delay */
#define MS(count)   ((count)*INT64_C(1000))
#define DRAIN_LONG  MS(3 * PATIENCE_MS) /* a test fails before */

/* What the handler does, by path:
 *   /now          200 "now", within request
 *   /echo         200, the body, within request
 *   /turn         200 "turn", in turn_end
 *   /later        200 "later", when the test calls fixture_release, through woken
 *   /size?n=N     200, N bytes
 *   /close        200 with close, within request
 *   /forbidden    403, within head
 *   /empty        204
 *   /stall        200 "now", after keeping the loop until stall_over
 * A body above BODY_MAX bytes is too large. */
struct fixture {
    struct http_server *server;
    struct http_options options;
    struct complaint complaint;
    uint16_t port;

    pthread_mutex_t lock;
    struct http_loop *loops[LOOPS_MAX];
    void *contexts[LOOPS_MAX];
    unsigned loop_count;
    bool released; /* exchanges of /later may be answered */

    atomic_uint heads;
    atomic_uint requests;
    atomic_uint refusals[HTTP_REFUSED_CROWDED + 1];
    atomic_uint turns;
    atomic_bool stall_over;
    atomic_uint waiting; /* exchanges of /later not answered yet */
    atomic_uint replies;
    atomic_uint stopped_loops;
    int loop_start_status; /* the last loop's */
    atomic_bool defer_all; /* /now is answered in turn_end */
};

/* Long deadlines; a test shortens what it is about, then starts. */
void fixture_init(struct fixture *fixture);
void fixture_start(struct fixture *fixture);
void fixture_stop(struct fixture *fixture); /* drains and frees */
void fixture_release(struct fixture *fixture);
/* For cmocka: *state is a started fixture; and it is released, stopped and freed. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
struct http_handler fixture_handler(struct fixture *fixture);

/* Waits until *counter >= wanted. */
void await_count(const atomic_uint *counter, unsigned wanted);
/* Waits until `open` connections are counted. */
void await_open(const struct fixture *fixture, uint64_t open);

int client_connect(const struct fixture *fixture);
void client_send(int fd, const char *text);
void client_send_bytes(int fd, const void *bytes, size_t size);
/* Nothing comes any more: the server closed. */
void client_expect_end(int fd);

struct reply {
    int status;
    char head[2048]; /* terminated */
    char *body;      /* terminated; reply_done frees it */
    size_t body_size;
};

/* Reads one response. `head_only`: to a HEAD request. */
struct reply client_receive(int fd, bool head_only);
void reply_done(struct reply *reply);
/* Receives and compares. body NULL: any. */
void client_expect(int fd, int status, const char *body);
bool reply_has(const struct reply *reply, const char *line);

#endif

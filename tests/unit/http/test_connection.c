/* One connection: what the state machine does with every kind of request and client. */
#include "fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: a\r\n"

static void a_request_is_answered(void **state) {
    int fd = client_connect(*state);
    client_send(fd, GET("/now"));
    struct reply reply = client_receive(fd, false);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "now");
    assert_memory_equal(reply.head, "HTTP/1.1 200 OK\r\n", 17);
    assert_true(reply_has(&reply, "Content-Type: text/plain"));
    assert_true(reply_has(&reply, "Content-Length: 3"));
    assert_true(reply_has(&reply, "X-Test: yes"));
    assert_non_null(strstr(reply.head, "\r\nDate: "));
    assert_null(strstr(reply.head, "Connection"));
    reply_done(&reply);
    close(fd);
}

static void a_connection_serves_many_requests(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    for (int i = 0; i < 100; i++) {
        client_send(fd, i % 2 ? GET("/now") : GET("/turn"));
        client_expect(fd, 200, i % 2 ? "now" : "turn");
    }
    struct http_figures figures = http_server_figures(fixture->server);
    assert_true(figures.requests == 100);
    assert_true(figures.connections_accepted == 1);
    assert_true(figures.connections_open == 1);
    close(fd);
    await_open(fixture, 0);
}

/* Sends `count` requests in one write and checks the order of their answers. */
static void pipeline(struct fixture *fixture, const char *request, const char *body, int count) {
    int fd = client_connect(fixture);
    struct buffer text = {0};
    for (int i = 0; i < count; i++) {
        buffer_text(&text, request);
        char number[64];
        snprintf(number, sizeof number, "Content-Length: 4\r\n\r\n%04d", i);
        buffer_text(&text, POST("/echo"));
        buffer_text(&text, number);
    }
    client_send_bytes(fd, text.bytes, text.size);
    buffer_done(&text);
    for (int i = 0; i < count; i++) {
        char number[16];
        snprintf(number, sizeof number, "%04d", i);
        client_expect(fd, 200, body);
        client_expect(fd, 200, number);
    }
    close(fd);
}

static void fifty_pipelined_requests_are_answered_in_order(void **state) {
    pipeline(*state, GET("/now"), "now", 25);
}

static void pipelined_requests_wait_for_a_reply_that_comes_later(void **state) {
    struct fixture *fixture = *state;
    pipeline(fixture, GET("/turn"), "turn", 25);
    fixture_release(fixture);
    pipeline(fixture, GET("/later"), "later", 25);
}

static void more_is_pipelined_than_is_kept(void **state) {
    pipeline(*state, GET("/turn"), "turn", 1000); /* about 100 KiB */
}

static void pipelined_replies_larger_than_the_kernel_takes_arrive(void **state) {
    int fd = client_connect(*state);
    struct buffer text = {0};
    for (int i = 0; i < 20; i++) {
        buffer_text(&text, GET("/size?n=1000000"));
    }
    client_send_bytes(fd, text.bytes, text.size);
    buffer_done(&text);
    for (int i = 0; i < 20; i++) {
        struct reply reply = client_receive(fd, false);
        assert_int_equal(reply.body_size, 1000000);
        reply_done(&reply);
    }
    close(fd);
}

static void replies_given_in_turn_end_let_pipelined_requests_pass(void **state) {
    struct fixture *fixture = *state;
    fixture->defer_all = true;
    pipeline(fixture, GET("/now"), "turn", 0);
    int fd = client_connect(fixture);
    client_send(fd, GET("/now") GET("/now") GET("/now"));
    for (int i = 0; i < 3; i++) {
        client_expect(fd, 200, "turn");
    }
    close(fd);
}

static void a_request_may_come_byte_by_byte(void **state) {
    int fd = client_connect(*state);
    static const char request[] = POST("/echo") "Content-Length: 5\r\n\r\nhello" POST(
        "/echo") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: "
                 "u\r\n\r\n" GET("/now");
    for (size_t i = 0; i < sizeof request - 1; i++) {
        client_send_bytes(fd, request + i, 1);
    }
    client_expect(fd, 200, "hello");
    client_expect(fd, 200, "abcde");
    client_expect(fd, 200, "now");
    close(fd);
}

/* Requests of all kinds, one after another, and what must be answered to each. */
static const struct {
    const char *request;
    const char *body;
} kinds[] = {
    {GET("/now"), "now"},
    {GET("/turn"), "turn"},
    {GET("/later"), "later"},
    {GET("/forbidden"), "forbidden"},
    {"\r\n" GET("/now"), "now"},
    {POST("/echo") "Content-Length: 5\r\n\r\nhello", "hello"},
    {POST("/turn") "Content-Length: 5\r\n\r\nhello", "turn"},
    {POST("/echo") "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x\r\ncde\r\n0\r\n\r\n", "abcde"},
    {POST("/later") "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n", "later"},
};

static unsigned seed_of_test(void) {
    const char *given = getenv("COUPON_TEST_SEED");
    unsigned seed =
        given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_monotonic_us();
    print_message("# COUPON_TEST_SEED=%u\n", seed);
    return seed;
}

static void answers_do_not_depend_on_how_requests_are_cut(void **state) {
    struct fixture *fixture = *state;
    fixture_release(fixture);
    unsigned seed = seed_of_test();
    for (int round = 0; round < 100; round++) {
        int fd = client_connect(fixture);
        struct buffer text = {0};
        size_t order[40];
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            order[i] = (size_t)rand_r(&seed) % COUNT_OF(kinds);
            buffer_text(&text, kinds[order[i]].request);
        }
        for (size_t at = 0; at < text.size;) {
            size_t piece = 1 + (size_t)rand_r(&seed) % (round % 2 ? 20 : 400);
            piece = piece < text.size - at ? piece : text.size - at;
            client_send_bytes(fd, text.bytes + at, piece);
            at += piece;
        }
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            struct reply reply = client_receive(fd, false);
            assert_string_equal(reply.body, kinds[order[i]].body);
            reply_done(&reply);
        }
        buffer_done(&text);
        close(fd);
    }
}

static void a_reply_to_another_connection_does_not_mix_with_ones_own(void **state) {
    struct fixture *fixture = *state;
    int first = client_connect(fixture);
    client_send(first, GET("/later"));
    await_count(&fixture->waiting, 1);
    pthread_mutex_lock(&fixture->lock);
    fixture->released = true; /* nobody is woken: the next request answers both */
    pthread_mutex_unlock(&fixture->lock);
    int second = client_connect(fixture);
    client_send(second, GET("/now") GET("/later") GET("/now"));
    client_expect(first, 200, "later");
    client_expect(second, 200, "now");
    client_expect(second, 200, "later");
    client_expect(second, 200, "now");
    close(first);
    close(second);
}

/* They take up their pipelined input in one turn of their loop. */
static void replies_to_many_connections_at_once_let_each_go_on(void **state) {
    enum { CLIENTS = 12 };
    struct fixture *fixture = *state;
    int clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_connect(fixture);
        client_send(clients[i], GET("/later") GET("/now"));
    }
    await_count(&fixture->waiting, CLIENTS);
    fixture_release(fixture);
    for (int i = 0; i < CLIENTS; i++) {
        client_expect(clients[i], 200, "later");
        client_expect(clients[i], 200, "now");
        close(clients[i]);
    }
}

static void a_body_may_come_after_its_head(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, POST("/echo") "Content-Length: 10\r\n\r\nhello");
    await_count(&fixture->heads, 1);
    client_send(fd, "world" GET("/now"));
    client_expect(fd, 200, "helloworld");
    client_expect(fd, 200, "now");
    assert_int_equal(atomic_load(&fixture->heads), 2);
    close(fd);
}

static void a_chunked_body_is_decoded(void **state) {
    int fd = client_connect(*state);
    client_send(fd, POST("/echo") "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" POST(
                        "/echo") "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    client_expect(fd, 200, "hello");
    client_expect(fd, 200, "");
    close(fd);
}

static void a_chunked_body_may_come_after_its_head(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, POST("/echo") "Transfer-Encoding: chunked\r\n\r\n");
    await_count(&fixture->heads, 1);
    client_send(fd, "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n" GET("/now"));
    client_expect(fd, 200, "helloworld");
    client_expect(fd, 200, "now");
    close(fd);
}

static void head_gets_the_same_head_without_a_body(void **state) {
    int fd = client_connect(*state);
    client_send(fd, "HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"));
    struct reply reply = client_receive(fd, true);
    assert_int_equal(reply.status, 200);
    assert_true(reply_has(&reply, "Content-Length: 3"));
    reply_done(&reply);
    client_expect(fd, 200, "now");
    close(fd);
}

static void no_content_has_no_length(void **state) {
    int fd = client_connect(*state);
    client_send(fd, GET("/empty") GET("/now"));
    struct reply reply = client_receive(fd, false);
    assert_int_equal(reply.status, 204);
    assert_null(strstr(reply.head, "Content-Length"));
    reply_done(&reply);
    client_expect(fd, 200, "now");
    close(fd);
}

static void a_client_that_waits_is_told_to_continue(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, POST("/echo") "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    struct reply reply = client_receive(fd, true);
    assert_string_equal(reply.head, "HTTP/1.1 100 Continue\r\n\r\n");
    reply_done(&reply);
    client_send(fd, "hello");
    client_expect(fd, 200, "hello");
    client_send(fd, POST("/echo") "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    client_expect(fd, 100, NULL);
    client_send(fd, "5\r\nhello\r\n0\r\n\r\n");
    client_expect(fd, 200, "hello");
    close(fd);
}

static void a_client_that_does_not_wait_is_not_told(void **state) {
    int fd = client_connect(*state);
    client_send(fd, POST("/echo") "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    client_expect(fd, 200, "hello");
    client_send(fd, POST("/echo") "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n");
    client_expect(fd, 200, "");
    close(fd);
}

/* Sends, expects the status with Connection: close, then the end. */
static void expect_last(struct fixture *fixture, const char *request, int status) {
    int fd = client_connect(fixture);
    client_send(fd, request);
    struct reply reply = client_receive(fd, false);
    if (reply.status != status) {
        fail_msg("%d instead of %d to: %s", reply.status, status, request);
    }
    assert_true(reply_has(&reply, "Connection: close"));
    reply_done(&reply);
    client_expect_end(fd);
}

static void what_cannot_be_understood_is_refused_and_closed(void **state) {
    struct fixture *fixture = *state;
    expect_last(fixture, "GET / HTTP/1.1\n\n", 400);
    expect_last(fixture, "GET / HTTP/1.1\r\n\r\n", 400);
    expect_last(fixture, POST("/") "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400);
    expect_last(fixture, POST("/") "Expect: x\r\n\r\n", 417);
    expect_last(fixture, POST("/") "Content-Length: 1001\r\n\r\n", 413);
    expect_last(fixture, POST("/") "Content-Length: 18446744073709551615\r\n\r\n", 413);
    expect_last(fixture, POST("/") "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413);
    assert_int_equal(atomic_load(&fixture->requests), 0);
}

static void a_body_within_the_limit_is_taken(void **state) {
    int fd = client_connect(*state);
    client_send(fd, POST("/echo") "Content-Length: 1000\r\n\r\n");
    char body[BODY_MAX + 1] = {0};
    memset(body, 'b', BODY_MAX);
    client_send(fd, body);
    client_expect(fd, 200, body);
    close(fd);
}

static void a_head_that_never_ends_is_refused(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    char text[HTTP_HEAD_MAX];
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    client_send_bytes(fd, text, sizeof text);
    client_expect(fd, 431, NULL);
    client_expect_end(fd);
}

static void pipelined_requests_before_a_bad_one_are_answered(void **state) {
    int fd = client_connect(*state);
    client_send(fd, GET("/now") GET("/turn") "BAD\r\n\r\n" GET("/now"));
    client_expect(fd, 200, "now");
    client_expect(fd, 200, "turn");
    client_expect(fd, 400, NULL);
    client_expect_end(fd);
}

static void a_connection_closes_when_either_side_wants(void **state) {
    struct fixture *fixture = *state;
    expect_last(fixture, "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/now"),
                200);
    expect_last(fixture, "GET /turn HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/now"),
                200);
    expect_last(fixture, GET("/close") GET("/now"), 200);
    expect_last(fixture, "GET /now HTTP/1.0\r\n\r\n" GET("/now"), 200);
    assert_int_equal(atomic_load(&fixture->requests), 4);
}

static void an_old_client_may_ask_to_stay(void **state) {
    int fd = client_connect(*state);
    for (int i = 0; i < 2; i++) {
        client_send(fd, "GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        struct reply reply = client_receive(fd, false);
        assert_true(reply_has(&reply, "Connection: keep-alive"));
        reply_done(&reply);
    }
    close(fd);
}

static void a_refusal_by_the_head_keeps_the_connection_without_a_body(void **state) {
    int fd = client_connect(*state);
    client_send(fd, GET("/forbidden") GET("/now"));
    client_expect(fd, 403, "forbidden");
    client_expect(fd, 200, "now");
    close(fd);
}

static void a_refusal_by_the_head_closes_with_a_body(void **state) {
    struct fixture *fixture = *state;
    expect_last(fixture, POST("/forbidden") "Content-Length: 5\r\n\r\nhello" GET("/now"), 403);
    expect_last(fixture, POST("/forbidden") "Content-Length: 5\r\n\r\n", 403);
    expect_last(fixture,
                POST("/forbidden") "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
                403);
    assert_int_equal(atomic_load(&fixture->requests), 0);
}

/* Without the drain of what still comes, the reset would overtake the answer. */
static void an_answer_is_not_lost_to_input_that_nobody_reads(void **state) {
    char *junk = calloc(1, 100000);
    for (int i = 0; i < 50; i++) {
        int fd = client_connect(*state);
        client_send(fd, POST("/forbidden") "Content-Length: 100000\r\n\r\n");
        client_send_bytes(fd, junk, 100000);
        client_expect(fd, 403, "forbidden");
        client_expect_end(fd);
    }
    free(junk);
}

static void a_lingering_connection_drops_only_so_much(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, GET("/close"));
    client_expect(fd, 200, "now");
    char junk[4096] = {0};
    ssize_t sent = 1;
    size_t total = 0;
    while (sent > 0) { /* ends when the server resets the connection */
        sent = send(fd, junk, sizeof junk, MSG_NOSIGNAL);
        total += sizeof junk;
    }
    assert_true(total > 256 * 1024);
    close(fd);
    await_open(fixture, 0);
}

static void a_client_that_has_said_all_is_still_answered(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, GET("/later") GET("/turn") GET("/now"));
    shutdown(fd, SHUT_WR);
    await_count(&fixture->waiting, 1);
    fixture_release(fixture);
    client_expect(fd, 200, "later");
    client_expect(fd, 200, "turn");
    client_expect(fd, 200, "now");
    client_expect_end(fd);
    await_open(fixture, 0);
}

static void the_end_of_input_closes_between_requests_and_within_a_head(void **state) {
    int fd = client_connect(*state);
    client_send(fd, GET("/now"));
    client_expect(fd, 200, "now");
    shutdown(fd, SHUT_WR);
    client_expect_end(fd);
    fd = client_connect(*state);
    client_send(fd, "GET / HT");
    shutdown(fd, SHUT_WR);
    client_expect_end(fd);
}

static void the_end_of_input_within_a_body_is_refused(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, POST("/echo") "Content-Length: 5\r\n\r\nhell");
    shutdown(fd, SHUT_WR);
    client_expect(fd, 400, NULL);
    client_expect_end(fd);
    fd = client_connect(fixture);
    client_send(fd, GET("/turn") POST("/echo") "Transfer-Encoding: chunked\r\n\r\n5\r\n");
    shutdown(fd, SHUT_WR);
    client_expect(fd, 200, "turn");
    client_expect(fd, 400, NULL);
    client_expect_end(fd);
    assert_int_equal(atomic_load(&fixture->requests), 1);
}

static void reset(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void an_exchange_outlives_its_client(void **state) {
    struct fixture *fixture = *state;
    int fds[20];
    for (unsigned i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = client_connect(fixture);
        client_send(fds[i], GET("/later") GET("/now"));
    }
    await_count(&fixture->waiting, COUNT_OF(fds));
    for (unsigned i = 0; i < COUNT_OF(fds); i++) {
        reset(fds[i]);
    }
    await_open(fixture, 0);
    assert_int_equal(atomic_load(&fixture->replies), 0);
    fixture_release(fixture);
    await_count(&fixture->replies, COUNT_OF(fds));
}

static void a_client_that_goes_within_its_body_ends_the_exchange(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, POST("/echo") "Content-Length: 5\r\n\r\nhell");
    await_count(&fixture->heads, 1);
    reset(fd);
    await_count(&fixture->refusals[HTTP_REFUSED_MALFORMED], 1);
    await_open(fixture, 0);
}

static void a_client_that_goes_before_a_large_reply_does_no_harm(void **state) {
    struct fixture *fixture = *state;
    for (int i = 0; i < 20; i++) {
        int fd = client_connect(fixture);
        client_send(fd, GET("/size?n=10000000") GET("/now"));
        reset(fd);
    }
    await_open(fixture, 0);
    int fd = client_connect(fixture);
    client_send(fd, GET("/now"));
    client_expect(fd, 200, "now");
    close(fd);
}

static void a_slow_reader_gets_a_large_reply_whole(void **state) {
    int fd = client_connect(*state);
    client_send(fd, GET("/size?n=20000000") GET("/now"));
    struct reply reply = client_receive(fd, false);
    assert_int_equal(reply.body_size, 20000000);
    for (size_t i = 0; i < reply.body_size; i++) {
        if (reply.body[i] != 'z') {
            fail_msg("byte %zu is wrong", i);
        }
    }
    reply_done(&reply);
    client_expect(fd, 200, "now");
    close(fd);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        SERVED(a_request_is_answered),
        SERVED(a_connection_serves_many_requests),
        SERVED(fifty_pipelined_requests_are_answered_in_order),
        SERVED(pipelined_requests_wait_for_a_reply_that_comes_later),
        SERVED(more_is_pipelined_than_is_kept),
        SERVED(pipelined_replies_larger_than_the_kernel_takes_arrive),
        SERVED(replies_given_in_turn_end_let_pipelined_requests_pass),
        SERVED(a_request_may_come_byte_by_byte),
        SERVED(answers_do_not_depend_on_how_requests_are_cut),
        SERVED(a_reply_to_another_connection_does_not_mix_with_ones_own),
        SERVED(replies_to_many_connections_at_once_let_each_go_on),
        SERVED(a_body_may_come_after_its_head),
        SERVED(a_chunked_body_is_decoded),
        SERVED(a_chunked_body_may_come_after_its_head),
        SERVED(head_gets_the_same_head_without_a_body),
        SERVED(no_content_has_no_length),
        SERVED(a_client_that_waits_is_told_to_continue),
        SERVED(a_client_that_does_not_wait_is_not_told),
        SERVED(what_cannot_be_understood_is_refused_and_closed),
        SERVED(a_body_within_the_limit_is_taken),
        SERVED(a_head_that_never_ends_is_refused),
        SERVED(pipelined_requests_before_a_bad_one_are_answered),
        SERVED(a_connection_closes_when_either_side_wants),
        SERVED(an_old_client_may_ask_to_stay),
        SERVED(a_refusal_by_the_head_keeps_the_connection_without_a_body),
        SERVED(a_refusal_by_the_head_closes_with_a_body),
        SERVED(an_answer_is_not_lost_to_input_that_nobody_reads),
        SERVED(a_lingering_connection_drops_only_so_much),
        SERVED(a_client_that_has_said_all_is_still_answered),
        SERVED(the_end_of_input_closes_between_requests_and_within_a_head),
        SERVED(the_end_of_input_within_a_body_is_refused),
        SERVED(an_exchange_outlives_its_client),
        SERVED(a_client_that_goes_within_its_body_ends_the_exchange),
        SERVED(a_client_that_goes_before_a_large_reply_does_no_harm),
        SERVED(a_slow_reader_gets_a_large_reply_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

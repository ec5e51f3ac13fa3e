/* Deadlines and limits on connections. Deadlines are short here; a test never relies on
 * anything being fast, only on it not happening too early. */
#include "fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define SHORT     MS(150)
#define EARLY_US  MS(1) /* libuv's clock is in whole milliseconds */

static void idle_connections_close_without_an_answer(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.idle_deadline_us = SHORT;
    fixture_start(&fixture);
    int64_t begun = clock_monotonic_us();
    int fd = client_connect(&fixture);
    int served = client_connect(&fixture);
    client_send(served, GET("/now"));
    client_expect(served, 200, "now");
    client_expect_end(fd);
    assert_true(clock_monotonic_us() - begun >= SHORT - EARLY_US);
    client_expect_end(served);
    assert_int_equal(atomic_load(&fixture.refusals[HTTP_REFUSED_TIMEOUT]), 0);
    fixture_stop(&fixture);
}

/* Sends `start`, then `drop` again and again, which must not put the deadline off. */
static void trickle(struct fixture *fixture, const char *first, const char *drop) {
    int fd = client_connect(fixture);
    int64_t begun = clock_monotonic_us();
    client_send(fd, first);
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    int64_t waited = 0;
    while (poll(&waiting, 1, 5) == 0) {
        send(fd, drop, strlen(drop), MSG_NOSIGNAL);
        waited = clock_monotonic_us() - begun;
        assert_true(waited < MS(PATIENCE_MS));
    }
    assert_true(clock_monotonic_us() - begun >= SHORT - EARLY_US);
    struct reply reply = client_receive(fd, false);
    assert_int_equal(reply.status, 408);
    assert_true(reply_has(&reply, "Connection: close"));
    reply_done(&reply);
    shutdown(fd, SHUT_WR);
    client_expect_end(fd);
}

static void a_trickling_head_is_refused(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.head_deadline_us = SHORT;
    fixture_start(&fixture);
    trickle(&fixture, "GET /", "a");
    trickle(&fixture, "GET / HTTP/1.1\r\n", "X: y\r\n");
    assert_int_equal(atomic_load(&fixture.refusals[HTTP_REFUSED_TIMEOUT]), 2);
    fixture_stop(&fixture);
}

static void a_trickling_body_is_refused(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.body_deadline_us = SHORT;
    fixture_start(&fixture);
    trickle(&fixture, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "a");
    trickle(&fixture, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\na\r\n");
    assert_int_equal(atomic_load(&fixture.refusals[HTTP_REFUSED_TIMEOUT]), 2);
    assert_int_equal(atomic_load(&fixture.requests), 0);
    fixture_stop(&fixture);
}

static void a_late_head_after_a_request_is_refused_from_its_own_start(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.head_deadline_us = SHORT;
    fixture_start(&fixture);
    int fd = client_connect(&fixture);
    client_send(fd, GET("/now") "GET ");
    int64_t begun = clock_monotonic_us();
    client_expect(fd, 200, "now");
    client_expect(fd, 408, NULL);
    assert_true(clock_monotonic_us() - begun >= SHORT - MS(20));
    client_expect_end(fd);
    fixture_stop(&fixture);
}

static void a_request_that_is_being_answered_has_no_deadline(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.head_deadline_us = MS(20);
    fixture.options.body_deadline_us = MS(20);
    fixture.options.idle_deadline_us = MS(50);
    fixture_start(&fixture);
    int fd = client_connect(&fixture);
    client_send(fd, GET("/later"));
    await_count(&fixture.waiting, 1);
    int idle = client_connect(&fixture);
    client_expect_end(idle); /* the deadline of an idle one passes meanwhile */
    fixture_release(&fixture);
    client_expect(fd, 200, "later");
    client_expect_end(fd);
    fixture_stop(&fixture);
}

static void what_arrived_while_the_loop_was_busy_is_not_late(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.head_deadline_us = MS(50);
    fixture_start(&fixture);
    int fd = client_connect(&fixture);
    client_send(fd, GET("/stall") "GET /now HTTP/1.1\r\nHo");
    await_count(&fixture.requests, 1);
    client_send(fd, "st: a\r\n\r\n");
    struct pollfd nothing = {.fd = -1};
    poll(&nothing, 1, 150); /* well past the deadline */
    atomic_store(&fixture.stall_over, true);
    client_expect(fd, 200, "now");
    client_expect(fd, 200, "now");
    close(fd);
    fixture_stop(&fixture);
}

static void a_client_that_does_not_read_is_cut(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.idle_deadline_us = SHORT;
    fixture_start(&fixture);
    int fd = client_connect(&fixture);
    client_send(fd, GET("/size?n=50000000"));
    await_count(&fixture.replies, 1);
    await_open(&fixture, 0);
    close(fd);
    fixture_stop(&fixture);
}

static void a_client_that_reads_slowly_is_not_cut(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.idle_deadline_us = SHORT;
    fixture_start(&fixture);
    int fd = client_connect(&fixture);
    int small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    client_send(fd, GET("/size?n=20000000"));
    char *room = malloc(200000);
    size_t total = 0;
    int64_t begun = clock_monotonic_us();
    while (total < 20000000) { /* 100 pieces, 5 ms apart: several deadlines long */
        struct pollfd nothing = {.fd = -1};
        poll(&nothing, 1, 5);
        for (size_t piece = 0; piece < 200000 && total < 20000000;) {
            ssize_t got = recv(fd, room, 200000 - piece, 0);
            assert_true(got > 0);
            piece += (size_t)got;
            total += (size_t)got;
        }
    }
    assert_true(clock_monotonic_us() - begun > 2 * SHORT);
    free(room);
    close(fd);
    fixture_stop(&fixture);
}

static void a_lingering_connection_is_closed_in_the_end(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.linger_us = SHORT;
    fixture_start(&fixture);
    int fd = client_connect(&fixture);
    client_send(fd, GET("/close"));
    int64_t begun = clock_monotonic_us();
    client_expect(fd, 200, "now");
    await_open(&fixture, 0); /* although the client never closes */
    assert_true(clock_monotonic_us() - begun >= SHORT - MS(20));
    close(fd);
    fixture_stop(&fixture);
}

static void beyond_the_maximum_connections_are_told_so(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.connections_max = 3;
    fixture_start(&fixture);
    int fds[3];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = client_connect(&fixture);
        client_send(fds[i], GET("/now"));
        client_expect(fds[i], 200, "now");
    }
    int extra = client_connect(&fixture);
    client_expect(extra, 503, NULL);
    client_expect_end(extra);
    extra = client_connect(&fixture);
    client_send(extra, GET("/now")); /* unread input must not cost it the answer */
    client_expect(extra, 503, NULL);
    client_expect_end(extra);
    assert_int_equal(atomic_load(&fixture.refusals[HTTP_REFUSED_CROWDED]), 2);
    close(fds[0]);
    await_open(&fixture, 2);
    extra = client_connect(&fixture);
    client_send(extra, GET("/now"));
    client_expect(extra, 200, "now");
    close(extra);
    close(fds[1]);
    close(fds[2]);
    fixture_stop(&fixture);
}

static void far_beyond_the_maximum_connections_are_closed_at_once(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.connections_max = 1;
    fixture_start(&fixture);
    int fds[200];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = client_connect(&fixture);
    }
    client_send(fds[0], GET("/now"));
    client_expect(fds[0], 200, "now");
    int last = client_connect(&fixture);
    client_expect_end(last);
    assert_int_equal(atomic_load(&fixture.refusals[HTTP_REFUSED_CROWDED]), 64);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        close(fds[i]);
    }
    fixture_stop(&fixture);
}

static int64_t cpu_us(void) {
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * US_PER_SECOND + spent.tv_nsec / 1000;
}

/* Out of descriptors, clients are turned away; the loop must neither spin nor die. */
static void without_descriptors_the_loop_stays_calm(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_start(&fixture);
    int served = client_connect(&fixture);
    client_send(served, GET("/now"));
    client_expect(served, 200, "now");
    int fds[8];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit tight = {.rlim_cur = (rlim_t)fds[COUNT_OF(fds) - 1] + 1,
                           .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &tight);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(fixture.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
        client_expect_end(fds[i]);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
    }
    assert_true(http_server_figures(fixture.server).connections_turned_away == COUNT_OF(fds));
    int64_t spent = cpu_us();
    struct pollfd nothing = {.fd = -1};
    poll(&nothing, 1, 200); /* a span to measure over */
    assert_true(cpu_us() - spent < MS(100));
    client_send(served, GET("/now"));
    client_expect(served, 200, "now");
    setrlimit(RLIMIT_NOFILE, &before);
    int later = client_connect(&fixture);
    client_send(later, GET("/now"));
    client_expect(later, 200, "now");
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        close(fds[i]);
    }
    close(later);
    close(served);
    fixture_stop(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_close_without_an_answer),
        cmocka_unit_test(a_trickling_head_is_refused),
        cmocka_unit_test(a_trickling_body_is_refused),
        cmocka_unit_test(a_late_head_after_a_request_is_refused_from_its_own_start),
        cmocka_unit_test(a_request_that_is_being_answered_has_no_deadline),
        cmocka_unit_test(what_arrived_while_the_loop_was_busy_is_not_late),
        cmocka_unit_test(a_client_that_does_not_read_is_cut),
        cmocka_unit_test(a_client_that_reads_slowly_is_not_cut),
        cmocka_unit_test(a_lingering_connection_is_closed_in_the_end),
        cmocka_unit_test(beyond_the_maximum_connections_are_told_so),
        cmocka_unit_test(far_beyond_the_maximum_connections_are_closed_at_once),
        cmocka_unit_test(without_descriptors_the_loop_stays_calm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

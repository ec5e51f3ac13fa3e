/* Starting, sharing a port, draining. */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static int try_start(const struct http_options *options, struct fixture *fixture,
                     struct complaint *complaint) {
    struct http_handler handler = fixture_handler(fixture);
    struct http_server *server = NULL;
    int status = http_server_start(options, &handler, &server, complaint);
    if (status == STATUS_OK) {
        http_server_stop(server, 0);
        http_server_free(server);
    } else {
        assert_null(server);
        assert_true(strlen(complaint->text) > 0);
    }
    return status;
}

static void the_defaults_are_those_that_are_told(void **state) {
    struct http_options options;
    (void)state;
    http_options_default(&options);
    assert_string_equal(options.host, "127.0.0.1");
    assert_int_equal(options.port, 8080);
    assert_int_equal(options.loop_count, 1);
    assert_int_equal(options.connections_max, 10000);
    assert_int_equal(options.head_deadline_us, 5000000);
    assert_int_equal(options.body_deadline_us, 5000000);
    assert_int_equal(options.idle_deadline_us, 60000000);
    assert_int_equal(options.linger_us, 2000000);
}

static void a_port_taken_by_a_server_is_busy(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.loop_count = 2;
    fixture_start(&fixture);
    struct fixture other;
    fixture_init(&other);
    other.options.port = fixture.port;
    for (unsigned loops = 1; loops <= 2; loops++) {
        other.options.loop_count = loops;
        assert_int_equal(try_start(&other.options, &other, &other.complaint), STATUS_BUSY);
    }
    other.options.host = "0.0.0.0";
    assert_int_equal(try_start(&other.options, &other, &other.complaint), STATUS_BUSY);
    fixture_stop(&fixture);
    fixture_init(&other);
    other.options.port = fixture.port;
    assert_int_equal(try_start(&other.options, &other, &other.complaint), STATUS_OK);
}

static int listen_plainly(bool shared, uint16_t *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    socklen_t size = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &size);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void a_port_taken_by_anybody_is_busy(void **state) {
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct fixture fixture;
        fixture_init(&fixture);
        int fd = listen_plainly(shared == 1, &fixture.options.port);
        assert_int_equal(try_start(&fixture.options, &fixture, &fixture.complaint), STATUS_BUSY);
        close(fd);
    }
}

struct race {
    uint16_t port;
    pthread_barrier_t barrier;
    atomic_uint winners;
};

static void *race_main(void *argument) {
    struct race *race = argument;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.port = race->port;
    fixture.options.loop_count = 2;
    struct http_handler handler = fixture_handler(&fixture);
    pthread_barrier_wait(&race->barrier);
    int status = http_server_start(&fixture.options, &handler, &fixture.server, &fixture.complaint);
    assert(status == STATUS_OK || status == STATUS_BUSY);
    pthread_barrier_wait(&race->barrier);
    if (status == STATUS_OK) {
        atomic_fetch_add(&race->winners, 1);
        http_server_stop(fixture.server, 0);
        http_server_free(fixture.server);
    }
    return NULL;
}

static void of_many_starts_at_once_at_most_one_gets_the_port(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct race race = {0};
        close(listen_plainly(false, &race.port));
        pthread_t threads[4];
        pthread_barrier_init(&race.barrier, NULL, COUNT_OF(threads));
        for (size_t i = 0; i < COUNT_OF(threads); i++) {
            pthread_create(&threads[i], NULL, race_main, &race);
        }
        for (size_t i = 0; i < COUNT_OF(threads); i++) {
            pthread_join(threads[i], NULL);
        }
        assert_true(atomic_load(&race.winners) <= 1);
        pthread_barrier_destroy(&race.barrier);
    }
}

static void a_wrong_address_is_invalid(void **state) {
    (void)state;
    static const char *const hosts[] = {"localhost", "",    "127.0.0.1:80",
                                        "300.0.0.1", "::g", "203.0.113.1"};
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture.options.host = hosts[i];
        assert_int_equal(try_start(&fixture.options, &fixture, &fixture.complaint), STATUS_INVALID);
    }
}

static void ipv6_is_served(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.host = "::1";
    fixture.options.loop_count = 2;
    struct http_handler handler = fixture_handler(&fixture);
    if (http_server_start(&fixture.options, &handler, &fixture.server, &fixture.complaint) ==
        STATUS_INVALID) {
        skip(); /* this machine has no IPv6 */
    }
    fixture.port = http_server_port(fixture.server);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(fixture.port)};
    address.sin6_addr = in6addr_loopback;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    client_send(fd, GET("/now"));
    client_expect(fd, 200, "now");
    close(fd);
    fixture_stop(&fixture);
}

static void all_loops_get_connections(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.loop_count = 2;
    fixture_start(&fixture);
    assert_int_equal(fixture.loop_count, 2);
    int fds[100];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = client_connect(&fixture);
        client_send(fds[i], i % 2 ? GET("/later") : GET("/turn"));
    }
    await_count(&fixture.waiting, COUNT_OF(fds) / 2);
    fixture_release(&fixture);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        client_expect(fds[i], 200, i % 2 ? "later" : "turn");
        close(fds[i]);
    }
    struct http_figures figures = http_server_figures(fixture.server);
    assert_true(figures.connections_accepted == COUNT_OF(fds));
    assert_true(figures.requests == COUNT_OF(fds));
    fixture_stop(&fixture);
}

static void a_loop_that_cannot_start_ends_the_others(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.loop_count = 3;
    fixture.loop_start_status = STATUS_FULL;
    assert_int_equal(try_start(&fixture.options, &fixture, &fixture.complaint), STATUS_FULL);
    assert_int_equal(atomic_load(&fixture.stopped_loops), 2);
}

static void *stop_main(void *argument) {
    struct fixture *fixture = argument;
    http_server_stop(fixture->server, DRAIN_LONG);
    return NULL;
}

/* Draining has begun, and the idle were cut, once this returns the thread that stops the server. */
static pthread_t begin_to_stop(struct fixture *fixture) {
    pthread_t stopper;
    int idle = client_connect(fixture);
    client_send(idle, GET("/now"));
    client_expect(idle, 200, "now");
    assert_int_equal(pthread_create(&stopper, NULL, stop_main, fixture), 0);
    client_expect_end(idle);
    return stopper;
}

static void a_request_under_way_is_answered_while_draining(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_start(&fixture);
    int fd = client_connect(&fixture);
    client_send(fd, GET("/later"));
    await_count(&fixture.waiting, 1);
    pthread_t stopper = begin_to_stop(&fixture);
    client_send(fd, GET("/now"));
    fixture_release(&fixture);
    struct reply reply = client_receive(fd, false);
    assert_int_equal(reply.status, 200);
    assert_true(reply_has(&reply, "Connection: close"));
    reply_done(&reply);
    client_expect_end(fd);
    pthread_join(stopper, NULL);
    assert_int_equal(atomic_load(&fixture.requests), 2);
    assert_int_equal(atomic_load(&fixture.stopped_loops), 1);
    http_server_free(fixture.server);
}

/* Its answer began before the stop, so it does not say "close": the end is told by closing. */
static void who_reads_slowly_holds_up_no_stop_once_all_is_read(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.linger_us = MS(50);
    fixture_start(&fixture);
    int slow = client_connect(&fixture);
    client_send(slow, GET("/size?n=50000000"));
    await_count(&fixture.replies, 1);
    pthread_t stopper = begin_to_stop(&fixture);
    struct reply reply = client_receive(slow, false);
    assert_int_equal(reply.body_size, 50000000);
    reply_done(&reply);
    client_expect_end(slow);
    pthread_join(stopper, NULL);
    http_server_free(fixture.server);
}

static void what_waits_in_the_backlog_is_answered_while_draining(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture.options.linger_us = MS(50);
        fixture_start(&fixture);
        int fds[50];
        for (size_t i = 0; i < COUNT_OF(fds); i++) {
            fds[i] = client_connect(&fixture);
            client_send(fds[i], GET("/turn"));
        }
        fixture_stop(&fixture);
        for (size_t i = 0; i < COUNT_OF(fds); i++) {
            client_expect(fds[i], 200, "turn");
            client_expect_end(fds[i]);
        }
    }
}

static void the_deadline_cuts_what_does_not_end(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_start(&fixture);
    int half = client_connect(&fixture);
    client_send(half, "GET / HT");
    int body = client_connect(&fixture);
    client_send(body, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    int slow = client_connect(&fixture);
    client_send(slow, GET("/size?n=50000000"));
    await_count(&fixture.heads, 2);
    await_count(&fixture.replies, 1);
    int64_t begun = clock_monotonic_us();
    http_server_stop(fixture.server, MS(100));
    assert_true(clock_monotonic_us() - begun >= MS(99));
    assert_int_equal(atomic_load(&fixture.heads), atomic_load(&fixture.replies));
    http_server_free(fixture.server);
    close(half);
    close(body);
    close(slow);
}

struct crowd {
    const struct fixture *fixture;
    atomic_uint answered;
    atomic_uint cut; /* a reply that began and did not end, or came garbled */
};

/* Asks over and over, on one connection after another, until nobody listens. */
static void *crowd_main(void *argument) {
    struct crowd *crowd = argument;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(crowd->fixture->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static const char request[] = GET("/turn");
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
            close(fd);
            return NULL;
        }
        for (;;) {
            char text[1024];
            size_t size = 0;
            ssize_t got = send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
            while (got > 0 && (size < 4 || memcmp(text + size - 4, "turn", 4) != 0)) {
                got = recv(fd, text + size, sizeof text - size, 0);
                size += got > 0 ? (size_t)got : 0;
            }
            if (got <= 0) {
                atomic_fetch_add(&crowd->cut, size > 0 ? 1 : 0);
                break;
            }
            atomic_fetch_add(&crowd->answered, 1);
        }
        close(fd);
    }
}

static void draining_under_load_cuts_no_reply(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture.options.loop_count = 2;
        fixture_start(&fixture);
        struct crowd crowd = {.fixture = &fixture};
        pthread_t threads[16];
        for (size_t i = 0; i < COUNT_OF(threads); i++) {
            pthread_create(&threads[i], NULL, crowd_main, &crowd);
        }
        await_count(&crowd.answered, 2000);
        fixture_stop(&fixture);
        for (size_t i = 0; i < COUNT_OF(threads); i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(atomic_load(&crowd.cut), 0);
        assert_int_equal(atomic_load(&crowd.answered), atomic_load(&fixture.replies));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_that_are_told),
        cmocka_unit_test(a_port_taken_by_a_server_is_busy),
        cmocka_unit_test(a_port_taken_by_anybody_is_busy),
        cmocka_unit_test(of_many_starts_at_once_at_most_one_gets_the_port),
        cmocka_unit_test(a_wrong_address_is_invalid),
        cmocka_unit_test(ipv6_is_served),
        cmocka_unit_test(all_loops_get_connections),
        cmocka_unit_test(a_loop_that_cannot_start_ends_the_others),
        cmocka_unit_test(a_request_under_way_is_answered_while_draining),
        cmocka_unit_test(who_reads_slowly_holds_up_no_stop_once_all_is_read),
        cmocka_unit_test(what_waits_in_the_backlog_is_answered_while_draining),
        cmocka_unit_test(the_deadline_cuts_what_does_not_end),
        cmocka_unit_test(draining_under_load_cuts_no_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the kernel, libuv and memory refuse: a start that fails leaves nothing behind, and a
 * connection that fails takes no other one along. */
#include "faults.h"
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED    "Transfer-Encoding: chunked\r\n\r\n"
#define LARGE      100000 /* bytes: an allocation for a reply, not for anything else */
#define CALLS_MIN  20     /* a start of two loops makes more calls that can fail */

static unsigned open_files(void) {
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    unsigned count = 0;
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* ---- the start -------------------------------------------------------------------------- */

static int start_and_stop(struct fixture *fixture) {
    struct http_handler handler = fixture_handler(fixture);
    fixture->server = NULL;
    fixture->complaint.text[0] = '\0';
    int status =
        http_server_start(&fixture->options, &handler, &fixture->server, &fixture->complaint);
    if (status == STATUS_OK) {
        http_server_stop(fixture->server, 0);
        http_server_free(fixture->server);
    }
    return status;
}

/* Fails one call after the other until a start makes no more of them. Returns their number. */
static unsigned fail_each_call_of_a_start(const char *name) {
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.loop_count = 2;
    assert_int_equal(start_and_stop(&fixture), STATUS_OK);
    unsigned before = open_files();
    for (unsigned nth = 1;; nth++) {
        fixture_init(&fixture);
        fixture.options.loop_count = 2;
        fault_arm((struct fault){.name = name, .nth = nth, .here_only = true});
        int status = start_and_stop(&fixture);
        if (!fault_disarm()) {
            assert_int_equal(status, STATUS_OK);
            return nth - 1;
        }
        assert_int_equal(open_files(), before);
        if (status != STATUS_OK) {
            assert_null(fixture.server);
            assert_true(strlen(fixture.complaint.text) > 0);
        }
        assert_int_equal(atomic_load(&fixture.stopped_loops), fixture.loop_count);
    }
}

static void a_start_of_which_any_call_fails_leaves_nothing_behind(void **state) {
    (void)state;
    assert_true(fail_each_call_of_a_start(NULL) >= CALLS_MIN);
}

static void a_start_says_what_failed(void **state) {
    (void)state;
    static const struct {
        const char *name;
        unsigned nth;
        int status;
    } cases[] = {
        {"calloc", 1, STATUS_NO_MEMORY},  {"calloc", 2, STATUS_NO_MEMORY},
        {"calloc", 3, STATUS_NO_MEMORY},  {"malloc", 1, STATUS_NO_MEMORY},
        {"malloc", 2, STATUS_NO_MEMORY},  {"socket", 1, STATUS_IO},
        {"socket", 2, STATUS_IO},         {"setsockopt", 1, STATUS_IO},
        {"listen", 1, STATUS_IO},         {"getsockname", 1, STATUS_IO},
        {"pthread_create", 1, STATUS_IO}, {"pthread_create", 2, STATUS_IO},
        {"uv_loop_init", 1, STATUS_IO},   {"uv_loop_init", 2, STATUS_IO},
        {"uv_async_init", 2, STATUS_IO},  {"uv_poll_init", 1, STATUS_IO},
        {"uv_poll_init", 2, STATUS_IO},   {"uv_poll_start", 1, STATUS_IO},
        {"sem_wait", 1, STATUS_OK},       {"sem_wait", 2, STATUS_OK},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture.options.loop_count = 2;
        fault_arm((struct fault){cases[i].name, cases[i].nth, 0, .here_only = true});
        int status = start_and_stop(&fixture);
        assert_true(fault_disarm());
        if (status != cases[i].status) {
            fail_msg("%s %u: %s", cases[i].name, cases[i].nth, status_name(status));
        }
    }
}

static void loops_that_cannot_learn_their_cores_serve_all_the_same(void **state) {
    (void)state;
    for (unsigned failing = 0; failing < 2; failing++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture.options.pin_loops = true;
        fault_arm((struct fault){.name = "sched_getaffinity", .nth = failing});
        fixture_start(&fixture);
        int fd = client_connect(&fixture);
        client_send(fd, GET("/now"));
        client_expect(fd, 200, "now");
        assert_int_equal(fault_disarm(), failing);
        close(fd);
        fixture_stop(&fixture);
    }
}

/* A loop's start tells on how many cores its thread may run. */
static int note_cores(void *context, struct http_loop *loop, void **ret_loop_context) {
    (void)loop;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    *(int *)context = CPU_COUNT(&allowed);
    *ret_loop_context = NULL;
    return STATUS_OK;
}

static int cores_of_a_loop(bool pinned) {
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.pin_loops = pinned;
    int cores = 0;
    struct http_handler handler = fixture_handler(&fixture);
    handler.context = &cores;
    handler.loop_start = note_cores;
    handler.loop_stop = NULL;
    int status = http_server_start(&fixture.options, &handler, &fixture.server, &fixture.complaint);
    assert_int_equal(status, STATUS_OK);
    http_server_stop(fixture.server, 0);
    http_server_free(fixture.server);
    return cores;
}

static void a_loop_stays_on_one_core_when_it_is_told_to(void **state) {
    (void)state;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    assert_int_equal(cores_of_a_loop(true), 1);
    assert_int_equal(cores_of_a_loop(false), CPU_COUNT(&allowed));
}

static void a_signal_while_a_loop_waits_for_its_start_does_no_harm(void **state) {
    (void)state;
    for (unsigned nth = 1; nth <= 3; nth++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fault_arm((struct fault){.name = "sem_wait", .nth = nth});
        fixture_start(&fixture);
        int fd = client_connect(&fixture);
        client_send(fd, GET("/now"));
        client_expect(fd, 200, "now");
        fault_disarm();
        close(fd);
        fixture_stop(&fixture);
    }
}

/* ---- a handler that has only what it must have ------------------------------------------- */

static int64_t plain_head(void *context, struct http_exchange *exchange,
                          const struct http_head *head) {
    (void)exchange;
    (void)head;
    assert_null(context);
    return 0;
}

static void plain_request(void *context, struct http_exchange *exchange,
                          const struct http_head *head, struct slice body) {
    (void)context;
    assert_true(slice_is(head->path, "/") && body.size == 0);
    http_reply(exchange, &(struct http_response){.status = 204});
}

static void plain_refusal(void *context, struct http_exchange *exchange, enum http_refusal refusal,
                          const char *why) {
    (void)context;
    (void)refusal;
    http_reply(exchange, &(struct http_response){.status = 400, .body = slice_of(why)});
}

static void a_handler_may_do_without_all_that_is_optional(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct http_handler handler = {
        .head = plain_head, .request = plain_request, .refused = plain_refusal};
    int status = http_server_start(&fixture.options, &handler, &fixture.server, &fixture.complaint);
    assert_int_equal(status, STATUS_OK);
    fixture.port = http_server_port(fixture.server);
    int fd = client_connect(&fixture);
    client_send(fd, GET("/") GET("/"));
    client_expect(fd, 204, "");
    client_expect(fd, 204, "");
    client_send(fd, POST("/") "Content-Length: 1\r\n\r\n");
    client_expect(fd, 400, NULL);
    client_expect_end(fd);
    http_server_stop(fixture.server, DRAIN_LONG);
    assert_true(http_server_figures(fixture.server).requests == 3);
    http_server_free(fixture.server);
}

/* ---- a connection ------------------------------------------------------------------------ */

static int stop(void **state) {
    fault_disarm();
    return fixture_teardown(state);
}

/* Reads until the server closes: whatever was on its way may still come, but no whole reply. */
static void expect_cut(int fd, size_t reply_size) {
    char room[65536];
    size_t size = 0;
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t got;
    while ((got = recv(fd, room, sizeof room, 0)) > 0) {
        size += (size_t)got;
    }
    assert_true(got == 0 || errno == ECONNRESET);
    assert_true(size < reply_size);
    close(fd);
}

static void expect_others_are_served(struct fixture *fixture) {
    await_open(fixture, 0);
    int fd = client_connect(fixture);
    client_send(fd, POST("/echo") CHUNKED "2\r\nab\r\n0\r\n\r\n");
    client_expect(fd, 200, "ab");
    close(fd);
    await_open(fixture, 0);
}

/* Arms the fault, has a client say all that, and expects that it is let go and nobody else is. */
static void fail_a_request(struct fixture *fixture, struct fault fault, const char *text,
                           size_t reply_size) {
    fault_arm(fault);
    int fd = client_connect(fixture);
    send(fd, text, strlen(text), MSG_NOSIGNAL); /* it may be closed already */
    expect_cut(fd, reply_size);
    assert_true(fault_disarm());
    expect_others_are_served(fixture);
}

static void a_connection_that_cannot_be_taken_is_closed(void **state) {
    fail_a_request(*state, (struct fault){.name = "uv_tcp_open", .nth = 1}, GET("/now"), 1);
    fail_a_request(*state, (struct fault){.name = "uv_read_start", .nth = 1}, GET("/now"), 1);
}

static void a_connection_that_there_is_nothing_to_take_with_is_taken_later(void **state) {
    static const struct fault faults[] = {{.name = "calloc", .nth = 1},
                                          {.name = "uv_tcp_init", .nth = 1},
                                          {.name = "accept4", .nth = 1}};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        fault_arm(faults[i]);
        int fd = client_connect(*state);
        client_send(fd, GET("/now"));
        struct reply reply = client_receive(fd, false);
        assert_true(fault_disarm());
        assert_int_equal(reply.status, 200);
        reply_done(&reply);
        close(fd);
        expect_others_are_served(*state);
    }
}

static void await_fault(void) {
    for (int i = 0; i < PATIENCE_MS && !fault_happened(); i++) {
        usleep(1000);
    }
    assert_true(fault_happened());
}

/* In a span of some ticks there are so many attempts; a loop that spins makes thousands. Without
 * memory, and where a security module of the kernel refuses. */
static void while_nobody_can_be_taken_the_loop_stays_calm(void **state) {
    static const int errors[] = {ENOMEM, EACCES, EPERM};
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct pollfd nothing = {.fd = -1};
        fault_arm((struct fault){.name = "accept4", .nth = 1, .lasts = true, .error = errors[i]});
        int fd = client_connect(*state);
        client_send(fd, GET("/now"));
        await_fault();
        poll(&nothing, 1, 100);
        assert_in_range(fault_happened(), 1, 200);
        assert_true(fault_disarm());
        client_expect(fd, 200, "now");
        close(fd);
        expect_others_are_served(*state);
    }
}

/* Such an error is of one who came, and the next one is behind: no tick is waited for. */
static void who_was_cut_off_before_being_taken_holds_nobody_up(void **state) {
    fault_arm((struct fault){.name = "accept4", .nth = 1, .error = ECONNABORTED});
    int fd = client_connect(*state);
    client_send(fd, GET("/now"));
    client_expect(fd, 200, "now");
    assert_true(fault_disarm());
    close(fd);
}

static void a_connection_that_is_owed_at_the_stop_holds_nothing_up(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture_start(&fixture);
    fault_arm((struct fault){.name = "calloc", .nth = 1});
    int fd = client_connect(&fixture);
    await_fault();
    fault_disarm();
    fixture_stop(&fixture);
    close(fd);
}

static void a_reply_that_cannot_be_written_ends_the_connection(void **state) {
    static const char *const requests[] = {
        GET("/now"),      GET("/turn"),  GET("/forbidden"),
        "broken\r\n\r\n", GET("/close"), GET("/now") GET("/now"),
    };
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        fail_a_request(*state, (struct fault){.name = "uv_try_write", .nth = 1}, requests[i], 1);
    }
    struct fault no_memory = {.name = "realloc", .nth = 1, .size_min = LARGE};
    fail_a_request(*state, no_memory, GET("/size?n=300000"), 300000);
}

static void the_rest_of_a_reply_that_cannot_be_written_ends_the_connection(void **state) {
    static const size_t size = 16000000;
    struct fault no_memory = {.name = "malloc", .nth = 2, .size_min = LARGE};
    fail_a_request(*state, no_memory, GET("/size?n=16000000"), size);
    struct fault no_write = {.name = "uv_write", .nth = 1};
    fail_a_request(*state, no_write, GET("/size?n=16000000"), size);
}

/* The input of an idle connection is full with what it pipelined, so that nothing is read from it
 * and the failed write is what tells. */
static void a_client_that_resets_while_its_reply_waits_is_let_go(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, GET("/size?n=16000000"));
    await_count(&fixture->replies, 1);
    for (int i = 0; i < 1000; i++) {
        client_send(fd, GET("/turn"));
    }
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    expect_others_are_served(fixture);
}

static void input_that_cannot_be_kept_ends_the_connection(void **state) {
    struct fault no_memory = {.name = "realloc", .nth = 1};
    fail_a_request(*state, no_memory, "GET /no", 1);
    fail_a_request(*state, no_memory, POST("/echo") CHUNKED "3\r\nabc\r\n", 1);
    fail_a_request(*state, no_memory, POST("/echo") "Content-Length: 10\r\n\r\nabc", 1);
}

static void a_pipelined_request_that_cannot_be_kept_ends_the_connection(void **state) {
    struct fixture *fixture = *state;
    int fd = client_connect(fixture);
    client_send(fd, GET("/later"));
    await_count(&fixture->waiting, 1);
    fault_arm((struct fault){.name = "realloc", .nth = 1});
    client_send(fd, GET("/now"));
    expect_cut(fd, 1);
    assert_true(fault_disarm());
    fixture_release(fixture);
    expect_others_are_served(fixture);
}

static void a_client_that_cannot_be_told_to_finish_is_closed_at_once(void **state) {
    struct fixture *fixture = *state;
    fault_arm((struct fault){.name = "shutdown", .nth = 1});
    int fd = client_connect(fixture);
    client_send(fd, GET("/close"));
    client_expect(fd, 200, "now");
    client_expect_end(fd);
    assert_true(fault_disarm());
    expect_others_are_served(fixture);
}

static void too_slow_a_body_whose_refusal_cannot_be_written_is_let_go(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.options.body_deadline_us = MS(20);
    fixture_start(&fixture);
    struct fault no_write = {.name = "uv_try_write", .nth = 1};
    fail_a_request(&fixture, no_write, POST("/echo") "Content-Length: 10\r\n\r\nabc", 1);
    assert_int_equal(atomic_load(&fixture.refusals[HTTP_REFUSED_TIMEOUT]), 1);
    assert_int_equal(atomic_load(&fixture.refusals[HTTP_REFUSED_MALFORMED]), 0);
    fixture_stop(&fixture);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, fixture_setup, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_of_which_any_call_fails_leaves_nothing_behind),
        cmocka_unit_test(a_start_says_what_failed),
        cmocka_unit_test(loops_that_cannot_learn_their_cores_serve_all_the_same),
        cmocka_unit_test(a_loop_stays_on_one_core_when_it_is_told_to),
        cmocka_unit_test(a_signal_while_a_loop_waits_for_its_start_does_no_harm),
        cmocka_unit_test(a_handler_may_do_without_all_that_is_optional),
        SERVED(a_connection_that_cannot_be_taken_is_closed),
        SERVED(a_connection_that_there_is_nothing_to_take_with_is_taken_later),
        SERVED(while_nobody_can_be_taken_the_loop_stays_calm),
        SERVED(who_was_cut_off_before_being_taken_holds_nobody_up),
        cmocka_unit_test(a_connection_that_is_owed_at_the_stop_holds_nothing_up),
        SERVED(a_reply_that_cannot_be_written_ends_the_connection),
        SERVED(the_rest_of_a_reply_that_cannot_be_written_ends_the_connection),
        SERVED(a_client_that_resets_while_its_reply_waits_is_let_go),
        SERVED(input_that_cannot_be_kept_ends_the_connection),
        SERVED(a_pipelined_request_that_cannot_be_kept_ends_the_connection),
        SERVED(a_client_that_cannot_be_told_to_finish_is_closed_at_once),
        cmocka_unit_test(too_slow_a_body_whose_refusal_cannot_be_written_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

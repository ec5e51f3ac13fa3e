/* load-client's pieces: latencies within 1 %, replies found wherever they are cut, requests whole.
 */
#include "load/latency.h"
#include "load/reply.h"
#include "load/request.h"

#include "../base/test.h"

#include <stdlib.h>

/* ---- latency ---- */

static void a_percentile_is_within_one_percent_up_to_a_minute(void **state) {
    (void)state;
    for (uint64_t value = 1; value <= 60 * 1000 * 1000; value += value / 50 + 1) {
        struct latency *latency = calloc(1, sizeof(*latency));
        latency_add(latency, value);
        latency_add(latency, 100 * 1000 * 1000); /* so that the maximum does not help */
        uint64_t told = latency_percentile(latency, 50000);
        uint64_t error = told > value ? told - value : value - told;
        assert_true(error * 100 <= value);
        free(latency);
    }
}

static void percentiles_are_of_the_nearest_rank(void **state) {
    (void)state;
    struct latency latency = {0};
    for (uint64_t value = 1; value <= 100; value++) {
        latency_add(&latency, value);
    }
    assert_int_equal(latency_percentile(&latency, 50000), 50);
    assert_int_equal(latency_percentile(&latency, 90000), 90);
    assert_int_equal(latency_percentile(&latency, 99000), 99);
    assert_int_equal(latency_percentile(&latency, 99900), 100);
    assert_int_equal(latency_percentile(&latency, 99990), 100);
    assert_int_equal(latency_percentile(&latency, 0), 1);
    assert_int_equal(latency.max_us, 100);
}

static void nothing_seen_is_zero(void **state) {
    (void)state;
    struct latency latency = {0};
    assert_int_equal(latency_percentile(&latency, 99000), 0);
}

static void no_percentile_is_above_the_longest(void **state) {
    (void)state;
    struct latency latency = {0};
    latency_add(&latency, 1000);
    assert_int_equal(latency_percentile(&latency, 99990), 1000);
    latency_add(&latency, UINT64_C(1) << 40); /* beyond the buckets */
    assert_int_equal(latency.max_us, UINT64_C(1) << 40);
    assert_true(latency_percentile(&latency, 100000) <= latency.max_us);
}

static void merged_latencies_are_those_of_both(void **state) {
    (void)state;
    struct latency one = {0};
    struct latency other = {0};
    for (uint64_t value = 0; value < 1000; value++) {
        latency_add(value % 2 ? &one : &other, 100);
    }
    latency_add(&other, 5000);
    latency_merge(&one, &other);
    assert_int_equal(one.count, 1001);
    assert_int_equal(one.max_us, 5000);
    assert_int_equal(latency_percentile(&one, 99900), 100);
}

/* ---- reply ---- */

static const char two_replies[] =
    "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\ncontent-length:  12\r\n\r\n"
    "{\"rank\":\"1\"}"
    "HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\nConnection: Close\r\n\r\nabc";

static void replies_are_found_wherever_they_are_cut(void **state) {
    (void)state;
    const size_t size = sizeof(two_replies) - 1;
    for (size_t part = 1; part <= size; part++) {
        struct reply reply = {0};
        int statuses[3] = {0};
        size_t found = 0;
        for (size_t at = 0; at < size;) {
            size_t taken = 0;
            size_t left = size - at < part ? size - at : part;
            enum reply_end end = reply_feed(&reply, (struct slice){two_replies + at, left}, &taken);
            assert_true(end != REPLY_BROKEN && taken > 0 && taken <= left && found < 2);
            if (end == REPLY_WHOLE) {
                assert_int_equal(reply.closes, found == 1);
                statuses[found++] = reply.status;
            }
            at += taken;
        }
        assert_int_equal(found, 2);
        assert_int_equal(statuses[0], 201);
        assert_int_equal(statuses[1], 409);
    }
}

static enum reply_end end_of(const char *text, int *ret_status) {
    struct reply reply = {0};
    size_t taken = 0;
    enum reply_end end = reply_feed(&reply, slice_of(text), &taken);
    *ret_status = reply.status;
    return end;
}

static void a_reply_that_has_no_body_ends_with_its_head(void **state) {
    (void)state;
    int status = 0;
    assert_int_equal(end_of("HTTP/1.1 204 No Content\r\n\r\n", &status), REPLY_WHOLE);
    assert_int_equal(status, 204);
    assert_int_equal(end_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &status), REPLY_WHOLE);
}

static void what_it_cannot_read_is_broken(void **state) {
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int status = 0;
        assert_int_equal(end_of(texts[i], &status), REPLY_BROKEN);
    }
}

static void a_head_without_an_end_is_broken_at_last(void **state) {
    (void)state;
    struct reply reply = {0};
    enum reply_end end = REPLY_PART;
    size_t fed = 0;
    for (; end == REPLY_PART && fed <= REPLY_HEAD_MAX; fed++) {
        size_t taken = 0;
        end = reply_feed(&reply, slice_of("x"), &taken);
    }
    assert_int_equal(end, REPLY_BROKEN);
    assert_int_equal(fed, REPLY_HEAD_MAX);
}

/* ---- request ---- */

static void a_request_has_its_coupon_user_headers_and_length(void **state) {
    (void)state;
    struct request request;
    const char *const headers[] = {"Prefer: respond-async"};
    char room[REQUEST_MAX];
    assert_int_equal(request_make(&request, 80, "/v1/coupons/{}/issues", headers, 1, "u-7", NULL),
                     0);
    size_t size = request_render(&request, 90210, 12345, room);
    room[size] = '\0';
    assert_string_equal(room, "POST /v1/coupons/90210/issues HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"
                              "Content-Type: application/json\r\nPrefer: respond-async\r\n"
                              "Content-Length: 22\r\n\r\n{\"userId\":\"u-7-12345\"}");
    request_done(&request);
}

static void a_path_without_a_mark_stays_as_it_is(void **state) {
    (void)state;
    struct request request;
    char room[REQUEST_MAX];
    assert_int_equal(request_make(&request, 8080, "/claim", NULL, 0, "p", NULL), 0);
    size_t size = request_render(&request, 1, 0, room);
    assert_true(size > 22);
    assert_memory_equal(room, "POST /claim HTTP/1.1\r\n", 22);
    assert_memory_equal(room + size - 16, "{\"userId\":\"p-0\"}", 16);
    request_done(&request);
}

static void a_body_of_its_own_is_posted_as_it_is(void **state) {
    (void)state;
    struct request request;
    char room[REQUEST_MAX];
    assert_int_equal(request_make(&request, 8080, "/v1/coupons", NULL, 0, "p", "{\"a\":1}"), 0);
    size_t size = request_render(&request, 1, 0, room);
    assert_memory_equal(room + size - 28, "Content-Length: 7\r\n\r\n{\"a\":1}", 28);
    request_done(&request);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct request request;
    char path[REQUEST_MAX + 1];
    memset(path, 'a', REQUEST_MAX);
    path[REQUEST_MAX] = '\0';
    assert_int_equal(request_make(&request, 1, path, NULL, 0, "p", NULL), STATUS_INVALID);
    path[REQUEST_PREFIX_MAX + 1] = '\0';
    assert_int_equal(request_make(&request, 1, "/", NULL, 0, path, NULL), STATUS_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percentile_is_within_one_percent_up_to_a_minute),
        cmocka_unit_test(percentiles_are_of_the_nearest_rank),
        cmocka_unit_test(nothing_seen_is_zero),
        cmocka_unit_test(no_percentile_is_above_the_longest),
        cmocka_unit_test(merged_latencies_are_those_of_both),
        cmocka_unit_test(replies_are_found_wherever_they_are_cut),
        cmocka_unit_test(a_reply_that_has_no_body_ends_with_its_head),
        cmocka_unit_test(what_it_cannot_read_is_broken),
        cmocka_unit_test(a_head_without_an_end_is_broken_at_last),
        cmocka_unit_test(a_request_has_its_coupon_user_headers_and_length),
        cmocka_unit_test(a_path_without_a_mark_stays_as_it_is),
        cmocka_unit_test(a_body_of_its_own_is_posted_as_it_is),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

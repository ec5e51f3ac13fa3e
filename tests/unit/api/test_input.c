/* Header fields and queries as the api takes them. */
#include "support.h"

#include <stdio.h>

/* ---- If-Match ---- */

/* "any", or the versions with spaces between, or "none". */
static void check_if_match(const char *lines, const char *expected) {
    char text[1000];
    char found[256] = "";
    uint32_t versions[IF_MATCH_MAX];
    size_t count = 99;
    bool any = false;
    snprintf(text, sizeof(text), "PATCH / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    struct http_head head = head_of(text);
    input_if_match(&head, versions, &count, &any);
    assert_in_range(count, 0, IF_MATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(found);
        snprintf(found + size, sizeof(found) - size, "%s%u", i ? " " : "", versions[i]);
    }
    assert_string_equal(any ? "any" : count ? found : "none", expected);
}

static void if_match_is_a_list_of_versions(void **state) {
    (void)state;
    static const char *const table[][2] = {
        {"", "any"},
        {"If-Match: *\r\n", "any"},
        {"if-match: \"3\"\r\n", "3"},
        {"If-Match: \"3\", \"4\"\r\n", "3 4"},
        {"If-Match: \"3\",\"4\" ,, \"5\"\r\n", "3 4 5"},
        {"If-Match: \"3\"\t,\t\"4\"\r\n", "3 4"},
        {"If-Match: \"3\"\r\nX: y\r\nIF-MATCH: \"4\"\r\n", "3 4"},
        {"If-Match: \"4294967295\"\r\n", "4294967295"},
        {"If-Match: \"4294967296\"\r\n", "none"},
        {"If-Match: \"03\"\r\n", "none"},
        {"If-Match: \"\"\r\n", "none"},
        {"If-Match: \"x\", \"7\"\r\n", "7"},
        {"If-Match: W/\"3\"\r\n", "none"}, /* weak tags never match here (RFC 9110, 13.1.1) */
        {"If-Match: 3\r\n", "none"},
        {"If-Match: \"3\r\n", "none"},
        {"If-Match: \"\r\n", "none"},
        {"If-Match:\r\n", "none"},
        {"If-Match: , ,\r\n", "none"},
        {"If-Match: *\r\nIf-Match: \"3\"\r\n", "3"},
        {"If-Match: *, \"3\"\r\n", "3"},
        {"If-Match: \"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\",\"m\","
         "\"n\",\"o\",\"p\",\"q\",\"1\"\r\n",
         "1"},
        {"If-Match: \"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\","
         "\"13\",\"14\",\"15\",\"16\",\"17\"\r\n",
         "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        check_if_match(table[i][0], table[i][1]);
    }
}

/* ---- Idempotency-Key ---- */

static const char *check_key(const char *lines, struct call *call) {
    static char outcome[32];
    char text[1000];
    struct fault fault = {0};
    snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    struct http_head head = head_of(text);
    if (input_request_key(call, &head, &fault) == STATUS_OK) {
        return "ok";
    }
    assert_string_equal(fault.field, "Idempotency-Key");
    snprintf(outcome, sizeof(outcome), "%d", fault.problem == PROBLEM_INVALID_VALUE ? 422 : 400);
    return outcome;
}

#define TEN(text) text text text text text text text text text text
#define KEY_128   TEN("abcdefghijkl") "12345678"

static void a_request_key_is_visible_ascii(void **state) {
    (void)state;
    struct call call = {.request_key_size = 5};
    assert_string_equal(check_key("", &call), "ok");
    assert_int_equal(call.request_key_size, 0);
    assert_string_equal(check_key("Idempotency-Key: a!~1\r\n", &call), "ok");
    assert_true(slice_is(call_request_key(&call), "a!~1"));
    assert_string_equal(check_key("Idempotency-Key: " KEY_128 "\r\n", &call), "ok");
    assert_true(slice_is(call_request_key(&call), KEY_128));
    assert_string_equal(check_key("Idempotency-Key: " KEY_128 "9\r\n", &call), "422");
    assert_string_equal(check_key("Idempotency-Key:\r\n", &call), "422");
    assert_string_equal(check_key("Idempotency-Key: a b\r\n", &call), "422");
    assert_string_equal(check_key("Idempotency-Key: \xc3\xa4\r\n", &call), "422");
    assert_string_equal(check_key("Idempotency-Key: a\r\nidempotency-key: a\r\n", &call), "400");
}

/* ---- queries ---- */

static void a_query_takes_only_what_the_call_knows(void **state) {
    (void)state;
    static const char *const names[] = {"limit", "after", NULL};
    static const char *const good[] = {
        "", "limit=1", "limit", "limit=1&after=2", "after=&limit=", "limit=1&limit=2", "limit=1&"};
    static const char *const bad[] = {"x",           "limits=1",  "Limit=1",
                                      "limit=1&x=1", "%6Cimit=1", "limit=1&&after=2",
                                      "&limit=1",    "=1",        "limit=1&x"};
    struct fault fault;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(input_query_only(slice_of(good[i]), names, &fault), STATUS_OK);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        fault = (struct fault){0};
        assert_int_equal(input_query_only(slice_of(bad[i]), names, &fault), STATUS_INVALID);
        assert_int_equal(fault.problem, PROBLEM_MALFORMED_REQUEST);
    }
    assert_int_equal(input_query_only((struct slice){0}, names, &fault), STATUS_OK);
}

static void lists_and_holdings_check_their_query(void **state) {
    struct world *world = *state;
    static const struct {
        const char *line;
        int status; /* 0: it goes to the issuer */
        const char *field;
    } table[] = {
        {"GET /v1/coupons", 0, ""},
        {"GET /v1/coupons?limit=1&after=9007199254740991", 0, ""},
        {"GET /v1/coupons?limit=500", 0, ""},
        {"GET /v1/coupons?limit=%35", 0, ""},
        {"GET /v1/coupons?limit=501", 422, "limit"},
        {"GET /v1/coupons?limit=0", 422, "limit"},
        {"GET /v1/coupons?limit=-1", 422, "limit"},
        {"GET /v1/coupons?limit=", 422, "limit"},
        {"GET /v1/coupons?limit=1000000000000000000000000000", 422, "limit"},
        {"GET /v1/coupons?limit=01", 422, "limit"},
        {"GET /v1/coupons?after=9007199254740992", 422, "after"},
        {"GET /v1/coupons?limit=1&limit=1", 400, "limit"},
        {"GET /v1/coupons?limit=%", 400, "limit"},
        {"GET /v1/coupons?page=1", 400, ""},
        {"GET /v1/coupons/1/issues?userId=a", 0, ""},
        {"GET /v1/coupons/1/issues?userId=%41%26", 0, ""},
        {"GET /v1/coupons/1/issues", 0, ""},
        {"GET /v1/coupons/1/issues?after=1&limit=1000", 0, ""},
        {"GET /v1/coupons/1/issues?limit=1001", 422, "limit"},
        {"GET /v1/coupons/1/issues?userId=a&after=1", 400, ""},
        {"GET /v1/coupons/1/issues?userId=a&userId=a", 400, "userId"},
        {"GET /v1/coupons/1/issues?userId=%4", 400, "userId"},
        {"GET /v1/coupons/1/issues?userId=", 422, "userId"},
        {"GET /v1/coupons/1/issues?userId=%20", 422, "userId"},
        {"GET /v1/coupons/1/issues?userId=" KEY_128, 0, ""},
        {"GET /v1/coupons/1/issues?userId=" KEY_128 "9", 422, "userId"},
        {"GET /v1/coupons/1/issues?user=a", 400, ""},
        {"GET /v1/coupons/1?x=1", 400, ""},
        {"GET /v1/issues/1-1?x=1", 400, ""},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct http_exchange exchange;
        world_admin(world, &exchange, table[i].line, NULL);
        assert_int_equal(world->job_count, table[i].status == 0);
        if (table[i].status == 0) {
            ((struct command *)world_job(world))->status = STATUS_IO;
            world_answer(world);
            assert_problem(&exchange, 503, "storage-unavailable");
        } else {
            assert_problem(&exchange, table[i].status,
                           table[i].status == 400 ? "malformed-request" : "invalid-value");
            assert_string_equal(answer_text(&exchange, "field"), table[i].field);
        }
        exchange_done(&exchange);
    }
}

static void a_decoded_query_reaches_the_issuer(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    world_admin(world, &exchange, "GET /v1/coupons?after=17&limit=3", NULL);
    struct command *command = (struct command *)world_job(world);
    assert_int_equal(command->job.kind, JOB_COUPONS_READ);
    assert_int_equal(command->after_id, 17);
    assert_int_equal(command->limit, 4); /* one more, to know whether there is a next page */
    command->status = STATUS_OK;
    command->coupon_count = 0;
    world_answer(world);
    exchange_done(&exchange);
    world_request(world, &exchange, "GET /v1/coupons/12/issues?userId=%41%26b", "", NULL);
    command = (struct command *)world_job(world);
    assert_int_equal(command->job.kind, JOB_HOLDING_READ);
    assert_int_equal(command->reference.coupon_id, 12);
    assert_true(slice_is(command->user_id, "A&b"));
    assert_int_equal(command->user.low, 3);
    command->status = STATUS_NOT_FOUND;
    world_answer(world);
    assert_problem(&exchange, 404, "coupon-not-found");
    exchange_done(&exchange);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(if_match_is_a_list_of_versions),
        cmocka_unit_test(a_request_key_is_visible_ascii),
        cmocka_unit_test(a_query_takes_only_what_the_call_knows),
        WITH_WORLD(lists_and_holdings_check_their_query),
        WITH_WORLD(a_decoded_query_reaches_the_issuer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

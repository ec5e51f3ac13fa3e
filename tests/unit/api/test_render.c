/* What the api writes: coupons, issues and problems, read back by jansson. */
#include "support.h"

#include <stdio.h>

static const int64_t HOUR_US = 3600 * US_PER_SECOND;

static json_t *rendered_coupon(const struct coupon_record *coupon) {
    struct buffer body;
    buffer_init(&body);
    render_coupon(&body, coupon);
    assert_false(body.failed);
    json_t *object = parse_object(buffer_view(&body));
    buffer_done(&body);
    return object;
}

static int64_t integer(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const char *text(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_string(value));
    return json_string_value(value);
}

static void a_coupon_has_the_members_of_the_contract(void **state) {
    (void)state;
    struct coupon_record coupon = coupon_example(-HOUR_US, HOUR_US);
    coupon.id = (uint64_t)JSON_INTEGER_MAX;
    coupon.issue_start_us = 6;
    snprintf(coupon.title, sizeof(coupon.title), "A \"title\" \\ / \xc3\xa4");
    snprintf(coupon.metadata, sizeof(coupon.metadata), "{\"a\":[1,{}]}");
    json_t *object = rendered_coupon(&coupon);
    assert_int_equal(json_object_size(object), 16);
    assert_int_equal(integer(object, "id"), JSON_INTEGER_MAX);
    assert_string_equal(text(object, "title"), coupon.title);
    assert_int_equal(integer(object, "totalQuantity"), 500);
    assert_int_equal(integer(object, "issuedQuantity"), 12);
    assert_int_equal(integer(object, "remaining"), 488);
    assert_int_equal(integer(object, "discountAmount"), 1000);
    assert_int_equal(integer(object, "minAvailableAmount"), 10000);
    assert_string_equal(text(object, "issueStart"), "1970-01-01T00:00:00.000006Z");
    assert_int_equal(strlen(text(object, "issueEnd")), 27);
    assert_string_equal(text(object, "createdAt"), "1970-01-01T00:00:00.000001Z");
    assert_string_equal(text(object, "updatedAt"), "1970-01-01T00:00:00.000002Z");
    assert_string_equal(text(object, "state"), "open");
    assert_true(json_is_false(json_object_get(object, "paused")));
    assert_true(json_is_false(json_object_get(object, "archived")));
    assert_true(json_is_array(json_object_get(json_object_get(object, "metadata"), "a")));
    assert_int_equal(integer(object, "version"), 3);
    json_decref(object);
}

static void an_unlimited_coupon_has_nulls(void **state) {
    (void)state;
    struct coupon_record coupon = coupon_example(-HOUR_US, HOUR_US);
    coupon.total_quantity = COUPON_UNLIMITED;
    coupon.issued_quantity = UINT32_MAX;
    json_t *object = rendered_coupon(&coupon);
    assert_true(json_is_null(json_object_get(object, "totalQuantity")));
    assert_true(json_is_null(json_object_get(object, "remaining")));
    assert_true(json_is_null(json_object_get(object, "metadata")));
    assert_int_equal(integer(object, "issuedQuantity"), UINT32_MAX);
    assert_string_equal(text(object, "state"), "open");
    json_decref(object);
}

static void the_largest_coupon_is_well_formed(void **state) {
    (void)state;
    struct coupon_record coupon = coupon_example(-HOUR_US, HOUR_US);
    coupon.issue_start_us = TIME_US_MIN;
    coupon.issue_end_us = TIME_US_MAX;
    memset(coupon.title, '"', COUPON_TITLE_MAX);
    memset(coupon.metadata, ' ', COUPON_METADATA_MAX);
    coupon.metadata[0] = '{';
    coupon.metadata[COUPON_METADATA_MAX - 1] = '}';
    json_t *object = rendered_coupon(&coupon);
    assert_string_equal(text(object, "title"), coupon.title);
    assert_string_equal(text(object, "issueStart"), "0001-01-01T00:00:00.000000Z");
    assert_string_equal(text(object, "issueEnd"), "9999-12-31T23:59:59.999999Z");
    json_decref(object);
}

static void the_state_is_the_first_that_holds(void **state) {
    (void)state;
    static const struct {
        int64_t start_after_us;
        int64_t end_after_us;
        uint32_t issued;
        bool paused;
        bool archived;
        const char *name;
    } table[] = {
        {-HOUR_US, HOUR_US, 0, false, false, "open"},
        {-HOUR_US, HOUR_US, 499, false, false, "open"},
        {-HOUR_US, HOUR_US, 500, false, false, "soldOut"},
        {-2 * HOUR_US, -HOUR_US, 500, false, false, "ended"},
        {-2 * HOUR_US, -HOUR_US, 0, false, false, "ended"},
        {HOUR_US, 2 * HOUR_US, 0, false, false, "scheduled"},
        {HOUR_US, 2 * HOUR_US, 500, false, false, "scheduled"},
        {-2 * HOUR_US, -HOUR_US, 500, true, false, "paused"},
        {HOUR_US, 2 * HOUR_US, 0, true, false, "paused"},
        {-HOUR_US, HOUR_US, 0, true, true, "ended"},
        {HOUR_US, 2 * HOUR_US, 0, false, true, "ended"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct coupon_record coupon =
            coupon_example(table[i].start_after_us, table[i].end_after_us);
        coupon.issued_quantity = table[i].issued;
        coupon.paused = table[i].paused;
        coupon.archived_us = table[i].archived ? 5 : 0;
        json_t *object = rendered_coupon(&coupon);
        assert_string_equal(text(object, "state"), table[i].name);
        assert_int_equal(json_is_true(json_object_get(object, "paused")), table[i].paused);
        assert_int_equal(json_is_true(json_object_get(object, "archived")), table[i].archived);
        json_decref(object);
    }
}

static void an_issue_has_the_members_of_the_contract(void **state) {
    (void)state;
    struct buffer body;
    buffer_init(&body);
    render_issue(&body, (struct issue_reference){.coupon_id = 9007199254740991, .rank = 4000000000},
                 slice_of("a\"\\b"), 1760000000000006);
    json_t *object = parse_object(buffer_view(&body));
    assert_int_equal(json_object_size(object), 5);
    assert_string_equal(text(object, "issueId"), "9007199254740991-4000000000");
    assert_int_equal(integer(object, "couponId"), JSON_INTEGER_MAX);
    assert_string_equal(text(object, "userId"), "a\"\\b");
    assert_int_equal(integer(object, "rank"), 4000000000);
    assert_string_equal(text(object, "issuedAt"), "2025-10-09T08:53:20.000006Z");
    json_decref(object);
    buffer_done(&body);
}

static void every_problem_has_its_status_and_code(void **state) {
    struct world *world = *state;
    static const struct {
        enum problem problem;
        int status;
        const char *code;
    } table[] = {
        {PROBLEM_COUPON_NOT_FOUND, 404, "coupon-not-found"},
        {PROBLEM_ISSUE_NOT_FOUND, 404, "issue-not-found"},
        {PROBLEM_NOT_FOUND, 404, "not-found"},
        {PROBLEM_NOT_STARTED, 409, "not-started"},
        {PROBLEM_ENDED, 409, "ended"},
        {PROBLEM_PAUSED, 409, "paused"},
        {PROBLEM_SOLD_OUT, 409, "sold-out"},
        {PROBLEM_ALREADY_ISSUED, 409, "already-issued"},
        {PROBLEM_COUPON_EXISTS, 409, "coupon-exists"},
        {PROBLEM_MALFORMED_HTTP, 400, "malformed-http"},
        {PROBLEM_MALFORMED_REQUEST, 400, "malformed-request"},
        {PROBLEM_INVALID_VALUE, 422, "invalid-value"},
        {PROBLEM_PRECONDITION_FAILED, 412, "precondition-failed"},
        {PROBLEM_UNAUTHORIZED, 401, "unauthorized"},
        {PROBLEM_FORBIDDEN, 403, "forbidden"},
        {PROBLEM_METHOD_NOT_ALLOWED, 405, "method-not-allowed"},
        {PROBLEM_REQUEST_TIMEOUT, 408, "request-timeout"},
        {PROBLEM_BODY_TOO_LARGE, 413, "body-too-large"},
        {PROBLEM_UNSUPPORTED_MEDIA_TYPE, 415, "unsupported-media-type"},
        {PROBLEM_EXPECTATION_FAILED, 417, "expectation-failed"},
        {PROBLEM_HEAD_TOO_LARGE, 431, "head-too-large"},
        {PROBLEM_OVERLOADED, 503, "overloaded"},
        {PROBLEM_STORAGE_UNAVAILABLE, 503, "storage-unavailable"},
        {PROBLEM_OUTCOME_UNKNOWN, 503, "outcome-unknown"},
        {PROBLEM_STARTING, 503, "starting"},
    };
    char last_id[17] = "";
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        assert_int_equal(table[i].problem, i); /* all of them, in order */
        struct http_exchange exchange = {0};
        exchange.room.loop = world->loop;
        exchange.room.exchange = &exchange;
        struct buffer fields, members;
        buffer_init(&fields);
        buffer_init(&members);
        buffer_text(&fields, "X-Y: z\r\n");
        buffer_text(&members, ",\"more\":[1]");
        problem_reply_with(&exchange.room, table[i].problem, "Why \"it\" is so.", &fields,
                           &members);
        buffer_done(&fields);
        buffer_done(&members);
        assert_problem(&exchange, table[i].status, table[i].code);
        assert_string_equal(answer_text(&exchange, "detail"), "Why \"it\" is so.");
        assert_string_equal(answer_field(&exchange, "X-Y"), "z");
        assert_true(json_is_array(json_object_get(exchange.json, "more")));
        assert_string_not_equal(answer_text(&exchange, "requestId"), last_id);
        snprintf(last_id, sizeof(last_id), "%s", answer_text(&exchange, "requestId"));
        exchange_done(&exchange);
    }
    assert_int_equal(COUNT_OF(table), PROBLEM_STARTING + 1);
}

static void what_http_refuses_is_answered_and_closed(void **state) {
    struct world *world = *state;
    static const struct {
        enum http_refusal refusal;
        int status;
        const char *code;
        bool closes; /* by the api's wish; http closes after all of them */
    } table[] = {
        {HTTP_REFUSED_MALFORMED, 400, "malformed-http", true},
        {HTTP_REFUSED_TIMEOUT, 408, "request-timeout", true},
        {HTTP_REFUSED_BODY_TOO_LARGE, 413, "body-too-large", true},
        {HTTP_REFUSED_EXPECTATION, 417, "expectation-failed", true},
        {HTTP_REFUSED_HEAD_TOO_LARGE, 431, "head-too-large", true},
        {HTTP_REFUSED_CROWDED, 503, "overloaded", false},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct http_exchange exchange = {0};
        world->handler.refused(world->loop, &exchange, table[i].refusal, "Why it is so.");
        assert_problem(&exchange, table[i].status, table[i].code);
        assert_string_equal(answer_text(&exchange, "detail"), "Why it is so.");
        assert_int_equal(exchange.close, table[i].closes);
        exchange_done(&exchange);
    }
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_coupon_has_the_members_of_the_contract),
        cmocka_unit_test(an_unlimited_coupon_has_nulls),
        cmocka_unit_test(the_largest_coupon_is_well_formed),
        cmocka_unit_test(the_state_is_the_first_that_holds),
        cmocka_unit_test(an_issue_has_the_members_of_the_contract),
        WITH_WORLD(every_problem_has_its_status_and_code),
        WITH_WORLD(what_http_refuses_is_answered_and_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

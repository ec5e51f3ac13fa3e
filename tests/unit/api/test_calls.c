/* Calls from request to answer, with the issuer's part played by the test: every verdict and
 * status has its HTTP answer, and what is asked reaches the issuer as it was meant. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#define JSON_FIELD "Content-Type: application/json\r\n"

/* ---- the token ---- */

static int new_with(const char *token, struct complaint *complaint) {
    static struct issuer issuer;
    struct api *api = NULL;
    struct api_options options = {.issuer = &issuer,
                                  .secrets.admin_tokens = {slice_of(token), "the tokens"},
                                  .loop_count = 2};
    int status = api_new(&options, &api, complaint);
    assert_int_equal(status == STATUS_OK, api != NULL);
    api_free(api);
    return status;
}

static void an_admin_token_has_a_length_and_visible_characters(void **state) {
    (void)state;
    char token[ADMIN_TOKEN_MAX + 2];
    static const struct {
        size_t size;
        int status;
    } sizes[] = {{0, STATUS_INVALID},
                 {ADMIN_TOKEN_MIN - 1, STATUS_INVALID},
                 {ADMIN_TOKEN_MIN, STATUS_OK},
                 {ADMIN_TOKEN_MAX, STATUS_OK},
                 {ADMIN_TOKEN_MAX + 1, STATUS_INVALID}};
    static const char others[] = " \t\n\x1f\x7f\x80\xff";
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct complaint complaint = {0};
        memset(token, 't', sizeof(token));
        token[sizes[i].size] = '\0';
        assert_int_equal(new_with(token, &complaint), sizes[i].status);
        assert_int_equal(complaint.text[0] != '\0', sizes[i].status != STATUS_OK);
        assert_null(strstr(complaint.text, "ttt")); /* it is a secret */
    }
    for (size_t i = 0; i < sizeof(others) - 1; i++) {
        snprintf(token, sizeof(token), "0123456789%c0123456789", others[i]);
        assert_int_equal(new_with(token, NULL), STATUS_INVALID);
    }
    assert_int_equal(new_with("0123456789!~0123456789", NULL), STATUS_OK);
    api_free(NULL);
}

static void an_admin_call_wants_the_token(void **state) {
    struct world *world = *state;
    static const char *const wrong[] = {
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer " ADMIN_TOKEN "x\r\n",
        "Authorization: Bearer a-token-of-twenty-1\r\n",
        "Authorization: Bearer  " ADMIN_TOKEN "\r\n",
        "Authorization: Basic " ADMIN_TOKEN "\r\n",
        "Authorization: " ADMIN_TOKEN "\r\n",
        "Authorization: Bearer " ADMIN_TOKEN "\r\nAuthorization: Bearer " ADMIN_TOKEN "\r\n",
    };
    struct http_exchange exchange;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        world_request(world, &exchange, "GET /v1/coupons", wrong[i], NULL);
        assert_problem(&exchange, 401, "unauthorized");
        assert_string_equal(answer_field(&exchange, "WWW-Authenticate"), "Bearer");
        exchange_done(&exchange);
    }
    world_request(world, &exchange, "GET /v1/coupons", "authorization: bEARER " ADMIN_TOKEN "\r\n",
                  NULL);
    ((struct command *)world_job(world))->status = STATUS_OK;
    world_answer(world);
    assert_int_equal(exchange.status, 200);
    exchange_done(&exchange);
}

/* ---- claims ---- */

static struct claim *only_claim(struct world *world) {
    struct claim_batch *batch = (struct claim_batch *)world_job(world);
    assert_int_equal(batch->job.kind, JOB_CLAIMS);
    assert_int_equal(batch->count, 1);
    return &batch->claims[0];
}

static void claim_answered(struct world *world, struct http_exchange *exchange,
                           enum verdict verdict, bool original) {
    world_request(world, exchange, original ? "POST /v1/issue" : "POST /v1/coupons/7/issues",
                  JSON_FIELD "Idempotency-Key: key\r\n",
                  original ? "{\"userId\":\"ann\",\"couponId\":7}" : "{\"userId\":\"ann\"}");
    assert_int_equal(exchange->replies, 0);
    struct claim *claim = only_claim(world);
    assert_int_equal(claim->coupon_id, 7);
    assert_true(slice_is(claim->user_id, "ann"));
    assert_true(slice_is(claim->request_key, "key"));
    assert_int_equal(claim->user.low, 3);
    claim->verdict = verdict;
    claim->rank = 4;
    claim->issued_at_us = 1760000000000006;
    claim->starts_us = clock_realtime(NULL) + 90 * US_PER_SECOND;
    world_answer(world);
}

static void assert_issue(const json_t *issue) {
    assert_string_equal(json_string_value(json_object_get(issue, "issueId")), "7-4");
    assert_int_equal(json_integer_value(json_object_get(issue, "couponId")), 7);
    assert_string_equal(json_string_value(json_object_get(issue, "userId")), "ann");
    assert_int_equal(json_integer_value(json_object_get(issue, "rank")), 4);
    assert_string_equal(json_string_value(json_object_get(issue, "issuedAt")),
                        "2025-10-09T08:53:20.000006Z");
}

static void a_success_is_201_and_the_originals_true(void **state) {
    struct world *world = *state;
    static const enum verdict verdicts[] = {VERDICT_ISSUED, VERDICT_REPLAYED};
    for (size_t i = 0; i < 2 * COUNT_OF(verdicts); i++) {
        struct http_exchange exchange;
        bool original = i % 2;
        claim_answered(world, &exchange, verdicts[i / 2], original);
        assert_int_equal(exchange.status, original ? 200 : 201);
        assert_string_equal(exchange.content_type, "application/json");
        assert_string_equal(answer_field(&exchange, "Idempotent-Replayed"),
                            verdicts[i / 2] == VERDICT_REPLAYED ? "true" : "");
        assert_string_equal(answer_field(&exchange, "Location"), original ? "" : "/v1/issues/7-4");
        if (original) {
            assert_true(json_is_true(exchange.json));
        } else {
            assert_issue(exchange.json);
        }
        exchange_done(&exchange);
    }
}

static void every_refusal_has_its_answer_in_both_apis(void **state) {
    struct world *world = *state;
    static const struct {
        enum verdict verdict;
        int status;
        const char *code;
    } table[] = {
        {VERDICT_ALREADY_ISSUED, 409, "already-issued"},
        {VERDICT_NO_SUCH_COUPON, 404, "coupon-not-found"},
        {VERDICT_PAUSED, 409, "paused"},
        {VERDICT_NOT_STARTED, 409, "not-started"},
        {VERDICT_ENDED, 409, "ended"},
        {VERDICT_SOLD_OUT, 409, "sold-out"},
        {VERDICT_STORAGE_UNAVAILABLE, 503, "storage-unavailable"},
        {VERDICT_OUTCOME_UNKNOWN, 503, "outcome-unknown"},
    };
    for (size_t i = 0; i < 2 * COUNT_OF(table); i++) {
        struct http_exchange exchange;
        enum verdict verdict = table[i / 2].verdict;
        claim_answered(world, &exchange, verdict, i % 2);
        assert_problem(&exchange, table[i / 2].status, table[i / 2].code);
        assert_int_equal(json_object_get(exchange.json, "issue") != NULL,
                         verdict == VERDICT_ALREADY_ISSUED);
        if (verdict == VERDICT_ALREADY_ISSUED) {
            assert_issue(json_object_get(exchange.json, "issue"));
        }
        if (verdict == VERDICT_NOT_STARTED) {
            assert_int_equal(strlen(answer_text(&exchange, "opensAt")), 27);
            assert_in_range(strtol(answer_field(&exchange, "Retry-After"), NULL, 10), 80, 90);
        }
        exchange_done(&exchange);
    }
}

static void claims_that_cannot_be_handed_over_are_refused(void **state) {
    struct world *world = *state;
    static const int statuses[] = {STATUS_FULL, STATUS_STOPPED};
    struct http_exchange exchange;
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        world->submit_status = statuses[i];
        world_request(world, &exchange, "POST /v1/coupons/7/issues", JSON_FIELD,
                      "{\"userId\":\"ann\"}");
        assert_problem(&exchange, 503, "overloaded");
        exchange_done(&exchange);
        world_request(world, &exchange, "GET /v1/issues/7-1", "", NULL);
        assert_problem(&exchange, 503, "overloaded");
        exchange_done(&exchange);
    }
    world->submit_status = STATUS_OK;
    world->state = ISSUER_STARTING;
    world_request(world, &exchange, "POST /v1/coupons/7/issues", JSON_FIELD,
                  "{\"userId\":\"ann\"}");
    assert_problem(&exchange, 503, "starting");
    exchange_done(&exchange);
    world_request(world, &exchange, "GET /v1/issues/7-1", "", NULL);
    assert_problem(&exchange, 503, "starting");
    exchange_done(&exchange);
    assert_int_equal(world->job_count, 0);
}

/* ---- many users in one call ---- */

static void batch_of(struct world *world, struct http_exchange *exchange, int users) {
    struct buffer body;
    buffer_init(&body);
    for (int i = 0; i < users; i++) {
        buffer_format(&body, "%s%d", i ? "," : "{\"userIds\":[", i);
    }
    buffer_append(&body, "]}", 3); /* with its terminator */
    world_admin(world, exchange, "POST /v1/coupons/7/issues:batch", body.bytes);
    buffer_done(&body);
}

static void judge_slice(struct world *world, enum verdict first, enum verdict others) {
    struct claim_batch *slice = (struct claim_batch *)world_job(world);
    for (size_t i = 0; i < slice->count; i++) {
        slice->claims[i].verdict = i ? others : first;
        slice->claims[i].rank = (uint32_t)i + 1;
    }
    world_answer(world);
}

/* A later slice might find a coupon that was made meanwhile, and issue what nobody is told of. */
static void a_slice_that_is_refused_as_a_whole_is_the_last(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    static const enum verdict verdicts[] = {VERDICT_NO_SUCH_COUPON, VERDICT_OVERLOADED};
    for (size_t i = 0; i < COUNT_OF(verdicts); i++) {
        batch_of(world, &exchange, CLAIM_BATCH_MAX + 3);
        judge_slice(world, verdicts[i], verdicts[i]);
        assert_int_equal(world->job_count, 0);
        assert_problem(&exchange, verdicts[i] == VERDICT_OVERLOADED ? 503 : 404,
                       verdicts[i] == VERDICT_OVERLOADED ? "overloaded" : "coupon-not-found");
        exchange_done(&exchange);
    }
}

static const char *result_of(const struct http_exchange *exchange, size_t user) {
    const json_t *results = json_object_get(exchange->json, "results");
    return json_string_value(json_object_get(json_array_get(results, user), "result"));
}

/* With Redis one may find no seat, or no coupon but by what they hold, where another is served. */
static void what_only_some_are_refused_is_told_to_each(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    static const struct {
        enum verdict verdict;
        const char *result;
    } cases[] = {{VERDICT_NO_SUCH_COUPON, "coupon-not-found"}, {VERDICT_OVERLOADED, "overloaded"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        batch_of(world, &exchange, CLAIM_BATCH_MAX + 3);
        judge_slice(world, cases[i].verdict, VERDICT_ISSUED);
        judge_slice(world, cases[i].verdict, cases[i].verdict);
        assert_int_equal(exchange.status, 200);
        assert_string_equal(result_of(&exchange, 0), cases[i].result);
        assert_string_equal(result_of(&exchange, 1), "issued");
        assert_string_equal(result_of(&exchange, CLAIM_BATCH_MAX + 2), cases[i].result);
        exchange_done(&exchange);
    }
}

/* ---- turns ---- */

/* The claims of one turn of the loop are one batch; a full one does not wait for its end. */
static void the_claims_of_a_turn_travel_together(void **state) {
    struct world *world = *state;
    enum { CLAIMS = CLAIM_BATCH_MAX + 100 };
    struct http_exchange *exchanges = calloc(CLAIMS, sizeof(exchanges[0]));
    assert_non_null(exchanges);
    struct http_head head = head_of("POST /v1/coupons/7/issues HTTP/1.1\r\nHost: a\r\n" JSON_FIELD
                                    "Content-Length: 9\r\n\r\n");
    for (size_t i = 0; i < CLAIMS; i++) {
        char body[32];
        snprintf(body, sizeof(body), "{\"userId\":%zu}", i);
        assert_int_equal(world->handler.head(world->loop, &exchanges[i], &head), BODY_MAX);
        world->handler.request(world->loop, &exchanges[i], &head, slice_of(body));
        assert_int_equal(world->job_count, i + 1 >= CLAIM_BATCH_MAX);
    }
    world->handler.turn_end(world->loop);
    world->handler.turn_end(world->loop);
    assert_int_equal(world->job_count, 2);
    assert_int_equal(((struct claim_batch *)world->jobs[0])->count, CLAIM_BATCH_MAX);
    assert_int_equal(((struct claim_batch *)world->jobs[1])->count, 100);
    for (size_t i = 0; i < CLAIMS; i++) {
        struct claim_batch *batch = (struct claim_batch *)world->jobs[i / CLAIM_BATCH_MAX];
        struct claim *claim = &batch->claims[i % CLAIM_BATCH_MAX];
        assert_ptr_equal(claim->context, &exchanges[i].room);
        claim->verdict = i % 2 ? VERDICT_SOLD_OUT : VERDICT_ISSUED;
        claim->rank = (uint32_t)i + 1;
        claim->issued_at_us = 5;
    }
    world_answer(world);
    for (size_t i = 0; i < CLAIMS; i++) {
        char user[16];
        snprintf(user, sizeof(user), "%zu", i);
        assert_int_equal(exchanges[i].status, i % 2 ? 409 : 201);
        assert_string_equal(answer_text(&exchanges[i], "userId"), i % 2 ? "" : user);
        exchange_done(&exchanges[i]);
    }
    free(exchanges);
}

/* ---- commands ---- */

#define COUPON_BODY                                                                                \
    "{\"title\":\"t\",\"totalQuantity\":5,\"issueStart\":\"2026-03-01T00:00:00Z\","                \
    "\"issueEnd\":\"2026-03-02T00:00:00Z\"}"

struct command_case {
    const char *line;
    const char *body;
    int status; /* what the issuer says */
    int http_status;
    const char *code; /* "": no problem */
};

static void every_command_status_has_its_answer(void **state) {
    struct world *world = *state;
    static const struct command_case table[] = {
        {"POST /v1/coupons", COUPON_BODY, STATUS_OK, 201, ""},
        {"POST /v1/coupons", COUPON_BODY, STATUS_EXISTS, 409, "coupon-exists"},
        {"POST /v1/coupons", COUPON_BODY, STATUS_CONFLICT, 422, "invalid-value"},
        {"POST /v1/coupons", COUPON_BODY, STATUS_INVALID, 422, "invalid-value"},
        {"POST /v1/coupons", COUPON_BODY, STATUS_FULL, 503, "storage-unavailable"},
        {"POST /v1/coupons", COUPON_BODY, STATUS_AMBIGUOUS, 503, "outcome-unknown"},
        {"PATCH /v1/coupons/7", "{\"paused\":true}", STATUS_OK, 200, ""},
        {"PATCH /v1/coupons/7", "{\"paused\":true}", STATUS_NOT_FOUND, 404, "coupon-not-found"},
        {"PATCH /v1/coupons/7", "{\"paused\":true}", STATUS_CONFLICT, 412, "precondition-failed"},
        {"PATCH /v1/coupons/7", "{\"paused\":true}", STATUS_INVALID, 422, "invalid-value"},
        {"PATCH /v1/coupons/7", "{\"paused\":true}", STATUS_IO, 503, "storage-unavailable"},
        {"PATCH /v1/coupons/7", "{\"paused\":true}", STATUS_BUSY, 503, "overloaded"},
        {"PATCH /v1/coupons/7", "{\"paused\":true}", STATUS_AMBIGUOUS, 503, "outcome-unknown"},
        {"GET /v1/coupons/7", NULL, STATUS_OK, 200, ""},
        {"GET /v1/coupons/7", NULL, STATUS_NOT_FOUND, 404, "coupon-not-found"},
        {"GET /v1/coupons/7", NULL, STATUS_DAMAGED, 503, "storage-unavailable"},
        {"HEAD /v1/coupons/7", NULL, STATUS_OK, 200, ""},
        {"GET /v1/coupons", NULL, STATUS_OK, 200, ""},
        {"GET /v1/coupons", NULL, STATUS_IO, 503, "storage-unavailable"},
        {"GET /v1/issues/7-4", NULL, STATUS_OK, 200, ""},
        {"GET /v1/issues/7-4", NULL, STATUS_NOT_FOUND, 404, "issue-not-found"},
        {"GET /v1/issues/7-4", NULL, STATUS_STOPPED, 503, "overloaded"},
        {"GET /v1/coupons/7/issues?userId=a", NULL, STATUS_OK, 200, ""},
        {"GET /v1/coupons/7/issues?userId=a", NULL, STATUS_NOT_FOUND, 404, "coupon-not-found"},
        {"GET /v1/coupons/7/issues?userId=a", NULL, STATUS_IO, 503, "storage-unavailable"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct http_exchange exchange;
        world_admin(world, &exchange, table[i].line, table[i].body);
        assert_int_equal(exchange.replies, 0);
        struct command *command = (struct command *)world_job(world);
        command->status = table[i].status;
        command->why = table[i].status == STATUS_INVALID ? "It cannot be." : NULL;
        if (command->job.kind != JOB_COUPONS_READ) {
            command->coupon = coupon_example(-5, US_PER_SECOND);
        }
        world_answer(world);
        if (table[i].code[0]) {
            assert_problem(&exchange, table[i].http_status, table[i].code);
        } else {
            assert_int_equal(exchange.status, table[i].http_status);
        }
        exchange_done(&exchange);
    }
}

static void a_coupon_comes_with_its_tag_and_place(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    for (int replayed = 0; replayed < 2; replayed++) {
        world_request(world, &exchange, "POST /v1/coupons",
                      JSON_FIELD "Idempotency-Key: key\r\nAuthorization: Bearer " ADMIN_TOKEN
                                 "\r\n",
                      COUPON_BODY);
        struct command *command = (struct command *)world_job(world);
        assert_int_equal(command->job.kind, JOB_COUPON_CREATE);
        assert_true(slice_is(command->key.key, "key"));
        assert_string_equal(command->coupon.title, "t");
        command->coupon = coupon_example(-5, US_PER_SECOND);
        command->replayed = replayed;
        command->status = STATUS_OK;
        world_answer(world);
        assert_int_equal(exchange.status, 201);
        assert_string_equal(answer_field(&exchange, "ETag"), "\"3\"");
        assert_string_equal(answer_field(&exchange, "Location"), "/v1/coupons/7");
        assert_string_equal(answer_field(&exchange, "Idempotent-Replayed"), replayed ? "true" : "");
        exchange_done(&exchange);
    }
    world->has_coupon = true;
    world->coupon = coupon_example(-5, US_PER_SECOND);
    world_request(world, &exchange, "GET /v1/coupons/7", "", NULL);
    assert_int_equal(exchange.status, 200); /* without asking the writer */
    assert_string_equal(answer_field(&exchange, "ETag"), "\"3\"");
    assert_int_equal(json_integer_value(json_object_get(exchange.json, "remaining")), 488);
    exchange_done(&exchange);
}

/* The same bytes have the same digest, other bytes another. */
static void a_creations_digest_is_of_its_bytes(void **state) {
    struct world *world = *state;
    static const char *const bodies[] = {COUPON_BODY, COUPON_BODY, COUPON_BODY " "};
    unsigned char digests[COUNT_OF(bodies)][32];
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct http_exchange exchange;
        world_admin(world, &exchange, "POST /v1/coupons", bodies[i]);
        struct command *command = (struct command *)world_job(world);
        memcpy(digests[i], command->key.request_digest, sizeof(digests[i]));
        command->status = STATUS_IO;
        world_answer(world);
        exchange_done(&exchange);
    }
    assert_memory_equal(digests[0], digests[1], sizeof(digests[0]));
    assert_memory_not_equal(digests[0], digests[2], sizeof(digests[0]));
}

static void a_change_carries_its_condition(void **state) {
    struct world *world = *state;
    static const struct {
        const char *field;
        size_t count; /* SIZE_MAX: no condition */
    } table[] = {{"", SIZE_MAX},
                 {"If-Match: *\r\n", SIZE_MAX},
                 {"If-Match: \"3\", \"5\"\r\n", 2},
                 {"If-Match: W/\"3\"\r\n", 0}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct http_exchange exchange;
        char fields[200];
        snprintf(fields, sizeof(fields),
                 "Content-Type: application/json; charset=utf-8\r\n"
                 "Authorization: Bearer " ADMIN_TOKEN "\r\n%s",
                 table[i].field);
        world_request(world, &exchange, "PATCH /v1/coupons/7", fields, "{\"paused\":true}");
        struct command *command = (struct command *)world_job(world);
        assert_int_equal(command->coupon.id, 7);
        assert_int_equal(command->patch_set, PATCH_PAUSED);
        assert_int_equal(command->if_versions == NULL, table[i].count == SIZE_MAX);
        if (table[i].count != SIZE_MAX) {
            assert_int_equal(command->if_version_count, table[i].count);
        }
        command->status = STATUS_CONFLICT;
        world_answer(world);
        assert_problem(&exchange, 412, "precondition-failed");
        exchange_done(&exchange);
    }
}

static void a_page_of_coupons_names_the_next(void **state) {
    struct world *world = *state;
    for (size_t more = 0; more < 2; more++) {
        struct http_exchange exchange;
        world_admin(world, &exchange, "GET /v1/coupons?limit=2", NULL);
        struct command *command = (struct command *)world_job(world);
        command->coupon_count = 2 + more;
        for (size_t i = 0; i < command->coupon_count; i++) {
            command->coupons[i] = coupon_example(-5, US_PER_SECOND);
            command->coupons[i].id = 10 + i;
        }
        command->status = STATUS_OK;
        world_answer(world);
        assert_int_equal(json_array_size(json_object_get(exchange.json, "coupons")), 2);
        assert_string_equal(answer_text(&exchange, "next"), more ? "11" : "");
        exchange_done(&exchange);
    }
}

static void a_holding_is_a_list_of_none_or_one(void **state) {
    struct world *world = *state;
    for (size_t held = 0; held < 2; held++) {
        struct http_exchange exchange;
        world_request(world, &exchange, "GET /v1/coupons/7/issues?userId=ann", "", NULL);
        struct command *command = (struct command *)world_job(world);
        command->known = true;
        command->status = held ? STATUS_OK : STATUS_NOT_FOUND;
        command->issue.reference = (struct issue_reference){.coupon_id = 7, .rank = 4};
        command->issue.issued_at_us = 1760000000000006;
        world_answer(world);
        json_t *issues = json_object_get(exchange.json, "issues");
        assert_int_equal(exchange.status, 200);
        assert_int_equal(json_array_size(issues), held);
        if (held) {
            assert_issue(json_array_get(issues, 0));
        }
        exchange_done(&exchange);
    }
}

/* ---- health ---- */

static void readiness_follows_the_issuer(void **state) {
    struct world *world = *state;
    static const struct {
        enum issuer_state state;
        int status;
        const char *code;
    } table[] = {{ISSUER_STARTING, 503, "starting"},
                 {ISSUER_READY, 200, ""},
                 {ISSUER_UNWRITABLE, 503, "storage-unavailable"},
                 {ISSUER_BROKEN, 503, "outcome-unknown"},
                 {ISSUER_STOPPING, 503, "overloaded"}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct http_exchange exchange;
        world->state = table[i].state;
        world_request(world, &exchange, "GET /readyz", "", NULL);
        if (table[i].status == 200) {
            assert_int_equal(exchange.status, 200);
            assert_string_equal(answer_text(&exchange, "status"), "ready");
        } else {
            assert_problem(&exchange, table[i].status, table[i].code);
        }
        exchange_done(&exchange);
        world_request(world, &exchange, "GET /healthz", "", NULL);
        assert_int_equal(exchange.status, 200);
        assert_string_equal(answer_text(&exchange, "status"), "ok");
        exchange_done(&exchange);
    }
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_admin_token_has_a_length_and_visible_characters),
        WITH_WORLD(an_admin_call_wants_the_token),
        WITH_WORLD(a_success_is_201_and_the_originals_true),
        WITH_WORLD(every_refusal_has_its_answer_in_both_apis),
        WITH_WORLD(claims_that_cannot_be_handed_over_are_refused),
        WITH_WORLD(a_slice_that_is_refused_as_a_whole_is_the_last),
        WITH_WORLD(what_only_some_are_refused_is_told_to_each),
        WITH_WORLD(the_claims_of_a_turn_travel_together),
        WITH_WORLD(every_command_status_has_its_answer),
        WITH_WORLD(a_coupon_comes_with_its_tag_and_place),
        WITH_WORLD(a_creations_digest_is_of_its_bytes),
        WITH_WORLD(a_change_carries_its_condition),
        WITH_WORLD(a_page_of_coupons_names_the_next),
        WITH_WORLD(a_holding_is_a_list_of_none_or_one),
        WITH_WORLD(readiness_follows_the_issuer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Answers for which there is no memory: each allocation of an answer fails in turn, and what is
 * told is whole and true all the same. */
#include "support.h"

#include "support/allocation.h"

#include <stdio.h>

#define ALLOCATIONS_MAX 50

static size_t allocations_left = SIZE_MAX; /* until one fails */
static bool failed;

bool allocation_fails(void) {
    bool fails = allocations_left == 0;
    failed |= fails;
    allocations_left -= allocations_left == SIZE_MAX ? 0 : 1; /* SIZE_MAX again after 0 */
    return fails;
}

static void fail_nth(size_t nth) {
    failed = false;
    allocations_left = nth;
}

static void fail_no_more(void) {
    allocations_left = SIZE_MAX;
}

/* Does it in a world of its own; the nth allocation fails, if there are as many, between fail_nth()
 * and fail_no_more(). */
typedef void trial_fn(struct world *world, struct http_exchange *exchange, const void *subject,
                      size_t nth);

static void each_allocation_fails(trial_fn *trial, const void *subject) {
    size_t nth = 0;
    do {
        struct http_exchange exchange = {0};
        void *state = NULL;
        assert_true(nth < ALLOCATIONS_MAX);
        assert_int_equal(world_setup(&state), 0);
        trial(state, &exchange, subject, nth++);
        assert_int_equal(exchange.replies, 1);
        exchange_done(&exchange);
        assert_int_equal(world_teardown(&state), 0);
    } while (failed);
    assert_true(nth > 1);
}

/* ---- claims ---- */

static void claim(struct world *world, struct http_exchange *exchange, enum verdict verdict) {
    world_request(world, exchange, "POST /v1/coupons/7/issues",
                  "Content-Type: application/json\r\nIdempotency-Key: key\r\n",
                  "{\"userId\":\"ann\"}");
    struct claim *claim = &((struct claim_batch *)world_job(world))->claims[0];
    claim->verdict = verdict;
    claim->rank = 4;
    claim->issued_at_us = 1760000000000006;
    claim->starts_us = clock_realtime(NULL) + 90 * US_PER_SECOND;
}

static void assert_whole(const struct http_exchange *exchange, enum verdict verdict) {
    const json_t *issue =
        verdict == VERDICT_ISSUED ? exchange->json : json_object_get(exchange->json, "issue");
    if (verdict == VERDICT_ISSUED || verdict == VERDICT_ALREADY_ISSUED) {
        assert_string_equal(json_string_value(json_object_get(issue, "issueId")), "7-4");
    }
    if (verdict == VERDICT_ISSUED) {
        assert_string_equal(answer_field(exchange, "Location"), "/v1/issues/7-4");
    }
    if (verdict == VERDICT_NOT_STARTED) {
        assert_int_equal(strlen(answer_text(exchange, "opensAt")), 27);
        assert_true(answer_field(exchange, "Retry-After")[0] != '\0');
    }
    if (verdict == VERDICT_STORAGE_UNAVAILABLE) {
        assert_true(answer_field(exchange, "Retry-After")[0] != '\0');
    }
}

struct told_verdict {
    enum verdict verdict;
    int status;
};

/* The first answer of a loop: later ones have the memory of those before. */
static void try_answer(struct world *world, struct http_exchange *exchange, const void *subject,
                       size_t nth) {
    const struct told_verdict *told = subject;
    claim(world, exchange, told->verdict);
    fail_nth(nth);
    world_answer(world);
    fail_no_more();
    if (failed && exchange->status != told->status) {
        assert_problem(exchange, 503, "outcome-unknown");
        assert_true(answer_field(exchange, "Retry-After")[0] != '\0');
    } else {
        assert_int_equal(exchange->status, told->status);
        assert_whole(exchange, told->verdict);
    }
    assert_false(exchange->close);
}

static void an_answer_is_whole_or_says_that_the_outcome_is_unknown(void **state) {
    (void)state;
    static const struct told_verdict cases[] = {{VERDICT_ISSUED, 201},
                                                {VERDICT_ALREADY_ISSUED, 409},
                                                {VERDICT_NOT_STARTED, 409},
                                                {VERDICT_SOLD_OUT, 409},
                                                {VERDICT_STORAGE_UNAVAILABLE, 503}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        each_allocation_fails(try_answer, &cases[i]);
    }
}

/* ---- refusals of the api's own ---- */

struct refused_request {
    const char *line;
    const char *fields;
    int status;
};

static void try_refusal(struct world *world, struct http_exchange *exchange, const void *subject,
                        size_t nth) {
    const struct refused_request *refused = subject;
    int status = refused->status;
    fail_nth(nth);
    world_request(world, exchange, refused->line, refused->fields, NULL);
    fail_no_more();
    if (failed && exchange->status != status) {
        assert_problem(exchange, 503, "outcome-unknown");
    } else {
        assert_int_equal(exchange->status, status);
        assert_true(status != 401 || answer_field(exchange, "WWW-Authenticate")[0] != '\0');
        assert_true(status != 405 || answer_field(exchange, "Allow")[0] != '\0');
        assert_true(status != 422 || answer_text(exchange, "field")[0] != '\0');
    }
}

static void a_refusal_keeps_what_belongs_to_it(void **state) {
    (void)state;
    static const struct refused_request cases[] = {
        {"DELETE /v1/coupons/7", "", 405},
        {"GET /v1/coupons", "", 401},
        {"GET /v1/coupons?limit=x", "Authorization: Bearer " ADMIN_TOKEN "\r\n", 422}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        each_allocation_fails(try_refusal, &cases[i]);
    }
}

/* ---- bodies ---- */

struct right_request {
    const char *line;
    const char *body;
};

/* What is right is handed over, or there is no memory for it: never is it called wrong. */
static void try_body(struct world *world, struct http_exchange *exchange, const void *subject,
                     size_t nth) {
    const struct right_request *right = subject;
    fail_nth(nth);
    world_admin(world, exchange, right->line, right->body);
    fail_no_more();
    if (world->job_count == 0) {
        assert_true(failed);
        assert_int_equal(exchange->status, 503);
    } else if (world_job(world)->kind == JOB_CLAIMS) {
        ((struct claim_batch *)world_job(world))->claims[0].verdict = VERDICT_SOLD_OUT;
        world_answer(world);
    } else {
        ((struct command *)world_job(world))->status = STATUS_EXISTS;
        world_answer(world);
    }
}

static void a_right_body_is_never_called_wrong(void **state) {
    (void)state;
    static const struct right_request cases[] = {
        {"POST /v1/coupons/7/issues:batch", "{\"user\\u0049ds\":[7]}"},
        {"POST /v1/coupons", "{\"title\":\"t\",\"totalQuantity\":1,"
                             "\"issueStart\":\"2026-01-01T00:00:00Z\","
                             "\"issueEnd\":\"2027-01-01T00:00:00Z\","
                             "\"metadata\":{\"a\":[1,2.5,\"x\",null,{\"b\":true}]}}"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        each_allocation_fails(try_body, &cases[i]);
    }
}

int main(void) {
    before_reading = fail_no_more;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_whole_or_says_that_the_outcome_is_unknown),
        cmocka_unit_test(a_refusal_keeps_what_belongs_to_it),
        cmocka_unit_test(a_right_body_is_never_called_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

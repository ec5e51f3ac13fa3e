/* GET /metrics: the text's form, and that each figure is the one it says it is. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#define JSON_FIELD "Content-Type: application/json\r\n"

/* The issuer's histograms need bounds, as a real issuer's have. */
static void fill_figures(struct world *world) {
    struct histogram histogram;
    struct issuer_figures *figures = &world->figures;
    *figures = (struct issuer_figures){
        .coupons = 3,
        .issues = 6,
        .queue_depth = 17,
        .clock_held_back_us = 1500000,
        .memory_bytes = 4096,
        .commit_failures = 2,
    };
    histogram_init(&histogram, &histogram_sizes);
    histogram_add(&histogram, 3, 1);
    histogram_add(&histogram, 5000, 1);
    histogram_read(&histogram, &figures->step_claims);
    histogram_read(&histogram, &figures->commit_rows);
    histogram_init(&histogram, &histogram_durations);
    histogram_add(&histogram, 100, 2);
    histogram_add(&histogram, 300, 1);
    histogram_add(&histogram, 20000000, 1);
    histogram_read(&histogram, &figures->commit_us);
    histogram_read(&histogram, &figures->checkpoint_us);
    world->quantities_max = 3;
}

static void scrape(struct world *world, struct http_exchange *exchange) {
    world_request(world, exchange, "GET /metrics", "", NULL);
    assert_int_equal(exchange->status, 200);
    assert_string_equal(exchange->content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(exchange->text);
}

static bool has_line(const struct http_exchange *exchange, const char *line) {
    size_t size = strlen(line);
    for (const char *at = exchange->text; (at = strstr(at, line)) != NULL; at++) {
        if ((at == exchange->text || at[-1] == '\n') && at[size] == '\n') {
            return true;
        }
    }
    return false;
}

static void assert_line(const struct http_exchange *exchange, const char *line) {
    if (!has_line(exchange, line)) {
        fail_msg("no line '%s' in:\n%s", line, exchange->text);
    }
}

static void the_issuers_figures_are_told(void **state) {
    static const char *const lines[] = {
        "coupon_build_info{version=\"" COUPON_VERSION "\"} 1",
        "# TYPE coupon_batch_claims histogram",
        "coupon_batch_claims_bucket{le=\"2\"} 0",
        "coupon_batch_claims_bucket{le=\"4\"} 1",
        "coupon_batch_claims_bucket{le=\"2048\"} 1",
        "coupon_batch_claims_bucket{le=\"+Inf\"} 2",
        "coupon_batch_claims_sum 5003.000000",
        "coupon_batch_claims_count 2",
        "coupon_commit_rows_count 2",
        "coupon_commit_duration_seconds_bucket{le=\"0.0001\"} 2",
        "coupon_commit_duration_seconds_bucket{le=\"0.00025\"} 2",
        "coupon_commit_duration_seconds_bucket{le=\"0.0005\"} 3",
        "coupon_commit_duration_seconds_bucket{le=\"10\"} 3",
        "coupon_commit_duration_seconds_bucket{le=\"+Inf\"} 4",
        "coupon_commit_duration_seconds_sum 20.000500",
        "coupon_checkpoint_duration_seconds_count 4",
        "coupon_commit_failures_total 2",
        "coupon_queue_claims 17",
        "coupon_clock_held_back_seconds 1.500000",
        "coupon_engine_memory_bytes 4096",
        "coupon_coupons 3",
        "coupon_issues 6",
    };
    struct world *world = *state;
    struct http_exchange exchange;
    fill_figures(world);
    scrape(world, &exchange);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        assert_line(&exchange, lines[i]);
    }
    exchange_done(&exchange);
}

static void exactly_one_state_is_one(void **state) {
    static const char *const names[] = {"starting", "ready", "unwritable", "broken", "stopping"};
    struct world *world = *state;
    struct http_exchange exchange;
    fill_figures(world);
    for (size_t now = 0; now < COUNT_OF(names); now++) {
        world->state = (enum issuer_state)now;
        scrape(world, &exchange); /* also while it is starting or broken */
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            char line[64];
            snprintf(line, sizeof(line), "coupon_state{state=\"%s\"} %d", names[i], i == now);
            assert_line(&exchange, line);
        }
        exchange_done(&exchange);
    }
}

static void an_unlimited_coupon_has_no_remaining(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    fill_figures(world);
    scrape(world, &exchange);
    assert_line(&exchange, "coupon_coupon_issued{coupon=\"1\"} 1");
    assert_line(&exchange, "coupon_coupon_remaining{coupon=\"2\"} 1");
    assert_line(&exchange, "coupon_coupon_issued{coupon=\"3\"} 3");
    assert_null(strstr(exchange.text, "coupon_coupon_remaining{coupon=\"3\"}"));
    assert_line(&exchange, "coupon_coupons_left_out 0");
    exchange_done(&exchange);
}

static void a_thousand_coupons_are_told_and_the_rest_counted(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    fill_figures(world);
    world->figures.coupons = 1234;
    world->quantities_max = 1234;
    scrape(world, &exchange);
    assert_line(&exchange, "coupon_coupon_issued{coupon=\"1000\"} 1000");
    assert_null(strstr(exchange.text, "{coupon=\"1001\"}"));
    assert_line(&exchange, "coupon_coupons_left_out 234");
    exchange_done(&exchange);
}

static void a_queue_is_told_where_there_is_one(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    scrape(world, &exchange);
    assert_null(strstr(exchange.text, "coupon_redis_"));
    assert_null(strstr(exchange.text, "coupon_rejects"));
    exchange_done(&exchange);
    world->figures.queue = (struct queue_figures){.present = true,
                                                  .waiting = 1,
                                                  .oldest_us = 2500000,
                                                  .gates_open = 3,
                                                  .admitted = 4,
                                                  .asked_again = 5,
                                                  .questions = 6,
                                                  .late = 6,
                                                  .rebuilt = 7,
                                                  .rejects = 8};
    scrape(world, &exchange);
    assert_line(&exchange, "coupon_redis_waiting_entries 1");
    assert_line(&exchange, "coupon_redis_oldest_seconds 2.500000");
    assert_line(&exchange, "coupon_redis_gates_open 3");
    assert_line(&exchange, "coupon_redis_admitted_total 4");
    assert_line(&exchange, "coupon_redis_asked_again_total 5");
    assert_line(&exchange, "coupon_redis_questions 6");
    assert_line(&exchange, "coupon_redis_late_total 6");
    assert_line(&exchange, "coupon_redis_rebuilds_total 7");
    assert_line(&exchange, "coupon_rejects 8");
    exchange_done(&exchange);
}

/* The counts of the loop by verdict, read from the text. */
static void assert_claims(struct world *world, const uint64_t counts[VERDICT_COUNT]) {
    static const char *const names[VERDICT_COUNT] = {
        [VERDICT_ISSUED] = "issued",
        [VERDICT_REPLAYED] = "replayed",
        [VERDICT_ALREADY_ISSUED] = "already-issued",
        [VERDICT_NO_SUCH_COUPON] = "coupon-not-found",
        [VERDICT_PAUSED] = "paused",
        [VERDICT_NOT_STARTED] = "not-started",
        [VERDICT_ENDED] = "ended",
        [VERDICT_SOLD_OUT] = "sold-out",
        [VERDICT_ADMITTED] = "admitted",
        [VERDICT_OVERLOADED] = "overloaded",
        [VERDICT_STORAGE_UNAVAILABLE] = "storage-unavailable",
        [VERDICT_OUTCOME_UNKNOWN] = "outcome-unknown",
        [VERDICT_STARTING] = "starting",
    };
    struct http_exchange exchange;
    scrape(world, &exchange);
    for (size_t i = 0; i < VERDICT_COUNT; i++) {
        char line[96];
        snprintf(line, sizeof(line), "coupon_claims_total{verdict=\"%s\"} %llu", names[i],
                 (unsigned long long)counts[i]);
        assert_line(&exchange, line);
    }
    exchange_done(&exchange);
}

static void claim(struct world *world, struct http_exchange *exchange) {
    world_request(world, exchange, "POST /v1/coupons/7/issues", JSON_FIELD, "{\"userId\":\"ann\"}");
}

static void every_verdict_is_counted_once(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    uint64_t counts[VERDICT_COUNT] = {0};
    fill_figures(world);
    assert_claims(world, counts);
    for (size_t verdict = 0; verdict < VERDICT_COUNT; verdict++) {
        for (size_t n = 0; n <= verdict; n++) {
            claim(world, &exchange);
            ((struct claim_batch *)world_job(world))->claims[0].verdict = (enum verdict)verdict;
            ((struct claim_batch *)world_job(world))->claims[0].rank = 1;
            world_answer(world);
            exchange_done(&exchange);
            counts[verdict]++;
        }
        assert_claims(world, counts);
    }
    scrape(world, &exchange);
    assert_line(&exchange, "coupon_claim_duration_seconds_count{result=\"issued\"} 1");
    assert_line(&exchange, "coupon_claim_duration_seconds_count{result=\"refused\"} 90");
    assert_line(&exchange,
                "coupon_claim_duration_seconds_bucket{result=\"refused\",le=\"+Inf\"} 90");
    exchange_done(&exchange);
}

static void a_claim_the_issuer_never_got_is_counted_too(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    uint64_t counts[VERDICT_COUNT] = {0};
    fill_figures(world);
    world->state = ISSUER_STARTING;
    claim(world, &exchange);
    assert_problem(&exchange, 503, "starting");
    exchange_done(&exchange);
    counts[VERDICT_STARTING] = 1;
    world->state = ISSUER_READY;
    world->submit_status = STATUS_FULL;
    claim(world, &exchange);
    assert_problem(&exchange, 503, "overloaded");
    exchange_done(&exchange);
    counts[VERDICT_OVERLOADED] = 1;
    assert_claims(world, counts);
}

static void users_of_a_batch_the_queue_did_not_take_count_as_overloaded(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    struct buffer body;
    uint64_t counts[VERDICT_COUNT] = {0};
    fill_figures(world);
    buffer_init(&body);
    for (int i = 0; i < CLAIM_BATCH_MAX + 3; i++) {
        buffer_format(&body, "%s%d", i ? "," : "{\"userIds\":[", i);
    }
    buffer_append(&body, "]}", 3); /* with its terminator */
    world_admin(world, &exchange, "POST /v1/coupons/7/issues:batch", body.bytes);
    struct claim_batch *slice = (struct claim_batch *)world_job(world);
    for (size_t i = 0; i < slice->count; i++) {
        slice->claims[i].verdict = VERDICT_SOLD_OUT;
    }
    world->submit_status = STATUS_FULL;
    world_answer(world);
    assert_int_equal(exchange.status, 200);
    exchange_done(&exchange);
    counts[VERDICT_SOLD_OUT] = CLAIM_BATCH_MAX;
    counts[VERDICT_OVERLOADED] = 3;
    assert_claims(world, counts);
    world_admin(world, &exchange, "POST /v1/coupons/7/issues:batch", body.bytes);
    assert_problem(&exchange, 503, "overloaded");
    exchange_done(&exchange);
    counts[VERDICT_OVERLOADED] += CLAIM_BATCH_MAX + 3;
    assert_claims(world, counts);
    buffer_done(&body);
}

/* A number of the process's own that must be there and above 0. */
static void assert_above_zero(const struct http_exchange *exchange, const char *name) {
    char begin[96];
    snprintf(begin, sizeof(begin), "\n%s ", name);
    const char *at = strstr(exchange->text, begin);
    assert_non_null(at);
    assert_true(strtod(at + strlen(begin), NULL) > 0);
}

static void the_process_is_told(void **state) {
    static const char *const names[] = {"process_cpu_seconds_total",
                                        "process_resident_memory_bytes", "process_open_fds",
                                        "process_max_fds", "process_start_time_seconds"};
    struct world *world = *state;
    struct http_exchange exchange;
    fill_figures(world);
    scrape(world, &exchange);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_above_zero(&exchange, names[i]);
    }
    /* not before it is known whose they are */
    assert_null(strstr(exchange.text, "coupon_http_requests_total"));
    exchange_done(&exchange);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(the_issuers_figures_are_told),
        WITH_WORLD(exactly_one_state_is_one),
        WITH_WORLD(an_unlimited_coupon_has_no_remaining),
        WITH_WORLD(a_thousand_coupons_are_told_and_the_rest_counted),
        WITH_WORLD(a_queue_is_told_where_there_is_one),
        WITH_WORLD(every_verdict_is_counted_once),
        WITH_WORLD(a_claim_the_issuer_never_got_is_counted_too),
        WITH_WORLD(users_of_a_batch_the_queue_did_not_take_count_as_overloaded),
        WITH_WORLD(the_process_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

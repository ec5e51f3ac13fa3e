/* Status URLs of admitted claims: what a 202 names can be asked, reaches the issuer as the place
 * it stands for, and each standing has its answer; any other ticket is no claim's. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#define TICKET "7.3.12.5.YWxpY2U" /* alice, in coupon 7 */

static struct command *ask(struct world *world, struct http_exchange *exchange, const char *url) {
    char line[512];
    snprintf(line, sizeof(line), "GET %s", url);
    world_request(world, exchange, line, "", NULL);
    return (struct command *)world_job(world);
}

static void an_admitted_claim_is_told_where_to_ask(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    world_request(world, &exchange, "POST /v1/coupons/7/issues",
                  "Content-Type: application/json\r\nPrefer: respond-async\r\n",
                  "{\"userId\":\"alice\"}");
    struct claim_batch *batch = (struct claim_batch *)world_job(world);
    assert_true(batch->claims[0].respond_async);
    batch->claims[0].verdict = VERDICT_ADMITTED;
    batch->claims[0].queue_epoch = 3;
    batch->claims[0].queue_n = 12;
    batch->claims[0].rank = 5;
    world_answer(world);
    assert_int_equal(exchange.status, 202);
    assert_string_equal(answer_field(&exchange, "Location"), "/v1/claims/" TICKET);
    assert_string_equal(answer_field(&exchange, "Retry-After"), "1");
    assert_string_equal(answer_text(&exchange, "status"), "pending");
    assert_string_equal(answer_text(&exchange, "statusUrl"), "/v1/claims/" TICKET);
    exchange_done(&exchange);
}

static void a_ticket_reaches_the_issuer_as_its_place(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    struct command *command = ask(world, &exchange, "/v1/claims/" TICKET);
    assert_int_equal(command->job.kind, JOB_CLAIM_READ);
    assert_int_equal(command->reference.coupon_id, 7);
    assert_int_equal(command->place.partition, partition_of(7));
    assert_int_equal(command->place.epoch, 3);
    assert_int_equal(command->place.n, 12);
    assert_int_equal(command->place.index, 5);
    assert_true(slice_is(command->user_id, "alice"));
    command->status = STATUS_NOT_FOUND;
    world_answer(world);
    assert_problem(&exchange, 404, "not-found");
    exchange_done(&exchange);
}

static void every_standing_has_its_answer(void **state) {
    struct world *world = *state;
    static const char *const names[] = {"issued", "pending", "refused", "lost"};
    for (int standing = CLAIM_ISSUED; standing <= CLAIM_LOST; standing++) {
        struct http_exchange exchange;
        struct command *command = ask(world, &exchange, "/v1/claims/" TICKET);
        command->status = STATUS_OK;
        command->standing = (enum claim_standing)standing;
        command->issue = (struct issue_record){.reference = {7, 2}, .issued_at_us = 1};
        memcpy(command->reject.reason, "sold-out", sizeof("sold-out"));
        world_answer(world);
        assert_int_equal(exchange.status, 200);
        assert_string_equal(answer_text(&exchange, "status"), names[standing]);
        assert_string_equal(answer_text(&exchange, "userId"), "alice");
        assert_true(answer_text(&exchange, "detail")[0] != '\0');
        const json_t *issue = json_object_get(exchange.json, "issue");
        assert_int_equal(issue != NULL, standing == CLAIM_ISSUED);
        assert_string_equal(answer_text(&exchange, "code"),
                            standing == CLAIM_REFUSED ? "sold-out" : "");
        assert_string_equal(answer_field(&exchange, "Retry-After"),
                            standing == CLAIM_PENDING ? "1" : "");
        exchange_done(&exchange);
    }
}

static void a_ledger_that_cannot_be_read_is_told(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    ask(world, &exchange, "/v1/claims/" TICKET)->status = STATUS_IO;
    world_answer(world);
    assert_problem(&exchange, 503, "storage-unavailable");
    exchange_done(&exchange);
}

static void what_is_no_ticket_is_no_claim(void **state) {
    struct world *world = *state;
    static const char *const wrong[] = {
        "x",
        "7",
        "7.3.12.5",
        "7.3.12.5.",
        ".3.12.5.YWxpY2U",
        "7.3.12.5.YWxpY2U=",
        "7.3.12.5.YWxpY2V", /* bits behind the last byte */
        "7.3.12.5.IA",      /* a space */
        "7.3.12.5.YWxpY2U.1",
        "7.3.12.2048.YWxpY2U",
        "7.3.0.5.YWxpY2U",
        "7.0.12.5.YWxpY2U",
        "0.3.12.5.YWxpY2U",
        "9007199254740992.3.12.5.YWxpY2U",
        "7.9223372036854775808.12.5.YWxpY2U",
        "7.-3.12.5.YWxpY2U",
        "07.3.12.5.YWxpY2U",
        "7.3.12.5.%59WxpY2U",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct http_exchange exchange;
        char line[512];
        snprintf(line, sizeof(line), "GET /v1/claims/%s", wrong[i]);
        world_request(world, &exchange, line, "", NULL);
        assert_problem(&exchange, 404, "not-found");
        exchange_done(&exchange);
    }
}

static void the_longest_user_fits_and_no_longer_one(void **state) {
    struct world *world = *state;
    struct http_exchange exchange;
    char user[USER_ID_MAX + 1];
    struct buffer url;
    memset(user, '~', sizeof(user));
    struct claim claim = {.coupon_id = (uint64_t)JSON_INTEGER_MAX,
                          .user_id = {user, USER_ID_MAX},
                          .queue_epoch = INT64_MAX,
                          .queue_n = INT64_MAX,
                          .rank = CLAIM_BATCH_MAX - 1};
    buffer_init(&url);
    render_claim_url(&url, &claim);
    buffer_append(&url, "", 1);
    struct command *command = ask(world, &exchange, url.bytes);
    assert_true(slice_equal(command->user_id, claim.user_id));
    assert_int_equal(command->place.n, INT64_MAX);
    command->status = STATUS_IO;
    world_answer(world);
    exchange_done(&exchange);
    buffer_done(&url);
    buffer_init(&url);
    buffer_text(&url, "GET /v1/claims/7.1.1.0.");
    for (int i = 0; i < (USER_ID_MAX + 1) / 3; i++) {
        buffer_text(&url, "fn5-"); /* "~~~" */
    }
    buffer_append(&url, "", 1);
    world_request(world, &exchange, url.bytes, "", NULL);
    buffer_done(&url);
    assert_problem(&exchange, 404, "not-found");
    exchange_done(&exchange);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_admitted_claim_is_told_where_to_ask, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_ticket_reaches_the_issuer_as_its_place, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(every_standing_has_its_answer, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_ledger_that_cannot_be_read_is_told, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_ticket_is_no_claim, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(the_longest_user_fits_and_no_longer_one, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

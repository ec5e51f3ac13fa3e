/* GET /openapi.json: whole and valid JSON, of the program's version, whatever state the server
 * is in. What it says is held against a running server by tests/e2e/test_openapi_walk.py. */
#include "support.h"

static void assert_contract(struct world *world, const char *line) {
    struct http_exchange exchange;
    world_request(world, &exchange, line, "", NULL);
    assert_int_equal(exchange.status, 200);
    assert_string_equal(exchange.content_type, "application/json");
    assert_string_equal(exchange.fields, "");
    assert_string_equal(answer_text(&exchange, "openapi"), "3.1.0");
    const json_t *info = json_object_get(exchange.json, "info");
    assert_string_equal(json_string_value(json_object_get(info, "version")), COUPON_VERSION);
    exchange_done(&exchange);
}

static void anyone_is_told_the_contract_whatever_the_query(void **state) {
    assert_contract(*state, "GET /openapi.json");
    assert_contract(*state, "GET /openapi.json?x=1&x");
    assert_contract(*state, "HEAD /openapi.json");
}

static void it_is_told_while_the_server_can_do_nothing_else(void **state) {
    struct world *world = *state;
    world->state = ISSUER_STARTING;
    assert_contract(world, "GET /openapi.json");
    world->state = ISSUER_BROKEN;
    assert_contract(world, "GET /openapi.json");
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(anyone_is_told_the_contract_whatever_the_query),
        WITH_WORLD(it_is_told_while_the_server_can_do_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

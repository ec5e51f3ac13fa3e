/* The body of a batch: the plain form against jansson's reading of the same users, and what
 * is refused. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

static size_t jansson_calls;
json_t *__real_json_loadb(const char *bytes, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *bytes, size_t size, size_t flags, json_error_t *error);

json_t *__wrap_json_loadb(const char *bytes, size_t size, size_t flags, json_error_t *error) {
    jansson_calls++;
    return __real_json_loadb(bytes, size, flags, error);
}

/* The users with '|' after each, or the refusal's status. */
static struct buffer read_text(struct slice body) {
    struct buffer text = {0};
    struct claim *claims = NULL;
    char *texts = NULL;
    size_t count = 0;
    struct fault fault = {0};
    if (bulk_body_read(body, &claims, &count, &texts, &fault)) {
        assert_non_null(fault.detail);
        buffer_text(&text, fault.problem == PROBLEM_INVALID_VALUE ? "422" : "400");
    }
    for (size_t i = 0; i < count; i++) {
        buffer_slice(&text, claims[i].user_id);
        buffer_text(&text, "|");
    }
    free(claims);
    free(texts);
    buffer_append(&text, "", 1);
    return text;
}

static void check_text(const char *body, const char *expected) {
    struct buffer text = read_text(slice_of(body));
    assert_string_equal(text.bytes, expected);
    buffer_done(&text);
}

static void the_users_come_out_in_order(void **state) {
    (void)state;
    jansson_calls = 0;
    check_text("{\"userIds\":[\"a\",7,\"b\"]}", "a|7|b|");
    check_text(" { \"userIds\" : [ \"a\" , 0 ] } \r\n", "a|0|");
    assert_int_equal(jansson_calls, 0);
    check_text("{\"userIds\":[\"\\u0041\",-5,9223372036854775807]}", "A|-5|9223372036854775807|");
    check_text("{\"user\\u0049ds\":[\"a\"]}", "a|");
    assert_int_equal(jansson_calls, 2);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    check_text("{\"userIds\":[]}", "422");
    check_text("{\"userIds\":[\"\"]}", "422");
    check_text("{\"userIds\":[\"\\u0000\"]}", "400");
    check_text("{\"userIds\":[\"a\\n\"]}", "422");
    check_text("{\"userIds\":[\"\xc3\xa9\"]}", "422");
    check_text("{\"userIds\":[\"a\",{}]}", "400");
    check_text("{\"userIds\":[01]}", "400");
    check_text("{\"userIds\":[\"a\"],\"userIds\":[\"b\"]}", "400");
    check_text("{\"userIds\":[\"a\"]}x", "400");
    check_text("{\"userIds\":[\"a\"", "400");
    check_text("", "400");
}

static void users_are_counted_to_the_limit(void **state) {
    (void)state;
    static const char *const spellings[] = {"7", "\"\\u0061\""}; /* plain, and not */
    for (size_t spelling = 0; spelling < COUNT_OF(spellings); spelling++) {
        for (size_t count = BULK_USERS_MAX; count <= BULK_USERS_MAX + 1; count++) {
            struct buffer body = {0};
            buffer_text(&body, "{\"userIds\":[");
            for (size_t i = 0; i < count; i++) {
                buffer_format(&body, "%s%s", i ? "," : "", spellings[spelling]);
            }
            buffer_text(&body, "]}");
            struct buffer text = read_text(buffer_view(&body));
            assert_int_equal(strcmp(text.bytes, "422") == 0, count > BULK_USERS_MAX);
            buffer_done(&text);
            buffer_done(&body);
        }
    }
}

/* A random batch, and the same one with an escape in its field's name, which the plain form
 * does not take: both readers must find the same. */
static void random_batches_are_read_alike_both_ways(void **state) {
    (void)state;
    static const char *const users[] = {"\"a\"",
                                        "\"user-1\"",
                                        "7",
                                        "0",
                                        "\"\"",
                                        "\"a b\"",
                                        "-1",
                                        "\"\xc3\xa9\"",
                                        "1.5",
                                        "null",
                                        "\"\\\"\"",
                                        "\"~\"",
                                        "12345678901234567890"};
    const char *seed_text = getenv("COUPON_TEST_SEED");
    uint64_t seed = (uint64_t)clock_realtime(NULL);
    assert_true(!seed_text || slice_to_u64(slice_of(seed_text), UINT64_MAX, &seed) == STATUS_OK);
    print_message("# COUPON_TEST_SEED=%llu\n", (unsigned long long)seed);
    srandom((unsigned)seed);
    for (int round = 0; round < 20000; round++) {
        struct buffer users_text = {0};
        struct buffer plain = {0};
        struct buffer escaped = {0};
        long count = random() % 6;
        for (long i = 0; i < count; i++) {
            long most = random() % 8 ? 4 : (long)COUNT_OF(users);
            buffer_format(&users_text, "%s%s", i ? "," : "", users[random() % most]);
        }
        buffer_text(&plain, "{\"userIds\":[");
        buffer_text(&escaped, "{\"user\\u0049ds\":[");
        buffer_slice(&plain, buffer_view(&users_text));
        buffer_slice(&escaped, buffer_view(&users_text));
        buffer_text(&plain, "]}");
        buffer_text(&escaped, "]}");
        struct buffer one = read_text(buffer_view(&plain));
        struct buffer other = read_text(buffer_view(&escaped));
        assert_string_equal(one.bytes, other.bytes);
        buffer_done(&one);
        buffer_done(&other);
        buffer_done(&users_text);
        buffer_done(&plain);
        buffer_done(&escaped);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_users_come_out_in_order),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(users_are_counted_to_the_limit),
        cmocka_unit_test(random_batches_are_read_alike_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

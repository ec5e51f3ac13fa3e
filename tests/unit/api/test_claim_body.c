/* The body of a claim: a table of what is taken and refused, and the reader of the plain form
 * held against jansson on random and mutated bodies. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

/* How often jansson was asked; the linker puts this in front of it (meson.build). */
static size_t jansson_calls;
json_t *__real_json_loadb(const char *bytes, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *bytes, size_t size, size_t flags, json_error_t *error);

json_t *__wrap_json_loadb(const char *bytes, size_t size, size_t flags, json_error_t *error) {
    jansson_calls++;
    return __real_json_loadb(bytes, size, flags, error);
}

/* What came of a body. */
struct outcome {
    int status;
    struct fault fault;
    uint64_t coupon_id;
    size_t user_id_size;
    char user_id[USER_ID_MAX];
};

typedef int reader(struct call *, struct slice, bool, struct fault *);

static struct outcome read_with(reader *read, struct slice body, bool with_coupon) {
    struct call call = {0};
    struct outcome outcome = {0};
    outcome.status = read(&call, body, with_coupon, &outcome.fault);
    if (outcome.status == STATUS_OK) {
        outcome.coupon_id = call.reference.coupon_id;
        outcome.user_id_size = call.user_id_size;
        memcpy(outcome.user_id, call.user_id, call.user_id_size);
    }
    return outcome;
}

/* ---- the table ---- */

/* "alice", or "alice 7" with a coupon; a refusal is the status and the field or "-". */
static void check_outcome(const char *body, bool with_coupon, const char *expected) {
    char text[256];
    struct outcome outcome = read_with(claim_body_read, slice_of(body), with_coupon);
    int size = (int)outcome.user_id_size;
    if (outcome.status) {
        assert_true(outcome.fault.detail && outcome.fault.detail[0]);
        snprintf(text, sizeof(text), "%s %s",
                 outcome.fault.problem == PROBLEM_INVALID_VALUE       ? "422"
                 : outcome.fault.problem == PROBLEM_MALFORMED_REQUEST ? "400"
                                                                      : "?",
                 outcome.fault.field ? outcome.fault.field : "-");
    } else if (with_coupon) {
        snprintf(text, sizeof(text), "%.*s %llu", size, outcome.user_id,
                 (unsigned long long)outcome.coupon_id);
    } else {
        snprintf(text, sizeof(text), "%.*s", size, outcome.user_id);
    }
    if (strcmp(text, expected) != 0) {
        fail_msg("\"%s\", not \"%s\", for %s", text, expected, body);
    }
}

#define TEN(text) text text text text text text text text text text
#define USER_128  TEN("abcdefghijkl") "12345678"

static void a_claim_names_its_user(void **state) {
    (void)state;
    static const char *const table[][2] = {
        {"{\"userId\":\"alice\"}", "alice"},
        {" \t\r\n{ \"userId\" : \"alice\" } \n", "alice"},
        {"{\"userId\":1}", "1"},
        {"{\"userId\":0}", "0"},
        {"{\"userId\":-5}", "-5"},
        {"{\"userId\":-0}", "0"},
        {"{\"userId\":999999999999999999}", "999999999999999999"},
        {"{\"userId\":9223372036854775807}", "9223372036854775807"},
        {"{\"userId\":-9223372036854775808}", "-9223372036854775808"},
        {"{\"userId\":\"1\"}", "1"},
        {"{\"userId\":\"01\"}", "01"},
        {"{\"userId\":\"!~a.b@c\"}", "!~a.b@c"},
        {"{\"userId\":\"\\u0061\\/b\"}", "a/b"},
        {"{\"user\\u0049d\":\"a\"}", "a"},
        {"{\"userId\":\"a\\\"b\\\\c\"}", "a\"b\\c"},
        {"{\"userId\":\"" USER_128 "\"}", USER_128},
        {"{\"userId\":\"" USER_128 "9\"}", "422 userId"},
        {"{\"userId\":\"\"}", "422 userId"},
        {"{\"userId\":\"a b\"}", "422 userId"},
        {"{\"userId\":\"a\\tb\"}", "422 userId"},
        {"{\"userId\":\"\xc3\xa4\"}", "422 userId"},
        {"{\"userId\":\"\x7f\"}", "422 userId"},
        {"{\"userId\":9223372036854775808}", "400 -"}, /* not 64 bits */
        {"{\"userId\":01}", "400 -"},
        {"{\"userId\":+1}", "400 -"},
        {"{\"userId\":1.0}", "400 userId"},
        {"{\"userId\":1e3}", "400 userId"},
        {"{\"userId\":null}", "400 userId"},
        {"{\"userId\":true}", "400 userId"},
        {"{\"userId\":[\"a\"]}", "400 userId"},
        {"{\"userId\":{}}", "400 userId"},
        {"{\"userId\":\"a\",\"userId\":\"a\"}", "400 -"},
        {"{\"userId\":\"a\",\"user\\u0049d\":\"a\"}", "400 -"},
        {"{\"userId\":\"a\",}", "400 -"},
        {"{\"userId\":\"a\"", "400 -"},
        {"{\"userId\":\"a\"}x", "400 -"},
        {"{\"userId\":\"a\"}{}", "400 -"},
        {"{\"userId\":\"a\x01\"}", "400 -"},
        {"{\"userId\":\"\xff\"}", "400 -"},
        {"{\"userId\":\"\\u0000\"}", "400 -"},
        {"{\"userId\":'a'}", "400 -"},
        {"{\"userId\":\"a\",\"more\":1}", "400 -"},
        {"{\"userId\":\"a\",\"couponId\":1}", "400 -"},
        {"{\"couponId\":1}", "400 -"},
        {"{\"userid\":\"a\"}", "400 -"},
        {"{}", "400 userId"},
        {"", "400 -"},
        {"   ", "400 -"},
        {"null", "400 -"},
        {"\"userId\"", "400 -"},
        {"[\"userId\"]", "400 -"},
        {"\xef\xbb\xbf{\"userId\":\"a\"}", "400 -"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        check_outcome(table[i][0], false, table[i][1]);
    }
}

static void an_original_claim_names_its_coupon_too(void **state) {
    (void)state;
    static const char *const table[][2] = {
        {"{\"userId\":1,\"couponId\":1}", "1 1"},
        {"{\"couponId\":9007199254740991,\"userId\":\"a\"}", "a 9007199254740991"},
        {"{\"userId\":\"a\",\"couponId\":9007199254740992}", "422 couponId"},
        {"{\"userId\":\"a\",\"couponId\":9223372036854775807}", "422 couponId"},
        {"{\"userId\":\"a\",\"couponId\":0}", "422 couponId"},
        {"{\"userId\":\"a\",\"couponId\":-1}", "422 couponId"},
        {"{\"userId\":\"a\",\"couponId\":9223372036854775808}", "400 -"},
        {"{\"userId\":\"a\",\"couponId\":\"1\"}", "400 couponId"},
        {"{\"userId\":\"\",\"couponId\":\"1\"}", "400 couponId"},
        {"{\"userId\":\"a\",\"couponId\":1.5}", "400 couponId"},
        {"{\"userId\":\"a\",\"couponId\":null}", "400 couponId"},
        {"{\"userId\":\"a\"}", "400 couponId"},
        {"{\"couponId\":1}", "400 userId"},
        {"{}", "400 userId"},
        {"{\"userId\":\"a\",\"couponId\":1,\"couponId\":1}", "400 -"},
        {"{\"userId\":\"a\",\"couponId\":1,\"more\":1}", "400 -"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        check_outcome(table[i][0], true, table[i][1]);
    }
}

static void the_plain_form_is_read_without_jansson(void **state) {
    (void)state;
    static const char *const plain[] = {
        "{\"userId\":\"alice\"}", "{\"userId\":12345}", "{ \"userId\" :\n\"a\" }",
        "{\"userId\":\"a\",\"couponId\":3}", "{\"couponId\":3,\"userId\":\"a\"}"};
    size_t calls = jansson_calls;
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        assert_int_equal(read_with(claim_body_read, slice_of(plain[i]), i > 2).status, STATUS_OK);
    }
    assert_int_equal(jansson_calls, calls);
}

/* ---- against jansson ---- */

enum { BODIES = 150000, BODY_SIZE = 700 };

struct maker {
    uint64_t random;
    char bytes[BODY_SIZE];
    size_t size;
};

static size_t below(struct maker *maker, size_t limit) {
    return (size_t)random_between(&maker->random, 0, (int64_t)limit - 1);
}

static void add(struct maker *maker, const char *text) {
    size_t size = strlen(text);
    if (maker->size + size <= sizeof(maker->bytes)) {
        memcpy(maker->bytes + maker->size, text, size);
        maker->size += size;
    }
}

static void add_space(struct maker *maker) {
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t", "\r\n", "\f"};
    add(maker, spaces[below(maker, below(maker, 20) ? 8 : COUNT_OF(spaces))]);
}

static void add_name(struct maker *maker) {
    static const char *const names[] = {
        "\"userId\"",   "\"userId\"",   "\"userId\"",        "\"userId\"",
        "\"couponId\"", "\"couponId\"", "\"couponId\"",      "\"user\\u0049d\"",
        "\"userid\"",   "\"\"",         "\"user\\u0000Id\"", "userId",
    };
    add(maker, names[below(maker, below(maker, 4) ? 7 : COUNT_OF(names))]);
}

static void add_value(struct maker *maker) {
    static const char *const values[] = {
        "\"alice\"",
        "\"1\"",
        "1",
        "42",
        "0",
        "999999999999999999",
        "\"~!\"",
        "9007199254740991",
        "9007199254740992",
        "1000000000000000000",
        "9223372036854775807",
        "9223372036854775808",
        "-1",
        "-0",
        "00",
        "01",
        "1.0",
        "1e3",
        "1E400",
        "1.",
        ".5",
        "+1",
        "0x1",
        "\"\"",
        "\" \"",
        "\"a b\"",
        "\"\\u0061\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\n\"",
        "\"a\\\"b\"",
        "\"\xc3\xa4\"",
        "\"\xff\"",
        "\"\x01\"",
        "\"\x7f\"",
        "\"\\u0000\"",
        "null",
        "true",
        "false",
        "[]",
        "[1]",
        "{}",
        "{\"userId\":\"a\"}",
        "NaN",
        "\"" USER_128 "\"",
        "\"" USER_128 "x\"",
        "\"open",
    };
    add(maker, values[below(maker, below(maker, 2) ? 7 : COUNT_OF(values))]);
}

static void make_body(struct maker *maker) {
    static const size_t counts[] = {1, 1, 1, 2, 2, 2, 3, 0};
    size_t count = counts[below(maker, COUNT_OF(counts))];
    maker->size = 0;
    add_space(maker);
    add(maker, "{");
    for (size_t i = 0; i < count; i++) {
        add(maker, i ? "," : "");
        add_space(maker);
        add_name(maker);
        add_space(maker);
        add(maker, ":");
        add_space(maker);
        add_value(maker);
        add_space(maker);
    }
    add(maker, below(maker, 50) ? "}" : ",}");
    add_space(maker);
    add(maker, below(maker, 100) ? "" : "{}");
}

/* One small harm: a byte changed, taken out or put in, the end cut off, a part repeated. */
static void mutate(struct maker *maker) {
    static const char bytes[] =
        "{}[]:,\"\\ \t\n\0/-+.0123456789eEuIdaf\x01\x1f\x20\x7f\x80\xc3\xff";
    size_t at = below(maker, maker->size + 1);
    size_t rest = maker->size - at;
    char byte = bytes[below(maker, sizeof(bytes) - 1)];
    switch (below(maker, 5)) {
    case 0:
        maker->bytes[rest ? at : 0] = byte;
        break;
    case 1:
        memmove(maker->bytes + at, maker->bytes + at + (rest ? 1 : 0), rest - (rest ? 1 : 0));
        maker->size -= rest ? 1 : 0;
        break;
    case 2:
        if (maker->size < sizeof(maker->bytes)) {
            memmove(maker->bytes + at + 1, maker->bytes + at, rest);
            maker->bytes[at] = byte;
            maker->size++;
        }
        break;
    case 3:
        maker->size = at;
        break;
    default:
        rest = below(maker, rest + 1);
        if (maker->size + rest <= sizeof(maker->bytes)) {
            memcpy(maker->bytes + maker->size, maker->bytes + at, rest);
            maker->size += rest;
        }
    }
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_outcome(const struct outcome *a, const struct outcome *b) {
    if (a->status != b->status) {
        return false;
    }
    if (a->status) {
        return a->fault.problem == b->fault.problem && same_text(a->fault.field, b->fault.field) &&
               same_text(a->fault.detail, b->fault.detail);
    }
    return a->coupon_id == b->coupon_id && a->user_id_size == b->user_id_size &&
           memcmp(a->user_id, b->user_id, a->user_id_size) == 0;
}

/* The body in memory of exactly its size, so that a sanitizer sees a read past it. */
static void compare(struct maker *maker, size_t *taken, size_t *plain) {
    char *body = malloc(maker->size ? maker->size : 1);
    assert_non_null(body);
    memcpy(body, maker->bytes, maker->size);
    for (int with_coupon = 0; with_coupon < 2; with_coupon++) {
        struct slice bytes = {body, maker->size};
        struct outcome slow = read_with(claim_body_read_any, bytes, with_coupon);
        size_t calls = jansson_calls;
        struct outcome fast = read_with(claim_body_read, bytes, with_coupon);
        *plain += jansson_calls == calls;
        *taken += fast.status == STATUS_OK;
        if (!same_outcome(&fast, &slow)) {
            fail_msg("%s / %s: %.*s", fast.status ? fast.fault.detail : "taken",
                     slow.status ? slow.fault.detail : "taken", (int)maker->size, body);
        }
    }
    free(body);
}

static void the_plain_reader_agrees_with_jansson(void **state) {
    (void)state;
    struct maker maker = {.random = random_seed()};
    size_t taken = 0;
    size_t plain = 0;
    for (size_t i = 0; i < BODIES; i++) {
        make_body(&maker);
        for (size_t harms = below(&maker, 4); harms > 1; harms--) {
            mutate(&maker);
        }
        compare(&maker, &taken, &plain);
    }
    printf("# %d bodies read twice: %zu taken, %zu of the plain form\n", BODIES, taken, plain);
    assert_true(taken > BODIES / 30);
    assert_true(plain > BODIES / 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim_names_its_user),
        cmocka_unit_test(an_original_claim_names_its_coupon_too),
        cmocka_unit_test(the_plain_form_is_read_without_jansson),
        cmocka_unit_test(the_plain_reader_agrees_with_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

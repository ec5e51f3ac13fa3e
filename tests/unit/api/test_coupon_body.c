/* The bodies of POST and PATCH of a coupon: what each field takes, and what is said of what
 * it does not. */
#include "support.h"

#include <stdio.h>

/* Status and field of a refusal, "400 title"; "ok" otherwise. */
static const char *outcome_of(int status, const struct fault *fault) {
    static char text[64];
    if (status == STATUS_OK) {
        return "ok";
    }
    assert_int_equal(status, STATUS_INVALID);
    assert_true(fault->detail && fault->detail[0]);
    assert_true(fault->problem == PROBLEM_INVALID_VALUE ||
                fault->problem == PROBLEM_MALFORMED_REQUEST);
    snprintf(text, sizeof(text), "%s %s", fault->problem == PROBLEM_INVALID_VALUE ? "422" : "400",
             fault->field ? fault->field : "-");
    return text;
}

static void check_create(const char *body, const char *expected) {
    struct coupon_record coupon;
    struct fault fault = {0};
    int status = coupon_body_create(slice_of(body), &coupon, &fault);
    if (strcmp(outcome_of(status, &fault), expected) != 0) {
        fail_msg("\"%s\", not \"%s\", for %s", outcome_of(status, &fault), expected, body);
    }
}

static unsigned check_patch(const char *body, const char *expected,
                            struct coupon_record *ret_coupon) {
    struct fault fault = {0};
    unsigned patch_set = 0;
    int status = coupon_body_patch(slice_of(body), ret_coupon, &patch_set, &fault);
    if (strcmp(outcome_of(status, &fault), expected) != 0) {
        fail_msg("\"%s\", not \"%s\", for %s", outcome_of(status, &fault), expected, body);
    }
    return patch_set;
}

#define PERIOD   "\"issueStart\":\"2026-03-01T00:00:00Z\",\"issueEnd\":\"2026-03-02T00:00:00Z\""
#define REQUIRED "\"title\":\"t\",\"totalQuantity\":5," PERIOD

static void a_coupon_is_read_whole(void **state) {
    (void)state;
    struct coupon_record coupon;
    struct fault fault;
    const char *body = "{\"title\":\"Spring \xc3\xa4 \\\"sale\\\"\",\"totalQuantity\":4000000000,"
                       "\"issueStart\":\"1970-01-01T01:00:00.0000019+01:00\","
                       "\"issueEnd\":\"1970-01-01T00:00:02z\",\"discountAmount\":1,"
                       "\"minAvailableAmount\":9007199254740991,\"id\":9007199254740991,"
                       "\"metadata\":{\"b\" : [1, \"x\"], \"a\": {}}}";
    assert_int_equal(coupon_body_create(slice_of(body), &coupon, &fault), STATUS_OK);
    assert_string_equal(coupon.title, "Spring \xc3\xa4 \"sale\"");
    assert_int_equal(coupon.total_quantity, COUPON_QUANTITY_MAX);
    assert_int_equal(coupon.issue_start_us, 1);
    assert_int_equal(coupon.issue_end_us, 2 * US_PER_SECOND);
    assert_int_equal(coupon.discount_amount, 1);
    assert_int_equal(coupon.min_available_amount, JSON_INTEGER_MAX);
    assert_int_equal(coupon.id, JSON_INTEGER_MAX);
    assert_string_equal(coupon.metadata, "{\"b\":[1,\"x\"],\"a\":{}}");
    assert_false(coupon.paused);
    body = "{" REQUIRED "}";
    assert_int_equal(coupon_body_create(slice_of(body), &coupon, &fault), STATUS_OK);
    assert_int_equal(coupon.id, 0);
    assert_int_equal(coupon.discount_amount, 0);
    assert_int_equal(coupon.min_available_amount, 0);
    assert_string_equal(coupon.metadata, "");
    body = "{\"title\":\"t\",\"totalQuantity\":null,\"metadata\":null," PERIOD "}";
    assert_int_equal(coupon_body_create(slice_of(body), &coupon, &fault), STATUS_OK);
    assert_int_equal(coupon.total_quantity, COUPON_UNLIMITED);
    assert_string_equal(coupon.metadata, "");
}

static void a_creation_is_refused_by_field(void **state) {
    (void)state;
    static const char *const table[][2] = {
        {"", "400 -"},
        {"[]", "400 -"},
        {"{" REQUIRED "} x", "400 -"},
        {"{" REQUIRED ",\"title\":\"t\"}", "400 -"},
        {"{" REQUIRED ",\"metadata\":{\"a\":1,\"a\":1}}", "400 -"},
        {"{" REQUIRED ",\"more\":1}", "400 -"},
        {"{" REQUIRED ",\"paused\":true}", "400 -"},
        {"{" REQUIRED ",\"archived\":true}", "400 -"},
        {"{" REQUIRED ",\"issuedQuantity\":1}", "400 -"},
        {"{}", "400 title"},
        {"{\"totalQuantity\":5," PERIOD "}", "400 title"},
        {"{\"title\":\"t\"," PERIOD "}", "400 totalQuantity"},
        {"{\"title\":\"t\",\"totalQuantity\":5,\"issueEnd\":\"2026-03-02T00:00:00Z\"}",
         "400 issueStart"},
        {"{\"title\":\"t\",\"totalQuantity\":5,\"issueStart\":\"2026-03-02T00:00:00Z\"}",
         "400 issueEnd"},
        {"{\"title\":\"t\",\"totalQuantity\":5,\"issueStart\":\"2026-03-02T00:00:00Z\","
         "\"issueEnd\":\"2026-03-02T00:00:00Z\"}",
         "422 issueEnd"},
        {"{\"title\":\"t\",\"totalQuantity\":5,\"issueStart\":\"2026-03-03T00:00:00Z\","
         "\"issueEnd\":\"2026-03-02T00:00:00Z\"}",
         "422 issueEnd"},
        {"{" REQUIRED ",\"id\":0}", "422 id"},
        {"{" REQUIRED ",\"id\":9007199254740992}", "422 id"},
        {"{" REQUIRED ",\"id\":\"1\"}", "400 id"},
        {"{" REQUIRED ",\"id\":null}", "400 id"},
        /* a wrong form anywhere comes before an impossible value (docs/api.md) */
        {"{\"id\":0}", "400 title"},
        {"{\"title\":\"\"," PERIOD "}", "400 totalQuantity"},
        {"{\"title\":\"\",\"totalQuantity\":\"5\"," PERIOD "}", "400 totalQuantity"},
        {"{\"title\":\"\",\"totalQuantity\":0," PERIOD "}", "422 title"},
        {"{\"title\":\"\",\"totalQuantity\":0,\"more\":0," PERIOD "}", "400 -"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        check_create(table[i][0], table[i][1]);
    }
}

#define METADATA_BUT_8 TEN_OF(TEN_OF("aaaaaaaaaaaaaaaaaaaa")) TEN_OF("aaaa")
#define TEN_OF(text)   text text text text text text text text text text
#define TITLE_250      TEN_OF("abcdefghijklmnopqrstuvwxy")

static void each_field_takes_its_type_and_range(void **state) {
    (void)state;
    struct coupon_record coupon;
    static const char *const table[][2] = {
        {"\"title\":\"t\"", "ok"},
        {"\"title\":\"" TITLE_250 "123456\"", "ok"},
        {"\"title\":\"" TITLE_250 "1234567\"", "422 title"},
        {"\"title\":\"" TITLE_250 "12345\xc3\xa4\"", "422 title"}, /* bytes count */
        {"\"title\":\"\"", "422 title"},
        {"\"title\":\"a\\nb\"", "422 title"},
        {"\"title\":\"a\\u007f\"", "422 title"},
        {"\"title\":\"a\\u0000b\"", "400 -"},
        {"\"title\":1", "400 title"},
        {"\"title\":null", "400 title"},
        {"\"totalQuantity\":1", "ok"},
        {"\"totalQuantity\":4000000000", "ok"},
        {"\"totalQuantity\":null", "ok"},
        {"\"totalQuantity\":0", "422 totalQuantity"},
        {"\"totalQuantity\":-1", "422 totalQuantity"},
        {"\"totalQuantity\":4000000001", "422 totalQuantity"},
        {"\"totalQuantity\":1.0", "400 totalQuantity"},
        {"\"totalQuantity\":\"1\"", "400 totalQuantity"},
        {"\"issueStart\":\"2026-03-01T00:00:00+09:00\"", "ok"},
        {"\"issueStart\":\"2026-02-30T00:00:00Z\"", "422 issueStart"},
        {"\"issueStart\":\"2026-03-01\"", "422 issueStart"},
        {"\"issueEnd\":\"9999-12-31T23:59:59.9999999Z\"", "ok"},
        {"\"issueEnd\":\"0001-01-01T00:00:00+00:01\"", "422 issueEnd"},
        {"\"issueEnd\":1760000000", "400 issueEnd"},
        {"\"discountAmount\":0", "ok"},
        {"\"discountAmount\":9007199254740991", "ok"},
        {"\"discountAmount\":-1", "422 discountAmount"},
        {"\"discountAmount\":9007199254740992", "422 discountAmount"},
        {"\"discountAmount\":null", "400 discountAmount"},
        {"\"minAvailableAmount\":9007199254740992", "422 minAvailableAmount"},
        {"\"minAvailableAmount\":\"1\"", "400 minAvailableAmount"},
        {"\"paused\":true", "ok"},
        {"\"paused\":false", "ok"},
        {"\"paused\":0", "400 paused"},
        {"\"paused\":null", "400 paused"},
        {"\"archived\":true", "ok"},
        {"\"archived\":false", "422 archived"},
        {"\"archived\":1", "400 archived"},
        {"\"metadata\":null", "ok"},
        {"\"metadata\":{}", "ok"},
        {"\"metadata\":{\"k\":\"" METADATA_BUT_8 "\"}", "ok"},
        {"\"metadata\": { \"k\" : \"" METADATA_BUT_8 "\" } ", "ok"},
        {"\"metadata\":{\"k\":\"" METADATA_BUT_8 "a\"}", "422 metadata"},
        {"\"metadata\":[]", "400 metadata"},
        {"\"metadata\":\"{}\"", "400 metadata"},
        {"\"id\":1", "400 -"},
        {"\"issuedQuantity\":1", "400 -"},
        {"\"version\":1", "400 -"},
        {"", "400 -"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char body[3000];
        snprintf(body, sizeof(body), "{%s}", table[i][0]);
        check_patch(body, table[i][1], &coupon);
    }
}

static void a_patch_tells_what_it_sets(void **state) {
    (void)state;
    static const struct {
        const char *member;
        unsigned bit;
    } members[] = {
        {"\"title\":\"x\"", PATCH_TITLE},
        {"\"totalQuantity\":9", PATCH_TOTAL_QUANTITY},
        {"\"issueStart\":\"1970-01-01T00:00:01Z\"", PATCH_ISSUE_START},
        {"\"issueEnd\":\"1970-01-01T00:00:00.5Z\"", PATCH_ISSUE_END}, /* judged by the issuer */
        {"\"discountAmount\":3", PATCH_DISCOUNT_AMOUNT},
        {"\"minAvailableAmount\":4", PATCH_MIN_AVAILABLE_AMOUNT},
        {"\"paused\":true", PATCH_PAUSED},
        {"\"metadata\":{\"a\":1}", PATCH_METADATA},
        {"\"archived\":true", PATCH_ARCHIVED},
    };
    struct coupon_record coupon;
    char all[1000] = "{";
    unsigned bits = 0;
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        char one[100];
        snprintf(one, sizeof(one), "{%s}", members[i].member);
        assert_int_equal(check_patch(one, "ok", &coupon), members[i].bit);
        size_t size = strlen(all);
        snprintf(all + size, sizeof(all) - size, "%s%s", i ? "," : "", members[i].member);
        bits |= members[i].bit;
    }
    size_t size = strlen(all);
    snprintf(all + size, sizeof(all) - size, "}");
    assert_int_equal(check_patch(all, "ok", &coupon), bits);
    assert_string_equal(coupon.title, "x");
    assert_int_equal(coupon.total_quantity, 9);
    assert_int_equal(coupon.issue_start_us, US_PER_SECOND);
    assert_int_equal(coupon.issue_end_us, US_PER_SECOND / 2);
    assert_int_equal(coupon.discount_amount, 3);
    assert_int_equal(coupon.min_available_amount, 4);
    assert_true(coupon.paused);
    assert_string_equal(coupon.metadata, "{\"a\":1}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_coupon_is_read_whole),
        cmocka_unit_test(a_creation_is_refused_by_field),
        cmocka_unit_test(each_field_takes_its_type_and_range),
        cmocka_unit_test(a_patch_tells_what_it_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

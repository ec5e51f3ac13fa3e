/* Every JSON body of the api, against a second reading that has no fast path: jansson and a
 * few plain rules. The first byte chooses the body. What a coupon's body says must survive being
 * rendered and read again, and text must survive being written as a JSON string. */
#include "api/call.h"
#include "fuzz.h"

#include <jansson.h>
#include <stdio.h>

static json_t *object_of(struct slice body) {
    json_t *object = json_loadb(body.bytes, body.size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* A user as the contract has it: a string, or an integer as its decimal text. */
static bool naive_user(const json_t *value, char room[static 256], struct slice *ret_user) {
    if (json_is_integer(value)) {
        snprintf(room, 256, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        *ret_user = slice_of(room);
        return true;
    }
    *ret_user = (struct slice){json_string_value(value), json_string_length(value)};
    return json_is_string(value);
}

static void check_fault(const struct fault *fault) {
    assert(fault->problem == PROBLEM_MALFORMED_REQUEST || fault->problem == PROBLEM_INVALID_VALUE ||
           fault->problem == PROBLEM_FORBIDDEN);
    assert(fault->detail != NULL && fault->detail[0] != '\0');
}

/* ---- a claim ---- */

/* 0, 400, 422 or 403: what the body is answered with, by the plain rules. */
static int naive_claim(struct slice body, bool with_coupon, const struct call *call,
                       uint64_t *ret_coupon_id) {
    char room[256];
    struct slice user = {NULL, 0};
    json_t *object = object_of(body);
    const json_t *user_id = json_object_get(object, "userId");
    const json_t *coupon_id = json_object_get(object, "couponId");
    size_t known = (user_id != NULL) + (with_coupon && coupon_id != NULL);
    json_int_t number = json_integer_value(coupon_id);
    bool own = call->caller == CALLER_USER;
    int answer = 0;
    if (!object || json_object_size(object) != known || (!user_id && !own) ||
        (user_id && !naive_user(user_id, room, &user)) ||
        (with_coupon && !json_is_integer(coupon_id))) {
        answer = 400;
    } else if (with_coupon && (number < 1 || number > JSON_INTEGER_MAX)) {
        answer = 422;
    } else if (user_id && !user_id_is_valid(user)) {
        answer = 422;
    } else if (user_id && own && !slice_equal(user, call_user_id(call))) {
        answer = 403;
    }
    *ret_coupon_id = (uint64_t)number;
    json_decref(object);
    return answer;
}

static int answer_of(int status, const struct fault *fault) {
    if (status == STATUS_OK) {
        return 0;
    }
    check_fault(fault);
    return fault->problem == PROBLEM_MALFORMED_REQUEST ? 400
           : fault->problem == PROBLEM_INVALID_VALUE   ? 422
                                                       : 403;
}

static void check_claim(struct slice body, bool with_coupon, bool own) {
    struct call call = {.caller = own ? CALLER_USER : CALLER_BELIEVED};
    struct fault fault = {0};
    uint64_t coupon_id = 0;
    if (own) {
        memcpy(call.user_id, "u1", 2);
        call.user_id_size = 2;
    }
    struct call slow = call;
    int expected = naive_claim(body, with_coupon, &call, &coupon_id);
    int status = claim_body_read(&call, body, with_coupon, &fault);
    assert(answer_of(status, &fault) == expected);
    int slow_status = claim_body_read_any(&slow, body, with_coupon, &fault);
    assert(answer_of(slow_status, &fault) == expected);
    if (status == STATUS_OK) {
        assert(!with_coupon || call.reference.coupon_id == coupon_id);
        assert(call.reference.coupon_id == slow.reference.coupon_id);
        assert(slice_equal(call_user_id(&call), call_user_id(&slow)));
        assert(user_id_is_valid(call_user_id(&call)));
    }
}

/* ---- a batch ---- */

/* 0, 400 or 422; compares the users on the way when the claims are given. */
static int naive_bulk(const json_t *object, const struct claim *claims, size_t count) {
    const json_t *array = json_object_get(object, "userIds");
    bool valid = true;
    if (!json_is_array(array) || json_object_size(object) != 1) {
        return 400;
    }
    assert(!claims || json_array_size(array) == count);
    for (size_t i = 0; i < json_array_size(array); i++) {
        char room[256];
        struct slice user;
        if (!naive_user(json_array_get(array, i), room, &user)) {
            return 400;
        }
        valid = valid && user_id_is_valid(user);
        assert(!claims || slice_equal(user, claims[i].user_id));
    }
    size_t size = json_array_size(array);
    return valid && size >= 1 && size <= BULK_USERS_MAX ? 0 : 422;
}

static void check_bulk(struct slice body) {
    struct claim *claims = NULL;
    char *texts = NULL;
    size_t count = 0;
    struct fault fault = {0};
    json_t *object = object_of(body);
    int status = bulk_body_read(body, &claims, &count, &texts, &fault);
    assert(answer_of(status, &fault) == naive_bulk(object, claims, count));
    assert((status == STATUS_OK) == (claims != NULL));
    free(claims);
    free(texts);
    json_decref(object);
}

/* ---- a coupon ---- */

static void check_coupon(const struct coupon_record *coupon) {
    assert(memchr(coupon->title, '\0', sizeof(coupon->title)) != NULL);
    assert(memchr(coupon->metadata, '\0', sizeof(coupon->metadata)) != NULL);
    assert(coupon->total_quantity == COUPON_UNLIMITED ||
           (coupon->total_quantity >= 0 && coupon->total_quantity <= COUPON_QUANTITY_MAX));
    assert(coupon->id <= (uint64_t)JSON_INTEGER_MAX);
    assert(coupon->discount_amount >= 0 && coupon->discount_amount <= JSON_INTEGER_MAX);
    assert(coupon->min_available_amount >= 0);
    assert(coupon->metadata[0] == '\0' || coupon->metadata[0] == '{');
}

static bool same_coupon(const struct coupon_record *a, const struct coupon_record *b) {
    return a->id == b->id && strcmp(a->title, b->title) == 0 &&
           a->total_quantity == b->total_quantity && a->discount_amount == b->discount_amount &&
           a->min_available_amount == b->min_available_amount &&
           a->issue_start_us == b->issue_start_us && a->issue_end_us == b->issue_end_us &&
           strcmp(a->metadata, b->metadata) == 0;
}

/* What the server shows of a coupon, cut down to what a creation takes. */
static char *shown_body(const struct coupon_record *coupon) {
    static const char *const names[] = {
        "id",       "title",          "totalQuantity", "issueStart",
        "issueEnd", "discountAmount", "metadata",      "minAvailableAmount"};
    struct buffer text;
    buffer_init(&text);
    render_coupon(&text, coupon);
    json_t *shown = object_of(buffer_view(&text));
    json_t *body = json_object();
    assert(shown != NULL && body != NULL);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        json_t *value = json_object_get(shown, names[i]);
        assert(value != NULL);
        json_object_set(body, names[i], value);
    }
    char *again = json_dumps(body, JSON_COMPACT);
    assert(again != NULL);
    json_decref(shown);
    json_decref(body);
    buffer_done(&text);
    return again;
}

static void check_create(struct slice body) {
    static struct coupon_record coupon, again;
    struct fault fault = {0};
    int status = coupon_body_create(body, &coupon, &fault);
    if (status) {
        answer_of(status, &fault);
        return;
    }
    check_coupon(&coupon);
    assert(coupon.issue_start_us < coupon.issue_end_us && coupon.total_quantity != 0);
    coupon.id = coupon.id ? coupon.id : 1; /* as the ledger would give one */
    char *shown = shown_body(&coupon);
    status = coupon_body_create(slice_of(shown), &again, &fault);
    assert(status == STATUS_OK && same_coupon(&coupon, &again));
    free(shown);
}

static void check_patch(struct slice body) {
    static struct coupon_record coupon;
    struct fault fault = {0};
    unsigned set = 0;
    json_t *object = object_of(body);
    int status = coupon_body_patch(body, &coupon, &set, &fault);
    if (status) {
        answer_of(status, &fault);
    } else {
        check_coupon(&coupon);
        assert(set != 0 && (size_t)__builtin_popcount(set) == json_object_size(object));
    }
    json_decref(object);
}

/* ---- texts ---- */

static void check_string(struct slice text) {
    struct buffer written;
    buffer_init(&written);
    buffer_json_string(&written, text);
    json_t *string = json_stringn(text.bytes, text.size); /* NULL: no UTF-8 */
    json_t *read = json_loadb(written.bytes, written.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert((string != NULL) == (read != NULL));
    assert(string == NULL || json_equal(string, read));
    json_decref(string);
    json_decref(read);
    buffer_done(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    uint8_t kind = fuzz_byte(&input);
    char *block = fuzz_exact(input);
    struct slice body = {block, input.size};
    switch (kind % 5) {
    case 0:
        check_claim(body, kind / 5 % 2, kind / 10 % 2);
        break;
    case 1:
        check_bulk(body);
        break;
    case 2:
        check_create(body);
        break;
    case 3:
        check_patch(body);
        break;
    default:
        check_string(body);
        break;
    }
    free(block);
    return 0;
}

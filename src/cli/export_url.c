/* An export's issues from a server that runs, through its API: pages of coupons, and of each
 * coupon its record in slices up to what was issued when the page told of it. That prefix
 * never changes, however many claims go on. Every answer is checked before it is believed.
 * See export.h. */
#include "api/api.h"
#include "cli/export.h"
#include "cli/fetch.h"
#include "cli/token.h"

#include <jansson.h>
#include <stdlib.h>

enum { COUPONS_LIMIT = 500, TARGET_SIZE = 128, NEXT_SIZE_MAX = 64 };

/* As far as an export needs a coupon. */
struct coupon_count {
    uint64_t id;
    uint32_t issued;
};

struct reading {
    const struct export_server *server;
    struct fetch *fetch;
    struct export_rows *rows;
    uint64_t last_id; /* of the coupon before: the list is by id */
};

/* ---- answers ---- */

static int strange(const struct reading *reading, const char *target, const char *what) {
    return complain(reading->rows->complaint, STATUS_IO,
                    "%s%s: the answer is not a coupon server's (%s); is --url right?",
                    reading->server->url, target, what);
}

/* The problem's `code`, for a person; "" when there is none. */
static void code_of(struct slice body, char ret_code[static 64]) {
    json_t *problem = json_loadb(body.bytes ? body.bytes : "", body.size, 0, NULL);
    const char *code = json_string_value(json_object_get(problem, "code"));
    snprintf(ret_code, 64, "%s%.48s", code ? " " : "", code ? code : "");
    json_decref(problem);
}

static int refused(const struct reading *reading, const char *target,
                   const struct fetch_answer *answer) {
    struct complaint *complaint = reading->rows->complaint;
    char code[64];
    code_of(answer->body, code);
    switch (answer->status) {
    case 401:
        return complain(complaint, STATUS_INVALID,
                        "%s does not know the token in %s; it must be one of that server's "
                        "admin-token file",
                        reading->server->url, reading->server->token_file);
    case 403:
        return complain(complaint, STATUS_INVALID,
                        "the token in %s may not read the record of %s: it takes an admin's",
                        reading->server->token_file, reading->server->url);
    case 404:
        if (strcmp(code, " coupon-not-found") == 0) {
            return STATUS_NOT_FOUND; /* the caller knows its id */
        }
        break;
    case 503:
        return complain(complaint, STATUS_IO,
                        "%s cannot answer now (503%s), also when asked again; look at its log, and "
                        "try later",
                        reading->server->url, code);
    default:
        break;
    }
    return complain(complaint, STATUS_IO, "%s%s answers %d%s; is --url right?",
                    reading->server->url, target, answer->status, code);
}

/* The object that the server answers with 200, the caller's to release. STATUS_NOT_FOUND, not
 * complained of yet: there is no such coupon. */
static int ask(const struct reading *reading, const char *target, json_t **ret_object) {
    struct fetch_answer answer;
    int status = fetch_get(reading->fetch, target, &answer, reading->rows->complaint);
    if (status < 0) {
        return status;
    }
    if (answer.status != 200) {
        return refused(reading, target, &answer);
    }
    json_t *object = json_loadb(answer.body.bytes ? answer.body.bytes : "", answer.body.size,
                                JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return strange(reading, target, "no JSON object");
    }
    *ret_object = object;
    return STATUS_OK;
}

static bool number_of(const json_t *object, const char *name, int64_t min, int64_t max,
                      int64_t *ret_number) {
    const json_t *value = json_object_get(object, name);
    *ret_number = json_integer_value(value);
    return json_is_integer(value) && *ret_number >= min && *ret_number <= max;
}

static struct slice text_of(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    return text ? (struct slice){text, json_string_length(value)} : (struct slice){0};
}

/* ---- a coupon's issues ---- */

/* The issue `reference` names, out of its JSON; its texts are the JSON's. */
static bool issue_of(const json_t *object, struct issue_reference reference,
                     struct issue_row *ret_issue) {
    int64_t number = 0;
    struct slice user_id = text_of(object, "userId");
    *ret_issue = (struct issue_row){.reference = reference, .user_id = user_id};
    return number_of(object, "couponId", 1, JSON_INTEGER_MAX, &number) &&
           (uint64_t)number == reference.coupon_id &&
           number_of(object, "rank", 1, UINT32_MAX, &number) && number == reference.rank &&
           user_id_is_valid(user_id) &&
           time_parse(text_of(object, "issuedAt"), &ret_issue->issued_at_us) == STATUS_OK;
}

static int add_slice(const struct reading *reading, const char *target, const json_t *object,
                     struct issue_reference after, size_t limit) {
    const json_t *issues = json_object_get(object, "issues");
    if (json_array_size(issues) != limit) {
        return strange(reading, target, "not as many issues as there must be");
    }
    for (size_t i = 0; i < limit; i++) {
        struct issue_row issue;
        after.rank++;
        if (!issue_of(json_array_get(issues, i), after, &issue)) {
            return strange(reading, target, "an issue that cannot be");
        }
        int status = export_rows_add(reading->rows, &issue);
        if (status < 0) {
            return status;
        }
    }
    return STATUS_OK;
}

/* A coupon that was there is never gone, so then STATUS_NOT_FOUND is a strange answer. */
static int read_issues(const struct reading *reading, const struct coupon_count *coupon) {
    struct issue_reference after = {coupon->id, 0};
    int status = STATUS_OK;
    while (status == STATUS_OK && after.rank < coupon->issued) {
        char target[TARGET_SIZE];
        json_t *object = NULL;
        uint32_t left = coupon->issued - after.rank;
        uint32_t limit = left < LEDGER_SLICE_MAX ? left : LEDGER_SLICE_MAX;
        snprintf(target, sizeof(target), "/v1/coupons/%llu/issues?after=%u&limit=%u",
                 (unsigned long long)coupon->id, after.rank, limit);
        status = ask(reading, target, &object);
        if (status == STATUS_OK) {
            status = add_slice(reading, target, object, after, limit);
        } else if (status == STATUS_NOT_FOUND) {
            status = strange(reading, target, "the coupon is gone");
        }
        json_decref(object);
        after.rank += limit;
    }
    return status;
}

/* ---- coupons ---- */

static bool coupon_of(const json_t *object, struct coupon_count *ret_coupon) {
    int64_t id = 0;
    int64_t issued = 0;
    bool whole = number_of(object, "id", 1, JSON_INTEGER_MAX, &id) &&
                 number_of(object, "issuedQuantity", 0, UINT32_MAX, &issued);
    *ret_coupon = (struct coupon_count){.id = (uint64_t)id, .issued = (uint32_t)issued};
    return whole;
}

static int read_coupon(const struct reading *reading, uint64_t id) {
    char target[TARGET_SIZE];
    json_t *object = NULL;
    struct coupon_count coupon = {0};
    snprintf(target, sizeof(target), "/v1/coupons/%llu", (unsigned long long)id);
    int status = ask(reading, target, &object);
    if (status == STATUS_NOT_FOUND) {
        status =
            complain(reading->rows->complaint, STATUS_NOT_FOUND, "there is no coupon %llu on %s",
                     (unsigned long long)id, reading->server->url);
    }
    if (status == STATUS_OK && (!coupon_of(object, &coupon) || coupon.id != id)) {
        status = strange(reading, target, "no coupon");
    }
    json_decref(object);
    if (status == STATUS_OK) {
        status = export_rows_begin(reading->rows);
        reading->rows->total = coupon.issued;
    }
    return status == STATUS_OK ? read_issues(reading, &coupon) : status;
}

static int read_page_coupons(struct reading *reading, const char *target, const json_t *object) {
    const json_t *coupons = json_object_get(object, "coupons");
    if (!json_is_array(coupons)) {
        return strange(reading, target, "no list of coupons");
    }
    for (size_t i = 0; i < json_array_size(coupons); i++) {
        struct coupon_count coupon;
        if (!coupon_of(json_array_get(coupons, i), &coupon) || coupon.id <= reading->last_id) {
            return strange(reading, target, "a coupon that cannot be");
        }
        reading->last_id = coupon.id;
        int status = read_issues(reading, &coupon);
        if (status < 0) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Where the next page is asked for: its `next` as it is, once it is known to be plain. Empty
 * after the last page. */
static bool next_of(const json_t *object, char ret_next[static NEXT_SIZE_MAX + 1]) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    ret_next[0] = '\0';
    if (!json_object_get(object, "next")) {
        return true;
    }
    struct slice next = text_of(object, "next");
    if (next.size == 0 || next.size > NEXT_SIZE_MAX || strspn(next.bytes, plain) != next.size) {
        return false;
    }
    memcpy(ret_next, next.bytes, next.size + 1);
    return true;
}

/* One page and its coupons' issues. */
static int read_page(struct reading *reading, char next[static NEXT_SIZE_MAX + 1]) {
    char target[TARGET_SIZE];
    json_t *object = NULL;
    snprintf(target, sizeof(target), "/v1/coupons?limit=%d%s%s", COUPONS_LIMIT,
             next[0] ? "&after=" : "", next);
    int status = ask(reading, target, &object);
    if (status == STATUS_NOT_FOUND) { /* of one coupon: nobody asked for one */
        status = strange(reading, target, "no list of coupons");
    }
    if (status == STATUS_OK && !reading->rows->output) {
        status = export_rows_begin(reading->rows);
    }
    uint64_t before = reading->last_id;
    if (status == STATUS_OK) {
        status = read_page_coupons(reading, target, object);
    }
    if (status == STATUS_OK &&
        (!next_of(object, next) || (next[0] && reading->last_id == before))) {
        status = strange(reading, target, "no next page that can be");
    }
    json_decref(object);
    return status;
}

static int read_coupons(struct reading *reading) {
    char next[NEXT_SIZE_MAX + 1] = "";
    int status;
    do {
        status = read_page(reading, next);
    } while (status == STATUS_OK && next[0]);
    return status;
}

/* ---- the whole ---- */

static int connect(struct reading *reading) {
    struct complaint *complaint = reading->rows->complaint;
    struct secret_files files = {0};
    struct api_secrets secrets;
    struct slice token;
    int status = secret_files_init(&files, reading->server->token_file, NULL, NULL, "", complaint);
    if (status == STATUS_OK) {
        status = secret_files_read(&files, &secrets, complaint);
    }
    if (status == STATUS_OK) {
        status = api_token_first(&secrets.admin_tokens, &token, complaint);
    }
    if (status == STATUS_OK) {
        status = fetch_new(reading->server->url, reading->server->ca_file, token, &reading->fetch,
                           complaint);
    }
    secret_files_wipe(&files);
    return status;
}

int export_from_url(const struct export_server *server, uint64_t coupon_id,
                    struct export_rows *rows) {
    struct reading reading = {.server = server, .rows = rows};
    int status = connect(&reading);
    if (status == STATUS_OK) {
        status = coupon_id ? read_coupon(&reading, coupon_id) : read_coupons(&reading);
    }
    fetch_free(reading.fetch);
    return status;
}

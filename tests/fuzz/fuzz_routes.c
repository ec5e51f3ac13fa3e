/* Requests to every route of a server that runs in this process, with its record in memory.
 *
 * A line is a request: which of three connections ('0' … '2'), who asks ('a' an admin, 'w' a
 * wrong token, anything else nobody), options; the method, the target, the body:
 *
 *   0ak POST /v1/coupons {"id":$1,"title":"t","totalQuantity":2,"issueStart":…}
 *
 * Options: 'k' an Idempotency-Key, 'q' another, 't' no media type, 'm' If-Match, 'p' Prefer,
 * 'c' a chunked body. $0 … $9 are coupons that no other input uses. Requests on different
 * connections are under way together; an empty line waits for all answers.
 *
 * Of every answer: its status is one that openapi.json has for that route, a problem is whole and
 * its code is that status'. Over all: no user is told of two issues, no rank is given twice, never
 * more than the quantity; and at the end the record holds exactly what was answered. */
#include "fuzz.h"
#include "ledger/ledger.h"
#include "routes_server.h"

#include <stdio.h>

enum { COUPONS = 10, ASKERS = 3, INPUTS_A_SERVER = 256 };

/* ---- what was told ---- */

struct told {
    char user[USER_ID_MAX + 1];
    uint32_t rank; /* 0: the original's calls do not tell it */
};

struct model {
    struct told *told;
    size_t count;
    size_t capacity;
    bool made; /* the coupon */
};

static struct model models[COUPONS];
static uint64_t base_id; /* of $0 */
static uint64_t next_base_id;
static json_t *contract; /* openapi.json's paths */
static bool spoilt;      /* there is a coupon with the highest id: a new server is due */

static struct model *model_of(json_int_t coupon_id) {
    bool ours = coupon_id >= (json_int_t)base_id && coupon_id < (json_int_t)base_id + COUPONS;
    return ours ? &models[coupon_id - (json_int_t)base_id] : NULL;
}

/* A success, or what one already holds: the same user always has the same rank, and no other. */
static void model_tell(struct model *model, const char *user, uint32_t rank) {
    struct told *mine = NULL;
    for (size_t i = 0; i < model->count; i++) {
        bool same_user = strcmp(model->told[i].user, user) == 0;
        assert(rank == 0 || model->told[i].rank != rank || same_user);
        mine = same_user ? &model->told[i] : mine;
    }
    if (mine) {
        assert(rank == 0 || mine->rank == 0 || mine->rank == rank);
        mine->rank = mine->rank ? mine->rank : rank;
        return;
    }
    if (model->count == model->capacity) {
        model->capacity = model->capacity * 2 + 16;
        model->told = realloc(model->told, model->capacity * sizeof(model->told[0]));
        assert(model->told != NULL);
    }
    struct told *added = &model->told[model->count++];
    *added = (struct told){.rank = rank};
    snprintf(added->user, sizeof(added->user), "%s", user);
}

/* ---- requests ---- */

struct request {
    struct asker *asker;
    struct slice method;
    struct slice target; /* without $0 … $9 */
    struct slice body;
    struct buffer text;  /* of the two */
    struct buffer bytes; /* what is sent */
};

static bool has(struct slice options, char option) {
    return options.size > 0 && memchr(options.bytes, option, options.size) != NULL;
}

/* Appends with $1 turned into the coupon's id. */
static void append_expanded(struct buffer *text, struct slice from) {
    for (size_t i = 0; i < from.size; i++) {
        bool place = from.bytes[i] == '$' && i + 1 < from.size && from.bytes[i + 1] >= '0' &&
                     from.bytes[i + 1] <= '9';
        if (place) {
            buffer_u64(text, base_id + (uint64_t)(from.bytes[++i] - '0'));
        } else {
            buffer_append(text, &from.bytes[i], 1);
        }
    }
}

static void append_fields(struct buffer *bytes, struct slice options) {
    static const struct {
        char option;
        const char *line;
    } lines[] = {
        {'a', "Authorization: Bearer " ADMIN_TOKEN "\r\n"},
        {'w', "Authorization: Bearer another-token-altogether\r\n"},
        {'k', "Idempotency-Key: key-$0\r\n"},
        {'q', "Idempotency-Key: other-$0\r\n"},
        {'m', "If-Match: \"1\", \"3\"\r\n"},
        {'p', "Prefer: respond-async\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        append_expanded(bytes, slice_of(has(options, lines[i].option) ? lines[i].line : ""));
    }
    buffer_text(bytes, has(options, 't') ? "" : "Content-Type: application/json\r\n");
}

static void append_body(struct buffer *bytes, struct slice body, bool chunked) {
    if (chunked) {
        buffer_text(bytes, "Transfer-Encoding: chunked\r\n\r\n");
        if (body.size > 0) {
            buffer_format(bytes, "%zx\r\n", body.size);
            buffer_slice(bytes, body);
            buffer_text(bytes, "\r\n");
        }
        buffer_text(bytes, "0\r\n\r\n");
        return;
    }
    buffer_format(bytes, "Content-Length: %zu\r\n\r\n", body.size);
    buffer_slice(bytes, body);
}

static void request_make(struct request *request, struct slice options, struct slice line) {
    request->method = fuzz_word(&line);
    struct slice target = fuzz_word(&line);
    buffer_init(&request->text);
    int status = buffer_reserve(&request->text, 64);
    assert(status == STATUS_OK);
    append_expanded(&request->text, target);
    size_t target_size = request->text.size;
    append_expanded(&request->text, line);
    request->target = (struct slice){request->text.bytes, target_size};
    request->body =
        (struct slice){request->text.bytes + target_size, request->text.size - target_size};
    struct buffer *bytes = &request->bytes;
    buffer_init(bytes);
    buffer_slice(bytes, request->method);
    buffer_text(bytes, " ");
    buffer_slice(bytes, request->target);
    buffer_text(bytes, " HTTP/1.1\r\nHost: a\r\n");
    append_fields(bytes, options);
    append_body(bytes, request->body, has(options, 'c'));
}

/* ---- the contract ---- */

/* Whether a path of openapi.json, "{…}" standing for one segment, is the target's. */
static bool path_matches(const char *path, struct slice target) {
    size_t at = 0;
    while (*path) {
        if (*path != '{') {
            if (at == target.size || target.bytes[at++] != *path++) {
                return false;
            }
            continue;
        }
        path = strchr(path, '}') + 1;
        size_t start = at;
        while (at < target.size && target.bytes[at] != '/' && target.bytes[at] != '?' &&
               target.bytes[at] != *path) {
            at++;
        }
        if (at == start) {
            return false;
        }
    }
    return at == target.size || target.bytes[at] == '?';
}

/* The answers that the contract has for this call; NULL: there is no such call. */
static const json_t *answers_of(const struct request *request) {
    static const char *const methods[][2] = {
        {"GET", "get"}, {"HEAD", "get"}, {"POST", "post"}, {"PATCH", "patch"}};
    const char *path;
    json_t *calls;
    json_object_foreach(contract, path, calls) {
        for (size_t i = 0; path_matches(path, request->target) && i < COUNT_OF(methods); i++) {
            const json_t *call = json_object_get(calls, methods[i][1]);
            if (call && slice_is(request->method, methods[i][0])) {
                return json_object_get(call, "responses");
            }
        }
    }
    return NULL;
}

static const struct {
    const char *code;
    int status;
    bool any_request; /* what a request can meet before it is a call */
} codes[] = {
    {"malformed-http", 400, true},
    {"malformed-request", 400, false},
    {"unauthorized", 401, false},
    {"forbidden", 403, false},
    {"not-found", 404, true},
    {"coupon-not-found", 404, false},
    {"issue-not-found", 404, false},
    {"method-not-allowed", 405, true},
    {"already-issued", 409, false},
    {"paused", 409, false},
    {"not-started", 409, false},
    {"ended", 409, false},
    {"sold-out", 409, false},
    {"coupon-exists", 409, false},
    {"precondition-failed", 412, false},
    {"body-too-large", 413, true},
    {"unsupported-media-type", 415, false},
    {"expectation-failed", 417, true},
    {"invalid-value", 422, false},
    {"head-too-large", 431, true},
};

static bool is_text(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text && text[0] != '\0';
}

/* Whole, and of a code that has this status. Tells whether any request may be answered so. */
static bool check_problem(const struct answer *answer) {
    const json_t *problem = answer->json;
    const char *code = json_string_value(json_object_get(problem, "code"));
    assert(code && is_text(problem, "title") && is_text(problem, "detail"));
    assert(is_text(problem, "requestId") && is_text(problem, "type"));
    assert(json_integer_value(json_object_get(problem, "status")) == answer->status);
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        if (strcmp(codes[i].code, code) == 0) {
            assert(codes[i].status == answer->status);
            return codes[i].any_request;
        }
    }
    assert(false && "no code of the contract that this server may need");
    return false;
}

static void check_answer(const struct request *request, const struct answer *answer) {
    char status[8];
    bool head = slice_is(request->method, "HEAD");
    const json_t *answers = answers_of(request);
    bool any_request = answer->problem && !head && check_problem(answer);
    snprintf(status, sizeof(status), "%d", answer->status);
    assert(answer->problem == (answer->status >= 400));
    assert(any_request || head || json_object_get(answers, status) != NULL);
    assert(answer->status < 500);
}

/* ---- what answers mean ---- */

static void learn_issue(const json_t *issue) {
    const char *user = json_string_value(json_object_get(issue, "userId"));
    json_int_t rank = json_integer_value(json_object_get(issue, "rank"));
    struct model *model = model_of(json_integer_value(json_object_get(issue, "couponId")));
    assert(user && rank >= 1 && is_text(issue, "issueId") && is_text(issue, "issuedAt"));
    if (model) {
        model_tell(model, user, (uint32_t)rank);
    }
}

/* The original's calls say "true" only: whose issue it is, the request has told. */
static void learn_original(const struct request *request) {
    json_t *body = json_loadb(request->body.bytes, request->body.size, 0, NULL);
    const json_t *user = json_object_get(body, "userId");
    struct model *model = model_of(json_integer_value(json_object_get(body, "couponId")));
    char number[32];
    snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(user));
    if (model) {
        model_tell(model, json_is_string(user) ? json_string_value(user) : number, 0);
    }
    json_decref(body);
}

/* The batch's call answers for one coupon: the one in its target. */
static void learn_batch(const struct request *request, const json_t *results) {
    size_t at = strlen("/v1/coupons/");
    uint64_t id = 0;
    while (at < request->target.size && request->target.bytes[at] != '/') {
        id = id * 10 + (uint64_t)(request->target.bytes[at++] - '0');
    }
    struct model *model = model_of((json_int_t)id);
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *result = json_array_get(results, i);
        const char *user = json_string_value(json_object_get(result, "userId"));
        json_int_t rank = json_integer_value(json_object_get(result, "rank"));
        assert(user && is_text(result, "result"));
        if (model && rank > 0) {
            model_tell(model, user, (uint32_t)rank);
        }
    }
}

/* The server gives ids of its own from the highest on: the next input's are put behind it. */
static void learn_coupon(json_int_t id) {
    struct model *model = model_of(id);
    bool other = model == NULL;
    if (model) {
        model->made = true;
    }
    spoilt = spoilt || (other && id > JSON_INTEGER_MAX / 2);
    next_base_id = other && id >= (json_int_t)next_base_id ? (uint64_t)id + 1 : next_base_id;
}

static void learn(const struct request *request, const struct answer *answer) {
    bool claim = slice_is(request->method, "POST");
    const json_t *issue = json_object_get(answer->json, "issue");
    const json_t *results = json_object_get(answer->json, "results");
    if (issue) {
        learn_issue(issue);
    } else if (claim && results) {
        learn_batch(request, results);
    } else if (claim && answer->status == 201 && json_object_get(answer->json, "issueId")) {
        learn_issue(answer->json);
    } else if (claim && answer->status == 200 && json_is_true(answer->json)) {
        learn_original(request);
    } else if (claim && answer->status == 201) {
        learn_coupon(json_integer_value(json_object_get(answer->json, "id")));
    }
}

static void wait_for(struct request *requests, struct asker *asker) {
    struct request *request = &requests[asker - requests[0].asker];
    struct answer answer;
    if (!asker->asked) {
        return;
    }
    asker_receive(asker, &answer);
    check_answer(request, &answer);
    learn(request, &answer);
    answer_done(&answer);
    buffer_done(&request->text);
    buffer_done(&request->bytes);
}

/* ---- the record at the end ---- */

static json_t *ask(struct asker *asker, const char *target) {
    struct answer answer;
    struct buffer request;
    buffer_init(&request);
    buffer_format(&request,
                  "GET %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " ADMIN_TOKEN "\r\n\r\n",
                  target);
    asker_send(asker, buffer_view(&request), false);
    asker_receive(asker, &answer);
    json_t *json = answer.status == 200 ? json_incref(answer.json) : NULL;
    answer_done(&answer);
    buffer_done(&request);
    return json;
}

/* The record's issues, in order, are those that were told: none more, none less. */
static void check_record(struct asker *asker, uint64_t id, const struct model *model) {
    uint32_t rank = 0;
    size_t size;
    do {
        char target[96];
        snprintf(target, sizeof(target), "/v1/coupons/%llu/issues?after=%u&limit=1000",
                 (unsigned long long)id, rank);
        json_t *page = ask(asker, target);
        const json_t *issues = json_object_get(page, "issues");
        size = json_array_size(issues);
        for (size_t i = 0; i < size; i++) {
            const json_t *issue = json_array_get(issues, i);
            const char *user = json_string_value(json_object_get(issue, "userId"));
            size_t at = 0;
            rank++;
            assert(json_integer_value(json_object_get(issue, "rank")) == rank);
            while (at < model->count && strcmp(model->told[at].user, user) != 0) {
                at++;
            }
            assert(at < model->count && "nobody was told of this issue");
            assert(model->told[at].rank == 0 || model->told[at].rank == rank);
        }
        json_decref(page);
    } while (size == LEDGER_SLICE_MAX);
    assert(rank == model->count);
}

static void check_coupon(struct asker *asker, uint64_t id, const struct model *model) {
    char target[64];
    snprintf(target, sizeof(target), "/v1/coupons/%llu", (unsigned long long)id);
    json_t *coupon = ask(asker, target);
    const json_t *total = json_object_get(coupon, "totalQuantity");
    json_int_t issued = json_integer_value(json_object_get(coupon, "issuedQuantity"));
    assert(coupon && issued == (json_int_t)model->count);
    assert(json_is_null(total) || issued <= json_integer_value(total));
    check_record(asker, id, model);
    json_decref(coupon);
}

/* ---- an input ---- */

static void run_lines(struct slice input, struct asker askers[static ASKERS]) {
    struct request requests[ASKERS] = {{.asker = askers}};
    while (input.size > 0) {
        struct slice line = fuzz_line(&input);
        struct slice options = fuzz_word(&line);
        for (size_t i = 0; i < ASKERS && options.size == 0; i++) {
            wait_for(requests, &askers[i]);
        }
        if (options.size == 0) {
            continue;
        }
        struct asker *asker = &askers[(unsigned char)options.bytes[0] % ASKERS];
        struct request *request = &requests[asker - askers];
        wait_for(requests, asker);
        request_make(request, options, line);
        if (request->bytes.size > 60000) {
            buffer_done(&request->text);
            buffer_done(&request->bytes);
            continue;
        }
        asker_send(asker, buffer_view(&request->bytes), slice_is(request->method, "HEAD"));
    }
    for (size_t i = 0; i < ASKERS; i++) {
        wait_for(requests, &askers[i]);
    }
}

static void server_renew(void) {
    static unsigned inputs;
    if (inputs++ % INPUTS_A_SERVER == 0 || spoilt) {
        if (inputs > 1) {
            server_stop();
        }
        server_start();
        next_base_id = 1000;
        inputs = 1;
        spoilt = false;
    }
    base_id = next_base_id;
    next_base_id += COUPONS;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    struct asker asker = {.socket = -1};
    server_renew();
    json_t *document = ask(&asker, "/openapi.json");
    contract = json_incref(json_object_get(document, "paths"));
    assert(json_object_size(contract) > 10);
    json_decref(document);
    asker_close(&asker);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct asker askers[ASKERS] = {{.socket = -1}, {.socket = -1}, {.socket = -1}};
    server_renew();
    run_lines((struct slice){(const char *)data, size}, askers);
    for (uint64_t i = 0; i < COUPONS; i++) {
        assert(models[i].made || models[i].count == 0);
        if (models[i].made) {
            check_coupon(&askers[0], base_id + i, &models[i]);
        }
        free(models[i].told);
        models[i] = (struct model){.count = 0};
    }
    for (size_t i = 0; i < ASKERS; i++) {
        asker_close(&askers[i]);
    }
    return 0;
}

/* ---- requests that are worth having ---- */

#define PERIOD "\"issueStart\":\"2001-01-01T00:00:00Z\",\"issueEnd\":\"2099-01-01T00:00:00Z\""

#define LATER "\"issueStart\":\"2098-01-01T00:00:00Z\",\"issueEnd\":\"2099-01-01T00:00:00Z\""

static const char *const samples[] = {
    "",
    "0a POST /v1/coupons {\"id\":$1,\"title\":\"t\",\"totalQuantity\":2," PERIOD "}",
    "0ak POST /v1/coupons {\"id\":$2,\"title\":\"u\",\"totalQuantity\":null," PERIOD "}",
    "0a POST /v1/coupons {\"id\":$3,\"title\":\"t\",\"totalQuantity\":5," LATER "}",
    "0n POST /v1/coupons/$1/issues {\"userId\":\"u1\"}",
    "1nk POST /v1/coupons/$1/issues {\"userId\":\"u1\"}",
    "1n POST /v1/coupons/$1/issues {\"userId\":\"u2\"}",
    "2nq POST /v1/coupons/$1/issues {\"userId\":\"u3\"}",
    "2np POST /v1/coupons/$2/issues {\"userId\":\"u4\"}",
    "1nc POST /v1/issue {\"userId\":1,\"couponId\":$1}",
    "1n POST /v1/issue-async {\"userId\":\"u2\",\"couponId\":$2}",
    "1n POST /v2/issue-async {\"userId\":\"u5\",\"couponId\":$2}",
    "0ak POST /v1/coupons/$1/issues:batch {\"userIds\":[\"u1\",\"u2\",\"u1\",7]}",
    "0a POST /v1/coupons/$2/issues:batch {\"userIds\":[\"u4\",\"b\"]}",
    "0n GET /v1/coupons/$1",
    "0n HEAD /v1/coupons/$1",
    "0a GET /v1/coupons?limit=2&after=1000",
    "0a GET /v1/coupons/$1/issues?after=1&limit=1",
    "0n GET /v1/coupons/$1/issues?userId=u1",
    "0n GET /v1/issues/$1-1",
    "0n GET /v1/users/u%31/issues",
    "0n GET /v1/claims/$1.1.1.0.dTE",
    "0a GET /v1/audit?limit=3&after=0",
    "0a PATCH /v1/coupons/$1 {\"totalQuantity\":1}",
    "0am PATCH /v1/coupons/$1 {\"totalQuantity\":9,\"title\":\"new\"}",
    "0a PATCH /v1/coupons/$1 {\"paused\":true}",
    "0a PATCH /v1/coupons/$1 {\"paused\":false,\"metadata\":{\"a\":1}}",
    "0a PATCH /v1/coupons/$1 {\"issueEnd\":\"2002-01-01T00:00:00Z\"}",
    "0a PATCH /v1/coupons/$1 {\"archived\":true}",
    "0w GET /v1/coupons",
    "0n GET /healthz",
    "0n GET /readyz",
    "0n GET /metrics",
    "0n GET /openapi.json",
    "0n DELETE /v1/coupons/$1",
    "0nt POST /v1/coupons/$1/issues {}",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return fuzz_mutate_lines(data, size, max_size, seed, samples, COUNT_OF(samples));
}

/* Refusals as application/problem+json (RFC 9457), all in one table. Not for: deciding that
 * something is refused. Called wherever the api refuses. */
#include "api/call.h"

#include <sodium.h>
#include <stdio.h>

/* Clients that must come again do so within this many seconds, spread out by chance so
 * that they do not all come at once. */
enum { RETRY_AFTER_MAX_S = 5 };

static const struct {
    int status;
    const char *code;
    const char *title;
    bool closes;
    bool retry;
} problems[] = {
    [PROBLEM_COUPON_NOT_FOUND] = {404, "coupon-not-found", "No such coupon", false, false},
    [PROBLEM_ISSUE_NOT_FOUND] = {404, "issue-not-found", "No such issue", false, false},
    [PROBLEM_NOT_FOUND] = {404, "not-found", "No such resource", false, false},
    [PROBLEM_NOT_STARTED] = {409, "not-started", "Not started", false, false},
    [PROBLEM_ENDED] = {409, "ended", "Ended", false, false},
    [PROBLEM_PAUSED] = {409, "paused", "Paused", false, false},
    [PROBLEM_SOLD_OUT] = {409, "sold-out", "Sold out", false, false},
    [PROBLEM_ALREADY_ISSUED] = {409, "already-issued", "Already issued", false, false},
    [PROBLEM_COUPON_EXISTS] = {409, "coupon-exists", "Coupon exists", false, false},
    [PROBLEM_MALFORMED_HTTP] = {400, "malformed-http", "Malformed HTTP", true, false},
    [PROBLEM_MALFORMED_REQUEST] = {400, "malformed-request", "Malformed request", false, false},
    [PROBLEM_INVALID_VALUE] = {422, "invalid-value", "Invalid value", false, false},
    [PROBLEM_PRECONDITION_FAILED] = {412, "precondition-failed", "Precondition failed", false,
                                     false},
    [PROBLEM_UNAUTHORIZED] = {401, "unauthorized", "Unauthorized", false, false},
    [PROBLEM_FORBIDDEN] = {403, "forbidden", "Forbidden", false, false},
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method-not-allowed", "Method not allowed", false, false},
    [PROBLEM_REQUEST_TIMEOUT] = {408, "request-timeout", "Request timeout", true, false},
    [PROBLEM_BODY_TOO_LARGE] = {413, "body-too-large", "Body too large", true, false},
    [PROBLEM_UNSUPPORTED_MEDIA_TYPE] = {415, "unsupported-media-type", "Unsupported media type",
                                        false, false},
    [PROBLEM_EXPECTATION_FAILED] = {417, "expectation-failed", "Expectation failed", true, false},
    [PROBLEM_HEAD_TOO_LARGE] = {431, "head-too-large", "Head too large", true, false},
    [PROBLEM_OVERLOADED] = {503, "overloaded", "Overloaded", false, true},
    [PROBLEM_STORAGE_UNAVAILABLE] = {503, "storage-unavailable", "Storage unavailable", false,
                                     true},
    [PROBLEM_OUTCOME_UNKNOWN] = {503, "outcome-unknown", "Outcome unknown", false, true},
    [PROBLEM_STARTING] = {503, "starting", "Starting", false, true},
};

const char *problem_code(enum problem problem) {
    assert((size_t)problem < COUNT_OF(problems));
    return problems[problem].code;
}

/* splitmix64 (Steele, Lea, Flood 2014): spreads a counter over all bits. */
static uint64_t next_request_id(struct api_loop *loop) {
    uint64_t z = loop->request_seed + ++loop->request_count * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* By hand, as all of a refusal: printf took a twentieth of what refusing a crowd costs. */
static void append_hexadecimal(struct buffer *text, uint64_t value) {
    static const char digits[] = "0123456789abcdef";
    char room[16];
    for (size_t i = sizeof(room); i-- > 0; value >>= 4) {
        room[i] = digits[value & 15];
    }
    buffer_append(text, room, sizeof(room));
}

static void append_all(struct buffer *to, const struct buffer *from) {
    if (from) {
        buffer_slice(to, buffer_view(from));
        to->failed |= from->failed;
    }
}

static void render_problem(struct call *call, struct buffer *body, enum problem problem,
                           const char *detail, const struct buffer *members) {
    assert((size_t)problem < COUNT_OF(problems));
    buffer_text(body, "{\"type\":\"about:blank\",\"title\":\"");
    buffer_text(body, problems[problem].title);
    buffer_text(body, "\",\"status\":");
    buffer_u64(body, (uint64_t)problems[problem].status);
    buffer_text(body, ",\"detail\":");
    buffer_json_string(body, slice_of(detail));
    buffer_text(body, ",\"code\":\"");
    buffer_text(body, problems[problem].code);
    buffer_text(body, "\"");
    append_all(body, members);
    buffer_text(body, ",\"requestId\":\"");
    append_hexadecimal(body, next_request_id(call->loop));
    buffer_text(body, "\"}");
}

static void send_problem(struct call *call, enum problem problem, struct slice fields,
                         const struct buffer *body, bool close) {
    struct http_response response = {
        .status = problems[problem].status,
        .content_type = "application/problem+json",
        .fields = fields,
        .body = buffer_view(body),
        .close = close,
    };
    http_reply(call->exchange, &response);
}

/* What an answer becomes that there is no memory to write: one that is true of all of them. */
static void reply_without_memory(struct call *call, bool close) {
    char room[256];
    struct buffer body;
    buffer_borrow(&body, room, sizeof(room));
    render_problem(call, &body, PROBLEM_OUTCOME_UNKNOWN,
                   "No memory to write the answer; ask again.", NULL);
    assert(!body.failed);
    send_problem(call, PROBLEM_OUTCOME_UNKNOWN, slice_of("Retry-After: 1\r\n"), &body, close);
}

void problem_reply_with(struct call *call, enum problem problem, const char *detail,
                        const struct buffer *fields, const struct buffer *members) {
    struct buffer *body = reply_body(call);
    struct buffer *lines = reply_fields(call);
    render_problem(call, body, problem, detail, members);
    append_all(lines, fields);
    if (problems[problem].retry) {
        buffer_format(lines, "Retry-After: %u\r\n", 1 + randombytes_uniform(RETRY_AFTER_MAX_S));
    }
    if (body->failed || lines->failed) {
        reply_without_memory(call, problems[problem].closes);
    } else {
        send_problem(call, problem, buffer_view(lines), body, problems[problem].closes);
    }
}

void problem_reply_no_memory(struct call *call) {
    reply_without_memory(call, false);
}

void problem_reply(struct call *call, enum problem problem, const char *detail) {
    problem_reply_with(call, problem, detail, NULL, NULL);
}

void problem_reply_fault(struct call *call, const struct fault *fault) {
    char room[128];
    struct buffer members;
    buffer_borrow(&members, room, sizeof(room));
    if (fault->field) {
        buffer_format(&members, ",\"field\":\"%s\"", fault->field);
    }
    problem_reply_with(call, fault->problem, fault->detail, NULL, &members);
}

void problem_reply_status(struct call *call, int status) {
    if (status == STATUS_AMBIGUOUS) {
        problem_reply(call, PROBLEM_OUTCOME_UNKNOWN,
                      "It is unknown whether this was written. Ask again to learn what holds.");
    } else if (status == STATUS_STOPPED) {
        problem_reply(call, PROBLEM_OVERLOADED, "The server is stopping.");
    } else if (status == STATUS_BUSY) {
        problem_reply(
            call, PROBLEM_OVERLOADED,
            "Other nodes change the same at this moment; nothing was changed. Ask again.");
    } else {
        problem_reply(call, PROBLEM_STORAGE_UNAVAILABLE,
                      "The record cannot be used at the moment; nothing was changed.");
    }
}

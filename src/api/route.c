/* Which call a request is, and the checks that need no body: route, method, credential,
 * media type, size, in this order (docs/api.md). */
#include "api/call.h"

/* The claims come first: they are what comes in crowds. */
static const struct route routes[] = {
    {HTTP_POST, "/v1/coupons/*/issues", IDS_COUPON, ACCESS_CLAIMER, BODY_JSON, QUERY_REFUSED,
     BODY_MAX, handle_claim},
    {HTTP_GET, "/v1/coupons/*/issues", IDS_COUPON, ACCESS_CLAIMER, BODY_NONE, QUERY_OWN, 0,
     handle_issues_read},
    {HTTP_POST, "/v1/issue", IDS_NONE, ACCESS_CLAIMER, BODY_JSON, QUERY_REFUSED, BODY_MAX,
     handle_claim_original},
    {HTTP_POST, "/v1/issue-async", IDS_NONE, ACCESS_CLAIMER, BODY_JSON, QUERY_REFUSED, BODY_MAX,
     handle_claim_original_async},
    {HTTP_POST, "/v2/issue-async", IDS_NONE, ACCESS_CLAIMER, BODY_JSON, QUERY_REFUSED, BODY_MAX,
     handle_claim_original_async},
    {HTTP_GET, "/v1/coupons/*", IDS_COUPON, ACCESS_ANYONE, BODY_NONE, QUERY_REFUSED, 0,
     handle_coupon_read},
    {HTTP_PATCH, "/v1/coupons/*", IDS_COUPON, ACCESS_ADMIN, BODY_JSON, QUERY_REFUSED, BODY_MAX,
     handle_coupon_change},
    {HTTP_POST, "/v1/coupons/*/issues:batch", IDS_COUPON, ACCESS_ADMIN, BODY_JSON, QUERY_REFUSED,
     BODY_MAX_BULK, handle_claims_bulk},
    {HTTP_GET, "/v1/users/*/issues", IDS_USER, ACCESS_CLAIMER, BODY_NONE, QUERY_REFUSED, 0,
     handle_user_issues_read},
    {HTTP_GET, "/v1/issues/*", IDS_ISSUE, ACCESS_CLAIMER, BODY_NONE, QUERY_REFUSED, 0,
     handle_issue_read},
    {HTTP_GET, "/v1/claims/*", IDS_CLAIM, ACCESS_CLAIMER, BODY_NONE, QUERY_REFUSED, 0,
     handle_claim_read},
    {HTTP_GET, "/v1/coupons", IDS_NONE, ACCESS_ADMIN, BODY_NONE, QUERY_OWN, 0, handle_coupons_read},
    {HTTP_POST, "/v1/coupons", IDS_NONE, ACCESS_ADMIN, BODY_JSON, QUERY_REFUSED, BODY_MAX,
     handle_coupon_create},
    {HTTP_GET, "/v1/audit", IDS_NONE, ACCESS_ADMIN, BODY_NONE, QUERY_OWN, 0, handle_audits_read},
    {HTTP_GET, "/healthz", IDS_NONE, ACCESS_ANYONE, BODY_NONE, QUERY_IGNORED, 0, handle_health},
    {HTTP_GET, "/readyz", IDS_NONE, ACCESS_ANYONE, BODY_NONE, QUERY_IGNORED, 0, handle_ready},
    {HTTP_GET, "/metrics", IDS_NONE, ACCESS_ANYONE, BODY_NONE, QUERY_IGNORED, 0, handle_metrics},
    {HTTP_GET, "/openapi.json", IDS_NONE, ACCESS_ANYONE, BODY_NONE, QUERY_IGNORED, 0,
     handle_openapi},
};

/* ---- finding ---- */

/* Whether the path has the pattern's form; *ret_segment is what "*" stood for. */
static bool path_matches(struct slice path, const char *pattern, struct slice *ret_segment) {
    size_t at = 0;
    for (; *pattern; pattern++) {
        if (*pattern != '*') {
            if (at == path.size || path.bytes[at] != *pattern) {
                return false;
            }
            at++;
            continue;
        }
        size_t start = at;
        while (at < path.size && path.bytes[at] != '/') {
            at++;
        }
        if (at == start) {
            return false;
        }
        *ret_segment = (struct slice){path.bytes + start, at - start};
    }
    return at == path.size;
}

/* NULL: no route has this path, or (*ret_path_known) none with this method. */
static const struct route *find_route(const struct http_head *head, struct slice *ret_segment,
                                      bool *ret_path_known) {
    enum http_method method = head->method == HTTP_HEAD ? HTTP_GET : head->method;
    *ret_path_known = false;
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (path_matches(head->path, routes[i].path, ret_segment)) {
            *ret_path_known = true;
            if (routes[i].method == method) {
                return &routes[i];
            }
        }
    }
    return NULL;
}

static const char *method_names(enum http_method method) {
    return method == HTTP_GET ? "GET, HEAD" : method == HTTP_POST ? "POST" : "PATCH";
}

static void refuse_method(struct call *call, const struct http_head *head) {
    struct buffer fields;
    struct slice segment;
    const char *separator = "";
    buffer_init(&fields);
    buffer_text(&fields, "Allow: ");
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (path_matches(head->path, routes[i].path, &segment)) {
            buffer_format(&fields, "%s%s", separator, method_names(routes[i].method));
            separator = ", ";
        }
    }
    buffer_text(&fields, "\r\n");
    problem_reply_with(call, PROBLEM_METHOD_NOT_ALLOWED, "This resource has no such method.",
                       &fields, NULL);
    buffer_done(&fields);
}

/* ---- checking ---- */

static bool refuse_unauthorized(struct call *call, const char *why) {
    char room[32];
    struct buffer fields;
    buffer_borrow(&fields, room, sizeof(room));
    buffer_text(&fields, "WWW-Authenticate: Bearer\r\n");
    problem_reply_with(call, PROBLEM_UNAUTHORIZED, why, &fields, NULL);
    return false;
}

/* Size 0: none, several, or of another scheme. */
static struct slice bearer_token(const struct http_head *head) {
    static const char scheme[] = "Bearer ";
    size_t count = 0;
    struct slice value = http_head_field(head, "authorization", &count);
    struct slice begin = {value.bytes, value.size < sizeof(scheme) - 1 ? 0 : sizeof(scheme) - 1};
    if (count != 1 || begin.size == 0 || !slice_is_nocase(begin, scheme)) {
        return (struct slice){0};
    }
    return (struct slice){value.bytes + begin.size, value.size - begin.size};
}

/* Who calls, into the call; refused when nobody who may claim. */
static bool knows_caller(struct call *call, const struct http_head *head) {
    struct finding finding;
    struct slice token = bearer_token(head);
    const struct credentials *credentials = loop_credentials(call->loop);
    credentials_judge(credentials, token, token.size ? clock_realtime(NULL) : 0, &finding);
    call->caller = finding.caller;
    switch (finding.caller) {
    case CALLER_UNKNOWN:
        return refuse_unauthorized(call, finding.why);
    case CALLER_BELIEVED:
        return true;
    case CALLER_USER:
        memcpy(call->user_id, finding.user.text, finding.user.size);
        call->user_id_size = finding.user.size;
        return true;
    case CALLER_ADMIN:
        memcpy(call->admin_name, finding.admin_name, strlen(finding.admin_name) + 1);
        return true;
    }
    assert(false && "a caller");
    return false;
}

bool route_may_admin(struct call *call) {
    if (call->caller == CALLER_ADMIN) {
        return true;
    }
    if (call->loop->api->rules.claim_auth == CLAIM_AUTH_NONE) {
        return refuse_unauthorized(call,
                                   "This call needs Authorization: Bearer and an admin token.");
    }
    problem_reply(call, PROBLEM_FORBIDDEN, "This call is for operators.");
    return false;
}

static bool media_type_is(struct slice value, const char *type) {
    const char *end = value.size ? memchr(value.bytes, ';', value.size) : NULL;
    size_t size = end ? (size_t)(end - value.bytes) : value.size;
    while (size > 0 && (value.bytes[size - 1] == ' ' || value.bytes[size - 1] == '\t')) {
        size--;
    }
    return slice_is_nocase((struct slice){value.bytes, size}, type);
}

static bool has_media_type(struct call *call, const struct http_head *head) {
    size_t count = 0;
    struct slice type = http_head_field(head, "content-type", &count);
    if (count == 1 && media_type_is(type, "application/json")) {
        return true;
    }
    problem_reply(call, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                  "The body must have Content-Type: application/json.");
    return false;
}

static bool takes_query(struct call *call, const struct http_head *head) {
    if (call->route->query == QUERY_REFUSED && head->query.size > 0) {
        problem_reply(call, PROBLEM_MALFORMED_REQUEST, "This call takes no query.");
        return false;
    }
    return true;
}

static bool read_user(struct call *call, struct slice segment) {
    char room[USER_ID_MAX];
    struct slice user_id = {0};
    struct fault fault = {PROBLEM_MALFORMED_REQUEST, "userId", "The path has a bad escape."};
    int status = http_percent_decode(segment, room, sizeof(room), &user_id);
    /* Too long for the room is too long for a user: the empty one is refused alike. */
    if (status == STATUS_INVALID || input_user_id(call, user_id, &fault)) {
        problem_reply_fault(call, &fault);
        return false;
    }
    return true;
}

static bool read_ids(struct call *call, struct slice segment) {
    uint64_t rank = 0;
    struct slice coupon = segment;
    if (call->route->ids == IDS_NONE) {
        return true;
    }
    if (call->route->ids == IDS_USER) {
        return read_user(call, segment);
    }
    if (call->route->ids == IDS_CLAIM) {
        return ticket_read(call, segment);
    }
    if (call->route->ids == IDS_ISSUE) {
        const char *dash = memchr(segment.bytes, '-', segment.size);
        coupon.size = dash ? (size_t)(dash - segment.bytes) : 0;
        struct slice rest = {segment.bytes + coupon.size + 1, segment.size - coupon.size - 1};
        if (!dash || slice_to_u64(rest, UINT32_MAX, &rank)) {
            problem_reply(call, PROBLEM_ISSUE_NOT_FOUND, "There is no issue of this id.");
            return false;
        }
        call->reference.rank = (uint32_t)rank;
    }
    if (slice_to_u64(coupon, (uint64_t)JSON_INTEGER_MAX, &call->reference.coupon_id)) {
        bool issue = call->route->ids == IDS_ISSUE;
        problem_reply(call, issue ? PROBLEM_ISSUE_NOT_FOUND : PROBLEM_COUPON_NOT_FOUND,
                      issue ? "There is no issue of this id." : "There is no coupon of this id.");
        return false;
    }
    return true;
}

int64_t route_head(struct call *call, const struct http_head *head) {
    struct slice segment = {0};
    bool path_known = false;
    call->route = find_route(head, &segment, &path_known);
    if (!call->route) {
        if (path_known) {
            refuse_method(call, head);
        } else {
            problem_reply(call, PROBLEM_NOT_FOUND, "There is nothing at this path.");
        }
        return -1;
    }
    if (call->route->access != ACCESS_ANYONE && !knows_caller(call, head)) {
        return -1;
    }
    if (call->route->access == ACCESS_ADMIN && !route_may_admin(call)) {
        return -1;
    }
    bool wants_body = call->route->body != BODY_NONE;
    if ((wants_body && !has_media_type(call, head)) || !takes_query(call, head) ||
        !read_ids(call, segment)) {
        return -1;
    }
    return call->route->body_max;
}

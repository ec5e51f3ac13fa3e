/* POST …/issues:batch: one call, many users, one verdict each.
 *
 * The users are claims like any other. They go to the issuer in slices of at most one commit,
 * the next one only when the last came back: single claims that came meanwhile go first, so
 * a batch delays them by one commit at most. */
#include "api/call.h"

#include <stdlib.h>

struct bulk {
    struct claim_batch slice; /* first; the users at the issuer */
    struct parcel parcel;
    struct call *call;
    struct claim *claims;
    size_t count;
    size_t judged; /* users before the slice */
    char *texts;   /* what the claims point into */
};

static void bulk_free(struct bulk *bulk) {
    free(bulk->claims);
    free(bulk->texts);
    free(bulk);
}

/* ---- the reply ---- */

static void render_held(struct buffer *body, const struct claim *claim) {
    buffer_text(body, ",\"issueId\":\"");
    buffer_u64(body, claim->coupon_id);
    buffer_text(body, "-");
    buffer_u64(body, claim->rank);
    buffer_text(body, "\",\"rank\":");
    buffer_u64(body, claim->rank);
    buffer_text(body, ",\"issuedAt\":\"");
    buffer_time(body, claim->issued_at_us);
    buffer_text(body, "\"");
}

static void render_result(struct buffer *body, const struct claim *claim) {
    bool issued = claim->verdict == VERDICT_ISSUED || claim->verdict == VERDICT_REPLAYED;
    buffer_text(body, "{\"userId\":");
    buffer_json_string(body, claim->user_id);
    buffer_text(body, ",\"result\":\"");
    bool admitted = claim->verdict == VERDICT_ADMITTED;
    buffer_text(body, issued     ? "issued"
                      : admitted ? "pending"
                                 : problem_code(claim_problem(claim->verdict)));
    buffer_text(body, "\"");
    if (issued || claim->verdict == VERDICT_ALREADY_ISSUED) {
        render_held(body, claim);
    }
    if (claim->verdict == VERDICT_REPLAYED) {
        buffer_text(body, ",\"replayed\":true");
    }
    if (claim->verdict == VERDICT_NOT_STARTED) {
        buffer_text(body, ",\"opensAt\":\"");
        buffer_time(body, claim->starts_us);
        buffer_text(body, "\"");
    }
    buffer_text(body, "}");
}

static void count_told(const struct bulk *bulk) {
    for (size_t i = 0; i < bulk->count; i++) {
        figures_claim(&bulk->parcel.loop->figures, bulk->claims[i].verdict);
    }
}

/* Nobody judged the users behind the slices so far, and no verdict reads as "issued". */
static void tell_rest(struct bulk *bulk, enum verdict verdict) {
    for (size_t i = bulk->judged; i < bulk->count; i++) {
        bulk->claims[i].verdict = verdict;
    }
    bulk->judged = bulk->count;
}

/* Refuses the call and frees: nobody has got anything by it. */
static void bulk_refuse(struct bulk *bulk, enum verdict verdict) {
    struct call *call = bulk->call;
    tell_rest(bulk, verdict);
    count_told(bulk);
    bulk_free(bulk);
    problem_reply(call, claim_problem(verdict),
                  verdict == VERDICT_OVERLOADED ? "Too many claims are waiting."
                                                : "There is no coupon of this id.");
}

/* Answers and frees. */
static void bulk_answer(struct bulk *bulk) {
    struct call *call = bulk->call;
    count_told(bulk);
    struct buffer *body = reply_body(call);
    reply_fields(call);
    buffer_text(body, "{\"results\":[");
    for (size_t i = 0; i < bulk->count; i++) {
        buffer_text(body, i ? "," : "");
        render_result(body, &bulk->claims[i]);
    }
    buffer_text(body, "]}");
    bulk_free(bulk);
    reply_json(call, 200);
}

/* ---- slices ---- */

static void bulk_send(struct bulk *bulk) {
    size_t left = bulk->count - bulk->judged;
    bulk->slice.claims = bulk->claims + bulk->judged;
    bulk->slice.count = left < CLAIM_BATCH_MAX ? left : CLAIM_BATCH_MAX;
    if (issuer_submit(bulk->parcel.loop->api->issuer, &bulk->slice.job) == STATUS_OK) {
        return;
    }
    if (bulk->judged == 0) {
        bulk_refuse(bulk, VERDICT_OVERLOADED);
        return;
    }
    tell_rest(bulk, VERDICT_OVERLOADED);
    bulk_answer(bulk);
}

static bool all_got(const struct claim_batch *slice, enum verdict verdict) {
    for (size_t i = 0; i < slice->count; i++) {
        if (slice->claims[i].verdict != verdict) {
            return false;
        }
    }
    return true;
}

/* A first slice that all found no coupon, or no room, is told for the call, and no other is sent:
 * the coupon may be made between two slices, and a later one would issue what nobody is told of. */
static void bulk_came_back(struct job *job) {
    struct bulk *bulk = (struct bulk *)job;
    enum verdict verdict = bulk->slice.claims[0].verdict;
    bool first = bulk->judged == 0;
    bulk->judged += bulk->slice.count;
    if (first && (verdict == VERDICT_NO_SUCH_COUPON || verdict == VERDICT_OVERLOADED) &&
        all_got(&bulk->slice, verdict)) {
        bulk_refuse(bulk, verdict);
    } else if (bulk->judged < bulk->count) {
        bulk_send(bulk);
    } else {
        bulk_answer(bulk);
    }
}

static void bulk_begin(struct bulk *bulk, struct call *call) {
    const struct issuer *issuer = call->loop->api->issuer;
    bulk->call = call;
    bulk->parcel = (struct parcel){.loop = call->loop, .answer = bulk_came_back};
    bulk->slice.job = (struct job){.kind = JOB_CLAIMS, .done = inbox_put, .context = &bulk->parcel};
    for (size_t i = 0; i < bulk->count; i++) {
        struct claim *claim = &bulk->claims[i];
        claim->coupon_id = call->reference.coupon_id;
        claim->user = issuer_user_digest(issuer, claim->user_id);
        claim->request_key = call_request_key(call);
    }
    bulk_send(bulk);
}

void handle_claims_bulk(struct call *call, const struct http_head *head, struct slice body) {
    struct fault fault;
    if (issuer_state(call->loop->api->issuer) == ISSUER_STARTING) {
        problem_reply(call, PROBLEM_STARTING, "The server is reading its record.");
        return;
    }
    struct bulk *bulk = calloc(1, sizeof(*bulk));
    if (!bulk) {
        problem_reply(call, PROBLEM_OVERLOADED, "No memory for this request.");
        return;
    }
    if (input_request_key(call, head, &fault) ||
        bulk_body_read(body, &bulk->claims, &bulk->count, &bulk->texts, &fault)) {
        free(bulk);
        problem_reply_fault(call, &fault);
        return;
    }
    bulk_begin(bulk, call);
}

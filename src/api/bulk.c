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

/* Users the queue did not take have no verdict of their own. */
static void count_told(const struct bulk *bulk) {
    struct loop_figures *figures = &bulk->parcel.loop->figures;
    for (size_t i = 0; i < bulk->count; i++) {
        figures_claim(figures, i < bulk->judged ? bulk->claims[i].verdict : VERDICT_OVERLOADED);
    }
}

/* Answers and frees. No such coupon, or nothing taken by the queue, is told for the call. */
static void bulk_answer(struct bulk *bulk) {
    struct call *call = bulk->call;
    count_told(bulk);
    enum verdict first = bulk->claims[0].verdict;
    if (first == VERDICT_NO_SUCH_COUPON || first == VERDICT_OVERLOADED) {
        bulk_free(bulk);
        problem_reply(call, claim_problem(first),
                      first == VERDICT_OVERLOADED ? "Too many claims are waiting."
                                                  : "There is no coupon of this id.");
        return;
    }
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
        count_told(bulk);
        problem_reply(bulk->call, PROBLEM_OVERLOADED, "Too many claims are waiting.");
        bulk_free(bulk);
        return;
    }
    /* Nobody judged the rest, and no verdict reads as "issued". */
    for (size_t i = bulk->judged; i < bulk->count; i++) {
        bulk->claims[i].verdict = VERDICT_OVERLOADED;
    }
    bulk_answer(bulk);
}

static void bulk_came_back(struct job *job) {
    struct bulk *bulk = (struct bulk *)job;
    bulk->judged += bulk->slice.count;
    if (bulk->judged < bulk->count) {
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

/* Claims: gathered over one turn of the loop, sent to the issuer as one batch, answered when
 * the batch comes back. Not for: deciding (issuer), operators' calls (commands.c). Called by
 * route.c's table and, at the end of a turn and with the answers, by api.c. */
#include "api/call.h"

#include <stdlib.h>

/* A batch with its memory; kept by the loop for the next turn when it comes back. */
struct flight {
    struct claim_batch batch; /* first */
    struct parcel parcel;
    int64_t handed_over_us; /* when its first claim was; monotonic */
    size_t capacity;
    struct flight *next;
};

enum { FLIGHT_CAPACITY_FIRST = 64 };

static void answer_flight(struct job *job);

/* ---- gathering ---- */

static struct flight *flight_take(struct api_loop *loop) {
    struct flight *flight = loop->spare;
    if (flight) {
        loop->spare = flight->next;
        return flight;
    }
    flight = calloc(1, sizeof(*flight));
    if (flight) {
        flight->parcel = (struct parcel){.loop = loop, .answer = answer_flight};
        flight->batch.job =
            (struct job){.kind = JOB_CLAIMS, .done = inbox_put, .context = &flight->parcel};
    }
    return flight;
}

static void flight_put_back(struct api_loop *loop, struct flight *flight) {
    flight->batch.count = 0;
    flight->next = loop->spare;
    loop->spare = flight;
}

/* A place in this turn's batch; NULL: no memory. */
static struct claim *claim_place(struct api_loop *loop, bool respond_async) {
    if (!loop->gathering[respond_async]) {
        loop->gathering[respond_async] = flight_take(loop);
    }
    struct flight *flight = loop->gathering[respond_async];
    if (!flight) {
        return NULL;
    }
    if (flight->batch.count == flight->capacity) {
        size_t capacity = flight->capacity ? flight->capacity * 2 : FLIGHT_CAPACITY_FIRST;
        struct claim *claims = realloc(flight->batch.claims, capacity * sizeof(claims[0]));
        if (!claims) {
            return NULL;
        }
        flight->batch.claims = claims;
        flight->capacity = capacity;
    }
    if (flight->batch.count == 0) {
        flight->handed_over_us = clock_monotonic_us();
    }
    return &flight->batch.claims[flight->batch.count++];
}

static void flight_send(struct api_loop *loop, bool respond_async);

static void gather(struct call *call, bool respond_async) {
    struct api_loop *loop = call->loop;
    if (issuer_state(loop->api->issuer) == ISSUER_STARTING) {
        figures_claim(&loop->figures, VERDICT_STARTING);
        problem_reply(call, PROBLEM_STARTING, "The server is reading its record.");
        return;
    }
    struct claim *claim = claim_place(loop, respond_async);
    if (!claim) {
        figures_claim(&loop->figures, VERDICT_OVERLOADED);
        problem_reply(call, PROBLEM_OVERLOADED, "No memory for another claim.");
        return;
    }
    *claim = (struct claim){
        .coupon_id = call->reference.coupon_id,
        .user = issuer_user_digest(loop->api->issuer, call_user_id(call)),
        .user_id = call_user_id(call),
        .request_key = call_request_key(call),
        .context = call,
        .respond_async = respond_async,
    };
    if (loop->gathering[respond_async]->batch.count == CLAIM_BATCH_MAX) {
        flight_send(loop, respond_async);
    }
}

static void claim(struct call *call, const struct http_head *head, struct slice body,
                  bool with_coupon, bool respond_async) {
    struct fault fault;
    if (claim_body_read(call, body, with_coupon, &fault) || input_request_key(call, head, &fault)) {
        problem_reply_fault(call, &fault);
        return;
    }
    gather(call, respond_async);
}

void handle_claim(struct call *call, const struct http_head *head, struct slice body) {
    claim(call, head, body, false, input_prefers_async(head));
}

void handle_claim_original(struct call *call, const struct http_head *head, struct slice body) {
    claim(call, head, body, true, false);
}

void handle_claim_original_async(struct call *call, const struct http_head *head,
                                 struct slice body) {
    claim(call, head, body, true, true);
}

static void flight_send(struct api_loop *loop, bool respond_async) {
    struct flight *flight = loop->gathering[respond_async];
    if (!flight || flight->batch.count == 0) {
        return;
    }
    loop->gathering[respond_async] = NULL;
    int status = issuer_submit(loop->api->issuer, &flight->batch.job);
    if (status == STATUS_OK) {
        return;
    }
    for (size_t i = 0; i < flight->batch.count; i++) {
        figures_claim(&loop->figures, VERDICT_OVERLOADED);
        problem_reply(flight->batch.claims[i].context, PROBLEM_OVERLOADED,
                      status == STATUS_FULL ? "Too many claims are waiting."
                                            : "The server is stopping.");
    }
    flight_put_back(loop, flight);
}

void claims_send(struct api_loop *loop) {
    flight_send(loop, false);
    flight_send(loop, true);
}

/* ---- answering ---- */

static void answer_issued(struct call *call, const struct claim *claim) {
    struct issue_reference reference = {.coupon_id = claim->coupon_id, .rank = claim->rank};
    struct buffer *fields = reply_fields(call);
    struct buffer *body = reply_body(call);
    bool original = call->route->ids == IDS_NONE; /* their bodies name the coupon, not the path */
    if (claim->verdict == VERDICT_REPLAYED) {
        buffer_text(fields, "Idempotent-Replayed: true\r\n");
    }
    if (original) {
        buffer_text(body, "true");
    } else {
        buffer_text(fields, "Location: /v1/issues/");
        render_issue_id(fields, reference);
        buffer_text(fields, "\r\n");
        render_issue(body, reference, claim->user_id, claim->issued_at_us);
    }
    reply_json(call, original ? 200 : 201);
}

/* It has a place in the queue, no more: 202, where to ask what became of it; for the original's
 * calls true. */
static void answer_admitted(struct call *call, const struct claim *claim) {
    struct buffer *fields = reply_fields(call);
    struct buffer *body = reply_body(call);
    if (call->route->ids == IDS_NONE) {
        buffer_text(body, "true");
        reply_json(call, 200);
        return;
    }
    buffer_text(fields, "Location: ");
    render_claim_url(fields, claim);
    buffer_text(fields, "\r\nRetry-After: 1\r\n");
    buffer_text(body, "{\"status\":\"pending\",\"couponId\":");
    buffer_u64(body, claim->coupon_id);
    buffer_text(body, ",\"userId\":");
    buffer_json_string(body, claim->user_id);
    buffer_text(body, ",\"statusUrl\":\"");
    render_claim_url(body, claim);
    buffer_text(body, "\"}");
    reply_json(call, 202);
}

static void answer_held(struct call *call, const struct claim *claim) {
    struct issue_reference reference = {.coupon_id = claim->coupon_id, .rank = claim->rank};
    struct buffer members;
    buffer_init(&members);
    buffer_text(&members, ",\"issue\":");
    render_issue(&members, reference, claim->user_id, claim->issued_at_us);
    problem_reply_with(call, PROBLEM_ALREADY_ISSUED, "This user holds one already.", NULL,
                       &members);
    buffer_done(&members);
}

static void answer_not_started(struct call *call, const struct claim *claim) {
    struct buffer fields, members;
    int64_t wait_us = claim->starts_us - clock_realtime(NULL);
    buffer_init(&fields);
    buffer_init(&members);
    buffer_format(&fields, "Retry-After: %lld\r\n",
                  (long long)(wait_us > 0 ? (wait_us + US_PER_SECOND - 1) / US_PER_SECOND : 1));
    buffer_text(&members, ",\"opensAt\":\"");
    buffer_time(&members, claim->starts_us);
    buffer_text(&members, "\"");
    problem_reply_with(call, PROBLEM_NOT_STARTED, "Issuing has not started yet.", &fields,
                       &members);
    buffer_done(&fields);
    buffer_done(&members);
}

static const struct {
    enum problem problem;
    const char *detail;
} refusals[] = {
    [VERDICT_ALREADY_ISSUED] = {PROBLEM_ALREADY_ISSUED, "This user holds one already."},
    [VERDICT_NO_SUCH_COUPON] = {PROBLEM_COUPON_NOT_FOUND, "There is no coupon of this id."},
    [VERDICT_PAUSED] = {PROBLEM_PAUSED, "Issuing is paused by the operator."},
    [VERDICT_NOT_STARTED] = {PROBLEM_NOT_STARTED, "Issuing has not started yet."},
    [VERDICT_ENDED] = {PROBLEM_ENDED, "Issuing has ended."},
    [VERDICT_SOLD_OUT] = {PROBLEM_SOLD_OUT, "All coupons are issued."},
    [VERDICT_STORAGE_UNAVAILABLE] = {PROBLEM_STORAGE_UNAVAILABLE,
                                     "The record cannot be used at the moment; nothing was "
                                     "changed."},
    [VERDICT_OUTCOME_UNKNOWN] = {PROBLEM_OUTCOME_UNKNOWN,
                                 "It is unknown whether this was written. Ask again to learn what "
                                 "holds."},
    [VERDICT_OVERLOADED] = {PROBLEM_OVERLOADED, "Too many claims are waiting."},
    [VERDICT_STARTING] = {PROBLEM_STARTING, "The server is reading its record."},
};

enum problem claim_problem(enum verdict verdict) {
    assert(verdict != VERDICT_ISSUED && verdict != VERDICT_REPLAYED && verdict != VERDICT_ADMITTED);
    assert((size_t)verdict < COUNT_OF(refusals));
    return refusals[verdict].problem;
}

static void answer_claim(struct call *call, const struct claim *claim) {
    if (claim->verdict == VERDICT_ISSUED || claim->verdict == VERDICT_REPLAYED) {
        answer_issued(call, claim);
    } else if (claim->verdict == VERDICT_ADMITTED) {
        answer_admitted(call, claim);
    } else if (claim->verdict == VERDICT_ALREADY_ISSUED) {
        answer_held(call, claim);
    } else if (claim->verdict == VERDICT_NOT_STARTED) {
        answer_not_started(call, claim);
    } else {
        problem_reply(call, claim_problem(claim->verdict), refusals[claim->verdict].detail);
    }
}

static void answer_flight(struct job *job) {
    struct flight *flight = (struct flight *)job;
    struct tally tally = {.figures = &flight->parcel.loop->figures,
                          .handed_over_us = flight->handed_over_us};
    for (size_t i = 0; i < flight->batch.count; i++) {
        figures_claim(tally.figures, flight->batch.claims[i].verdict);
        answer_claim(flight->batch.claims[i].context, &flight->batch.claims[i]);
        tally_claim(&tally, flight->batch.claims[i].verdict);
    }
    tally_end(&tally);
    flight_put_back(flight->parcel.loop, flight);
}

void claims_free(struct api_loop *loop) {
    for (size_t i = 0; i < COUNT_OF(loop->gathering); i++) {
        if (loop->gathering[i]) {
            flight_put_back(loop, loop->gathering[i]);
            loop->gathering[i] = NULL;
        }
    }
    while (loop->spare) {
        struct flight *next = loop->spare->next;
        free(loop->spare->batch.claims);
        free(loop->spare);
        loop->spare = next;
    }
}

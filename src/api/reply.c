/* Successful replies: coupons and issues as JSON. Not for: refusals (problem.c). Called by the
 * handlers, which know what to reply. */
#include "api/call.h"

#include <stdio.h>

struct buffer *reply_body(struct call *call) {
    buffer_clear(&call->loop->body);
    return &call->loop->body;
}

struct buffer *reply_fields(struct call *call) {
    buffer_clear(&call->loop->fields);
    return &call->loop->fields;
}

void reply_json(struct call *call, int status) {
    struct api_loop *loop = call->loop;
    if (loop->body.failed || loop->fields.failed) {
        problem_reply_no_memory(call);
        return;
    }
    struct http_response response = {
        .status = status,
        .content_type = "application/json",
        .fields = buffer_view(&loop->fields),
        .body = buffer_view(&loop->body),
    };
    http_reply(call->exchange, &response);
}

/* The same order as the verdicts'; for display, so this machine's clock will do. */
static const char *state_of(const struct coupon_record *coupon) {
    int64_t now_us = clock_realtime(NULL);
    if (coupon->archived_us) {
        return "ended";
    }
    if (coupon->paused) {
        return "paused";
    }
    if (now_us < coupon->issue_start_us) {
        return "scheduled";
    }
    if (now_us >= coupon->issue_end_us) {
        return "ended";
    }
    bool sold_out = coupon->total_quantity != COUPON_UNLIMITED &&
                    coupon->issued_quantity >= coupon->total_quantity;
    return sold_out ? "soldOut" : "open";
}

static void member_time(struct buffer *body, const char *name, int64_t time_us) {
    buffer_format(body, ",\"%s\":\"", name);
    buffer_time(body, time_us);
    buffer_text(body, "\"");
}

void render_coupon(struct buffer *body, const struct coupon_record *coupon) {
    buffer_format(body, "{\"id\":%llu,\"title\":", (unsigned long long)coupon->id);
    buffer_json_string(body, slice_of(coupon->title));
    if (coupon->total_quantity == COUPON_UNLIMITED) {
        buffer_format(body, ",\"totalQuantity\":null,\"issuedQuantity\":%u,\"remaining\":null",
                      coupon->issued_quantity);
    } else {
        buffer_format(body, ",\"totalQuantity\":%lld,\"issuedQuantity\":%u,\"remaining\":%lld",
                      (long long)coupon->total_quantity, coupon->issued_quantity,
                      (long long)coupon->total_quantity - coupon->issued_quantity);
    }
    buffer_format(body, ",\"discountAmount\":%lld,\"minAvailableAmount\":%lld",
                  (long long)coupon->discount_amount, (long long)coupon->min_available_amount);
    member_time(body, "issueStart", coupon->issue_start_us);
    member_time(body, "issueEnd", coupon->issue_end_us);
    buffer_format(body,
                  ",\"state\":\"%s\",\"paused\":%s,\"archived\":%s,\"metadata\":", state_of(coupon),
                  coupon->paused ? "true" : "false", coupon->archived_us ? "true" : "false");
    buffer_text(body, coupon->metadata[0] ? coupon->metadata : "null");
    buffer_format(body, ",\"version\":%u", coupon->version);
    member_time(body, "createdAt", coupon->created_us);
    member_time(body, "updatedAt", coupon->updated_us);
    buffer_text(body, "}");
}

void reply_coupon(struct call *call, int status, const struct coupon_record *coupon,
                  bool replayed) {
    struct buffer *fields = reply_fields(call);
    if (status == 201) {
        buffer_format(fields, "Location: /v1/coupons/%llu\r\n", (unsigned long long)coupon->id);
    }
    buffer_format(fields, "ETag: \"%u\"\r\n", coupon->version);
    if (replayed) {
        buffer_text(fields, "Idempotent-Replayed: true\r\n");
    }
    render_coupon(reply_body(call), coupon);
    reply_json(call, status);
}

void render_issue_id(struct buffer *text, struct issue_reference reference) {
    buffer_u64(text, reference.coupon_id);
    buffer_text(text, "-");
    buffer_u64(text, reference.rank);
}

void render_issue(struct buffer *body, struct issue_reference reference, struct slice user_id,
                  int64_t issued_at_us) {
    buffer_text(body, "{\"issueId\":\"");
    render_issue_id(body, reference);
    buffer_text(body, "\",\"couponId\":");
    buffer_u64(body, reference.coupon_id);
    buffer_text(body, ",\"userId\":");
    buffer_json_string(body, user_id);
    buffer_text(body, ",\"rank\":");
    buffer_u64(body, reference.rank);
    buffer_text(body, ",\"issuedAt\":\"");
    buffer_time(body, issued_at_us);
    buffer_text(body, "\"}");
}

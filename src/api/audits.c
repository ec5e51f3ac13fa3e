/* GET /v1/audit: who changed which coupon, and with what. The rows are written with each
 * change (commands.c says by whom). Called by route.c's table. */
#include "api/call.h"

#include <stdlib.h>

enum { AUDITS_LIMIT_MAX = 500 };

static void render_audit(struct buffer *body, const struct audit_record *audit) {
    buffer_format(body, "{\"id\":%llu,\"at\":\"", (unsigned long long)audit->id);
    buffer_time(body, audit->changed_us);
    buffer_text(body, "\",\"admin\":");
    buffer_json_string(body, slice_of(audit->admin));
    buffer_format(body,
                  ",\"action\":\"%s\",\"couponId\":%llu,\"version\":%u,\"request\":", audit->action,
                  (unsigned long long)audit->coupon_id, audit->version);
    /* JSON as it was taken, so it is put in as it is */
    buffer_text(body, audit->request[0] ? audit->request : "null");
    buffer_text(body, "}");
}

static void answer_audits(struct errand *errand) {
    const struct command *command = &errand->command;
    if (command->status != STATUS_OK) {
        problem_reply_status(errand->call, command->status);
        return;
    }
    struct buffer *body = reply_body(errand->call);
    uint64_t next = command->after_id;
    reply_fields(errand->call);
    buffer_text(body, "{\"audits\":[");
    for (size_t i = 0; i < command->audit_count; i++) {
        buffer_text(body, i ? "," : "");
        render_audit(body, &command->audits[i]);
        next = command->audits[i].id;
    }
    buffer_text(body, "],\"next\":");
    buffer_u64(body, next);
    buffer_text(body, "}");
    reply_json(errand->call, 200);
}

void handle_audits_read(struct call *call, const struct http_head *head, struct slice body) {
    struct fault fault;
    uint64_t limit, after;
    (void)body;
    if (input_page(head->query, (uint64_t)JSON_INTEGER_MAX, AUDITS_LIMIT_MAX, &after, &limit,
                   &fault)) {
        problem_reply_fault(call, &fault);
        return;
    }
    struct errand *errand = errand_new(call, JOB_AUDITS_READ, answer_audits);
    if (!errand) {
        return;
    }
    errand->command.after_id = after;
    errand->command.limit = limit;
    errand->command.audits = calloc(limit, sizeof(errand->command.audits[0]));
    if (!errand->command.audits) {
        errand_refuse(errand);
        return;
    }
    errand_send(errand);
}

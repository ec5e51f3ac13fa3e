/* Operators' calls and reads of the record: each a command to the issuer and back. Not for:
 * claims, which travel in batches (claims.c). Called by route.c's table and, with the answer,
 * by api.c. */
#include "api/call.h"

#include <sodium.h>
#include <stdlib.h>

enum { LIST_LIMIT_MAX = 500 };

/* ---- coupons ---- */

static void log_change(const char *event, const struct errand *errand) {
    const struct coupon_record *coupon = &errand->command.coupon;
    log_event(LOG_INFO, event, LOG_NUMBER("coupon", coupon->id),
              LOG_TEXT("by", errand->call->admin_name), LOG_NUMBER("version", coupon->version),
              LOG_NUMBER("total_quantity", coupon->total_quantity),
              LOG_NUMBER("issued_quantity", coupon->issued_quantity),
              LOG_TEXT("paused", coupon->paused ? "true" : "false"),
              LOG_TEXT("archived", coupon->archived_us ? "true" : "false"));
}

static void reply_field_fault(struct errand *errand) {
    assert(errand->command.why);
    problem_reply_fault(errand->call, &(struct fault){PROBLEM_INVALID_VALUE, errand->command.field,
                                                      errand->command.why});
}

/* Who asks, and with which body, into the errand. Not 0: there was no memory, and the call is
 * refused. */
static int note_audit(struct errand *errand, struct slice body) {
    errand->request = malloc(body.size);
    if (!errand->request) {
        errand_refuse(errand);
        return STATUS_NO_MEMORY;
    }
    memcpy(errand->request, body.bytes, body.size);
    errand->command.audit = (struct audit){.admin = slice_of(errand->call->admin_name),
                                           .request = {errand->request, body.size}};
    return STATUS_OK;
}

static void answer_create(struct errand *errand) {
    struct command *command = &errand->command;
    switch (command->status) {
    case STATUS_OK:
        if (!command->replayed) {
            log_change("coupon-created", errand);
        }
        reply_coupon(errand->call, 201, &command->coupon, command->replayed);
        return;
    case STATUS_EXISTS:
        problem_reply(errand->call, PROBLEM_COUPON_EXISTS, "A coupon of this id exists.");
        return;
    case STATUS_CONFLICT:
        problem_reply_fault(errand->call,
                            &(struct fault){PROBLEM_INVALID_VALUE, "Idempotency-Key",
                                            "The key was used with another request."});
        return;
    case STATUS_INVALID:
        reply_field_fault(errand);
        return;
    default:
        problem_reply_status(errand->call, command->status);
    }
}

void handle_coupon_create(struct call *call, const struct http_head *head, struct slice body) {
    struct fault fault;
    struct coupon_record coupon;
    if (coupon_body_create(body, &coupon, &fault) || input_request_key(call, head, &fault)) {
        problem_reply_fault(call, &fault);
        return;
    }
    struct errand *errand = errand_new(call, JOB_COUPON_CREATE, answer_create);
    if (!errand || note_audit(errand, body)) {
        return;
    }
    struct creation_key *key = &errand->command.key;
    errand->command.coupon = coupon;
    crypto_generichash(key->request_digest, sizeof(key->request_digest),
                       (const unsigned char *)body.bytes, body.size, NULL, 0);
    errand_send(errand);
}

static void answer_change(struct errand *errand) {
    struct command *command = &errand->command;
    switch (command->status) {
    case STATUS_OK:
        log_change("coupon-changed", errand);
        reply_coupon(errand->call, 200, &command->coupon, false);
        return;
    case STATUS_NOT_FOUND:
        problem_reply(errand->call, PROBLEM_COUPON_NOT_FOUND, "There is no coupon of this id.");
        return;
    case STATUS_CONFLICT:
        problem_reply(errand->call, PROBLEM_PRECONDITION_FAILED,
                      "The coupon has another version than If-Match names; read it again.");
        return;
    case STATUS_INVALID:
        reply_field_fault(errand);
        return;
    default:
        problem_reply_status(errand->call, command->status);
    }
}

void handle_coupon_change(struct call *call, const struct http_head *head, struct slice body) {
    struct fault fault;
    struct coupon_record coupon;
    unsigned patch_set = 0;
    if (coupon_body_patch(body, &coupon, &patch_set, &fault)) {
        problem_reply_fault(call, &fault);
        return;
    }
    struct errand *errand = errand_new(call, JOB_COUPON_CHANGE, answer_change);
    if (!errand || note_audit(errand, body)) {
        return;
    }
    bool any = false;
    input_if_match(head, errand->if_versions, &errand->command.if_version_count, &any);
    errand->command.if_versions = any ? NULL : errand->if_versions;
    errand->command.patch_set = patch_set;
    errand->command.coupon = coupon;
    errand->command.coupon.id = call->reference.coupon_id;
    errand_send(errand);
}

static void answer_coupon(struct errand *errand) {
    struct command *command = &errand->command;
    if (command->status == STATUS_OK) {
        reply_coupon(errand->call, 200, &command->coupon, false);
    } else if (command->status == STATUS_NOT_FOUND) {
        problem_reply(errand->call, PROBLEM_COUPON_NOT_FOUND, "There is no coupon of this id.");
    } else {
        problem_reply_status(errand->call, command->status);
    }
}

/* From the board without asking the writer; what is not there may be archived. */
void handle_coupon_read(struct call *call, const struct http_head *head, struct slice body) {
    struct coupon_record coupon;
    (void)head;
    (void)body;
    if (issuer_coupon(call->loop->api->issuer, call->reference.coupon_id, &coupon) == STATUS_OK) {
        reply_coupon(call, 200, &coupon, false);
        return;
    }
    struct errand *errand = errand_new(call, JOB_COUPON_READ, answer_coupon);
    if (errand) {
        errand->command.coupon.id = call->reference.coupon_id;
        errand_send(errand);
    }
}

/* ---- the list ---- */

static void answer_list(struct errand *errand) {
    struct command *command = &errand->command;
    if (command->status != STATUS_OK) {
        problem_reply_status(errand->call, command->status);
        return;
    }
    /* One more than asked for was read, to know whether there is a next page. */
    size_t page = command->limit - 1;
    size_t count = command->coupon_count < page ? command->coupon_count : page;
    struct buffer *body = reply_body(errand->call);
    reply_fields(errand->call);
    buffer_text(body, "{\"coupons\":[");
    for (size_t i = 0; i < count; i++) {
        buffer_text(body, i ? "," : "");
        render_coupon(body, &command->coupons[i]);
    }
    buffer_text(body, "]");
    if (command->coupon_count > count) {
        buffer_format(body, ",\"next\":\"%llu\"",
                      (unsigned long long)command->coupons[count - 1].id);
    }
    buffer_text(body, "}");
    reply_json(errand->call, 200);
}

void handle_coupons_read(struct call *call, const struct http_head *head, struct slice body) {
    struct fault fault;
    uint64_t limit, after_id;
    (void)body;
    if (input_page(head->query, (uint64_t)JSON_INTEGER_MAX, LIST_LIMIT_MAX, &after_id, &limit,
                   &fault)) {
        problem_reply_fault(call, &fault);
        return;
    }
    struct errand *errand = errand_new(call, JOB_COUPONS_READ, answer_list);
    if (!errand) {
        return;
    }
    errand->command.limit = limit + 1;
    errand->command.after_id = after_id;
    errand->command.coupons = calloc(limit + 1, sizeof(errand->command.coupons[0]));
    if (!errand->command.coupons) {
        errand_refuse(errand);
        return;
    }
    errand_send(errand);
}

/* ---- issues ---- */

static void answer_issue(struct errand *errand) {
    const struct issue_record *issue = &errand->command.issue;
    bool found = errand->command.status == STATUS_OK;
    if (found && errand->call->caller == CALLER_USER &&
        !slice_is(call_user_id(errand->call), issue->user_id)) {
        problem_reply(errand->call, PROBLEM_FORBIDDEN, "The issue is another user's.");
    } else if (found) {
        reply_fields(errand->call);
        render_issue(reply_body(errand->call), issue->reference, slice_of(issue->user_id),
                     issue->issued_at_us);
        reply_json(errand->call, 200);
    } else if (errand->command.status == STATUS_NOT_FOUND) {
        problem_reply(errand->call, PROBLEM_ISSUE_NOT_FOUND, "There is no issue of this id.");
    } else {
        problem_reply_status(errand->call, errand->command.status);
    }
}

void handle_issue_read(struct call *call, const struct http_head *head, struct slice body) {
    (void)head;
    (void)body;
    struct errand *errand = errand_new(call, JOB_ISSUE_READ, answer_issue);
    if (errand) {
        errand_send(errand);
    }
}

static void answer_holding(struct errand *errand) {
    const struct command *command = &errand->command;
    bool none = command->status == STATUS_NOT_FOUND;
    if (none && !command->known) {
        problem_reply(errand->call, PROBLEM_COUPON_NOT_FOUND, "There is no coupon of this id.");
        return;
    }
    if (command->status == STATUS_FULL) {
        problem_reply(errand->call, PROBLEM_OVERLOADED,
                      "As many archived coupons are searched as may be at a time.");
        return;
    }
    if (command->status != STATUS_OK && !none) {
        problem_reply_status(errand->call, command->status);
        return;
    }
    struct buffer *body = reply_body(errand->call);
    reply_fields(errand->call);
    buffer_text(body, "{\"issues\":[");
    if (!none) {
        render_issue(body, command->issue.reference, command->user_id, command->issue.issued_at_us);
    }
    buffer_text(body, "]}");
    reply_json(errand->call, 200);
}

static int query_user(struct call *call, struct slice query, struct fault *ret_fault) {
    static const char *const names[] = {"userId", NULL};
    char room[USER_ID_MAX];
    struct slice user_id;
    if (input_query_only(query, names, ret_fault)) {
        return STATUS_INVALID;
    }
    switch (http_query_value(query, "userId", room, sizeof(room), &user_id)) {
    case STATUS_OK:
        return input_user_id(call, user_id, ret_fault);
    case STATUS_FULL:
        return input_user_id(call, (struct slice){0}, ret_fault);
    case STATUS_NOT_FOUND:
        return fault_malformed(ret_fault, "userId", "userId is missing.");
    default:
        return fault_malformed(ret_fault, "userId", "The query is malformed.");
    }
}

void handle_holding_read(struct call *call, const struct http_head *head, struct slice body) {
    struct fault fault;
    (void)body;
    if (query_user(call, head->query, &fault)) {
        problem_reply_fault(call, &fault);
        return;
    }
    struct errand *errand = errand_new(call, JOB_HOLDING_READ, answer_holding);
    if (errand) {
        errand->command.user = issuer_user_digest(call->loop->api->issuer, errand->command.user_id);
        errand_send(errand);
    }
}

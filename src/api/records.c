/* Reads of many issues: a coupon's record in order, and all that one user holds. */
#include "api/call.h"

#include <stdlib.h>

/* ---- a coupon's record ---- */

static void answer_record(struct errand *errand) {
    const struct command *command = &errand->command;
    if (command->status == STATUS_NOT_FOUND) {
        problem_reply(errand->call, PROBLEM_COUPON_NOT_FOUND, "There is no coupon of this id.");
        return;
    }
    if (command->status != STATUS_OK) {
        problem_reply_status(errand->call, command->status);
        return;
    }
    struct buffer *body = reply_body(errand->call);
    uint32_t next = command->reference.rank;
    reply_fields(errand->call);
    buffer_text(body, "{\"issues\":[");
    for (size_t i = 0; i < command->issue_count; i++) {
        const struct issue_record *issue = &command->issues[i];
        buffer_text(body, i ? "," : "");
        render_issue(body, issue->reference, slice_of(issue->user_id), issue->issued_at_us);
        next = issue->reference.rank;
    }
    buffer_text(body, "],\"next\":");
    buffer_u64(body, next);
    buffer_text(body, "}");
    reply_json(errand->call, 200);
}

static void read_record(struct call *call, const struct http_head *head) {
    struct fault fault;
    uint64_t limit, after;
    if (!route_may_admin(call)) {
        return;
    }
    if (input_page(head->query, UINT32_MAX, LEDGER_SLICE_MAX, &after, &limit, &fault)) {
        problem_reply_fault(call, &fault);
        return;
    }
    struct errand *errand = errand_new(call, JOB_ISSUES_READ, answer_record);
    if (!errand) {
        return;
    }
    errand->command.reference.rank = (uint32_t)after;
    errand->command.limit = limit;
    errand->command.issues = calloc(limit, sizeof(errand->command.issues[0]));
    if (!errand->command.issues) {
        errand_refuse(errand);
        return;
    }
    errand_send(errand);
}

/* With userId what that user holds, for the claimer; else the record, for operators. */
void handle_issues_read(struct call *call, const struct http_head *head, struct slice body) {
    char room[USER_ID_MAX];
    struct slice user_id;
    if (http_query_value(head->query, "userId", room, sizeof(room), &user_id) != STATUS_NOT_FOUND) {
        handle_holding_read(call, head, body);
    } else {
        read_record(call, head);
    }
}

/* ---- a user's holdings ---- */

static int compare_holdings(const void *a, const void *b) {
    uint64_t left = ((const struct holding *)a)->reference.coupon_id;
    uint64_t right = ((const struct holding *)b)->reference.coupon_id;
    return left < right ? -1 : left > right;
}

static void answer_user_issues(struct errand *errand) {
    const struct command *command = &errand->command;
    if (command->status != STATUS_OK) {
        problem_reply_status(errand->call, command->status);
        return;
    }
    struct buffer *body = reply_body(errand->call);
    reply_fields(errand->call);
    if (command->holding_count > 0) {
        qsort(command->holdings, command->holding_count, sizeof(command->holdings[0]),
              compare_holdings);
    }
    buffer_text(body, "{\"issues\":[");
    for (size_t i = 0; i < command->holding_count; i++) {
        const struct holding *holding = &command->holdings[i];
        buffer_text(body, i ? "," : "");
        render_issue(body, holding->reference, command->user_id, holding->issued_at_us);
    }
    buffer_text(body, "]}");
    reply_json(errand->call, 200);
}

void handle_user_issues_read(struct call *call, const struct http_head *head, struct slice body) {
    (void)head;
    (void)body;
    struct errand *errand = errand_new(call, JOB_USER_ISSUES_READ, answer_user_issues);
    if (errand) {
        errand->command.user = issuer_user_digest(call->loop->api->issuer, errand->command.user_id);
        errand_send(errand);
    }
}

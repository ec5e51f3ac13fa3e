/* Tickets: the status URLs of claims that have a place in the queue and no answer yet. A ticket is
 * that place and whose claim it is, in the text itself: any node can answer, and none has to
 * remember. It proves nothing, so it tells no more than a read of the user's issues does. Called
 * by claims.c, route.c's table and, with the answer, by api.c. */
#include "api/call.h"

#include <sodium.h>

#define BASE64_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

/* "/v1/claims/<coupon id>.<epoch>.<n>.<index>.<user id in base64url>" */
void render_claim_url(struct buffer *text, const struct claim *claim) {
    char user[sodium_base64_ENCODED_LEN(USER_ID_MAX, BASE64_VARIANT)];
    assert(claim->user_id.size <= USER_ID_MAX);
    sodium_bin2base64(user, sizeof(user), (const unsigned char *)claim->user_id.bytes,
                      claim->user_id.size, BASE64_VARIANT);
    buffer_format(text, "/v1/claims/%llu.%llu.%llu.%u.%s", (unsigned long long)claim->coupon_id,
                  (unsigned long long)claim->queue_epoch, (unsigned long long)claim->queue_n,
                  claim->rank, user);
}

/* ---- reading one ---- */

/* The number before the next dot; drops both. */
static int number_take(struct slice *text, uint64_t max, uint64_t *ret_number) {
    const char *dot = memchr(text->bytes, '.', text->size);
    if (!dot) {
        return STATUS_INVALID;
    }
    struct slice digits = {text->bytes, (size_t)(dot - text->bytes)};
    *text = (struct slice){dot + 1, text->size - digits.size - 1};
    return slice_to_u64(digits, max, ret_number);
}

static int user_take(struct slice text, char room[static USER_ID_MAX], struct slice *ret_user_id) {
    size_t size = 0;
    if (sodium_base642bin((unsigned char *)room, USER_ID_MAX, text.bytes, text.size, NULL, &size,
                          NULL, BASE64_VARIANT) != 0) {
        return STATUS_INVALID;
    }
    *ret_user_id = (struct slice){room, size};
    return user_id_is_valid(*ret_user_id) ? STATUS_OK : STATUS_INVALID;
}

static int place_take(struct slice *text, uint64_t *ret_coupon_id, struct reject_place *ret_place) {
    uint64_t index = 0;
    if (number_take(text, (uint64_t)JSON_INTEGER_MAX, ret_coupon_id) ||
        number_take(text, INT64_MAX, &ret_place->epoch) ||
        number_take(text, INT64_MAX, &ret_place->n) ||
        number_take(text, CLAIM_BATCH_MAX - 1, &index)) {
        return STATUS_INVALID;
    }
    ret_place->index = (uint32_t)index;
    ret_place->partition = partition_of(*ret_coupon_id);
    return *ret_coupon_id > 0 && ret_place->epoch > 0 && ret_place->n > 0 ? STATUS_OK
                                                                          : STATUS_INVALID;
}

bool ticket_read(struct call *call, struct slice ticket) {
    char room[USER_ID_MAX];
    struct slice user_id;
    struct fault fault;
    if (place_take(&ticket, &call->reference.coupon_id, &call->place) ||
        user_take(ticket, room, &user_id)) {
        problem_reply(call, PROBLEM_NOT_FOUND, "There is no claim of this id.");
        return false;
    }
    if (input_user_id(call, user_id, &fault)) { /* another's */
        problem_reply_fault(call, &fault);
        return false;
    }
    return true;
}

/* ---- answering ---- */

static const struct {
    const char *status;
    const char *detail;
} standings[] = {
    [CLAIM_ISSUED] = {"issued", "This user holds one."},
    [CLAIM_PENDING] = {"pending", "The claim waits for its turn; ask again."},
    [CLAIM_REFUSED] = {"refused", "The claim was refused when its turn came."},
    [CLAIM_LOST] = {"lost", "The claim waits no more and nothing came of it; claim again."},
};

static void render_standing(struct buffer *body, const struct command *command) {
    buffer_text(body, "{\"status\":\"");
    buffer_text(body, standings[command->standing].status);
    buffer_text(body, "\",\"detail\":");
    buffer_json_string(body, slice_of(standings[command->standing].detail));
    buffer_text(body, ",\"couponId\":");
    buffer_u64(body, command->reference.coupon_id);
    buffer_text(body, ",\"userId\":");
    buffer_json_string(body, command->user_id);
    if (command->standing == CLAIM_ISSUED) {
        buffer_text(body, ",\"issue\":");
        render_issue(body, command->issue.reference, command->user_id, command->issue.issued_at_us);
    } else if (command->standing == CLAIM_REFUSED) {
        buffer_text(body, ",\"code\":");
        buffer_json_string(body, slice_of(command->reject.reason));
    }
    buffer_text(body, "}");
}

static void answer_claim_read(struct errand *errand) {
    const struct command *command = &errand->command;
    if (command->status == STATUS_NOT_FOUND) {
        problem_reply(errand->call, PROBLEM_NOT_FOUND, "There is no claim of this id.");
        return;
    }
    if (command->status != STATUS_OK) {
        problem_reply_status(errand->call, command->status);
        return;
    }
    struct buffer *fields = reply_fields(errand->call);
    if (command->standing == CLAIM_PENDING) {
        buffer_text(fields, "Retry-After: 1\r\n");
    }
    render_standing(reply_body(errand->call), command);
    reply_json(errand->call, 200);
}

void handle_claim_read(struct call *call, const struct http_head *head, struct slice body) {
    (void)head;
    (void)body;
    struct errand *errand = errand_new(call, JOB_CLAIM_READ, answer_claim_read);
    if (errand) {
        errand_send(errand);
    }
}

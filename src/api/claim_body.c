/* The body of a claim: {"userId":"…"} or {"userId":…,"couponId":…}.
 *
 * What jansson says is what counts. But it takes 0.8 us for a body that nearly always has
 * one plain form, so that form (members in any order; strings of visible ASCII without
 * escapes; plain integers) is read here, and anything else is left to jansson. A test holds
 * the two against each other. Called by claims.c. */
#include "api/call.h"
#include "api/plain.h"

#include <jansson.h>
#include <stdio.h>

/* A value as text: a string's characters or an integer's digits. */
struct member {
    struct slice text;
    bool present;
    bool is_string;
};

struct claim_members {
    struct member user_id;
    struct member coupon_id;
};

/* ---- the plain form ---- */

static bool take_member(struct slice *text, struct claim_members *members) {
    struct slice name;
    if (!plain_string(text, &name) || !plain_take(text, ':')) {
        return false;
    }
    struct member *member = slice_is(name, "userId")     ? &members->user_id
                            : slice_is(name, "couponId") ? &members->coupon_id
                                                         : NULL;
    if (!member || member->present) {
        return false;
    }
    plain_space(text);
    member->present = true;
    member->is_string = text->size > 0 && *text->bytes == '"';
    return member->is_string ? plain_string(text, &member->text)
                             : plain_integer(text, &member->text);
}

/* False: not of the plain form, which says nothing against it. */
static bool read_plain(struct slice body, struct claim_members *ret_members) {
    *ret_members = (struct claim_members){0};
    if (!plain_take(&body, '{')) {
        return false;
    }
    do {
        if (!take_member(&body, ret_members)) {
            return false;
        }
    } while (plain_take(&body, ','));
    if (!plain_take(&body, '}')) {
        return false;
    }
    plain_space(&body);
    return body.size == 0;
}

/* ---- any form ---- */

/* Room for the digits of an integer that jansson read. */
struct digits {
    char text[24];
};

static int take_value(const json_t *value, struct digits *room, struct member *ret_member) {
    ret_member->present = true;
    if (json_is_string(value)) {
        ret_member->is_string = true;
        ret_member->text = (struct slice){json_string_value(value), json_string_length(value)};
        return STATUS_OK;
    }
    if (!json_is_integer(value)) {
        return STATUS_INVALID;
    }
    snprintf(room->text, sizeof(room->text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    ret_member->text = slice_of(room->text);
    return STATUS_OK;
}

static int read_object(json_t *object, bool with_coupon, struct digits rooms[static 2],
                       struct claim_members *ret_members, struct fault *ret_fault) {
    const char *name;
    json_t *value;
    *ret_members = (struct claim_members){0};
    json_object_foreach(object, name, value) {
        if (strcmp(name, "userId") == 0) {
            if (take_value(value, &rooms[0], &ret_members->user_id)) {
                return fault_malformed(ret_fault, "userId",
                                       "userId must be a string or an integer.");
            }
        } else if (with_coupon && strcmp(name, "couponId") == 0) {
            if (take_value(value, &rooms[1], &ret_members->coupon_id)) {
                return fault_malformed(ret_fault, "couponId", "couponId must be an integer.");
            }
        } else {
            return fault_malformed(ret_fault, NULL,
                                   "The body has a field that this call does not take.");
        }
    }
    return STATUS_OK;
}

/* ---- both ---- */

/* A caller who is a user need not say who. */
static int use_user(struct call *call, const struct claim_members *members,
                    struct fault *ret_fault) {
    return !members->user_id.present && call->caller == CALLER_USER
               ? STATUS_OK
               : input_user_id(call, members->user_id.text, ret_fault);
}

static int use_members(struct call *call, const struct claim_members *members, bool with_coupon,
                       struct fault *ret_fault) {
    if (!with_coupon && members->coupon_id.present) {
        return fault_malformed(ret_fault, NULL,
                               "The body has a field that this call does not take.");
    }
    if (!members->user_id.present && call->caller != CALLER_USER) {
        return fault_malformed(ret_fault, "userId", "userId is missing.");
    }
    if (!with_coupon) {
        return use_user(call, members, ret_fault);
    }
    if (!members->coupon_id.present) {
        return fault_malformed(ret_fault, "couponId", "couponId is missing.");
    }
    if (members->coupon_id.is_string) {
        return fault_malformed(ret_fault, "couponId", "couponId must be an integer.");
    }
    uint64_t coupon_id = 0;
    if (slice_to_u64(members->coupon_id.text, (uint64_t)JSON_INTEGER_MAX, &coupon_id) ||
        coupon_id == 0) {
        return fault_invalid(ret_fault, "couponId", "couponId must be from 1 to 9007199254740991.");
    }
    call->reference.coupon_id = coupon_id;
    return use_user(call, members, ret_fault);
}

int claim_body_read_any(struct call *call, struct slice body, bool with_coupon,
                        struct fault *ret_fault) {
    struct claim_members members;
    struct digits rooms[2];
    json_t *object;
    int status = json_body_read(body, &object, ret_fault);
    if (status) {
        return status;
    }
    status = read_object(object, with_coupon, rooms, &members, ret_fault);
    if (status == STATUS_OK) {
        status = use_members(call, &members, with_coupon, ret_fault);
    }
    json_decref(object);
    return status;
}

int claim_body_read(struct call *call, struct slice body, bool with_coupon,
                    struct fault *ret_fault) {
    struct claim_members members;
    return read_plain(body, &members) ? use_members(call, &members, with_coupon, ret_fault)
                                      : claim_body_read_any(call, body, with_coupon, ret_fault);
}

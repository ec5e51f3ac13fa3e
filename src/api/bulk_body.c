/* The body of a batch: {"userIds":["a","b",7,…]}, at most BULK_USERS_MAX users.
 *
 * In the plain form (plain.h) nothing is allocated a user: the body is copied once and the
 * claims point into the copy. Anything else is left to jansson, slower and with the same
 * result. */
#include "api/call.h"
#include "api/plain.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* What is being gathered. */
struct bulk_users {
    struct claim *claims;
    size_t count;
    bool overfull;
    bool bad_user;
};

static void add_user(struct bulk_users *users, struct slice user_id) {
    if (users->count == BULK_USERS_MAX) {
        users->overfull = true;
        return;
    }
    users->bad_user = users->bad_user || !user_id_is_valid(user_id);
    users->claims[users->count++] = (struct claim){.user_id = user_id};
}

/* False: not of the plain form. */
static bool read_plain(struct slice text, struct bulk_users *users) {
    struct slice name;
    if (!plain_take(&text, '{') || !plain_string(&text, &name) || !slice_is(name, "userIds") ||
        !plain_take(&text, ':') || !plain_take(&text, '[')) {
        return false;
    }
    do {
        struct slice user_id;
        plain_space(&text);
        bool quoted = text.size > 0 && *text.bytes == '"';
        if (quoted ? !plain_string(&text, &user_id) : !plain_integer(&text, &user_id)) {
            return false;
        }
        add_user(users, user_id);
    } while (plain_take(&text, ','));
    if (!plain_take(&text, ']') || !plain_take(&text, '}')) {
        return false;
    }
    plain_space(&text);
    return text.size == 0;
}

/* The users' texts one after another in `texts`, which has room for them: a text is never
 * longer in memory than in the body, but for its digits, which are as long. */
static int read_array(const json_t *array, char *texts, struct bulk_users *users,
                      struct fault *ret_fault) {
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        char digits[24];
        struct slice text = {json_string_value(value), json_string_length(value)};
        if (json_is_integer(value)) {
            int size = snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT,
                                json_integer_value(value));
            text = (struct slice){digits, (size_t)size};
        } else if (!json_is_string(value)) {
            return fault_malformed(ret_fault, "userIds",
                                   "userIds must be an array of strings or integers.");
        }
        memcpy(texts + at, text.bytes, text.size);
        add_user(users, (struct slice){texts + at, text.size});
        at += text.size;
    }
    return STATUS_OK;
}

static int read_any(struct slice body, char *texts, struct bulk_users *users,
                    struct fault *ret_fault) {
    json_t *object;
    int status = json_body_read(body, &object, ret_fault);
    if (status) {
        return status;
    }
    const json_t *array = json_object_get(object, "userIds");
    if (!json_is_array(array)) {
        status = fault_malformed(ret_fault, "userIds", "userIds must be an array.");
    } else if (json_object_size(object) != 1) {
        status =
            fault_malformed(ret_fault, NULL, "The body has a field that this call does not take.");
    } else {
        status = read_array(array, texts, users, ret_fault);
    }
    json_decref(object);
    return status;
}

static int judge(const struct bulk_users *users, struct fault *ret_fault) {
    if (users->count == 0 || users->overfull) {
        return fault_invalid(ret_fault, "userIds", "userIds must name 1 to 10000 users.");
    }
    if (users->bad_user) {
        return fault_invalid(ret_fault, "userIds",
                             "Every user must have 1 to 128 visible ASCII characters.");
    }
    return STATUS_OK;
}

int bulk_body_read(struct slice body, struct claim **ret_claims, size_t *ret_count,
                   char **ret_texts, struct fault *ret_fault) {
    struct bulk_users users = {.claims = malloc(BULK_USERS_MAX * sizeof(users.claims[0]))};
    char *texts = malloc(body.size + 1);
    int status;
    if (!users.claims || !texts) {
        *ret_fault = (struct fault){PROBLEM_OVERLOADED, NULL, "No memory for this request."};
        status = STATUS_NO_MEMORY;
    } else {
        memcpy(texts, body.bytes, body.size);
        status = STATUS_OK;
        if (!read_plain((struct slice){texts, body.size}, &users)) {
            users.count = 0;
            users.overfull = users.bad_user = false;
            status = read_any(body, texts, &users, ret_fault);
        }
    }
    if (status == STATUS_OK) {
        status = judge(&users, ret_fault);
    }
    if (status) {
        free(users.claims);
        free(texts);
        return status;
    }
    *ret_claims = users.claims;
    *ret_count = users.count;
    *ret_texts = texts;
    return STATUS_OK;
}

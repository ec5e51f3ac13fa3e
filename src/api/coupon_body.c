/* The bodies of POST and PATCH of a coupon: one table of fields for both. Not for: what only
 * the coupon as it is can tell (the issuer looks at that). Called by commands.c. */
#include "api/call.h"

#include <jansson.h>
#include <stdlib.h>

/* ---- one reader a type ---- */

/* Where the field being read goes, and what it may hold. */
struct target {
    const char *name;
    void *value;
    int64_t min;
    int64_t max;
    struct fault *fault;
};

/* Of the two blocks there are: U+0000 to U+001F with U+007F, and U+0080 to U+009F. The text
 * is terminated, and UTF-8. */
static bool is_control(const unsigned char *at) {
    return at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f);
}

static int read_title(const json_t *value, const struct target *target) {
    if (!json_is_string(value)) {
        return fault_malformed(target->fault, target->name, "title must be a string.");
    }
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (size < 1 || size > COUPON_TITLE_MAX) {
        return fault_invalid(target->fault, target->name, "title must have 1 to 256 bytes.");
    }
    for (size_t i = 0; i < size; i++) {
        if (is_control((const unsigned char *)text + i)) {
            return fault_invalid(target->fault, target->name,
                                 "title may not have control characters.");
        }
    }
    memcpy(target->value, text, size + 1);
    return STATUS_OK;
}

static int read_integer(const json_t *value, const struct target *target) {
    if (!json_is_integer(value)) {
        return fault_malformed(target->fault, target->name, "The value must be an integer.");
    }
    int64_t integer = json_integer_value(value);
    if (integer < target->min || integer > target->max) {
        return fault_invalid(target->fault, target->name, "The value is out of range.");
    }
    *(int64_t *)target->value = integer;
    return STATUS_OK;
}

static int read_quantity(const json_t *value, const struct target *target) {
    if (json_is_null(value)) {
        *(int64_t *)target->value = COUPON_UNLIMITED;
        return STATUS_OK;
    }
    if (!json_is_integer(value)) {
        return fault_malformed(target->fault, target->name,
                               "totalQuantity must be an integer, or null: unlimited.");
    }
    return read_integer(value, target);
}

static int read_time(const json_t *value, const struct target *target) {
    if (!json_is_string(value)) {
        return fault_malformed(target->fault, target->name,
                               "The value must be a date-time string.");
    }
    struct slice text = {json_string_value(value), json_string_length(value)};
    if (time_parse(text, target->value)) {
        return fault_invalid(
            target->fault, target->name,
            "The value must be an RFC 3339 date-time such as 2026-01-02T03:04:05Z.");
    }
    return STATUS_OK;
}

static int read_paused(const json_t *value, const struct target *target) {
    if (!json_is_boolean(value)) {
        return fault_malformed(target->fault, target->name, "paused must be true or false.");
    }
    *(bool *)target->value = json_is_true(value);
    return STATUS_OK;
}

static int read_archived(const json_t *value, const struct target *target) {
    if (!json_is_boolean(value)) {
        return fault_malformed(target->fault, target->name, "archived must be true.");
    }
    if (!json_is_true(value)) {
        return fault_invalid(target->fault, target->name,
                             "Archiving is final: only true can be asked.");
    }
    return STATUS_OK;
}

static int read_metadata(const json_t *value, const struct target *target) {
    char *text = target->value;
    if (json_is_null(value)) {
        text[0] = '\0';
        return STATUS_OK;
    }
    if (!json_is_object(value)) {
        return fault_malformed(target->fault, target->name, "metadata must be an object or null.");
    }
    size_t size = 0;
    int status = json_body_write(value, text, COUPON_METADATA_MAX, &size, target->fault);
    if (status) {
        return status;
    }
    if (size == 0 || size > COUPON_METADATA_MAX) {
        return fault_invalid(target->fault, target->name,
                             "metadata may have 2048 bytes when written without white space.");
    }
    text[size] = '\0';
    return STATUS_OK;
}

/* ---- the table ---- */

static const struct field {
    const char *name;
    int (*read)(const json_t *value, const struct target *target);
    size_t offset; /* in coupon_record */
    int64_t min;
    int64_t max;
    unsigned patch_bit; /* 0: not in PATCH */
    bool in_create;
    bool required; /* in POST */
} fields[] = {
    {"title", read_title, offsetof(struct coupon_record, title), 0, 0, PATCH_TITLE, true, true},
    {"totalQuantity", read_quantity, offsetof(struct coupon_record, total_quantity), 1,
     COUPON_QUANTITY_MAX, PATCH_TOTAL_QUANTITY, true, true},
    {"issueStart", read_time, offsetof(struct coupon_record, issue_start_us), 0, 0,
     PATCH_ISSUE_START, true, true},
    {"issueEnd", read_time, offsetof(struct coupon_record, issue_end_us), 0, 0, PATCH_ISSUE_END,
     true, true},
    {"discountAmount", read_integer, offsetof(struct coupon_record, discount_amount), 0,
     JSON_INTEGER_MAX, PATCH_DISCOUNT_AMOUNT, true, false},
    {"minAvailableAmount", read_integer, offsetof(struct coupon_record, min_available_amount), 0,
     JSON_INTEGER_MAX, PATCH_MIN_AVAILABLE_AMOUNT, true, false},
    {"metadata", read_metadata, offsetof(struct coupon_record, metadata), 0, 0, PATCH_METADATA,
     true, false},
    {"id", read_integer, offsetof(struct coupon_record, id), 1, JSON_INTEGER_MAX, 0, true, false},
    {"paused", read_paused, offsetof(struct coupon_record, paused), 0, 0, PATCH_PAUSED, false,
     false},
    {"archived", read_archived, 0, 0, 0, PATCH_ARCHIVED, false, false},
};

static const struct field *find_field(const char *name, bool in_create) {
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return (in_create ? fields[i].in_create : fields[i].patch_bit != 0) ? &fields[i] : NULL;
        }
    }
    return NULL;
}

/* Reads the members of `object` into the coupon; *ret_seen has a bit for each place in the
 * table that was there. A wrong form anywhere is told before an impossible value, so a fault
 * in a value waits in *ret_fault (then its detail is not NULL) until all were read. */
static int read_members(json_t *object, bool in_create, struct coupon_record *ret_coupon,
                        unsigned *ret_seen, struct fault *ret_fault) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        const struct field *field = find_field(name, in_create);
        if (!field) {
            return fault_malformed(ret_fault, NULL,
                                   "The body has a field that this call does not take.");
        }
        struct fault fault = {0};
        struct target target = {
            .name = field->name,
            .value = (char *)ret_coupon + field->offset,
            .min = field->min,
            .max = field->max,
            .fault = &fault,
        };
        *ret_seen |= 1U << (unsigned)(field - fields);
        if (field->read(value, &target) == STATUS_OK) {
            continue;
        }
        bool first = ret_fault->detail == NULL;
        if (first || fault.problem == PROBLEM_MALFORMED_REQUEST) {
            *ret_fault = fault;
        }
        if (fault.problem == PROBLEM_MALFORMED_REQUEST) {
            return STATUS_INVALID;
        }
    }
    return STATUS_OK;
}

static int read_body(struct slice body, bool in_create, struct coupon_record *ret_coupon,
                     unsigned *ret_seen, struct fault *ret_fault) {
    *ret_seen = 0;
    *ret_coupon = (struct coupon_record){0};
    *ret_fault = (struct fault){0};
    json_t *object;
    int status = json_body_read(body, &object, ret_fault);
    if (status == STATUS_OK) {
        status = read_members(object, in_create, ret_coupon, ret_seen, ret_fault);
    }
    json_decref(object);
    return status;
}

int coupon_body_create(struct slice body, struct coupon_record *ret_coupon,
                       struct fault *ret_fault) {
    unsigned seen = 0;
    if (read_body(body, true, ret_coupon, &seen, ret_fault)) {
        return STATUS_INVALID;
    }
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (fields[i].required && !(seen & 1U << i)) {
            return fault_malformed(ret_fault, fields[i].name, "A required field is missing.");
        }
    }
    if (ret_fault->detail) {
        return STATUS_INVALID;
    }
    if (ret_coupon->issue_start_us >= ret_coupon->issue_end_us) {
        return fault_invalid(ret_fault, "issueEnd", "issueStart must be before issueEnd.");
    }
    return STATUS_OK;
}

int coupon_body_patch(struct slice body, struct coupon_record *ret_coupon, unsigned *ret_patch_set,
                      struct fault *ret_fault) {
    unsigned seen = 0;
    if (read_body(body, false, ret_coupon, &seen, ret_fault)) {
        return STATUS_INVALID;
    }
    *ret_patch_set = 0;
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        *ret_patch_set |= seen & 1U << i ? fields[i].patch_bit : 0;
    }
    if (ret_fault->detail) {
        return STATUS_INVALID;
    }
    return *ret_patch_set ? STATUS_OK
                          : fault_malformed(ret_fault, NULL, "The body names nothing to change.");
}

/* Values into PostgreSQL's statements and out of its answers, both in its binary format
 * (src/backend/utils/adt, the *send and *recv functions): big-endian integers, texts as they
 * are. Every value that comes in is checked against what the schema promises. For the other
 * files of this store. */
#include "ledger/postgres_ledger.h"

#include <endian.h>
#include <limits.h>

/* Of the type's elements (pg_type.dat); they are the same in every installation. */
#define OID_BIGINT UINT32_C(20)
#define OID_TEXT   UINT32_C(25)

/* ---- values ---- */

void values_bytes(struct postgres_values *values, const void *bytes, size_t size) {
    assert(values->count < POSTGRES_VALUES_MAX);
    assert(size <= INT_MAX);
    values->bytes[values->count] = bytes;
    values->sizes[values->count] = (int)size;
    values->count++;
}

void values_integer(struct postgres_values *values, int64_t integer) {
    assert(values->count < POSTGRES_VALUES_MAX);
    uint64_t bytes = htobe64((uint64_t)integer);
    char *room = values->room[values->count];
    memcpy(room, &bytes, sizeof(bytes));
    values_bytes(values, room, sizeof(bytes));
}

void values_boolean(struct postgres_values *values, bool boolean) {
    assert(values->count < POSTGRES_VALUES_MAX);
    char *room = values->room[values->count];
    room[0] = boolean ? 1 : 0;
    values_bytes(values, room, 1);
}

void values_null(struct postgres_values *values) {
    values_bytes(values, NULL, 0);
}

void values_text(struct postgres_values *values, struct slice text) {
    values_bytes(values, text.size > 0 ? text.bytes : NULL, text.size);
}

/* ---- arrays ---- */

static void append_u32(struct buffer *array, uint32_t value) {
    uint32_t bytes = htobe32(value);
    buffer_append(array, &bytes, sizeof(bytes));
}

/* Dimensions, whether there are NULLs, type, length, number of the first (array_recv). */
static void array_begin(struct buffer *array, uint32_t type, size_t count) {
    assert(count >= 1 && count <= INT_MAX);
    buffer_clear(array);
    append_u32(array, 1);
    append_u32(array, type == OID_TEXT);
    append_u32(array, type);
    append_u32(array, (uint32_t)count);
    append_u32(array, 1);
}

void array_begin_integers(struct buffer *array, size_t count) {
    array_begin(array, OID_BIGINT, count);
}

void array_begin_texts(struct buffer *array, size_t count) {
    array_begin(array, OID_TEXT, count);
}

void array_integer(struct buffer *array, int64_t integer) {
    struct {
        uint32_t size;
        uint64_t value;
    } __attribute__((packed)) element = {htobe32(8), htobe64((uint64_t)integer)};
    buffer_append(array, &element, sizeof(element));
}

void array_text(struct buffer *array, struct slice text) {
    append_u32(array, text.size > 0 ? (uint32_t)text.size : UINT32_MAX); /* -1: NULL */
    buffer_slice(array, text);
}

int values_array(struct postgres_values *values, const struct buffer *array) {
    if (array->failed || array->size > INT_MAX) {
        return STATUS_NO_MEMORY;
    }
    values_bytes(values, array->bytes, array->size);
    return STATUS_OK;
}

/* ---- rows ---- */

int row_integer(struct postgres_row row, int column, int64_t min, int64_t max, int64_t *ret_value) {
    uint64_t bytes;
    if (PQgetisnull(row.result, row.number, column) ||
        PQgetlength(row.result, row.number, column) != (int)sizeof(bytes)) {
        return STATUS_DAMAGED;
    }
    memcpy(&bytes, PQgetvalue(row.result, row.number, column), sizeof(bytes));
    int64_t value = (int64_t)be64toh(bytes);
    if (value < min || value > max) {
        return STATUS_DAMAGED;
    }
    *ret_value = value;
    return STATUS_OK;
}

int row_optional(struct postgres_row row, int column, int64_t min, int64_t max, int64_t absent,
                 int64_t *ret_value) {
    if (PQgetisnull(row.result, row.number, column)) {
        *ret_value = absent;
        return STATUS_OK;
    }
    return row_integer(row, column, min, max, ret_value);
}

int row_boolean(struct postgres_row row, int column, bool *ret_value) {
    if (PQgetisnull(row.result, row.number, column) ||
        PQgetlength(row.result, row.number, column) != 1) {
        return STATUS_DAMAGED;
    }
    *ret_value = PQgetvalue(row.result, row.number, column)[0] != 0;
    return STATUS_OK;
}

int row_text(struct postgres_row row, int column, size_t size_min, size_t size_max,
             struct slice *ret_text) {
    size_t size = (size_t)PQgetlength(row.result, row.number, column);
    if (size < size_min || size > size_max) {
        return STATUS_DAMAGED;
    }
    *ret_text = (struct slice){PQgetvalue(row.result, row.number, column), size};
    return STATUS_OK;
}

int row_text_copy(struct postgres_row row, int column, size_t size_max, char *room) {
    struct slice text;
    if (row_text(row, column, 0, size_max, &text) < 0) {
        return STATUS_DAMAGED;
    }
    if (text.size > 0) { /* no zero can be inside: PostgreSQL's texts have none */
        memcpy(room, text.bytes, text.size);
    }
    room[text.size] = '\0';
    return STATUS_OK;
}

int postgres_coupon_decode(struct postgres_row row, struct coupon_record *ret_coupon) {
    struct coupon_record coupon;
    int64_t id, issued, version;
    int damage = 0;
    damage |= row_integer(row, 0, 1, JSON_INTEGER_MAX, &id);
    damage |= row_text_copy(row, 1, COUPON_TITLE_MAX, coupon.title);
    damage |=
        row_optional(row, 2, 0, COUPON_QUANTITY_MAX, COUPON_UNLIMITED, &coupon.total_quantity);
    damage |= row_integer(row, 3, 0, UINT32_MAX, &issued);
    damage |= row_integer(row, 4, 0, JSON_INTEGER_MAX, &coupon.discount_amount);
    damage |= row_integer(row, 5, 0, JSON_INTEGER_MAX, &coupon.min_available_amount);
    damage |= row_integer(row, 6, TIME_US_MIN, TIME_US_MAX, &coupon.issue_start_us);
    damage |= row_integer(row, 7, TIME_US_MIN, TIME_US_MAX, &coupon.issue_end_us);
    damage |= row_boolean(row, 8, &coupon.paused);
    damage |= row_text_copy(row, 9, COUPON_METADATA_MAX, coupon.metadata);
    damage |= row_integer(row, 10, 1, UINT32_MAX, &version);
    damage |= row_integer(row, 11, TIME_US_MIN, TIME_US_MAX, &coupon.created_us);
    damage |= row_integer(row, 12, TIME_US_MIN, TIME_US_MAX, &coupon.updated_us);
    damage |= row_optional(row, 13, TIME_US_MIN, TIME_US_MAX, 0, &coupon.archived_us);
    /* More issued than the total is for verify to tell and for the issuer to refuse. */
    if (damage || coupon.issue_start_us >= coupon.issue_end_us) {
        return STATUS_DAMAGED;
    }
    coupon.id = (uint64_t)id;
    coupon.issued_quantity = (uint32_t)issued;
    coupon.version = (uint32_t)version;
    *ret_coupon = coupon;
    return STATUS_OK;
}

int postgres_issue_decode(struct postgres_row row, uint64_t coupon_id,
                          struct issue_row *ret_issue) {
    struct issue_row issue = {.issued_at_us = 0};
    int64_t rank;
    if (row_integer(row, 0, 1, UINT32_MAX, &rank) < 0 ||
        row_text(row, 1, 1, USER_ID_MAX, &issue.user_id) < 0 ||
        row_text(row, 2, 0, REQUEST_KEY_MAX, &issue.request_key) < 0 ||
        row_integer(row, 3, TIME_US_MIN, TIME_US_MAX, &issue.issued_at_us) < 0) {
        return STATUS_DAMAGED;
    }
    issue.reference = (struct issue_reference){coupon_id, (uint32_t)rank};
    *ret_issue = issue;
    return STATUS_OK;
}

/* What comes in fields and query, checked. Not for: bodies (claim_body.c, coupon_body.c), or
 * splitting heads and decoding values (http). Called by the handlers and the bodies' readers. */
#include "api/call.h"

int fault_malformed(struct fault *ret_fault, const char *field, const char *detail) {
    *ret_fault = (struct fault){PROBLEM_MALFORMED_REQUEST, field, detail};
    return STATUS_INVALID;
}

int fault_invalid(struct fault *ret_fault, const char *field, const char *detail) {
    *ret_fault = (struct fault){PROBLEM_INVALID_VALUE, field, detail};
    return STATUS_INVALID;
}

int input_request_key(struct call *call, const struct http_head *head, struct fault *ret_fault) {
    size_t count = 0;
    struct slice key = http_head_field(head, "idempotency-key", &count);
    call->request_key_size = 0;
    if (count == 0) {
        return STATUS_OK;
    }
    if (count > 1) {
        return fault_malformed(ret_fault, "Idempotency-Key",
                               "Idempotency-Key is given more than once.");
    }
    if (key.size < 1 || key.size > REQUEST_KEY_MAX || !slice_is_visible(key)) {
        return fault_invalid(ret_fault, "Idempotency-Key",
                             "Idempotency-Key must have 1 to 128 visible ASCII characters.");
    }
    memcpy(call->request_key, key.bytes, key.size);
    call->request_key_size = key.size;
    return STATUS_OK;
}

/* The first preference is what counts where one is given twice, and its parameters mean nothing
 * here. A list, so the word may stand anywhere in it. */
bool input_prefers_async(const struct http_head *head) {
    size_t count = 0;
    struct slice list = http_head_field(head, "prefer", &count);
    while (list.size > 0) {
        const char *comma = memchr(list.bytes, ',', list.size);
        struct slice item = {list.bytes, comma ? (size_t)(comma - list.bytes) : list.size};
        size_t used = item.size + (comma ? 1 : 0);
        list = (struct slice){list.bytes + used, list.size - used};
        while (item.size > 0 && (*item.bytes == ' ' || *item.bytes == '\t')) {
            item = (struct slice){item.bytes + 1, item.size - 1};
        }
        size_t size = 0;
        while (size < item.size && item.bytes[size] != ' ' && item.bytes[size] != ';' &&
               item.bytes[size] != '\t') {
            size++;
        }
        if (slice_is_nocase((struct slice){item.bytes, size}, "respond-async")) {
            return true;
        }
    }
    return false;
}

int input_user_id(struct call *call, struct slice user_id, struct fault *ret_fault) {
    if (!user_id_is_valid(user_id)) {
        return fault_invalid(ret_fault, "userId",
                             "userId must have 1 to 128 visible ASCII characters.");
    }
    if (call->caller == CALLER_USER) {
        *ret_fault = (struct fault){PROBLEM_FORBIDDEN, NULL, "The credential is another user's."};
        return slice_equal(user_id, call_user_id(call)) ? STATUS_OK : STATUS_INVALID;
    }
    memcpy(call->user_id, user_id.bytes, user_id.size);
    call->user_id_size = user_id.size;
    return STATUS_OK;
}

static bool is_among(struct slice name, const char *const *names) {
    for (; *names; names++) {
        if (slice_is(name, *names)) {
            return true;
        }
    }
    return false;
}

int input_query_only(struct slice query, const char *const *names, struct fault *ret_fault) {
    while (query.size > 0) {
        const char *end = memchr(query.bytes, '&', query.size);
        size_t size = end ? (size_t)(end - query.bytes) : query.size;
        const char *equals = memchr(query.bytes, '=', size);
        struct slice name = {query.bytes, equals ? (size_t)(equals - query.bytes) : size};
        if (!is_among(name, names)) {
            return fault_malformed(ret_fault, NULL,
                                   "The query has a parameter that this call does not take.");
        }
        size_t used = end ? size + 1 : size;
        query.bytes += used;
        query.size -= used;
    }
    return STATUS_OK;
}

static bool separates_tags(char c) {
    return c == ',' || c == ' ' || c == '\t';
}

/* One entity tag (RFC 9110, 8.8.3) from the front of *text; an empty slice when there is
 * none. A weak one comes with its W/ and so is equal to no version. */
static struct slice take_tag(struct slice *text) {
    size_t start = 0;
    while (start < text->size && separates_tags(text->bytes[start])) {
        start++;
    }
    size_t end = start;
    while (end < text->size && !separates_tags(text->bytes[end])) {
        end++;
    }
    struct slice tag = {text->bytes + start, end - start};
    text->bytes += end;
    text->size -= end;
    return tag;
}

static void read_tags(struct slice value, uint32_t versions[static IF_MATCH_MAX], size_t *count) {
    while (*count < IF_MATCH_MAX) {
        uint64_t version = 0;
        struct slice tag = take_tag(&value);
        if (tag.size == 0) {
            return;
        }
        if (tag.size > 2 && tag.bytes[0] == '"' && tag.bytes[tag.size - 1] == '"' &&
            slice_to_u64((struct slice){tag.bytes + 1, tag.size - 2}, UINT32_MAX, &version) == 0) {
            versions[(*count)++] = (uint32_t)version;
        }
    }
}

/* A list may come on several lines (RFC 9110, 5.3). */
void input_if_match(const struct http_head *head, uint32_t ret_versions[static IF_MATCH_MAX],
                    size_t *ret_count, bool *ret_any) {
    size_t lines = 0;
    struct slice value = http_head_field(head, "if-match", &lines);
    *ret_count = 0;
    *ret_any = lines == 0 || (lines == 1 && slice_is(value, "*"));
    for (size_t i = 0; !*ret_any && i < head->field_count; i++) {
        if (slice_is_nocase(head->fields[i].name, "if-match")) {
            read_tags(head->fields[i].value, ret_versions, ret_count);
        }
    }
}

/* A whole number; absent: *ret_value stays. */
static int query_number(struct slice query, const char *name, uint64_t min, uint64_t max,
                        uint64_t *ret_value, struct fault *ret_fault) {
    char room[24];
    struct slice text;
    uint64_t value = 0;
    int status = http_query_value(query, name, room, sizeof(room), &text);
    if (status == STATUS_NOT_FOUND) {
        return STATUS_OK;
    }
    if (status == STATUS_INVALID) {
        return fault_malformed(ret_fault, name, "The query is malformed.");
    }
    if (status || slice_to_u64(text, max, &value) || value < min) {
        return fault_invalid(ret_fault, name, "The value is out of range.");
    }
    *ret_value = value;
    return STATUS_OK;
}

int input_page(struct slice query, uint64_t after_max, uint64_t limit_max, uint64_t *ret_after,
               uint64_t *ret_limit, struct fault *ret_fault) {
    static const char *const names[] = {"after", "limit", NULL};
    *ret_after = 0;
    *ret_limit = PAGE_LIMIT_DEFAULT;
    int status = input_query_only(query, names, ret_fault);
    if (status == STATUS_OK) {
        status = query_number(query, "limit", 1, limit_max, ret_limit, ret_fault);
    }
    return status ? status : query_number(query, "after", 0, after_max, ret_after, ret_fault);
}

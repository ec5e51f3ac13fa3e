/* Reading JSON that may not fit into memory. Not for: what the members mean (claim_body.c,
 * coupon_body.c, bulk_body.c, jwt.c), or writing answers (reply.c).
 *
 * Where jansson (2.14) has no memory for the next byte of a token it drops the byte and goes on,
 * and other failures of memory it does not tell from a malformed text. Either would be a false
 * answer: a claim of another user's, or a refusal of what was right. So its allocations are
 * watched, and what was read while one failed is thrown away. */
#include "api/call.h"

#include <jansson.h>
#include <stdlib.h>

static _Thread_local bool lacked_memory;

static void *allocate(size_t size) {
    void *memory = malloc(size);
    lacked_memory = lacked_memory || !memory;
    return memory;
}

void json_watch_memory(void) {
    json_set_alloc_funcs(allocate, free);
}

int json_object_read(struct slice text, struct json_t **ret_object) {
    lacked_memory = false;
    json_t *object = json_loadb(text.bytes, text.size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(object) && !lacked_memory) {
        *ret_object = object;
        return STATUS_OK;
    }
    json_decref(object);
    *ret_object = NULL;
    return lacked_memory ? STATUS_NO_MEMORY : STATUS_INVALID;
}

static int no_memory(struct fault *ret_fault) {
    *ret_fault =
        (struct fault){PROBLEM_OVERLOADED, NULL, "There is no memory for this request now."};
    return STATUS_INVALID;
}

int json_body_write(const struct json_t *value, char *room, size_t room_size, size_t *ret_size,
                    struct fault *ret_fault) {
    lacked_memory = false;
    *ret_size = json_dumpb(value, room, room_size, JSON_COMPACT);
    return lacked_memory ? no_memory(ret_fault) : STATUS_OK;
}

int json_body_read(struct slice body, struct json_t **ret_object, struct fault *ret_fault) {
    int status = json_object_read(body, ret_object);
    if (status == STATUS_NO_MEMORY) {
        return no_memory(ret_fault);
    }
    return status ? fault_malformed(ret_fault, NULL,
                                    "The body must be one JSON object without duplicates.")
                  : STATUS_OK;
}

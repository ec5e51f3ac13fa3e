/* request: see request.h. */
#include "load/request.h"

#define NUMBER_MAX 20 /* digits */

static const char body_begin[] = "{\"userId\":\"";
static const char body_end[] = "\"}";

int request_make(struct request *ret_request, uint16_t port, const char *path,
                 const char *const *headers, size_t header_count, const char *prefix,
                 const char *body) {
    const char *mark = strstr(path, "{}");
    struct request request = {
        .has_coupon = mark, .prefix = prefix, .prefix_size = strlen(prefix), .body = body};
    size_t before = mark ? (size_t)(mark - path) : strlen(path);
    buffer_text(&request.before_coupon, "POST ");
    buffer_append(&request.before_coupon, path, before);
    buffer_text(&request.after_coupon, mark ? mark + 2 : "");
    buffer_format(&request.after_coupon,
                  " HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n",
                  (unsigned)port);
    for (size_t i = 0; i < header_count; i++) {
        buffer_format(&request.after_coupon, "%s\r\n", headers[i]);
    }
    buffer_text(&request.after_coupon, "Content-Length: ");
    size_t size = request.before_coupon.size + request.after_coupon.size;
    size += body ? strlen(body) : 0;
    int status = STATUS_OK;
    if (request.before_coupon.failed || request.after_coupon.failed) {
        status = STATUS_NO_MEMORY;
    } else if (size > REQUEST_MAX - REQUEST_PREFIX_MAX - 128 ||
               request.prefix_size > REQUEST_PREFIX_MAX) {
        status = STATUS_INVALID;
    }
    if (status < 0) {
        request_done(&request);
        return status;
    }
    *ret_request = request;
    return STATUS_OK;
}

void request_done(struct request *request) {
    buffer_done(&request->before_coupon);
    buffer_done(&request->after_coupon);
}

static size_t put(char *room, const void *bytes, size_t size) {
    memcpy(room, bytes, size);
    return size;
}

static size_t put_number(char *room, uint64_t number) {
    char digits[NUMBER_MAX];
    size_t at = NUMBER_MAX;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return put(room, digits + at, NUMBER_MAX - at);
}

size_t request_user(const struct request *request, uint64_t user,
                    char room[static REQUEST_PREFIX_MAX + 24]) {
    size_t size = put(room, request->prefix, request->prefix_size);
    room[size++] = '-';
    return size + put_number(room + size, user);
}

static size_t body_render(const struct request *request, uint64_t user, char *room) {
    if (request->body) {
        return put(room, request->body, strlen(request->body));
    }
    char name[REQUEST_PREFIX_MAX + 24];
    size_t name_size = request_user(request, user, name);
    size_t size = put(room, body_begin, sizeof(body_begin) - 1);
    size += put(room + size, name, name_size);
    return size + put(room + size, body_end, sizeof(body_end) - 1);
}

size_t request_render(const struct request *request, uint64_t coupon_id, uint64_t user,
                      char room[static REQUEST_MAX]) {
    char body[REQUEST_MAX];
    size_t body_size = body_render(request, user, body);
    size_t size = put(room, request->before_coupon.bytes, request->before_coupon.size);
    if (request->has_coupon) {
        size += put_number(room + size, coupon_id);
    }
    size += put(room + size, request->after_coupon.bytes, request->after_coupon.size);
    size += put_number(room + size, body_size);
    size += put(room + size, "\r\n\r\n", 4);
    return size + put(room + size, body, body_size);
}

/* reply: see reply.h. A head that comes whole, which nearly all do, is read where it lies. */
#include "load/reply.h"

static bool starts_nocase(struct slice line, const char *name) {
    size_t size = strlen(name);
    return line.size >= size && slice_is_nocase((struct slice){line.bytes, size}, name);
}

static struct slice value_of(struct slice line, const char *name) {
    size_t at = strlen(name);
    while (at < line.size && line.bytes[at] == ' ') {
        at++;
    }
    return (struct slice){line.bytes + at, line.size - at};
}

static int read_status(struct slice line, int *ret_status) {
    static const char version[] = "HTTP/1.1 ";
    const size_t at = sizeof(version) - 1;
    uint64_t status = 0;
    if (line.size < at + 3 || memcmp(line.bytes, version, at) != 0 ||
        slice_to_u64((struct slice){line.bytes + at, 3}, 999, &status) < 0 || status < 200) {
        return STATUS_INVALID;
    }
    *ret_status = (int)status;
    return STATUS_OK;
}

/* One field's line; only three names matter here. */
static int read_field(struct reply *reply, struct slice line, bool *sized) {
    char first = (char)(line.size ? line.bytes[0] | 0x20 : 0);
    if (first == 'c' && starts_nocase(line, "content-length:")) {
        *sized = true;
        return slice_to_u64(value_of(line, "content-length:"), UINT32_MAX, &reply->body_left);
    }
    if (first == 'c' && starts_nocase(line, "connection:")) {
        reply->closes = slice_is_nocase(value_of(line, "connection:"), "close");
    }
    return first == 't' && starts_nocase(line, "transfer-encoding:") ? STATUS_INVALID : STATUS_OK;
}

/* A line without its CR LF, cut off the front of `rest`. */
static struct slice take_line(struct slice *rest) {
    const char *end = memchr(rest->bytes, '\n', rest->size);
    size_t size = end ? (size_t)(end - rest->bytes) : rest->size;
    struct slice line = {rest->bytes, size && rest->bytes[size - 1] == '\r' ? size - 1 : size};
    size_t cut = end ? size + 1 : size;
    *rest = (struct slice){rest->bytes + cut, rest->size - cut};
    return line;
}

static int read_head(struct reply *reply, struct slice head) {
    bool sized = false;
    reply->closes = false;
    reply->body_left = 0;
    if (read_status(take_line(&head), &reply->status) < 0) {
        return STATUS_INVALID;
    }
    for (struct slice line = take_line(&head); line.size > 0; line = take_line(&head)) {
        if (read_field(reply, line, &sized) < 0) {
            return STATUS_INVALID;
        }
    }
    bool bodiless = reply->status == 204 || reply->status == 304;
    reply->body_left = bodiless ? 0 : reply->body_left;
    return sized || bodiless ? STATUS_OK : STATUS_INVALID;
}

/* The head's size with the empty line behind it; 0 while that is not there. */
static size_t head_size(struct slice bytes) {
    const char *end = memmem(bytes.bytes, bytes.size, "\r\n\r\n", 4);
    return end ? (size_t)(end - bytes.bytes) + 4 : 0;
}

/* A head of which a part came before: put together in `reply`, byte by byte as it is rare. */
static size_t collect_head(struct reply *reply, struct slice bytes, bool *ret_whole) {
    *ret_whole = false;
    for (size_t i = 0; i < bytes.size && reply->head_size < REPLY_HEAD_MAX; i++) {
        reply->head[reply->head_size++] = bytes.bytes[i];
        size_t size = reply->head_size;
        if (size >= 4 && memcmp(reply->head + size - 4, "\r\n\r\n", 4) == 0) {
            *ret_whole = true;
            return i + 1;
        }
    }
    return bytes.size;
}

static enum reply_end feed_head(struct reply *reply, struct slice bytes, size_t *ret_taken) {
    size_t size = reply->head_size == 0 ? head_size(bytes) : 0;
    struct slice head = {bytes.bytes, size};
    *ret_taken = size;
    if (size == 0) {
        bool whole = false;
        *ret_taken = collect_head(reply, bytes, &whole);
        if (!whole) {
            return reply->head_size < REPLY_HEAD_MAX ? REPLY_PART : REPLY_BROKEN;
        }
        head = (struct slice){reply->head, reply->head_size};
        reply->head_size = 0;
    }
    return read_head(reply, head) < 0 ? REPLY_BROKEN : REPLY_WHOLE;
}

enum reply_end reply_feed(struct reply *reply, struct slice bytes, size_t *ret_taken) {
    size_t taken = 0;
    if (!reply->in_body) {
        enum reply_end end = feed_head(reply, bytes, &taken);
        if (end != REPLY_WHOLE) {
            *ret_taken = bytes.size;
            return end;
        }
        reply->in_body = true;
    }
    size_t left = bytes.size - taken;
    size_t part = reply->body_left < left ? (size_t)reply->body_left : left;
    reply->body_left -= part;
    *ret_taken = taken + part;
    reply->in_body = reply->body_left > 0;
    return reply->in_body ? REPLY_PART : REPLY_WHOLE;
}

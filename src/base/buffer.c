/* Bytes that grow by doubling; one check at the end of many appends. For every floor. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAPACITY_FIRST = 256 };

void buffer_init(struct buffer *buffer) {
    *buffer = (struct buffer){0};
}

void buffer_borrow(struct buffer *buffer, char *room, size_t size) {
    *buffer = (struct buffer){.bytes = room, .capacity = size, .borrowed = true};
}

void buffer_done(struct buffer *buffer) {
    if (!buffer->borrowed) {
        free(buffer->bytes);
    }
    buffer_init(buffer);
}

void buffer_clear(struct buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
}

int buffer_reserve(struct buffer *buffer, size_t extra) {
    assert(buffer->size <= buffer->capacity);
    if (extra <= buffer->capacity - buffer->size) {
        return STATUS_OK;
    }
    if (buffer->borrowed || extra > SIZE_MAX / 4 || buffer->size > SIZE_MAX / 4) {
        return STATUS_NO_MEMORY;
    }
    size_t capacity = buffer->capacity ? buffer->capacity : CAPACITY_FIRST;
    while (capacity - buffer->size < extra) {
        capacity *= 2;
    }
    char *bytes = realloc(buffer->bytes, capacity);
    if (!bytes) {
        return STATUS_NO_MEMORY;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return STATUS_OK;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t size) {
    if (size == 0 || buffer->failed) {
        return;
    }
    if (buffer_reserve(buffer, size)) {
        buffer->failed = true;
        return;
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

void buffer_text(struct buffer *buffer, const char *text) {
    buffer_append(buffer, text, strlen(text));
}

void buffer_slice(struct buffer *buffer, struct slice slice) {
    buffer_append(buffer, slice.bytes, slice.size);
}

void buffer_format(struct buffer *buffer, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert(size >= 0);
    if ((size_t)size < sizeof(text)) {
        buffer_append(buffer, text, (size_t)size);
        return;
    }
    if (buffer->failed || buffer_reserve(buffer, (size_t)size + 1)) {
        buffer->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(buffer->bytes + buffer->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)size;
}

void buffer_u64(struct buffer *buffer, uint64_t value) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buffer_append(buffer, digits + at, sizeof(digits) - at);
}

void buffer_drop_front(struct buffer *buffer, size_t size) {
    assert(size <= buffer->size);
    buffer->size -= size;
    if (size > 0 && buffer->size > 0) {
        memmove(buffer->bytes, buffer->bytes + size, buffer->size);
    }
}

void buffer_json_string(struct buffer *buffer, struct slice text) {
    static const char hex[] = "0123456789abcdef";
    buffer_append(buffer, "\"", 1);
    size_t plain = 0; /* where the run of bytes that need no escape began */
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        buffer_append(buffer, text.bytes + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\') {
            buffer_append(buffer, (char[]){'\\', (char)c}, 2);
        } else {
            buffer_append(buffer, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        }
    }
    buffer_append(buffer, text.bytes + plain, text.size - plain);
    buffer_append(buffer, "\"", 1);
}

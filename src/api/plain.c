/* JSON in its plain form, token by token. See plain.h. */
#include "api/plain.h"

void plain_space(struct slice *text) {
    while (text->size > 0 && (*text->bytes == ' ' || *text->bytes == '\t' || *text->bytes == '\n' ||
                              *text->bytes == '\r')) {
        text->bytes++;
        text->size--;
    }
}

bool plain_take(struct slice *text, char c) {
    plain_space(text);
    if (text->size == 0 || *text->bytes != c) {
        return false;
    }
    text->bytes++;
    text->size--;
    return true;
}

bool plain_string(struct slice *text, struct slice *ret_string) {
    if (!plain_take(text, '"')) {
        return false;
    }
    size_t size = 0;
    while (size < text->size && text->bytes[size] != '"') {
        if (text->bytes[size] < 0x21 || text->bytes[size] > 0x7e || text->bytes[size] == '\\') {
            return false;
        }
        size++;
    }
    *ret_string = (struct slice){text->bytes, size};
    text->bytes += size;
    text->size -= size;
    return plain_take(text, '"');
}

bool plain_integer(struct slice *text, struct slice *ret_digits) {
    enum { DIGITS_MAX = 18 };
    size_t size = 0;
    while (size < text->size && text->bytes[size] >= '0' && text->bytes[size] <= '9') {
        size++;
    }
    if (size == 0 || size > DIGITS_MAX || (size > 1 && text->bytes[0] == '0')) {
        return false;
    }
    *ret_digits = (struct slice){text->bytes, size};
    text->bytes += size;
    text->size -= size;
    return true;
}

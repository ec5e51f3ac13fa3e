/* Slices compared and read as numbers. For every floor. */
#include "base/base.h"

static unsigned char lower(char c) {
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool slice_is_nocase(struct slice a, const char *text) {
    size_t i = 0;
    for (; i < a.size && text[i] != '\0'; i++) {
        if (lower(a.bytes[i]) != lower(text[i])) {
            return false;
        }
    }
    return i == a.size && text[i] == '\0';
}

bool slice_is_visible(struct slice text) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] < 0x21 || text.bytes[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

int slice_to_u64(struct slice text, uint64_t max, uint64_t *ret_value) {
    if (text.size == 0 || (text.size > 1 && text.bytes[0] == '0')) {
        return STATUS_INVALID;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.bytes[i];
        if (c < '0' || c > '9') {
            return STATUS_INVALID;
        }
        uint64_t digit = (uint64_t)(c - '0');
        if (value > (max - digit) / 10 || digit > max) {
            return STATUS_INVALID;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return STATUS_OK;
}

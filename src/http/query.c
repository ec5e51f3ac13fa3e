/* query: one parameter out of a target's query ("a=1&b=%20"). Pure.
 *
 * Names and values are percent-decoded; '+' stays '+' (RFC 3986 knows no other meaning).
 * Called by whoever reads parameters: the api.
 */
#include "http/http.h"

#include "http/syntax.h"

#define DECODE_END (-1)
#define DECODE_BAD (-2)

/* The next decoded byte of *text, which is shortened by it. */
static int decode_next(struct slice *text) {
    if (text->size == 0) {
        return DECODE_END;
    }
    const unsigned char *at = (const unsigned char *)text->bytes;
    size_t size = 1;
    int value = at[0];
    if (at[0] == '%') {
        if (text->size < 3 || !syntax_is(at[1], SYNTAX_HEX) || !syntax_is(at[2], SYNTAX_HEX)) {
            return DECODE_BAD;
        }
        value = (int)(syntax_hex_value(at[1]) << 4 | syntax_hex_value(at[2]));
        size = 3;
    }
    text->bytes += size;
    text->size -= size;
    return value;
}

static int name_matches(struct slice encoded, const char *name, bool *ret_matches) {
    size_t name_size = strlen(name);
    size_t index = 0;
    bool matches = true;
    for (int byte = decode_next(&encoded); byte != DECODE_END; byte = decode_next(&encoded)) {
        if (byte == DECODE_BAD) {
            return STATUS_INVALID;
        }
        matches = matches && index < name_size && (unsigned char)name[index] == byte;
        index++;
    }
    *ret_matches = matches && index == name_size;
    return STATUS_OK;
}

static int value_decode(struct slice encoded, char *room, size_t room_size, size_t *ret_size) {
    size_t size = 0;
    for (int byte = decode_next(&encoded); byte != DECODE_END; byte = decode_next(&encoded)) {
        if (byte == DECODE_BAD) {
            return STATUS_INVALID;
        }
        if (size == room_size) {
            return STATUS_FULL;
        }
        room[size++] = (char)byte;
    }
    *ret_size = size;
    return STATUS_OK;
}

int http_percent_decode(struct slice encoded, char *room, size_t room_size,
                        struct slice *ret_decoded) {
    size_t size = 0;
    int status = value_decode(encoded, room, room_size, &size);
    if (status == STATUS_OK) {
        *ret_decoded = (struct slice){room, size};
    }
    return status;
}

/* Cuts the part up to `separator`, or all, off *text. */
static struct slice cut(struct slice *text, char separator) {
    const char *found = text->size == 0 ? NULL : memchr(text->bytes, separator, text->size);
    size_t size = found == NULL ? text->size : (size_t)(found - text->bytes);
    struct slice part = {text->bytes, size};
    size_t step = found == NULL ? size : size + 1;
    text->bytes += step;
    text->size -= step;
    return part;
}

int http_query_value(struct slice query, const char *name, char *room, size_t room_size,
                     struct slice *ret_value) {
    assert(name != NULL && ret_value != NULL);
    assert(room != NULL || room_size == 0);
    bool found = false;
    struct slice encoded = {NULL, 0};
    while (query.size > 0) {
        struct slice value = cut(&query, '&');
        struct slice key = cut(&value, '=');
        bool matches = false;
        if (name_matches(key, name, &matches) != STATUS_OK || (matches && found)) {
            return STATUS_INVALID;
        }
        if (matches) {
            found = true;
            encoded = value;
        }
    }
    if (!found) {
        return STATUS_NOT_FOUND;
    }
    size_t size = 0;
    int status = value_decode(encoded, room, room_size, &size);
    if (status == STATUS_OK) {
        *ret_value = (struct slice){room, size};
    }
    return status;
}

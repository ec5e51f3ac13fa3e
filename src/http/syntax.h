/* syntax: which bytes may stand where (RFC 9110 5.5, 5.6.2; RFC 3986). Private to src/http:
 * the head parser and the chunked decoder share the table. */
#ifndef COUPON_HTTP_SYNTAX_H
#define COUPON_HTTP_SYNTAX_H

#include <stdbool.h>
#include <stdint.h>

enum syntax {
    SYNTAX_TOKEN = 1, /* tchar: methods, field names */
    SYNTAX_PATH = 2,  /* visible ASCII but '?' and '#' */
    SYNTAX_QUERY = 4, /* visible ASCII but '#' */
    SYNTAX_VALUE = 8, /* field values: HTAB, SP, visible ASCII, obs-text */
    SYNTAX_HOST = 16, /* reg-name but ',' (lists of hosts are a known trick) */
    SYNTAX_DIGIT = 32,
    SYNTAX_HEX = 64,
};

extern const uint8_t http_syntax[256];

static inline bool syntax_is(unsigned char byte, enum syntax wanted) {
    return (http_syntax[byte] & (unsigned)wanted) != 0;
}

static inline const unsigned char *syntax_skip(const unsigned char *at, const unsigned char *end,
                                               enum syntax wanted) {
    while (at < end && syntax_is(*at, wanted)) {
        at++;
    }
    return at;
}

/* Only for bytes that SYNTAX_HEX holds for. */
static inline unsigned syntax_hex_value(unsigned char byte) {
    return byte <= '9' ? (unsigned)byte - '0' : ((unsigned)byte | 0x20U) - 'a' + 10;
}

#endif

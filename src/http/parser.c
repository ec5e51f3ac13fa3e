/* parser: a request's head, from bytes to struct http_head (RFC 9112, RFC 9110).
 *
 * Not for: bodies (chunked.c), the meaning of fields beyond framing. Called by exchange.c
 * on every read, from the head's first byte; by the fuzzer.
 *
 * It looks at the bytes in order and returns at the first fault, so the verdict is a
 * property of the bytes and not of how they arrived: every shorter piece gives MORE, every
 * longer one the same verdict. What only a whole line or head can show (two Hosts, none) is
 * judged where that line or the head ends.
 *
 * Decisions where the RFC leaves room: one empty line before the request line is skipped
 * (9112 2.2), a second one is a fault; an empty Host is a fault (9110 4.2.1); so is CONNECT,
 * whatever its target: what follows it is no request to whoever would tunnel it (9110
 * 9.3.6); the authority of an absolute target is checked and dropped; Expect in 1.0 is
 * ignored (9110 10.1.1).
 */
#include "http/http.h"

#include "http/syntax.h"

#define T SYNTAX_TOKEN
#define P SYNTAX_PATH
#define Q SYNTAX_QUERY
#define V SYNTAX_VALUE
#define H SYNTAX_HOST
#define D SYNTAX_DIGIT
#define X SYNTAX_HEX
const uint8_t http_syntax[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | P | Q | V | H,
    ['"'] = P | Q | V,
    ['#'] = T | V,
    ['$' ... '\''] = T | P | Q | V | H,
    ['(' ... ')'] = P | Q | V | H,
    ['*' ... '+'] = T | P | Q | V | H,
    [','] = P | Q | V,
    ['-' ... '.'] = T | P | Q | V | H,
    ['/'] = P | Q | V,
    ['0' ... '9'] = T | P | Q | V | H | D | X,
    [':'] = P | Q | V,
    [';'] = P | Q | V | H,
    ['<'] = P | Q | V,
    ['='] = P | Q | V | H,
    ['>'] = P | Q | V,
    ['?'] = Q | V,
    ['@'] = P | Q | V,
    ['A' ... 'F'] = T | P | Q | V | H | X,
    ['G' ... 'Z'] = T | P | Q | V | H,
    ['[' ... ']'] = P | Q | V,
    ['^'] = T | P | Q | V,
    ['_'] = T | P | Q | V | H,
    ['`'] = T | P | Q | V,
    ['a' ... 'f'] = T | P | Q | V | H | X,
    ['g' ... 'z'] = T | P | Q | V | H,
    ['{'] = P | Q | V,
    ['|'] = T | P | Q | V,
    ['}'] = P | Q | V,
    ['~'] = T | P | Q | V | H,
    [0x80 ... 0xff] = V,
};
#undef T
#undef P
#undef Q
#undef V
#undef H
#undef D
#undef X

#define PORT_DIGITS_MAX 5

enum seen {
    SEEN_HOST = 1,
    SEEN_CLOSE = 2,
    SEEN_KEEP_ALIVE = 4,
};

/* Where the parse stands. `at` never passes `end`. */
struct scan {
    const unsigned char *at;
    const unsigned char *end;
    struct http_head *head;
    const char *why;
    unsigned seen; /* of enum seen */
};

static enum http_parse malformed(struct scan *scan, const char *why) {
    scan->why = why;
    return HTTP_PARSE_MALFORMED;
}

static struct slice between(const unsigned char *start, const unsigned char *end) {
    return (struct slice){(const char *)start, (size_t)(end - start)};
}

static unsigned char lower(unsigned char byte) {
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

/* `text` is in lower case and as long as `slice`. */
static bool same_nocase(struct slice slice, const char *text) {
    for (size_t i = 0; i < slice.size; i++) {
        if (lower((unsigned char)slice.bytes[i]) != (unsigned char)text[i]) {
            return false;
        }
    }
    return true;
}

#define IS_NOCASE(slice, literal)                                                                  \
    ((slice).size == sizeof(literal) - 1 && same_nocase((slice), (literal)))

static enum http_parse take_line_end(struct scan *scan) {
    if (scan->at == scan->end) {
        return HTTP_PARSE_MORE;
    }
    if (scan->at[0] != '\r') {
        return malformed(scan, "A line of the head holds a character that may not stand there, "
                               "or does not end with CR and LF.");
    }
    if (scan->at + 1 == scan->end) {
        return HTTP_PARSE_MORE;
    }
    if (scan->at[1] != '\n') {
        return malformed(scan, "A carriage return is not followed by a line feed.");
    }
    scan->at += 2;
    return HTTP_PARSE_DONE;
}

/* ---- request line --------------------------------------------------------------------- */

static enum http_method method_of(struct slice name) {
    static const struct {
        struct slice name;
        enum http_method method;
    } methods[] = {
        {{"POST", 4}, HTTP_POST},       {{"GET", 3}, HTTP_GET},     {{"HEAD", 4}, HTTP_HEAD},
        {{"PUT", 3}, HTTP_PUT},         {{"PATCH", 5}, HTTP_PATCH}, {{"DELETE", 6}, HTTP_DELETE},
        {{"OPTIONS", 7}, HTTP_OPTIONS},
    };
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        if (slice_equal(name, methods[i].name)) {
            return methods[i].method;
        }
    }
    return HTTP_METHOD_OTHER;
}

static enum http_parse take_method(struct scan *scan) {
    const unsigned char *start = scan->at;
    scan->at = syntax_skip(start, scan->end, SYNTAX_TOKEN);
    if (scan->at == scan->end) {
        return HTTP_PARSE_MORE;
    }
    if (scan->at == start || *scan->at != ' ') {
        return malformed(scan, "The request line does not begin with a method and a space.");
    }
    struct slice name = between(start, scan->at);
    if (slice_equal(name, (struct slice){"CONNECT", 7})) {
        return malformed(scan, "CONNECT is for proxies, and this is none.");
    }
    scan->head->method = method_of(name);
    scan->at++;
    return HTTP_PARSE_DONE;
}

/* The space that ends the target. */
static enum http_parse take_target_end(struct scan *scan) {
    if (scan->at == scan->end) {
        return HTTP_PARSE_MORE;
    }
    if (*scan->at != ' ') {
        return malformed(scan, "The request target holds a character that may not stand there, "
                               "or no version follows it.");
    }
    scan->at++;
    return HTTP_PARSE_DONE;
}

static enum http_parse take_query(struct scan *scan) {
    struct http_head *head = scan->head;
    if (scan->at < scan->end && *scan->at == '?') {
        const unsigned char *start = scan->at + 1;
        scan->at = syntax_skip(start, scan->end, SYNTAX_QUERY);
        head->query = between(start, scan->at);
    }
    return take_target_end(scan);
}

static enum http_parse take_path(struct scan *scan) {
    const unsigned char *start = scan->at;
    scan->at = syntax_skip(start, scan->end, SYNTAX_PATH);
    scan->head->path = between(start, scan->at);
    return take_query(scan);
}

/* host [ ":" port ] without user information; an IPv6 address in brackets. */
static bool host_is_valid(struct slice host) {
    const unsigned char *at = (const unsigned char *)host.bytes;
    const unsigned char *end = at + host.size;
    if (at < end && *at == '[') {
        const unsigned char *start = ++at;
        while (at < end && (syntax_is(*at, SYNTAX_HEX) || *at == ':' || *at == '.')) {
            at++;
        }
        if (at == start || at == end || *at != ']') {
            return false;
        }
        at++;
    } else {
        const unsigned char *start = at;
        at = syntax_skip(at, end, SYNTAX_HOST);
        if (at == start) {
            return false;
        }
    }
    if (at == end) {
        return true;
    }
    if (*at != ':') {
        return false;
    }
    const unsigned char *port = at + 1;
    return syntax_skip(port, end, SYNTAX_DIGIT) == end && end - port <= PORT_DIGITS_MAX;
}

static bool is_authority(unsigned char byte) {
    return syntax_is(byte, SYNTAX_HOST) || byte == ':' || byte == '[' || byte == ']';
}

static enum http_parse take_absolute(struct scan *scan) {
    static const char scheme[] = "http://";
    for (size_t i = 0; i < sizeof scheme - 1; i++, scan->at++) {
        if (scan->at == scan->end) {
            return HTTP_PARSE_MORE;
        }
        if (lower(*scan->at) != (unsigned char)scheme[i]) {
            return malformed(scan, "The request target is neither a path nor an http URL.");
        }
    }
    const unsigned char *start = scan->at;
    while (scan->at < scan->end && is_authority(*scan->at)) {
        scan->at++;
    }
    if (scan->at == scan->end) {
        return HTTP_PARSE_MORE;
    }
    if (!host_is_valid(between(start, scan->at))) {
        return malformed(scan, "The request target names no valid host.");
    }
    if (*scan->at == '/') {
        return take_path(scan);
    }
    scan->head->path = between(start - 1, start); /* the scheme's last '/' serves as the path */
    return take_query(scan);
}

static enum http_parse take_target(struct scan *scan) {
    scan->head->query = (struct slice){NULL, 0};
    if (scan->at == scan->end) {
        return HTTP_PARSE_MORE;
    }
    switch (*scan->at) {
    case '/':
        return take_path(scan);
    case 'h':
    case 'H':
        return take_absolute(scan);
    case '*':
        if (scan->head->method != HTTP_OPTIONS) {
            return malformed(scan, "The target \"*\" belongs to OPTIONS only.");
        }
        scan->head->path = between(scan->at, scan->at + 1);
        scan->at++;
        return take_target_end(scan);
    default:
        return malformed(scan, "The request target is neither a path nor an http URL.");
    }
}

static enum http_parse take_version(struct scan *scan) {
    static const char name[] = "HTTP/1.";
    for (size_t i = 0; i < sizeof name - 1; i++, scan->at++) {
        if (scan->at == scan->end) {
            return HTTP_PARSE_MORE;
        }
        if (*scan->at != (unsigned char)name[i]) {
            return malformed(scan, "The version is not HTTP/1.1 or HTTP/1.0.");
        }
    }
    if (scan->at == scan->end) {
        return HTTP_PARSE_MORE;
    }
    if (*scan->at != '0' && *scan->at != '1') {
        return malformed(scan, "The version is not HTTP/1.1 or HTTP/1.0.");
    }
    scan->head->minor_version = *scan->at - '0';
    scan->at++;
    return take_line_end(scan);
}

static enum http_parse take_request_line(struct scan *scan) {
    enum http_parse result = HTTP_PARSE_DONE;
    if (scan->at < scan->end && *scan->at == '\r') {
        result = take_line_end(scan);
    }
    if (result == HTTP_PARSE_DONE) {
        result = take_method(scan);
    }
    if (result == HTTP_PARSE_DONE) {
        result = take_target(scan);
    }
    if (result == HTTP_PARSE_DONE) {
        result = take_version(scan);
    }
    return result;
}

/* ---- fields that decide about framing ------------------------------------------------- */

static enum http_parse judge_host(struct scan *scan, struct slice value) {
    if (scan->seen & SEEN_HOST) {
        return malformed(scan, "There are two Host fields.");
    }
    if (!host_is_valid(value)) {
        return malformed(scan, "The Host field is not a host with an optional port.");
    }
    scan->seen |= SEEN_HOST;
    return HTTP_PARSE_DONE;
}

static enum http_parse judge_expect(struct scan *scan, struct slice value) {
    if (scan->head->minor_version == 0) {
        return HTTP_PARSE_DONE;
    }
    if (!IS_NOCASE(value, "100-continue")) {
        scan->why = "The only expectation that can be met is 100-continue.";
        return HTTP_PARSE_BAD_EXPECT;
    }
    scan->head->expect_continue = true;
    return HTTP_PARSE_DONE;
}

static struct slice trim(struct slice text) {
    while (text.size > 0 && (text.bytes[0] == ' ' || text.bytes[0] == '\t')) {
        text.bytes++;
        text.size--;
    }
    while (text.size > 0 &&
           (text.bytes[text.size - 1] == ' ' || text.bytes[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

/* A list of options (RFC 9110 7.6.1), of which two matter here. */
static enum http_parse judge_connection(struct scan *scan, struct slice value) {
    while (value.size > 0) {
        const char *comma = memchr(value.bytes, ',', value.size);
        size_t size = comma == NULL ? value.size : (size_t)(comma - value.bytes);
        struct slice option = trim((struct slice){value.bytes, size});
        if (IS_NOCASE(option, "close")) {
            scan->seen |= SEEN_CLOSE;
        } else if (IS_NOCASE(option, "keep-alive")) {
            scan->seen |= SEEN_KEEP_ALIVE;
        }
        size_t step = comma == NULL ? size : size + 1;
        value.bytes += step;
        value.size -= step;
    }
    return HTTP_PARSE_DONE;
}

static enum http_parse judge_content_length(struct scan *scan, struct slice value) {
    struct http_head *head = scan->head;
    if (head->has_content_length) {
        return malformed(scan, "There are two Content-Length fields.");
    }
    if (head->chunked) {
        return malformed(scan, "Content-Length and Transfer-Encoding exclude each other.");
    }
    uint64_t length = 0;
    for (size_t i = 0; i < value.size; i++) {
        unsigned char byte = (unsigned char)value.bytes[i];
        if (!syntax_is(byte, SYNTAX_DIGIT) || __builtin_mul_overflow(length, 10, &length) ||
            __builtin_add_overflow(length, (uint64_t)(byte - '0'), &length)) {
            return malformed(scan, "The Content-Length is not a number of bytes.");
        }
    }
    if (value.size == 0) {
        return malformed(scan, "The Content-Length is not a number of bytes.");
    }
    head->has_content_length = true;
    head->content_length = length;
    return HTTP_PARSE_DONE;
}

static enum http_parse judge_transfer_encoding(struct scan *scan, struct slice value) {
    struct http_head *head = scan->head;
    if (head->minor_version == 0) {
        return malformed(scan, "HTTP/1.0 has no Transfer-Encoding.");
    }
    if (head->has_content_length) {
        return malformed(scan, "Content-Length and Transfer-Encoding exclude each other.");
    }
    if (head->chunked || !IS_NOCASE(value, "chunked")) {
        return malformed(scan, "The only Transfer-Encoding that is taken is one \"chunked\".");
    }
    head->chunked = true;
    return HTTP_PARSE_DONE;
}

/* The length of the name sorts out nearly every field without comparing a byte. */
static enum http_parse judge_field(struct scan *scan, const struct http_field *field) {
    switch (field->name.size) {
    case sizeof "host" - 1:
        return same_nocase(field->name, "host") ? judge_host(scan, field->value) : HTTP_PARSE_DONE;
    case sizeof "expect" - 1:
        return same_nocase(field->name, "expect") ? judge_expect(scan, field->value)
                                                  : HTTP_PARSE_DONE;
    case sizeof "connection" - 1:
        return same_nocase(field->name, "connection") ? judge_connection(scan, field->value)
                                                      : HTTP_PARSE_DONE;
    case sizeof "content-length" - 1:
        return same_nocase(field->name, "content-length") ? judge_content_length(scan, field->value)
                                                          : HTTP_PARSE_DONE;
    case sizeof "transfer-encoding" - 1:
        return same_nocase(field->name, "transfer-encoding")
                   ? judge_transfer_encoding(scan, field->value)
                   : HTTP_PARSE_DONE;
    default:
        return HTTP_PARSE_DONE;
    }
}

/* ---- fields --------------------------------------------------------------------------- */

static enum http_parse take_field(struct scan *scan) {
    struct http_field *field = &scan->head->fields[scan->head->field_count];
    const unsigned char *start = scan->at;
    scan->at = syntax_skip(start, scan->end, SYNTAX_TOKEN);
    if (scan->at == scan->end) {
        return HTTP_PARSE_MORE;
    }
    if (scan->at == start || *scan->at != ':') {
        return malformed(scan, "A field does not begin with a name and a colon.");
    }
    field->name = between(start, scan->at);
    start = ++scan->at;
    scan->at = syntax_skip(start, scan->end, SYNTAX_VALUE);
    field->value = trim(between(start, scan->at));
    enum http_parse result = take_line_end(scan);
    if (result != HTTP_PARSE_DONE) {
        return result;
    }
    scan->head->field_count++;
    return judge_field(scan, field);
}

/* Up to and with the empty line. */
static enum http_parse take_fields(struct scan *scan) {
    for (;;) {
        if (scan->at == scan->end) {
            return HTTP_PARSE_MORE;
        }
        if (*scan->at == '\r') {
            return take_line_end(scan);
        }
        if (scan->head->field_count == HTTP_FIELDS_MAX) {
            scan->why = "There are too many fields.";
            return HTTP_PARSE_TOO_LARGE;
        }
        enum http_parse result = take_field(scan);
        if (result != HTTP_PARSE_DONE) {
            return result;
        }
    }
}

/* What only the whole head can tell. */
static enum http_parse judge_head(struct scan *scan) {
    struct http_head *head = scan->head;
    if (head->minor_version == 1 && !(scan->seen & SEEN_HOST)) {
        return malformed(scan, "There is no Host field.");
    }
    bool asked_to_stay = head->minor_version == 1 || (scan->seen & SEEN_KEEP_ALIVE) != 0;
    head->keep_alive = asked_to_stay && !(scan->seen & SEEN_CLOSE);
    return HTTP_PARSE_DONE;
}

enum http_parse http_parse_head(struct slice bytes, struct http_head *ret_head,
                                const char **ret_why) {
    assert(ret_head != NULL);
    assert(bytes.bytes != NULL || bytes.size == 0);
    if (bytes.size == 0) {
        return HTTP_PARSE_MORE;
    }
    size_t size = bytes.size < HTTP_HEAD_MAX ? bytes.size : HTTP_HEAD_MAX;
    const unsigned char *start = (const unsigned char *)bytes.bytes;
    struct scan scan = {.at = start, .end = start + size, .head = ret_head};
    ret_head->chunked = false;
    ret_head->has_content_length = false;
    ret_head->content_length = 0;
    ret_head->expect_continue = false;
    ret_head->field_count = 0;
    enum http_parse result = take_request_line(&scan);
    if (result == HTTP_PARSE_DONE) {
        result = take_fields(&scan);
    }
    if (result == HTTP_PARSE_DONE) {
        result = judge_head(&scan);
    }
    if (result == HTTP_PARSE_MORE && size == HTTP_HEAD_MAX) {
        scan.why = "The request line and the fields together are too long.";
        result = HTTP_PARSE_TOO_LARGE;
    }
    if (result == HTTP_PARSE_DONE) {
        ret_head->size = (size_t)(scan.at - start);
    } else if (result != HTTP_PARSE_MORE && ret_why != NULL) {
        *ret_why = scan.why;
    }
    return result;
}

struct slice http_head_field(const struct http_head *head, const char *name, size_t *ret_count) {
    assert(head != NULL);
    assert(name != NULL);
    struct slice value = {NULL, 0};
    size_t count = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        if (slice_is_nocase(head->fields[i].name, name)) {
            value = count == 0 ? head->fields[i].value : value;
            count++;
        }
    }
    if (ret_count != NULL) {
        *ret_count = count;
    }
    return value;
}

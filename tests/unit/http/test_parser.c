/* The head parser, by table: what is taken, what is refused, and that neither depends on
 * how the bytes arrive. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"
#define GET  "GET / HTTP/1.1\r\n"
#define OKAY "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

struct refusal {
    const char *text;
    enum http_parse result;
};

#define BAD(text)                                                                                  \
    { (text), HTTP_PARSE_MALFORMED }

static const struct refusal refusals[] = {
    /* line ends */
    BAD("\n"),
    BAD("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("\r\n\r\n"),
    BAD("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("\rGET / HTTP/1.1\r\n"),
    BAD("GET / HTTP/1.1\nHost: a\n\n"),
    BAD("GET / HTTP/1.1\r\nHost: a\n\r\n"),
    BAD("GET / HTTP/1.1\r\nHost: a\r\n\n"),
    BAD("GET / HTTP/1.1\rHost: a\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nHost: a\r\n\rx"),
    BAD("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    /* method */
    BAD(" GET / HTTP/1.1\r\n"),
    BAD("G\tET / HTTP/1.1\r\n"),
    BAD("GET\t/ HTTP/1.1\r\n"),
    BAD("GE(T / HTTP/1.1\r\n"),
    BAD("GET\r\n"),
    BAD("\x16\x03\x01\x02"),
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BAD("G\xc3\x89T / HTTP/1.1\r\n"),
    BAD("{\"userId\":1}"),
    /* target */
    BAD("GET  / HTTP/1.1\r\n"),
    BAD("GET index HTTP/1.1\r\n"),
    BAD("GET ?a HTTP/1.1\r\n"),
    BAD("GET * HTTP/1.1\r\n"),
    BAD("OPTIONS *a HTTP/1.1\r\n"),
    BAD("OPTIONS */ HTTP/1.1\r\n"),
    BAD("CONNECT a:443 HTTP/1.1\r\n"),
    BAD("CONNECT host:443 HTTP/1.1\r\n"),
    BAD("CONNECT / HTTP/1.1\r\n"),
    BAD("CONNECT http://a/ HTTP/1.1\r\n"),
    BAD("GET https://a/ HTTP/1.1\r\n"),
    BAD("GET ftp://a/ HTTP/1.1\r\n"),
    BAD("GET http:/a/ HTTP/1.1\r\n"),
    BAD("GET http:///a HTTP/1.1\r\n"),
    BAD("GET http:// HTTP/1.1\r\n"),
    BAD("GET http://?a HTTP/1.1\r\n"),
    BAD("GET http://u@a/ HTTP/1.1\r\n"),
    BAD("GET http://a,b/ HTTP/1.1\r\n"),
    BAD("GET http://a:b/ HTTP/1.1\r\n"),
    BAD("GET http://a:123456/ HTTP/1.1\r\n"),
    BAD("GET http://[::1/ HTTP/1.1\r\n"),
    BAD("GET http://a#b HTTP/1.1\r\n"),
    BAD("GET /a#b HTTP/1.1\r\n"),
    BAD("GET /a?b#c HTTP/1.1\r\n"),
    BAD("GET /a\tb HTTP/1.1\r\n"),
    BAD("GET /a\x01 HTTP/1.1\r\n"),
    BAD("GET /a\x7f HTTP/1.1\r\n"),
    BAD("GET /\xc3\xa9 HTTP/1.1\r\n"),
    BAD("GET /?\xc3\xa9 HTTP/1.1\r\n"),
    BAD("GET /a b HTTP/1.1\r\n"),
    BAD("GET /?a b HTTP/1.1\r\n"),
    /* version */
    BAD("GET /\r\n"),
    BAD("GET / \r\n"),
    BAD("GET /  HTTP/1.1\r\n"),
    BAD("GET / HTTP/1.1 \r\n"),
    BAD("GET / http/1.1\r\n"),
    BAD("GET / HTTP/1.2\r\n"),
    BAD("GET / HTTP/1.10\r\n"),
    BAD("GET / HTTP/1\r\n"),
    BAD("GET / HTTP/1.\r\n"),
    BAD("GET / HTTP/01.1\r\n"),
    BAD("GET / HTTP/2.0\r\n"),
    BAD("GET / HTTP/0.9\r\n"),
    BAD("GET / HTTP 1.1\r\n"),
    BAD("GET / HTTPS/1.1\r\n"),
    BAD("GET / SIP/2.0\r\n"),
    /* fields */
    BAD(GET " Host: a\r\n\r\n"),
    BAD(GET "\tHost: a\r\n\r\n"),
    BAD(OKAY "X: a\r\n b\r\n\r\n"),
    BAD(OKAY "X: a\r\n\tb\r\n\r\n"),
    BAD(OKAY "X : a\r\n\r\n"),
    BAD(OKAY "X\t: a\r\n\r\n"),
    BAD(OKAY "X a\r\n\r\n"),
    BAD(OKAY "X\r\n\r\n"),
    BAD(OKAY ": a\r\n\r\n"),
    BAD(OKAY "X(: a\r\n\r\n"),
    BAD(OKAY "X[0]: a\r\n\r\n"),
    BAD(OKAY "\xc3\xa9: a\r\n\r\n"),
    BAD(OKAY "X: a\x01\r\n\r\n"),
    BAD(OKAY "X: \x7f\r\n\r\n"),
    BAD(OKAY "X: a\x0b\r\n\r\n"),
    BAD(OKAY "X: \x1b[0m\r\n\r\n"),
    /* Host */
    BAD(GET "\r\n"),
    BAD(GET "X: a\r\n\r\n"),
    BAD(GET "Hosts: a\r\n\r\n"),
    BAD(GET "Host:\r\n\r\n"),
    BAD(GET "Host: \t\r\n\r\n"),
    BAD(OKAY HOST "\r\n"),
    BAD(OKAY "hOST: a\r\n\r\n"),
    BAD(GET "Host: a b\r\n\r\n"),
    BAD(GET "Host: a,b\r\n\r\n"),
    BAD(GET "Host: u@a\r\n\r\n"),
    BAD(GET "Host: a/b\r\n\r\n"),
    BAD(GET "Host: a?b\r\n\r\n"),
    BAD(GET "Host: http://a\r\n\r\n"),
    BAD(GET "Host: a:80:80\r\n\r\n"),
    BAD(GET "Host: a:8x\r\n\r\n"),
    BAD(GET "Host: :80\r\n\r\n"),
    BAD(GET "Host: a:123456\r\n\r\n"),
    BAD(GET "Host: []\r\n\r\n"),
    BAD(GET "Host: [::1\r\n\r\n"),
    BAD(GET "Host: ::1\r\n\r\n"),
    BAD(GET "Host: [::g]\r\n\r\n"),
    BAD(GET "Host: [::1]a\r\n\r\n"),
    BAD(GET "Host: a\xc3\xa9\r\n\r\n"),
    BAD("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    BAD("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
    BAD("GET http://a/ HTTP/1.1\r\n\r\n"),
    /* Content-Length */
    BAD(POST "Content-Length:\r\n\r\n"),
    BAD(POST "Content-Length: a\r\n\r\n"),
    BAD(POST "Content-Length: 1a\r\n\r\n"),
    BAD(POST "Content-Length: +1\r\n\r\n"),
    BAD(POST "Content-Length: -1\r\n\r\n"),
    BAD(POST "Content-Length: 1 1\r\n\r\n"),
    BAD(POST "Content-Length: 1,1\r\n\r\n"),
    BAD(POST "Content-Length: 1, 1\r\n\r\n"),
    BAD(POST "Content-Length: 0x1\r\n\r\n"),
    BAD(POST "Content-Length: 1.0\r\n\r\n"),
    BAD(POST "Content-Length: 18446744073709551616\r\n\r\n"),
    BAD(POST "Content-Length: 99999999999999999999999\r\n\r\n"),
    BAD(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    BAD(POST "Content-Length: 1\r\ncontent-length: 2\r\n\r\n"),
    BAD(POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
    BAD(POST "Content-Length : 1\r\n\r\n"),
    /* Transfer-Encoding */
    BAD(POST "Transfer-Encoding:\r\n\r\n"),
    BAD(POST "Transfer-Encoding: identity\r\n\r\n"),
    BAD(POST "Transfer-Encoding: gzip\r\n\r\n"),
    BAD(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked,\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    BAD(POST "Transfer-Encoding: xchunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunke\r\n\r\n"),
    BAD(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    /* Expect */
    {POST "Expect: 200-ok\r\n\r\n", HTTP_PARSE_BAD_EXPECT},
    {POST "Expect:\r\n\r\n", HTTP_PARSE_BAD_EXPECT},
    {POST "Expect: 100-continue, x\r\n\r\n", HTTP_PARSE_BAD_EXPECT},
    {POST "expect: 100-continu\r\n\r\n", HTTP_PARSE_BAD_EXPECT},
};

struct acceptance {
    const char *text;
    const char *path;
    const char *query;
    enum http_method method;
    int minor_version;
    bool keep_alive;
    bool chunked;
    bool expect_continue;
    bool has_content_length;
    uint64_t content_length;
    size_t field_count;
};

#define KEEP .minor_version = 1, .keep_alive = true

static const struct acceptance acceptances[] = {
    {OKAY "\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {"\r\n" OKAY "\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {"HEAD /a HTTP/1.1\r\nhost:a\r\n\r\n", "/a", "", HTTP_HEAD, KEEP, .field_count = 1},
    {"PUT /a HTTP/1.1\r\n" HOST "\r\n", "/a", "", HTTP_PUT, KEEP, .field_count = 1},
    {"PATCH /a HTTP/1.1\r\n" HOST "\r\n", "/a", "", HTTP_PATCH, KEEP, .field_count = 1},
    {"DELETE /a HTTP/1.1\r\n" HOST "\r\n", "/a", "", HTTP_DELETE, KEEP, .field_count = 1},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "*", "", HTTP_OPTIONS, KEEP, .field_count = 1},
    {"OPTIONS /a HTTP/1.1\r\n" HOST "\r\n", "/a", "", HTTP_OPTIONS, KEEP, .field_count = 1},
    {"get / HTTP/1.1\r\n" HOST "\r\n", "/", "", HTTP_METHOD_OTHER, KEEP, .field_count = 1},
    {"TRACE / HTTP/1.1\r\n" HOST "\r\n", "/", "", HTTP_METHOD_OTHER, KEEP, .field_count = 1},
    {"!#$%&'*+-.^_`|~0 / HTTP/1.1\r\n" HOST "\r\n", "/", "", HTTP_METHOD_OTHER, KEEP,
     .field_count = 1},
    {"GET /a?b=c&d=e?f HTTP/1.1\r\n" HOST "\r\n", "/a", "b=c&d=e?f", HTTP_GET, KEEP,
     .field_count = 1},
    {"GET /? HTTP/1.1\r\n" HOST "\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {"GET //a//b HTTP/1.1\r\n" HOST "\r\n", "//a//b", "", HTTP_GET, KEEP, .field_count = 1},
    {"GET /%41\"<>\\^`{|} HTTP/1.1\r\n" HOST "\r\n", "/%41\"<>\\^`{|}", "", HTTP_GET, KEEP,
     .field_count = 1},
    {"GET /v1/coupons/1/issues:batch HTTP/1.1\r\n" HOST "\r\n", "/v1/coupons/1/issues:batch", "",
     HTTP_GET, KEEP, .field_count = 1},
    {"GET http://a/b?c HTTP/1.1\r\n" HOST "\r\n", "/b", "c", HTTP_GET, KEEP, .field_count = 1},
    {"GET HTTP://a:80/b HTTP/1.1\r\n" HOST "\r\n", "/b", "", HTTP_GET, KEEP, .field_count = 1},
    {"GET http://a HTTP/1.1\r\n" HOST "\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {"GET http://a?b HTTP/1.1\r\n" HOST "\r\n", "/", "b", HTTP_GET, KEEP, .field_count = 1},
    {"GET http://[::1]:8080/ HTTP/1.1\r\n" HOST "\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {GET "Host: a.example:8080\r\n\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {GET "Host: [2001:db8::1]:80\r\n\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {GET "Host: [::ffff:127.0.0.1]\r\n\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {GET "Host: 127.0.0.1:\r\n\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {GET "Host:  \t a_b \t \r\n\r\n", "/", "", HTTP_GET, KEEP, .field_count = 1},
    {OKAY "X:\r\nY: \r\nZ: a \xe9\t\"b\" \r\n\r\n", "/", "", HTTP_GET, KEEP, .field_count = 4},
    {POST "Content-Length: 0\r\n\r\n", "/", "", HTTP_POST, KEEP, .has_content_length = true,
     .field_count = 2},
    {POST "CONTENT-LENGTH:42\r\n\r\n", "/", "", HTTP_POST, KEEP, .has_content_length = true,
     .content_length = 42, .field_count = 2},
    {POST "Content-Length: 007\r\n\r\n", "/", "", HTTP_POST, KEEP, .has_content_length = true,
     .content_length = 7, .field_count = 2},
    {POST "Content-Length: 18446744073709551615\r\n\r\n", "/", "", HTTP_POST, KEEP,
     .has_content_length = true, .content_length = UINT64_MAX, .field_count = 2},
    {POST "Transfer-Encoding: chunked\r\n\r\n", "/", "", HTTP_POST, KEEP, .chunked = true,
     .field_count = 2},
    {POST "transfer-encoding:\tCHUNKED \r\n\r\n", "/", "", HTTP_POST, KEEP, .chunked = true,
     .field_count = 2},
    {POST "Expect: 100-Continue\r\n\r\n", "/", "", HTTP_POST, KEEP, .expect_continue = true,
     .field_count = 2},
    {OKAY "Connection: close\r\n\r\n", "/", "", HTTP_GET, 1, false, .field_count = 2},
    {OKAY "Connection: keep-alive, Close\r\n\r\n", "/", "", HTTP_GET, 1, false, .field_count = 2},
    {OKAY "Connection: closed\r\n\r\n", "/", "", HTTP_GET, KEEP, .field_count = 2},
    {OKAY "Connection: Upgrade,,\r\nconnection: close\r\n\r\n", "/", "", HTTP_GET, 1, false,
     .field_count = 3},
    {"GET / HTTP/1.0\r\n\r\n", "/", "", HTTP_GET, 0, false, .field_count = 0},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "", HTTP_GET, 0, true,
     .field_count = 1},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "/", "", HTTP_GET, 0, false,
     .field_count = 1},
    {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "/", "", HTTP_POST, 0,
     false, .has_content_length = true, .content_length = 1, .field_count = 2},
};

/* The bytes in a block of exactly their size, so that a sanitizer sees a step too far. */
static enum http_parse parse_exact(const char *bytes, size_t size, struct http_head *head,
                                   char **ret_block) {
    char *block = malloc(size > 0 ? size : 1);
    assert_non_null(block);
    memcpy(block, bytes, size);
    const char *why = NULL;
    enum http_parse result = http_parse_head((struct slice){block, size}, head, &why);
    bool refused = result != HTTP_PARSE_DONE && result != HTTP_PARSE_MORE;
    assert_true((why != NULL) == refused);
    *ret_block = block;
    return result;
}

static enum http_parse parse_only(const char *bytes, size_t size) {
    struct http_head head;
    char *block = NULL;
    enum http_parse result = parse_exact(bytes, size, &head, &block);
    free(block);
    return result;
}

static void every_bad_head_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        enum http_parse result = parse_only(refusals[i].text, strlen(refusals[i].text));
        if (result != refusals[i].result) {
            fail_msg("case %zu gives %d: %s", i, (int)result, refusals[i].text);
        }
    }
}

static void assert_head(const struct acceptance *wanted, const struct http_head *head) {
    assert_true(slice_is(head->path, wanted->path));
    assert_true(slice_is(head->query, wanted->query));
    assert_int_equal(head->method, wanted->method);
    assert_int_equal(head->minor_version, wanted->minor_version);
    assert_int_equal(head->keep_alive, wanted->keep_alive);
    assert_int_equal(head->chunked, wanted->chunked);
    assert_int_equal(head->expect_continue, wanted->expect_continue);
    assert_int_equal(head->has_content_length, wanted->has_content_length);
    assert_true(head->content_length == wanted->content_length);
    assert_int_equal(head->field_count, wanted->field_count);
    assert_int_equal(head->size, strlen(wanted->text));
}

static void every_good_head_is_understood(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(acceptances); i++) {
        struct http_head head;
        char *block = NULL;
        const char *text = acceptances[i].text;
        enum http_parse result = parse_exact(text, strlen(text), &head, &block);
        if (result != HTTP_PARSE_DONE) {
            fail_msg("case %zu gives %d: %s", i, (int)result, text);
        }
        assert_head(&acceptances[i], &head);
        free(block);
    }
}

/* MORE up to some length, then the verdict, the same for every longer piece. */
static void assert_steady(const char *text, size_t size, enum http_parse verdict) {
    bool decided = false;
    for (size_t i = 0; i <= size; i++) {
        enum http_parse result = parse_only(text, i);
        if (result == HTTP_PARSE_MORE && !decided) {
            continue;
        }
        decided = true;
        if (result != verdict) {
            fail_msg("%d instead of %d after %zu bytes of: %s", (int)result, (int)verdict, i, text);
        }
    }
    assert_true(decided);
}

static void the_verdict_does_not_depend_on_where_the_input_is_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        assert_steady(refusals[i].text, strlen(refusals[i].text), refusals[i].result);
    }
    for (size_t i = 0; i < COUNT_OF(acceptances); i++) {
        assert_steady(acceptances[i].text, strlen(acceptances[i].text), HTTP_PARSE_DONE);
    }
}

static void a_good_head_needs_its_last_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(acceptances); i++) {
        const char *text = acceptances[i].text;
        for (size_t size = 0; size < strlen(text); size++) {
            assert_int_equal(parse_only(text, size), HTTP_PARSE_MORE);
        }
    }
}

static void what_follows_a_head_does_not_change_it(void **state) {
    (void)state;
    static const char *const tails[] = {"\n", "x", "\r\n\r\n", "GET", "\x01"};
    for (size_t i = 0; i < COUNT_OF(acceptances) * COUNT_OF(tails); i++) {
        const struct acceptance *wanted = &acceptances[i / COUNT_OF(tails)];
        char text[512];
        int size = snprintf(text, sizeof text, "%s%s", wanted->text, tails[i % COUNT_OF(tails)]);
        struct http_head head;
        char *block = NULL;
        assert_int_equal(parse_exact(text, (size_t)size, &head, &block), HTTP_PARSE_DONE);
        assert_head(wanted, &head);
        free(block);
    }
}

static void a_fault_is_seen_at_its_byte(void **state) {
    (void)state;
    static const char *const faults[] = {
        "\n",
        "\x16",
        "G{",
        "GET x",
        "GET /\x01",
        "GET / I",
        "GET / HTTP/2",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\n ",
        "GET / HTTP/1.1\r\nHost ",
        "GET / HTTP/1.1\r\nHost: a\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        size_t size = strlen(faults[i]);
        assert_int_equal(parse_only(faults[i], size - 1), HTTP_PARSE_MORE);
        assert_int_equal(parse_only(faults[i], size), HTTP_PARSE_MALFORMED);
    }
}

/* A head of `size` bytes: one long field fills it up. */
static char *head_of_size(size_t size) {
    static const char start[] = OKAY "X: ";
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'a', size);
    memcpy(text, start, sizeof start - 1);
    memcpy(text + size - 4, "\r\n\r\n", 4);
    return text;
}

static void a_head_may_fill_its_limit_and_not_a_byte_more(void **state) {
    (void)state;
    char *text = head_of_size(HTTP_HEAD_MAX);
    assert_steady(text, HTTP_HEAD_MAX, HTTP_PARSE_DONE);
    free(text);
    text = head_of_size(HTTP_HEAD_MAX + 1);
    assert_int_equal(parse_only(text, HTTP_HEAD_MAX - 1), HTTP_PARSE_MORE);
    assert_int_equal(parse_only(text, HTTP_HEAD_MAX), HTTP_PARSE_TOO_LARGE);
    assert_int_equal(parse_only(text, HTTP_HEAD_MAX + 1), HTTP_PARSE_TOO_LARGE);
    free(text);
}

static void a_target_longer_than_the_limit_is_too_large(void **state) {
    (void)state;
    char *text = malloc(2 * HTTP_HEAD_MAX);
    assert_non_null(text);
    memset(text, 'a', 2 * HTTP_HEAD_MAX);
    memcpy(text, "GET /", 5);
    assert_steady(text, 2 * HTTP_HEAD_MAX, HTTP_PARSE_TOO_LARGE);
    free(text);
}

static void a_head_may_have_64_fields_and_not_one_more(void **state) {
    (void)state;
    struct buffer text = {0};
    buffer_text(&text, OKAY);
    for (int i = 1; i < HTTP_FIELDS_MAX; i++) {
        buffer_text(&text, "X: a\r\n");
    }
    size_t full = text.size;
    buffer_text(&text, "\r\n");
    assert_steady(text.bytes, text.size, HTTP_PARSE_DONE);
    text.size = full;
    buffer_text(&text, "X: a\r\n\r\n");
    assert_steady(text.bytes, text.size, HTTP_PARSE_TOO_LARGE);
    buffer_done(&text);
}

static void fields_are_found_in_any_case_and_counted(void **state) {
    (void)state;
    static const char text[] = OKAY "X-One:  first \r\nx-one: second\r\nEmpty:\r\n\r\n";
    struct http_head head;
    struct slice bytes = {text, sizeof text - 1};
    assert_int_equal(http_parse_head(bytes, &head, NULL), HTTP_PARSE_DONE);
    size_t count = 9;
    assert_true(slice_is(http_head_field(&head, "X-ONE", &count), "first"));
    assert_int_equal(count, 2);
    struct slice value = http_head_field(&head, "empty", &count);
    assert_int_equal(count, 1);
    assert_int_equal(value.size, 0);
    value = http_head_field(&head, "X-On", &count);
    assert_int_equal(count, 0);
    assert_null(value.bytes);
    assert_true(slice_is(http_head_field(&head, "host", NULL), "a"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_head_is_refused),
        cmocka_unit_test(every_good_head_is_understood),
        cmocka_unit_test(the_verdict_does_not_depend_on_where_the_input_is_cut),
        cmocka_unit_test(a_good_head_needs_its_last_byte),
        cmocka_unit_test(what_follows_a_head_does_not_change_it),
        cmocka_unit_test(a_fault_is_seen_at_its_byte),
        cmocka_unit_test(a_head_may_fill_its_limit_and_not_a_byte_more),
        cmocka_unit_test(a_target_longer_than_the_limit_is_too_large),
        cmocka_unit_test(a_head_may_have_64_fields_and_not_one_more),
        cmocka_unit_test(fields_are_found_in_any_case_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

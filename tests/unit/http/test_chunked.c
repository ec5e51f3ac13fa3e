/* The chunked decoder, by table, and that the outcome does not depend on the cuts. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BODY_MAX 64

struct chunked_case {
    const char *text;
    enum http_parse result;
    const char *body; /* DONE only */
    const char *rest; /* DONE only: what the decoder must leave */
};

#define BAD(text)                                                                                  \
    { (text), HTTP_PARSE_MALFORMED, NULL, NULL }
#define LARGE(text)                                                                                \
    { (text), HTTP_PARSE_TOO_LARGE, NULL, NULL }
#define GOOD(text, body, rest)                                                                     \
    { (text), HTTP_PARSE_DONE, (body), (rest) }

static const struct chunked_case cases[] = {
    GOOD("0\r\n\r\n", "", ""),
    GOOD("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
    GOOD("5\r\nhello\r\n0\r\n\r\nGET / HTTP", "hello", "GET / HTTP"),
    GOOD("1\r\na\r\n2\r\nbc\r\n00\r\n\r\n", "abc", ""),
    GOOD("A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij", ""),
    GOOD("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
    GOOD("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", ""),
    GOOD("5;name=value\r\nhello\r\n0;x=\"a b\"\r\n\r\n", "hello", ""),
    GOOD("5; a ; b\t\r\nhello\r\n0\r\n\r\n", "hello", ""),
    GOOD("5;\r\nhello\r\n0\r\n\r\n", "hello", ""),
    GOOD("0\r\nX: y\r\nContent-Length: 5\r\n\r\n", "", ""),
    GOOD("0\r\nX:\r\nY: \xe9 \r\n\r\nrest", "", "rest"),
    GOOD("40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n0\r\n\r\n",
         "0123456789012345678901234567890123456789012345678901234567890123", ""),
    LARGE("41\r\n"),
    LARGE("ffffffffffffffff\r\n"),
    LARGE("40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n1\r\n"),
    BAD("\r\n"),
    BAD("\n"),
    BAD(" 5\r\n"),
    BAD("5 \r\n"),
    BAD("5\t\r\n"),
    BAD("5 ;a\r\n"),
    BAD("0x5\r\n"),
    BAD("x\r\n"),
    BAD("g\r\n"),
    BAD("+5\r\n"),
    BAD("-5\r\n"),
    BAD("5,5\r\n"),
    BAD(";a\r\n"),
    BAD("5\n"),
    BAD("5\r\r\n"),
    BAD("5\rx"),
    BAD("00000000000000005\r\nhello\r\n"),
    BAD("10000000000000000\r\n"),
    BAD("fffffffffffffffff\r\n"),
    BAD("5;a\n"),
    BAD("5;a\x01\r\n"),
    BAD("5;a\rb\r\n"),
    BAD("5;\x7f\r\n"),
    BAD("5\r\nhello\n0\r\n\r\n"),
    BAD("5\r\nhello0\r\n\r\n"),
    BAD("5\r\nhello\rx"),
    BAD("5\r\nhello!\r\n"),
    BAD("0\r\n\n"),
    BAD("0\r\n\rx"),
    BAD("0\r\n X: y\r\n\r\n"),
    BAD("0\r\nX y\r\n\r\n"),
    BAD("0\r\nX : y\r\n\r\n"),
    BAD("0\r\n: y\r\n\r\n"),
    BAD("0\r\nX\r\n\r\n"),
    BAD("0\r\nX: y\n\r\n"),
    BAD("0\r\nX: y\r\n z\r\n\r\n"),
    BAD("0\r\nX: \x01\r\n\r\n"),
    BAD("0\r\nX: y\r\n\n"),
};

/* Decodes `text` in two pieces (or byte by byte when `cut` is past its end). */
static enum http_parse decode_cut(const char *text, size_t size, size_t cut, struct buffer *body,
                                  size_t *ret_taken) {
    struct http_chunked decoder = {0};
    enum http_parse result = HTTP_PARSE_MORE;
    size_t at = 0;
    while (at < size && result == HTTP_PARSE_MORE) {
        size_t piece = cut > size ? 1 : at < cut ? cut - at : size - at;
        char *block = malloc(piece);
        assert_non_null(block);
        memcpy(block, text + at, piece);
        size_t taken = 0;
        const char *why = NULL;
        result = http_chunked_decode(&decoder, (struct slice){block, piece}, BODY_MAX, body, &taken,
                                     &why);
        free(block);
        assert_true(taken <= piece);
        assert_true(result != HTTP_PARSE_MORE || taken == piece);
        assert_true((why != NULL) == (result != HTTP_PARSE_MORE && result != HTTP_PARSE_DONE));
        at += taken;
    }
    *ret_taken = at;
    return result;
}

static void assert_case(const struct chunked_case *wanted, size_t cut) {
    struct buffer body = {0};
    size_t taken = 0;
    size_t size = strlen(wanted->text);
    enum http_parse result = decode_cut(wanted->text, size, cut, &body, &taken);
    if (result != wanted->result) {
        fail_msg("%d instead of %d, cut at %zu: %s", (int)result, (int)wanted->result, cut,
                 wanted->text);
    }
    if (wanted->result == HTTP_PARSE_DONE) {
        assert_true(slice_is(buffer_view(&body), wanted->body));
        assert_string_equal(wanted->text + taken, wanted->rest);
    }
    assert_true(body.size <= BODY_MAX);
    buffer_done(&body);
}

static void every_body_is_judged_as_the_table_says(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_case(&cases[i], 0);
    }
}

static void the_outcome_does_not_depend_on_where_the_input_is_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t size = strlen(cases[i].text);
        for (size_t cut = 1; cut <= size + 1; cut++) { /* the last: byte by byte */
            assert_case(&cases[i], cut);
        }
    }
}

static void a_good_body_needs_its_last_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (cases[i].result != HTTP_PARSE_DONE) {
            continue;
        }
        size_t size = strlen(cases[i].text) - strlen(cases[i].rest);
        for (size_t cut = 0; cut < size; cut++) {
            struct buffer body = {0};
            size_t taken = 0;
            assert_int_equal(decode_cut(cases[i].text, cut, 0, &body, &taken), HTTP_PARSE_MORE);
            buffer_done(&body);
        }
    }
}

static enum http_parse decode_all(const struct buffer *text) {
    struct buffer body = {0};
    size_t taken = 0;
    enum http_parse result = decode_cut(text->bytes, text->size, 0, &body, &taken);
    buffer_done(&body);
    return result;
}

static void repeat(struct buffer *text, char byte, size_t count) {
    for (size_t i = 0; i < count; i++) {
        buffer_append(text, &byte, 1);
    }
}

static void a_size_line_may_have_256_bytes_and_not_one_more(void **state) {
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        struct buffer text = {0};
        buffer_text(&text, "0;");
        repeat(&text, 'a', 256 - 4 + extra);
        buffer_text(&text, "\r\n\r\n");
        assert_int_equal(decode_all(&text), extra ? HTTP_PARSE_MALFORMED : HTTP_PARSE_DONE);
        buffer_done(&text);
    }
}

static void each_size_line_has_its_own_limit(void **state) {
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i < 3; i++) {
        buffer_text(&text, "1;");
        repeat(&text, 'a', 256 - 4);
        buffer_text(&text, "\r\nx\r\n");
    }
    buffer_text(&text, "0\r\n\r\n");
    assert_int_equal(decode_all(&text), HTTP_PARSE_DONE);
    buffer_done(&text);
}

static void trailers_may_have_8192_bytes_and_not_one_more(void **state) {
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        struct buffer text = {0};
        buffer_text(&text, "0\r\n");
        size_t left = HTTP_HEAD_MAX + extra;
        while (left > 1000) {
            buffer_text(&text, "X: ");
            repeat(&text, 'a', 995);
            buffer_text(&text, "\r\n");
            left -= 1000;
        }
        buffer_text(&text, "X:");
        repeat(&text, 'a', left - 6);
        buffer_text(&text, "\r\n\r\n");
        assert_int_equal(decode_all(&text), extra ? HTTP_PARSE_MALFORMED : HTTP_PARSE_DONE);
        buffer_done(&text);
    }
}

/* RFC 9110 5.6.2: tchar. */
static bool is_token(unsigned char byte) {
    return byte != 0 && (strchr("!#$%&'*+-.^_`|~", byte) != NULL || (byte >= '0' && byte <= '9') ||
                         (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z'));
}

static void the_name_of_a_trailer_is_a_token(void **state) {
    (void)state;
    for (unsigned place = 0; place < 3; place++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            struct buffer text = {0};
            char name[] = "abc: d\r\n\r\n";
            bool good = is_token((unsigned char)byte) || (place > 0 && byte == ':');
            name[place] = (char)byte;
            buffer_text(&text, "0\r\n");
            buffer_append(&text, name, sizeof name - 1);
            if (!(place == 0 && byte == '\r')) { /* that one ends the trailers */
                assert_int_equal(decode_all(&text), good ? HTTP_PARSE_DONE : HTTP_PARSE_MALFORMED);
            }
            buffer_done(&text);
        }
    }
}

static void a_limit_of_zero_takes_the_empty_body_only(void **state) {
    (void)state;
    struct buffer body = {0};
    size_t taken = 0;
    struct http_chunked decoder = {0};
    assert_int_equal(http_chunked_decode(&decoder, slice_of("0\r\n\r\n"), 0, &body, &taken, NULL),
                     HTTP_PARSE_DONE);
    decoder = (struct http_chunked){0};
    assert_int_equal(http_chunked_decode(&decoder, slice_of("1\r\na"), 0, &body, &taken, NULL),
                     HTTP_PARSE_TOO_LARGE);
    buffer_done(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_body_is_judged_as_the_table_says),
        cmocka_unit_test(the_outcome_does_not_depend_on_where_the_input_is_cut),
        cmocka_unit_test(a_good_body_needs_its_last_byte),
        cmocka_unit_test(a_size_line_may_have_256_bytes_and_not_one_more),
        cmocka_unit_test(each_size_line_has_its_own_limit),
        cmocka_unit_test(trailers_may_have_8192_bytes_and_not_one_more),
        cmocka_unit_test(the_name_of_a_trailer_is_a_token),
        cmocka_unit_test(a_limit_of_zero_takes_the_empty_body_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

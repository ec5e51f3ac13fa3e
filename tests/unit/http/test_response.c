/* Replies as bytes. */
#include "http/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DATE_TEXT "Sun, 06 Nov 1994 08:49:37 GMT"

static void a_reply_is_rendered_to_the_byte(void **state) {
    (void)state;
    struct buffer output = {0};
    struct http_response response = {.status = 409,
                                     .content_type = "application/problem+json",
                                     .fields = slice_of("Retry-After: 1\r\n"),
                                     .body = slice_of("{}"),
                                     .close = true};
    response_render(&output, &response, (struct response_frame){.date = DATE_TEXT, .close = true});
    assert_true(slice_is(buffer_view(&output),
                         "HTTP/1.1 409 Conflict\r\nDate: " DATE_TEXT "\r\n"
                         "Content-Type: application/problem+json\r\nContent-Length: 2\r\n"
                         "Connection: close\r\nRetry-After: 1\r\n\r\n{}"));
    buffer_clear(&output);
    response = (struct http_response){.status = 299};
    struct response_frame frame = {.date = DATE_TEXT, .say_keep_alive = true};
    response_render(&output, &response, frame);
    assert_true(slice_is(buffer_view(&output),
                         "HTTP/1.1 299 \r\nDate: " DATE_TEXT
                         "\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
    buffer_done(&output);
}

static void every_status_has_its_reason(void **state) {
    (void)state;
    static const char *const lines[] = {
        "200 OK",
        "201 Created",
        "202 Accepted",
        "204 No Content",
        "304 Not Modified",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "405 Method Not Allowed",
        "406 Not Acceptable",
        "408 Request Timeout",
        "409 Conflict",
        "412 Precondition Failed",
        "413 Content Too Large",
        "415 Unsupported Media Type",
        "417 Expectation Failed",
        "422 Unprocessable Content",
        "428 Precondition Required",
        "429 Too Many Requests",
        "431 Request Header Fields Too Large",
        "500 Internal Server Error",
        "501 Not Implemented",
        "503 Service Unavailable",
        "599 ",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct buffer output = {0};
        struct http_response response = {.status = (int)strtol(lines[i], NULL, 10)};
        response_render(&output, &response, (struct response_frame){.date = DATE_TEXT});
        char line[80];
        int size = snprintf(line, sizeof line, "HTTP/1.1 %s\r\n", lines[i]);
        assert_memory_equal(output.bytes, line, (size_t)size);
        buffer_done(&output);
    }
}

static void a_reply_without_content_has_no_body(void **state) {
    (void)state;
    static const int statuses[] = {204, 304};
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        struct buffer output = {0};
        struct http_response response = {.status = statuses[i], .body = slice_of("x")};
        response_render(&output, &response, (struct response_frame){.date = DATE_TEXT});
        assert_memory_equal(output.bytes + output.size - 8, " GMT\r\n\r\n", 8);
        buffer_done(&output);
    }
}

static void dates_are_those_of_rfc_9110(void **state) {
    (void)state;
    static const struct {
        int64_t second;
        const char *text;
    } cases[] = {
        {784111777, DATE_TEXT},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[DATE_SIZE];
        response_date(cases[i].second, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_rendered_to_the_byte),
        cmocka_unit_test(every_status_has_its_reason),
        cmocka_unit_test(a_reply_without_content_has_no_body),
        cmocka_unit_test(dates_are_those_of_rfc_9110),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

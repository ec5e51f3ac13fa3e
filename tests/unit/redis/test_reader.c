/* Replies that announce more than anybody asked for. */
#include "redis/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Reads a reply; its error, or REDIS_OK while it is not whole. */
static int error_of(const char *bytes) {
    redisReplyObjectFunctions functions;
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    assert_non_null(reader);
    redis_reader_bound(reader, &functions);
    assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    (void)redisReaderGetReply(reader, &reply);
    assert_null(reply);
    int error = reader->err;
    redisReaderFree(reader);
    return error;
}

static void an_array_of_the_most_elements_is_waited_for(void **state) {
    (void)state;
    char head[32];
    snprintf(head, sizeof(head), "*%d\r\n", REPLY_ELEMENTS_MAX);
    assert_int_equal(error_of(head), REDIS_OK);
}

static void one_element_more_ends_the_reading(void **state) {
    (void)state;
    char head[32];
    snprintf(head, sizeof(head), "*%d\r\n", REPLY_ELEMENTS_MAX + 1);
    assert_int_equal(error_of(head), REDIS_ERR_OOM);
    assert_int_equal(error_of("*2147483647\r\n"), REDIS_ERR_OOM);
}

static void an_array_within_another_is_bounded_as_well(void **state) {
    (void)state;
    assert_int_equal(error_of("*2\r\n:1\r\n*2147483647\r\n"), REDIS_ERR_OOM);
}

static void a_reply_is_read_as_without_the_bound(void **state) {
    (void)state;
    static const char bytes[] = "*3\r\n:7\r\n$-1\r\n*2\r\n$1\r\na\r\n+b\r\n";
    redisReplyObjectFunctions functions;
    redisReader *reader = redisReaderCreate();
    void *read = NULL;
    assert_non_null(reader);
    redis_reader_bound(reader, &functions);
    assert_int_equal(redisReaderFeed(reader, bytes, sizeof(bytes) - 1), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &read), REDIS_OK);
    const redisReply *reply = read;
    assert_non_null(reply);
    assert_int_equal(reply->elements, 3);
    assert_int_equal(reply->element[0]->integer, 7);
    assert_int_equal(reply->element[1]->type, REDIS_REPLY_NIL);
    assert_string_equal(reply->element[2]->element[0]->str, "a");
    assert_string_equal(reply->element[2]->element[1]->str, "b");
    freeReplyObject(read);
    redisReaderFree(reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_of_the_most_elements_is_waited_for),
        cmocka_unit_test(one_element_more_ends_the_reading),
        cmocka_unit_test(an_array_within_another_is_bounded_as_well),
        cmocka_unit_test(a_reply_is_read_as_without_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Replies that announce more than anybody asked for, and those that nobody asked for. */
#include "redis/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Reads a reply that came over `context`; the reader's error, or REDIS_OK. */
static int error_over(const redisAsyncContext *context, const char *bytes) {
    struct redis_reading reading;
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    assert_non_null(reader);
    redis_reading_init(&reading, reader, context);
    assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    (void)redisReaderGetReply(reader, &reply);
    int error = reader->err;
    assert_int_equal(error != REDIS_OK, reading.refusal != NULL);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return error;
}

static int error_of(const char *bytes) {
    return error_over(NULL, bytes);
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
    struct redis_reading reading;
    redisReader *reader = redisReaderCreate();
    void *read = NULL;
    assert_non_null(reader);
    redis_reading_init(&reading, reader, NULL);
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

/* ---- what nobody asked ---- */

static void what_was_asked_may_be_anything(void **state) {
    (void)state;
    redisCallback question = {0};
    const redisAsyncContext context = {.replies = {.head = &question}};
    static const char *const replies[] = {":1\r\n",  "+OK\r\n", "$-1\r\n",
                                          "*-1\r\n", "*0\r\n",  "*2\r\n:1\r\n*1\r\n$1\r\na\r\n"};
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        assert_int_equal(error_over(&context, replies[i]), REDIS_OK);
    }
}

static void an_answer_to_no_question_ends_the_reading(void **state) {
    (void)state;
    const redisAsyncContext context = {.err = 0};
    static const char *const replies[] = {":1\r\n",
                                          "+OK\r\n",
                                          "$-1\r\n",
                                          "$1\r\na\r\n",
                                          "*-1\r\n",
                                          "*0\r\n",
                                          "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"};
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        assert_int_equal(error_over(&context, replies[i]), REDIS_ERR_OOM);
    }
}

static void an_error_that_nobody_asked_for_is_read(void **state) {
    (void)state;
    const redisAsyncContext context = {.err = 0};
    assert_int_equal(error_over(&context, "-ERR max number of clients reached\r\n"), REDIS_OK);
}

static void who_listens_reads_messages_and_nothing_else(void **state) {
    (void)state;
    const redisAsyncContext context = {.c = {.flags = REDIS_SUBSCRIBED}};
    static const char *const messages[] = {
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n",
        "-ERR\r\n",
    };
    static const char *const others[] = {
        ":1\r\n",
        "+OK\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*1\r\n$7\r\nmessage\r\n",
        "*2\r\n$7\r\nmessage\r\n$1\r\na\r\n",
        "*3\r\n:1\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*3\r\n$-1\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*3\r\n+message\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*3\r\n$7\r\nmessage\r\n:1\r\n$1\r\nb\r\n",
        "*3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nb\r\n",
        "*3\r\n$7\r\nmessage\r\n*1\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n",
        "*3\r\n$8\r\npmessage\r\n$1\r\na\r\n:0\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        assert_int_equal(error_over(&context, messages[i]), REDIS_OK);
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_int_equal(error_over(&context, others[i]), REDIS_ERR_OOM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_of_the_most_elements_is_waited_for),
        cmocka_unit_test(one_element_more_ends_the_reading),
        cmocka_unit_test(an_array_within_another_is_bounded_as_well),
        cmocka_unit_test(a_reply_is_read_as_without_the_bound),
        cmocka_unit_test(what_was_asked_may_be_anything),
        cmocka_unit_test(an_answer_to_no_question_ends_the_reading),
        cmocka_unit_test(an_error_that_nobody_asked_for_is_read),
        cmocka_unit_test(who_listens_reads_messages_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What an answer asks of the client. */
#include "redis/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct redis_redirect redirect;

static enum verdict verdict_of(int type, const char *text) {
    redisReply reply = {.type = type, .str = (char *)(uintptr_t)text, .len = strlen(text)};
    return redis_verdict_of(&reply, &redirect);
}

static void what_is_no_error_is_an_answer(void **state) {
    (void)state;
    assert_int_equal(verdict_of(REDIS_REPLY_STATUS, "MOVED 1 a:1"), VERDICT_ANSWER);
    assert_int_equal(verdict_of(REDIS_REPLY_STRING, "LOADING x"), VERDICT_ANSWER);
    redisReply nil = {.type = REDIS_REPLY_NIL};
    assert_int_equal(redis_verdict_of(&nil, &redirect), VERDICT_ANSWER);
}

static void errors_that_promise_that_nothing_was_done_are_known(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum verdict verdict;
    } known[] = {
        {"TRYAGAIN Multiple keys request during rehashing of slot", VERDICT_PAUSE},
        {"LOADING Redis is loading the dataset in memory", VERDICT_PAUSE},
        {"BUSY Redis is busy running a script.", VERDICT_PAUSE},
        {"READONLY You can't write against a read only replica.", VERDICT_NO_MASTER},
        {"CLUSTERDOWN The cluster is down", VERDICT_NO_MASTER},
        {"MASTERDOWN Link with MASTER is down", VERDICT_NO_MASTER},
        {"ERR Function not found", VERDICT_NO_FUNCTION},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        assert_int_equal(verdict_of(REDIS_REPLY_ERROR, known[i].text), known[i].verdict);
    }
}

static void other_errors_are_answers(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "ERR",
        "ERR Function",
        "BUSYGROUP Consumer Group name already exists",
        "BUSYKEY Target key name already exists.",
        "MISCONF Redis is configured to save",
        "OOM command not allowed",
        "COUPON the count is not a number",
        "MOVED",
        "MOVED ",
        "MOVED 1",
        "MOVED 1 a",
        "MOVED 1 a:",
        "MOVED 1 a:0",
        "MOVED 1 a:65536",
        "MOVED 16384 a:1",
        "MOVED x a:1",
        "MOVED a:1 2",
        "ASK 1 a",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(verdict_of(REDIS_REPLY_ERROR, texts[i]), VERDICT_ANSWER);
    }
}

static void a_redirect_says_where_to(void **state) {
    (void)state;
    assert_int_equal(verdict_of(REDIS_REPLY_ERROR, "MOVED 3999 127.0.0.1:6381"), VERDICT_MOVED);
    assert_int_equal(redirect.slot, 3999);
    assert_true(slice_is(redirect.host, "127.0.0.1"));
    assert_int_equal(redirect.port, 6381);
    assert_int_equal(verdict_of(REDIS_REPLY_ERROR, "ASK 0 ::1:7"), VERDICT_ASK);
    assert_int_equal(redirect.slot, 0);
    assert_true(slice_is(redirect.host, "::1"));
    assert_int_equal(redirect.port, 7);
}

static void a_redirect_without_a_host_means_the_same_host(void **state) {
    (void)state;
    assert_int_equal(verdict_of(REDIS_REPLY_ERROR, "MOVED 16383 :6381"), VERDICT_MOVED);
    assert_int_equal(redirect.host.size, 0);
    assert_int_equal(redirect.port, 6381);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_error_is_an_answer),
        cmocka_unit_test(errors_that_promise_that_nothing_was_done_are_known),
        cmocka_unit_test(other_errors_are_answers),
        cmocka_unit_test(a_redirect_says_where_to),
        cmocka_unit_test(a_redirect_without_a_host_means_the_same_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Hash slots, with the values that a real server gives for CLUSTER KEYSLOT, and the answer to
 * CLUSTER SLOTS, read from the protocol's own bytes. */
#include "redis/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void the_check_value_of_the_checksum_is_right(void **state) {
    (void)state;
    assert_int_equal(redis_slot_of(slice_of("123456789")), 0x31c3);
}

static void slots_are_those_of_the_server(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint16_t slot;
    } known[] = {
        {"", 0},
        {"foo", 12182},
        {"bar", 5061},
        {"hello", 866},
        {"{foo}bar", 12182},
        {"x{foo}{bar}", 12182},
        {"coupon:{p00}:gate", 11214},
        {"coupon:{p63}:meta:9", 12555},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        assert_int_equal(redis_slot_of(slice_of(known[i].key)), known[i].slot);
    }
}

static void only_the_first_braces_with_something_in_them_are_a_tag(void **state) {
    (void)state;
    assert_int_equal(redis_slot_of(slice_of("a{tag}b")), redis_slot_of(slice_of("tag")));
    assert_int_equal(redis_slot_of(slice_of("{tag}")), redis_slot_of(slice_of("tag")));
    assert_int_not_equal(redis_slot_of(slice_of("{}tag")), redis_slot_of(slice_of("tag")));
    assert_int_not_equal(redis_slot_of(slice_of("{}{tag}")), redis_slot_of(slice_of("tag")));
    assert_int_equal(redis_slot_of(slice_of("{{tag}}")), redis_slot_of(slice_of("{tag")));
    assert_int_not_equal(redis_slot_of(slice_of("{tag")), redis_slot_of(slice_of("tag")));
}

/* ---- CLUSTER SLOTS ---- */

struct seen {
    size_t count;
    size_t fail_at;
    char text[512];
};

static int see(void *context, const struct redis_slot_row *row) {
    struct seen *seen = context;
    size_t size = strlen(seen->text);
    if (++seen->count == seen->fail_at) {
        return STATUS_FULL;
    }
    snprintf(seen->text + size, sizeof(seen->text) - size, "%u-%u %s %.*s:%u\n", row->first,
             row->last, row->is_master ? "master" : "replica", (int)row->host.size, row->host.bytes,
             row->port);
    return STATUS_OK;
}

static int read_slots(const char *bytes, struct seen *seen) {
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    redisReaderFeed(reader, bytes, strlen(bytes));
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    int status = redis_slots_read(reply, slice_of("asked"), see, seen);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return status;
}

#define SERVER(host, port) "*3\r\n" host ":" port "\r\n$2\r\nid\r\n"
#define HOST_A             "$1\r\na\r\n"
#define HOST_NONE          "$0\r\n\r\n"
#define HOST_NULL          "$-1\r\n"

static void every_server_of_every_row_is_told(void **state) {
    (void)state;
    struct seen seen = {.count = 0};
    int status = read_slots("*2\r\n"
                            "*4\r\n:0\r\n:5460\r\n" SERVER(HOST_A, "1")
                                SERVER(HOST_A, "2") "*3\r\n:5461\r\n:16383\r\n" SERVER(HOST_A, "3"),
                            &seen);
    assert_int_equal(status, STATUS_OK);
    assert_string_equal(seen.text, "0-5460 master a:1\n"
                                   "0-5460 replica a:2\n"
                                   "5461-16383 master a:3\n");
}

static void a_host_without_a_name_is_the_one_that_was_asked(void **state) {
    (void)state;
    struct seen seen = {.count = 0};
    int status =
        read_slots("*1\r\n*4\r\n:0\r\n:0\r\n" SERVER(HOST_NONE, "1") SERVER(HOST_NULL, "2"), &seen);
    assert_int_equal(status, STATUS_OK);
    assert_string_equal(seen.text, "0-0 master asked:1\n0-0 replica asked:2\n");
}

static void a_cluster_without_slots_has_none(void **state) {
    (void)state;
    struct seen seen = {.count = 0};
    assert_int_equal(read_slots("*0\r\n", &seen), STATUS_OK);
    assert_int_equal(seen.count, 0);
}

static void what_is_no_map_is_refused_whole(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "-ERR This instance has cluster support disabled\r\n",
        "+OK\r\n",
        "*1\r\n+row\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" SERVER(HOST_A, "1"),
        "*1\r\n*3\r\n:-1\r\n:1\r\n" SERVER(HOST_A, "1"),
        "*1\r\n*3\r\n:2\r\n:1\r\n" SERVER(HOST_A, "1"),
        "*1\r\n*3\r\n+0\r\n:1\r\n" SERVER(HOST_A, "1"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" SERVER(HOST_A, "0"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" SERVER(HOST_A, "65536"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" SERVER(":1\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:1\r\n+server\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n" HOST_A,
        "*2\r\n*3\r\n:0\r\n:1\r\n" SERVER(HOST_A, "1") "*3\r\n:2\r\n:99999\r\n" SERVER(HOST_A, "1"),
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct seen seen = {.count = 0};
        assert_int_equal(read_slots(wrong[i], &seen), STATUS_INVALID);
        assert_int_equal(seen.count, 0);
    }
}

static void a_failed_visit_ends_it(void **state) {
    (void)state;
    struct seen seen = {.fail_at = 2};
    int status = read_slots("*2\r\n"
                            "*4\r\n:0\r\n:5460\r\n" SERVER(HOST_A, "1")
                                SERVER(HOST_A, "2") "*3\r\n:5461\r\n:16383\r\n" SERVER(HOST_A, "3"),
                            &seen);
    assert_int_equal(status, STATUS_FULL);
    assert_int_equal(seen.count, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_of_the_checksum_is_right),
        cmocka_unit_test(slots_are_those_of_the_server),
        cmocka_unit_test(only_the_first_braces_with_something_in_them_are_a_tag),
        cmocka_unit_test(every_server_of_every_row_is_told),
        cmocka_unit_test(a_host_without_a_name_is_the_one_that_was_asked),
        cmocka_unit_test(a_cluster_without_slots_has_none),
        cmocka_unit_test(what_is_no_map_is_refused_whole),
        cmocka_unit_test(a_failed_visit_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

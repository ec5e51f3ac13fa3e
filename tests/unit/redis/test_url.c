/* The URL of Redis: what it means, and that no complaint repeats it. */
#include "redis/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct complaint complaint;

static struct redis_url url_of(const char *text) {
    struct redis_url url;
    complaint.text[0] = '\0';
    if (redis_url_parse(&url, text, &complaint) != STATUS_OK) {
        fail_msg("%s: %s", text, complaint.text);
    }
    return url;
}

static void every_part_is_taken_for_what_it_is(void **state) {
    (void)state;
    struct redis_url url = url_of("redis://ann:se%2Fcret%40%3f@db.example:6380/5?cluster=0");
    assert_string_equal(url.user, "ann");
    assert_string_equal(url.password, "se/cret@?");
    assert_int_equal(url.host_count, 1);
    assert_string_equal(url.hosts[0].name, "db.example");
    assert_int_equal(url.hosts[0].port, 6380);
    assert_int_equal(url.database, 5);
    assert_false(url.cluster);
    redis_url_done(&url);
}

static void what_is_left_out_has_the_usual_value(void **state) {
    (void)state;
    static const char *const texts[] = {"redis://h", "redis://h/", "redis://h?", "redis://h/0?"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct redis_url url = url_of(texts[i]);
        assert_null(url.user);
        assert_null(url.password);
        assert_string_equal(url.hosts[0].name, "h");
        assert_int_equal(url.hosts[0].port, 6379);
        assert_int_equal(url.database, 0);
        assert_false(url.cluster);
        redis_url_done(&url);
    }
}

static void a_password_may_stand_alone(void **state) {
    (void)state;
    struct redis_url url = url_of("redis://:only@h");
    assert_null(url.user);
    assert_string_equal(url.password, "only");
    redis_url_done(&url);
}

static void an_empty_password_of_a_user_is_one(void **state) {
    (void)state;
    struct redis_url url = url_of("redis://ann:@h");
    assert_string_equal(url.user, "ann");
    assert_string_equal(url.password, "");
    redis_url_done(&url);
}

static void several_hosts_are_separated_by_commas(void **state) {
    (void)state;
    struct redis_url url = url_of("redis://ann:x@a:1,b,[::1]:3,[fe80::2]/0?cluster=1");
    assert_int_equal(url.host_count, 4);
    assert_string_equal(url.hosts[0].name, "a");
    assert_int_equal(url.hosts[0].port, 1);
    assert_string_equal(url.hosts[1].name, "b");
    assert_int_equal(url.hosts[1].port, 6379);
    assert_string_equal(url.hosts[2].name, "::1");
    assert_int_equal(url.hosts[2].port, 3);
    assert_string_equal(url.hosts[3].name, "fe80::2");
    assert_int_equal(url.hosts[3].port, 6379);
    assert_true(url.cluster);
    redis_url_done(&url);
}

static void an_at_sign_in_the_password_is_not_the_end_of_it(void **state) {
    (void)state;
    struct redis_url url = url_of("redis://ann:se@cret@h");
    assert_string_equal(url.password, "se@cret");
    assert_string_equal(url.hosts[0].name, "h");
    redis_url_done(&url);
}

static void refuse(const char *text) {
    struct redis_url url;
    complaint.text[0] = '\0';
    assert_int_equal(redis_url_parse(&url, text, &complaint), STATUS_INVALID);
    assert_true(complaint.text[0] != '\0');
    assert_null(strstr(complaint.text, "secret"));
    redis_url_done(&url);
}

static void a_wrong_url_is_refused_and_never_repeated(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "secret",
        "rediss://ann:secret@h",
        "mysql://ann:secret@h/shop",
        "redis://",
        "redis:///0",
        "redis://ann:secret@",
        "redis://secret@h",
        "redis://:@h",
        "redis://@h",
        "redis://ann:se/secret@h",
        "redis://ann:secret%@h",
        "redis://ann:secret%2@h",
        "redis://ann:secret%zz@h",
        "redis://ann:secret%00@h",
        "redis://%00:secret@h",
        "redis://ann:secret@h:0",
        "redis://ann:secret@h:65536",
        "redis://ann:secret@h:x",
        "redis://ann:secret@h:",
        "redis://ann:secret@[::1",
        "redis://ann:secret@[::1]x",
        "redis://ann:secret@[]",
        "redis://ann:secret@h%0",
        "redis://ann:secret@h,",
        "redis://ann:secret@,h",
        "redis://ann:secret@h,h2:0",
        "redis://ann:secret@h/secret",
        "redis://ann:secret@h/-1",
        "redis://ann:secret@h/99999999999",
        "redis://ann:secret@h/1/2",
        "redis://ann:secret@h?cluster=2",
        "redis://ann:secret@h?cluster",
        "redis://ann:secret@h?cluster=1&cluster=1",
        "redis://ann:secret@h?secret=secret",
        "redis://ann:secret@h/1?cluster=1",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        refuse(wrong[i]);
    }
}

static void there_are_limits(void **state) {
    (void)state;
    char text[4096] = "redis://ann:secret@";
    size_t size = strlen(text);
    for (int i = 0; i < REDIS_HOSTS_MAX; i++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%sh%d", i > 0 ? "," : "", i);
    }
    struct redis_url url = url_of(text);
    assert_int_equal(url.host_count, REDIS_HOSTS_MAX);
    redis_url_done(&url);
    snprintf(text + size, sizeof(text) - size, ",one-more");
    refuse(text);

    snprintf(text, sizeof(text), "redis://ann:secret@%0*d", REDIS_HOST_SIZE, 0);
    refuse(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_taken_for_what_it_is),
        cmocka_unit_test(what_is_left_out_has_the_usual_value),
        cmocka_unit_test(a_password_may_stand_alone),
        cmocka_unit_test(an_empty_password_of_a_user_is_one),
        cmocka_unit_test(several_hosts_are_separated_by_commas),
        cmocka_unit_test(an_at_sign_in_the_password_is_not_the_end_of_it),
        cmocka_unit_test(a_wrong_url_is_refused_and_never_repeated),
        cmocka_unit_test(there_are_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

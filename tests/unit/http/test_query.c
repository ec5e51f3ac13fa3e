/* Parameters out of a query. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct query_case {
    const char *query;
    int status;
    const char *value;
};

/* Each looks for "a" with room for 8 bytes. */
static const struct query_case cases[] = {
    {"", STATUS_NOT_FOUND, NULL},
    {"b=1", STATUS_NOT_FOUND, NULL},
    {"aa=1", STATUS_NOT_FOUND, NULL},
    {"A=1", STATUS_NOT_FOUND, NULL},
    {"=1", STATUS_NOT_FOUND, NULL},
    {"&&", STATUS_NOT_FOUND, NULL},
    {"b=a", STATUS_NOT_FOUND, NULL},
    {"a=1", STATUS_OK, "1"},
    {"a=", STATUS_OK, ""},
    {"a", STATUS_OK, ""},
    {"a&b", STATUS_OK, ""},
    {"b=2&a=1", STATUS_OK, "1"},
    {"&a=1&", STATUS_OK, "1"},
    {"a=1=2", STATUS_OK, "1=2"},
    {"a=+", STATUS_OK, "+"},
    {"a=%41%62%7a", STATUS_OK, "Abz"},
    {"a=%2B%26%3d", STATUS_OK, "+&="},
    {"%61=1", STATUS_OK, "1"},
    {"a=12345678", STATUS_OK, "12345678"},
    {"a=%31%32%33%34%35%36%37%38", STATUS_OK, "12345678"},
    {"b=%zz&a=1", STATUS_OK, "1"}, /* another's value is not looked at */
    {"a=123456789", STATUS_FULL, NULL},
    {"a=1&a=1", STATUS_INVALID, NULL},
    {"a=1&%61=2", STATUS_INVALID, NULL},
    {"a=%", STATUS_INVALID, NULL},
    {"a=%4", STATUS_INVALID, NULL},
    {"a=%4g", STATUS_INVALID, NULL},
    {"a=%g4", STATUS_INVALID, NULL},
    {"a=%%41", STATUS_INVALID, NULL},
    {"%6=1", STATUS_INVALID, NULL},
    {"b=1&%zz=2", STATUS_INVALID, NULL},
};

static void every_query_gives_what_the_table_says(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t size = strlen(cases[i].query);
        char *block = malloc(size > 0 ? size : 1);
        assert_non_null(block);
        memcpy(block, cases[i].query, size);
        char room[8];
        struct slice value = {NULL, 77};
        int status = http_query_value((struct slice){block, size}, "a", room, sizeof room, &value);
        if (status != cases[i].status) {
            fail_msg("%d for \"%s\"", status, cases[i].query);
        }
        if (status == STATUS_OK) {
            assert_true(slice_is(value, cases[i].value));
        } else {
            assert_int_equal(value.size, 77);
        }
        free(block);
    }
}

static void a_zero_byte_is_a_byte_like_any_other(void **state) {
    (void)state;
    char room[4];
    struct slice value;
    assert_int_equal(http_query_value(slice_of("a=1%002"), "a", room, sizeof room, &value), 0);
    assert_int_equal(value.size, 3);
    assert_memory_equal(value.bytes, "1\0002", 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_query_gives_what_the_table_says),
        cmocka_unit_test(a_zero_byte_is_a_byte_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Slices: comparison and decimal numbers, at their edges. */
#include "base/base.h"

#include "random.h"
#include "test.h"

static void slices_are_equal_by_bytes_and_size(void **state) {
    (void)state;
    struct slice empty = {NULL, 0};
    assert_true(slice_equal(empty, slice_of("")));
    assert_true(slice_equal(slice_of("abc"), (struct slice){"abcd", 3}));
    assert_false(slice_equal(slice_of("abc"), slice_of("abd")));
    assert_false(slice_equal(slice_of("abc"), slice_of("ab")));
    assert_true(slice_is(slice_of("abc"), "abc"));
    assert_false(slice_is(slice_of("abc"), "ABC"));
    assert_false(slice_is(empty, "a"));
    assert_false(slice_is((struct slice){"a\0b", 3}, "a"));
}

static void names_are_compared_without_case_in_ascii_only(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
        bool same;
    } rows[] = {
        {"Content-Length", 14, "content-length", true},
        {"CONTENT-LENGTH", 14, "Content-Length", true},
        {"Content-Length", 13, "content-length", false},
        {"Content-Length", 14, "content-lengt", false},
        {NULL, 0, "", true},
        {NULL, 0, "a", false},
        {"a", 1, "", false},
        {"@[`{", 4, "@[`{", true},
        {"@", 1, "`", false}, /* 0x20 apart, no letters */
        {"[", 1, "{", false},
        {"\xc4", 1, "\xe4", false}, /* beyond ASCII */
        {"a\0b", 3, "a", false},
        {"az", 2, "AZ", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice slice = {rows[i].bytes, rows[i].size};
        if (slice_is_nocase(slice, rows[i].text) != rows[i].same) {
            fail_msg("row %zu: '%s'", i, rows[i].text);
        }
    }
}

static void visible_are_the_characters_from_0x21_to_0x7e(void **state) {
    (void)state;
    assert_true(slice_is_visible((struct slice){NULL, 0}));
    for (int byte = 0; byte < 256; byte++) {
        char text[] = {'a', (char)byte, 'z'};
        assert_int_equal(slice_is_visible((struct slice){text, sizeof(text)}),
                         byte >= 0x21 && byte <= 0x7e);
    }
}

static void a_decimal_is_read_up_to_its_maximum(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        uint64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"0", 9, 0},
        {"1", 1, 1},
        {"7", 9, 7},
        {"10", 10, 10},
        {"99", 100, 99},
        {"100", 100, 100},
        {"9007199254740991", (uint64_t)JSON_INTEGER_MAX, (uint64_t)JSON_INTEGER_MAX},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX},
        {"18446744073709551614", UINT64_MAX - 1, UINT64_MAX - 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t value = 77;
        assert_int_equal(slice_to_u64(slice_of(rows[i].text), rows[i].max, &value), STATUS_OK);
        assert_true(value == rows[i].value);
    }
}

static void what_is_no_plain_decimal_is_refused_and_writes_nothing(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
    } rows[] = {
        {"", 9},
        {"00", 9},
        {"01", 9},
        {"-1", 9},
        {"+1", 9},
        {" 1", 9},
        {"1 ", 9},
        {"1.0", 9},
        {"1e1", 99},
        {"0x1", 9},
        {"a", 99},
        {"1", 0},
        {"5", 3},
        {"10", 9},
        {"11", 10},
        {"9007199254740992", (uint64_t)JSON_INTEGER_MAX},
        {"18446744073709551616", UINT64_MAX},
        {"18446744073709551620", UINT64_MAX},
        {"18446744073709551615", UINT64_MAX - 1},
        {"99999999999999999999", UINT64_MAX},
        {"184467440737095516150", UINT64_MAX},
        {"/", 9}, /* the neighbours of the digits */
        {":", 99},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t value = 77;
        if (slice_to_u64(slice_of(rows[i].text), rows[i].max, &value) != STATUS_INVALID) {
            fail_msg("'%s' was taken", rows[i].text);
        }
        assert_true(value == 77);
    }
    uint64_t value = 77;
    assert_int_equal(slice_to_u64((struct slice){"1\0", 2}, 99, &value), STATUS_INVALID);
    assert_int_equal(slice_to_u64((struct slice){NULL, 0}, 99, &value), STATUS_INVALID);
}

static void random_numbers_are_taken_exactly_when_they_fit(void **state) {
    (void)state;
    uint64_t random = random_seed();
    for (int i = 0; i < 100000; i++) {
        char text[32];
        uint64_t number = random_next(&random) >> (random_next(&random) % 64);
        uint64_t max = random_next(&random) >> (random_next(&random) % 64);
        uint64_t value = 0;
        snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
        int status = slice_to_u64(slice_of(text), max, &value);
        assert_int_equal(status, number <= max ? STATUS_OK : STATUS_INVALID);
        assert_true(value == (number <= max ? number : 0));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_equal_by_bytes_and_size),
        cmocka_unit_test(names_are_compared_without_case_in_ascii_only),
        cmocka_unit_test(visible_are_the_characters_from_0x21_to_0x7e),
        cmocka_unit_test(a_decimal_is_read_up_to_its_maximum),
        cmocka_unit_test(what_is_no_plain_decimal_is_refused_and_writes_nothing),
        cmocka_unit_test(random_numbers_are_taken_exactly_when_they_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Times as text: tables of edges, and every day of ten thousand years against a counter
 * that knows nothing but how long a month is. */
#include "base/base.h"

#include "random.h"
#include "test.h"

#include <time.h>

struct moment {
    const char *text;
    int64_t time_us;
};

static const int64_t DAY_US = 86400 * US_PER_SECOND;

static void assert_parsed(const char *text, int64_t expected_us) {
    int64_t time_us = 77;
    if (time_parse(slice_of(text), &time_us) != STATUS_OK) {
        fail_msg("'%s' was refused", text);
    }
    if (time_us != expected_us) {
        fail_msg("'%s' is %lld, not %lld", text, (long long)time_us, (long long)expected_us);
    }
}

static void known_moments_are_written_and_read(void **state) {
    (void)state;
    static const struct moment rows[] = {
        {"1970-01-01T00:00:00.000000Z", 0},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"1969-12-31T00:00:00.000000Z", -86400 * US_PER_SECOND},
        {"1968-02-29T12:00:00.500000Z", INT64_C(-58017599500000)},
        {"2000-02-29T23:59:59.999999Z", INT64_C(951868799999999)},
        {"2000-03-01T00:00:00.000000Z", INT64_C(951868800000000)},
        {"2001-09-09T01:46:40.000000Z", INT64_C(1000000000000000)},
        {"2026-01-02T03:04:05.000006Z", INT64_C(1767323045000006)},
        {"2038-01-19T03:14:08.000000Z", INT64_C(2147483648000000)},
        {"2100-03-01T00:00:00.000000Z", INT64_C(4107542400000000)},
        {"0001-01-01T00:00:00.000000Z", TIME_US_MIN},
        {"9999-12-31T23:59:59.999999Z", TIME_US_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[TIME_TEXT_SIZE];
        time_format(rows[i].time_us, text);
        assert_string_equal(text, rows[i].text);
        assert_parsed(rows[i].text, rows[i].time_us);
    }
}

static void every_form_of_rfc_3339_is_read(void **state) {
    (void)state;
    static const int64_t noon_us = INT64_C(1767355200000000); /* 2026-01-02T12:00:00Z */
    static const struct moment rows[] = {
        {"2026-01-02T12:00:00Z", noon_us},
        {"2026-01-02t12:00:00z", noon_us},
        {"2026-01-02T12:00:00.0Z", noon_us},
        {"2026-01-02T12:00:00.1Z", noon_us + 100000},
        {"2026-01-02T12:00:00.12Z", noon_us + 120000},
        {"2026-01-02T12:00:00.000001Z", noon_us + 1},
        {"2026-01-02T12:00:00.0000019Z", noon_us + 1}, /* cut, not rounded */
        {"2026-01-02T12:00:00.999999999999999999999999999999Z", noon_us + 999999},
        {"2026-01-02T12:00:00+00:00", noon_us},
        {"2026-01-02T12:00:00-00:00", noon_us},
        {"2026-01-02T21:00:00+09:00", noon_us},
        {"2026-01-02T07:30:00-04:30", noon_us},
        {"2026-01-03T11:59:00+23:59", noon_us},
        {"2026-01-01T12:01:00-23:59", noon_us},
        {"2026-01-02T17:45:00.25+05:45", noon_us + 250000},
        {"0001-01-01T00:00:00-00:01", TIME_US_MIN + 60 * US_PER_SECOND},
        {"9999-12-31T23:59:59.999999+00:01", TIME_US_MAX - 60 * US_PER_SECOND},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_parsed(rows[i].text, rows[i].time_us);
    }
}

static void what_is_no_date_time_is_refused_and_writes_nothing(void **state) {
    (void)state;
    static const char *const rows[] = {
        "",
        "2026",
        "2026-01-02",
        "2026-01-02T12:00Z",
        "2026-01-02T12:00:00",
        "2026-01-02 12:00:00Z",
        "2026-01-02T12:00:00 Z",
        " 2026-01-02T12:00:00Z",
        "2026-01-02T12:00:00Z ",
        "2026-01-02T12:00:00ZZ",
        "2026-1-2T12:00:00Z",
        "26-01-02T12:00:00Z",
        "02026-01-02T12:00:00Z",
        "+2026-01-02T12:00:00Z",
        "2026/01/02T12:00:00Z",
        "20260102T120000Z",
        "2026-00-02T12:00:00Z",
        "2026-13-02T12:00:00Z",
        "2026-01-00T12:00:00Z",
        "2026-01-32T12:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2100-02-29T12:00:00Z",
        "2000-02-30T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T12:60:00Z",
        "2026-01-02T12:00:60Z",
        "2016-12-31T23:59:60Z", /* a real leap second: no microsecond count has it */
        "2026-01-02T12:00:00.Z",
        "2026-01-02T12:00:00,5Z",
        "2026-01-02T12:00:00.5",
        "2026-01-02T12:00:00.-5Z",
        "2026-01-02T12:00:00+0900",
        "2026-01-02T12:00:00+09",
        "2026-01-02T12:00:00+9:00",
        "2026-01-02T12:00:00+24:00",
        "2026-01-02T12:00:00+09:60",
        "2026-01-02T12:00:00*09:00",
        "2026-01-02T12:00:00+09:00Z",
        "2026-01-02T1a:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59.999999-00:01",
        "1767355200",
        "now",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t time_us = 77;
        if (time_parse(slice_of(rows[i]), &time_us) != STATUS_INVALID) {
            fail_msg("'%s' was taken", rows[i]);
        }
        assert_int_equal(time_us, 77);
    }
    int64_t time_us = 77;
    assert_int_equal(time_parse((struct slice){NULL, 0}, &time_us), STATUS_INVALID);
    assert_int_equal(time_parse((struct slice){"2026-01-02T12:00:00Z\0", 21}, &time_us),
                     STATUS_INVALID);
}

static void no_prefix_of_a_date_time_is_one(void **state) {
    (void)state;
    static const char text[] = "2026-01-02T12:00:00.123456+09:00";
    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        int64_t time_us;
        assert_int_equal(time_parse((struct slice){text, size}, &time_us), STATUS_INVALID);
    }
}

static int month_length(int year, int month) {
    switch (month) {
    case 2:
        return year % 400 == 0 || (year % 4 == 0 && year % 100 != 0) ? 29 : 28;
    case 4:
    case 6:
    case 9:
    case 11:
        return 30;
    default:
        return 31;
    }
}

static void every_day_of_all_years_is_the_next_one(void **state) {
    (void)state;
    int64_t day_us = TIME_US_MIN;
    for (int year = 1; year <= 9999; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= month_length(year, month); day++) {
                char expected[64], text[TIME_TEXT_SIZE];
                int64_t parsed_us = 0;
                snprintf(expected, sizeof(expected), "%04d-%02d-%02dT00:00:00.000000Z", year, month,
                         day);
                time_format(day_us, text);
                assert_string_equal(text, expected);
                assert_int_equal(time_parse(slice_of(text), &parsed_us), STATUS_OK);
                assert_true(parsed_us == day_us);
                day_us += DAY_US;
            }
        }
    }
    assert_true(day_us == TIME_US_MAX + 1);
}

static void random_moments_agree_with_the_c_library(void **state) {
    (void)state;
    uint64_t random = random_seed();
    for (int i = 0; i < 200000; i++) {
        int64_t time_us = random_between(&random, TIME_US_MIN, TIME_US_MAX);
        int64_t part_us = (time_us % US_PER_SECOND + US_PER_SECOND) % US_PER_SECOND;
        time_t seconds = (time_t)((time_us - part_us) / US_PER_SECOND);
        char expected[96], text[TIME_TEXT_SIZE];
        int64_t parsed_us = 0;
        struct tm tm;
        gmtime_r(&seconds, &tm);
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%06lldZ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (long long)part_us);
        time_format(time_us, text);
        assert_string_equal(text, expected);
        assert_int_equal(time_parse(slice_of(text), &parsed_us), STATUS_OK);
        assert_true(parsed_us == time_us);
    }
}

static void random_offsets_name_the_same_moment(void **state) {
    (void)state;
    uint64_t random = random_seed();
    for (int i = 0; i < 100000; i++) {
        int64_t time_us = random_between(&random, TIME_US_MIN + DAY_US, TIME_US_MAX - DAY_US);
        int64_t minutes = random_between(&random, -1439, 1439);
        int64_t size = minutes < 0 ? -minutes : minutes;
        char local[TIME_TEXT_SIZE], text[64];
        int64_t parsed_us = 0;
        time_format(time_us + minutes * 60 * US_PER_SECOND, local);
        local[TIME_TEXT_SIZE - 2] = '\0'; /* without its Z */
        snprintf(text, sizeof(text), "%s%c%02d:%02d", local, minutes < 0 ? '-' : '+',
                 (int)(size / 60), (int)(size % 60));
        assert_int_equal(time_parse(slice_of(text), &parsed_us), STATUS_OK);
        assert_true(parsed_us == time_us);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_moments_are_written_and_read),
        cmocka_unit_test(every_form_of_rfc_3339_is_read),
        cmocka_unit_test(what_is_no_date_time_is_refused_and_writes_nothing),
        cmocka_unit_test(no_prefix_of_a_date_time_is_one),
        cmocka_unit_test(every_day_of_all_years_is_the_next_one),
        cmocka_unit_test(random_moments_agree_with_the_c_library),
        cmocka_unit_test(random_offsets_name_the_same_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Times and integers as text, against a second, slower way to read them: the C library's
 * calendar and its 128-bit arithmetic. What can be written must be read back the same. */
#include "fuzz.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

/* ---- integers ---- */

static bool naive_u64(struct slice text, uint64_t max, uint64_t *ret_value) {
    __extension__ unsigned __int128 value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!isdigit((unsigned char)text.bytes[i]) || value > UINT64_MAX) {
            return false;
        }
        value = value * 10 + (unsigned)(text.bytes[i] - '0');
    }
    *ret_value = (uint64_t)value;
    return text.size > 0 && (text.size == 1 || text.bytes[0] != '0') && value <= max;
}

static void check_number(struct slice text, uint64_t max) {
    uint64_t value = 0;
    uint64_t expected = 0;
    int status = slice_to_u64(text, max, &value);
    assert((status == STATUS_OK) == naive_u64(text, max, &expected));
    assert(status == STATUS_OK ? value == expected : value == 0);
}

static void check_written(uint64_t value) {
    struct buffer text;
    uint64_t read = 0;
    buffer_init(&text);
    buffer_u64(&text, value);
    int status = slice_to_u64(buffer_view(&text), UINT64_MAX, &read);
    assert(status == STATUS_OK && read == value);
    buffer_done(&text);
}

/* ---- times ---- */

/* The text's form, with '0' for any digit; what it is compared with has the same length. */
static bool has_form(struct slice text, const char *form) {
    if (text.size != strlen(form)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        bool digit = isdigit((unsigned char)text.bytes[i]) != 0;
        char upper = (char)toupper((unsigned char)text.bytes[i]);
        if (form[i] == '0' ? !digit : upper != form[i]) {
            return false;
        }
    }
    return true;
}

static int number_at(struct slice text, size_t at, size_t size) {
    int value = 0;
    for (size_t i = at; i < at + size; i++) {
        value = value * 10 + (text.bytes[i] - '0');
    }
    return value;
}

/* Seconds since 1970 by the C library, which turns what is no date into another date. */
static bool naive_seconds(struct slice text, int64_t *ret_seconds) {
    struct tm fields = {
        .tm_year = number_at(text, 0, 4) - 1900,
        .tm_mon = number_at(text, 5, 2) - 1,
        .tm_mday = number_at(text, 8, 2),
        .tm_hour = number_at(text, 11, 2),
        .tm_min = number_at(text, 14, 2),
        .tm_sec = number_at(text, 17, 2),
    };
    struct tm asked = fields;
    *ret_seconds = timegm(&fields);
    return asked.tm_year > -1900 && fields.tm_mon == asked.tm_mon &&
           fields.tm_mday == asked.tm_mday && fields.tm_hour == asked.tm_hour &&
           fields.tm_min == asked.tm_min && fields.tm_sec == asked.tm_sec;
}

/* Microseconds of ".123456789", the first six digits; false: no such fraction. */
static bool naive_fraction(struct slice text, int64_t *ret_us) {
    int64_t value = 0;
    for (size_t i = 1; i <= 6; i++) {
        bool digit = i < text.size && isdigit((unsigned char)text.bytes[i]);
        value = value * 10 + (digit ? text.bytes[i] - '0' : 0);
    }
    *ret_us = value;
    for (size_t i = 1; i < text.size; i++) {
        if (!isdigit((unsigned char)text.bytes[i])) {
            return false;
        }
    }
    return text.size == 0 || (text.size > 1 && text.bytes[0] == '.');
}

static bool naive_offset(struct slice text, int64_t *ret_us) {
    bool plus = has_form(text, "+00:00");
    *ret_us = 0;
    if (has_form(text, "Z")) {
        return true;
    }
    if (!plus && !has_form(text, "-00:00")) {
        return false;
    }
    int hours = number_at(text, 1, 2);
    int minutes = number_at(text, 4, 2);
    *ret_us = (plus ? 1 : -1) * (hours * 3600 + minutes * 60) * US_PER_SECOND;
    return hours <= 23 && minutes <= 59;
}

static bool naive_time(struct slice text, int64_t *ret_us) {
    enum { HEAD = sizeof("0000-00-00T00:00:00") - 1 };
    if (text.size <= HEAD || !has_form((struct slice){text.bytes, HEAD}, "0000-00-00T00:00:00")) {
        return false;
    }
    size_t end = HEAD;
    while (end < text.size && strchr("Zz+-", text.bytes[end]) == NULL) {
        end++;
    }
    int64_t seconds, fraction_us, offset_us;
    if (!naive_seconds(text, &seconds) ||
        !naive_fraction((struct slice){text.bytes + HEAD, end - HEAD}, &fraction_us) ||
        !naive_offset((struct slice){text.bytes + end, text.size - end}, &offset_us)) {
        return false;
    }
    *ret_us = seconds * US_PER_SECOND + fraction_us - offset_us;
    return *ret_us >= TIME_US_MIN && *ret_us <= TIME_US_MAX;
}

static void check_time(struct slice text) {
    int64_t read_us = 0;
    int64_t expected_us = 0;
    int status = time_parse(text, &read_us);
    assert((status == STATUS_OK) == naive_time(text, &expected_us));
    assert(status == STATUS_OK ? read_us == expected_us : read_us == 0);
}

static void check_written_time(uint64_t number) {
    uint64_t span = (uint64_t)(TIME_US_MAX - TIME_US_MIN);
    int64_t time_us = TIME_US_MIN + (int64_t)(number % (span + 1));
    int64_t read_us = 0;
    char text[TIME_TEXT_SIZE];
    time_format(time_us, text);
    assert(has_form(slice_of(text), "0000-00-00T00:00:00.000000Z"));
    int status = time_parse(slice_of(text), &read_us);
    assert(status == STATUS_OK && read_us == time_us);
}

/* Dates that often are none: days of months, leap years, hours. */
static void check_any_date(uint64_t number) {
    char text[32];
    snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(number % 10000),
             (unsigned)(number / 10000 % 14), (unsigned)(number / 140000 % 33),
             (unsigned)((number >> 40) % 25), (unsigned)((number >> 48) % 61),
             (unsigned)((number >> 56) % 62));
    check_time(slice_of(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    uint64_t number = fuzz_u64(&input);
    char *text = fuzz_exact(input);
    check_number((struct slice){text, input.size}, number);
    check_number((struct slice){text, input.size}, UINT64_MAX);
    check_written(number);
    check_time((struct slice){text, input.size});
    check_written_time(number);
    check_any_date(number * UINT64_C(0x9e3779b97f4a7c15) >> 8); /* spread over all of them */
    free(text);
    return 0;
}

/* RFC 3339 date-times to microseconds and back, in the proleptic Gregorian calendar.
 * Days from civil dates and back: Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (days_from_civil, civil_from_days). For the api, the log and verify. */
#include "base/base.h"

static const int64_t US_PER_DAY = 86400 * US_PER_SECOND;

struct civil {
    int64_t year;
    int64_t month;
    int64_t day;
};

static int64_t days_from_civil(struct civil date) {
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static struct civil civil_from_days(int64_t days) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return (struct civil){.year = year_of_era + era * 400 + (month <= 2),
                          .month = month,
                          .day = day_of_year - (153 * month_from_march + 2) / 5 + 1};
}

static void put_digits(char *text, size_t count, int64_t value) {
    for (size_t i = count; i > 0; i--) {
        text[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
}

void time_format(int64_t time_us, char ret_text[static TIME_TEXT_SIZE]) {
    assert(time_us >= TIME_US_MIN);
    assert(time_us <= TIME_US_MAX);
    int64_t days = time_us / US_PER_DAY - (time_us % US_PER_DAY < 0);
    int64_t rest_us = time_us - days * US_PER_DAY;
    int64_t seconds = rest_us / US_PER_SECOND;
    struct civil date = civil_from_days(days);
    memcpy(ret_text, "0000-00-00T00:00:00.000000Z", TIME_TEXT_SIZE);
    put_digits(ret_text, 4, date.year);
    put_digits(ret_text + 5, 2, date.month);
    put_digits(ret_text + 8, 2, date.day);
    put_digits(ret_text + 11, 2, seconds / 3600);
    put_digits(ret_text + 14, 2, seconds / 60 % 60);
    put_digits(ret_text + 17, 2, seconds % 60);
    put_digits(ret_text + 20, 6, rest_us % US_PER_SECOND);
}

void buffer_time(struct buffer *buffer, int64_t time_us) {
    char text[TIME_TEXT_SIZE];
    time_format(time_us, text);
    buffer_append(buffer, text, TIME_TEXT_SIZE - 1);
}

/* Takes `count` digits from the front of *text. */
static bool take_digits(struct slice *text, size_t count, int64_t *ret_value) {
    int64_t value = 0;
    if (text->size < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        char c = text->bytes[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    text->bytes += count;
    text->size -= count;
    *ret_value = value;
    return true;
}

/* Takes one character that is `either` or `other`. */
static bool take_char(struct slice *text, char either, char other) {
    if (text->size == 0 || (text->bytes[0] != either && text->bytes[0] != other)) {
        return false;
    }
    text->bytes++;
    text->size--;
    return true;
}

static bool take_date(struct slice *text, struct civil *ret_date) {
    static const int64_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct civil date;
    if (!take_digits(text, 4, &date.year) || !take_char(text, '-', '-') ||
        !take_digits(text, 2, &date.month) || !take_char(text, '-', '-') ||
        !take_digits(text, 2, &date.day) || date.month < 1 || date.month > 12) {
        return false;
    }
    bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    int64_t days = month_days[date.month - 1] + (leap && date.month == 2);
    *ret_date = date;
    return date.year >= 1 && date.day >= 1 && date.day <= days;
}

static bool take_time_of_day(struct slice *text, int64_t *ret_us) {
    int64_t hour, minute, second;
    if (!take_digits(text, 2, &hour) || !take_char(text, ':', ':') ||
        !take_digits(text, 2, &minute) || !take_char(text, ':', ':') ||
        !take_digits(text, 2, &second) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    int64_t fraction_us = 0;
    if (take_char(text, '.', '.')) {
        int64_t digit;
        int64_t unit_us = US_PER_SECOND / 10;
        if (!take_digits(text, 1, &digit)) {
            return false;
        }
        do {
            fraction_us += digit * unit_us;
            unit_us /= 10;
        } while (take_digits(text, 1, &digit));
    }
    *ret_us = ((hour * 60 + minute) * 60 + second) * US_PER_SECOND + fraction_us;
    return true;
}

static bool take_offset(struct slice *text, int64_t *ret_us) {
    if (take_char(text, 'Z', 'z')) {
        *ret_us = 0;
        return true;
    }
    int64_t hours, minutes;
    bool behind = text->size > 0 && text->bytes[0] == '-';
    if (!take_char(text, '+', '-') || !take_digits(text, 2, &hours) || !take_char(text, ':', ':') ||
        !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    int64_t offset_us = (hours * 60 + minutes) * 60 * US_PER_SECOND;
    *ret_us = behind ? -offset_us : offset_us;
    return true;
}

int time_parse(struct slice text, int64_t *ret_time_us) {
    struct civil date;
    int64_t day_us, offset_us;
    if (!take_date(&text, &date) || !take_char(&text, 'T', 't') ||
        !take_time_of_day(&text, &day_us) || !take_offset(&text, &offset_us) || text.size != 0) {
        return STATUS_INVALID;
    }
    int64_t time_us = days_from_civil(date) * US_PER_DAY + day_us - offset_us;
    if (time_us < TIME_US_MIN || time_us > TIME_US_MAX) {
        return STATUS_INVALID;
    }
    *ret_time_us = time_us;
    return STATUS_OK;
}

/* Log lines, read back from a stderr that the test holds. */
#include "base/base.h"

#include "random.h"
#include "test.h"

#include "support/allocation.h"

#include <pthread.h>
#include <unistd.h>

struct capture {
    int saved;
    FILE *file;
};

static void capture_start(struct capture *capture) {
    fflush(stderr);
    capture->file = tmpfile();
    assert_non_null(capture->file);
    capture->saved = dup(STDERR_FILENO);
    assert_true(capture->saved >= 0);
    assert_true(dup2(fileno(capture->file), STDERR_FILENO) >= 0);
}

/* Gives stderr back and returns what was written, to be freed. */
static char *capture_end(struct capture *capture) {
    assert_true(dup2(capture->saved, STDERR_FILENO) >= 0);
    close(capture->saved);
    fseek(capture->file, 0, SEEK_END);
    long size = ftell(capture->file);
    assert_true(size >= 0);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    rewind(capture->file);
    assert_int_equal(fread(text, 1, (size_t)size, capture->file), size);
    fclose(capture->file);
    return text;
}

/* The rest of the line after "time=… ", whose time is checked to be now. */
static const char *after_time(const char *line) {
    int64_t time_us = 0;
    assert_memory_equal(line, "time=", 5);
    assert_int_equal(time_parse((struct slice){line + 5, TIME_TEXT_SIZE - 1}, &time_us), STATUS_OK);
    int64_t age_us = clock_realtime(NULL) - time_us;
    assert_true(age_us > -60 * US_PER_SECOND);
    assert_true(age_us < 60 * US_PER_SECOND);
    assert_int_equal(line[5 + TIME_TEXT_SIZE - 1], ' ');
    return line + 5 + TIME_TEXT_SIZE;
}

static void an_event_is_one_line_of_logfmt(void **state) {
    (void)state;
    struct capture capture;
    capture_start(&capture);
    log_event(LOG_INFO, "ready", LOG_NUMBER("coupons", 3), LOG_TEXT("address", "127.0.0.1:80"));
    char *text = capture_end(&capture);
    assert_string_equal(after_time(text),
                        "level=info event=ready coupons=3 address=127.0.0.1:80\n");
    free(text);
}

static bool without_memory;

bool allocation_fails(void) {
    return without_memory;
}

static void without_memory_a_line_is_written_as_far_as_its_room_goes(void **state) {
    static char value[20000];
    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    for (size_t size = 1; size < sizeof(value); size *= 3) {
        struct capture capture;
        capture_start(&capture);
        without_memory = true;
        log_event(LOG_INFO, "listening", LOG_TEXT("address", "::1"),
                  LOG_TEXT("value", &value[sizeof(value) - 1 - size]));
        without_memory = false;
        char *text = capture_end(&capture);
        const char *rest = after_time(text);
        assert_memory_equal(rest, "level=info event=listening address=::1", 38);
        assert_int_equal(strspn(strstr(rest, " value=") + 7, "v"), size < 4000 ? size : 0);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        free(text);
    }
}

static void levels_have_names(void **state) {
    (void)state;
    static const char *const names[] = {"level=info ", "level=warn ", "level=error "};
    for (int level = LOG_INFO; level <= LOG_ERROR; level++) {
        struct capture capture;
        capture_start(&capture);
        log_fields((enum log_level)level, "plain", NULL, 0);
        char *text = capture_end(&capture);
        const char *rest = after_time(text);
        assert_memory_equal(rest, names[level], strlen(names[level]));
        assert_string_equal(rest + strlen(names[level]), "event=plain\n");
        free(text);
    }
}

static void values_are_quoted_where_they_must_be(void **state) {
    (void)state;
    static const struct {
        const char *value;
        const char *written;
    } rows[] = {
        {"plain", "plain"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nbreak", "\"line\\u000abreak\""},
        {"tab\t", "\"tab\\u0009\""},
        {"\x1b[31m", "\"\\u001b[31m\""},
        {"/path/to:file,x;y", "/path/to:file,x;y"},
        {"\xc3\xa4", "\"\xc3\xa4\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char expected[128];
        struct capture capture;
        capture_start(&capture);
        log_event(LOG_WARN, "x", LOG_TEXT("value", rows[i].value), LOG_NUMBER("after", -1));
        char *text = capture_end(&capture);
        snprintf(expected, sizeof(expected), "level=warn event=x value=%s after=-1\n",
                 rows[i].written);
        assert_string_equal(after_time(text), expected);
        free(text);
    }
}

static void numbers_keep_all_their_digits(void **state) {
    (void)state;
    struct capture capture;
    capture_start(&capture);
    log_event(LOG_INFO, "n", LOG_NUMBER("low", INT64_MIN), LOG_NUMBER("high", INT64_MAX));
    char *text = capture_end(&capture);
    assert_string_equal(after_time(text),
                        "level=info event=n low=-9223372036854775808 high=9223372036854775807\n");
    free(text);
}

static void a_long_value_is_written_whole(void **state) {
    (void)state;
    static char value[20001];
    memset(value, 'v', sizeof(value) - 1);
    struct capture capture;
    capture_start(&capture);
    log_event(LOG_INFO, "long", LOG_TEXT("value", value));
    char *text = capture_end(&capture);
    const char *found = strstr(text, "value=");
    assert_non_null(found);
    assert_int_equal(strlen(found), 6 + sizeof(value) - 1 + 1);
    assert_memory_equal(found + 6, value, sizeof(value) - 1);
    free(text);
}

enum { WRITERS = 4, LINES = 500 };

static void *write_lines(void *context) {
    const char *name = context;
    for (int i = 0; i < LINES; i++) {
        log_event(LOG_INFO, "crowd", LOG_TEXT("writer", name), LOG_NUMBER("line", i));
    }
    return NULL;
}

static void lines_of_many_threads_do_not_mix(void **state) {
    (void)state;
    static char names[WRITERS][2] = {"a", "b", "c", "d"};
    pthread_t threads[WRITERS];
    struct capture capture;
    capture_start(&capture);
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    char *text = capture_end(&capture);
    int next[WRITERS] = {0};
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        char writer;
        int number;
        assert_int_equal(
            sscanf(after_time(line), "level=info event=crowd writer=%c line=%d", &writer, &number),
            2);
        assert_int_equal(number, next[writer - 'a']);
        next[writer - 'a']++;
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(next[i], LINES);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_line_of_logfmt),
        cmocka_unit_test(without_memory_a_line_is_written_as_far_as_its_room_goes),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(values_are_quoted_where_they_must_be),
        cmocka_unit_test(numbers_keep_all_their_digits),
        cmocka_unit_test(a_long_value_is_written_whole),
        cmocka_unit_test(lines_of_many_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

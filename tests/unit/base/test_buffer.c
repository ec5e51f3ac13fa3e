/* Buffers: what is appended is what is in them, also at the edges of their growth. */
#include "base/base.h"

#include "random.h"
#include "test.h"

static void assert_holds(const struct buffer *buffer, const char *text) {
    assert_int_equal(buffer->size, strlen(text));
    assert_true(slice_is(buffer_view(buffer), text));
}

static void a_new_buffer_is_empty_and_owns_nothing(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    assert_null(buffer.bytes);
    assert_int_equal(buffer_view(&buffer).size, 0);
    buffer_append(&buffer, NULL, 0);
    buffer_text(&buffer, "");
    buffer_slice(&buffer, (struct slice){NULL, 0});
    buffer_drop_front(&buffer, 0);
    assert_null(buffer.bytes);
    assert_false(buffer.failed);
    buffer_done(&buffer);
    buffer_done(&buffer); /* twice is no harm */
}

static void appends_follow_each_other(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    buffer_text(&buffer, "a");
    buffer_append(&buffer, "b\0c", 3);
    buffer_slice(&buffer, slice_of("d"));
    buffer_u64(&buffer, 0);
    buffer_u64(&buffer, UINT64_MAX);
    buffer_format(&buffer, "%s-%d", "e", 7);
    buffer_time(&buffer, 0);
    static const char whole[] = "ab\0cd018446744073709551615e-71970-01-01T00:00:00.000000Z";
    assert_int_equal(buffer.size, sizeof(whole) - 1);
    assert_memory_equal(buffer.bytes, whole, sizeof(whole) - 1);
    buffer_done(&buffer);
    assert_int_equal(buffer.size, 0);
    assert_null(buffer.bytes);
}

static void clearing_keeps_the_memory(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    buffer_text(&buffer, "something");
    char *bytes = buffer.bytes;
    buffer_clear(&buffer);
    assert_int_equal(buffer.size, 0);
    buffer_text(&buffer, "other");
    assert_ptr_equal(buffer.bytes, bytes);
    assert_holds(&buffer, "other");
    buffer_done(&buffer);
}

static void reserved_room_is_there(void **state) {
    (void)state;
    static const size_t extras[] = {0, 1, 255, 256, 257, 511, 512, 513, 100000};
    for (size_t i = 0; i < COUNT_OF(extras); i++) {
        struct buffer buffer;
        buffer_init(&buffer);
        buffer_text(&buffer, "x");
        assert_int_equal(buffer_reserve(&buffer, extras[i]), STATUS_OK);
        assert_true(buffer.capacity - buffer.size >= extras[i]);
        memset(buffer.bytes + buffer.size, 'y', extras[i]);
        assert_holds(&buffer, "x");
        buffer_done(&buffer);
    }
}

static void an_append_without_memory_fails_and_drops_what_follows(void **state) {
    (void)state;
    static const size_t impossible[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 4 + 1};
    for (size_t i = 0; i < COUNT_OF(impossible); i++) {
        struct buffer buffer;
        buffer_init(&buffer);
        buffer_text(&buffer, "kept");
        assert_int_equal(buffer_reserve(&buffer, impossible[i]), STATUS_NO_MEMORY);
        assert_false(buffer.failed);
        buffer_slice(&buffer, (struct slice){"never read", impossible[i]});
        assert_true(buffer.failed);
        buffer_text(&buffer, "dropped");
        buffer_u64(&buffer, 1);
        buffer_format(&buffer, "%d", 1);
        buffer_json_string(&buffer, slice_of("dropped"));
        assert_holds(&buffer, "kept");
        buffer_clear(&buffer);
        assert_false(buffer.failed);
        buffer_text(&buffer, "again");
        assert_holds(&buffer, "again");
        buffer_done(&buffer);
    }
}

static void a_long_format_is_whole(void **state) {
    (void)state;
    for (int width = 505; width < 520; width++) {
        struct buffer buffer;
        char text[600];
        snprintf(text, sizeof(text), "<%*d>", width, 7);
        buffer_init(&buffer);
        buffer_text(&buffer, "");
        buffer_format(&buffer, "<%*d>", width, 7);
        assert_false(buffer.failed);
        assert_holds(&buffer, text);
        buffer_done(&buffer);
    }
}

static void a_failed_buffer_stays_as_it_was_also_for_a_long_format(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    buffer_text(&buffer, "kept");
    buffer.failed = true;
    buffer_format(&buffer, "%1000d", 1);
    assert_holds(&buffer, "kept");
    assert_true(buffer.failed);
    buffer_done(&buffer);
}

static void the_front_can_be_dropped(void **state) {
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer);
    buffer_text(&buffer, "abcdef");
    buffer_drop_front(&buffer, 2);
    assert_holds(&buffer, "cdef");
    buffer_drop_front(&buffer, 0);
    assert_holds(&buffer, "cdef");
    buffer_drop_front(&buffer, 4);
    assert_holds(&buffer, "");
    buffer_text(&buffer, "g");
    assert_holds(&buffer, "g");
    buffer_done(&buffer);
}

static void a_json_string_escapes_what_it_must(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *json;
    } rows[] = {
        {NULL, 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"\"", 1, "\"\\\"\""},
        {"\\", 1, "\"\\\\\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\0", 1, "\"\\u0000\""},
        {"\x1f", 1, "\"\\u001f\""},
        {"\n\r\t", 3, "\"\\u000a\\u000d\\u0009\""},
        {"\x7f/", 2, "\"\x7f/\""},
        {"\xc3\xa4", 2, "\"\xc3\xa4\""},
        {"x\ny", 3, "\"x\\u000ay\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buffer buffer;
        buffer_init(&buffer);
        buffer_json_string(&buffer, (struct slice){rows[i].bytes, rows[i].size});
        assert_holds(&buffer, rows[i].json);
        buffer_done(&buffer);
    }
}

/* A page of appends and drops against an array that is long enough from the start. */
static void random_steps_agree_with_a_plain_array(void **state) {
    (void)state;
    enum { STEPS = 3000, MOST = 700 };
    static unsigned char model[STEPS * MOST];
    size_t front = 0, end = 0;
    uint64_t random = random_seed();
    struct buffer buffer;
    buffer_init(&buffer);
    for (int step = 0; step < STEPS; step++) {
        if (random_next(&random) % 3 == 0) {
            size_t size = (size_t)random_between(&random, 0, (int64_t)(end - front));
            front += size;
            buffer_drop_front(&buffer, size);
        } else {
            size_t size = (size_t)random_between(&random, 0, MOST);
            memset(model + end, (int)(random_next(&random) & 0xff), size);
            buffer_append(&buffer, model + end, size);
            end += size;
        }
        assert_int_equal(buffer.size, end - front);
        assert_true(slice_equal(buffer_view(&buffer),
                                (struct slice){(const char *)model + front, end - front}));
    }
    buffer_done(&buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buffer_is_empty_and_owns_nothing),
        cmocka_unit_test(appends_follow_each_other),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(reserved_room_is_there),
        cmocka_unit_test(an_append_without_memory_fails_and_drops_what_follows),
        cmocka_unit_test(a_long_format_is_whole),
        cmocka_unit_test(a_failed_buffer_stays_as_it_was_also_for_a_long_format),
        cmocka_unit_test(the_front_can_be_dropped),
        cmocka_unit_test(a_json_string_escapes_what_it_must),
        cmocka_unit_test(random_steps_agree_with_a_plain_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The reader of a CSV file of users: every form of a line, and any bytes at all, whole and
 * cut anywhere. */
#include "cli/users_csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void add_line(struct buffer *told, const struct users_csv_line *line) {
    buffer_u64(told, line->number);
    buffer_text(told, line->fault ? "!" : "=");
    if (line->fault) {
        assert_true(line->fault[0] != '\0');
        buffer_text(told, line->fault);
    } else {
        assert_true(user_id_is_valid(line->user));
        buffer_slice(told, line->user);
    }
    buffer_text(told, "\n");
}

/* What the lines of a file are, one a line: "1=alice", "2!the line is empty". The file comes
 * in pieces of this size (0: whole), each in memory of its own. */
static struct buffer read_in(struct slice file, size_t piece) {
    struct buffer told;
    struct users_csv csv;
    struct users_csv_line line;
    buffer_init(&told);
    users_csv_init(&csv);
    for (size_t at = 0; at < file.size;) {
        size_t size = piece && piece < file.size - at ? piece : file.size - at;
        char *bytes = malloc(size);
        assert_non_null(bytes);
        memcpy(bytes, file.bytes + at, size);
        struct slice rest = {bytes, size};
        while (users_csv_next(&csv, &rest, false, &line)) {
            add_line(&told, &line);
        }
        assert_int_equal(rest.size, 0);
        free(bytes);
        at += size;
    }
    struct slice none = {"", 0};
    while (users_csv_next(&csv, &none, true, &line)) {
        add_line(&told, &line);
    }
    assert_false(told.failed);
    return told;
}

/* The same by pieces of one, two, three and seven bytes. */
static struct buffer read_file(struct slice file) {
    struct buffer whole = read_in(file, 0);
    static const size_t pieces[] = {1, 2, 3, 7};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct buffer cut = read_in(file, pieces[i]);
        assert_true(slice_equal(buffer_view(&whole), buffer_view(&cut)));
        buffer_done(&cut);
    }
    return whole;
}

static void assert_reads(struct slice file, const char *lines) {
    struct buffer told = read_file(file);
    if (!slice_is(buffer_view(&told), lines)) {
        fail_msg("told:\n%.*s, not:\n%s", (int)told.size, told.bytes ? told.bytes : "", lines);
    }
    buffer_done(&told);
}

/* Of the faults only that there is one, as "2!". */
static void assert_marks(struct slice file, const char *marks) {
    struct buffer told = read_file(file);
    struct buffer short_told;
    buffer_init(&short_told);
    bool skip = false;
    for (size_t i = 0; i < told.size; i++) {
        skip = skip && told.bytes[i] != '\n';
        buffer_append(&short_told, &told.bytes[i], skip ? 0 : 1);
        skip = skip || told.bytes[i] == '!';
    }
    if (!slice_is(buffer_view(&short_told), marks)) {
        fail_msg("told:\n%.*s, not:\n%s", (int)told.size, told.bytes ? told.bytes : "", marks);
    }
    buffer_done(&short_told);
    buffer_done(&told);
}

#define BYTES(text) ((struct slice){(text), sizeof(text) - 1})

static void a_user_a_line(void **state) {
    (void)state;
    assert_reads(BYTES(""), "");
    assert_reads(BYTES("alice"), "1=alice\n");
    assert_reads(BYTES("alice\n"), "1=alice\n");
    assert_reads(BYTES("alice\nbob"), "1=alice\n2=bob\n");
    assert_reads(BYTES("alice\r\nbob\r\n"), "1=alice\n2=bob\n");
    assert_reads(BYTES("alice\r\nbob\ncarol\r\n"), "1=alice\n2=bob\n3=carol\n");
    assert_reads(BYTES("!#$%&'()*+-./~\n"), "1=!#$%&'()*+-./~\n");
}

static void a_header_is_passed_over_on_the_first_line_only(void **state) {
    (void)state;
    assert_reads(BYTES("userId"), "");
    assert_reads(BYTES("userId\nalice\n"), "2=alice\n");
    assert_reads(BYTES("user_id\r\nalice\n"), "2=alice\n");
    assert_reads(BYTES("\"userId\"\nalice\n"), "2=alice\n");
    assert_reads(BYTES("userid\nuserId\n"), "1=userid\n2=userId\n");
}

static void a_byte_order_mark_is_passed_over_at_the_start_only(void **state) {
    (void)state;
    assert_reads(BYTES("\xef\xbb\xbf"), "");
    assert_reads(BYTES("\xef\xbb\xbf"
                       "alice\n"),
                 "1=alice\n");
    assert_reads(BYTES("\xef\xbb\xbf"
                       "userId\nalice\n"),
                 "2=alice\n");
    assert_reads(BYTES("\xef\xbb\xbf\"a\"\n"), "1=a\n");
    assert_marks(BYTES("\xef\xbb\xbf\n"), "1!\n");
    assert_marks(BYTES("\xef"), "1!\n");
    assert_marks(BYTES("\xef\xbb\nb"), "1!\n2=b\n");
    assert_marks(BYTES("\xef\xbb"
                       "alice\n"),
                 "1!\n");
    assert_marks(BYTES("\xef\xbb\xbf\xef\xbb\xbf"
                       "alice\n"),
                 "1!\n");
    assert_marks(BYTES("a\n\xef\xbb\xbf"
                       "b\n"),
                 "1=a\n2!\n");
}

static void quotes_are_taken_off_and_two_are_one(void **state) {
    (void)state;
    assert_reads(BYTES("\"alice\"\n"), "1=alice\n");
    assert_reads(BYTES("\"com,ma\"\r\n\"quo\"\"ted\"\n"), "1=com,ma\n2=quo\"ted\n");
    assert_reads(BYTES("\"\"\"\"\n"), "1=\"\n");
    assert_reads(BYTES("\"a\""), "1=a\n");
}

static void what_cannot_be_costs_its_line_only(void **state) {
    (void)state;
    assert_reads(BYTES("a,b\nc\n"),
                 "1!there is more than one field; a user with a comma in it needs quotes\n2=c\n");
    assert_marks(BYTES("a\"b\nc\n"), "1!\n2=c\n");
    assert_reads(BYTES("\"a\nb\n"), "1!the quote is not closed on this line\n2=b\n");
    assert_reads(BYTES("\"a\r\nb\n"), "1!the quote is not closed on this line\n2=b\n");
    assert_reads(BYTES("\""), "1!the quote is not closed on this line\n");
    assert_reads(BYTES("\"a\"b\nc"), "1!there is something behind the closing quote\n2=c\n");
    assert_reads(BYTES("\"a\",\nc"), "1!there is more than one field\n2=c\n");
    assert_marks(BYTES("\"a\" \nc"), "1!\n2=c\n");
    assert_reads(BYTES("\"\"\nc"), "1!the user is empty\n2=c\n");
    assert_reads(BYTES("\n\r\nc\n\n"),
                 "1!the line is empty\n2!the line is empty\n3=c\n4!the line is empty\n");
    assert_reads(BYTES("a b\n"),
                 "1!the user has the byte 0x20, and can have visible ASCII characters only\n");
}

static void a_return_ends_a_line_only_before_a_line_feed(void **state) {
    (void)state;
    assert_marks(BYTES("a\rb\nc"), "1!\n2=c\n");
    assert_marks(BYTES("a\r\r\nc"), "1!\n2=c\n");
    assert_marks(BYTES("a\r"), "1!\n");
    assert_marks(BYTES("\r"), "1!\n");
    assert_marks(BYTES("\"a\"\r\nc"), "1=a\n2=c\n");
    assert_marks(BYTES("\"a\"\rb\nc"), "1!\n2=c\n");
}

static void bytes_that_are_not_visible_are_no_user(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char file[] = {'a', (char)byte, 'b', '\n', 'c'};
        struct slice bytes = {file, sizeof(file)};
        char users[16];
        snprintf(users, sizeof(users), "1=a%cb\n2=c\n", byte ? byte : ' ');
        if (byte == '\n') {
            assert_reads(bytes, "1=a\n2=b\n3=c\n");
        } else if (byte > 0x20 && byte < 0x7f && byte != ',' && byte != '"') {
            assert_reads(bytes, users);
        } else {
            assert_marks(bytes, "1!\n2=c\n");
        }
    }
}

static void a_user_has_at_most_128_characters_and_a_line_any_number(void **state) {
    (void)state;
    static const size_t sizes[] = {127, 128, 129, 255, 256, 257, 1 << 20};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (int quoted = 0; quoted < 2; quoted++) {
            struct buffer file;
            struct buffer want;
            buffer_init(&file);
            buffer_init(&want);
            buffer_text(&file, quoted ? "\"" : "");
            buffer_text(&want, "1=");
            for (size_t at = 0; at < sizes[i]; at++) {
                buffer_text(&file, "x");
                buffer_text(&want, "x");
            }
            buffer_text(&file, quoted ? "\"\nb" : "\nb");
            buffer_append(&want, "\n2=b\n", 6);
            if (sizes[i] <= USER_ID_MAX) {
                assert_reads(buffer_view(&file), want.bytes);
            } else {
                char text[96];
                snprintf(text, sizeof(text),
                         "1!the user has %zu characters, and can have 128\n2=b\n", sizes[i]);
                assert_reads(buffer_view(&file), text);
            }
            buffer_done(&file);
            buffer_done(&want);
        }
    }
}

/* Any bytes, most of them those that mean something: the same however they are cut, numbers
 * that rise by one, and never a user that cannot be (add_line asserts it). */
static void any_bytes_are_read_the_same_however_they_are_cut(void **state) {
    (void)state;
    static const char alphabet[] = "\"\",,\r\n\n\xef\xbb\xbf ab\0z";
    const char *given = getenv("COUPON_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_realtime(NULL);
    printf("# COUPON_TEST_SEED=%u\n", seed);
    for (int round = 0; round < 20000; round++) {
        char file[48];
        size_t size = (size_t)(round % (int)sizeof(file));
        for (size_t i = 0; i < size; i++) {
            seed = seed * 1664525U + 1013904223U; /* Numerical Recipes' generator */
            file[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
        }
        struct buffer told = read_file((struct slice){file, size});
        size_t feeds = 0;
        for (size_t i = 0; i < size; i++) {
            feeds += file[i] == '\n';
        }
        size_t lines = 0;
        for (size_t i = 0; i < told.size; i++) {
            lines += told.bytes[i] == '\n';
        }
        assert_true(lines >= feeds && lines <= feeds + 1);
        buffer_done(&told);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_a_line),
        cmocka_unit_test(a_header_is_passed_over_on_the_first_line_only),
        cmocka_unit_test(a_byte_order_mark_is_passed_over_at_the_start_only),
        cmocka_unit_test(quotes_are_taken_off_and_two_are_one),
        cmocka_unit_test(what_cannot_be_costs_its_line_only),
        cmocka_unit_test(a_return_ends_a_line_only_before_a_line_feed),
        cmocka_unit_test(bytes_that_are_not_visible_are_no_user),
        cmocka_unit_test(a_user_has_at_most_128_characters_and_a_line_any_number),
        cmocka_unit_test(any_bytes_are_read_the_same_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

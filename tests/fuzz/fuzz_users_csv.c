/* Feeds the reader of users' files any bytes, whole, cut once and byte by byte: the lines must
 * be the same, their numbers rise by one (a header is passed over), and no user be one that
 * cannot. The first byte chooses the cut. */
#include "cli/users_csv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lines {
    struct buffer text;
    uint64_t last;
};

static void add_line(struct lines *lines, const struct users_csv_line *line) {
    assert(line->number == lines->last + 1 || (lines->last == 0 && line->number == 2));
    assert(line->fault ? line->fault[0] != '\0' : user_id_is_valid(line->user));
    lines->last = line->number;
    buffer_u64(&lines->text, line->number);
    buffer_text(&lines->text, line->fault ? line->fault : "=");
    buffer_slice(&lines->text, line->fault ? (struct slice){NULL, 0} : line->user);
    buffer_text(&lines->text, "\n");
}

static struct lines read_lines(const uint8_t *data, size_t size, size_t first, size_t further) {
    struct lines lines = {.last = 0};
    struct users_csv csv;
    struct users_csv_line line;
    users_csv_init(&csv);
    size_t piece = first;
    for (size_t at = 0; at < size; at += piece, piece = further) {
        piece = piece == 0 || piece > size - at ? size - at : piece;
        char *block = malloc(piece);
        assert(block != NULL);
        memcpy(block, data + at, piece);
        struct slice rest = {block, piece};
        while (users_csv_next(&csv, &rest, false, &line)) {
            add_line(&lines, &line);
        }
        assert(rest.size == 0);
        free(block);
    }
    struct slice none = {"", 0};
    while (users_csv_next(&csv, &none, true, &line)) {
        add_line(&lines, &line);
    }
    assert(!lines.text.failed);
    return lines;
}

static void assert_same(const struct lines *a, const struct lines *b) {
    assert(a->last == b->last);
    assert(slice_equal(buffer_view(&a->text), buffer_view(&b->text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    size_t cut = data[0];
    struct lines whole = read_lines(data + 1, size - 1, 0, 0);
    struct lines halves = read_lines(data + 1, size - 1, cut, 0);
    struct lines bytes = read_lines(data + 1, size - 1, 1, 1);
    assert_same(&whole, &halves);
    assert_same(&whole, &bytes);
    buffer_done(&whole.text);
    buffer_done(&halves.text);
    buffer_done(&bytes.text);
    return 0;
}

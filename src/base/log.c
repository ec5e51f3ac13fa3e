/* logfmt lines on stderr, each written by one call. For cli and api only. Lines of usual
 * length need no memory: whoever waits for one would wait for ever. */
#include "base/base.h"

#include <stdio.h>
#include <unistd.h>

enum { ROOM_SIZE = 4096 }; /* a longer line wants memory, and is cut where there is none */

static const char *const level_names[] = {"info", "warn", "error"};

static bool is_plain(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c <= ' ' || *c >= 0x7f || *c == '"' || *c == '=' || *c == '\\') {
            return false;
        }
    }
    return *text != '\0';
}

static void append_field(struct buffer *line, const struct log_field *field) {
    buffer_format(line, " %s=", field->key);
    if (!field->text) {
        buffer_format(line, "%lld", (long long)field->number);
    } else if (is_plain(field->text)) {
        buffer_text(line, field->text);
    } else {
        buffer_json_string(line, slice_of(field->text));
    }
}

static void append_line(struct buffer *line, enum log_level level, const char *event,
                        const struct log_field *fields, size_t count) {
    char now[TIME_TEXT_SIZE];
    time_format(clock_realtime(NULL), now);
    buffer_format(line, "time=%s level=%s event=%s", now, level_names[level], event);
    for (size_t i = 0; i < count; i++) {
        append_field(line, &fields[i]);
    }
}

static void write_line(const struct buffer *line) {
    ssize_t written = write(STDERR_FILENO, line->bytes, line->size);
    (void)written; /* nowhere left to say that stderr is closed */
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count) {
    char room[ROOM_SIZE];
    struct buffer line, longer;
    buffer_borrow(&line, room, sizeof(room) - 1);
    buffer_init(&longer);
    append_line(&line, level, event, fields, count);
    if (line.failed) {
        append_line(&longer, level, event, fields, count);
        buffer_text(&longer, "\n");
    }
    if (line.failed && !longer.failed) {
        write_line(&longer);
    } else {
        room[line.size++] = '\n';
        write_line(&line);
    }
    buffer_done(&longer);
}

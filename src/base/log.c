/* logfmt lines on stderr, each written by one call. For cli and api only. */
#include "base/base.h"

#include <stdio.h>
#include <unistd.h>

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

void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count) {
    struct buffer line;
    char now[TIME_TEXT_SIZE];
    buffer_init(&line);
    time_format(clock_realtime(NULL), now);
    buffer_format(&line, "time=%s level=%s event=%s", now, level_names[level], event);
    for (size_t i = 0; i < count; i++) {
        append_field(&line, &fields[i]);
    }
    buffer_text(&line, "\n");
    if (!line.failed) {
        ssize_t written = write(STDERR_FILENO, line.bytes, line.size);
        (void)written; /* nowhere left to say that stderr is closed */
    }
    buffer_done(&line);
}

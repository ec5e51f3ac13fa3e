/* The lines of an export: CSV (RFC 4180) or NDJSON, on stdout or into a new file. Not for:
 * where the issues come from. See export.h. */
#include "cli/export.h"

#include <errno.h>
#include <unistd.h>

/* Lines gather in memory until there are so many bytes to write. */
enum { WRITE_SIZE = 1 << 16, PROGRESS_EVERY = 1000000 };

static int output_failed(const struct export_rows *rows) {
    return complain(rows->complaint, STATUS_IO, "the output cannot be written: %s",
                    strerror(errno));
}

static int flush(struct export_rows *rows) {
    struct buffer *lines = &rows->lines;
    if (lines->failed) {
        return complain(rows->complaint, STATUS_NO_MEMORY, "not enough memory for the output");
    }
    if (lines->size > 0 && fwrite(lines->bytes, lines->size, 1, rows->output) != 1) {
        return output_failed(rows);
    }
    buffer_clear(lines);
    return STATUS_OK;
}

/* "wx": an export never overwrites a file. */
int export_rows_begin(struct export_rows *rows) {
    assert(!rows->output);
    rows->output = rows->path ? fopen(rows->path, "wx") : stdout;
    if (!rows->output) {
        return complain(rows->complaint, errno == EEXIST ? STATUS_EXISTS : STATUS_IO,
                        "cannot make %s: %s", rows->path, strerror(errno));
    }
    if (!rows->ndjson) {
        buffer_text(&rows->lines, "coupon_id,rank,user_id,issued_at\r\n");
    }
    return STATUS_OK;
}

/* Quoted always: a user may have commas and quotes. */
static void csv_text(struct buffer *lines, struct slice text) {
    buffer_text(lines, "\"");
    for (size_t i = 0; i < text.size; i++) {
        buffer_append(lines, "\"\"", text.bytes[i] == '"' ? 1 : 0);
        buffer_append(lines, &text.bytes[i], 1);
    }
    buffer_text(lines, "\"");
}

/* How a format begins, separates and ends what a line says, and how it writes a user. */
struct format {
    const char *coupon_id;
    const char *rank;
    const char *user_id;
    const char *issued_at;
    const char *end;
    void (*text)(struct buffer *lines, struct slice text);
};

static const struct format csv = {"", ",", ",", ",", "\r\n", csv_text};
static const struct format ndjson = {"{\"couponId\":",   ",\"rank\":", ",\"userId\":",
                                     ",\"issuedAt\":\"", "\"}\n",      buffer_json_string};

static void line(struct buffer *lines, const struct format *format, const struct issue_row *issue) {
    buffer_text(lines, format->coupon_id);
    buffer_u64(lines, issue->reference.coupon_id);
    buffer_text(lines, format->rank);
    buffer_u64(lines, issue->reference.rank);
    buffer_text(lines, format->user_id);
    format->text(lines, issue->user_id);
    buffer_text(lines, format->issued_at);
    buffer_time(lines, issue->issued_at_us);
    buffer_text(lines, format->end);
}

int export_rows_add(struct export_rows *rows, const struct issue_row *issue) {
    assert(rows->output);
    line(&rows->lines, rows->ndjson ? &ndjson : &csv, issue);
    rows->count++;
    if (rows->count % PROGRESS_EVERY == 0 && rows->total) {
        log_event(LOG_INFO, "exporting", LOG_NUMBER("issues", rows->count),
                  LOG_NUMBER("of", rows->total));
    } else if (rows->count % PROGRESS_EVERY == 0) {
        log_event(LOG_INFO, "exporting", LOG_NUMBER("issues", rows->count));
    }
    return rows->lines.size < WRITE_SIZE ? STATUS_OK : flush(rows);
}

int export_rows_end(struct export_rows *rows, int status) {
    if (rows->output) {
        if (status == STATUS_OK) {
            status = flush(rows);
        }
        if (fflush(rows->output) && status == STATUS_OK) {
            status = output_failed(rows);
        }
        if (rows->output != stdout && fclose(rows->output) && status == STATUS_OK) {
            status = output_failed(rows);
        }
        if (rows->path && status < 0) {
            unlink(rows->path);
        }
        rows->output = NULL;
    }
    buffer_done(&rows->lines);
    return status;
}

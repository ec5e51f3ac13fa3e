/* coupon export: the issues of a stopped server's record as CSV (RFC 4180) or NDJSON, on
 * stdout or into a file. Reads only. */
#include "cli/options.h"
#include "ledger/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum option { OPTION_DATA, OPTION_COUPON, OPTION_FORMAT, OPTION_OUTPUT, OPTION_COUNT };

static const struct option_spec specs[] = {
    [OPTION_DATA] = {"data", "DIR", "the data folder of a server that is stopped", "data"},
    [OPTION_COUPON] = {"coupon", "N", "only this coupon's issues; default: all coupons'", NULL},
    [OPTION_FORMAT] = {"format", "csv|ndjson", "how a line looks", "csv"},
    [OPTION_OUTPUT] = {"output", "FILE", "a new file; default: standard output", NULL},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

/* Lines gather in memory until there are so many bytes to write. */
enum { WRITE_SIZE = 1 << 16 };

struct exporter {
    FILE *output;
    struct buffer lines;
    uint64_t coupon_id; /* 0: all */
    uint64_t count;
    bool coupon_seen;
    bool ndjson;
};

static int flush(struct exporter *exporter) {
    struct buffer *lines = &exporter->lines;
    bool written = !lines->failed && (lines->size == 0 ||
                                      fwrite(lines->bytes, lines->size, 1, exporter->output) == 1);
    buffer_clear(lines);
    return written ? STATUS_OK : STATUS_IO;
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

static void csv_line(struct buffer *lines, const struct issue_row *issue) {
    buffer_u64(lines, issue->reference.coupon_id);
    buffer_text(lines, ",");
    buffer_u64(lines, issue->reference.rank);
    buffer_text(lines, ",");
    csv_text(lines, issue->user_id);
    buffer_text(lines, ",");
    buffer_time(lines, issue->issued_at_us);
    buffer_text(lines, "\r\n");
}

static void ndjson_line(struct buffer *lines, const struct issue_row *issue) {
    buffer_text(lines, "{\"couponId\":");
    buffer_u64(lines, issue->reference.coupon_id);
    buffer_text(lines, ",\"rank\":");
    buffer_u64(lines, issue->reference.rank);
    buffer_text(lines, ",\"userId\":");
    buffer_json_string(lines, issue->user_id);
    buffer_text(lines, ",\"issuedAt\":\"");
    buffer_time(lines, issue->issued_at_us);
    buffer_text(lines, "\"}\n");
}

static int on_coupon(void *context, const struct coupon_record *coupon) {
    struct exporter *exporter = context;
    exporter->coupon_seen = exporter->coupon_seen || coupon->id == exporter->coupon_id;
    return STATUS_OK;
}

static int on_issue(void *context, const struct issue_row *issue) {
    struct exporter *exporter = context;
    if (exporter->coupon_id && issue->reference.coupon_id != exporter->coupon_id) {
        return STATUS_OK;
    }
    (exporter->ndjson ? ndjson_line : csv_line)(&exporter->lines, issue);
    exporter->count++;
    return exporter->lines.size < WRITE_SIZE ? STATUS_OK : flush(exporter);
}

static void on_progress(void *context, uint64_t visited, uint64_t total) {
    (void)context;
    if (visited % 1000000 == 0) {
        log_event(LOG_INFO, "exporting", LOG_NUMBER("issues", visited), LOG_NUMBER("of", total));
    }
}

static int write_all(struct ledger *ledger, struct exporter *exporter,
                     struct complaint *complaint) {
    struct ledger_visitor visitor = {
        .context = exporter,
        .archived_too = true,
        .coupon = on_coupon,
        .issue = on_issue,
        .progress = on_progress,
    };
    if (!exporter->ndjson) {
        buffer_text(&exporter->lines, "coupon_id,rank,user_id,issued_at\r\n");
    }
    int status = ledger_visit(ledger, &visitor, complaint);
    if (status == STATUS_OK) {
        status = flush(exporter);
    }
    if (status == STATUS_OK && fflush(exporter->output)) {
        status = STATUS_IO;
    }
    if (status == STATUS_IO && complaint->text[0] == '\0') {
        complain(complaint, status, "the output cannot be written: %s", strerror(errno));
    }
    if (status == STATUS_OK && exporter->coupon_id && !exporter->coupon_seen) {
        status = complain(complaint, STATUS_NOT_FOUND, "there is no coupon %llu",
                          (unsigned long long)exporter->coupon_id);
    }
    return status;
}

/* "wx": an export never overwrites a file. */
static bool open_output(const char *path, FILE **ret_output) {
    *ret_output = path ? fopen(path, "wx") : stdout;
    if (!*ret_output) {
        fprintf(stderr, "coupon export: cannot make %s: %s\n", path, strerror(errno));
    }
    return *ret_output != NULL;
}

static int export(const char *const *values, struct exporter *exporter) {
    struct complaint complaint = {0};
    struct ledger *ledger = NULL;
    struct ledger_sqlite_options options = {.directory = values[OPTION_DATA],
                                            .existing_only = true};
    if (ledger_sqlite_open(&options, &ledger, &complaint)) {
        fprintf(stderr, "coupon export: %s\n", complaint.text);
        return EXIT_CODE_FAILED;
    }
    int exit_code = EXIT_CODE_FAILED;
    if (open_output(values[OPTION_OUTPUT], &exporter->output)) {
        int status = write_all(ledger, exporter, &complaint);
        if (exporter->output != stdout && fclose(exporter->output) && status == STATUS_OK) {
            status = complain(&complaint, STATUS_IO, "the output cannot be written: %s",
                              strerror(errno));
        }
        if (status) {
            fprintf(stderr, "coupon export: %s\n", complaint.text);
        } else {
            log_event(LOG_INFO, "exported", LOG_NUMBER("issues", exporter->count));
            exit_code = EXIT_CODE_OK;
        }
    }
    buffer_done(&exporter->lines);
    ledger_close(ledger, NULL);
    return exit_code;
}

static bool read_options(const char *const *values, struct exporter *ret_exporter) {
    const char *format = values[OPTION_FORMAT];
    *ret_exporter = (struct exporter){.ndjson = strcmp(format, "ndjson") == 0};
    if (!ret_exporter->ndjson && strcmp(format, "csv") != 0) {
        fprintf(stderr, "coupon export: --format can be csv or ndjson, not \"%s\"\n", format);
        return false;
    }
    return !values[OPTION_COUPON] ||
           option_number(&specs[OPTION_COUPON], values[OPTION_COUPON], 1,
                         (uint64_t)JSON_INTEGER_MAX, &ret_exporter->coupon_id);
}

int command_export(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    struct exporter exporter;
    bool help = false;
    if (!options_read("export", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon export: write the issues of a data folder as CSV or NDJSON\n\n"
                   "usage: coupon export [options]\n\n");
            options_print(specs);
            printf("\nCoupons by id, issues by rank, archived ones too. Changes nothing. While\n"
                   "the server runs, read GET /v1/coupons/{id}/issues instead.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    return read_options(values, &exporter) ? export(values, &exporter) : EXIT_CODE_USAGE;
}

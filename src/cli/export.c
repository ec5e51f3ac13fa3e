/* coupon export: the issues of the record as CSV or NDJSON, on stdout or into a file. Here
 * are its options; export.h names the rest. Reads only. */
#include "cli/export.h"
#include "cli/interrupt.h"
#include "cli/options.h"

enum option {
    OPTION_DATA,
    OPTION_URL,
    OPTION_TOKEN_FILE,
    OPTION_CA_FILE,
    OPTION_COUPON,
    OPTION_FORMAT,
    OPTION_OUTPUT,
    OPTION_COUNT
};

static const struct option_spec specs[] = {
    [OPTION_DATA] = {"data", "DIR", "the data folder of a server that is stopped", "data"},
    [OPTION_URL] = {"url", "URL", "a server that runs, http or https; instead of --data", NULL},
    [OPTION_TOKEN_FILE] = {"token-file", "FILE", "with --url: an admin token of that server", NULL},
    [OPTION_CA_FILE] = {"ca-file", "FILE", "with https: PEM of who signed its certificate", NULL},
    [OPTION_COUPON] = {"coupon", "N", "only this coupon's issues; default: all coupons'", NULL},
    [OPTION_FORMAT] = {"format", "csv|ndjson", "how a line looks", "csv"},
    [OPTION_OUTPUT] = {"output", "FILE", "a new file; default: standard output", NULL},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

static int export(const char *const *values, uint64_t coupon_id) {
    struct complaint complaint = {0};
    struct export_rows rows = {
        .path = values[OPTION_OUTPUT],
        .ndjson = strcmp(values[OPTION_FORMAT], "ndjson") == 0,
        .complaint = &complaint,
    };
    struct export_server server = {values[OPTION_URL], values[OPTION_TOKEN_FILE],
                                   values[OPTION_CA_FILE]};
    interrupt_take();
    int status = server.url ? export_from_url(&server, coupon_id, &rows)
                            : export_from_data(values[OPTION_DATA], coupon_id, &rows);
    bool begun = rows.output != NULL && !rows.path;
    status = export_rows_end(&rows, status);
    if (status == STATUS_OK) {
        log_event(LOG_INFO, "exported", LOG_NUMBER("issues", rows.count));
        return EXIT_CODE_OK;
    }
    fprintf(stderr, "coupon export: %s%s\n",
            complaint.text[0] ? complaint.text : status_name(status),
            begun ? "; what was written is not the whole record" : "");
    return EXIT_CODE_FAILED;
}

static bool read_options(const char *const *values, uint64_t *ret_coupon_id) {
    const char *format = values[OPTION_FORMAT];
    *ret_coupon_id = 0;
    if (strcmp(format, "ndjson") != 0 && strcmp(format, "csv") != 0) {
        fprintf(stderr, "coupon export: --format can be csv or ndjson, not \"%s\"\n", format);
        return false;
    }
    if (values[OPTION_URL] && !values[OPTION_TOKEN_FILE]) {
        fprintf(stderr, "coupon export: --url needs --token-file, a file with an admin token of "
                        "that server\n");
        return false;
    }
    return !values[OPTION_COUPON] || option_number(&specs[OPTION_COUPON], values[OPTION_COUPON], 1,
                                                   (uint64_t)JSON_INTEGER_MAX, ret_coupon_id);
}

int command_export(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    uint64_t coupon_id = 0;
    bool help = false;
    if (!options_read("export", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon export: write the issues of the record as CSV or NDJSON\n\n"
                   "usage: coupon export [options]\n\n");
            options_print(specs);
            printf(
                "\nCoupons by id, issues by rank, archived ones too. Changes nothing.\n"
                "\nWith --url claims may go on meanwhile: each coupon is written up to what was\n"
                "issued of it when the server told of it. Proxies of the environment are not\n"
                "used, redirections not followed. Exit code 0: all is written; 1: it is not, and\n"
                "a message says why (an --output file is removed then); 2: wrong options.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    return read_options(values, &coupon_id) ? export(values, coupon_id) : EXIT_CODE_USAGE;
}

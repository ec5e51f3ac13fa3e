/* coupon backup: a copy of the record in a folder of its own, made while the server runs or
 * is stopped. The copying and its correctness are the ledger's; here are options and words. */
#include "cli/interrupt.h"
#include "cli/options.h"
#include "ledger/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum option { OPTION_DATA, OPTION_TO, OPTION_COUNT };

static const struct option_spec specs[] = {
    [OPTION_DATA] = {"data", "DIR", "the data folder", "data"},
    [OPTION_TO] = {"to", "DIR2", "where the copy goes; must not exist, or be empty", NULL},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

/* So many bytes between two lines of progress. */
static const int64_t PROGRESS_STEP = INT64_C(64) << 20;

struct progress {
    int64_t told;
    int64_t last;
};

struct contents {
    uint64_t coupons;
    uint64_t issues;
};

/* ---- the copy ---- */

static int on_progress(void *context, int64_t copied, int64_t total) {
    struct progress *progress = context;
    if (copied < progress->last) {
        log_event(LOG_WARN, "copying-again",
                  LOG_TEXT("hint", "the server changed the file meanwhile"));
        progress->told = 0;
    }
    progress->last = copied;
    if (copied - progress->told >= PROGRESS_STEP) {
        progress->told = copied;
        log_event(LOG_INFO, "copying", LOG_NUMBER("bytes", copied), LOG_NUMBER("of", total));
    }
    return interrupt_came() ? STATUS_STOPPED : STATUS_OK;
}

/* What is in the copy, read from the copy. */
static int count(const char *directory, struct contents *ret_contents,
                 struct complaint *complaint) {
    struct ledger_sqlite_options options = {.directory = directory, .existing_only = true};
    struct ledger *ledger = NULL;
    struct coupon_record *coupons = calloc(LEDGER_SLICE_MAX, sizeof(*coupons));
    size_t got = 0;
    uint64_t last_id = 0;
    struct contents contents = {0};
    int status = coupons ? ledger_sqlite_open(&options, &ledger, complaint)
                         : complain(complaint, STATUS_NO_MEMORY, "no memory to count the copy");
    do {
        if (status == STATUS_OK) {
            status = ledger_coupons_read(ledger, last_id, LEDGER_SLICE_MAX, coupons, &got);
            complain(status ? complaint : NULL, status, "%s", status_name(status));
        }
        for (size_t i = 0; status == STATUS_OK && i < got; i++) {
            contents.coupons++;
            contents.issues += coupons[i].issued_quantity;
            last_id = coupons[i].id;
        }
    } while (status == STATUS_OK && got == LEDGER_SLICE_MAX);
    ledger_close(ledger, NULL);
    free(coupons);
    *ret_contents = contents;
    return status;
}

static long long file_size(const char *directory) {
    char path[4096];
    struct stat file;
    snprintf(path, sizeof(path), "%s/coupon.db", directory);
    return stat(path, &file) ? 0 : (long long)file.st_size;
}

static int backup(const char *data, const char *to) {
    struct complaint complaint = {0};
    struct progress progress = {0};
    struct contents contents;
    int64_t begin_us = clock_monotonic_us();
    interrupt_take(); /* also waiting for the server to give the file free ends */
    if (ledger_sqlite_backup(data, to, on_progress, &progress, &complaint)) {
        fprintf(stderr, "coupon backup: %s\n", complaint.text);
        return EXIT_CODE_FAILED;
    }
    if (count(to, &contents, &complaint)) {
        fprintf(stderr,
                "coupon backup: the copy in %s was made, and cannot be read again (%s); look at "
                "that disk, and make another one elsewhere\n",
                to, complaint.text);
        return EXIT_CODE_FAILED;
    }
    double seconds = (double)(clock_monotonic_us() - begin_us) / (double)US_PER_SECOND;
    printf("backup of %s in %s: %llu coupons, %llu issues, %lld bytes, %.1f s\n", data, to,
           (unsigned long long)contents.coupons, (unsigned long long)contents.issues, file_size(to),
           seconds);
    return EXIT_CODE_OK;
}

int command_backup(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    bool help = false;
    if (!options_read("backup", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon backup: copy the record of a data folder, also while its server runs\n\n"
                   "usage: coupon backup --data DIR --to DIR2\n\n");
            options_print(specs);
            printf(
                "\nRun it as the server's user or as root. Claims go on meanwhile. DIR2 has every\n"
                "issue that was told before the backup began, in one checked file, coupon.db;\n"
                "coupon verify --data DIR2 checks every row. The admin-token is a secret and is\n"
                "not copied: a server started on DIR2 makes a new one.\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    if (!values[OPTION_TO]) {
        fprintf(stderr, "coupon backup: --to must name the folder for the copy\n");
        return EXIT_CODE_USAGE;
    }
    return backup(values[OPTION_DATA], values[OPTION_TO]);
}

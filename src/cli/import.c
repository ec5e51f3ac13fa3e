/* coupon import: issues that the operator gives, from a CSV file with a user a line, into the
 * record of a stopped server. All of the file or nothing: every line is checked against the
 * file and the record first, then one transaction writes them all. */
#include "cli/options.h"
#include "cli/users_csv.h"
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum option { OPTION_DATA, OPTION_COUPON, OPTION_DRY_RUN, OPTION_FILE, OPTION_COUNT };

static const struct option_spec specs[] = {
    [OPTION_DATA] = {"data", "DIR", "the data folder of a server that is stopped", "data"},
    [OPTION_COUPON] = {"coupon", "N", "the coupon whose issues they become", NULL},
    [OPTION_DRY_RUN] = {"dry-run", NULL, "check everything, write nothing", NULL},
    [OPTION_FILE] = {"", "FILE", "the users; -: standard input", NULL},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

enum { READ_SIZE = 1 << 16, LINES_MAX = 10000000, FAULTS_SHOWN_MAX = 20, PROGRESS_EVERY = 1000000 };

struct import {
    const char *file_name; /* as the messages call it */
    struct ledger *ledger;
    struct coupon_record coupon;
    struct clock clock;
    struct engine *holders; /* who holds what, and who is on which line: in the place of the time */
    struct digest_key key;
    struct buffer texts; /* the users, one behind another */
    struct buffer sizes; /* of each, a byte */
    size_t user_count;
    uint64_t over_line; /* the first line for whose user nothing is left; 0: none */
    uint64_t fault_count;
    struct complaint complaint;
};

/* ---- what is wrong with lines ---- */

static void PRINTF_LIKE(3, 4) fault(struct import *import, uint64_t line, const char *format, ...) {
    if (++import->fault_count > FAULTS_SHOWN_MAX) {
        return;
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%llu: %s\n", import->file_name, (unsigned long long)line, text);
}

static uint64_t quantity_left(const struct coupon_record *coupon) {
    int64_t total =
        coupon->total_quantity == COUPON_UNLIMITED ? COUPON_QUANTITY_MAX : coupon->total_quantity;
    return total > coupon->issued_quantity ? (uint64_t)(total - coupon->issued_quantity) : 0;
}

/* The user is known already: from the record, or from a line before. */
static void fault_twice(struct import *import, const struct users_csv_line *line,
                        struct digest user) {
    uint32_t place = 0;
    int64_t former_line = 0;
    int status = engine_holding(import->holders, import->coupon.id, user, &place, &former_line);
    assert(status == STATUS_OK);
    int size = (int)line->user.size;
    if (place <= import->coupon.issued_quantity) {
        fault(import, line->number, "%.*s holds rank %u of coupon %llu already", size,
              line->user.bytes, place, (unsigned long long)import->coupon.id);
    } else {
        fault(import, line->number, "%.*s is on line %lld too", size, line->user.bytes,
              (long long)former_line);
    }
}

static int take_user(struct import *import, const struct users_csv_line *line) {
    struct digest user = digest_of(&import->key, line->user);
    uint32_t place = import->coupon.issued_quantity + (uint32_t)import->user_count + 1;
    int status =
        engine_restore(import->holders, import->coupon.id, place, user, (int64_t)line->number);
    if (status == STATUS_EXISTS) {
        fault_twice(import, line, user);
        return STATUS_OK;
    }
    unsigned char size = (unsigned char)line->user.size;
    static_assert(USER_ID_MAX <= UCHAR_MAX, "sizes are bytes");
    buffer_slice(&import->texts, line->user);
    buffer_append(&import->sizes, &size, 1);
    if (status || import->texts.failed || import->sizes.failed) {
        return complain(&import->complaint, STATUS_NO_MEMORY, "not enough memory for the users");
    }
    if (import->user_count++ == quantity_left(&import->coupon)) {
        import->over_line = line->number;
    }
    return STATUS_OK;
}

static int take_line(struct import *import, const struct users_csv_line *line) {
    if (line->number > LINES_MAX) {
        return complain(&import->complaint, STATUS_FULL,
                        "%s has more than %d lines, which is the limit of a file",
                        import->file_name, LINES_MAX);
    }
    if (line->number % PROGRESS_EVERY == 0) {
        log_event(LOG_INFO, "importing", LOG_NUMBER("lines", line->number));
    }
    if (line->fault) {
        fault(import, line->number, "%s", line->fault);
        return STATUS_OK;
    }
    return take_user(import, line);
}

/* ---- the file ---- */

static int take_bytes(struct import *import, struct users_csv *csv, struct slice bytes) {
    struct users_csv_line line;
    bool at_end = bytes.size == 0;
    int status = STATUS_OK;
    while (status == STATUS_OK && users_csv_next(csv, &bytes, at_end, &line)) {
        status = take_line(import, &line);
    }
    return status;
}

static int read_lines(struct import *import, int file) {
    char *room = malloc(READ_SIZE);
    if (!room) {
        return complain(&import->complaint, STATUS_NO_MEMORY, "not enough memory to read");
    }
    struct users_csv csv;
    users_csv_init(&csv);
    int status = STATUS_OK;
    ssize_t size;
    do {
        size = read(file, room, READ_SIZE);
        if (size < 0) {
            status = complain(&import->complaint, STATUS_IO, "cannot read %s: %s",
                              import->file_name, strerror(errno));
        } else {
            status = take_bytes(import, &csv, (struct slice){room, (size_t)size});
        }
    } while (status == STATUS_OK && size > 0);
    free(room);
    return status;
}

static int read_file(struct import *import, const char *path) {
    bool standard = strcmp(path, "-") == 0;
    int file = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0) {
        return complain(&import->complaint, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    }
    int status = read_lines(import, file);
    if (!standard) {
        close(file);
    }
    return status;
}

/* What the file as a whole is guilty of, once its lines are known. */
static int conclude_file(struct import *import) {
    uint64_t left = quantity_left(&import->coupon);
    if (import->over_line) {
        fault(import, import->over_line, "there are %llu left of coupon %llu, and %llu users",
              (unsigned long long)left, (unsigned long long)import->coupon.id,
              (unsigned long long)import->user_count);
    }
    if (import->fault_count > FAULTS_SHOWN_MAX) {
        fprintf(stderr, "… and %llu more\n",
                (unsigned long long)(import->fault_count - FAULTS_SHOWN_MAX));
    }
    if (import->fault_count > 0) {
        return complain(&import->complaint, STATUS_INVALID,
                        "nothing was imported: %s has %llu errors", import->file_name,
                        (unsigned long long)import->fault_count);
    }
    return import->user_count > 0
               ? STATUS_OK
               : complain(&import->complaint, STATUS_INVALID,
                          "nothing was imported: %s names no user", import->file_name);
}

/* ---- the record ---- */

/* The period's beginning and a pause bind claims, not imports (docs/decisions). */
static int check_coupon(struct import *import, int64_t now_us) {
    const struct coupon_record *coupon = &import->coupon;
    unsigned long long id = coupon->id;
    char end[TIME_TEXT_SIZE];
    if (coupon->archived_us != 0) {
        return complain(&import->complaint, STATUS_INVALID, "coupon %llu is archived", id);
    }
    if (now_us >= coupon->issue_end_us) {
        time_format(coupon->issue_end_us, end);
        return complain(&import->complaint, STATUS_INVALID, "coupon %llu ended at %s", id, end);
    }
    return STATUS_OK;
}

static int read_coupon(struct import *import, uint64_t coupon_id) {
    int64_t latest_us = 0;
    int status = ledger_coupon_read(import->ledger, coupon_id, &import->coupon);
    if (status == STATUS_NOT_FOUND) {
        return complain(&import->complaint, status, "there is no coupon %llu",
                        (unsigned long long)coupon_id);
    }
    if (status == STATUS_OK) {
        status = ledger_latest_us(import->ledger, &latest_us);
    }
    if (status) {
        return complain(&import->complaint, status, "the record cannot be read (%s)",
                        status_name(status));
    }
    clock_init(&import->clock, NULL, NULL, latest_us);
    return check_coupon(import, clock_now(&import->clock));
}

static int damaged(struct import *import, uint32_t rank) {
    return complain(&import->complaint, STATUS_DAMAGED,
                    "the record of coupon %llu is damaged at rank %u; run coupon verify",
                    (unsigned long long)import->coupon.id, rank);
}

static int take_holders(struct import *import, const struct issue_record *issues, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int status = engine_restore(import->holders, import->coupon.id, issues[i].reference.rank,
                                    digest_of(&import->key, slice_of(issues[i].user_id)), 0);
        if (status == STATUS_NO_MEMORY) {
            return complain(&import->complaint, status, "not enough memory for the record");
        }
        if (status) {
            return damaged(import, issues[i].reference.rank);
        }
    }
    return STATUS_OK;
}

static int read_holders(struct import *import) {
    static const struct engine_terms any = {0};
    struct issue_reference after = {import->coupon.id, 0};
    struct issue_record *issues = calloc(LEDGER_SLICE_MAX, sizeof(*issues));
    int status = engine_new(1, &import->holders);
    if (status == STATUS_OK) {
        status = engine_coupon_add(import->holders, import->coupon.id, &any);
    }
    if (status || !issues) {
        free(issues);
        return complain(&import->complaint, STATUS_NO_MEMORY, "not enough memory for the record");
    }
    size_t count = 0;
    do {
        status = ledger_issues_read(import->ledger, after, LEDGER_SLICE_MAX, issues, &count);
        status = status ? damaged(import, after.rank + 1) : take_holders(import, issues, count);
        after.rank += (uint32_t)count;
    } while (status == STATUS_OK && count > 0);
    free(issues);
    return status || after.rank == import->coupon.issued_quantity ? status
                                                                  : damaged(import, after.rank + 1);
}

/* ---- writing ---- */

/* The users as the ledger wants them; NULL without memory. */
static struct slice *users_of(const struct import *import) {
    struct slice *users = malloc(import->user_count * sizeof(users[0]));
    const char *text = import->texts.bytes;
    for (size_t i = 0; users && i < import->user_count; i++) {
        users[i] = (struct slice){text, (unsigned char)import->sizes.bytes[i]};
        text += users[i].size;
    }
    return users;
}

static int write_all(struct import *import, struct coupon_import *rows) {
    int64_t now_us = clock_now(&import->clock);
    int status = check_coupon(import, now_us); /* reading may have taken a while */
    if (status) {
        return status;
    }
    struct slice *users = users_of(import);
    if (!users) {
        return complain(&import->complaint, STATUS_NO_MEMORY, "not enough memory for the users");
    }
    rows->imported_us = now_us;
    status = ledger_import(import->ledger, rows, users, &import->complaint);
    free(users);
    return status;
}

/* ---- the whole ---- */

static int run(struct import *import, const char *const *values, uint64_t coupon_id, bool dry_run) {
    struct ledger_sqlite_options options = {
        .directory = values[OPTION_DATA], .existing_only = dry_run, .no_new = true};
    int status = ledger_sqlite_open(&options, &import->ledger, &import->complaint);
    if (status == STATUS_OK) {
        status = read_coupon(import, coupon_id);
    }
    if (status == STATUS_OK) {
        status = read_holders(import);
    }
    if (status == STATUS_OK) {
        status = read_file(import, values[OPTION_FILE]);
    }
    if (status == STATUS_OK) {
        status = conclude_file(import);
    }
    if (status) {
        return status;
    }
    uint32_t issued = import->coupon.issued_quantity;
    struct coupon_import rows = {.coupon_id = coupon_id,
                                 .first_rank = issued + 1,
                                 .last_rank = issued + (uint32_t)import->user_count};
    status = dry_run ? STATUS_OK : write_all(import, &rows);
    if (status == STATUS_OK) {
        printf("%s %zu issues of coupon %llu: ranks %u to %u\n",
               dry_run ? "would import" : "imported", import->user_count,
               (unsigned long long)coupon_id, rows.first_rank, rows.last_rank);
    }
    return status;
}

static int import_file(const char *const *values, uint64_t coupon_id, bool dry_run) {
    struct import import = {
        .file_name = strcmp(values[OPTION_FILE], "-") == 0 ? "stdin" : values[OPTION_FILE]};
    if (sodium_init() < 0) {
        return EXIT_CODE_FAILED;
    }
    digest_key_random(&import.key);
    int status = run(&import, values, coupon_id, dry_run);
    if (status) {
        fflush(stdout);
        fprintf(stderr, "coupon import: %s\n",
                import.complaint.text[0] ? import.complaint.text : status_name(status));
    }
    ledger_close(import.ledger, NULL); /* what was committed is safe, folded or not */
    engine_free(import.holders);
    buffer_done(&import.texts);
    buffer_done(&import.sizes);
    return status == STATUS_OK          ? EXIT_CODE_OK
           : status == STATUS_AMBIGUOUS ? EXIT_CODE_BROKEN
                                        : EXIT_CODE_FAILED;
}

static void print_help(void) {
    printf("coupon import: give issues of a coupon to users, without a claim of theirs\n\n"
           "usage: coupon import --data DIR --coupon N [--dry-run] FILE\n\n");
    options_print(specs);
    printf("\nFILE is CSV with a user a line, in quotes where it has a comma or a quote; a first\n"
           "line userId or user_id is passed over. All of it is imported or nothing: when a line\n"
           "cannot be, errors are told as FILE:LINE: and the record stays as it is. Ranks follow\n"
           "those issued. A coupon may have begun, be paused or not have begun, but not be ended.\n"
           "At most 10,000,000 lines. The server must be stopped.\n"
           "\n"
           "Exit code 0: all is imported, or with --dry-run could be; 1: nothing was; 2: wrong\n"
           "options; 3: the disk failed in a way that leaves unknown what was written (see with\n"
           "coupon export before you try again).\n");
}

int command_import(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    uint64_t coupon_id = 0;
    bool help = false;
    if (!options_read("import", specs, argc, argv, values, &help)) {
        if (help) {
            print_help();
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    if (!values[OPTION_FILE] || !values[OPTION_COUPON]) {
        fprintf(stderr, "coupon import: %s is missing; see coupon import --help\n",
                values[OPTION_COUPON] ? "FILE" : "--coupon");
        return EXIT_CODE_USAGE;
    }
    if (!option_number(&specs[OPTION_COUPON], values[OPTION_COUPON], 1, (uint64_t)JSON_INTEGER_MAX,
                       &coupon_id)) {
        return EXIT_CODE_USAGE;
    }
    return import_file(values, coupon_id, values[OPTION_DRY_RUN] != NULL);
}

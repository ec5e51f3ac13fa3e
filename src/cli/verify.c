/* coupon verify: every row of the record against I1, I2, I4 and I5, by the revisions that
 * were in force. Reads only; the record is left as it is. */
#include "cli/options.h"
#include "cli/verify_redis.h"
#include "engine/engine.h"
#include "ledger/ledger.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum option { OPTION_DATA, OPTION_LEDGER, OPTION_REDIS, OPTION_COUNT };

static const struct option_spec specs[] = {
    [OPTION_DATA] = {"data", "DIR", "the data folder of a server that is stopped; default: data",
                     NULL},
    [OPTION_LEDGER] = {"ledger", "URL",
                       "instead of a data folder: the SQL server's database, as for coupon serve; "
                       "servers may go on using it",
                       NULL},
    [OPTION_REDIS] = {"redis", "URL",
                      "with --ledger: the Redis in front of it too, compared with the record",
                      NULL},
    [OPTION_COUNT] = {NULL, NULL, NULL, NULL},
};

/* After so many lines violations are counted only. */
enum { VIOLATIONS_SHOWN_MAX = 1000 };

struct verification {
    struct engine *holders; /* of the one coupon at hand; with the rank in the place of the time */
    struct digest_key key;
    struct coupon_record coupon; /* whose rows come; id 0: none yet */
    struct coupon_revision *revisions;
    size_t revision_count;
    size_t revision_capacity;
    size_t in_force; /* index of the revision of the present rank */
    struct coupon_import *imports;
    size_t import_count;
    size_t import_capacity;
    size_t import_next; /* index of the first import that is not over at the present rank */
    uint32_t row_count;
    uint32_t last_rank;
    int64_t last_issued_us;
    uint64_t coupon_violations;
    uint64_t violations;
    uint64_t coupons;
    uint64_t issues;
};

/* What a terminal could take as an order is shown as \xNN: the file may hold anything. C1
 * control characters are two bytes of UTF-8, 0xC2 and 0x80 to 0x9F. */
static void append_shown(struct buffer *shown, struct slice text) {
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        unsigned char next = i + 1 < text.size ? (unsigned char)text.bytes[i + 1] : 0;
        bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f);
        if (control) {
            buffer_format(shown, "\\x%02x", c);
        } else {
            buffer_append(shown, &c, 1);
        }
    }
    buffer_append(shown, "", 1);
}

static void PRINTF_LIKE(4, 5) violation(struct verification *verification, const char *invariant,
                                        uint32_t rank, const char *format, ...) {
    verification->violations++;
    verification->coupon_violations++;
    if (verification->violations > VIOLATIONS_SHOWN_MAX) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    printf("violation of %s: coupon %llu", invariant, (unsigned long long)verification->coupon.id);
    if (rank) {
        printf(" rank %u", rank);
    }
    printf(": ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* ---- a coupon's end and beginning ---- */

static void check_last_revision(struct verification *verification) {
    const struct coupon_record *coupon = &verification->coupon;
    if (verification->revision_count == 0) {
        violation(verification, "I5", 0, "it has no revision");
        return;
    }
    const struct coupon_revision *last = &verification->revisions[verification->revision_count - 1];
    if (last->version != coupon->version || last->total_quantity != coupon->total_quantity ||
        last->issue_start_us != coupon->issue_start_us ||
        last->issue_end_us != coupon->issue_end_us || last->paused != coupon->paused ||
        last->archived != (coupon->archived_us != 0)) {
        violation(verification, "I5", 0, "it differs from its last revision, version %u",
                  last->version);
    }
}

static void finish_coupon(struct verification *verification) {
    const struct coupon_record *coupon = &verification->coupon;
    char total[24] = "unlimited";
    if (coupon->id == 0) {
        return;
    }
    check_last_revision(verification);
    if (verification->row_count != coupon->issued_quantity) {
        violation(verification, "I4", 0, "it counts %u issues and has %u", coupon->issued_quantity,
                  verification->row_count);
    }
    if (coupon->total_quantity != COUPON_UNLIMITED) {
        snprintf(total, sizeof(total), "%lld", (long long)coupon->total_quantity);
        if (verification->row_count > coupon->total_quantity) {
            violation(verification, "I1", 0, "it has %u issues of %s", verification->row_count,
                      total);
        }
    }
    struct buffer title = {0};
    append_shown(&title, slice_of(coupon->title));
    printf("%16llu %10u %10s %9zu %10llu  %s\n", (unsigned long long)coupon->id,
           verification->row_count, total, verification->revision_count,
           (unsigned long long)verification->coupon_violations, title.failed ? "" : title.bytes);
    buffer_done(&title);
    engine_coupon_remove(verification->holders, coupon->id);
    while (engine_tend(verification->holders, false)) { /* or it would be kept to the end */
    }
}

static int on_coupon(void *context, const struct coupon_record *coupon) {
    static const struct engine_terms any = {0};
    struct verification *verification = context;
    finish_coupon(verification);
    verification->coupon = *coupon;
    verification->revision_count = 0;
    verification->in_force = 0;
    verification->import_count = 0;
    verification->import_next = 0;
    verification->row_count = 0;
    verification->last_rank = 0;
    verification->last_issued_us = 0;
    verification->coupon_violations = 0;
    verification->coupons++;
    return engine_coupon_add(verification->holders, coupon->id, &any);
}

/* The newest revision against the one before: which ranks a revision speaks for must itself
 * be believable, or a false first_rank would excuse what was issued against the terms. */
static void check_history(struct verification *verification) {
    size_t count = verification->revision_count;
    const struct coupon_revision *newest = &verification->revisions[count - 1];
    const struct coupon_revision *before = count > 1 ? newest - 1 : NULL;
    if (before ? newest->first_rank < before->first_rank : newest->first_rank != 1) {
        violation(verification, "I5", 0, "version %u cannot begin with rank %u", newest->version,
                  newest->first_rank);
    }
    if (newest->first_rank > (uint64_t)verification->coupon.issued_quantity + 1) {
        violation(verification, "I5", 0, "version %u begins with rank %u, and %u are issued",
                  newest->version, newest->first_rank, verification->coupon.issued_quantity);
    }
    if (before && newest->changed_us < before->changed_us) {
        violation(verification, "I5", 0, "version %u is older than the one before it",
                  newest->version);
    }
    if (newest->total_quantity != COUPON_UNLIMITED &&
        newest->total_quantity < (int64_t)newest->first_rank - 1) {
        violation(verification, "I1", 0, "version %u has a quantity of %lld, less than was issued",
                  newest->version, (long long)newest->total_quantity);
    }
}

static int on_revision(void *context, const struct coupon_revision *revision) {
    struct verification *verification = context;
    if (verification->revision_count == verification->revision_capacity) {
        size_t capacity = verification->revision_capacity * 2 + 16;
        struct coupon_revision *revisions =
            realloc(verification->revisions, capacity * sizeof(revisions[0]));
        if (!revisions) {
            return STATUS_NO_MEMORY;
        }
        verification->revisions = revisions;
        verification->revision_capacity = capacity;
    }
    verification->revisions[verification->revision_count++] = *revision;
    check_history(verification);
    if (revision->version != verification->revision_count) {
        violation(verification, "I5", 0, "revision %zu has version %u",
                  verification->revision_count, revision->version);
    }
    return STATUS_OK;
}

/* ---- imports ---- */

/* A false range would excuse what was claimed against the terms. */
static void check_import(struct verification *verification, const struct coupon_import *import,
                         uint32_t former_last_rank) {
    if (import->first_rank > import->last_rank) {
        violation(verification, "I5", import->first_rank, "an import cannot end with rank %u",
                  import->last_rank);
    }
    if (import->last_rank > verification->coupon.issued_quantity) {
        violation(verification, "I5", import->first_rank,
                  "an import ends with rank %u, and %u are issued", import->last_rank,
                  verification->coupon.issued_quantity);
    }
    if (import->first_rank <= former_last_rank) {
        violation(verification, "I5", import->first_rank,
                  "an import begins within the one before, which ends with rank %u",
                  former_last_rank);
    }
}

static int on_import(void *context, const struct coupon_import *import) {
    struct verification *verification = context;
    size_t count = verification->import_count;
    if (count == verification->import_capacity) {
        size_t capacity = count * 2 + 16;
        struct coupon_import *imports =
            realloc(verification->imports, capacity * sizeof(imports[0]));
        if (!imports) {
            return STATUS_NO_MEMORY;
        }
        verification->imports = imports;
        verification->import_capacity = capacity;
    }
    check_import(verification, import, count ? verification->imports[count - 1].last_rank : 0);
    verification->imports[verification->import_count++] = *import;
    return STATUS_OK;
}

/* Whether the operator gave this rank, and so the period's start and a pause do not bind it. */
static bool check_imported(struct verification *verification, const struct issue_row *issue) {
    uint32_t rank = issue->reference.rank;
    while (verification->import_next < verification->import_count &&
           verification->imports[verification->import_next].last_rank < rank) {
        verification->import_next++;
    }
    if (verification->import_next == verification->import_count ||
        verification->imports[verification->import_next].first_rank > rank) {
        return false;
    }
    const struct coupon_import *import = &verification->imports[verification->import_next];
    if (issue->issued_at_us != import->imported_us || issue->request_key.size > 0) {
        violation(verification, "I5", rank, "it was not issued by the import from rank %u on",
                  import->first_rank);
    }
    return true;
}

/* ---- an issue ---- */

static void check_order(struct verification *verification, const struct issue_row *issue) {
    uint32_t rank = issue->reference.rank;
    if (rank != verification->last_rank + 1) {
        violation(verification, "I4", rank, "the rank before it is %u", verification->last_rank);
    }
    if (issue->issued_at_us < verification->last_issued_us) {
        violation(verification, "I4", rank, "it was issued before the rank before it");
    }
}

/* A pause and the period's start bind claims and not imports
 * (docs/decisions/0007-imports.md). */
static void check_period(struct verification *verification, const struct issue_row *issue,
                         const struct coupon_revision *terms, bool imported) {
    uint32_t rank = issue->reference.rank;
    bool early = issue->issued_at_us < terms->issue_start_us && !imported;
    if (early || issue->issued_at_us >= terms->issue_end_us) {
        char text[TIME_TEXT_SIZE];
        time_format(issue->issued_at_us, text);
        violation(verification, "I5", rank, "issued at %s, out of the period (version %u)", text,
                  terms->version);
    }
    if ((terms->paused && !imported) || terms->archived) {
        violation(verification, "I5", rank, "issued while it was %s (version %u)",
                  terms->archived ? "archived" : "paused", terms->version);
    }
}

static void check_terms(struct verification *verification, const struct issue_row *issue) {
    uint32_t rank = issue->reference.rank;
    bool imported = check_imported(verification, issue);
    const struct coupon_revision *revisions = verification->revisions;
    if (verification->revision_count == 0) {
        return; /* told once, at the coupon's end */
    }
    while (verification->in_force + 1 < verification->revision_count &&
           revisions[verification->in_force + 1].first_rank <= rank) {
        verification->in_force++;
    }
    const struct coupon_revision *terms = &revisions[verification->in_force];
    if (terms->total_quantity != COUPON_UNLIMITED && rank > terms->total_quantity) {
        violation(verification, "I1", rank, "the quantity was %lld (version %u)",
                  (long long)terms->total_quantity, terms->version);
    }
    check_period(verification, issue, terms, imported);
    if (issue->issued_at_us < terms->changed_us) {
        violation(verification, "I5", rank, "issued before version %u was in force",
                  terms->version);
    }
    if (verification->in_force + 1 < verification->revision_count &&
        issue->issued_at_us > terms[1].changed_us) {
        violation(verification, "I5", rank, "issued after version %u was no longer in force",
                  terms->version);
    }
}

static int check_holder(struct verification *verification, const struct issue_row *issue) {
    struct digest user = digest_of(&verification->key, issue->user_id);
    int status = engine_restore(verification->holders, verification->coupon.id,
                                engine_issued(verification->holders, verification->coupon.id) + 1,
                                user, issue->reference.rank);
    if (status != STATUS_EXISTS) {
        return status;
    }
    uint32_t place = 0;
    int64_t former_rank = 0;
    if (engine_holding(verification->holders, verification->coupon.id, user, &place,
                       &former_rank) == STATUS_OK) {
        struct buffer shown = {0};
        append_shown(&shown, issue->user_id);
        violation(verification, "I2", issue->reference.rank, "user %s holds rank %lld already",
                  shown.failed ? "" : shown.bytes, (long long)former_rank);
        buffer_done(&shown);
    }
    return STATUS_OK;
}

static int on_issue(void *context, const struct issue_row *issue) {
    struct verification *verification = context;
    check_order(verification, issue);
    check_terms(verification, issue);
    verification->last_rank = issue->reference.rank;
    verification->last_issued_us = issue->issued_at_us;
    verification->row_count++;
    verification->issues++;
    return check_holder(verification, issue);
}

static int on_orphan(void *context, uint64_t coupon_id) {
    struct verification *verification = context;
    printf("violation of I1: coupon %llu: it has issues or imports and does not exist\n",
           (unsigned long long)coupon_id);
    verification->violations++;
    return STATUS_OK;
}

static void on_progress(void *context, uint64_t visited, uint64_t total) {
    (void)context;
    if (visited % 1000000 == 0) {
        log_event(LOG_INFO, "verifying", LOG_NUMBER("issues", visited), LOG_NUMBER("of", total));
    }
}

/* ---- the whole ---- */

static int judge(struct ledger *ledger, struct verification *verification,
                 struct complaint *complaint) {
    struct ledger_visitor visitor = {
        .context = verification,
        .archived_too = true,
        .coupon = on_coupon,
        .revision = on_revision,
        .import = on_import,
        .issue = on_issue,
        .orphan = on_orphan,
        .progress = on_progress,
    };
    printf("%16s %10s %10s %9s %10s  %s\n", "coupon", "issued", "total", "revisions", "violations",
           "title");
    int status = ledger_visit(ledger, &visitor, complaint);
    if (status == STATUS_OK) {
        finish_coupon(verification);
        status = ledger_check(ledger, complaint);
    }
    return status;
}

static int conclude(const struct verification *verification, int status,
                    const struct complaint *complaint) {
    if (status == STATUS_DAMAGED) {
        printf("the file is damaged: %s\n", complaint->text);
        return EXIT_CODE_FAILED;
    }
    if (status) {
        fprintf(stderr, "coupon verify: stopped (%s): %s\n", status_name(status), complaint->text);
        return EXIT_CODE_USAGE;
    }
    printf("\n%llu coupons, %llu issues checked: ", (unsigned long long)verification->coupons,
           (unsigned long long)verification->issues);
    if (verification->violations) {
        printf("%llu violations\n", (unsigned long long)verification->violations);
        return EXIT_CODE_FAILED;
    }
    printf("no violation of I1, I2, I4, I5\n");
    return EXIT_CODE_OK;
}

static int open_ledger(const char **values, struct ledger **ret_ledger,
                       struct complaint *complaint) {
    if (values[OPTION_LEDGER]) {
        struct ledger_sql_options options = {.url = values[OPTION_LEDGER], .existing_only = true};
        return ledger_open_url(&options, ret_ledger, complaint);
    }
    const char *directory = values[OPTION_DATA] ? values[OPTION_DATA] : "data";
    struct ledger_sqlite_options options = {.directory = directory, .existing_only = true};
    return ledger_sqlite_open(&options, ret_ledger, complaint);
}

/* The worse of the two: violations, then what could not be compared. */
static int with_redis(const char **values, int record_code) {
    int redis_code = verify_redis(values[OPTION_REDIS], values[OPTION_LEDGER]);
    return record_code == EXIT_CODE_OK ? redis_code : record_code;
}

static int verify(const char **values) {
    struct complaint complaint = {0};
    struct ledger *ledger = NULL;
    struct verification verification = {0};
    int status = open_ledger(values, &ledger, &complaint);
    if (status) {
        fprintf(stderr, "coupon verify: %s\n", complaint.text);
        return status == STATUS_DAMAGED ? EXIT_CODE_FAILED : EXIT_CODE_USAGE;
    }
    status = sodium_init() < 0 ? STATUS_NO_MEMORY : engine_new(1, &verification.holders);
    if (status == STATUS_OK) {
        digest_key_random(&verification.key);
        status = judge(ledger, &verification, &complaint);
    }
    int exit_code = conclude(&verification, status, &complaint);
    ledger_close(ledger, NULL);
    engine_free(verification.holders);
    free(verification.revisions);
    free(verification.imports);
    return values[OPTION_REDIS] && exit_code != EXIT_CODE_USAGE ? with_redis(values, exit_code)
                                                                : exit_code;
}

int command_verify(int argc, char **argv) {
    const char *values[OPTION_COUNT];
    bool help = false;
    if (!options_read("verify", specs, argc, argv, values, &help)) {
        if (help) {
            printf("coupon verify: check every issue in the record against the promises\n\n"
                   "usage: coupon verify [options]\n\n");
            options_print(specs);
            printf("\nJudges each row by the terms that were in force for it: I1 never more than\n"
                   "the quantity, I2 one a user, I4 ranks without gaps, I5 only within the\n"
                   "period. With --redis gates, queues, counts and holders are compared too: each\n"
                   "difference is told with what it means, and is a violation only where Redis\n"
                   "says more than is true. Changes nothing. Exit code 0: no violation; 1:\n"
                   "violations, or a damaged record; 2: could not be checked (a server holds the\n"
                   "folder, no file, the SQL server or Redis is away).\n");
        }
        return help ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    }
    if (values[OPTION_DATA] && values[OPTION_LEDGER]) {
        fprintf(stderr, "coupon verify: the record is in --data or in --ledger, not in both\n");
        return EXIT_CODE_USAGE;
    }
    if (values[OPTION_REDIS] && !values[OPTION_LEDGER]) {
        fprintf(stderr, "coupon verify: --redis goes with --ledger, the record it stands before\n");
        return EXIT_CODE_USAGE;
    }
    return verify(values);
}

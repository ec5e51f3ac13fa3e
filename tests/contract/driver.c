/* A ledger that does what lines on its input say and tells how each went: for the tests that take
 * the server away from under it (test_faults.py).
 *
 *   contract-driver URL [weak] [lock-ms=N] [statement-ms=N] [idle-ms=N]
 *
 * One line in, one line out: the status's name, then a number or the complaint. */
#include "ledger/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_US INT64_C(1760000000000000)

static struct ledger *ledger;
static struct ledger_sql_options options;
static struct complaint complaint;

static int do_open(const uint64_t numbers[3], uint64_t *ret_number) {
    (void)numbers;
    (void)ret_number;
    return ledger_open_url(&options, &ledger, &complaint);
}

static int do_close(const uint64_t numbers[3], uint64_t *ret_number) {
    (void)numbers;
    (void)ret_number;
    int status = ledger_close(ledger, &complaint);
    ledger = NULL;
    return status;
}

/* create TOTAL: tells the id. */
static int do_create(const uint64_t numbers[3], uint64_t *ret_number) {
    struct coupon_record coupon = {.title = "a coupon",
                                   .total_quantity = (int64_t)numbers[0],
                                   .issue_start_us = NOW_US,
                                   .issue_end_us = NOW_US + 1,
                                   .created_us = NOW_US,
                                   .updated_us = NOW_US};
    struct audit audit = {.admin = slice_of("driver")};
    int status = ledger_coupon_create(ledger, &coupon, NULL, &audit, &complaint);
    *ret_number = coupon.id;
    return status;
}

/* change ID VERSION TOTAL */
static int do_change(const uint64_t numbers[3], uint64_t *ret_number) {
    struct coupon_record coupon;
    struct audit audit = {.admin = slice_of("driver")};
    int status = ledger_coupon_read(ledger, numbers[0], &coupon);
    if (status < 0) {
        return status;
    }
    coupon.version = (uint32_t)numbers[1];
    coupon.total_quantity = (int64_t)numbers[2];
    *ret_number = numbers[1];
    return ledger_coupon_change(ledger, &coupon, &audit, &complaint);
}

/* append ID FIRST COUNT: ranks from FIRST on, users "u<rank>". */
static int do_append(const uint64_t numbers[3], uint64_t *ret_number) {
    size_t count = numbers[2];
    struct issue_row *rows = calloc(count, sizeof(*rows));
    char(*users)[16] = calloc(count, sizeof(*users));
    assert(rows && users);
    for (size_t i = 0; i < count; i++) {
        uint32_t rank = (uint32_t)(numbers[1] + i);
        snprintf(users[i], sizeof(users[i]), "u%u", rank);
        rows[i] = (struct issue_row){
            .reference = {numbers[0], rank}, .user_id = slice_of(users[i]), .issued_at_us = NOW_US};
    }
    struct issued_count issued = {numbers[0], (uint32_t)(numbers[1] + count - 1)};
    int status = ledger_append(ledger, rows, count, &issued, 1, &complaint);
    *ret_number = issued.issued_quantity;
    free(rows);
    free(users);
    return status;
}

/* open-coupon TOTAL: one that is open by the server's clock; tells the id. */
static int do_open_coupon(const uint64_t numbers[3], uint64_t *ret_number) {
    int64_t now_us = 0;
    int status = ledger_now_us(ledger, &now_us);
    struct coupon_record coupon = {.title = "a coupon",
                                   .total_quantity = (int64_t)numbers[0],
                                   .issue_start_us = now_us,
                                   .issue_end_us = now_us + 3600 * US_PER_SECOND,
                                   .created_us = now_us,
                                   .updated_us = now_us};
    if (status == STATUS_OK) {
        status = ledger_coupon_create(ledger, &coupon, NULL, NULL, &complaint);
    }
    *ret_number = coupon.id;
    return status;
}

/* Claims by "u<FIRST>" … "u<FIRST+COUNT-1>", whose ids are the same words. */
static struct settle_claim *claims_make(const uint64_t numbers[3], char (**ret_users)[16]) {
    struct settle_claim *claims = calloc(numbers[2], sizeof(*claims));
    char(*users)[16] = calloc(numbers[2], sizeof(*users));
    assert(claims && users);
    for (size_t i = 0; i < numbers[2]; i++) {
        snprintf(users[i], sizeof(users[i]), "u%" PRIu64, numbers[1] + i);
        claims[i] = (struct settle_claim){.coupon_id = numbers[0],
                                          .user_id = slice_of(users[i]),
                                          .claim_id = slice_of(users[i]),
                                          .n = numbers[1],
                                          .index = (uint32_t)i};
    }
    *ret_users = users;
    return claims;
}

/* How many are said to be issued; or, where none is, to be so already, for the same claim. */
static uint64_t issued_count(const struct settle_claim *claims, size_t count) {
    uint64_t issued = 0;
    uint64_t same = 0;
    for (size_t i = 0; i < count; i++) {
        issued += claims[i].outcome == SETTLE_ISSUED;
        same += claims[i].outcome == SETTLE_ALREADY_ISSUED && claims[i].same_claim;
    }
    return issued > 0 ? issued : same;
}

static int settle(const uint64_t numbers[3], bool fresh, struct ledger_cursor *cursor,
                  uint64_t *ret_number) {
    char(*users)[16];
    struct settle_claim *claims = claims_make(numbers, &users);
    struct settlement settlement = {.claims = claims,
                                    .count = numbers[2],
                                    .fresh = fresh,
                                    .cursor = cursor,
                                    .cursor_n = numbers[1]};
    int status = ledger_settle(ledger, &settlement, &complaint);
    *ret_number = issued_count(claims, settlement.count);
    free(claims);
    free(users);
    return status;
}

/* settle ID FIRST COUNT: as above. */
static int do_settle(const uint64_t numbers[3], uint64_t *ret_number) {
    return settle(numbers, false, NULL, ret_number);
}

static int do_settle_fresh(const uint64_t numbers[3], uint64_t *ret_number) {
    return settle(numbers, true, NULL, ret_number);
}

/* consume ID N COUNT: entry N of the coupon's queue, users from "u<N>" on. */
static int do_consume(const uint64_t numbers[3], uint64_t *ret_number) {
    struct ledger_cursor cursor = {.partition = (unsigned)(numbers[0] % PARTITION_COUNT),
                                   .n = numbers[1] - 1};
    return settle(numbers, true, &cursor, ret_number);
}

/* look ID FIRST COUNT: how many wait. */
static int do_look(const uint64_t numbers[3], uint64_t *ret_number) {
    char(*users)[16];
    struct settle_claim *claims = claims_make(numbers, &users);
    int status = ledger_look(ledger, claims, numbers[2], &complaint);
    *ret_number = 0;
    for (size_t i = 0; status == STATUS_OK && i < numbers[2]; i++) {
        *ret_number += claims[i].outcome == SETTLE_WAITING;
    }
    free(claims);
    free(users);
    return status;
}

/* holding ID USER: the rank of "u<USER>". */
static int do_holding(const uint64_t numbers[3], uint64_t *ret_number) {
    char user[24];
    struct issue_record issue;
    snprintf(user, sizeof(user), "u%" PRIu64, numbers[1]);
    int status = ledger_holding_read(ledger, numbers[0], slice_of(user), &issue);
    *ret_number = status == STATUS_OK ? issue.reference.rank : 0;
    return status;
}

/* holdings USER: how many "u<USER>" has. */
static int do_holdings(const uint64_t numbers[3], uint64_t *ret_number) {
    static struct issue_record issues[LEDGER_SLICE_MAX];
    char user[24];
    size_t count = 0;
    snprintf(user, sizeof(user), "u%" PRIu64, numbers[0]);
    int status = ledger_holdings_read(ledger, slice_of(user), 0, LEDGER_SLICE_MAX, issues, &count);
    *ret_number = count;
    return status;
}

struct seen {
    uint64_t coupon_id;
    uint32_t issued;
    uint32_t ranks;
    uint64_t orphans;
};

static int on_coupon(void *context, const struct coupon_record *coupon) {
    struct seen *seen = context;
    if (coupon->id == seen->coupon_id) {
        seen->issued = coupon->issued_quantity;
    }
    return STATUS_OK;
}

static int on_issue(void *context, const struct issue_row *issue) {
    struct seen *seen = context;
    if (issue->reference.coupon_id == seen->coupon_id && issue->reference.rank != ++seen->ranks) {
        return complain(&complaint, STATUS_CONFLICT, "rank %u is there, and not rank %u",
                        issue->reference.rank, seen->ranks);
    }
    return STATUS_OK;
}

static int on_orphan(void *context, uint64_t coupon_id) {
    ((struct seen *)context)->orphans = coupon_id;
    return STATUS_OK;
}

/* ranks ID: how many there are, without gaps and as issued_quantity says. */
static int do_ranks(const uint64_t numbers[3], uint64_t *ret_number) {
    struct seen seen = {.coupon_id = numbers[0]};
    struct ledger_visitor visitor = {.context = &seen,
                                     .archived_too = true,
                                     .coupon = on_coupon,
                                     .issue = on_issue,
                                     .orphan = on_orphan};
    int status = ledger_visit(ledger, &visitor, &complaint);
    if (status == STATUS_OK && seen.issued != seen.ranks) {
        return complain(&complaint, STATUS_CONFLICT, "%u ranks, but %u issued", seen.ranks,
                        seen.issued);
    }
    *ret_number = seen.ranks;
    return status;
}

/* orphan: the last coupon that is not there and has issues or imports. */
static int do_orphan(const uint64_t numbers[3], uint64_t *ret_number) {
    struct seen seen = {.coupon_id = 0};
    struct ledger_visitor visitor = {.context = &seen, .orphan = on_orphan};
    (void)numbers;
    int status = ledger_visit(ledger, &visitor, &complaint);
    *ret_number = seen.orphans;
    return status;
}

/* read ID: its issued_quantity. */
static int do_read(const uint64_t numbers[3], uint64_t *ret_number) {
    struct coupon_record coupon;
    int status = ledger_coupon_read(ledger, numbers[0], &coupon);
    *ret_number = status == STATUS_OK ? coupon.issued_quantity : 0;
    return status;
}

/* audits: how many there are; their ids are 1, 2, 3 … */
static int do_audits(const uint64_t numbers[3], uint64_t *ret_number) {
    static struct audit_record audits[LEDGER_SLICE_MAX];
    size_t count = 0;
    (void)numbers;
    int status = ledger_audits_read(ledger, 0, LEDGER_SLICE_MAX, audits, &count);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        if (audits[i].id != i + 1) {
            return complain(&complaint, STATUS_CONFLICT, "audit %" PRIu64 " is not %zu",
                            audits[i].id, i + 1);
        }
    }
    *ret_number = count;
    return status;
}

static int do_probe(const uint64_t numbers[3], uint64_t *ret_number) {
    (void)numbers;
    (void)ret_number;
    return ledger_probe(ledger, &complaint);
}

static int do_check(const uint64_t numbers[3], uint64_t *ret_number) {
    (void)numbers;
    (void)ret_number;
    return ledger_check(ledger, &complaint);
}

static const struct {
    const char *word;
    int (*run)(const uint64_t numbers[3], uint64_t *ret_number);
} commands[] = {
    {"open", do_open},       {"close", do_close},
    {"create", do_create},   {"change", do_change},
    {"append", do_append},   {"ranks", do_ranks},
    {"read", do_read},       {"audits", do_audits},
    {"probe", do_probe},     {"check", do_check},
    {"orphan", do_orphan},   {"open-coupon", do_open_coupon},
    {"settle", do_settle},   {"settle-fresh", do_settle_fresh},
    {"consume", do_consume}, {"look", do_look},
    {"holding", do_holding}, {"holdings", do_holdings},
};

static int run(char *line, uint64_t *ret_number) {
    uint64_t numbers[3] = {0, 0, 0};
    char *rest = line + strcspn(line, " \n");
    for (int i = 0; i < 3 && *rest == ' '; i++) {
        numbers[i] = strtoull(rest + 1, &rest, 10);
    }
    struct slice word = {line, strcspn(line, " \n")};
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (slice_is(word, commands[i].word)) {
            return commands[i].run(numbers, ret_number);
        }
    }
    return complain(&complaint, STATUS_INVALID, "no such command");
}

static void option_read(const char *word) {
    static const char *const names[] = {"lock-ms=", "statement-ms=", "idle-ms="};
    int64_t *const places[] = {&options.lock_timeout_us, &options.statement_timeout_us,
                               &options.idle_timeout_us};
    options.weak_durability |= strcmp(word, "weak") == 0;
    options.existing_only |= strcmp(word, "existing") == 0;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        size_t size = strlen(names[i]);
        if (strncmp(word, names[i], size) == 0) {
            *places[i] = strtoll(word + size, NULL, 10) * 1000;
        }
    }
}

int main(int count, char **words) {
    char line[256];
    if (count < 2) {
        fprintf(stderr, "contract-driver URL [weak] [existing] [lock-ms=N] [statement-ms=N]\n");
        return 2;
    }
    options.url = words[1];
    for (int i = 2; i < count; i++) {
        option_read(words[i]);
    }
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t number = 0;
        complaint.text[0] = '\0';
        int status = run(line, &number);
        if (status == STATUS_OK) {
            printf("ok %" PRIu64 "\n", number);
        } else {
            printf("%s %s\n", status_name(status), complaint.text);
        }
        fflush(stdout);
    }
    return ledger_close(ledger, NULL) == STATUS_OK ? 0 : 1;
}

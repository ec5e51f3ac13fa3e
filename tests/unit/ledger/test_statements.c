/* Each call of the ledger to SQLite fails in turn, and each value in a row is in turn not of the
 * type that the schema promises. A read says so or tells what is there; a write is done, not done
 * or unknown, as it says, never by halves; and unless it stopped, the ledger works. */
#include "support_calls.h"
#include "support_world.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define CALLS_MAX 2000

/* ---- reads ---- */

static uint64_t seen; /* by a read: the same as long as nobody writes */

static int read_coupon(struct ledger *ledger) {
    struct coupon_record coupon = {.id = 0};
    int status = ledger_coupon_read(ledger, 1, &coupon);
    seen = coupon.issued_quantity;
    return status;
}
static int read_coupons(struct ledger *ledger) {
    static struct coupon_record coupons[5];
    size_t count = 0;
    int status = ledger_coupons_read(ledger, 0, 5, coupons, &count);
    seen = count;
    return status;
}
static int read_issue(struct ledger *ledger) {
    struct issue_record issue = {.reference = {0, 0}};
    int status = ledger_issue_read(ledger, (struct issue_reference){1, 3}, &issue);
    seen = issue.reference.rank;
    return status;
}
static int read_issues(struct ledger *ledger) {
    static struct issue_record issues[20];
    size_t count = 0;
    int status = ledger_issues_read(ledger, (struct issue_reference){1, 0}, 20, issues, &count);
    seen = count;
    return status;
}
static int read_audits(struct ledger *ledger) {
    static struct audit_record audits[20];
    size_t count = 0;
    int status = ledger_audits_read(ledger, 0, 20, audits, &count);
    seen = count;
    return status;
}
static int read_latest(struct ledger *ledger) {
    int64_t latest_us = 0;
    int status = ledger_latest_us(ledger, &latest_us);
    seen = (uint64_t)latest_us;
    return status;
}
static int read_creation(struct ledger *ledger) {
    struct creation_key key = {.key = slice_of("key")};
    seen = 0;
    return ledger_creation_read(ledger, &key, &seen);
}
#define COUNTS(name, type)                                                                         \
    static int name(void *context, const struct type *row) {                                       \
        (void)context;                                                                             \
        (void)row;                                                                                 \
        seen++;                                                                                    \
        return STATUS_OK;                                                                          \
    }
COUNTS(count_coupon, coupon_record)
COUNTS(count_revision, coupon_revision)
COUNTS(count_import, coupon_import)
COUNTS(count_issue, issue_row)
static int read_all(struct ledger *ledger) {
    struct ledger_visitor visitor = {.archived_too = true,
                                     .coupon = count_coupon,
                                     .revision = count_revision,
                                     .import = count_import,
                                     .issue = count_issue};
    seen = 0;
    return ledger_visit(ledger, &visitor, &complaint);
}
static int read_check(struct ledger *ledger) {
    seen = 0;
    return ledger_check(ledger, &complaint);
}

static int (*const reads[])(struct ledger *ledger) = {
    read_coupon, read_coupons,  read_issue, read_issues, read_audits,
    read_latest, read_creation, read_all,   read_check,
};

/* A ledger in which every table has rows. */
static struct ledger *ledger_full(const char *folder) {
    struct ledger *ledger = ledger_before(folder, false);
    for (size_t i = 0; i < CHANGE_COUNT; i++) {
        assert_int_equal(changes[i](ledger), STATUS_OK);
    }
    return ledger;
}

/* Lets the nth call of a read fail. Whether there was one. */
static bool fail_read(struct ledger *ledger, size_t i, enum call_kind kind, unsigned nth, int how,
                      uint64_t right) {
    calls_arm(kind, nth, how, false);
    int status = reads[i](ledger);
    bool failed = calls_disarm() > 0;
    if (failed && (status == STATUS_OK || status == STATUS_NOT_FOUND)) {
        fail_msg("read %zu, %d at %u: %s", i, how, nth, status_name(status));
    }
    if (failed && kind == CALLS_VALUE) {
        assert_int_equal(status, STATUS_DAMAGED);
    }
    assert_int_equal(reads[i](ledger), STATUS_OK);
    assert_int_equal(seen, right);
    return failed;
}

/* In how many places. */
static unsigned fail_reads(struct ledger *ledger, size_t i, enum call_kind kind, int how) {
    assert_int_equal(reads[i](ledger), STATUS_OK);
    uint64_t right = seen;
    unsigned nth = 1;
    while (fail_read(ledger, i, kind, nth, how, right)) {
        assert_true(++nth < CALLS_MAX);
    }
    return nth - 1;
}

static void a_read_that_fails_says_so_and_can_be_done_again(void **state) {
    static const int results[] = {SQLITE_IOERR_READ, SQLITE_NOMEM, SQLITE_CORRUPT, SQLITE_BUSY};
    struct ledger *ledger = ledger_full(*state);
    for (size_t i = 0; i < COUNT_OF(reads); i++) {
        for (size_t k = 0; k < COUNT_OF(results); k++) {
            assert_true(fail_reads(ledger, i, CALLS_SQLITE, results[k]) > 0);
        }
    }
    close_ledger(ledger);
}

static void a_value_of_another_type_is_damage(void **state) {
    struct ledger *ledger = ledger_full(*state);
    for (size_t i = 0; i < COUNT_OF(reads); i++) {
        unsigned values = fail_reads(ledger, i, CALLS_VALUE, SQLITE_BLOB);
        assert_true(values > 0 || reads[i] == read_check || reads[i] == read_latest);
    }
    close_ledger(ledger);
}

static void assert_creation_is_damaged(const char *folder, const char *sql) {
    sql_run(folder, sql);
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_int_equal(read_creation(ledger), STATUS_DAMAGED);
    close_ledger(ledger);
}

static void a_digest_that_is_none_is_damage(void **state) {
    close_ledger(ledger_full(*state));
    assert_creation_is_damaged(*state, "PRAGMA ignore_check_constraints = 1;"
                                       "UPDATE coupon_creations SET request_digest = x''");
    assert_creation_is_damaged(*state, "PRAGMA ignore_check_constraints = 1;"
                                       "UPDATE coupon_creations SET request_digest = x'00'");
}

/* ---- writes ---- */

/* Lets the nth call of a change fail. Whether there was one. */
static bool fail_change(change make, unsigned nth, int how, struct buffer *before,
                        struct buffer *after) {
    char *folder = folder_new();
    struct ledger *ledger = ledger_before(folder, false);
    complaint.text[0] = '\0';
    calls_arm(CALLS_SQLITE, nth, how, false);
    int status = make(ledger);
    bool failed = calls_disarm() > 0;
    if (status == STATUS_AMBIGUOUS) {
        assert_ambiguous(folder, ledger, before, after);
    } else if (status < 0) {
        assert_true(failed);
        assert_known(folder, ledger, make, before, after);
    } else {
        assert_false(failed);
        close_ledger(ledger);
    }
    folder_remove(folder);
    return failed;
}

static void a_change_that_fails_is_true_about_itself(void **state) {
    (void)state;
    static const int results[] = {SQLITE_IOERR_WRITE, SQLITE_FULL, SQLITE_NOMEM, SQLITE_CORRUPT,
                                  SQLITE_BUSY};
    for (size_t i = 0; i < CHANGE_COUNT; i++) {
        struct buffer before, after;
        learn(changes[i], &before, &after);
        for (size_t k = 0; k < COUNT_OF(results); k++) {
            unsigned nth = 1;
            while (fail_change(changes[i], nth, results[k], &before, &after)) {
                assert_true(++nth < CALLS_MAX);
            }
            assert_true(nth > 2); /* BEGIN, …, COMMIT */
        }
        buffer_done(&before);
        buffer_done(&after);
    }
}

/* Who calls may be wrong about a row; the record is not. */
static void a_row_that_cannot_be_is_not_appended(void **state) {
    char longest[USER_ID_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    struct slice too_long = {longest, sizeof(longest)};
    struct issue_row good = {
        .reference = {1, BEFORE + 1}, .user_id = slice_of("u"), .issued_at_us = NOW_US};
    struct issue_row rows[9] = {good, good, good, good, good, good, good, good, good};
    rows[0].reference.coupon_id = 0;
    rows[1].reference.coupon_id = JSON_INTEGER_MAX + 1;
    rows[2].reference.rank = 0;
    rows[3].user_id.size = 0;
    rows[4].user_id = too_long;
    rows[5].request_key = too_long;
    rows[6].claim_id = too_long;
    rows[7].issued_at_us = TIME_US_MIN - 1;
    rows[8].issued_at_us = TIME_US_MAX + 1;
    struct ledger *ledger = ledger_before(*state, false);
    struct issued_count count = {1, BEFORE + 1};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_complains(STATUS_CONFLICT,
                         ledger_append(ledger, &rows[i], 1, &count, 1, &complaint));
        assert_says("cannot be in a ledger");
    }
    assert_ranks(ledger, 1, BEFORE);
    assert_int_equal(ledger_append(ledger, &good, 1, &count, 1, &complaint), STATUS_OK);
    close_ledger(ledger);
}

static void the_row_of_the_probe_must_be_there(void **state) {
    struct ledger *ledger = ledger_full(*state);
    close_ledger(ledger);
    sql_run(*state, "DELETE FROM probes");
    ledger = open_ledger(*state, NULL);
    assert_complains(STATUS_DAMAGED, ledger_probe(ledger, &complaint));
    close_ledger(ledger);
}

static void a_fold_that_fails_is_done_later(void **state) {
    static const int results[] = {SQLITE_IOERR_WRITE, SQLITE_FULL, SQLITE_NOMEM, SQLITE_BUSY};
    struct ledger *ledger = ledger_full(*state);
    for (size_t k = 0; k < COUNT_OF(results); k++) {
        sqlite_of(ledger)->wal_frames = 2000; /* as if it were due */
        sqlite_of(ledger)->wal_frames_retry = 0;
        calls_arm(CALLS_SQLITE, 1, results[k], false);
        int status = ledger_tend(ledger, true, &complaint);
        assert_int_equal(calls_disarm(), 1);
        assert_int_equal(status == STATUS_OK, results[k] == SQLITE_BUSY);
        assert_int_not_equal(status, STATUS_AMBIGUOUS);
        assert_true(sqlite_of(ledger)->wal_frames >= 2000);
        assert_int_equal(ledger_probe(ledger, &complaint), STATUS_OK);
    }
    sqlite_of(ledger)->wal_frames = 2000;
    sqlite_of(ledger)->wal_frames_retry = 0;
    calls_arm(CALLS_SQLITE, 1, SQLITE_IOERR_FSYNC, false);
    assert_int_equal(ledger_tend(ledger, true, &complaint), STATUS_AMBIGUOUS);
    calls_disarm();
    assert_stopped(ledger);
    (void)ledger_close(ledger, NULL);
}

/* ---- opening ---- */

static bool fail_open(const char *from, unsigned nth, int how) {
    char *folder = folder_new();
    if (from) {
        folder_copy(from, folder);
    }
    calls_arm(CALLS_SQLITE, nth, how, false);
    struct ledger_sqlite_options options = {.directory = folder};
    struct ledger *ledger = NULL;
    complaint.text[0] = '\0';
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    bool failed = calls_disarm() > 0;
    assert_int_equal(status < 0, failed);
    assert_true(status == STATUS_OK || (!ledger && complaint.text[0] != '\0'));
    close_ledger(status < 0 ? open_ledger(folder, NULL) : ledger);
    folder_remove(folder);
    return failed;
}

static void an_open_that_fails_can_be_done_again(void **state) {
    static const int results[] = {SQLITE_IOERR_READ, SQLITE_NOMEM, SQLITE_FULL};
    make_ledger_with_wal(*state, 10, 10);
    for (int turn = 0; turn < 2; turn++) {
        unsigned nth = 1;
        while (fail_open(turn == 0 ? NULL : *state, nth, results[nth % COUNT_OF(results)])) {
            assert_true(++nth < CALLS_MAX);
        }
        assert_true(nth > 20);
    }
}

static int setup(void **state) {
    *state = folder_new();
    return 0;
}

static int teardown(void **state) {
    folder_remove(*state);
    return 0;
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    faults_register();
    faults.skip_sync = true;
    const struct CMUnitTest tests[] = {
        with_folder(a_read_that_fails_says_so_and_can_be_done_again),
        with_folder(a_value_of_another_type_is_damage),
        with_folder(a_digest_that_is_none_is_damage),
        with_folder(a_change_that_fails_is_true_about_itself),
        with_folder(a_row_that_cannot_be_is_not_appended),
        with_folder(the_row_of_the_probe_must_be_there),
        with_folder(a_fold_that_fails_is_done_later),
        with_folder(an_open_that_fails_can_be_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Files that are not a ledger, or a damaged one: refused or found, named, and left byte for
 * byte what they were. */
#include "support.h"

#include "ledger/sqlite_ledger.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state) {
    *state = folder_new();
    return 0;
}

static int teardown(void **state) {
    folder_remove(*state);
    return 0;
}

/* ---- what is not a ledger ---- */

/* Both ways to open refuse it, and not a byte in the folder changes. */
static void assert_refused(const char *folder, int status, const char *words) {
    file_write(path_of(folder, "coupon.lock"), "", 0);
    struct buffer before = folder_bytes(folder);
    assert_int_equal(open_status(folder, false), status);
    assert_says(words);
    assert_int_equal(open_status(folder, true), status);
    assert_folder_is(folder, &before);
}

static void a_text_file_is_refused(void **state) {
    char text[5000];
    memset(text, 'x', sizeof(text));
    file_write(path_of(*state, "coupon.db"), "notes\n", 6);
    assert_refused(*state, STATUS_DAMAGED, "is not an SQLite file");
    file_write(path_of(*state, "coupon.db"), text, sizeof(text));
    assert_refused(*state, STATUS_DAMAGED, "is not an SQLite file");
}

static void an_empty_file_is_refused(void **state) {
    file_write(path_of(*state, "coupon.db"), "", 0);
    assert_refused(*state, STATUS_DAMAGED, "is empty");
}

static void a_database_of_another_program_is_refused(void **state) {
    sql_run(*state, "CREATE TABLE songs (name)");
    assert_refused(*state, STATUS_DAMAGED, "not a ledger of coupon");
}

static void a_folder_in_its_place_is_refused(void **state) {
    assert_int_equal(mkdir(path_of(*state, "coupon.db"), 0700), 0);
    assert_int_equal(open_status(*state, false), STATUS_IO);
    assert_int_equal(rmdir(path_of(*state, "coupon.db")), 0);
}

static void a_flipped_header_is_refused(void **state) {
    const char *folder = *state;
    make_ledger(folder, 100);
    static const struct {
        off_t at;
        unsigned char bits;
    } flips[] = {{0, 0x20}, {14, 1}, {60, 0x80}, {63, 2}, {68, 1}, {71, 0x10}};
    for (size_t i = 0; i < COUNT_OF(flips); i++) {
        int fd = open(path_of(folder, "coupon.db"), O_RDWR);
        unsigned char byte;
        assert_int_equal(pread(fd, &byte, 1, flips[i].at), 1);
        unsigned char flipped = byte ^ flips[i].bits;
        assert_int_equal(pwrite(fd, &flipped, 1, flips[i].at), 1);
        assert_refused(folder, flips[i].at == 60 ? STATUS_NEWER : STATUS_DAMAGED, "coupon.db");
        assert_int_equal(pwrite(fd, &byte, 1, flips[i].at), 1);
        close(fd);
    }
    struct ledger *ledger = open_ledger(folder, NULL);
    close_ledger(ledger);
}

static void a_truncated_file_is_refused(void **state) {
    const char *folder = *state;
    make_ledger(folder, 1000);
    struct stat whole;
    assert_int_equal(stat(path_of(folder, "coupon.db"), &whole), 0);
    for (off_t size = whole.st_size - 1; size > 0; size = size / 3) {
        assert_int_equal(truncate(path_of(folder, "coupon.db"), size), 0);
        assert_refused(folder, STATUS_DAMAGED, "coupon.db");
    }
}

static void a_newer_schema_is_refused(void **state) {
    const char *folder = *state;
    make_ledger(folder, 10);
    sql_run(folder, "PRAGMA user_version = 99");
    assert_refused(folder, STATUS_NEWER, "newer coupon");
}

static void a_newer_schema_that_is_only_in_the_wal_is_refused(void **state) {
    const char *folder = *state;
    make_ledger(folder, 10);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of(folder, "coupon.db"), &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA locking_mode = EXCLUSIVE; PRAGMA user_version = 99;"
                                  "CREATE TABLE coupon_uses (id)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(exists(folder, "coupon.db-wal"));
    assert_refused(folder, STATUS_NEWER, "newer coupon");
}

static void a_wal_or_journal_without_its_file_is_refused(void **state) {
    const char *folder = *state;
    make_ledger_with_wal(folder, 10, 10);
    assert_int_equal(unlink(path_of(folder, "coupon.db")), 0);
    file_write(path_of(folder, "coupon.lock"), "", 0);
    struct buffer before = folder_bytes(folder);
    assert_int_equal(open_status(folder, false), STATUS_DAMAGED);
    assert_says("no coupon.db");
    assert_folder_is(folder, &before);
    rename(path_of(folder, "coupon.db-wal"), path_of(folder, "coupon.db-journal"));
    assert_int_equal(open_status(folder, false), STATUS_DAMAGED);
}

static void a_rollback_journal_beside_it_is_refused(void **state) {
    const char *folder = *state;
    make_ledger(folder, 10);
    file_write(path_of(folder, "coupon.db-journal"), "journal", 7);
    assert_refused(folder, STATUS_DAMAGED, "-journal");
}

static void tables_that_are_missing_are_damage(void **state) {
    const char *folder = *state;
    make_ledger(folder, 10);
    sql_run(folder, "DROP TABLE coupon_creations");
    assert_refused(folder, STATUS_DAMAGED, "use the tables of");
}

static int skip_issue(void *context, const struct issue_row *issue) {
    (void)context;
    assert_true(issue->user_id.size > 0);
    return STATUS_OK;
}

/* Opens, visits, checks and closes without writing; the first failure. */
static int read_everything(const char *folder, bool existing_only) {
    struct ledger_sqlite_options options = {.directory = folder, .existing_only = existing_only};
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    if (status < 0) {
        return status;
    }
    struct ledger_visitor visitor = {.archived_too = true, .issue = skip_issue};
    status = ledger_visit(ledger, &visitor, &complaint);
    if (status == STATUS_OK) {
        status = ledger_check(ledger, &complaint);
    }
    close_ledger(ledger);
    return status;
}

static void garbage_in_any_page_is_found_and_left(void **state) {
    const char *folder = *state;
    make_ledger(folder, 1500);
    int fd = open(path_of(folder, "coupon.db"), O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);
    unsigned char page[4096];
    unsigned char garbage[4096];
    memset(garbage, 0xa5, sizeof(garbage));
    for (off_t at = 4096; at < size; at += 4096) {
        assert_int_equal(pread(fd, page, sizeof(page), at), 4096);
        assert_int_equal(pwrite(fd, garbage, sizeof(garbage), at), 4096);
        struct buffer before = folder_bytes(folder);
        assert_int_equal(read_everything(folder, false), STATUS_DAMAGED);
        assert_int_equal(read_everything(folder, true), STATUS_DAMAGED);
        assert_folder_is(folder, &before);
        assert_int_equal(pwrite(fd, page, sizeof(page), at), 4096);
    }
    close(fd);
    assert_int_equal(read_everything(folder, false), STATUS_OK);
}

static void random_damage_never_crashes_the_reader(void **state) {
    const char *folder = *state;
    make_ledger(folder, 600);
    const char *text = getenv("COUPON_TEST_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)getpid();
    print_message("COUPON_TEST_SEED=%u\n", seed);
    srandom(seed);
    int fd = open(path_of(folder, "coupon.db"), O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);
    for (int round = 0; round < 300; round++) {
        off_t at = (off_t)random() % size;
        unsigned char byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        unsigned char other = (unsigned char)(byte ^ (1 + random() % 255));
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        int status = read_everything(folder, true);
        assert_true(status == STATUS_OK || status == STATUS_DAMAGED || status == STATUS_NEWER);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    assert_int_equal(read_everything(folder, true), STATUS_OK);
}

/* ---- rows that contradict the schema ---- */

static void assert_row_is_damage(const char *folder, const char *sql, const char *words) {
    char *room = folder_new();
    folder_copy(folder, room);
    sql_run(room, "PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON;"
                  "UPDATE sqlite_schema SET sql = replace(replace(sql, ') STRICT, WITHOUT', ') "
                  "WITHOUT'), ') STRICT', ')')");
    char text[512];
    snprintf(text, sizeof(text), "PRAGMA ignore_check_constraints = ON; %s", sql);
    sql_run(room, text);
    struct ledger *ledger = open_existing(room);
    struct ledger_visitor visitor = {.issue = skip_issue};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_DAMAGED);
    assert_says(words);
    close_ledger(ledger);
    folder_remove(room);
}

static void a_row_the_schema_forbids_is_named(void **state) {
    const char *folder = *state;
    make_ledger(folder, 10);
#define SET_ISSUE(what) "UPDATE coupon_issues SET " what " WHERE rank_no = 7"
    assert_row_is_damage(folder, SET_ISSUE("user_id = x'6162'"), "rank 7 of coupon 1");
    assert_row_is_damage(folder, SET_ISSUE("user_id = ''"), "rank 7 of coupon 1");
    assert_row_is_damage(folder, SET_ISSUE("user_id = printf('%200d', 1)"), "rank 7 of coupon 1");
    assert_row_is_damage(folder, SET_ISSUE("request_key = x'61'"), "rank 7 of coupon 1");
    assert_row_is_damage(folder, SET_ISSUE("request_key = printf('%200d', 1)"),
                         "rank 7 of coupon 1");
    assert_row_is_damage(folder, SET_ISSUE("date_issued = 'now'"), "rank 7 of coupon 1");
    assert_row_is_damage(folder, SET_ISSUE("date_issued = 1 << 62"), "rank 7 of coupon 1");
    assert_row_is_damage(folder, SET_ISSUE("rank_no = 1 << 32"), "rank 4294967296 of coupon 1");
    assert_row_is_damage(folder, "UPDATE coupon_issues SET rank_no = 0 WHERE rank_no = 1",
                         "rank 0 of coupon 1");
    assert_row_is_damage(folder, "UPDATE coupons SET paused = 2", "the row of coupon 1");
    assert_row_is_damage(folder, "UPDATE coupons SET total_quantity = 4000000001",
                         "the row of coupon 1");
    assert_row_is_damage(folder, "UPDATE coupons SET title = printf('%300d', 1)",
                         "the row of coupon 1");
    assert_row_is_damage(folder, "UPDATE coupons SET title = cast(x'610062' AS TEXT)",
                         "the row of coupon 1");
    assert_row_is_damage(folder, "UPDATE coupons SET metadata = x'31'", "the row of coupon 1");
    assert_row_is_damage(folder, "UPDATE coupons SET date_issue_end = date_issue_start",
                         "the row of coupon 1");
}

static void more_issued_than_the_total_is_read_as_it_is(void **state) {
    const char *folder = *state;
    make_ledger(folder, 10);
    sql_run(folder, "PRAGMA ignore_check_constraints = ON; UPDATE coupons SET total_quantity = 9");
    struct ledger *ledger = open_existing(folder); /* to be judged by verify and the issuer */
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(ledger, 1, &coupon), STATUS_OK);
    assert_int_equal(coupon.total_quantity, 9);
    assert_ranks(ledger, 1, 10);
    close_ledger(ledger);
}

static int skip_revision(void *context, const struct coupon_revision *revision) {
    (void)context;
    (void)revision;
    return STATUS_OK;
}

static void a_revision_the_schema_forbids_is_named(void **state) {
    const char *folder = *state;
    make_ledger(folder, 1);
    sql_run(folder, "PRAGMA ignore_check_constraints = ON;"
                    "UPDATE coupon_revisions SET first_rank = 0");
    struct ledger *ledger = open_ledger(folder, NULL);
    struct ledger_visitor visitor = {.revision = skip_revision};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_DAMAGED);
    assert_says("a revision of coupon 1");
    close_ledger(ledger);
}

static int note_orphan(void *context, uint64_t coupon_id) {
    struct buffer *text = context;
    buffer_format(text, "%d ", (int)coupon_id);
    return STATUS_OK;
}

/* From coupon to coupon by a few steps of SQLite's, not by all issues that follow, which would be
 * hours for a start with 100,000 coupons. */
static void looking_for_them_is_not_reading_all_issues_for_each_coupon(void **state) {
    enum { COUPONS = 300, ISSUES = 100, STEPS_A_COUPON = 100 };
    struct ledger *ledger = open_ledger(*state, NULL);
    for (int i = 0; i < COUPONS; i++) {
        uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
        assert_int_equal(append_ranks(ledger, id, 1, ISSUES), STATUS_OK);
    }
    struct ledger_visitor visitor = {.orphan = note_orphan};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_OK);
    sqlite3_stmt *statement = sqlite_of(ledger)->statements[SQL_VISIT_HOLDERS];
    int steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 0);
    assert_in_range(steps, COUPONS, COUPONS * STEPS_A_COUPON);
    close_ledger(ledger);
}

static void issues_of_no_coupon_are_found(void **state) {
    const char *folder = *state;
    make_ledger(folder, 1000);
    sql_run(folder, "INSERT INTO coupon_issues VALUES (5, 1, 'u', NULL, NULL, 1),"
                    " (5, 2, 'v', NULL, NULL, 1), (9, 1, 'u', NULL, NULL, 1)");
    struct ledger *ledger = open_ledger(folder, NULL);
    struct buffer text;
    buffer_init(&text);
    struct ledger_visitor visitor = {.context = &text, .orphan = note_orphan};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_OK);
    assert_true(slice_is(buffer_view(&text), "5 9 "));
    buffer_done(&text);
    visitor.orphan = NULL;
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_DAMAGED);
    assert_says("coupon 5");
    close_ledger(ledger);
}

/* ---- rows of audits and imports ---- */

static void make_ledger_with_an_import(const char *folder) {
    struct ledger *ledger = open_ledger(folder, NULL);
    add_coupon(ledger, COUPON_UNLIMITED);
    struct coupon_import import = {1, 1, 2, NOW_US};
    struct slice users[] = {slice_of("a"), slice_of("b")};
    assert_int_equal(ledger_import(ledger, &import, users, &complaint), STATUS_OK);
    close_ledger(ledger);
}

static int skip_import(void *context, const struct coupon_import *import) {
    (void)context;
    (void)import;
    return STATUS_OK;
}

static void an_audit_the_schema_forbids_is_damage(void **state) {
    const char *folder = *state;
    make_ledger_with_an_import(folder);
    sql_run(folder, "PRAGMA ignore_check_constraints = 1; UPDATE audits SET version = 0");
    struct ledger *ledger = open_ledger(folder, NULL);
    struct audit_record audit;
    size_t count;
    assert_int_equal(ledger_audits_read(ledger, 0, 1, &audit, &count), STATUS_DAMAGED);
    close_ledger(ledger);
}

static void an_import_the_schema_forbids_is_named(void **state) {
    const char *folder = *state;
    make_ledger_with_an_import(folder);
    sql_run(folder,
            "PRAGMA ignore_check_constraints = 1; UPDATE coupon_imports SET first_rank = 0");
    struct ledger *ledger = open_ledger(folder, NULL);
    struct ledger_visitor visitor = {.import = skip_import};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_DAMAGED);
    assert_says("an import of coupon 1");
    close_ledger(ledger);
}

static void imports_of_no_coupon_are_found(void **state) {
    const char *folder = *state;
    make_ledger(folder, 1);
    sql_run(folder, "INSERT INTO coupon_imports VALUES (7, 1, 1, 0)");
    struct ledger *ledger = open_ledger(folder, NULL);
    struct buffer text;
    buffer_init(&text);
    struct ledger_visitor visitor = {.context = &text, .orphan = note_orphan};
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_OK);
    assert_true(slice_is(buffer_view(&text), "7 "));
    buffer_done(&text);
    visitor.orphan = NULL;
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_DAMAGED);
    assert_says("imports of coupon 7");
    close_ledger(ledger);
}

/* SQLite looks at CHECKs only where it may write. */
static void rows_that_no_reader_judges_are_found_by_reading_alone(void **state) {
    static const char *const statements[] = {
        "INSERT INTO audits VALUES (1, 0, '', 'coupon-created', 1, 1, NULL)",
        "INSERT INTO audits VALUES (1, 0, 'a', 'other', 1, 1, NULL)",
        "INSERT INTO coupon_creations VALUES ('key', 1, x'00', 0)",
        "UPDATE coupons SET coupon_type = ''",
        "UPDATE coupons SET metadata = ''",
    };
    for (size_t i = 0; i < COUNT_OF(statements); i++) {
        char *folder = folder_new();
        char text[256];
        make_ledger(folder, 3);
        assert_int_equal(read_everything(folder, true), STATUS_OK);
        snprintf(text, sizeof(text), "PRAGMA ignore_check_constraints = ON; %s", statements[i]);
        sql_run(folder, text);
        assert_int_equal(read_everything(folder, true), STATUS_DAMAGED);
        assert_says("not as it must be");
        assert_int_equal(read_everything(folder, false), STATUS_DAMAGED);
        folder_remove(folder);
    }
    (void)state;
}

static void a_trigger_that_somebody_put_in_does_not_run(void **state) {
    const char *folder = *state;
    make_ledger(folder, 3);
    sql_run(folder, "CREATE TRIGGER r AFTER INSERT ON coupon_issues BEGIN "
                    "DELETE FROM coupon_issues; END");
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_int_equal(append_ranks(ledger, 1, 4, 1), STATUS_OK);
    close_ledger(ledger);
    assert_int_equal(read_everything(folder, true), STATUS_OK);
    ledger = open_existing(folder);
    assert_ranks(ledger, 1, 4);
    close_ledger(ledger);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(a_text_file_is_refused),
        with_folder(an_empty_file_is_refused),
        with_folder(a_database_of_another_program_is_refused),
        with_folder(a_folder_in_its_place_is_refused),
        with_folder(a_flipped_header_is_refused),
        with_folder(a_truncated_file_is_refused),
        with_folder(a_newer_schema_is_refused),
        with_folder(a_newer_schema_that_is_only_in_the_wal_is_refused),
        with_folder(a_wal_or_journal_without_its_file_is_refused),
        with_folder(a_rollback_journal_beside_it_is_refused),
        with_folder(tables_that_are_missing_are_damage),
        with_folder(garbage_in_any_page_is_found_and_left),
        with_folder(random_damage_never_crashes_the_reader),
        with_folder(a_row_the_schema_forbids_is_named),
        with_folder(more_issued_than_the_total_is_read_as_it_is),
        with_folder(a_revision_the_schema_forbids_is_named),
        with_folder(issues_of_no_coupon_are_found),
        with_folder(looking_for_them_is_not_reading_all_issues_for_each_coupon),
        with_folder(an_audit_the_schema_forbids_is_damage),
        with_folder(an_import_the_schema_forbids_is_named),
        with_folder(imports_of_no_coupon_are_found),
        with_folder(rows_that_no_reader_judges_are_found_by_reading_alone),
        with_folder(a_trigger_that_somebody_put_in_does_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

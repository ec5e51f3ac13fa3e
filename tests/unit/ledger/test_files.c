/* The data folder: who may hold it, what an open changes, what a close leaves, what a kill
 * leaves, and how an older file is brought up to date. */
#include "support.h"

#include "ledger/sqlite_ledger.h"
#include "support/child.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state) {
    *state = folder_new();
    return 0;
}

static int teardown(void **state) {
    folder_remove(*state);
    return 0;
}

/* ---- a healthy life ---- */

static void a_missing_folder_is_made_for_its_owner_only(void **state) {
    char inner[256];
    snprintf(inner, sizeof(inner), "%s/inner", (const char *)*state);
    make_ledger(inner, 1);
    struct stat found;
    assert_int_equal(stat(inner, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    assert_int_equal(stat(path_of(inner, "coupon.db"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    unlink(path_of(inner, "coupon.db"));
    unlink(path_of(inner, "coupon.lock"));
    unlink(path_of(inner, "coupon.hold"));
    rmdir(inner);
}

static void a_folder_that_cannot_be_made_is_told(void **state) {
    char inner[256];
    snprintf(inner, sizeof(inner), "%s/a/b", (const char *)*state);
    assert_int_equal(open_status(inner, false), STATUS_IO);
    assert_says(inner);
}

static void closing_leaves_one_file_and_the_locks(void **state) {
    const char *folder = *state;
    make_ledger(folder, 100);
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    assert_int_equal(count, 5); /* with . and .. */
    assert_string_equal(names[2]->d_name, "coupon.db");
    assert_string_equal(names[3]->d_name, "coupon.hold");
    assert_string_equal(names[4]->d_name, "coupon.lock");
    while (count > 0) {
        free(names[--count]);
    }
    free(names);
    sql_run(folder, "SELECT * FROM coupons");
}

static void an_open_ledger_has_no_shared_memory_file(void **state) {
    const char *folder = *state;
    struct ledger *ledger = open_ledger(folder, NULL);
    add_coupon(ledger, 1);
    assert_true(exists(folder, "coupon.db-wal"));
    assert_false(exists(folder, "coupon.db-shm"));
    close_ledger(ledger);
}

static void opening_again_finds_everything(void **state) {
    const char *folder = *state;
    make_ledger(folder, 3000);
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_ranks(ledger, 1, 3000);
    assert_int_equal(append_ranks(ledger, 1, 3001, 5), STATUS_OK);
    close_ledger(ledger);
    ledger = open_ledger(folder, NULL);
    assert_ranks(ledger, 1, 3005);
    close_ledger(ledger);
}

static void what_a_crash_left_in_the_wal_is_in_the_main_file_before_open_returns(void **state) {
    const char *folder = *state;
    make_ledger_with_wal(folder, 100, 50);
    struct ledger *ledger = open_ledger(folder, NULL);
    struct stat wal;
    assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &wal), 0);
    assert_int_equal(wal.st_size, 0);
    assert_ranks(ledger, 1, 150);
    close_ledger(ledger);
}

/* After a failed sync the system may show frames that the disk does not have. */
static void a_start_reads_a_copy_of_the_wal(void **state) {
    const char *folder = *state;
    struct stat before;
    struct stat after;
    make_ledger_with_wal(folder, 3000, 2000);
    /* Root, who alone may give it away, may start it once, and leaves it its owner's. */
    if (chown(path_of(folder, "coupon.db"), 65534, 65534) == 0) {
        assert_int_equal(chown(path_of(folder, "coupon.db-wal"), 65534, 65534), 0);
    }
    assert_int_equal(chmod(path_of(folder, "coupon.db-wal"), 0640), 0);
    assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &before), 0);
    file_write(path_of(folder, "coupon.db-wal.new"), "half", 4); /* a power cut left it */
    char old[PATH_MAX];
    snprintf(old, sizeof(old), "%s", path_of(folder, "old"));
    assert_int_equal(link(path_of(folder, "coupon.db-wal"), old), 0); /* its number stays its own */
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &after), 0);
    assert_true(after.st_ino != before.st_ino);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_uid, before.st_uid);
    assert_int_equal(after.st_gid, before.st_gid);
    assert_int_equal(stat(old, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_false(exists(folder, "coupon.db-wal.new"));
    assert_ranks(ledger, 1, 5000);
    close_ledger(ledger);
}

static void a_start_that_cannot_copy_the_wal_says_so(void **state) {
    const char *folder = *state;
    make_ledger_with_wal(folder, 10, 10);
    assert_int_equal(mkdir(path_of(folder, "coupon.db-wal.new"), 0700), 0);
    assert_int_equal(open_status(folder, false), STATUS_IO);
    assert_non_null(strstr(complaint.text, "cannot make coupon.db-wal.new in "));
    assert_non_null(strstr(complaint.text, "File exists"));
    assert_int_equal(rmdir(path_of(folder, "coupon.db-wal.new")), 0);
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_ranks(ledger, 1, 20);
    close_ledger(ledger);
}

/* A link would have the record leave its folder, and a pipe would be waited for. */
static void a_wal_that_is_no_file_is_refused(void **state) {
    const char *folder = *state;
    char kept[PATH_MAX];
    make_ledger_with_wal(folder, 10, 10);
    snprintf(kept, sizeof(kept), "%s", path_of(folder, "kept"));
    rename(path_of(folder, "coupon.db-wal"), kept);
    assert_int_equal(symlink("kept", path_of(folder, "coupon.db-wal")), 0);
    assert_int_equal(open_status(folder, false), STATUS_IO);
    assert_non_null(strstr(complaint.text, "cannot open coupon.db-wal in "));
    assert_int_equal(unlink(path_of(folder, "coupon.db-wal")), 0); /* and it is there yet */
    assert_int_equal(mkfifo(path_of(folder, "coupon.db-wal"), 0600), 0);
    assert_int_equal(open_status(folder, false), STATUS_IO);
    assert_non_null(strstr(complaint.text, "is no file"));
    rename(kept, path_of(folder, "coupon.db-wal"));
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_ranks(ledger, 1, 20);
    close_ledger(ledger);
}

static void a_creation_that_was_interrupted_is_begun_again(void **state) {
    const char *folder = *state;
    file_write(path_of(folder, "coupon.db.new"), "half", 4);
    file_write(path_of(folder, "coupon.db.new-wal"), "half", 4);
    file_write(path_of(folder, "coupon.db.new-journal"), "half", 4);
    make_ledger(folder, 1);
    assert_false(exists(folder, "coupon.db.new"));
    assert_false(exists(folder, "coupon.db.new-wal"));
    assert_false(exists(folder, "coupon.db.new-journal"));
}

static void odd_characters_in_a_path_do_no_harm(void **state) {
    char inner[256];
    snprintf(inner, sizeof(inner), "%s/a b?c#d%%41&immutable=0", (const char *)*state);
    make_ledger(inner, 5);
    struct ledger *ledger = open_existing(inner);
    assert_ranks(ledger, 1, 5);
    close_ledger(ledger);
    unlink(path_of(inner, "coupon.db"));
    unlink(path_of(inner, "coupon.lock"));
    unlink(path_of(inner, "coupon.hold"));
    rmdir(inner);
}

/* ---- who holds it ---- */

struct opening {
    const char *folder;
    bool existing_only;
    const char *words;
};

static int open_and_read_words(const void *context) {
    const struct opening *opening = context;
    struct ledger_sqlite_options options = {.directory = opening->folder,
                                            .existing_only = opening->existing_only};
    struct ledger *ledger;
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    return strstr(complaint.text, opening->words) ? -status : 99;
}

/* The status a second process gets from an open; says whether its complaint has `words`. */
static int status_in_a_child(const char *folder, bool existing_only, const char *words) {
    int how = child_status(open_and_read_words, &(struct opening){folder, existing_only, words});
    assert_true(WIFEXITED(how));
    return -WEXITSTATUS(how);
}

static void a_second_process_is_refused_and_told_who_holds_it(void **state) {
    const char *folder = *state;
    struct ledger *ledger = open_ledger(folder, NULL);
    char words[64];
    snprintf(words, sizeof(words), "process %ld holds ", (long)getpid());
    assert_int_equal(status_in_a_child(folder, false, words), STATUS_BUSY);
    assert_int_equal(status_in_a_child(folder, true, words), STATUS_BUSY);
    add_coupon(ledger, 1);
    close_ledger(ledger);
    assert_int_equal(status_in_a_child(folder, false, ""), STATUS_OK);
}

static void a_second_open_in_the_process_is_refused(void **state) {
    const char *folder = *state;
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_int_equal(open_status(folder, false), STATUS_BUSY);
    assert_says("choose another --data");
    assert_int_equal(open_status(folder, true), STATUS_BUSY);
    close_ledger(ledger);
}

static void a_reader_keeps_a_server_out(void **state) {
    const char *folder = *state;
    make_ledger(folder, 1);
    struct ledger *ledger = open_existing(folder);
    assert_int_equal(status_in_a_child(folder, false, "another process holds"), STATUS_BUSY);
    close_ledger(ledger);
    unlink(path_of(folder, "coupon.lock"));
    ledger = open_existing(folder);
    assert_int_equal(open_status(folder, false), STATUS_BUSY);
    close_ledger(ledger);
    assert_false(exists(folder, "coupon.lock"));
}

static void another_program_at_the_file_is_told(void **state) {
    const char *folder = *state;
    make_ledger(folder, 1);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path_of(folder, "coupon.db"), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN; SELECT * FROM coupons", 0, 0, 0), SQLITE_OK);
    assert_int_equal(open_status(folder, false), STATUS_BUSY);
    assert_says("another program has it open");
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_ranks(ledger, 1, 1);
    close_ledger(ledger);
}

/* ---- existing_only ---- */

static void existing_only_makes_nothing(void **state) {
    const char *folder = *state;
    struct buffer before = folder_bytes(folder);
    assert_int_equal(open_status(folder, true), STATUS_NOT_FOUND);
    assert_folder_is(folder, &before);
    assert_int_equal(open_status(path_of(folder, "none"), true), STATUS_NOT_FOUND);
    assert_false(exists(folder, "none"));
}

static void assert_only_read(const char *folder, uint32_t issues) {
    struct buffer before = folder_bytes(folder);
    struct buffer before_too = folder_bytes(folder);
    struct ledger *ledger = open_existing(folder);
    assert_ranks(ledger, 1, issues);
    assert_int_equal(ledger_check(ledger, &complaint), STATUS_OK);
    assert_int_equal(ledger_tend(ledger, true, &complaint), STATUS_OK);
    int64_t latest_us;
    assert_int_equal(ledger_latest_us(ledger, &latest_us), STATUS_OK);
    if (exists(folder, "coupon.lock") && before.bytes && strstr(before.bytes, "coupon.lock")) {
        assert_folder_is(folder, &before_too);
    } else {
        buffer_done(&before_too);
    }
    close_ledger(ledger);
    assert_folder_is(folder, &before);
}

static void existing_only_leaves_a_closed_ledger_as_it_is(void **state) {
    const char *folder = *state;
    make_ledger(folder, 2000);
    assert_only_read(folder, 2000);
    unlink(path_of(folder, "coupon.lock"));
    assert_only_read(folder, 2000);
}

static void existing_only_reads_a_left_wal_and_leaves_it(void **state) {
    const char *folder = *state;
    make_ledger_with_wal(folder, 1000, 1000);
    assert_only_read(folder, 2000);
    file_write(path_of(folder, "coupon.lock"), "1\n", 2);
    assert_only_read(folder, 2000);
}

static void existing_only_reads_an_empty_wal_and_leaves_it(void **state) {
    const char *folder = *state;
    make_ledger(folder, 10);
    file_write(path_of(folder, "coupon.db-wal"), "", 0);
    assert_only_read(folder, 10);
    assert_true(exists(folder, "coupon.db-wal"));
}

/* ---- kill -9 ---- */

/* Appends batches of 1 to 200 until it is killed; tells each durable rank to `out`. */
static void child_appends(const char *folder, int out, unsigned seed) {
    struct ledger_sqlite_options options = {.directory = folder};
    struct ledger *ledger;
    struct coupon_record coupon;
    if (ledger_sqlite_open(&options, &ledger, &complaint) < 0 ||
        ledger_coupon_read(ledger, 1, &coupon) < 0) {
        _exit(1);
    }
    srandom(seed);
    uint32_t rank = coupon.issued_quantity;
    for (;;) {
        uint32_t count = 1 + (uint32_t)random() % 200;
        if (append_ranks(ledger, 1, rank + 1, count) < 0) {
            _exit(2);
        }
        rank += count;
        if (write(out, &rank, sizeof(rank)) != sizeof(rank)) {
            _exit(3);
        }
        if (ledger_tend(ledger, random() % 2, &complaint) < 0) {
            _exit(4);
        }
    }
}

/* Lets a child write, kills it after `acknowledgements`; the last rank it told. */
static uint32_t kill_while_appending(const char *folder, int acknowledgements, unsigned seed) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        child_appends(folder, ends[1], seed);
    }
    close(ends[1]);
    uint32_t told = 0;
    for (int i = 0; i < acknowledgements; i++) {
        assert_int_equal(read(ends[0], &told, sizeof(told)), sizeof(told));
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    uint32_t later;
    while (read(ends[0], &later, sizeof(later)) == sizeof(later)) {
        told = later;
    }
    close(ends[0]);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    return told;
}

static void what_was_told_before_a_kill_is_there_after_it(void **state) {
    (void)state;
    const char *text = getenv("COUPON_TEST_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)getpid();
    print_message("COUPON_TEST_SEED=%u\n", seed);
    srandom(seed);
    char *folder = folder_new();
    struct ledger *ledger = open_ledger(folder, NULL);
    add_coupon(ledger, COUPON_UNLIMITED);
    close_ledger(ledger);
    for (int round = 0; round < 12; round++) {
        uint32_t told = kill_while_appending(folder, 1 + (int)(random() % 60), (unsigned)random());
        ledger = open_ledger(folder, NULL);
        uint32_t there = ranks_of(ledger, 1);
        assert_true(there >= told);
        assert_true(there <= told + 200);
        assert_int_equal(ledger_check(ledger, &complaint), STATUS_OK);
        close_ledger(ledger);
    }
    folder_remove(folder);
}

/* ---- migrations ---- */

static uint32_t version_of(sqlite3 *db) {
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL), 0);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    uint32_t version = (uint32_t)sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return version;
}

/* What a file of version 1 was: without what came later. */
static void a_file_of_version_1_is_brought_up_to_date(void **state) {
    const char *folder = *state;
    struct ledger *ledger = open_ledger(folder, NULL);
    add_coupon(ledger, 10);
    assert_int_equal(append_ranks(ledger, 1, 1, 3), STATUS_OK);
    close_ledger(ledger);
    sql_run(folder, "DROP TABLE audits");
    sql_run(folder, "DROP TABLE coupon_imports");
    sql_run(folder, "PRAGMA user_version = 1");
    assert_int_equal(open_status(folder, true), STATUS_CONFLICT);
    ledger = open_ledger(folder, NULL);
    struct issue_record issue;
    struct audit_record audit;
    size_t count = 9;
    assert_int_equal(ledger_issue_read(ledger, (struct issue_reference){1, 3}, &issue), STATUS_OK);
    assert_int_equal(ledger_audits_read(ledger, 0, 1, &audit, &count), STATUS_OK);
    assert_int_equal(count, 0);
    close_ledger(ledger);
}

static void migrations_run_once_each_and_whole(void **state) {
    (void)state;
    static const char *const first[] = {"CREATE TABLE a (x)", "INSERT INTO a VALUES (1)", NULL};
    static const char *const broken[] = {"CREATE TABLE b (x)", "INSERT INTO none VALUES (1)", NULL};
    static const char *const second[] = {"CREATE TABLE b (x)", "INSERT INTO a VALUES (2)", NULL};
    const sqlite_migration until_broken[] = {first, broken};
    const sqlite_migration good[] = {first, second};
    struct sqlite_ledger ledger = {.folder = {.directory = "memory"}};
    assert_int_equal(sqlite3_open(":memory:", &ledger.db), SQLITE_OK);
    assert_int_equal(sqlite_migrate(&ledger, until_broken, 1, &complaint), STATUS_OK);
    assert_int_equal(version_of(ledger.db), 1);
    assert_int_equal(sqlite_migrate(&ledger, until_broken, 2, &complaint), STATUS_DAMAGED);
    assert_int_equal(version_of(ledger.db), 1);
    assert_int_equal(sqlite3_get_autocommit(ledger.db), 1);
    assert_int_equal(sqlite_migrate(&ledger, good, 2, &complaint), STATUS_OK);
    assert_int_equal(sqlite_migrate(&ledger, good, 2, &complaint), STATUS_OK);
    assert_int_equal(version_of(ledger.db), 2);
    sqlite3_stmt *statement;
    assert_int_equal(
        sqlite3_prepare_v2(ledger.db, "SELECT group_concat(x) FROM a", -1, &statement, NULL), 0);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "1,2");
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(ledger.db), SQLITE_OK);
}

static void without_a_ledger_no_new_makes_none(void **state) {
    struct ledger *ledger = NULL;
    const char *missing = path_of(*state, "missing");
    const char *const folders[] = {*state, missing};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        struct ledger_sqlite_options options = {.directory = folders[i], .no_new = true};
        assert_int_equal(ledger_sqlite_open(&options, &ledger, &complaint), STATUS_NOT_FOUND);
        assert_says("there is no coupon.db in");
        assert_false(exists(folders[i], "coupon.lock"));
    }
    assert_false(exists(*state, "missing"));
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(a_missing_folder_is_made_for_its_owner_only),
        with_folder(a_folder_that_cannot_be_made_is_told),
        with_folder(closing_leaves_one_file_and_the_locks),
        with_folder(an_open_ledger_has_no_shared_memory_file),
        with_folder(opening_again_finds_everything),
        with_folder(what_a_crash_left_in_the_wal_is_in_the_main_file_before_open_returns),
        with_folder(a_start_reads_a_copy_of_the_wal),
        with_folder(a_start_that_cannot_copy_the_wal_says_so),
        with_folder(a_wal_that_is_no_file_is_refused),
        with_folder(a_creation_that_was_interrupted_is_begun_again),
        with_folder(odd_characters_in_a_path_do_no_harm),
        with_folder(a_second_process_is_refused_and_told_who_holds_it),
        with_folder(a_second_open_in_the_process_is_refused),
        with_folder(a_reader_keeps_a_server_out),
        with_folder(another_program_at_the_file_is_told),
        with_folder(existing_only_makes_nothing),
        with_folder(existing_only_leaves_a_closed_ledger_as_it_is),
        with_folder(existing_only_reads_a_left_wal_and_leaves_it),
        with_folder(existing_only_reads_an_empty_wal_and_leaves_it),
        cmocka_unit_test(what_was_told_before_a_kill_is_there_after_it),
        with_folder(a_file_of_version_1_is_brought_up_to_date),
        cmocka_unit_test(migrations_run_once_each_and_whole),
        with_folder(without_a_ledger_no_new_makes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

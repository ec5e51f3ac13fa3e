/* A disk that fails at the n-th call, for every n: a known failure leaves no trace and a
 * ledger that works; an ambiguous one stops it, and the file holds all of the last change or
 * nothing of it, and everything before it (I3, I8). */
#include "support.h"

#include "ledger/sqlite_ledger.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

/* Lets the n-th call fail, for n = 1, 2, … until none is left to fail; returns how many. */
static int fail_every(change make, enum fault_call call, int result, bool stays, bool fresh_wal,
                      int expected) {
    struct buffer before, after;
    learn(make, &before, &after);
    int n = 0;
    for (bool hit = true; hit;) {
        char *folder = folder_new();
        struct ledger *ledger = ledger_before(folder, fresh_wal);
        faults_arm(call, ++n, result, stays);
        int status = make(ledger);
        hit = faults.failed > 0;
        faults_arm(FAULT_NONE, 0, 0, false);
        if (!hit) {
            assert_int_equal(status, STATUS_OK);
            close_ledger(ledger);
        } else {
            assert_int_equal(status, expected);
            if (status == STATUS_AMBIGUOUS) {
                assert_ambiguous(folder, ledger, &before, &after);
            } else {
                assert_known(folder, ledger, make, &before, &after);
            }
        }
        folder_remove(folder);
    }
    buffer_done(&before);
    buffer_done(&after);
    return n - 1;
}

static void fail_every_way(enum fault_call call, int result, int expected) {
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        for (int way = 0; way < 4; way++) {
            int hits = fail_every(changes[i], call, result, way & 1, way & 2, expected);
            assert_true(hits >= 1);
        }
    }
}

static void a_full_disk_at_any_write_is_a_known_failure(void **state) {
    (void)state;
    fail_every_way(FAULT_WRITE, SQLITE_FULL, STATUS_FULL);
}

static void an_exhausted_quota_is_a_full_disk(void **state) {
    (void)state;
    faults.last_errno = EDQUOT;
    fail_every_way(FAULT_WRITE, SQLITE_IOERR_WRITE, STATUS_FULL);
    faults_clear();
}

static void an_error_at_any_write_is_ambiguous(void **state) {
    (void)state;
    faults.last_errno = EIO;
    fail_every_way(FAULT_WRITE, SQLITE_IOERR_WRITE, STATUS_AMBIGUOUS);
    faults_clear();
}

static void an_error_at_any_sync_is_ambiguous(void **state) {
    (void)state;
    fail_every_way(FAULT_SYNC, SQLITE_IOERR_FSYNC, STATUS_AMBIGUOUS);
}

static void a_full_disk_is_ambiguous_where_commits_are_padded(void **state) {
    (void)state;
    faults.no_powersafe_overwrite = true;
    int hits = fail_every(change_append, FAULT_WRITE, SQLITE_FULL, false, false, STATUS_AMBIGUOUS);
    faults_clear();
    assert_true(hits >= 1);
}

/* What an earlier round of the log left there could make a frame whole that was written in part. */
static void a_full_disk_leaves_nothing_of_the_commit_in_the_log(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        char *folder = folder_new();
        struct ledger *ledger = ledger_before(folder, false);
        struct stat before, after;
        assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &before), 0);
        faults_arm(FAULT_WRITE, 1, SQLITE_FULL, false);
        assert_int_equal(changes[i](ledger), STATUS_FULL);
        faults_clear();
        assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &after), 0);
        assert_int_equal(after.st_size, before.st_size);
        assert_int_equal(changes[i](ledger), STATUS_OK);
        close_ledger(ledger);
        folder_remove(folder);
    }
}

static void a_full_disk_before_commit_is_a_known_failure(void **state) {
    (void)state;
    char *folder = folder_new();
    struct ledger *ledger = open_ledger(folder, FAULT_VFS);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    faults_arm(FAULT_WRITE, 1, SQLITE_FULL, false); /* more pages than the cache holds: spilled */
    assert_int_equal(append_ranks(ledger, id, 1, 700000), STATUS_FULL);
    assert_int_equal(faults.failed, 1);
    faults_arm(FAULT_WRITE, 1, SQLITE_IOERR_WRITE, false);
    assert_int_equal(append_ranks(ledger, id, 1, 700000), STATUS_IO);
    assert_ranks(ledger, id, 0);
    assert_int_equal(append_ranks(ledger, id, 1, 10), STATUS_OK);
    close_ledger(ledger);
    faults_clear();
    folder_remove(folder);
}

static void a_complaint_tells_what_to_do(void **state) {
    (void)state;
    char *folder = folder_new();
    struct ledger *ledger = ledger_before(folder, false);
    faults_arm(FAULT_WRITE, 1, SQLITE_FULL, false);
    assert_int_equal(change_append(ledger), STATUS_FULL);
    assert_non_null(strstr(complaint.text, "make room on the disk"));
    assert_non_null(strstr(complaint.text, folder));
    close_ledger(ledger);
    folder_remove(folder);
}

/* ---- durability ---- */

static void every_change_syncs_the_wal_before_it_returns(void **state) {
    (void)state;
    char *folder = folder_new();
    struct ledger *ledger = ledger_before(folder, false);
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        faults.wal_syncs = faults.wal_writes = 0;
        assert_int_equal(changes[i](ledger), STATUS_OK);
        assert_int_equal(faults.wal_syncs, 1);
        assert_int_equal(faults.wal_writes, 1); /* all frames in one (sqlite_vfs.c) */
    }
    faults.wal_syncs = faults.wal_writes = 0;
    assert_int_equal(ledger_append(ledger, NULL, 0, NULL, 0, &complaint), STATUS_OK);
    assert_int_equal(faults.wal_writes, 0);
    close_ledger(ledger);
    folder_remove(folder);
}

/* SQLite writes the end of the last frame of a padded commit after the sync. Held back, it could
 * fail when nobody is left to be told: a hole in the log, at which recovery would end. */
static void a_padded_commit_is_written_whole_before_it_returns(void **state) {
    (void)state;
    char *folder = folder_new();
    faults.no_powersafe_overwrite = true;
    struct ledger *ledger = ledger_before(folder, true);
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        struct stat wal;
        assert_int_equal(changes[i](ledger), STATUS_OK);
        assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &wal), 0);
        assert_int_equal((wal.st_size - 32) % 4120, 0); /* a head, and whole frames */
    }
    close_ledger(ledger);
    faults_clear();
    folder_remove(folder);
}

/* ---- checkpoints ---- */

/* A ledger whose WAL is long enough for an idle checkpoint; its coupon has *ret_issues. */
static struct ledger *ledger_with_long_wal(const char *folder, uint32_t *ret_issues) {
    faults.skip_sync = true;
    struct ledger *ledger = open_ledger(folder, FAULT_VFS);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    uint32_t issues = 0;
    for (struct stat wal = {.st_size = 0}; wal.st_size < 1100 * 4120;) {
        assert_int_equal(append_ranks(ledger, id, issues + 1, 50), STATUS_OK);
        issues += 50;
        assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &wal), 0);
    }
    *ret_issues = issues;
    return ledger;
}

static void assert_issues_after_kill(const char *folder, uint32_t issues) {
    char *room = folder_new();
    folder_copy(folder, room);
    struct ledger *ledger = open_ledger(room, NULL);
    assert_ranks(ledger, 1, issues);
    close_ledger(ledger);
    folder_remove(room);
}

static void fail_checkpoint(enum fault_call call, int result, int expected) {
    char *folder = folder_new();
    uint32_t issues;
    struct ledger *ledger = ledger_with_long_wal(folder, &issues);
    int n = 0;
    int step = 1;
    do {
        faults_arm(call, n += step, result, false);
        int status = ledger_tend(ledger, true, &complaint);
        bool hit = faults.failed > 0;
        faults_arm(FAULT_NONE, 0, 0, false);
        assert_int_equal(status, hit ? expected : STATUS_OK);
        if (!hit) {
            break;
        }
        assert_issues_after_kill(folder, issues);
        assert_ranks(ledger, 1, issues);
        assert_int_equal(append_ranks(ledger, 1, issues + 1, 1), STATUS_OK);
        issues++;
        step = n < 20 ? 1 : n / 4;
    } while (true);
    assert_true(n > 1);
    assert_issues_after_kill(folder, issues);
    close_ledger(ledger);
    faults_clear();
    faults.skip_sync = false;
    folder_remove(folder);
}

static void a_checkpoint_that_fails_is_tried_again(void **state) {
    (void)state;
    fail_checkpoint(FAULT_WRITE, SQLITE_FULL, STATUS_FULL);
    fail_checkpoint(FAULT_WRITE, SQLITE_IOERR_WRITE, STATUS_IO);
    faults.last_errno = EDQUOT;
    fail_checkpoint(FAULT_WRITE, SQLITE_IOERR_WRITE, STATUS_FULL);
}

static void a_checkpoint_that_failed_is_not_urgent_again_at_once(void **state) {
    enum { FORCED_AT = 1000 };
    (void)state;
    char *folder = folder_new();
    uint32_t issues;
    struct ledger *ledger = ledger_with_long_wal(folder, &issues);
    faults_arm(FAULT_WRITE, 1, SQLITE_FULL, true);
    assert_int_equal(ledger_tend(ledger, false, &complaint), STATUS_FULL);
    assert_int_equal(ledger_tend(ledger, false, &complaint), STATUS_OK);
    assert_int_equal(faults.failed, 1);
    assert_int_equal(ledger_tend(ledger, true, &complaint), STATUS_FULL);
    faults_arm(FAULT_NONE, 0, 0, false);
    assert_int_equal(ledger_tend(ledger, true, &complaint), STATUS_OK);
    while (sqlite_of(ledger)->wal_frames < FORCED_AT) { /* what succeeds ends the delay */
        assert_int_equal(append_ranks(ledger, 1, issues + 1, 50), STATUS_OK);
        issues += 50;
    }
    assert_int_equal(ledger_tend(ledger, false, &complaint), STATUS_OK);
    assert_int_equal(sqlite_of(ledger)->wal_frames, 0);
    assert_ranks(ledger, 1, issues);
    close_ledger(ledger);
    faults.skip_sync = false;
    folder_remove(folder);
}

static void a_sync_that_fails_in_a_checkpoint_is_ambiguous(void **state) {
    (void)state;
    for (int n = 1; n <= 2; n++) { /* of the WAL, then of the main file */
        char *folder = folder_new();
        uint32_t issues;
        struct ledger *ledger = ledger_with_long_wal(folder, &issues);
        faults_arm(FAULT_SYNC, n, SQLITE_IOERR_FSYNC, false);
        assert_int_equal(ledger_tend(ledger, true, &complaint), STATUS_AMBIGUOUS);
        faults_clear();
        assert_stopped(ledger);
        assert_int_equal(ledger_close(ledger, NULL), STATUS_OK);
        assert_issues_after_kill(folder, issues);
        faults.skip_sync = false;
        folder_remove(folder);
    }
}

static void checkpoints_keep_the_wal_short(void **state) {
    (void)state;
    char *folder = folder_new();
    uint32_t issues;
    struct ledger *ledger = ledger_with_long_wal(folder, &issues);
    int64_t largest = 0;
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(append_ranks(ledger, 1, issues + 1, 50), STATUS_OK);
        assert_int_equal(ledger_tend(ledger, false, &complaint), STATUS_OK);
        issues += 50;
        struct stat wal;
        assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &wal), 0);
        largest = wal.st_size > largest ? wal.st_size : largest;
    }
    assert_true(largest < 1200 * 4120);
    assert_ranks(ledger, 1, issues);
    close_ledger(ledger);
    faults.skip_sync = false;
    folder_remove(folder);
}

/* ---- opening and closing ---- */

static const struct {
    enum fault_call call;
    int result;
    int status;
} open_faults[] = {
    {FAULT_WRITE, SQLITE_FULL, STATUS_FULL},
    {FAULT_WRITE, SQLITE_IOERR_WRITE, STATUS_IO},
    {FAULT_SYNC, SQLITE_IOERR_FSYNC, STATUS_IO},
    {FAULT_TRUNCATE, SQLITE_IOERR_TRUNCATE, STATUS_IO},
};

static void a_creation_that_fails_anywhere_can_be_done_again(void **state) {
    (void)state;
    for (size_t way = 0; way < COUNT_OF(open_faults); way++) {
        bool hit = true;
        for (int n = 1; hit; n++) {
            char *folder = folder_new();
            faults_arm(open_faults[way].call, n, open_faults[way].result, false);
            int status = open_status_with_faults(folder);
            hit = faults.failed > 0;
            faults_clear();
            if (status < 0) {
                assert_true(hit);
                assert_int_equal(status, open_faults[way].status);
                assert_true(access(path_of(folder, "coupon.db.new"), F_OK) != 0);
            }
            struct ledger *ledger = open_ledger(folder, NULL);
            assert_int_equal(add_coupon(ledger, 1), 1);
            close_ledger(ledger);
            folder_remove(folder);
        }
    }
}

static void a_recovery_that_fails_anywhere_can_be_done_again(void **state) {
    (void)state;
    char *origin = folder_new();
    struct ledger *ledger = ledger_before(origin, true);
    assert_int_equal(change_append(ledger), STATUS_OK);
    for (size_t way = 0; way < COUNT_OF(open_faults); way++) {
        bool hit = true;
        int n = 0;
        while (hit) {
            char *folder = folder_new();
            folder_copy(origin, folder);
            faults_arm(open_faults[way].call, ++n, open_faults[way].result, false);
            int status = open_status_with_faults(folder);
            hit = faults.failed > 0;
            faults_clear();
            assert_true(status == STATUS_OK || status == open_faults[way].status);
            struct ledger *again = open_ledger(folder, NULL);
            assert_ranks(again, 1, BEFORE + BATCH);
            close_ledger(again);
            folder_remove(folder);
        }
        assert_true(n > 1);
    }
    close_ledger(ledger);
    folder_remove(origin);
}

static void a_close_that_fails_anywhere_loses_nothing(void **state) {
    (void)state;
    for (size_t way = 0; way < COUNT_OF(open_faults); way++) {
        bool hit = true;
        for (int n = 1; hit; n++) {
            char *folder = folder_new();
            struct ledger *ledger = ledger_before(folder, false);
            faults_arm(open_faults[way].call, n, open_faults[way].result, false);
            int status = ledger_close(ledger, &complaint);
            hit = faults.failed > 0;
            faults_clear();
            assert_int_equal(status, hit ? open_faults[way].status : STATUS_OK);
            ledger = open_ledger(folder, NULL);
            assert_ranks(ledger, 1, BEFORE);
            close_ledger(ledger);
            folder_remove(folder);
        }
    }
}

int main(void) {
    faults_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_at_any_write_is_a_known_failure),
        cmocka_unit_test(an_exhausted_quota_is_a_full_disk),
        cmocka_unit_test(an_error_at_any_write_is_ambiguous),
        cmocka_unit_test(an_error_at_any_sync_is_ambiguous),
        cmocka_unit_test(a_full_disk_is_ambiguous_where_commits_are_padded),
        cmocka_unit_test(a_full_disk_leaves_nothing_of_the_commit_in_the_log),
        cmocka_unit_test(a_full_disk_before_commit_is_a_known_failure),
        cmocka_unit_test(a_complaint_tells_what_to_do),
        cmocka_unit_test(every_change_syncs_the_wal_before_it_returns),
        cmocka_unit_test(a_padded_commit_is_written_whole_before_it_returns),
        cmocka_unit_test(a_checkpoint_that_fails_is_tried_again),
        cmocka_unit_test(a_checkpoint_that_failed_is_not_urgent_again_at_once),
        cmocka_unit_test(a_sync_that_fails_in_a_checkpoint_is_ambiguous),
        cmocka_unit_test(checkpoints_keep_the_wal_short),
        cmocka_unit_test(a_creation_that_fails_anywhere_can_be_done_again),
        cmocka_unit_test(a_recovery_that_fails_anywhere_can_be_done_again),
        cmocka_unit_test(a_close_that_fails_anywhere_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Each call to the operating system that opening, folding, closing and copying a ledger make fails
 * in turn, once and for good, for each reason. What is said is true: a success is whole, a failure
 * is a known one and told, nothing is left or lost, and the same again works. */
#include "support_calls.h"
#include "support_world.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ISSUES    20 /* in the main file, */
#define TAIL      10 /* and in the WAL */
#define CALLS_MAX 400

static char *with_wal;    /* a folder with ISSUES and TAIL */
static char *without_wal; /* … with ISSUES */

/* One try of an operation. */
struct trial {
    char *folder;
    char target[PATH_MAX];
    struct ledger *ledger;
    struct buffer before;
    uint32_t issues;
    int held_fd;
};

struct operation {
    const char *name;
    void (*prepare)(struct trial *trial);
    int (*run)(struct trial *trial);
    /* After a run with any status: what is there, and the same again, in which nothing fails. */
    void (*judge)(struct trial *trial, int status);
};

/* ---- opening ---- */

static void prepare_nothing(struct trial *trial) {
    snprintf(trial->target, sizeof(trial->target), "%s/data", trial->folder);
}
static void prepare_wal(struct trial *trial) {
    folder_copy(with_wal, trial->folder);
    trial->issues = ISSUES + TAIL;
}
static void prepare_file(struct trial *trial) {
    folder_copy(without_wal, trial->folder);
    trial->issues = ISSUES;
}
static void prepare_file_to_read(struct trial *trial) {
    prepare_file(trial);
    trial->before = folder_bytes(trial->folder);
}
static void prepare_wal_to_read(struct trial *trial) {
    prepare_wal(trial);
    file_write(path_of(trial->folder, "coupon.lock"), "", 0);
    trial->before = folder_bytes(trial->folder);
}
/* A backup holds it, which a start overrules. */
static void prepare_held(struct trial *trial) {
    prepare_wal(trial);
    trial->held_fd = open(path_of(trial->folder, "coupon.hold"), O_RDONLY | O_CREAT, 0600);
    assert_int_equal(flock(trial->held_fd, LOCK_SH), 0);
}

static int open_and_close(const char *folder, struct ledger_sqlite_options options) {
    struct ledger *ledger = NULL;
    options.directory = folder;
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    assert_int_equal(status == STATUS_OK, ledger != NULL);
    return status < 0 ? status : ledger_close(ledger, &complaint);
}
static int run_open(struct trial *trial) {
    return open_and_close(trial->folder, (struct ledger_sqlite_options){.vfs = NULL});
}
static int run_open_no_new(struct trial *trial) {
    return open_and_close(trial->folder, (struct ledger_sqlite_options){.no_new = true});
}
static int run_open_existing(struct trial *trial) {
    return open_and_close(trial->folder, (struct ledger_sqlite_options){.existing_only = true});
}
static int run_create(struct trial *trial) {
    return open_and_close(trial->target, (struct ledger_sqlite_options){.vfs = NULL});
}

static void assert_issues(const char *folder, uint32_t issues) {
    struct ledger *ledger = open_ledger(folder, NULL);
    assert_ranks(ledger, 1, issues);
    close_ledger(ledger);
}
static void judge_open(struct trial *trial, int status) {
    (void)status;
    assert_issues(trial->folder, trial->issues);
}
/* Who cannot lock the file that it made leaves it, empty: another may have it by now. */
static void judge_existing_without_lock(struct trial *trial, int status) {
    if (status < 0 && exists(trial->folder, "coupon.lock")) {
        assert_int_equal(size_of(trial->folder, "coupon.lock"), 0);
        unlink(path_of(trial->folder, "coupon.lock"));
    }
    assert_folder_is(trial->folder, &trial->before);
    judge_open(trial, status);
}
static void judge_existing(struct trial *trial, int status) {
    assert_folder_is(trial->folder, &trial->before);
    judge_open(trial, status);
}

static void target_remove(struct trial *trial) {
    static const char *const names[] = {"coupon.db", "coupon.lock", "coupon.hold"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unlink(path_of(trial->target, names[i]));
    }
    assert_int_equal(rmdir(trial->target), 0); /* which is empty, so nothing else was left */
}
static void judge_create(struct trial *trial, int status) {
    bool made = exists(trial->target, "coupon.db");
    assert_true(made || status < 0);
    assert_false(exists(trial->target, "coupon.db.new"));
    struct ledger *ledger = open_ledger(trial->target, NULL);
    assert_int_equal(add_coupon(ledger, 1), 1);
    close_ledger(ledger);
    target_remove(trial);
}

/* ---- what a ledger in use does ---- */

static void prepare_ledger(struct trial *trial) {
    prepare_wal(trial);
    trial->ledger = open_ledger(trial->folder, FAULT_VFS);
    trial->issues++;
    assert_int_equal(append_ranks(trial->ledger, 1, trial->issues, 1), STATUS_OK);
    sqlite_of(trial->ledger)->wal_frames += 1000; /* so many that a fold is due */
}
static int run_tend(struct trial *trial) {
    return ledger_tend(trial->ledger, true, &complaint);
}
static void judge_tend(struct trial *trial, int status) {
    (void)status;
    assert_int_equal(append_ranks(trial->ledger, 1, trial->issues + 1, 5), STATUS_OK);
    assert_int_equal(ledger_tend(trial->ledger, false, &complaint), STATUS_OK);
    close_ledger(trial->ledger);
    assert_issues(trial->folder, trial->issues + 5);
}
static int run_close(struct trial *trial) {
    return ledger_close(trial->ledger, &complaint);
}

/* ---- copying ---- */

static void prepare_backup(struct trial *trial) {
    prepare_wal(trial);
    snprintf(trial->target, sizeof(trial->target), "%s-copy", trial->folder);
    trial->before = folder_bytes(trial->folder);
}
static void prepare_backup_of_used(struct trial *trial) {
    file_write(path_of(trial->folder, "coupon.lock"), "", 0);
    prepare_backup(trial);
    file_write(path_of(trial->folder, "coupon.hold"), "", 0);
    assert_int_equal(mkdir(trial->target, 0700), 0);
}
static int run_backup(struct trial *trial) {
    return ledger_sqlite_backup(trial->folder, trial->target, NULL, NULL, &complaint);
}
static void judge_backup(struct trial *trial, int status) {
    assert_false(exists(trial->target, "coupon.new"));
    assert_int_equal(exists(trial->target, "coupon.db"), status == STATUS_OK);
    if (status < 0) {
        rmdir(trial->target); /* if it was there before, and only if it is empty */
        assert_int_equal(access(trial->target, F_OK), -1);
        assert_int_equal(run_backup(trial), STATUS_OK);
    }
    assert_issues(trial->target, trial->issues);
    target_remove(trial);
    assert_int_equal(size_of(trial->folder, "coupon.hold"), 0);
    unlink(path_of(trial->folder, "coupon.hold")); /* which a backup may make */
    assert_folder_is(trial->folder, &trial->before);
}

static const struct operation operations[] = {
    {"create", prepare_nothing, run_create, judge_create},
    {"open after a crash", prepare_wal, run_open, judge_open},
    {"open what a backup holds", prepare_held, run_open, judge_open},
    {"open for an import", prepare_file, run_open_no_new, judge_open},
    {"open to read", prepare_file_to_read, run_open_existing, judge_existing_without_lock},
    {"open to read after a crash", prepare_wal_to_read, run_open_existing, judge_existing},
    {"tend", prepare_ledger, run_tend, judge_tend},
    {"close", prepare_ledger, run_close, judge_open},
    {"backup", prepare_backup, run_backup, judge_backup},
    {"backup of what was used", prepare_backup_of_used, run_backup, judge_backup},
};

/* ---- every call, for every reason ---- */

static bool is_true_of(int status, int reason) {
    switch (status) {
    case STATUS_OK: /* the judge looks */
    case STATUS_IO:
    case STATUS_NO_MEMORY: /* an allocation is a call too */
        return true;
    case STATUS_FULL:
        return reason == ENOSPC || reason == EDQUOT;
    case STATUS_CONFLICT: /* a hold that cannot be looked at may be broken */
        return reason != EINTR;
    case STATUS_STOPPED:
        return reason == EINTR;
    case STATUS_NOT_FOUND: /* what was in the way is gone again */
        return reason == EEXIST;
    case STATUS_BUSY:
        return reason == EWOULDBLOCK;
    default:
        return false;
    }
}

static struct trial trial_begin(const struct operation *operation) {
    struct trial trial = {.folder = folder_new(), .held_fd = -1};
    operation->prepare(&trial);
    complaint.text[0] = '\0';
    return trial;
}

static void trial_end(struct trial *trial) {
    if (trial->held_fd >= 0) {
        close(trial->held_fd);
    }
    folder_remove(trial->folder);
}

/* Lets the nth call fail. Whether there was one. */
static bool fail_nth(const struct operation *operation, enum call_kind kind, unsigned nth,
                     int reason, bool stays) {
    struct trial trial = trial_begin(operation);
    calls_arm(kind, nth, reason, stays);
    int status = operation->run(&trial);
    bool failed = calls_disarm() > 0;
    if (!is_true_of(status, reason) || (status < 0 && complaint.text[0] == '\0') ||
        (status < 0 && !failed)) {
        fail_msg("%s, %s at %u: %s: %s", operation->name, strerror(reason), nth,
                 status_name(status), complaint.text);
    }
    operation->judge(&trial, status);
    trial_end(&trial);
    return failed;
}

/* The reasons take turns. How many calls there were. */
static unsigned fail_all(const struct operation *operation, enum call_kind kind, const int *reasons,
                         unsigned reason_count, bool stays) {
    unsigned nth = 1;
    while (fail_nth(operation, kind, nth, reasons[nth % reason_count], stays)) {
        assert_true(++nth < CALLS_MAX);
    }
    return nth - 1;
}

static void any_call_may_fail(void **state) {
    (void)state;
    static const int reasons[] = {EIO, EACCES};
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        assert_true(fail_all(&operations[i], CALLS_SYSTEM, reasons, COUNT_OF(reasons), false) > 0);
    }
}

/* The first backup has all the calls of the second. */
static void any_call_may_fail_for_rarer_reasons(void **state) {
    (void)state;
    static const int reasons[] = {EROFS, EDQUOT, EEXIST, EPERM, ENOSPC};
    for (size_t i = 0; i < COUNT_OF(operations) - 1; i++) {
        assert_true(fail_all(&operations[i], CALLS_SYSTEM, reasons, COUNT_OF(reasons), false) > 0);
    }
}

static void any_call_may_fail_for_good(void **state) {
    (void)state;
    static const int reasons[] = {EIO, ENOSPC};
    for (size_t i = 0; i < COUNT_OF(operations) - 1; i++) {
        assert_true(fail_all(&operations[i], CALLS_SYSTEM, reasons, COUNT_OF(reasons), true) > 0);
    }
}

static void any_removal_of_a_name_may_fail(void **state) {
    (void)state;
    static const int reasons[] = {EROFS, ENOENT};
    assert_true(fail_all(&operations[2], CALLS_UNLINK, &reasons[0], 1, false) > 0);
    assert_true(fail_all(&operations[2], CALLS_UNLINK, &reasons[1], 1, false) > 0);
}

/* Names that are not durable are no ledger and no copy. */
static void what_is_not_made_durable_is_no_success(void **state) {
    (void)state;
    unsigned syncs = 0;
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        bool failed = true;
        for (unsigned nth = 1; failed; nth++) {
            struct trial trial = trial_begin(&operations[i]);
            calls_arm(CALLS_SYNC, nth, EIO, false);
            int status = operations[i].run(&trial);
            failed = calls_disarm() > 0;
            assert_int_equal(status, failed ? STATUS_IO : STATUS_OK);
            operations[i].judge(&trial, status);
            trial_end(&trial);
            syncs += failed;
        }
    }
    assert_true(syncs > 10);
}

/* It is empty: with a file in it the answer would depend on what is listed first. */
static void a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(void **state) {
    (void)state;
    for (unsigned nth = 1; nth <= 3; nth++) { /* ".", ".." and the end */
        struct trial trial = trial_begin(&operations[COUNT_OF(operations) - 1]);
        calls_arm(CALLS_LIST, nth, EIO, true);
        assert_int_equal(run_backup(&trial), STATUS_IO);
        assert_true(calls_disarm() > 0);
        assert_says("look at the folder");
        assert_int_equal(rmdir(trial.target), 0); /* nothing was put there */
        buffer_done(&trial.before);
        trial_end(&trial);
    }
}

/* ---- what may happen between two calls, and by halves ---- */

static void a_read_or_a_lock_may_be_interrupted(void **state) {
    (void)state;
    static const int reason = EINTR;
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        fail_all(&operations[i], CALLS_READ, &reason, 1, false);
        fail_all(&operations[i], CALLS_LOCK, &reason, 1, false);
    }
}

static void what_is_read_and_written_by_halves_is_copied_whole(void **state) {
    (void)state;
    const struct operation *backup = &operations[COUNT_OF(operations) - 2];
    struct trial trial = trial_begin(backup);
    calls_halve(true);
    int status = backup->run(&trial);
    calls_halve(false);
    assert_int_equal(status, STATUS_OK);
    backup->judge(&trial, status);
    trial_end(&trial);
}

/* Somebody else's lock, with `text` in its file. */
static void assert_busy(const char *folder, const char *text, const char *words) {
    const char *path = path_of(folder, "coupon.lock");
    file_write(path, text, strlen(text));
    int fd = open(path, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(open_status(folder, false), STATUS_BUSY);
    assert_says(words);
    assert_int_equal(open_status(folder, true), STATUS_BUSY);
    assert_says(words);
    close(fd);
}

static void who_is_refused_learns_who_holds_the_folder_if_that_can_be_told(void **state) {
    (void)state;
    struct trial trial = trial_begin(&operations[1]);
    char self[24];
    snprintf(self, sizeof(self), "%ld\n", (long)getpid());
    assert_busy(trial.folder, self, "process ");
    assert_busy(trial.folder, "", "another process holds");
    assert_busy(trial.folder, "no number", "another process holds");
    assert_busy(trial.folder, "2147483647\n", "another process holds"); /* names nobody */
    calls_arm(CALLS_KILL, 1, EPERM, true);                              /* another user's process */
    assert_busy(trial.folder, self, "process ");
    calls_arm(CALLS_KILL, 1, ESRCH, true);
    assert_busy(trial.folder, self, "another process holds");
    assert_int_equal(calls_disarm(), 2);
    judge_open(&trial, STATUS_OK);
    trial_end(&trial);
}

/* The name leads to another file than the one that was opened. */
static void replace_lock(void *folder) {
    unlink(path_of(folder, "coupon.lock"));
}
static void replace_hold(void *folder) {
    unlink(path_of(folder, "coupon.hold"));
    file_write(path_of(folder, "coupon.hold"), "", 0);
}

static void a_lock_on_a_file_that_lost_its_name_is_taken_again(void **state) {
    (void)state;
    static void (*const meddlers[])(void *folder) = {replace_lock, replace_hold};
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        for (unsigned nth = 1; nth <= 3; nth++) {
            struct trial trial = trial_begin(&operations[i]);
            bool reads_only = operations[i].run == run_open_existing;
            calls_arm_meddler(CALLS_LOCK, nth, meddlers[operations[i].run == run_backup],
                              trial.folder);
            int status = operations[i].run(&trial);
            calls_disarm();
            assert_int_equal(status, STATUS_OK);
            if (!reads_only) {
                operations[i].judge(&trial, status);
            } else {
                buffer_done(&trial.before);
            }
            trial_end(&trial);
        }
    }
}

/* Another backup into the same target has the folder's lock first, and a copy that grows in it. */
static void begin_rival(void *context) {
    struct trial *trial = context;
    char work[PATH_MAX];
    snprintf(work, sizeof(work), "%s", path_of(trial->target, "coupon.new"));
    trial->held_fd = open(work, O_RDONLY | O_DIRECTORY);
    if (trial->held_fd >= 0) {
        assert_int_equal(flock(trial->held_fd, LOCK_EX), 0);
        file_write(path_of(work, "coupon.db"), "x", 1);
    }
}

static void a_backup_that_comes_second_leaves_the_work_of_the_first(void **state) {
    (void)state;
    const struct operation *backup = &operations[COUNT_OF(operations) - 2];
    bool met = false;
    for (unsigned nth = 1; !met; nth++) {
        struct trial trial = trial_begin(backup);
        calls_arm_meddler(CALLS_LOCK, nth, begin_rival, &trial);
        int status = backup->run(&trial);
        calls_disarm();
        met = trial.held_fd >= 0;
        assert_int_equal(status, met ? STATUS_BUSY : STATUS_OK);
        if (met) {
            assert_says("another backup");
            assert_int_equal(unlinkat(trial.held_fd, "coupon.db", 0), 0); /* it is there yet */
            assert_int_equal(rmdir(path_of(trial.target, "coupon.new")), 0);
        }
        backup->judge(&trial, status);
        trial_end(&trial);
    }
}

/* Whoever could fold there could not write either, so that there is nothing to hold. */
static void a_folder_that_cannot_be_written_to_is_copied_without_a_hold(void **state) {
    (void)state;
    const struct operation *backup = &operations[COUNT_OF(operations) - 2];
    unsigned without = 0;
    bool failed = true;
    for (unsigned nth = 1; failed; nth++) {
        struct trial trial = trial_begin(backup);
        calls_arm(CALLS_SYSTEM, nth, EROFS, false);
        int status = backup->run(&trial);
        failed = calls_disarm() > 0;
        without += status == STATUS_OK && !exists(trial.folder, "coupon.hold");
        backup->judge(&trial, status);
        trial_end(&trial);
    }
    assert_true(without > 0);
}

/* Whoever may write to the folder could make one that leads to another's file. */
static void a_symbolic_link_is_no_lock_and_no_hold(void **state) {
    (void)state;
    struct trial trial = trial_begin(&operations[COUNT_OF(operations) - 2]);
    char *other = strdup(path_of(trial.folder, "other"));
    file_write(other, "kept", 4);
    assert_int_equal(symlink(other, path_of(trial.folder, "coupon.hold")), 0);
    assert_int_equal(run_backup(&trial), STATUS_IO);
    assert_says("coupon.hold");
    unlink(path_of(trial.folder, "coupon.lock"));
    assert_int_equal(symlink(other, path_of(trial.folder, "coupon.lock")), 0);
    for (int existing_only = 0; existing_only < 2; existing_only++) {
        assert_int_equal(open_status(trial.folder, existing_only), STATUS_IO);
        assert_says("coupon.lock");
    }
    assert_int_equal(size_of(trial.folder, "other"), 4);
    free(other);
    buffer_done(&trial.before);
    trial_end(&trial);
}

static void a_file_is_no_folder(void **state) {
    (void)state;
    struct trial trial = trial_begin(&operations[1]);
    assert_int_equal(open_status(path_of(trial.folder, "coupon.db"), true), STATUS_IO);
    assert_says("open the folder");
    trial_end(&trial);
}

/* A new file beside an old log would make that log its own. */
static void what_is_left_of_a_lost_file_is_never_overlooked(void **state) {
    static const char *const names[] = {"coupon.db-wal", "coupon.db-journal"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *folder = folder_new();
        bool failed = true;
        file_write(path_of(folder, names[i]), "x", 1);
        for (unsigned nth = 1; failed; nth++) {
            calls_arm(CALLS_SYSTEM, nth, EIO, false);
            int status = open_status(folder, false);
            failed = calls_disarm() > 0;
            assert_true(status == STATUS_DAMAGED || (failed && status < 0));
            assert_true(exists(folder, names[i]));
            assert_false(exists(folder, "coupon.db"));
        }
        folder_remove(folder);
    }
}

static void a_path_that_is_too_long_is_told(void **state) {
    (void)state;
    char path[PATH_MAX + 2];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(open_status(path, false), STATUS_IO);
    assert_says("too long");
    assert_complains(STATUS_IO, ledger_sqlite_backup(path, "/none", NULL, NULL, &complaint));
    assert_says("too long");
    assert_complains(STATUS_IO, ledger_sqlite_backup(with_wal, path_of(with_wal, "no/such"), NULL,
                                                     NULL, &complaint));
}

static void what_a_backup_left_beside_foreign_files_is_not_touched(void **state) {
    (void)state;
    struct trial trial = trial_begin(&operations[COUNT_OF(operations) - 1]);
    assert_int_equal(mkdir(path_of(trial.target, "coupon.new"), 0700), 0);
    char work[PATH_MAX];
    snprintf(work, sizeof(work), "%s", path_of(trial.target, "coupon.new"));
    file_write(path_of(work, "mine"), "x", 1);
    assert_int_equal(run_backup(&trial), STATUS_EXISTS);
    assert_says("not empty");
    assert_true(exists(work, "mine"));
    unlink(path_of(work, "mine"));
    rmdir(work);
    operations[COUNT_OF(operations) - 1].judge(&trial, run_backup(&trial));
    trial_end(&trial);
}

int main(void) {
    faults_register();
    faults.skip_sync = true;
    with_wal = folder_new();
    without_wal = folder_new();
    make_ledger_with_wal(with_wal, ISSUES, TAIL);
    make_ledger(without_wal, ISSUES);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_call_may_fail),
        cmocka_unit_test(any_call_may_fail_for_rarer_reasons),
        cmocka_unit_test(any_call_may_fail_for_good),
        cmocka_unit_test(any_removal_of_a_name_may_fail),
        cmocka_unit_test(what_is_not_made_durable_is_no_success),
        cmocka_unit_test(a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one),
        cmocka_unit_test(a_read_or_a_lock_may_be_interrupted),
        cmocka_unit_test(what_is_read_and_written_by_halves_is_copied_whole),
        cmocka_unit_test(who_is_refused_learns_who_holds_the_folder_if_that_can_be_told),
        cmocka_unit_test(a_lock_on_a_file_that_lost_its_name_is_taken_again),
        cmocka_unit_test(a_backup_that_comes_second_leaves_the_work_of_the_first),
        cmocka_unit_test(a_folder_that_cannot_be_written_to_is_copied_without_a_hold),
        cmocka_unit_test(a_symbolic_link_is_no_lock_and_no_hold),
        cmocka_unit_test(a_file_is_no_folder),
        cmocka_unit_test(what_is_left_of_a_lost_file_is_never_overlooked),
        cmocka_unit_test(a_path_that_is_too_long_is_told),
        cmocka_unit_test(what_a_backup_left_beside_foreign_files_is_not_touched),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove(with_wal);
    folder_remove(without_wal);
    return failed;
}

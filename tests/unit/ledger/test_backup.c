/* Backups of a ledger in use. The ledger works in the backup's own calls of `progress`, so what
 * happens between two pieces of a copy is told by the test, not by chance. */
#include "support_world.h"

#include "support/child.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COPY         "copy"              /* the target, in the world's room */
#define RANDOM_LIMIT (1500 * FRAME_SIZE) /* held_size_max */
#define FEW_FRAMES   (1 << 16)           /* held_size_max: reached by some commits */

struct bytes32 {
    char bytes[32];
};
static struct bytes32 wal_header(const struct world *world) {
    struct bytes32 header = {{0}};
    int fd = open(path_of(world->folder, WAL), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, header.bytes, sizeof(header.bytes)), sizeof(header.bytes));
    close(fd);
    return header;
}

static bool header_changed(const struct world *world, const struct bytes32 *before) {
    struct bytes32 now = wal_header(world);
    return memcmp(now.bytes, before->bytes, sizeof(now.bytes)) != 0;
}

/* ---- copies ---- */

/* What the ledger does while the backup copies; called after every piece. */
struct meddler {
    struct world *world;
    void (*meddle)(struct meddler *meddler, int64_t copied);
    int calls;
    int begun;  /* times that coupon.db was copied, where it is smaller than a piece */
    int status; /* what `progress` returns */
    int64_t copied;
    struct bytes32 header;
};

static int on_progress(void *context, int64_t copied, int64_t total) {
    struct meddler *meddler = context;
    meddler->calls++;
    assert_true(total > 0);
    if (meddler->meddle) {
        meddler->meddle(meddler, copied);
    }
    return meddler->status;
}

static const char *target_of(const struct world *world) {
    return path_of(world->room, COPY);
}

static int backup(struct meddler *meddler) {
    complaint.text[0] = '\0';
    return ledger_sqlite_backup(meddler->world->folder, target_of(meddler->world), on_progress,
                                meddler, &complaint);
}

static void copy_remove(const struct world *world) {
    static const char *const names[] = {"coupon.db", "coupon.lock", "coupon.hold"};
    char target[PATH_MAX];
    snprintf(target, sizeof(target), "%s", target_of(world));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unlink(path_of(target, names[i]));
    }
    assert_int_equal(rmdir(target), 0);
}

/* The copy is one sound file with the ranks 1 … n, n at least `least`; returns n. */
static uint32_t assert_copy(const struct world *world, uint32_t least) {
    char target[PATH_MAX];
    snprintf(target, sizeof(target), "%s", target_of(world));
    assert_false(exists(target, WAL));
    assert_false(exists(target, "coupon.new"));
    assert_false(exists(target, "coupon.lock"));
    assert_false(exists(target, "coupon.hold"));
    struct ledger *ledger = open_existing(target);
    assert_int_equal(ledger_check(ledger, &complaint), STATUS_OK);
    uint32_t count = ranks_of(ledger, 1);
    assert_true(count >= least);
    close_ledger(ledger);
    copy_remove(world);
    return count;
}

static void assert_nothing_left(const struct world *world) {
    assert_false(exists(world->room, COPY));
}

static void a_copy_of_a_ledger_in_use_has_what_was_committed(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world};
    issue(world, 3000);
    assert_true(frames_of(world) > 0);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_true(meddler.calls > 0);
    assert_int_equal(assert_copy(world, 3000), 3000);
    fold_everything(world);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_int_equal(assert_copy(world, world->issued), world->issued);
    issue(world, 1);
    assert_ranks(world->ledger, 1, world->issued);
}

static void a_copy_of_a_closed_ledger_is_the_same_file_for_its_owner_only(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world};
    issue(world, 3000);
    close_ledger(world->ledger);
    world->ledger = NULL;
    unlink(path_of(world->folder, "coupon.hold"));
    assert_int_equal(backup(&meddler), STATUS_OK);
    struct stat found;
    assert_int_equal(stat(target_of(world), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    char target[PATH_MAX];
    snprintf(target, sizeof(target), "%s", target_of(world));
    assert_int_equal(stat(path_of(target, "coupon.db"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(found.st_size, size_of(world->folder, "coupon.db"));
    assert_copy(world, 3000);
    assert_true(exists(world->folder, "coupon.hold"));
    assert_false(exists(world->folder, "coupon.hold.new"));
}

static void a_copy_of_what_a_kill_left_has_the_wal_too(void **state) {
    struct world *world = *state;
    close_ledger(world->ledger);
    unlink(path_of(world->folder, "coupon.db"));
    make_ledger_with_wal(world->folder, 2000, 500);
    world->ledger = NULL;
    struct meddler meddler = {.world = world};
    int64_t size = size_of(world->folder, WAL);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_int_equal(size_of(world->folder, WAL), size);
    assert_int_equal(assert_copy(world, 2500), 2500);
}

/* All is folded, the hold is taken, coupon.db is copied; then a commit starts the WAL over. */
static void meddle_by_a_commit(struct meddler *meddler, int64_t copied) {
    if (meddler->calls == 1) {
        assert_int_equal(copied, size_of(meddler->world->folder, "coupon.db"));
        issue(meddler->world, 10);
        tend(meddler->world, false);
        assert_true(header_changed(meddler->world, &meddler->header));
    }
}

static void a_wal_started_over_after_the_file_was_copied_is_copied_right(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world, .meddle = meddle_by_a_commit};
    fold_everything(world);
    assert_true(size_of(world->folder, "coupon.db") < 1 << 20);
    uint32_t before = world->issued;
    meddler.header = wal_header(world);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_int_equal(assert_copy(world, before), before + 10);
    assert_int_equal(world->broken, 0);
}

/* The same, but when the first piece of the old WAL is copied already: what follows it would
 * be old frames behind new ones. */
static void meddle_within_the_wal(struct meddler *meddler, int64_t copied) {
    meddler->begun += copied == size_of(meddler->world->folder, "coupon.db");
    if (meddler->calls == 2) {
        issue(meddler->world, 10);
        assert_true(header_changed(meddler->world, &meddler->header));
    }
}

static void a_wal_started_over_while_it_is_copied_is_copied_anew(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world, .meddle = meddle_within_the_wal};
    fold_everything(world);
    assert_true(size_of(world->folder, "coupon.db") < 1 << 20);
    assert_true(size_of(world->folder, WAL) > 2 << 20);
    uint32_t before = world->issued;
    meddler.header = wal_header(world);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_true(meddler.calls > 6); /* coupon.db, the WAL's pieces, and those again */
    assert_int_equal(meddler.begun, 1);
    assert_int_equal(assert_copy(world, before), before + 10);
}

/* Makes the ledger break the hold the first so many times. */
static void meddle_by_breaking(struct meddler *meddler, int64_t copied) {
    struct world *world = meddler->world;
    if (copied <= 1 << 20 && world->broken < 2) {
        issue_frames(world, 1000);
        tend(world, false);
    }
}

static void a_broken_backup_starts_over(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world, .meddle = meddle_by_breaking};
    close_ledger(world->ledger);
    world_open(world, FEW_FRAMES);
    fold_everything(world);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_int_equal(world->broken, 2);
    assert_int_equal(assert_copy(world, world->issued), world->issued);
}

static void meddle_by_breaking_always(struct meddler *meddler, int64_t copied) {
    (void)copied;
    issue_frames(meddler->world, 1000);
    tend(meddler->world, false);
}

static void a_backup_that_is_always_broken_fails_and_leaves_nothing(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world, .meddle = meddle_by_breaking_always};
    close_ledger(world->ledger);
    world_open(world, FEW_FRAMES);
    fold_everything(world);
    assert_int_equal(backup(&meddler), STATUS_CONFLICT);
    assert_says("backup-broken");
    assert_says("4 times");
    assert_true(world->broken >= 4);
    assert_nothing_left(world);
    assert_ranks(world->ledger, 1, world->issued);
}

/* The server is killed and comes back: it recovers and folds while coupon.db is copied. */
static void meddle_by_a_new_start(struct meddler *meddler, int64_t copied) {
    struct world *world = meddler->world;
    (void)copied;
    if (meddler->calls == 1) {
        issue(world, 10);
        sqlite_of(world->ledger)->broken = true; /* closes as a kill would: without a fold */
        close_ledger(world->ledger);
        world_open(world, 0);
        assert_int_equal(size_of(world->folder, WAL), 0);
    }
}

static void a_start_of_the_server_makes_a_backup_start_over(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world, .meddle = meddle_by_a_new_start};
    close_ledger(world->ledger); /* so that there is no WAL, neither before nor after */
    world_open(world, 0);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_int_equal(world->broken, 1);
    assert_int_equal(assert_copy(world, world->issued), world->issued);
}

/* ---- refusals and interruptions ---- */

static void a_target_that_is_not_empty_is_left_as_it_is(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world};
    issue(world, 100);
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_int_equal(backup(&meddler), STATUS_EXISTS);
    assert_says("not empty");
    assert_copy(world, 100);
    assert_int_equal(mkdir(target_of(world), 0700), 0); /* empty: taken */
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_copy(world, 100);
}

static void the_data_folder_and_what_is_in_it_is_no_target(void **state) {
    struct world *world = *state;
    char inner[PATH_MAX];
    snprintf(inner, sizeof(inner), "%s/inner", world->folder);
    assert_int_equal(ledger_sqlite_backup(world->folder, world->folder, NULL, NULL, &complaint),
                     STATUS_INVALID);
    assert_int_equal(ledger_sqlite_backup(world->folder, inner, NULL, NULL, &complaint),
                     STATUS_INVALID);
    assert_says("data folder");
    assert_false(exists(world->folder, "inner"));
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(
        ledger_sqlite_backup(world->folder, path_of(inner, "more"), NULL, NULL, &complaint),
        STATUS_INVALID);
    assert_int_equal(rmdir(inner), 0); /* and it is empty */
}

static void what_is_no_ledger_is_not_copied(void **state) {
    struct world *world = *state;
    char *empty = folder_new();
    assert_int_equal(
        ledger_sqlite_backup(path_of(empty, "none"), target_of(world), NULL, NULL, &complaint),
        STATUS_NOT_FOUND);
    assert_int_equal(ledger_sqlite_backup(empty, target_of(world), NULL, NULL, &complaint),
                     STATUS_NOT_FOUND);
    file_write(path_of(empty, "coupon.db"), "hello", 5);
    assert_int_equal(ledger_sqlite_backup(empty, target_of(world), NULL, NULL, &complaint),
                     STATUS_DAMAGED);
    assert_nothing_left(world);
    folder_remove(empty);
}

/* A page of the file is not what it was, which only the check of the copy can find. */
static void a_damaged_file_makes_no_backup(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world};
    issue(world, 20000);
    close_ledger(world->ledger);
    world->ledger = NULL;
    int fd = open(path_of(world->folder, "coupon.db"), O_WRONLY);
    char page[4096] = {0};
    assert_int_equal(pwrite(fd, page, sizeof(page), 4096 * 20), sizeof(page));
    close(fd);
    assert_int_equal(backup(&meddler), STATUS_DAMAGED);
    assert_nothing_left(world);
}

static void a_backup_that_is_given_up_leaves_nothing_and_the_hold_ends(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world, .status = STATUS_STOPPED};
    fold_everything(world);
    assert_int_equal(backup(&meddler), STATUS_STOPPED);
    assert_nothing_left(world);
    issue_frames(world, 1000);
    tend(world, false);
    assert_int_equal(frames_of(world), 0);
}

/* Stops when everything is copied: while the copy is recovered and checked. */
static int stop_later(void *context, int64_t copied, int64_t total) {
    int *calls = context;
    return copied >= total && ++*calls > 1 ? STATUS_STOPPED : STATUS_OK;
}

static void the_check_of_the_copy_can_be_given_up(void **state) {
    struct world *world = *state;
    int calls = 0;
    issue(world, 20000);
    assert_int_equal(
        ledger_sqlite_backup(world->folder, target_of(world), stop_later, &calls, &complaint),
        STATUS_STOPPED);
    assert_nothing_left(world);
}

static int kill_self(void *context, int64_t copied, int64_t total) {
    (void)context;
    (void)copied;
    (void)total;
    return raise(SIGKILL);
}

static int begin_backup(const void *context) {
    const struct world *world = context;
    return ledger_sqlite_backup(world->folder, target_of(world), kill_self, NULL, &complaint) ? 1
                                                                                              : 0;
}

static void what_a_killed_backup_left_is_removed_by_the_next(void **state) {
    struct world *world = *state;
    struct meddler meddler = {.world = world};
    issue(world, 100);
    close_ledger(world->ledger);
    world->ledger = NULL;
    int how = child_status(begin_backup, world);
    assert_true(WIFSIGNALED(how));
    assert_int_equal(WTERMSIG(how), SIGKILL);
    char target[PATH_MAX];
    snprintf(target, sizeof(target), "%s", target_of(world));
    assert_true(exists(target, "coupon.new"));
    assert_int_equal(open_status(target, true), STATUS_NOT_FOUND); /* it is no ledger */
    assert_int_equal(backup(&meddler), STATUS_OK);
    assert_copy(world, 100);
}

static int backup_too(void *context, int64_t copied, int64_t total) {
    (void)copied;
    (void)total;
    struct meddler meddler = {.world = context};
    assert_int_equal(backup(&meddler), STATUS_BUSY);
    assert_says("another backup");
    return STATUS_OK;
}

static void two_backups_do_not_write_into_one_target(void **state) {
    struct world *world = *state;
    issue(world, 100);
    assert_int_equal(
        ledger_sqlite_backup(world->folder, target_of(world), backup_too, world, &complaint),
        STATUS_OK);
    assert_copy(world, 100);
}

/* ---- at random ---- */

static void meddle_at_random(struct meddler *meddler, int64_t copied) {
    struct world *world = meddler->world;
    if (copied == meddler->copied) {
        return; /* the copy is being checked: nothing that happens now matters to it */
    }
    meddler->copied = copied;
    for (long commits = random() % 20; commits > 0; commits--) {
        issue(world, 1 + (uint32_t)random() % 20);
        tend(world, random() % 2);
    }
    if (random() % 10 == 0) {
        issue_frames(world, 1000);
        tend(world, false);
    }
    if (random() % 40 == 0) {
        sqlite_of(world->ledger)->broken = random() % 2; /* a kill, or an end in order */
        close_ledger(world->ledger);
        world_open(world, RANDOM_LIMIT);
    }
}

static void a_copy_is_right_whatever_happens_meanwhile(void **state) {
    struct world *world = *state;
    const char *text = getenv("COUPON_TEST_SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)getpid();
    print_message("COUPON_TEST_SEED=%u\n", seed);
    srandom(seed);
    faults.skip_sync = true; /* for speed; faults_clear keeps it, so this test is the last */
    world->vfs = FAULT_VFS;
    close_ledger(world->ledger);
    world_open(world, RANDOM_LIMIT);
    int made = 0;
    for (int turn = 0; turn < 40; turn++) {
        struct meddler meddler = {.world = world, .meddle = meddle_at_random};
        meddle_at_random(&meddler, -1);
        uint32_t before = world->issued;
        int status = backup(&meddler);
        assert_true(status == STATUS_OK || status == STATUS_CONFLICT);
        if (status == STATUS_OK) {
            assert_true(assert_copy(world, before) <= world->issued);
            made++;
        } else {
            assert_nothing_left(world);
        }
    }
    print_message("%d backups made, %d times broken\n", made, world->broken);
    assert_true(made > 0);
    assert_ranks(world->ledger, 1, world->issued);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    faults_register();
    const struct CMUnitTest tests[] = {
        with_world(a_copy_of_a_ledger_in_use_has_what_was_committed),
        with_world(a_copy_of_a_closed_ledger_is_the_same_file_for_its_owner_only),
        with_world(a_copy_of_what_a_kill_left_has_the_wal_too),
        with_world(a_wal_started_over_after_the_file_was_copied_is_copied_right),
        with_world(a_wal_started_over_while_it_is_copied_is_copied_anew),
        with_world(a_broken_backup_starts_over),
        with_world(a_backup_that_is_always_broken_fails_and_leaves_nothing),
        with_world(a_start_of_the_server_makes_a_backup_start_over),
        with_world(a_target_that_is_not_empty_is_left_as_it_is),
        with_world(the_data_folder_and_what_is_in_it_is_no_target),
        with_world(what_is_no_ledger_is_not_copied),
        with_world(a_damaged_file_makes_no_backup),
        with_world(a_backup_that_is_given_up_leaves_nothing_and_the_hold_ends),
        with_world(the_check_of_the_copy_can_be_given_up),
        with_world(what_a_killed_backup_left_is_removed_by_the_next),
        with_world(two_backups_do_not_write_into_one_target),
        with_world(a_copy_is_right_whatever_happens_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The hold on folding, from the ledger's side: what it keeps waiting and what overrules it. */
#include "support_world.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A backup's lock, from outside the ledger's code. */
static int hold(const struct world *world) {
    int fd = open(path_of(world->folder, "coupon.hold"), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    return fd;
}

static void a_hold_keeps_the_wal_from_being_folded_and_its_end_lets_it(void **state) {
    struct world *world = *state;
    fold_everything(world);
    int64_t size = size_of(world->folder, "coupon.db");
    int fd = hold(world);
    issue_frames(world, 1500);
    tend(world, true);
    tend(world, false);
    assert_true(frames_of(world) >= 1500);
    assert_int_equal(size_of(world->folder, "coupon.db"), size);
    assert_int_equal(world->held, 1); /* told once */
    assert_int_equal(world->broken, 0);
    assert_int_equal(world->wal_size, size_of(world->folder, WAL));
    close(fd);
    tend(world, false);
    assert_int_equal(frames_of(world), 0);
    assert_true(size_of(world->folder, "coupon.db") > size);
    fd = hold(world);
    issue_frames(world, 300);
    tend(world, true);
    assert_int_equal(world->held, 2);
    close(fd);
}

static void a_wal_that_grew_long_is_cut_when_it_is_folded(void **state) {
    struct world *world = *state;
    int fd = hold(world);
    while (size_of(world->folder, WAL) < 20 << 20) {
        issue(world, 2000);
    }
    tend(world, false);
    close(fd);
    tend(world, false);
    assert_int_equal(size_of(world->folder, WAL), 0);
    issue(world, 1);
    assert_ranks(world->ledger, 1, world->issued);
}

static void at_its_limit_the_wal_is_folded_and_the_hold_knows(void **state) {
    struct world *world = *state;
    close_ledger(world->ledger);
    world_open(world, 2000 * FRAME_SIZE);
    int fd = hold(world);
    issue_frames(world, 1100);
    tend(world, false);
    assert_int_equal(world->broken, 0);
    issue_frames(world, 2000);
    tend(world, false);
    assert_int_equal(world->broken, 1);
    assert_int_equal(frames_of(world), 0);
    struct stat held;
    assert_int_equal(fstat(fd, &held), 0);
    assert_int_equal(held.st_nlink, 0);
    /* Who held it keeps nobody from anything; the next hold counts again. */
    issue_frames(world, 1000);
    tend(world, false);
    assert_int_equal(frames_of(world), 0);
    assert_int_equal(world->broken, 1);
    int again = hold(world);
    issue_frames(world, 1000);
    tend(world, false);
    assert_true(frames_of(world) >= 1000);
    close(again);
    close(fd);
}

static void a_full_disk_overrules_the_hold(void **state) {
    struct world *world = *state;
    close_ledger(world->ledger);
    world->vfs = FAULT_VFS;
    world_open(world, 0);
    int fd = hold(world);
    issue_frames(world, 1000);
    tend(world, false);
    faults_arm(FAULT_WRITE, 1, SQLITE_FULL, false);
    assert_int_equal(append_ranks(world->ledger, 1, world->issued + 1, 100), STATUS_FULL);
    faults_clear();
    assert_int_equal(world->broken, 0);
    assert_int_equal(ledger_probe(world->ledger, &complaint), STATUS_OK);
    assert_int_equal(world->broken, 1);
    assert_true(frames_of(world) < 1000);
    issue(world, 10);
    assert_ranks(world->ledger, 1, world->issued);
    close(fd);
}

static void closing_under_a_hold_leaves_the_wal_and_the_next_open_folds_it(void **state) {
    struct world *world = *state;
    fold_everything(world);
    int fd = hold(world);
    issue(world, 100);
    int64_t size = size_of(world->folder, "coupon.db");
    close_ledger(world->ledger);
    assert_true(size_of(world->folder, WAL) > 0);
    assert_int_equal(size_of(world->folder, "coupon.db"), size);
    assert_int_equal(world->broken, 0);
    world_open(world, 0); /* waits for nobody */
    assert_int_equal(world->broken, 1);
    assert_int_equal(size_of(world->folder, WAL), 0);
    assert_ranks(world->ledger, 1, world->issued);
    close(fd);
}

static void a_hold_that_was_removed_is_made_anew(void **state) {
    struct world *world = *state;
    unlink(path_of(world->folder, "coupon.hold"));
    fold_everything(world);
    assert_true(exists(world->folder, "coupon.hold"));
    int fd = hold(world);
    issue_frames(world, 1000);
    tend(world, false);
    assert_true(frames_of(world) >= 1000);
    close(fd);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    faults_register();
    const struct CMUnitTest tests[] = {
        with_world(a_hold_keeps_the_wal_from_being_folded_and_its_end_lets_it),
        with_world(a_wal_that_grew_long_is_cut_when_it_is_folded),
        with_world(at_its_limit_the_wal_is_folded_and_the_hold_knows),
        with_world(a_full_disk_overrules_the_hold),
        with_world(closing_under_a_hold_leaves_the_wal_and_the_next_open_folds_it),
        with_world(a_hold_that_was_removed_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

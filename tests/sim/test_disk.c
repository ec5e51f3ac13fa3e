/* The simulated disk: what a power cut may take, and what it never may. Each rule is tried with
 * many seeds, and what "may" happen must happen in some of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/world/disk.h"

#include <stdlib.h>

enum { SEEDS = 2000, SIZE = 3 * DISK_SECTOR + 100 };

struct fixture {
    struct disk *disk;
    struct random random;
    struct disk_damage damage;
    unsigned file; /* "a", its name and SIZE bytes of '1' synced */
};

static char ones[SIZE];
static char twos[SIZE];

static void begin(struct fixture *fixture, uint64_t seed) {
    memset(ones, '1', SIZE);
    memset(twos, '2', SIZE);
    *fixture = (struct fixture){.disk = disk_new()};
    random_begin(&fixture->random, seed);
    fixture->file = disk_create(fixture->disk, "a");
    disk_write(fixture->disk, fixture->file, ones, SIZE, 0);
    disk_sync(fixture->disk, fixture->file);
    disk_sync_names(fixture->disk);
}

static void cut(struct fixture *fixture) {
    disk_cut(fixture->disk, &fixture->random, &fixture->damage);
}

static void end(struct fixture *fixture) {
    disk_free(fixture->disk);
}

/* How many bytes of the file are `wanted`. */
static size_t count(const struct fixture *fixture, char wanted) {
    static char bytes[4 * SIZE];
    size_t size = disk_read(fixture->disk, fixture->file, bytes, sizeof(bytes), 0);
    size_t found = 0;
    for (size_t i = 0; i < size; i++) {
        found += bytes[i] == wanted;
    }
    return found;
}

static void what_is_synced_survives_every_cut(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_set_garbles(fixture.disk, seed % 2);
        disk_write(fixture.disk, fixture.file, twos, SIZE, 0);
        disk_sync(fixture.disk, fixture.file);
        cut(&fixture);
        cut(&fixture);
        assert_int_equal(count(&fixture, '2'), SIZE);
        assert_int_equal(disk_size(fixture.disk, fixture.file), SIZE);
        end(&fixture);
    }
}

static void what_is_not_synced_is_kept_lost_or_torn(void **state) {
    (void)state;
    size_t kept = 0;
    size_t lost = 0;
    size_t torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_write(fixture.disk, fixture.file, twos, SIZE, 0);
        assert_int_equal(count(&fixture, '2'), SIZE); /* programs see it at once */
        cut(&fixture);
        size_t twos_left = count(&fixture, '2');
        assert_int_equal(twos_left + count(&fixture, '1'), SIZE); /* and nothing else, ever */
        kept += twos_left == SIZE;
        lost += twos_left == 0;
        torn += twos_left > 0 && twos_left < SIZE;
        end(&fixture);
    }
    assert_true(kept > SEEDS / 20);
    assert_true(lost > SEEDS / 20);
    assert_true(torn > SEEDS / 20);
}

static void a_later_write_may_survive_an_earlier_one(void **state) {
    (void)state;
    uint64_t reordered = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_write(fixture.disk, fixture.file, twos, 10, 0);
        disk_write(fixture.disk, fixture.file, twos, 10, 2 * DISK_SECTOR);
        cut(&fixture);
        reordered += fixture.damage.reordered;
        end(&fixture);
    }
    assert_true(reordered > 0);
}

static void a_torn_sector_is_garbled_only_where_the_disk_does_that(void **state) {
    (void)state;
    size_t garbled = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_set_garbles(fixture.disk, true);
        disk_write(fixture.disk, fixture.file, twos, 10, DISK_SECTOR + 5);
        cut(&fixture);
        char bytes[SIZE];
        assert_int_equal(disk_read(fixture.disk, fixture.file, bytes, SIZE, 0), SIZE);
        assert_memory_equal(bytes, ones, DISK_SECTOR);
        assert_memory_equal(bytes + 2 * DISK_SECTOR, ones, SIZE - 2 * DISK_SECTOR);
        garbled += count(&fixture, '1') + count(&fixture, '2') < SIZE;
        end(&fixture);
    }
    assert_true(garbled > 0);
}

static void a_truncation_may_be_undone_until_it_is_synced(void **state) {
    (void)state;
    size_t undone = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_truncate(fixture.disk, fixture.file, 0);
        if (seed % 2) {
            disk_sync(fixture.disk, fixture.file);
        }
        cut(&fixture);
        assert_true(!(seed % 2) || disk_size(fixture.disk, fixture.file) == 0);
        undone += disk_size(fixture.disk, fixture.file) == SIZE;
        end(&fixture);
    }
    assert_true(undone > SEEDS / 20);
}

static void the_size_may_be_there_without_the_bytes(void **state) {
    (void)state;
    size_t holes = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_write(fixture.disk, fixture.file, twos, SIZE, SIZE);
        cut(&fixture);
        assert_int_equal(count(&fixture, '1'), SIZE);
        holes += count(&fixture, '\0') > 0;
        end(&fixture);
    }
    assert_true(holes > 0);
}

static void a_synced_file_whose_name_is_not_may_be_gone(void **state) {
    (void)state;
    size_t gone = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        unsigned file = disk_create(fixture.disk, "b");
        disk_write(fixture.disk, file, ones, SIZE, 0);
        disk_sync(fixture.disk, file);
        if (seed % 2) {
            disk_sync_names(fixture.disk);
        }
        cut(&fixture);
        assert_true(!(seed % 2) || disk_find(fixture.disk, "b") == file);
        assert_int_equal(disk_find(fixture.disk, "a"), fixture.file);
        gone += disk_find(fixture.disk, "b") == 0;
        end(&fixture);
    }
    assert_true(gone > SEEDS / 20);
}

static void a_rename_happens_whole_or_not_at_all(void **state) {
    (void)state;
    size_t moved = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_rename(fixture.disk, "a", "b");
        cut(&fixture);
        bool is_b = disk_find(fixture.disk, "b") == fixture.file;
        assert_int_equal(disk_find(fixture.disk, "a"), is_b ? 0 : fixture.file);
        moved += is_b;
        end(&fixture);
    }
    assert_true(moved > SEEDS / 20 && moved < SEEDS - SEEDS / 20);
}

static void changes_of_one_name_survive_in_their_order(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_unlink(fixture.disk, "a");
        unsigned second = disk_create(fixture.disk, "a");
        disk_rename(fixture.disk, "a", "c");
        cut(&fixture);
        unsigned a = disk_find(fixture.disk, "a");
        unsigned c = disk_find(fixture.disk, "c");
        assert_true((a == fixture.file && c == 0) || (a == 0 && c == 0) ||
                    (a == second && c == 0) || (a == 0 && c == second));
        end(&fixture);
    }
}

static void after_a_failed_sync_only_writing_again_helps(void **state) {
    (void)state;
    size_t never_there = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fixture fixture;
        begin(&fixture, seed);
        disk_write(fixture.disk, fixture.file, twos, SIZE, 0);
        disk_sync_fails(fixture.disk, fixture.file, &fixture.random);
        assert_int_equal(count(&fixture, '2'), SIZE);
        if (seed % 2) {
            disk_write(fixture.disk, fixture.file, twos, SIZE, 0);
        }
        disk_sync(fixture.disk, fixture.file);
        disk_cut_all(fixture.disk);
        assert_true(!(seed % 2) || count(&fixture, '2') == SIZE);
        never_there += count(&fixture, '2') < SIZE;
        end(&fixture);
    }
    assert_true(never_there > SEEDS / 20);
}

static void a_copy_has_everything_and_is_apart(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, 1);
    disk_write(fixture.disk, fixture.file, twos, SIZE, 0);
    struct disk *copy = disk_copy(fixture.disk);
    disk_cut_all(fixture.disk);
    assert_int_equal(count(&fixture, '1'), SIZE);
    assert_int_equal(disk_pending(copy, fixture.file), 1);
    disk_sync_everything(copy);
    disk_cut_all(copy);
    disk_free(fixture.disk);
    fixture.disk = copy;
    assert_int_equal(count(&fixture, '2'), SIZE);
    end(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_synced_survives_every_cut),
        cmocka_unit_test(what_is_not_synced_is_kept_lost_or_torn),
        cmocka_unit_test(a_later_write_may_survive_an_earlier_one),
        cmocka_unit_test(a_torn_sector_is_garbled_only_where_the_disk_does_that),
        cmocka_unit_test(a_truncation_may_be_undone_until_it_is_synced),
        cmocka_unit_test(the_size_may_be_there_without_the_bytes),
        cmocka_unit_test(a_synced_file_whose_name_is_not_may_be_gone),
        cmocka_unit_test(a_rename_happens_whole_or_not_at_all),
        cmocka_unit_test(changes_of_one_name_survive_in_their_order),
        cmocka_unit_test(after_a_failed_sync_only_writing_again_helps),
        cmocka_unit_test(a_copy_has_everything_and_is_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

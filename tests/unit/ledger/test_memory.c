/* A memory that fails at the n-th allocation of SQLite: known before the commit frame is
 * written, ambiguous after it (the table in sqlite_transaction.c). */
#include "support.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static sqlite3_mem_methods memory;
static int memory_countdown; /* 0: none fails */

static bool memory_fails(void) {
    return memory_countdown > 0 && --memory_countdown == 0;
}
static void *memory_malloc(int size) {
    return memory_fails() ? NULL : memory.xMalloc(size);
}
static void *memory_realloc(void *old, int size) {
    return memory_fails() ? NULL : memory.xRealloc(old, size);
}

static void memory_register(void) {
    sqlite3_mem_methods failing;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory), SQLITE_OK);
    failing = memory;
    failing.xMalloc = memory_malloc;
    failing.xRealloc = memory_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
}

/* Fills the WAL with probes up to just below what one block of the wal-index can name
 * (4062 frames), so that the next change has to allocate another: after its commit frame. */
static void fill_wal_index(const char *folder, struct ledger *ledger) {
    for (struct stat wal = {.st_size = 0}; wal.st_size < 4061 * 4120 + 32;) {
        assert_int_equal(ledger_probe(ledger, &complaint), STATUS_OK);
        assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &wal), 0);
    }
}

/* Lets the n-th allocation of an append fail, from n = first on (with a short WAL in growing
 * steps, as they are alike), until none is left to fail. Returns how often that was
 * ambiguous; *ret_there: and the issues were there. */
static int fail_every_allocation(int first, bool long_wal, int *ret_there) {
    struct buffer before, after;
    learn(change_append, &before, &after);
    int ambiguous = 0;
    *ret_there = 0;
    bool hit = true;
    for (int n = first; hit; n += long_wal || n < 20 ? 1 : n / 10) {
        char *folder = folder_new();
        struct ledger *ledger = ledger_before(folder, false);
        if (long_wal) {
            fill_wal_index(folder, ledger);
        }
        memory_countdown = n;
        int status = change_append(ledger);
        hit = memory_countdown == 0;
        memory_countdown = 0;
        if (status == STATUS_AMBIGUOUS) {
            ambiguous++;
            *ret_there += assert_ambiguous(folder, ledger, &before, &after);
        } else if (status == STATUS_OK) { /* SQLite may do without some allocations */
            close_ledger(ledger);
        } else {
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_known(folder, ledger, change_append, &before, &after);
        }
        folder_remove(folder);
    }
    buffer_done(&before);
    buffer_done(&after);
    return ambiguous;
}

static void no_memory_before_the_commit_is_a_known_failure(void **state) {
    (void)state;
    int there;
    faults.skip_sync = true;
    fail_every_allocation(1, false, &there);
    faults.skip_sync = false;
    assert_int_equal(there, 0);
}

/* How many allocations change_append makes when the wal-index has to grow. */
static int count_allocations(void) {
    char *folder = folder_new();
    struct ledger *ledger = ledger_before(folder, false);
    fill_wal_index(folder, ledger);
    memory_countdown = INT_MAX;
    assert_int_equal(change_append(ledger), STATUS_OK);
    int count = INT_MAX - memory_countdown;
    memory_countdown = 0;
    close_ledger(ledger);
    folder_remove(folder);
    return count;
}

/* The case that makes NOMEM at COMMIT ambiguous: the change is refused and is there. */
static void no_memory_after_the_commit_frame_is_ambiguous(void **state) {
    (void)state;
    int there;
    faults.skip_sync = true;
    int ambiguous = fail_every_allocation(count_allocations() - 12, true, &there);
    faults.skip_sync = false;
    assert_true(ambiguous >= 1);
    assert_true(there >= 1);
}

static void an_open_without_memory_can_be_done_again(void **state) {
    (void)state;
    bool hit = true;
    for (int n = 1; hit; n += 1 + n / 10) {
        char *folder = folder_new();
        memory_countdown = n;
        int status = open_status_with_faults(folder);
        hit = memory_countdown == 0;
        memory_countdown = 0;
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY || status == STATUS_IO);
        struct ledger *ledger = open_ledger(folder, NULL);
        assert_int_equal(add_coupon(ledger, 1), 1);
        close_ledger(ledger);
        folder_remove(folder);
    }
}

/* The first ledger of a process starts SQLite itself. */
static void a_sqlite_that_cannot_start_without_memory_says_so(void **state) {
    (void)state;
    int refused = 0;
    bool hit = true;
    for (int n = 1; hit; n++) {
        char *folder = folder_new();
        struct ledger_sqlite_options options = {.directory = folder};
        struct ledger *ledger = NULL;
        assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
        memory_countdown = n;
        int status = ledger_sqlite_open(&options, &ledger, &complaint);
        hit = memory_countdown == 0;
        memory_countdown = 0;
        if (status) {
            assert_int_equal(status, STATUS_NO_MEMORY);
            refused++;
        } else {
            close_ledger(ledger);
        }
        folder_remove(folder);
    }
    assert_true(refused > 10);
}

int main(void) {
    /* thousands of ledgers, and no question to a disk: the syncs of a busy one took minutes */
    if (access("/dev/shm", W_OK) == 0) {
        setenv("TMPDIR", "/dev/shm", 0);
    }
    memory_register();
    faults_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_before_the_commit_is_a_known_failure),
        cmocka_unit_test(no_memory_after_the_commit_frame_is_ambiguous),
        cmocka_unit_test(an_open_without_memory_can_be_done_again),
        cmocka_unit_test(a_sqlite_that_cannot_start_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A disk or a memory that fails at the n-th call, for every n, and a process that is killed:
 * a known failure leaves no trace and a ledger that works; an ambiguous one stops it, and
 * the file holds all of the last change or nothing of it, and everything before it (I3, I8). */
#include "support.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEFORE 5 /* issues of coupon 1 when the fault comes */
#define BATCH  300

static struct complaint complaint;

/* ---- the whole record as text, to compare ---- */

static int text_coupon(void *context, const struct coupon_record *coupon) {
    buffer_format(context, "c%d v%u n%u\n", (int)coupon->id, coupon->version,
                  coupon->issued_quantity);
    return STATUS_OK;
}
static int text_revision(void *context, const struct coupon_revision *revision) {
    buffer_format(context, "r%u@%u\n", revision->version, revision->first_rank);
    return STATUS_OK;
}
static int text_issue(void *context, const struct issue_row *issue) {
    buffer_format(context, "%u %.*s\n", issue->reference.rank, (int)issue->user_id.size,
                  issue->user_id.bytes);
    return STATUS_OK;
}

static struct buffer record_of(struct ledger *ledger) {
    struct buffer text;
    buffer_init(&text);
    struct ledger_visitor visitor = {.context = &text,
                                     .archived_too = true,
                                     .coupon = text_coupon,
                                     .revision = text_revision,
                                     .issue = text_issue};
    int status = ledger_visit(ledger, &visitor, &complaint);
    if (status != STATUS_OK) {
        fail_msg("visit: %s: %s", status_name(status), complaint.text);
    }
    assert_false(text.failed);
    return text;
}

static struct buffer record_in(const char *folder) {
    struct ledger *ledger = open_ledger(folder, NULL);
    struct buffer text = record_of(ledger);
    assert_int_equal(ledger_check(ledger, &complaint), STATUS_OK);
    close_ledger(ledger);
    return text;
}

/* What would be there if the process ended and the machine went on, right now. */
static struct buffer record_after_kill(const char *folder) {
    char *room = folder_new();
    folder_copy(folder, room);
    struct buffer text = record_in(room);
    folder_remove(room);
    return text;
}

static bool same(const struct buffer *a, const struct buffer *b) {
    return slice_equal(buffer_view(a), buffer_view(b));
}

/* ---- changes that a fault may hit ---- */

typedef int (*change)(struct ledger *ledger);

static int change_append(struct ledger *ledger) {
    return append_ranks(ledger, 1, BEFORE + 1, BATCH, &complaint);
}
static int change_create(struct ledger *ledger) {
    struct coupon_record coupon = coupon_example(7);
    struct creation_key key = {.key = slice_of("key")};
    return ledger_coupon_create(ledger, &coupon, &key, &complaint);
}
static int change_coupon(struct ledger *ledger) {
    struct coupon_record coupon = coupon_example(500);
    coupon.id = 1;
    coupon.version = 2;
    return ledger_coupon_change(ledger, &coupon, &complaint);
}
static int change_probe(struct ledger *ledger) {
    return ledger_probe(ledger, &complaint);
}

static const change changes[] = {change_append, change_create, change_coupon, change_probe};

/* An open ledger with BEFORE issues. `fresh_wal`: the next write begins a WAL, header and
 * all; else it goes on in one. */
static struct ledger *ledger_before(const char *folder, bool fresh_wal) {
    struct ledger *ledger = open_ledger(folder, FAULT_VFS);
    uint64_t id = add_coupon(ledger, 1000);
    assert_int_equal(append_ranks(ledger, id, 1, BEFORE, &complaint), STATUS_OK);
    if (fresh_wal) {
        close_ledger(ledger);
        ledger = open_ledger(folder, FAULT_VFS);
    }
    return ledger;
}

static void assert_stopped(struct ledger *ledger) {
    struct coupon_record coupon;
    struct issue_record issue;
    size_t count;
    uint64_t id;
    int64_t latest_us;
    struct creation_key key = {.key = slice_of("key")};
    struct ledger_visitor visitor = {.context = NULL};
    struct issue_reference reference = {1, 1};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        assert_int_equal(changes[i](ledger), STATUS_AMBIGUOUS);
    }
    assert_int_equal(ledger_tend(ledger, true, &complaint), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_check(ledger, &complaint), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_visit(ledger, &visitor, &complaint), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_latest_us(ledger, &latest_us), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_creation_read(ledger, &key, &id), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_coupon_read(ledger, 1, &coupon), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_coupons_read(ledger, 0, 1, &coupon, &count), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_issue_read(ledger, reference, &issue), STATUS_AMBIGUOUS);
    assert_int_equal(ledger_issues_read(ledger, reference, 1, &issue, &count), STATUS_AMBIGUOUS);
}

/* Nothing of the change is there, now or after a kill, and the ledger works. */
static void assert_known(const char *folder, struct ledger *ledger, change make,
                         struct buffer *before, struct buffer *after) {
    struct buffer killed = record_after_kill(folder);
    struct buffer now = record_of(ledger);
    assert_true(same(&killed, before));
    assert_true(same(&now, before));
    assert_int_equal(ledger_probe(ledger, &complaint), STATUS_OK);
    assert_int_equal(make(ledger), STATUS_OK);
    buffer_done(&killed);
    buffer_done(&now);
    killed = record_after_kill(folder);
    assert_true(same(&killed, after));
    buffer_done(&killed);
    close_ledger(ledger);
    now = record_in(folder);
    assert_true(same(&now, after));
    buffer_done(&now);
}

/* All of the change or nothing is there, and stays what it is. Tells whether it is there. */
static bool assert_ambiguous(const char *folder, struct ledger *ledger, struct buffer *before,
                             struct buffer *after) {
    assert_true(strstr(complaint.text, "unknown") != NULL);
    assert_stopped(ledger);
    struct buffer killed = record_after_kill(folder);
    bool there = same(&killed, after);
    assert_true(there || same(&killed, before));
    assert_int_equal(ledger_close(ledger, &complaint), STATUS_OK);
    struct buffer reopened = record_in(folder);
    assert_true(same(&killed, &reopened));
    buffer_done(&killed);
    buffer_done(&reopened);
    return there;
}

/* What the record is without and with the change, learnt where nothing fails. */
static void learn(change make, struct buffer *ret_before, struct buffer *ret_after) {
    char *folder = folder_new();
    struct ledger *ledger = ledger_before(folder, false);
    *ret_before = record_of(ledger);
    assert_int_equal(make(ledger), STATUS_OK);
    *ret_after = record_of(ledger);
    close_ledger(ledger);
    folder_remove(folder);
}

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

static void an_error_at_any_write_is_ambiguous(void **state) {
    (void)state;
    fail_every_way(FAULT_WRITE, SQLITE_IOERR_WRITE, STATUS_AMBIGUOUS);
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
    assert_true(hits > 2);
}

static void a_full_disk_before_commit_is_a_known_failure(void **state) {
    (void)state;
    char *folder = folder_new();
    struct ledger *ledger = open_ledger(folder, FAULT_VFS);
    uint64_t id = add_coupon(ledger, COUPON_UNLIMITED);
    faults_arm(FAULT_WRITE, 1, SQLITE_FULL, false); /* more pages than the cache holds: spilled */
    assert_int_equal(append_ranks(ledger, id, 1, 700000, &complaint), STATUS_FULL);
    assert_int_equal(faults.failed, 1);
    faults_arm(FAULT_WRITE, 1, SQLITE_IOERR_WRITE, false);
    assert_int_equal(append_ranks(ledger, id, 1, 700000, &complaint), STATUS_IO);
    assert_ranks(ledger, id, 0);
    assert_int_equal(append_ranks(ledger, id, 1, 10, &complaint), STATUS_OK);
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
        assert_true(faults.wal_writes >= 2);
    }
    faults.wal_syncs = faults.wal_writes = 0;
    assert_int_equal(ledger_append(ledger, NULL, 0, NULL, 0, &complaint), STATUS_OK);
    assert_int_equal(faults.wal_writes, 0);
    close_ledger(ledger);
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
        assert_int_equal(append_ranks(ledger, id, issues + 1, 50, &complaint), STATUS_OK);
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
        assert_int_equal(append_ranks(ledger, 1, issues + 1, 1, &complaint), STATUS_OK);
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
        assert_int_equal(append_ranks(ledger, 1, issues + 1, 50, &complaint), STATUS_OK);
        assert_int_equal(ledger_tend(ledger, false, &complaint), STATUS_OK);
        issues += 50;
        struct stat wal;
        assert_int_equal(stat(path_of(folder, "coupon.db-wal"), &wal), 0);
        largest = wal.st_size > largest ? wal.st_size : largest;
    }
    assert_true(largest < 4100 * 4120);
    assert_ranks(ledger, 1, issues);
    close_ledger(ledger);
    faults.skip_sync = false;
    folder_remove(folder);
}

/* ---- opening and closing ---- */

static int open_quietly(const char *folder) {
    struct ledger_sqlite_options options = {.directory = folder, .vfs = FAULT_VFS};
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    return status == STATUS_OK ? ledger_close(ledger, &complaint) : status;
}

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
            int status = open_quietly(folder);
            hit = faults.failed > 0;
            faults_clear();
            if (status < 0) {
                if (status!=open_faults[way].status) print_message("%s\n", complaint.text);
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
            int status = open_quietly(folder);
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

/* ---- memory ---- */

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

static int fail_every_allocation(bool long_wal, int *ret_there) {
    struct buffer before, after;
    learn(change_append, &before, &after);
    faults.skip_sync = true;
    int ambiguous = 0;
    bool hit = true;
    for (int n = 1; hit; n++) {
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
    faults.skip_sync = false;
    buffer_done(&before);
    buffer_done(&after);
    return ambiguous;
}

static void no_memory_is_known_before_the_commit_frame_and_ambiguous_after(void **state) {
    (void)state;
    int there = 0;
    fail_every_allocation(false, &there);
    assert_int_equal(there, 0);
    /* The case that makes NOMEM at COMMIT ambiguous: the change is refused and is there. */
    assert_true(fail_every_allocation(true, &there) >= 1);
    assert_true(there >= 1);
}

static void an_open_without_memory_can_be_done_again(void **state) {
    (void)state;
    bool hit = true;
    for (int n = 1; hit; n += 1 + n / 20) {
        char *folder = folder_new();
        memory_countdown = n;
        int status = open_quietly(folder);
        hit = memory_countdown == 0;
        memory_countdown = 0;
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY || status == STATUS_IO);
        struct ledger *ledger = open_ledger(folder, NULL);
        assert_int_equal(add_coupon(ledger, 1), 1);
        close_ledger(ledger);
        folder_remove(folder);
    }
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
        if (append_ranks(ledger, 1, rank + 1, count, &complaint) < 0) {
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

int main(void) {
    memory_register();
    faults_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_at_any_write_is_a_known_failure),
        cmocka_unit_test(an_error_at_any_write_is_ambiguous),
        cmocka_unit_test(an_error_at_any_sync_is_ambiguous),
        cmocka_unit_test(a_full_disk_is_ambiguous_where_commits_are_padded),
        cmocka_unit_test(a_full_disk_before_commit_is_a_known_failure),
        cmocka_unit_test(a_complaint_tells_what_to_do),
        cmocka_unit_test(every_change_syncs_the_wal_before_it_returns),
        cmocka_unit_test(a_checkpoint_that_fails_is_tried_again),
        cmocka_unit_test(a_sync_that_fails_in_a_checkpoint_is_ambiguous),
        cmocka_unit_test(checkpoints_keep_the_wal_short),
        cmocka_unit_test(a_creation_that_fails_anywhere_can_be_done_again),
        cmocka_unit_test(a_recovery_that_fails_anywhere_can_be_done_again),
        cmocka_unit_test(a_close_that_fails_anywhere_loses_nothing),
        cmocka_unit_test(no_memory_is_known_before_the_commit_frame_and_ambiguous_after),
        cmocka_unit_test(an_open_without_memory_can_be_done_again),
        cmocka_unit_test(what_was_told_before_a_kill_is_there_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "support.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

/* ---- faults: a VFS around the default one ---- */

struct faults faults;

struct fault_file {
    sqlite3_file base; /* first */
    bool is_wal;
    sqlite3_file *real; /* in the bytes behind this struct */
};

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((struct fault_file *)file)->real;
}

static bool fails_now(enum fault_call call) {
    if (faults.call != call || faults.countdown == 0) {
        return false;
    }
    if (faults.countdown > 1) {
        faults.countdown--;
        return false;
    }
    faults.countdown = faults.stays ? 1 : 0;
    faults.failed++;
    return true;
}

static int fault_close(sqlite3_file *file) {
    return real_of(file)->pMethods->xClose(real_of(file));
}
static int fault_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at) {
    return real_of(file)->pMethods->xRead(real_of(file), bytes, size, at);
}
static int fault_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    bool fails = fails_now(FAULT_WRITE);
    faults.wal_writes += ((struct fault_file *)file)->is_wal;
    int written = fails && faults.half_done ? size / 2 : size;
    int result = real_of(file)->pMethods->xWrite(real_of(file), bytes, written, at);
    return fails ? faults.result : result;
}
static int fault_truncate(sqlite3_file *file, sqlite3_int64 size) {
    if (fails_now(FAULT_TRUNCATE)) {
        return faults.result;
    }
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}
static int fault_sync(sqlite3_file *file, int flags) {
    if (fails_now(FAULT_SYNC)) {
        return faults.result;
    }
    int result =
        faults.skip_sync ? SQLITE_OK : real_of(file)->pMethods->xSync(real_of(file), flags);
    faults.wal_syncs += result == SQLITE_OK && ((struct fault_file *)file)->is_wal;
    return result;
}
static int fault_file_size(sqlite3_file *file, sqlite3_int64 *ret_size) {
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}
static int fault_lock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xLock(real_of(file), level);
}
static int fault_unlock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
static int fault_check_lock(sqlite3_file *file, int *ret_reserved) {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_reserved);
}
static int fault_control(sqlite3_file *file, int operation, void *argument) {
    if (operation == SQLITE_FCNTL_LAST_ERRNO && faults.last_errno) {
        *(int *)argument = faults.last_errno;
        return SQLITE_OK;
    }
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}
static int fault_sector_size(sqlite3_file *file) {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int fault_characteristics(sqlite3_file *file) {
    int real = real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
    return faults.no_powersafe_overwrite ? real & ~SQLITE_IOCAP_POWERSAFE_OVERWRITE : real;
}

/* Version 1: no shared memory, which an exclusive ledger must not need. */
static const sqlite3_io_methods fault_methods = {
    .iVersion = 1,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_file_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector_size,
    .xDeviceCharacteristics = fault_characteristics,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *ret_flags) {
    sqlite3_vfs *real = vfs->pAppData;
    struct fault_file *fault = (struct fault_file *)file;
    *fault = (struct fault_file){.is_wal = (flags & SQLITE_OPEN_WAL) != 0,
                                 .real = (sqlite3_file *)(fault + 1)};
    int result = real->xOpen(real, name, fault->real, flags, ret_flags);
    fault->base.pMethods = result == SQLITE_OK ? &fault_methods : NULL;
    return result;
}

void faults_register(void) {
    static sqlite3_vfs vfs;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    vfs = *real;
    vfs.pNext = NULL;
    vfs.pAppData = real;
    vfs.zName = FAULT_VFS;
    vfs.szOsFile = (int)sizeof(struct fault_file) + real->szOsFile;
    vfs.xOpen = fault_open;
    assert_int_equal(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
}

void faults_arm(enum fault_call call, int countdown, int result, bool stays) {
    faults.call = call;
    faults.countdown = countdown;
    faults.result = result;
    faults.stays = stays;
    faults.failed = 0;
    faults.half_done = result == SQLITE_FULL || faults.last_errno == EDQUOT;
}

void faults_clear(void) {
    faults = (struct faults){.skip_sync = faults.skip_sync};
}

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
static int text_import(void *context, const struct coupon_import *import) {
    buffer_format(context, "i%u-%u\n", import->first_rank, import->last_rank);
    return STATUS_OK;
}
static int text_issue(void *context, const struct issue_row *issue) {
    buffer_format(context, "%u %.*s\n", issue->reference.rank, (int)issue->user_id.size,
                  issue->user_id.bytes);
    return STATUS_OK;
}

static void text_audits(struct buffer *text, struct ledger *ledger) {
    struct audit_record audits[4];
    size_t count = 0;
    assert_int_equal(ledger_audits_read(ledger, 0, COUNT_OF(audits), audits, &count), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        buffer_format(text, "audit %llu %s %s %llu\n", (unsigned long long)audits[i].id,
                      audits[i].admin, audits[i].action, (unsigned long long)audits[i].coupon_id);
    }
}

static struct buffer record_of(struct ledger *ledger) {
    struct buffer text;
    buffer_init(&text);
    struct ledger_visitor visitor = {.context = &text,
                                     .archived_too = true,
                                     .coupon = text_coupon,
                                     .revision = text_revision,
                                     .import = text_import,
                                     .issue = text_issue};
    int status = ledger_visit(ledger, &visitor, &complaint);
    if (status != STATUS_OK) {
        fail_msg("visit: %s: %s", status_name(status), complaint.text);
    }
    text_audits(&text, ledger);
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

int change_append(struct ledger *ledger) {
    return append_ranks(ledger, 1, BEFORE + 1, BATCH);
}
static int change_create(struct ledger *ledger) {
    struct coupon_record coupon = coupon_example(7);
    struct creation_key key = {.key = slice_of("key")};
    struct audit audit = {.admin = slice_of("shop")};
    return ledger_coupon_create(ledger, &coupon, &key, &audit, &complaint);
}
static int change_coupon(struct ledger *ledger) {
    struct coupon_record coupon = coupon_example(500);
    coupon.id = 1;
    coupon.version = 2;
    struct audit audit = {.admin = slice_of("shop"), .request = slice_of("{}")};
    return ledger_coupon_change(ledger, &coupon, &audit, &complaint);
}
static int change_probe(struct ledger *ledger) {
    return ledger_probe(ledger, &complaint);
}

/* Behind what is issued, so that it can follow another change. */
static int change_import(struct ledger *ledger) {
    enum { USERS = 60 };
    struct slice users[USERS];
    char texts[USERS][16];
    struct coupon_record coupon = {.issued_quantity = 0};
    int status = ledger_coupon_read(ledger, 1, &coupon);
    if (status < 0) {
        return status; /* a ledger that stopped */
    }
    for (int i = 0; i < USERS; i++) {
        snprintf(texts[i], sizeof(texts[i]), "i%d", i);
        users[i] = slice_of(texts[i]);
    }
    struct coupon_import import = {.coupon_id = 1,
                                   .first_rank = coupon.issued_quantity + 1,
                                   .last_rank = coupon.issued_quantity + USERS,
                                   .imported_us = NOW_US + 1000};
    return ledger_import(ledger, &import, users, &complaint);
}

const change changes[CHANGE_COUNT] = {change_append, change_create, change_coupon, change_probe,
                                      change_import};

/* An open ledger with BEFORE issues. `fresh_wal`: the next write begins a WAL, header and
 * all; else it goes on in one. */
struct ledger *ledger_before(const char *folder, bool fresh_wal) {
    struct ledger *ledger = open_ledger(folder, FAULT_VFS);
    uint64_t id = add_coupon(ledger, 1000);
    assert_int_equal(append_ranks(ledger, id, 1, BEFORE), STATUS_OK);
    if (fresh_wal) {
        close_ledger(ledger);
        ledger = open_ledger(folder, FAULT_VFS);
    }
    return ledger;
}

void assert_stopped(struct ledger *ledger) {
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
    struct audit_record audit;
    assert_int_equal(ledger_audits_read(ledger, 0, 1, &audit, &count), STATUS_AMBIGUOUS);
}

/* Nothing of the change is there, now or after a kill, and the ledger works. */
void assert_known(const char *folder, struct ledger *ledger, change make, struct buffer *before,
                  struct buffer *after) {
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
bool assert_ambiguous(const char *folder, struct ledger *ledger, struct buffer *before,
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
void learn(change make, struct buffer *ret_before, struct buffer *ret_after) {
    char *folder = folder_new();
    struct ledger *ledger = ledger_before(folder, false);
    *ret_before = record_of(ledger);
    assert_int_equal(make(ledger), STATUS_OK);
    *ret_after = record_of(ledger);
    close_ledger(ledger);
    folder_remove(folder);
}

int open_status_with_faults(const char *folder) {
    struct ledger_sqlite_options options = {.directory = folder, .vfs = FAULT_VFS};
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    return status == STATUS_OK ? ledger_close(ledger, &complaint) : status;
}

#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- folders ---- */

char *folder_new(void) {
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    assert_true(asprintf(&folder, "%s/coupon-ledger-XXXXXX", base ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int names_of(const char *folder, struct dirent ***ret_names) {
    int count = scandir(folder, ret_names, NULL, alphasort);
    assert_true(count >= 0);
    return count;
}

void folder_remove(char *folder) {
    struct dirent **names;
    int count = names_of(folder, &names);
    for (int i = 0; i < count; i++) {
        unlink(path_of(folder, names[i]->d_name));
        free(names[i]);
    }
    free(names);
    rmdir(folder);
    free(folder);
}

const char *path_of(const char *folder, const char *name) {
    static char rooms[4][PATH_MAX];
    static unsigned next;
    char *room = rooms[next++ % 4];
    snprintf(room, PATH_MAX, "%s/%s", folder, name);
    return room;
}

static void file_append_to(struct buffer *buffer, const char *path) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size;
    do {
        assert_int_equal(buffer_reserve(buffer, 65536), STATUS_OK);
        size = read(fd, buffer->bytes + buffer->size, 65536);
        assert_true(size >= 0);
        buffer->size += (size_t)size;
    } while (size > 0);
    close(fd);
}

struct buffer folder_bytes(const char *folder) {
    struct buffer bytes;
    buffer_init(&bytes);
    struct dirent **names;
    int count = names_of(folder, &names);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            buffer_text(&bytes, names[i]->d_name);
            buffer_text(&bytes, "\n");
            file_append_to(&bytes, path_of(folder, names[i]->d_name));
        }
        free(names[i]);
    }
    free(names);
    return bytes;
}

void assert_folder_is(const char *folder, struct buffer *bytes) {
    struct buffer now = folder_bytes(folder);
    bool same = slice_equal(buffer_view(&now), buffer_view(bytes));
    buffer_done(&now);
    buffer_done(bytes);
    assert_true(same);
}

void file_write(const char *path, const void *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

void folder_copy(const char *from, const char *to) {
    static const char *const names[] = {"coupon.db", "coupon.db-wal"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unlink(path_of(to, names[i]));
        if (access(path_of(from, names[i]), F_OK) == 0) {
            struct buffer bytes;
            buffer_init(&bytes);
            file_append_to(&bytes, path_of(from, names[i]));
            file_write(path_of(to, names[i]), bytes.bytes, bytes.size);
            buffer_done(&bytes);
        }
    }
}

void sql_run(const char *folder, const char *text) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of(folder, "coupon.db"), &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", text, why);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- ledgers ---- */

static struct ledger *open_with(const struct ledger_sqlite_options *options) {
    struct ledger *ledger = NULL;
    struct complaint complaint = {""};
    int status = ledger_sqlite_open(options, &ledger, &complaint);
    if (status != STATUS_OK) {
        fail_msg("open: %s: %s", status_name(status), complaint.text);
    }
    return ledger;
}

struct ledger *open_ledger(const char *folder, const char *vfs) {
    return open_with(&(struct ledger_sqlite_options){.directory = folder, .vfs = vfs});
}

struct ledger *open_existing(const char *folder) {
    return open_with(&(struct ledger_sqlite_options){.directory = folder, .existing_only = true});
}

int open_status(const char *folder, bool existing_only, struct complaint *complaint) {
    struct ledger_sqlite_options options = {.directory = folder, .existing_only = existing_only};
    struct ledger *ledger = NULL;
    complaint->text[0] = '\0';
    int status = ledger_sqlite_open(&options, &ledger, complaint);
    assert_null(ledger);
    assert_int_not_equal(status, STATUS_OK);
    assert_true(complaint->text[0] != '\0');
    return status;
}

void close_ledger(struct ledger *ledger) {
    struct complaint complaint = {""};
    int status = ledger_close(ledger, &complaint);
    if (status != STATUS_OK) {
        fail_msg("close: %s: %s", status_name(status), complaint.text);
    }
}

struct coupon_record coupon_example(int64_t total_quantity) {
    return (struct coupon_record){.title = "Ten percent off",
                                  .metadata = "{\"shop\":7}",
                                  .total_quantity = total_quantity,
                                  .discount_amount = 1000,
                                  .min_available_amount = 5000,
                                  .issue_start_us = NOW_US,
                                  .issue_end_us = NOW_US + 3600 * US_PER_SECOND,
                                  .created_us = NOW_US,
                                  .updated_us = NOW_US};
}

uint64_t add_coupon(struct ledger *ledger, int64_t total_quantity) {
    struct coupon_record coupon = coupon_example(total_quantity);
    struct complaint complaint = {""};
    int status = ledger_coupon_create(ledger, &coupon, NULL, &complaint);
    if (status != STATUS_OK) {
        fail_msg("create: %s: %s", status_name(status), complaint.text);
    }
    return coupon.id;
}

int append_ranks(struct ledger *ledger, uint64_t coupon_id, uint32_t first, uint32_t count,
                 struct complaint *complaint) {
    struct issue_row *rows = calloc(count, sizeof(*rows));
    char(*texts)[2][16] = calloc(count, sizeof(*texts));
    assert_true(rows && texts);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t rank = first + i;
        snprintf(texts[i][0], sizeof(texts[i][0]), "u%u", rank);
        snprintf(texts[i][1], sizeof(texts[i][1]), "k%u", rank);
        rows[i] = (struct issue_row){.reference = {coupon_id, rank},
                                     .user_id = slice_of(texts[i][0]),
                                     .issued_at_us = NOW_US + rank};
        if (rank % 2 == 1) {
            rows[i].request_key = slice_of(texts[i][1]);
        }
    }
    struct issued_count issued = {coupon_id, first + count - 1};
    int status = ledger_append(ledger, rows, count, &issued, 1, complaint);
    free(texts);
    free(rows);
    return status;
}

struct ranks {
    uint64_t coupon_id;
    uint32_t issued;
    uint32_t seen;
};

static int ranks_coupon(void *context, const struct coupon_record *coupon) {
    struct ranks *ranks = context;
    if (coupon->id == ranks->coupon_id) {
        ranks->issued = coupon->issued_quantity;
    }
    return STATUS_OK;
}

static int ranks_issue(void *context, const struct issue_row *issue) {
    struct ranks *ranks = context;
    if (issue->reference.coupon_id != ranks->coupon_id) {
        return STATUS_OK;
    }
    char user[16];
    char key[16];
    uint32_t rank = ++ranks->seen;
    snprintf(user, sizeof(user), "u%u", rank);
    snprintf(key, sizeof(key), "k%u", rank);
    assert_int_equal(issue->reference.rank, rank);
    assert_true(slice_is(issue->user_id, user));
    assert_true(slice_is(issue->request_key, rank % 2 == 1 ? key : ""));
    assert_int_equal(issue->issued_at_us, NOW_US + rank);
    return STATUS_OK;
}

uint32_t ranks_of(struct ledger *ledger, uint64_t coupon_id) {
    struct ranks ranks = {.coupon_id = coupon_id};
    struct ledger_visitor visitor = {
        .context = &ranks, .archived_too = true, .coupon = ranks_coupon, .issue = ranks_issue};
    struct complaint complaint = {""};
    int status = ledger_visit(ledger, &visitor, &complaint);
    if (status != STATUS_OK) {
        fail_msg("visit: %s: %s", status_name(status), complaint.text);
    }
    assert_int_equal(ranks.issued, ranks.seen);
    return ranks.seen;
}

void assert_ranks(struct ledger *ledger, uint64_t coupon_id, uint32_t count) {
    assert_int_equal(ranks_of(ledger, coupon_id), count);
}

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
    faults.half_done = result == SQLITE_FULL;
}

void faults_clear(void) {
    faults = (struct faults){.skip_sync = faults.skip_sync};
}

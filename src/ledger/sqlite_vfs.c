/* The VFS under a ledger that is written: another one (the caller's, or SQLite's own), but for
 * the WAL, whose writes it joins. For sqlite_open.c.
 *
 * SQLite writes each frame of a commit in two pieces, 24 bytes and a page, one behind the
 * other, and then syncs. Two system calls a page were a third of a commit's time in the kernel.
 * Here the pieces gather in a buffer, which is written at once when the WAL is synced, read or
 * looked at in any other way, when a piece does not continue it, or when it is full.
 *
 * What a failure means does not change (sqlite_transaction.c): the buffer's bytes are written
 * in their order, so when a write ends short the commit frame, the last one, is not whole; and
 * the failure is told by the call that wrote, with the code that the write gave. The bytes of a
 * failed write are dropped, as SQLite rolls back and writes them anew. */
#include "ledger/sqlite_ledger.h"

#include <stdio.h>

/* What SQLite's unix VFS writes at once at most (os_unix.c, seekAndWriteFd): more than 30
 * frames of 4,120 bytes, as a commit of 2,048 issues has. */
#define JOINED_SIZE ((size_t)0x1ffff)

struct wal_file {
    sqlite3_file file; /* first */
    unsigned char *joined;
    size_t size;      /* bytes in `joined` ... */
    sqlite3_int64 at; /* ... and where in the file they go */
    /* the other VFS's file follows */
};

static sqlite3_file *real_of(sqlite3_file *file) {
    return (sqlite3_file *)((struct wal_file *)file + 1);
}

static sqlite3_vfs *real_vfs_of(const sqlite3_vfs *vfs) {
    return ((const struct sqlite_vfs *)vfs)->real;
}

/* ---- the WAL ---- */

static int write_joined(sqlite3_file *file) {
    struct wal_file *wal = (struct wal_file *)file;
    size_t size = wal->size;
    wal->size = 0;
    return size == 0
               ? SQLITE_OK
               : real_of(file)->pMethods->xWrite(real_of(file), wal->joined, (int)size, wal->at);
}

static int wal_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    struct wal_file *wal = (struct wal_file *)file;
    bool continues = at == wal->at + (sqlite3_int64)wal->size;
    assert(size > 0 && (size_t)size <= JOINED_SIZE); /* the largest page has 64 KiB */
    if (!continues || wal->size + (size_t)size > JOINED_SIZE) {
        int result = write_joined(file);
        if (result != SQLITE_OK) {
            return result;
        }
        wal->at = at;
    }
    memcpy(wal->joined + wal->size, bytes, (size_t)size);
    wal->size += (size_t)size;
    return SQLITE_OK;
}

static int wal_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at) {
    int result = write_joined(file);
    return result ? result : real_of(file)->pMethods->xRead(real_of(file), bytes, size, at);
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size) {
    int result = write_joined(file);
    return result ? result : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int wal_sync(sqlite3_file *file, int flags) {
    int result = write_joined(file);
    return result ? result : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *ret_size) {
    int result = write_joined(file);
    return result ? result : real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

/* What was not synced was not promised, so a failure to write it is of no use to anybody. */
static int wal_close(sqlite3_file *file) {
    struct wal_file *wal = (struct wal_file *)file;
    (void)write_joined(file);
    sqlite3_free(wal->joined);
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int wal_lock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int wal_unlock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int wal_is_locked(sqlite3_file *file, int *ret_locked) {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
}

static int wal_control(sqlite3_file *file, int operation, void *argument) {
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int wal_sector_size(sqlite3_file *file) {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int wal_characteristics(sqlite3_file *file) {
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static const sqlite3_io_methods wal_methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_is_locked,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector_size,
    .xDeviceCharacteristics = wal_characteristics,
};

/* ---- the rest is the other VFS's ---- */

/* Any file but a WAL is the other VFS's own, in the room that is larger than it needs. */
static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                    int *ret_flags) {
    sqlite3_vfs *real = real_vfs_of(vfs);
    if (!(flags & SQLITE_OPEN_WAL)) {
        return real->xOpen(real, name, file, flags, ret_flags);
    }
    struct wal_file *wal = (struct wal_file *)file;
    *wal = (struct wal_file){.joined = sqlite3_malloc64(JOINED_SIZE)};
    if (!wal->joined) {
        return SQLITE_NOMEM;
    }
    int result = real->xOpen(real, name, real_of(file), flags, ret_flags);
    if (result != SQLITE_OK) {
        sqlite3_free(wal->joined);
        return result;
    }
    wal->file.pMethods = &wal_methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder) {
    return real_vfs_of(vfs)->xDelete(real_vfs_of(vfs), name, sync_folder);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_result) {
    return real_vfs_of(vfs)->xAccess(real_vfs_of(vfs), name, flags, ret_result);
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path) {
    return real_vfs_of(vfs)->xFullPathname(real_vfs_of(vfs), name, size, ret_path);
}

static int vfs_random(sqlite3_vfs *vfs, int size, char *ret_bytes) {
    return real_vfs_of(vfs)->xRandomness(real_vfs_of(vfs), size, ret_bytes);
}

static int vfs_sleep(sqlite3_vfs *vfs, int for_us) {
    return real_vfs_of(vfs)->xSleep(real_vfs_of(vfs), for_us);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret_days) {
    return real_vfs_of(vfs)->xCurrentTime(real_vfs_of(vfs), ret_days);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *ret_text) {
    return real_vfs_of(vfs)->xGetLastError(real_vfs_of(vfs), size, ret_text);
}

int sqlite_vfs_register(struct sqlite_vfs *vfs, const char *real_name,
                        struct complaint *complaint) {
    sqlite3_vfs *real = sqlite3_vfs_find(real_name);
    if (!real) {
        return complain(complaint, STATUS_INVALID, "SQLite has no VFS named %s",
                        real_name ? real_name : "(default)");
    }
    snprintf(vfs->name, sizeof(vfs->name), "coupon-%p", (void *)vfs);
    vfs->real = real;
    vfs->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct wal_file) + real->szOsFile,
        .mxPathname = real->mxPathname,
        .zName = vfs->name,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_last_error,
    };
    int result = sqlite3_vfs_register(&vfs->vfs, 0);
    return result == SQLITE_OK
               ? STATUS_OK
               : complain(complaint, STATUS_NO_MEMORY, "no memory to open the ledger");
}

void sqlite_vfs_unregister(struct sqlite_vfs *vfs) {
    if (vfs->real) {
        (void)sqlite3_vfs_unregister(&vfs->vfs);
        vfs->real = NULL;
    }
}

/* See shim_vfs.h. A struck call has done nothing, but for a write that is to leave half; a
 * struck close has closed, as there is no descriptor left to say otherwise. */
#include "shim_vfs.h"

#include <assert.h>
#include <sqlite3.h>
#include <stddef.h>

struct shim_file {
    sqlite3_file file; /* first */
    /* the unix VFS's file follows */
};

static sqlite3_vfs *real;
static struct fault *faults;

static sqlite3_file *real_of(sqlite3_file *file) {
    return (sqlite3_file *)((struct shim_file *)file + 1);
}

/* What a struck call returns; `own` is the operation's error. */
static int code_of(int own) {
    switch ((enum fault_error)faults->error) {
    case FAULT_FULL:
        return SQLITE_FULL;
    case FAULT_MEMORY:
        return SQLITE_IOERR_NOMEM;
    case FAULT_BUSY:
        return SQLITE_BUSY;
    case FAULT_PARTIAL: /* SQLite's VFS knows no partial success */
    case FAULT_IO:
        return own;
    case FAULT_LIE:
        break;
    }
    return SQLITE_OK;
}

/* ---- a file ---- */

static int file_close(sqlite3_file *file) {
    bool struck = fault_strikes(faults, FAULT_CLOSE);
    int result = real_of(file)->pMethods->xClose(real_of(file));
    return struck ? code_of(SQLITE_IOERR_CLOSE) : result;
}

static int file_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at) {
    return fault_strikes(faults, FAULT_READ)
               ? code_of(SQLITE_IOERR_READ)
               : real_of(file)->pMethods->xRead(real_of(file), bytes, size, at);
}

static int file_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    bool struck = fault_strikes(faults, FAULT_WRITE);
    int written = struck ? (fault_halves(faults) ? size / 2 : 0) : size;
    int result = written == 0 ? SQLITE_OK
                              : real_of(file)->pMethods->xWrite(real_of(file), bytes, written, at);
    return struck ? code_of(SQLITE_IOERR_WRITE) : result;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    return fault_strikes(faults, FAULT_TRUNCATE)
               ? code_of(SQLITE_IOERR_TRUNCATE)
               : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags) {
    return fault_strikes(faults, FAULT_SYNC) ? code_of(SQLITE_IOERR_FSYNC)
                                             : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size) {
    return fault_strikes(faults, FAULT_SIZE)
               ? code_of(SQLITE_IOERR_FSTAT)
               : real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

static int file_lock(sqlite3_file *file, int level) {
    return fault_strikes(faults, FAULT_LOCK) ? code_of(SQLITE_IOERR_LOCK)
                                             : real_of(file)->pMethods->xLock(real_of(file), level);
}

/* Unlocking does not answer BUSY, and a lock that stays is no fault of a disk's. */
static int file_unlock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_is_locked(sqlite3_file *file, int *ret_locked) {
    return fault_strikes(faults, FAULT_LOCK)
               ? code_of(SQLITE_IOERR_CHECKRESERVEDLOCK)
               : real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
}

static int file_control(sqlite3_file *file, int operation, void *argument) {
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int file_sector_size(sqlite3_file *file) {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_characteristics(sqlite3_file *file) {
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

/* Version 1: no shared memory and no mmap, which the ledger does not use. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_is_locked,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* ---- names ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                    int *ret_flags) {
    (void)vfs;
    file->pMethods = NULL;
    if (fault_strikes(faults, FAULT_OPEN)) {
        return code_of(SQLITE_CANTOPEN);
    }
    int result = real->xOpen(real, name, real_of(file), flags, ret_flags);
    file->pMethods = result == SQLITE_OK ? &methods : NULL;
    return result;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder) {
    (void)vfs;
    return fault_strikes(faults, FAULT_DELETE) ? code_of(SQLITE_IOERR_DELETE)
                                               : real->xDelete(real, name, sync_folder);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_result) {
    (void)vfs;
    return fault_strikes(faults, FAULT_ACCESS) ? code_of(SQLITE_IOERR_ACCESS)
                                               : real->xAccess(real, name, flags, ret_result);
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path) {
    (void)vfs;
    return real->xFullPathname(real, name, size, ret_path);
}

static int vfs_random(sqlite3_vfs *vfs, int size, char *ret_bytes) {
    (void)vfs;
    return real->xRandomness(real, size, ret_bytes);
}

static int vfs_sleep(sqlite3_vfs *vfs, int for_us) {
    (void)vfs;
    return real->xSleep(real, for_us);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret_days) {
    (void)vfs;
    return real->xCurrentTime(real, ret_days);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *ret_text) {
    (void)vfs;
    return real->xGetLastError(real, size, ret_text);
}

void shim_vfs_register(struct fault *fault) {
    static sqlite3_vfs vfs;
    real = sqlite3_vfs_find("unix");
    assert(real && !faults);
    faults = fault;
    vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct shim_file) + real->szOsFile,
        .mxPathname = real->mxPathname,
        .zName = SHIM_VFS,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_last_error,
    };
    int result = sqlite3_vfs_register(&vfs, 1);
    assert(result == SQLITE_OK);
}

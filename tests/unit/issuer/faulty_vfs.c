/* See faulty_vfs.h. */
#include "faulty_vfs.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

/* The system's file follows it in memory. */
struct faulty_file {
    sqlite3_file file; /* first */
    bool is_log;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int write_result;
    bool write_fails_once;
    int sync_result;
    bool hold;
    bool held;
    size_t syncs;
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static sqlite3_vfs *system_vfs;

static sqlite3_file *real(sqlite3_file *file) {
    return (sqlite3_file *)((struct faulty_file *)file + 1);
}

/* ---- what a test says ---- */

static void set(int *member, int value) {
    pthread_mutex_lock(&faults.lock);
    *member = value;
    pthread_mutex_unlock(&faults.lock);
}

void faulty_vfs_write_fails(int result) {
    set(&faults.write_result, result);
}

void faulty_vfs_write_fails_once(int result) {
    pthread_mutex_lock(&faults.lock);
    faults.write_result = result;
    faults.write_fails_once = true;
    pthread_mutex_unlock(&faults.lock);
}

void faulty_vfs_sync_fails(int result) {
    set(&faults.sync_result, result);
}

void faulty_vfs_hold(void) {
    pthread_mutex_lock(&faults.lock);
    faults.hold = true;
    pthread_mutex_unlock(&faults.lock);
}

void faulty_vfs_wait_until_held(void) {
    pthread_mutex_lock(&faults.lock);
    while (!faults.held) {
        pthread_cond_wait(&faults.changed, &faults.lock);
    }
    pthread_mutex_unlock(&faults.lock);
}

void faulty_vfs_release(void) {
    pthread_mutex_lock(&faults.lock);
    faults.hold = false;
    pthread_cond_broadcast(&faults.changed);
    pthread_mutex_unlock(&faults.lock);
}

size_t faulty_vfs_syncs(void) {
    pthread_mutex_lock(&faults.lock);
    size_t syncs = faults.syncs;
    pthread_mutex_unlock(&faults.lock);
    return syncs;
}

/* ---- what becomes of a file's calls ---- */

static int file_close(sqlite3_file *file) {
    return real(file)->pMethods->xClose(real(file));
}

static int file_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset) {
    return real(file)->pMethods->xRead(real(file), bytes, size, offset);
}

static int log_write_result(void) {
    pthread_mutex_lock(&faults.lock);
    int result = faults.write_result;
    if (faults.write_fails_once) {
        faults.write_result = SQLITE_OK;
        faults.write_fails_once = false;
    }
    pthread_mutex_unlock(&faults.lock);
    return result;
}

static int file_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset) {
    int result = ((struct faulty_file *)file)->is_log ? log_write_result() : SQLITE_OK;
    return result ? result : real(file)->pMethods->xWrite(real(file), bytes, size, offset);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    return real(file)->pMethods->xTruncate(real(file), size);
}

static int log_sync_result(void) {
    pthread_mutex_lock(&faults.lock);
    faults.syncs++;
    while (faults.hold) {
        faults.held = true;
        pthread_cond_broadcast(&faults.changed);
        pthread_cond_wait(&faults.changed, &faults.lock);
    }
    faults.held = false;
    int result = faults.sync_result;
    pthread_mutex_unlock(&faults.lock);
    return result;
}

static int file_sync(sqlite3_file *file, int flags) {
    int result = ((struct faulty_file *)file)->is_log ? log_sync_result() : SQLITE_OK;
    return result ? result : real(file)->pMethods->xSync(real(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size) {
    return real(file)->pMethods->xFileSize(real(file), size);
}

static int file_lock(sqlite3_file *file, int level) {
    return real(file)->pMethods->xLock(real(file), level);
}

static int file_unlock(sqlite3_file *file, int level) {
    return real(file)->pMethods->xUnlock(real(file), level);
}

static int file_check_reserved_lock(sqlite3_file *file, int *reserved) {
    return real(file)->pMethods->xCheckReservedLock(real(file), reserved);
}

static int file_control(sqlite3_file *file, int operation, void *argument) {
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}

static int file_sector_size(sqlite3_file *file) {
    return real(file)->pMethods->xSectorSize(real(file));
}

static int file_characteristics(sqlite3_file *file) {
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

/* Version 1 has no shared memory: the ledger locks its file exclusively and needs none. */
static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                    int *ret_flags) {
    (void)vfs;
    int result = system_vfs->xOpen(system_vfs, name, real(file), flags, ret_flags);
    ((struct faulty_file *)file)->is_log = (flags & SQLITE_OPEN_WAL) != 0;
    file->pMethods = real(file)->pMethods ? &file_methods : NULL;
    return result;
}

void faulty_vfs_register(void) {
    static sqlite3_vfs vfs;
    if (system_vfs) {
        return;
    }
    system_vfs = sqlite3_vfs_find(NULL);
    assert(system_vfs);
    vfs = *system_vfs;
    vfs.zName = FAULTY_VFS;
    vfs.szOsFile = (int)sizeof(struct faulty_file) + system_vfs->szOsFile;
    vfs.xOpen = vfs_open;
    int result = sqlite3_vfs_register(&vfs, 0);
    assert(result == SQLITE_OK);
}

/* The VFS under a ledger: another one (the caller's, or SQLite's own), but for three things. For
 * sqlite_open.c.
 *
 * It joins what is written to the WAL. SQLite writes each frame of a commit in two pieces, 24 bytes
 * and a page, one behind the other, and then syncs. Two system calls a page were a third of a
 * commit's time in the kernel. Here the pieces gather in a buffer, which is written at once when
 * the WAL is synced, read or looked at in any other way, when a piece does not continue it, or when
 * it is full.
 *
 * What a failure means does not change (sqlite_transaction.c): the buffer's bytes are written
 * in their order, so when a write ends short the commit frame, the last one, was not written whole,
 * and what was is cut off again; and the failure is told by the call that wrote, with the code that
 * the write gave. The bytes of a failed write are dropped, as SQLite rolls back and writes them
 * anew.
 *
 * Where the other VFS does not promise POWERSAFE_OVERWRITE nothing is joined: there SQLite pads a
 * commit to the sector, syncs in the midst of the last frame and writes the rest of it after the
 * sync. Held back, that rest could fail when the commit had succeeded already; the log would have
 * a hole there, and recovery would end at it, before every later commit.
 *
 * It has the WAL that is found written anew before SQLite reads it (folder_wal_renew). After a sync
 * that failed, the system may show commits of the WAL that the disk does not have and that no later
 * sync brings there, as their pages count as written (Linux, since the error was told). Folded,
 * they would be in the main file while the disk's WAL ends before them, and a power cut before the
 * WAL is reset would have that one, an older state, recovered over the main file. A new file is the
 * disk's when it was synced; and as the old one stays until the new one has its name, a power cut
 * meanwhile loses nothing, whatever it makes of the sectors that were being written.
 *
 * And it calls a disk that cannot read by its name. SQLite's unix VFS answers EIO with
 * SQLITE_IOERR_CORRUPTFS, of which the library makes SQLITE_CORRUPT: the ledger would be called
 * damaged, and an operator told to put a backup back, for a cable that was loose. */
#include "ledger/sqlite_ledger.h"

#include <errno.h>
#include <stdio.h>

/* What SQLite's unix VFS writes at once at most (os_unix.c, seekAndWriteFd): more than 30
 * frames of 4,120 bytes, as a commit of 2,048 issues has. */
#define JOINED_SIZE ((size_t)0x1ffff)

struct vfs_file {
    sqlite3_file file; /* first */
    struct sqlite_vfs *vfs;
    unsigned char *joined; /* NULL: nothing is joined */
    size_t size;           /* bytes in `joined` ... */
    sqlite3_int64 at;      /* ... and where in the file they go */
    /* the other VFS's file follows */
};

static sqlite3_file *real_of(sqlite3_file *file) {
    return (sqlite3_file *)((struct vfs_file *)file + 1);
}

static sqlite3_vfs *real_vfs_of(const sqlite3_vfs *vfs) {
    return ((const struct sqlite_vfs *)vfs)->real;
}

/* ---- a file ---- */

/* For an exhausted quota SQLite has the code of a disk that fails. It is one that is full: nothing
 * but a short write has happened. */
static int real_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    sqlite3_file *real = real_of(file);
    int error = 0;
    int result = real->pMethods->xWrite(real, bytes, size, at);
    bool quota = result == SQLITE_IOERR_WRITE &&
                 real->pMethods->xFileControl(real, SQLITE_FCNTL_LAST_ERRNO, &error) == SQLITE_OK &&
                 error == EDQUOT;
    return quota ? SQLITE_FULL : result;
}

/* After a write that ended short. Behind its end lies what was in the WAL before, and where the
 * commit frame lacks only bytes that are the same there (the end of a page seldom changes), it is
 * whole all the same: recovery would take what was told as "nothing was written". So nothing is
 * left of it, on the disk too; else nobody knows, which is another code. */
static int cut_short_write(sqlite3_file *file, sqlite3_int64 at) {
    sqlite3_file *real = real_of(file);
    int result = real->pMethods->xTruncate(real, at);
    if (result == SQLITE_OK) {
        result = real->pMethods->xSync(real, SQLITE_SYNC_NORMAL);
    }
    return result == SQLITE_OK ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int write_joined(sqlite3_file *file) {
    struct vfs_file *wal = (struct vfs_file *)file;
    size_t size = wal->size;
    wal->size = 0;
    if (size == 0) {
        return SQLITE_OK;
    }
    int result = real_write(file, wal->joined, (int)size, wal->at);
    return result == SQLITE_FULL ? cut_short_write(file, wal->at) : result;
}

static int file_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    struct vfs_file *wal = (struct vfs_file *)file;
    if (!wal->joined) {
        return real_write(file, bytes, size, at);
    }
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

static int file_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at) {
    int result = write_joined(file);
    if (result == SQLITE_OK) {
        result = real_of(file)->pMethods->xRead(real_of(file), bytes, size, at);
    }
    if (result != SQLITE_OK && result != SQLITE_IOERR_SHORT_READ) {
        ((struct vfs_file *)file)->vfs->reads_failed++;
    }
    return result == SQLITE_IOERR_CORRUPTFS ? SQLITE_IOERR_READ : result;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    int result = write_joined(file);
    return result ? result : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags) {
    int result = write_joined(file);
    return result ? result : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size) {
    int result = write_joined(file);
    return result ? result : real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

/* What was not synced was not promised, so a failure to write it is of no use to anybody. */
static int file_close(sqlite3_file *file) {
    struct vfs_file *wal = (struct vfs_file *)file;
    (void)write_joined(file);
    sqlite3_free(wal->joined);
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int file_lock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_is_locked(sqlite3_file *file, int *ret_locked) {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
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
    .xCheckReservedLock = file_is_locked,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* ---- opening ---- */

/* SQLite opens the WAL once in a connection, before it reads it, and in exclusive mode when it has
 * the database's lock already (pager.c, pagerOpenWal): nobody else has the file open then. */
static int wal_renew(struct sqlite_vfs *vfs) {
    int status = vfs->renews ? folder_wal_renew(vfs->renews, &vfs->unrenewed) : STATUS_OK;
    return status == STATUS_OK     ? SQLITE_OK
           : status == STATUS_FULL ? SQLITE_FULL
                                   : SQLITE_IOERR_WRITE;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                    int *ret_flags) {
    sqlite3_vfs *real = real_vfs_of(vfs);
    struct vfs_file *opened = (struct vfs_file *)file;
    bool is_wal = (flags & SQLITE_OPEN_WAL) != 0;
    *opened = (struct vfs_file){.vfs = (struct sqlite_vfs *)vfs,
                                .joined = is_wal ? sqlite3_malloc64(JOINED_SIZE) : NULL};
    if (is_wal && !opened->joined) {
        return SQLITE_NOMEM;
    }
    int result = is_wal ? wal_renew(opened->vfs) : SQLITE_OK;
    if (result == SQLITE_OK) {
        result = real->xOpen(real, name, real_of(file), flags, ret_flags);
    }
    if (result != SQLITE_OK) {
        sqlite3_free(opened->joined);
        return result;
    }
    opened->file.pMethods = &file_methods;
    if (!(file_characteristics(file) & SQLITE_IOCAP_POWERSAFE_OVERWRITE)) {
        sqlite3_free(opened->joined);
        opened->joined = NULL;
    }
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
    /* Without it SQLite knows no VFS at all, and would be told to have none of that name. */
    int result = sqlite3_initialize();
    if (result != SQLITE_OK) {
        return complain(complaint, sqlite_status(result), "SQLite cannot be started: %s",
                        sqlite3_errstr(result));
    }
    sqlite3_vfs *real = sqlite3_vfs_find(real_name);
    if (!real) {
        return complain(complaint, STATUS_INVALID, "SQLite has no VFS named %s",
                        real_name ? real_name : "(default)");
    }
    snprintf(vfs->name, sizeof(vfs->name), "coupon-%p", (void *)vfs);
    vfs->real = real;
    vfs->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct vfs_file) + real->szOsFile,
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
    result = sqlite3_vfs_register(&vfs->vfs, 0);
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

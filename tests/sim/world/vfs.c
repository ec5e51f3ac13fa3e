/* SQLite's VFS over the world's disk, its memory and its random numbers. See world.h.
 *
 * It promises what the unix VFS does: files of the data folder by name, the first sync of a log
 * that was made syncs its name too, ENOSPC is SQLITE_FULL. Locks are not needed: there is one
 * process. The product's own VFS (src/ledger/sqlite_vfs.c) lies on top of it as in real life. */
#include "sim/world/world.h"

#include <sqlite3.h>
#include <stdlib.h>

struct sim_file {
    sqlite3_file base; /* first */
    unsigned number;
    bool is_log;
    bool name_is_new; /* to be synced with the content */
    int keeps_log;    /* SQLITE_FCNTL_PERSIST_WAL */
};

static struct sim_file *file_of(sqlite3_file *file) {
    return (struct sim_file *)file;
}

/* The name within the data folder. */
static const char *short_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- content ---- */

static int sim_close(sqlite3_file *file) {
    (void)file;
    return SQLITE_OK;
}

static int sim_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at) {
    IN_SIMULATOR;
    enum io_fate fate = io_begin(IO_READ, false);
    if (fate != IO_WORKS) {
        if (fate == IO_DIES_IN_IT || fate == IO_DIES_AFTER) {
            world_die();
        }
        return fate == IO_FAILS ? SQLITE_IOERR_CORRUPTFS : SQLITE_IOERR_READ; /* as unix does */
    }
    size_t there = disk_read(world->disk, file_of(file)->number, bytes, (size_t)size, (size_t)at);
    if (there < (size_t)size) {
        memset((char *)bytes + there, 0, (size_t)size - there);
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

static int sim_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
    IN_SIMULATOR;
    const struct sim_file *sim = file_of(file);
    switch (io_write(sim->number, sim->is_log, bytes, (size_t)size, (size_t)at)) {
    case IO_WORKS:
        return SQLITE_OK;
    case IO_FULL:
        return SQLITE_FULL;
    default:
        return SQLITE_IOERR_WRITE;
    }
}

static int sim_truncate(sqlite3_file *file, sqlite3_int64 size) {
    IN_SIMULATOR;
    enum io_fate fate = io_begin(IO_TRUNCATE, false);
    if (fate == IO_WORKS || fate == IO_DIES_AFTER) {
        disk_truncate(world->disk, file_of(file)->number, (size_t)size);
    }
    if (fate == IO_DIES_IN_IT || fate == IO_DIES_AFTER) {
        world_die();
    }
    return fate == IO_WORKS ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

static int sim_sync(sqlite3_file *file, int flags) {
    IN_SIMULATOR;
    (void)flags;
    struct sim_file *sim = file_of(file);
    if (io_sync(sim->number, sim->is_log) != IO_WORKS) {
        return SQLITE_IOERR_FSYNC;
    }
    if (sim->name_is_new) {
        sim->name_is_new = false;
        if (!world->plants_names_sync_skip) {
            disk_sync_names(world->disk);
        }
    }
    return SQLITE_OK;
}

static int sim_size(sqlite3_file *file, sqlite3_int64 *ret_size) {
    IN_SIMULATOR;
    if (world->dead) {
        return SQLITE_IOERR_FSTAT;
    }
    *ret_size = (sqlite3_int64)disk_size(world->disk, file_of(file)->number);
    return SQLITE_OK;
}

/* ---- the rest of a file ---- */

static int sim_lock(sqlite3_file *file, int level) {
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int sim_is_locked(sqlite3_file *file, int *ret_locked) {
    (void)file;
    *ret_locked = 0;
    return SQLITE_OK;
}

static int sim_control(sqlite3_file *file, int operation, void *argument) {
    if (operation != SQLITE_FCNTL_PERSIST_WAL) {
        return SQLITE_NOTFOUND;
    }
    int *keeps = argument;
    if (*keeps >= 0) {
        file_of(file)->keeps_log = *keeps;
    }
    *keeps = file_of(file)->keeps_log;
    return SQLITE_OK;
}

static int sim_sector_size(sqlite3_file *file) {
    (void)file;
    return DISK_SECTOR;
}

static int sim_characteristics(sqlite3_file *file) {
    (void)file;
    return world->powersafe ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

static const sqlite3_io_methods sim_methods = {
    .iVersion = 1,
    .xClose = sim_close,
    .xRead = sim_read,
    .xWrite = sim_write,
    .xTruncate = sim_truncate,
    .xSync = sim_sync,
    .xFileSize = sim_size,
    .xLock = sim_lock,
    .xUnlock = sim_lock,
    .xCheckReservedLock = sim_is_locked,
    .xFileControl = sim_control,
    .xSectorSize = sim_sector_size,
    .xDeviceCharacteristics = sim_characteristics,
};

/* ---- the VFS ---- */

static int sim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                    int *ret_flags) {
    IN_SIMULATOR;
    (void)vfs;
    struct sim_file *sim = file_of(file);
    *sim = (struct sim_file){.is_log = (flags & SQLITE_OPEN_WAL) != 0};
    enum io_fate fate = io_begin(IO_OPEN, false);
    const char *name = path ? short_name(path) : "";
    unsigned number = world->dead ? 0 : disk_find(world->disk, name);
    if (fate == IO_FULL || fate == IO_FAILS || fate == IO_DEAD) {
        return SQLITE_CANTOPEN;
    }
    if (!number && (flags & SQLITE_OPEN_CREATE) && fate != IO_DIES_IN_IT) {
        number = disk_create(world->disk, name);
        sim->name_is_new = sim->is_log;
    }
    if (fate == IO_DIES_IN_IT || fate == IO_DIES_AFTER) {
        world_die();
    }
    if (!number || world->dead) {
        return SQLITE_CANTOPEN;
    }
    sim->number = number;
    sim->base.pMethods = &sim_methods;
    if (ret_flags) {
        *ret_flags = flags;
    }
    return SQLITE_OK;
}

static int sim_delete(sqlite3_vfs *vfs, const char *path, int sync_folder) {
    IN_SIMULATOR;
    (void)vfs;
    enum io_fate fate = io_begin(IO_DELETE, false);
    bool there = !world->dead && disk_find(world->disk, short_name(path)) != 0;
    if (there && (fate == IO_WORKS || fate == IO_DIES_AFTER)) {
        disk_unlink(world->disk, short_name(path));
        if (sync_folder && fate == IO_WORKS) {
            disk_sync_names(world->disk);
        }
    }
    if (fate == IO_DIES_IN_IT || fate == IO_DIES_AFTER) {
        world_die();
    }
    return fate != IO_WORKS ? SQLITE_IOERR_DELETE : there ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

static int sim_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret_result) {
    IN_SIMULATOR;
    (void)vfs;
    (void)flags;
    if (world->dead) {
        return SQLITE_IOERR_ACCESS;
    }
    unsigned number = disk_find(world->disk, short_name(path));
    *ret_result = number != 0 && disk_size(world->disk, number) > 0;
    return SQLITE_OK;
}

static int sim_path(sqlite3_vfs *vfs, const char *path, int size, char *ret_path) {
    (void)vfs;
    sqlite3_snprintf(size, ret_path, "%s", path);
    return SQLITE_OK;
}

static int sim_random(sqlite3_vfs *vfs, int size, char *ret_bytes) {
    (void)vfs;
    for (int i = 0; i < size; i++) {
        ret_bytes[i] = world ? (char)random_next(&world->random) : 0;
    }
    return size;
}

static int sim_sleep(sqlite3_vfs *vfs, int for_us) {
    (void)vfs;
    world->now_us += for_us;
    return for_us;
}

static int sim_time(sqlite3_vfs *vfs, double *ret_days) {
    (void)vfs;
    *ret_days = 2461420.5;
    return SQLITE_OK;
}

static int sim_last_error(sqlite3_vfs *vfs, int size, char *ret_text) {
    (void)vfs;
    (void)size;
    (void)ret_text;
    return 0;
}

/* ---- memory ---- */

/* The size lies in front: what the allocator rounds a block to depends on its past, and SQLite
 * asks for that size. */
#define HEAD_SIZE 16

static int memory_size(void *block) {
    return block ? *(int *)(void *)((char *)block - HEAD_SIZE) : 0;
}

static void *memory_new(int size) {
    bool fails = memory_fails(FAULT_SQLITE_NO_MEMORY);
    IN_SIMULATOR;
    char *head = fails ? NULL : malloc(HEAD_SIZE + (size_t)size);
    if (!head) {
        return NULL;
    }
    *(int *)(void *)head = size;
    return head + HEAD_SIZE;
}

static void memory_free(void *block) {
    free((char *)block - HEAD_SIZE);
}

static void *memory_resize(void *block, int size) {
    bool fails = memory_fails(FAULT_SQLITE_NO_MEMORY);
    IN_SIMULATOR;
    char *head = fails ? NULL : realloc((char *)block - HEAD_SIZE, HEAD_SIZE + (size_t)size);
    if (!head) {
        return NULL;
    }
    *(int *)(void *)head = size;
    return head + HEAD_SIZE;
}

static int memory_round(int size) {
    return (size + 7) & ~7;
}

static int memory_begin(void *unused) {
    (void)unused;
    return SQLITE_OK;
}

static void memory_end(void *unused) {
    (void)unused;
}

void world_sqlite_prepare(void) {
    static sqlite3_mem_methods memory = {
        .xMalloc = memory_new,
        .xFree = memory_free,
        .xRealloc = memory_resize,
        .xSize = memory_size,
        .xRoundup = memory_round,
        .xInit = memory_begin,
        .xShutdown = memory_end,
    };
    static sqlite3_vfs vfs = {
        .iVersion = 1,
        .szOsFile = sizeof(struct sim_file),
        .mxPathname = 512,
        .zName = WORLD_VFS,
        .xOpen = sim_open,
        .xDelete = sim_delete,
        .xAccess = sim_access,
        .xFullPathname = sim_path,
        .xRandomness = sim_random,
        .xSleep = sim_sleep,
        .xCurrentTime = sim_time,
        .xGetLastError = sim_last_error,
    };
    int failed = sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    failed |= sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
    failed |= sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    failed |= sqlite3_vfs_register(&vfs, 1);
    if (failed) {
        abort();
    }
}

/* The generator draws its own seed anew from the VFS after this. */
void world_sqlite_reseed(void) {
    sqlite3_randomness(0, NULL);
}

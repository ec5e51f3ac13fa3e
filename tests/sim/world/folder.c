/* What the linker puts in the place of the system calls by which the ledger handles its data
 * folder (src/ledger/sqlite_folder.c, sqlite_hold.c): names below WORLD_FOLDER lie on the
 * world's disk, everything else is the system's. And the monotonic clock. See world.h.
 *
 * Each call has the names that the C library gives it with 64-bit offsets and with
 * _FORTIFY_SOURCE. */
#include "sim/world/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FD_FIRST   (1 << 20) /* above what the system gives */
#define FDS_MAX    16
#define FOLDER_INO 1000000

#define LOG_NAME "coupon.db-wal" /* and what becomes one */

static struct {
    bool used;
    bool is_log;
    unsigned file; /* 0: the folder itself */
} fds[FDS_MAX];

static bool is_ours(int fd) {
    return fd >= FD_FIRST && fd < FD_FIRST + FDS_MAX && fds[fd - FD_FIRST].used;
}

static bool path_is_ours(const char *path) {
    return world && strncmp(path, WORLD_FOLDER, strlen(WORLD_FOLDER)) == 0;
}

static int fd_new(unsigned file) {
    for (int i = 0; i < FDS_MAX; i++) {
        if (!fds[i].used) {
            fds[i].used = true;
            fds[i].is_log = false;
            fds[i].file = file;
            return FD_FIRST + i;
        }
    }
    errno = EMFILE;
    return -1;
}

static unsigned file_of(int fd) {
    return fds[fd - FD_FIRST].file;
}

/* 0, or -1 with errno. */
static int result_of(enum io_fate fate) {
    errno = fate == IO_FULL ? ENOSPC : EIO;
    return fate == IO_WORKS ? 0 : -1;
}

/* -1 with errno, unless the call may go on. */
static int refused(enum io_sort sort, bool grows) {
    enum io_fate fate = io_begin(sort, grows);
    if (fate == IO_DIES_IN_IT || fate == IO_DIES_AFTER) {
        world_die(); /* as good as before it: each of these calls is one step */
    }
    return result_of(fate);
}

/* ---- open and close ---- */

static int folder_open_name(const char *name, int flags) {
    IN_SIMULATOR;
    unsigned file = disk_find(world->disk, name);
    bool creates = !file && (flags & O_CREAT);
    if (refused(IO_OPEN, creates)) {
        return -1;
    }
    if (file && (flags & O_CREAT) && (flags & O_EXCL)) {
        errno = EEXIST;
        return -1;
    }
    if (!file && !creates) {
        errno = ENOENT;
        return -1;
    }
    int fd = fd_new(creates ? disk_create(world->disk, name) : file);
    if (fd >= 0) {
        fds[fd - FD_FIRST].is_log = strncmp(name, LOG_NAME, strlen(LOG_NAME)) == 0;
    }
    return fd;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap___open64_2(const char *path, int flags);
int __real_openat64(int folder, const char *name, int flags, ...);
int __wrap_openat64(int folder, const char *name, int flags, ...);
int __wrap___openat64_2(int folder, const char *name, int flags);

static mode_t mode_of(int flags, va_list arguments) {
    return flags & O_CREAT ? (mode_t)va_arg(arguments, int) : 0;
}

int __wrap_open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    if (!path_is_ours(path)) {
        return __real_open64(path, flags, mode);
    }
    IN_SIMULATOR;
    return refused(IO_OPEN, false) ? -1 : fd_new(0);
}

int __wrap___open64_2(const char *path, int flags) {
    return __wrap_open64(path, flags);
}

int __wrap_openat64(int folder, const char *name, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return is_ours(folder) ? folder_open_name(name, flags)
                           : __real_openat64(folder, name, flags, mode);
}

int __wrap___openat64_2(int folder, const char *name, int flags) {
    return __wrap_openat64(folder, name, flags);
}

int __real_close(int fd);
int __wrap_close(int fd);

int __wrap_close(int fd) {
    if (!is_ours(fd)) {
        return __real_close(fd);
    }
    fds[fd - FD_FIRST].used = false;
    return 0;
}

/* ---- looking ---- */

static void fill(struct stat *ret_stat, unsigned file) {
    *ret_stat = (struct stat){.st_dev = 1,
                              .st_ino = file ? file : FOLDER_INO,
                              .st_mode = file ? S_IFREG | 0600 : S_IFDIR | 0700};
    ret_stat->st_size = file ? (off_t)disk_size(world->disk, file) : 0;
}

int __real_fstat64(int fd, struct stat *ret_stat);
int __wrap_fstat64(int fd, struct stat *ret_stat);

int __wrap_fstat64(int fd, struct stat *ret_stat) {
    if (!is_ours(fd)) {
        return __real_fstat64(fd, ret_stat);
    }
    fill(ret_stat, file_of(fd));
    return 0;
}

int __real_fstatat64(int folder, const char *name, struct stat *ret_stat, int flags);
int __wrap_fstatat64(int folder, const char *name, struct stat *ret_stat, int flags);

int __wrap_fstatat64(int folder, const char *name, struct stat *ret_stat, int flags) {
    if (!is_ours(folder)) {
        return __real_fstatat64(folder, name, ret_stat, flags);
    }
    unsigned file = disk_find(world->disk, name);
    if (!file) {
        errno = ENOENT;
        return -1;
    }
    fill(ret_stat, file);
    return 0;
}

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);

int __wrap_access(const char *path, int mode) {
    if (!path_is_ours(path)) {
        return __real_access(path, mode);
    }
    errno = ENOENT;
    return disk_find(world->disk, strrchr(path, '/') + 1) ? 0 : -1;
}

int __real_faccessat(int folder, const char *name, int mode, int flags);
int __wrap_faccessat(int folder, const char *name, int mode, int flags);

int __wrap_faccessat(int folder, const char *name, int mode, int flags) {
    if (!is_ours(folder)) {
        return __real_faccessat(folder, name, mode, flags);
    }
    errno = ENOENT;
    return disk_find(world->disk, name) ? 0 : -1;
}

char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
char *__wrap___realpath_chk(const char *path, char *resolved, size_t size);

char *__wrap_realpath(const char *path, char *resolved) {
    if (!path_is_ours(path)) {
        return __real_realpath(path, resolved);
    }
    memcpy(resolved, WORLD_FOLDER, sizeof(WORLD_FOLDER));
    return resolved;
}

char *__wrap___realpath_chk(const char *path, char *resolved, size_t size) {
    (void)size;
    return __wrap_realpath(path, resolved);
}

ssize_t __real_pread64(int fd, void *bytes, size_t size, off_t at);
ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t at);
ssize_t __wrap___pread64_chk(int fd, void *bytes, size_t size, off_t at, size_t room);

ssize_t __wrap_pread64(int fd, void *bytes, size_t size, off_t at) {
    if (!is_ours(fd)) {
        return __real_pread64(fd, bytes, size, at);
    }
    IN_SIMULATOR;
    return refused(IO_READ, false)
               ? -1
               : (ssize_t)disk_read(world->disk, file_of(fd), bytes, size, (size_t)at);
}

ssize_t __wrap___pread64_chk(int fd, void *bytes, size_t size, off_t at, size_t room) {
    (void)room;
    return __wrap_pread64(fd, bytes, size, at);
}

/* ---- changing ---- */

int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);

int __wrap_mkdir(const char *path, mode_t mode) {
    if (!path_is_ours(path)) {
        return __real_mkdir(path, mode);
    }
    errno = EEXIST; /* the operator made it */
    return -1;
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t at);

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t at) {
    if (!is_ours(fd)) {
        return __real_pwrite64(fd, bytes, size, at);
    }
    IN_SIMULATOR;
    bool is_log = fds[fd - FD_FIRST].is_log;
    return result_of(io_write(file_of(fd), is_log, bytes, size, (size_t)at)) ? -1 : (ssize_t)size;
}

int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);

int __wrap_ftruncate64(int fd, off_t size) {
    if (!is_ours(fd)) {
        return __real_ftruncate64(fd, size);
    }
    IN_SIMULATOR;
    if (refused(IO_TRUNCATE, false)) {
        return -1;
    }
    disk_truncate(world->disk, file_of(fd), (size_t)size);
    return 0;
}

int __wrap_dprintf(int fd, const char *format, ...) PRINTF_LIKE(2, 3);
int __wrap___dprintf_chk(int fd, int flag, const char *format, ...) PRINTF_LIKE(3, 4);

/* Only the lock's number of a process is written so; it is the same in every run. */
static int print_or_sign(int fd, const char *format, va_list arguments) {
    if (!is_ours(fd)) {
        return vdprintf(fd, format, arguments);
    }
    IN_SIMULATOR;
    if (refused(IO_DB_WRITE, true)) {
        return -1;
    }
    disk_write(world->disk, file_of(fd), "1\n", 2, 0);
    return 2;
}

int __wrap_dprintf(int fd, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = print_or_sign(fd, format, arguments);
    va_end(arguments);
    return size;
}

int __wrap___dprintf_chk(int fd, int flag, const char *format, ...) {
    (void)flag;
    va_list arguments;
    va_start(arguments, format);
    int size = print_or_sign(fd, format, arguments);
    va_end(arguments);
    return size;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd) {
    if (!is_ours(fd)) {
        return __real_fsync(fd);
    }
    IN_SIMULATOR;
    if (file_of(fd) && world->plants_log_copy_sync_skip) {
        return 0; /* no other file is synced by its name's folder */
    }
    if (file_of(fd)) {
        return result_of(io_sync(file_of(fd), fds[fd - FD_FIRST].is_log));
    }
    if (refused(IO_NAMES_SYNC, false)) {
        return -1;
    }
    if (!world->plants_names_sync_skip) {
        disk_sync_names(world->disk);
    }
    return 0;
}

int __real_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to);

int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to) {
    if (!is_ours(from_folder)) {
        return __real_renameat(from_folder, from, to_folder, to);
    }
    IN_SIMULATOR;
    if (refused(IO_RENAME, false)) {
        return -1;
    }
    if (!disk_find(world->disk, from)) {
        errno = ENOENT;
        return -1;
    }
    if (world->plants_log_renewal_skip && strcmp(to, LOG_NAME) == 0) {
        disk_unlink(world->disk, from);
        return 0;
    }
    disk_rename(world->disk, from, to);
    return 0;
}

int __real_unlinkat(int folder, const char *name, int flags);
int __wrap_unlinkat(int folder, const char *name, int flags);

int __wrap_unlinkat(int folder, const char *name, int flags) {
    if (!is_ours(folder)) {
        return __real_unlinkat(folder, name, flags);
    }
    IN_SIMULATOR;
    if (!disk_find(world->disk, name)) {
        errno = ENOENT;
        return -1;
    }
    if (refused(IO_DELETE, false)) {
        return -1;
    }
    disk_unlink(world->disk, name);
    return 0;
}

/* ---- locks and time ---- */

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

/* One process has the folder; a backup may have its hold. */
int __wrap_flock(int fd, int operation) {
    if (!is_ours(fd)) {
        return __real_flock(fd, operation);
    }
    bool is_hold = disk_find(world->disk, "coupon.hold") == file_of(fd);
    if (operation == LOCK_UN) {
        world->folding = false;
        return 0;
    }
    if (is_hold && world->now_us < world->held_until_us) {
        IN_SIMULATOR;
        world->held_file = world->held_file ? world->held_file : file_of(fd);
        if (world->held_file == file_of(fd)) {
            world_hit(FAULT_BACKUP_HOLDS);
            errno = EWOULDBLOCK;
            return -1;
        }
    }
    world->folding = is_hold;
    return 0;
}

int64_t __real_clock_monotonic_us(void);
int64_t __wrap_clock_monotonic_us(void);

int64_t __wrap_clock_monotonic_us(void) {
    return world ? world->now_us : __real_clock_monotonic_us();
}

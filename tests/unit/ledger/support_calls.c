#include "support_calls.h"

#include "support/allocation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE_MAX 100 /* what is so short is read at once */

static struct {
    enum call_kind kind;
    unsigned countdown; /* 0: none fails */
    bool stays;
    int how;
    unsigned failed;
    void (*meddle)(void *context);
    void *context;
    bool halve;
} calls;

void calls_arm(enum call_kind kind, unsigned nth, int how, bool stays) {
    calls.kind = kind;
    calls.countdown = nth;
    calls.how = how;
    calls.stays = stays;
    calls.failed = 0;
    calls.meddle = NULL;
}

void calls_arm_meddler(enum call_kind kind, unsigned nth, void (*meddle)(void *context),
                       void *context) {
    calls_arm(kind, nth, 0, false);
    calls.meddle = meddle;
    calls.context = context;
}

unsigned calls_disarm(void) {
    calls.kind = CALLS_NONE;
    return calls.failed;
}

void calls_halve(bool halve) {
    calls.halve = halve;
}

/* Whether this call is one that fails. */
static bool fails(enum call_kind kind) {
    if (calls.kind != kind || calls.countdown == 0 || --calls.countdown > 0) {
        return false;
    }
    calls.countdown = calls.stays ? 1 : 0;
    calls.failed++;
    if (calls.meddle) {
        calls.meddle(calls.context);
        return false;
    }
    return true;
}

/* … of the operating system's. */
static bool system_fails(enum call_kind kind) {
    bool now = fails(kind) || (kind != CALLS_UNLINK && fails(CALLS_SYSTEM));
    if (now) {
        errno = calls.how;
    }
    return now;
}

bool allocation_fails(void) {
    return system_fails(CALLS_SYSTEM);
}

/* ---- the operating system ---- */

#define WRAP(type, name, failure, kind, parameters, arguments)                                     \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters {                                                                \
        return system_fails(kind) ? (failure) : __real_##name arguments;                           \
    }

WRAP(int, access, -1, CALLS_SYSTEM, (const char *path, int mode), (path, mode))
WRAP(int, faccessat, -1, CALLS_SYSTEM, (int folder, const char *path, int mode, int flags),
     (folder, path, mode, flags))
WRAP(int, fchown, -1, CALLS_SYSTEM, (int fd, uid_t user, gid_t group), (fd, user, group))
WRAP(DIR *, fdopendir, NULL, CALLS_SYSTEM, (int fd), (fd))
WRAP(struct dirent64 *, readdir64, NULL, CALLS_LIST, (DIR * names), (names))
WRAP(int, flock, -1, CALLS_LOCK, (int fd, int operation), (fd, operation))
WRAP(int, fstat64, -1, CALLS_SYSTEM, (int fd, struct stat64 *file), (fd, file))
WRAP(int, fstatat64, -1, CALLS_SYSTEM,
     (int folder, const char *path, struct stat64 *file, int flags), (folder, path, file, flags))
WRAP(int, fsync, -1, CALLS_SYNC, (int fd), (fd))
WRAP(int, ftruncate64, -1, CALLS_SYSTEM, (int fd, off64_t size), (fd, size))
WRAP(int, kill, -1, CALLS_KILL, (pid_t process, int signal), (process, signal))
WRAP(int, linkat, -1, CALLS_SYSTEM,
     (int from, const char *path, int to, const char *name, int flags),
     (from, path, to, name, flags))
WRAP(int, mkdir, -1, CALLS_SYSTEM, (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, -1, CALLS_SYSTEM, (int folder, const char *path, mode_t mode),
     (folder, path, mode))
WRAP(ssize_t, pread64, -1, CALLS_READ, (int fd, void *bytes, size_t size, off64_t at),
     (fd, bytes, calls.halve &&size > HEADER_SIZE_MAX ? size / 2 : size, at))
WRAP(ssize_t, pwrite64, -1, CALLS_SYSTEM, (int fd, const void *bytes, size_t size, off64_t at),
     (fd, bytes, calls.halve &&size > 1 ? size / 2 : size, at))
WRAP(char *, realpath, NULL, CALLS_SYSTEM, (const char *path, char *room), (path, room))
WRAP(int, renameat, -1, CALLS_SYSTEM, (int from, const char *path, int to, const char *name),
     (from, path, to, name))
WRAP(int, unlinkat, -1, CALLS_UNLINK, (int folder, const char *path, int flags),
     (folder, path, flags))

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return system_fails(CALLS_SYSTEM) ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return system_fails(CALLS_SYSTEM) ? -1 : __real_openat64(folder, path, flags, mode);
}

/* ---- SQLite ---- */

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement) {
    return fails(CALLS_SQLITE) ? calls.how : __real_sqlite3_step(statement);
}

int __real_sqlite3_prepare_v2(sqlite3 *db, const char *text, int size, sqlite3_stmt **ret_statement,
                              const char **ret_tail);
int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *text, int size, sqlite3_stmt **ret_statement,
                              const char **ret_tail);
int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *text, int size, sqlite3_stmt **ret_statement,
                              const char **ret_tail) {
    return fails(CALLS_SQLITE) ? calls.how
                               : __real_sqlite3_prepare_v2(db, text, size, ret_statement, ret_tail);
}

int __real_sqlite3_value_type(sqlite3_value *value);
int __wrap_sqlite3_value_type(sqlite3_value *value);
int __wrap_sqlite3_value_type(sqlite3_value *value) {
    return fails(CALLS_VALUE) ? calls.how : __real_sqlite3_value_type(value);
}

int __real_sqlite3_prepare_v3(sqlite3 *db, const char *text, int size, unsigned flags,
                              sqlite3_stmt **ret_statement, const char **ret_tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *text, int size, unsigned flags,
                              sqlite3_stmt **ret_statement, const char **ret_tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *text, int size, unsigned flags,
                              sqlite3_stmt **ret_statement, const char **ret_tail) {
    return fails(CALLS_SQLITE)
               ? calls.how
               : __real_sqlite3_prepare_v3(db, text, size, flags, ret_statement, ret_tail);
}

int __real_sqlite3_exec(sqlite3 *db, const char *text,
                        int (*row)(void *context, int count, char **values, char **names),
                        void *context, char **ret_why);
int __wrap_sqlite3_exec(sqlite3 *db, const char *text,
                        int (*row)(void *context, int count, char **values, char **names),
                        void *context, char **ret_why);
int __wrap_sqlite3_exec(sqlite3 *db, const char *text,
                        int (*row)(void *context, int count, char **values, char **names),
                        void *context, char **ret_why) {
    return fails(CALLS_SQLITE) ? calls.how : __real_sqlite3_exec(db, text, row, context, ret_why);
}

#define WRAP_SQLITE(name, parameters, arguments)                                                   \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters {                                                                 \
        return fails(CALLS_SQLITE) ? calls.how : __real_##name arguments;                          \
    }

WRAP_SQLITE(sqlite3_create_module_v2,
            (sqlite3 * db, const char *name, const sqlite3_module *module, void *context,
             void (*done)(void *context)),
            (db, name, module, context, done))
WRAP_SQLITE(sqlite3_declare_vtab, (sqlite3 * db, const char *text), (db, text))
WRAP_SQLITE(sqlite3_wal_checkpoint_v2,
            (sqlite3 * db, const char *name, int mode, int *ret_frames, int *ret_folded),
            (db, name, mode, ret_frames, ret_folded))
WRAP_SQLITE(sqlite3_vfs_register, (sqlite3_vfs * vfs, int is_default), (vfs, is_default))

void *__real_sqlite3_malloc(int size);
void *__wrap_sqlite3_malloc(int size);
void *__wrap_sqlite3_malloc(int size) {
    return fails(CALLS_SQLITE) ? NULL : __real_sqlite3_malloc(size);
}

void *__real_sqlite3_malloc64(sqlite3_uint64 size);
void *__wrap_sqlite3_malloc64(sqlite3_uint64 size);
void *__wrap_sqlite3_malloc64(sqlite3_uint64 size) {
    return fails(CALLS_SQLITE) ? NULL : __real_sqlite3_malloc64(size);
}

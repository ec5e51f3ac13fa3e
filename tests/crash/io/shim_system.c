/* See shim_system.h. The calls go to the kernel by syscall(2), so that nothing of this depends on
 * which library would have been asked next (a sanitizer's, the C library's).
 *
 * What the C library writes by itself (stdio) is not seen; of ours that is the number in
 * coupon.lock, which nothing rests on. */
/* The 64-bit names are defined beside the plain ones here, and none may be an inline function. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "shim_system.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The other name of the same function: off_t has 64 bits on every 64-bit Linux. */
#define ALIAS_OF(name) __attribute__((alias(#name)))

struct fault *system_fault;
const struct system_listener *system_listener;

/* ---- which files ---- */

struct place {
    bool watched;
    char path[PATH_MAX]; /* relative to the root */
};

static void place_set(struct place *place, const char *absolute) {
    const char *root = system_fault->root;
    size_t size = strlen(root);
    place->watched =
        strncmp(absolute, root, size) == 0 && (absolute[size] == '/' || absolute[size] == '\0');
    if (place->watched) {
        const char *below = absolute[size] == '/' ? absolute + size + 1 : "";
        snprintf(place->path, sizeof(place->path), "%s", below);
    }
}

static bool is_on(void) {
    return system_fault && system_fault->root[0] != '\0';
}

static void place_of_fd(int fd, struct place *place) {
    char link[64];
    char target[PATH_MAX];
    place->watched = false;
    if (!is_on() || fd <= STDERR_FILENO) {
        return;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof(target) - 1);
    if (size > 0) {
        target[size] = '\0';
        place_set(place, target);
    }
}

static void place_of_name(int folder, const char *name, struct place *place) {
    place->watched = false;
    if (!is_on()) {
        return;
    }
    if (name[0] == '/') {
        place_set(place, name);
        return;
    }
    place_of_fd(folder, place);
    if (place->watched && strcmp(name, ".") != 0) {
        size_t size = strlen(place->path);
        snprintf(place->path + size, sizeof(place->path) - size, "%s%s", size ? "/" : "", name);
    }
}

/* ---- failing ---- */

static bool strikes(const struct place *place, enum fault_operation operation) {
    return place->watched && fault_strikes(system_fault, operation);
}

/* What a struck call returns: -1 and errno, or 0 for a lie. */
static int struck(void) {
    switch ((enum fault_error)system_fault->error) {
    case FAULT_FULL:
        errno = ENOSPC;
        return -1;
    case FAULT_MEMORY:
        errno = ENOMEM;
        return -1;
    case FAULT_BUSY:
        errno = EWOULDBLOCK;
        return -1;
    case FAULT_IO:
        errno = EIO;
        return -1;
    case FAULT_PARTIAL:
    case FAULT_LIE:
        break;
    }
    return 0;
}

static ino_t inode_of(int fd, bool *ret_is_folder) {
    struct stat facts = {0};
    syscall(SYS_fstat, fd, &facts);
    *ret_is_folder = S_ISDIR(facts.st_mode);
    return facts.st_ino;
}

/* ---- opening ---- */

static int open_at(int folder, const char *name, int flags, mode_t mode) {
    struct place place;
    bool made = false;
    struct stat facts;
    place_of_name(folder, name, &place);
    if (strikes(&place, FAULT_OPEN) && struck()) {
        return -1;
    }
    if (place.watched && system_listener && flags & O_CREAT) {
        made = syscall(SYS_newfstatat, folder, name, &facts, AT_SYMLINK_NOFOLLOW) != 0;
    }
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    if (fd >= 0 && place.watched && system_listener) {
        bool is_folder;
        ino_t inode = inode_of(fd, &is_folder);
        system_listener->opened(place.path, inode, made, (flags & O_TRUNC) != 0);
    }
    return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *name, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(AT_FDCWD, name, flags, mode);
}

int ALIAS_OF(open) open64(const char *name, int flags, ...);

int openat(int folder, const char *name, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(folder, name, flags, mode);
}

int ALIAS_OF(openat) openat64(int folder, const char *name, int flags, ...);

/* ---- reading and writing ---- */

/* How much of a write is to be done; *ret_done: no more than that, with the result given. */
static size_t write_size(const struct place *place, size_t size, bool *ret_done, ssize_t *result) {
    *ret_done = false;
    if (!strikes(place, FAULT_WRITE)) {
        return size;
    }
    if (size > 1 && (fault_halves(system_fault) || system_fault->error == FAULT_PARTIAL)) {
        return size / 2;
    }
    if (system_fault->error == FAULT_PARTIAL) {
        return size;
    }
    *ret_done = true;
    *result = struck() ? -1 : (ssize_t)size;
    return 0;
}

static void heard_write(const struct place *place, int fd, const void *bytes, ssize_t size,
                        int64_t at) {
    if (place->watched && system_listener && size > 0) {
        bool is_folder;
        system_listener->wrote(inode_of(fd, &is_folder), bytes, (size_t)size, at);
    }
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    struct place place;
    bool done;
    ssize_t result = 0;
    place_of_fd(fd, &place);
    size_t left = write_size(&place, size, &done, &result);
    if (!done) {
        result = syscall(SYS_pwrite64, fd, bytes, left, at);
        heard_write(&place, fd, bytes, result, at);
    }
    return result;
}

ssize_t ALIAS_OF(pwrite) pwrite64(int fd, const void *bytes, size_t size, off64_t at);

ssize_t write(int fd, const void *bytes, size_t size) {
    struct place place;
    bool done;
    ssize_t result = 0;
    place_of_fd(fd, &place);
    size_t left = write_size(&place, size, &done, &result);
    if (!done) {
        int64_t at = place.watched ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
        result = syscall(SYS_write, fd, bytes, left);
        heard_write(&place, fd, bytes, result, at);
    }
    return result;
}

ssize_t pread(int fd, void *bytes, size_t size, off_t at) {
    struct place place;
    place_of_fd(fd, &place);
    return strikes(&place, FAULT_READ) && struck() ? -1 : syscall(SYS_pread64, fd, bytes, size, at);
}

ssize_t ALIAS_OF(pread) pread64(int fd, void *bytes, size_t size, off64_t at);

ssize_t read(int fd, void *bytes, size_t size) {
    struct place place;
    place_of_fd(fd, &place);
    return strikes(&place, FAULT_READ) && struck() ? -1 : syscall(SYS_read, fd, bytes, size);
}

int ftruncate(int fd, off_t size) {
    struct place place;
    place_of_fd(fd, &place);
    if (strikes(&place, FAULT_TRUNCATE)) {
        return struck();
    }
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0 && place.watched && system_listener) {
        bool is_folder;
        system_listener->truncated(inode_of(fd, &is_folder), size);
    }
    return result;
}

int ALIAS_OF(ftruncate) ftruncate64(int fd, off64_t size);

static int sync_by(long number, int fd) {
    struct place place;
    place_of_fd(fd, &place);
    if (strikes(&place, FAULT_SYNC)) {
        return struck();
    }
    /* What is recorded is judged by the recording, and needs no disk to wait for. */
    int result = place.watched && system_listener ? 0 : (int)syscall(number, fd);
    if (result == 0 && place.watched && system_listener) {
        bool is_folder;
        ino_t inode = inode_of(fd, &is_folder);
        system_listener->synced(place.path, inode, is_folder);
    }
    return result;
}

int fsync(int fd) {
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd) {
    return sync_by(SYS_fdatasync, fd);
}

/* ---- looking ---- */

static int stat_at(int folder, const char *name, struct stat *ret_facts, int flags) {
    struct place place;
    place_of_name(folder, name, &place);
    return strikes(&place, FAULT_SIZE) && struck()
               ? -1
               : (int)syscall(SYS_newfstatat, folder, name, ret_facts, flags);
}

static int stat_fd(int fd, struct stat *ret_facts) {
    struct place place;
    place_of_fd(fd, &place);
    return strikes(&place, FAULT_SIZE) && struck() ? -1 : (int)syscall(SYS_fstat, fd, ret_facts);
}

int fstat(int fd, struct stat *ret_facts) {
    return stat_fd(fd, ret_facts);
}

/* struct stat64 is struct stat on every 64-bit Linux. */
int fstat64(int fd, struct stat64 *ret_facts) {
    return stat_fd(fd, (struct stat *)ret_facts);
}

int stat(const char *name, struct stat *ret_facts) {
    return stat_at(AT_FDCWD, name, ret_facts, 0);
}

int stat64(const char *name, struct stat64 *ret_facts) {
    return stat_at(AT_FDCWD, name, (struct stat *)ret_facts, 0);
}

int fstatat(int folder, const char *name, struct stat *ret_facts, int flags) {
    return stat_at(folder, name, ret_facts, flags);
}

int fstatat64(int folder, const char *name, struct stat64 *ret_facts, int flags) {
    return stat_at(folder, name, (struct stat *)ret_facts, flags);
}

int access(const char *name, int mode) {
    struct place place;
    place_of_name(AT_FDCWD, name, &place);
    return strikes(&place, FAULT_ACCESS) && struck()
               ? -1
               : (int)syscall(SYS_faccessat, AT_FDCWD, name, mode);
}

int flock(int fd, int operation) {
    struct place place;
    place_of_fd(fd, &place);
    /* Giving a lock back does not fail. */
    return !(operation & LOCK_UN) && strikes(&place, FAULT_LOCK) && struck()
               ? -1
               : (int)syscall(SYS_flock, fd, operation);
}

/* ---- names ---- */

static int unlink_at(int folder, const char *name, int flags) {
    struct place place;
    place_of_name(folder, name, &place);
    enum fault_operation operation = flags & AT_REMOVEDIR ? FAULT_NAME : FAULT_DELETE;
    if (strikes(&place, operation)) {
        return struck();
    }
    int result = (int)syscall(SYS_unlinkat, folder, name, flags);
    if (result == 0 && place.watched && system_listener) {
        system_listener->unlinked(place.path);
    }
    return result;
}

int unlink(const char *name) {
    return unlink_at(AT_FDCWD, name, 0);
}

int unlinkat(int folder, const char *name, int flags) {
    return unlink_at(folder, name, flags);
}

int rmdir(const char *name) {
    return unlink_at(AT_FDCWD, name, AT_REMOVEDIR);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    struct place before;
    struct place after;
    place_of_name(from_folder, from, &before);
    place_of_name(to_folder, to, &after);
    if (strikes(&after, FAULT_NAME)) {
        return struck();
    }
    int result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
    if (result == 0 && after.watched && system_listener) {
        system_listener->renamed(before.path, after.path);
    }
    return result;
}

int rename(const char *from, const char *to) {
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    struct place before;
    struct place after;
    place_of_name(from_folder, from, &before);
    place_of_name(to_folder, to, &after);
    if (strikes(&after, FAULT_NAME)) {
        return struck();
    }
    int result = (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    if (result == 0 && after.watched && system_listener) {
        system_listener->linked(before.path, after.path);
    }
    return result;
}

int mkdirat(int folder, const char *name, mode_t mode) {
    struct place place;
    place_of_name(folder, name, &place);
    if (strikes(&place, FAULT_NAME)) {
        return struck();
    }
    int result = (int)syscall(SYS_mkdirat, folder, name, mode);
    if (result == 0 && place.watched && system_listener) {
        system_listener->folder_made(place.path);
    }
    return result;
}

int mkdir(const char *name, mode_t mode) {
    return mkdirat(AT_FDCWD, name, mode);
}

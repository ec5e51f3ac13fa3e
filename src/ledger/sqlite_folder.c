/* The data folder of the SQLite ledger: its lock, and a look at the ledger's file before
 * SQLite may touch it, so that a file which is not ours stays byte for byte what it was.
 *
 * A new ledger is made under another name and renamed when it is complete. So a coupon.db
 * that is there is a whole ledger or not ours, and an empty one is a loss to be told, never
 * an invitation to start anew. Not for: what is in the tables. Called by sqlite_open.c. */
#include "ledger/sqlite_ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_NAME DATABASE_NAME "-journal"

#define PART_SIZE             16384 /* of the WAL, copied at once */
#define HEADER_SIZE           100   /* SQLite file format, section 1.3 */
#define HEADER_PAGE_SIZE      16
#define HEADER_PAGE_COUNT     28
#define HEADER_USER_VERSION   60
#define HEADER_APPLICATION_ID 68

int folder_fail(const char *doing, const char *path, struct complaint *complaint) {
    int status = errno == ENOSPC || errno == EDQUOT ? STATUS_FULL : STATUS_IO;
    return complain(complaint, status, "cannot %s %s: %s", doing, path, strerror(errno));
}

static int sync_fd(int fd, const char *path, struct complaint *complaint) {
    return fsync(fd) == 0 ? STATUS_OK : folder_fail("make durable the folder", path, complaint);
}

/* ---- the lock ---- */

static int complain_busy(const struct sqlite_folder *folder, int lock_fd,
                         struct complaint *complaint) {
    char text[24] = "";
    ssize_t size = pread(lock_fd, text, sizeof(text) - 1, 0);
    long pid = size > 0 ? strtol(text, NULL, 10) : 0;
    /* A number that names nobody was left by a process that was killed; who holds the lock
     * now (verify) writes none. */
    if (pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM)) {
        return complain(complaint, STATUS_BUSY,
                        "process %ld holds %s; stop it first, or choose another --data", pid,
                        folder->directory);
    }
    return complain(complaint, STATUS_BUSY,
                    "another process holds %s; stop it first, or choose another --data",
                    folder->directory);
}

/* The lock file, or -1 with errno. An existing_only open uses the one that is there, as it
 * is; where there is none it makes one for its own time, to keep a server out meanwhile. Never
 * through a symbolic link: lock_sign empties the file, and the folder may be another user's. */
static int lock_open(struct sqlite_folder *folder) {
    static const int flags = O_CLOEXEC | O_NOFOLLOW;
    if (!folder->existing_only) {
        return openat(folder->directory_fd, LOCK_NAME, O_RDWR | O_CREAT | flags, 0600);
    }
    int fd = openat(folder->directory_fd, LOCK_NAME, O_RDONLY | flags);
    if (fd < 0 && errno == ENOENT) {
        fd = openat(folder->directory_fd, LOCK_NAME, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
        folder->lock_is_ours = fd >= 0;
    }
    return fd;
}

int folder_names(const struct sqlite_folder *folder, const char *name, int fd) {
    struct stat locked;
    struct stat named;
    if (fstat(fd, &locked)) {
        return STATUS_IO;
    }
    if (fstatat(folder->directory_fd, name, &named, 0)) {
        return errno == ENOENT ? 0 : STATUS_IO;
    }
    return locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

/* Only a courtesy to whoever is refused, so a full disk may prevent it. */
static void lock_sign(int fd) {
    if (ftruncate(fd, 0) == 0) {
        dprintf(fd, "%ld\n", (long)getpid());
    }
}

static int lock_take(struct sqlite_folder *folder, struct complaint *complaint) {
    for (;;) {
        int fd = lock_open(folder);
        if (fd < 0 && errno == EEXIST) {
            continue;
        }
        if (fd < 0 && folder->existing_only && (errno == EROFS || errno == EACCES)) {
            return STATUS_OK; /* a folder nobody like us can write to needs no lock */
        }
        if (fd < 0) {
            return folder_fail("open " LOCK_NAME " in", folder->directory, complaint);
        }
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            int status = errno == EWOULDBLOCK
                             ? complain_busy(folder, fd, complaint)
                             : folder_fail("lock " LOCK_NAME " in", folder->directory, complaint);
            folder->lock_is_ours = false;
            close(fd);
            return status;
        }
        int named = folder_names(folder, LOCK_NAME, fd);
        if (named > 0) {
            folder->lock_fd = fd;
            if (!folder->existing_only) {
                lock_sign(fd);
            }
            return STATUS_OK;
        }
        int status = STATUS_OK;
        if (named < 0) {
            status = folder_fail("look at " LOCK_NAME " in", folder->directory, complaint);
        }
        close(fd);
        if (status < 0) {
            return status;
        }
        /* Its maker removed it between our open and our lock. */
    }
}

/* ---- the folder ---- */

/* Makes the folder if it is missing and its name durable in the one above. */
static int folder_make(const char *directory, struct complaint *complaint) {
    if (mkdir(directory, 0700)) {
        return errno == EEXIST ? STATUS_OK : folder_fail("make the folder", directory, complaint);
    }
    char above[FOLDER_PATH_SIZE];
    snprintf(above, sizeof(above), "%s/..", directory);
    int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return folder_fail("open the folder", above, complaint);
    }
    int status = sync_fd(fd, above, complaint);
    close(fd);
    return status;
}

int folder_has_database(const struct sqlite_folder *folder, struct complaint *complaint) {
    if (faccessat(folder->directory_fd, DATABASE_NAME, F_OK, 0) == 0) {
        return STATUS_OK;
    }
    return errno == ENOENT
               ? complain(complaint, STATUS_NOT_FOUND, "there is no " DATABASE_NAME " in %s",
                          folder->directory)
               : folder_fail("look for " DATABASE_NAME " in", folder->directory, complaint);
}

int folder_open(struct sqlite_folder *folder, const char *directory, bool existing_only,
                struct complaint *complaint) {
    assert(directory);
    *folder = (struct sqlite_folder){
        .directory_fd = -1, .lock_fd = -1, .hold_fd = -1, .existing_only = existing_only};
    if (strlen(directory) >= PATH_MAX) {
        return complain(complaint, STATUS_IO, "the path of the data folder is too long");
    }
    int status = existing_only ? STATUS_OK : folder_make(directory, complaint);
    if (status < 0) {
        return status;
    }
    folder->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->directory_fd < 0 && errno == ENOENT) {
        return complain(complaint, STATUS_NOT_FOUND, "there is no folder %s", directory);
    }
    if (folder->directory_fd < 0 || !realpath(directory, folder->directory)) {
        return folder_fail("open the folder", directory, complaint);
    }
    if (existing_only) {
        status = folder_has_database(folder, complaint);
    }
    return status < 0 ? status : lock_take(folder, complaint);
}

void folder_close(struct sqlite_folder *folder) {
    if (folder->lock_fd >= 0) {
        if (folder->lock_is_ours) {
            unlinkat(folder->directory_fd, LOCK_NAME, 0);
        } else if (!folder->existing_only && ftruncate(folder->lock_fd, 0)) {
            /* the number stays; who is refused later sees that it names nobody */
        }
        close(folder->lock_fd);
    }
    folder_hold_release(folder);
    if (folder->directory_fd >= 0) {
        close(folder->directory_fd);
    }
    folder->lock_fd = folder->directory_fd = -1;
}

void folder_path(const struct sqlite_folder *folder, const char *name,
                 char ret_path[static FOLDER_PATH_SIZE]) {
    int size = snprintf(ret_path, FOLDER_PATH_SIZE, "%s/%s", folder->directory, name);
    assert(size > 0 && size < FOLDER_PATH_SIZE);
}

int64_t folder_file_size(const struct sqlite_folder *folder, const char *name) {
    struct stat file;
    if (fstatat(folder->directory_fd, name, &file, 0) == 0) {
        return (int64_t)file.st_size;
    }
    return errno == ENOENT ? 0 : -1;
}

int folder_sync(const struct sqlite_folder *folder, struct complaint *complaint) {
    return sync_fd(folder->directory_fd, folder->directory, complaint);
}

/* ---- what lies there ---- */

static uint32_t big_endian_u32(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool header_has_magic(const unsigned char *header, size_t size) {
    static const char magic[16] = "SQLite format 3";
    return size == HEADER_SIZE && memcmp(header, magic, sizeof(magic)) == 0;
}

/* While the first page is folded a power cut may leave anything in its place: within the bytes
 * of a write that was not synced SQLite promises nothing (sqlite.org/psow.html). The WAL has the
 * page then, and whose it is the ledger asks by that (identity_check). */
static bool header_may_be_torn(const struct sqlite_folder *folder, const unsigned char *header,
                               size_t size) {
    return size == HEADER_SIZE && !header_has_magic(header, size) &&
           folder_file_size(folder, WAL_NAME) > WAL_HEADER_SIZE;
}

static int header_check(const struct sqlite_folder *folder, const unsigned char *header,
                        size_t size, struct complaint *complaint) {
    if (size == 0) {
        return complain(complaint, STATUS_DAMAGED,
                        "%s/" DATABASE_NAME " is empty, which a ledger never is: put a backup "
                        "back, or remove the file to start anew",
                        folder->directory);
    }
    if (header_may_be_torn(folder, header, size)) {
        return STATUS_OK;
    }
    if (!header_has_magic(header, size)) {
        return complain(complaint, STATUS_DAMAGED,
                        "%s/" DATABASE_NAME " is not an SQLite file: put a backup back, or "
                        "choose another --data",
                        folder->directory);
    }
    uint32_t application_id = big_endian_u32(header + HEADER_APPLICATION_ID);
    uint32_t version = big_endian_u32(header + HEADER_USER_VERSION);
    if (application_id != SQLITE_LEDGER_APPLICATION_ID || version == 0) {
        return complain(complaint, STATUS_DAMAGED,
                        "%s/" DATABASE_NAME " is an SQLite file, but not a ledger of coupon: "
                        "choose another --data",
                        folder->directory);
    }
    if (version > SQLITE_LEDGER_VERSION) {
        return complain(complaint, STATUS_NEWER,
                        "%s/" DATABASE_NAME " was written by a newer coupon (its schema is %u, "
                        "this program knows %u): run that version, or put an older backup back",
                        folder->directory, version, SQLITE_LEDGER_VERSION);
    }
    return STATUS_OK;
}

/* SQLite itself would read what is missing of the last page as zeros. While there is a WAL
 * the main file may rightly be shorter: a checkpoint was interrupted. */
static int length_check(const struct sqlite_folder *folder, const unsigned char *header,
                        struct complaint *complaint) {
    int64_t size = folder_file_size(folder, DATABASE_NAME);
    if (size < 0) {
        return folder_fail("look at " DATABASE_NAME " in", folder->directory, complaint);
    }
    int64_t page_size = header[HEADER_PAGE_SIZE] << 8 | header[HEADER_PAGE_SIZE + 1];
    page_size = page_size == 1 ? 65536 : page_size; /* as the format has it */
    int64_t page_count = big_endian_u32(header + HEADER_PAGE_COUNT);
    if (folder_file_size(folder, WAL_NAME) != 0 ||
        (size >= page_size * page_count && page_size > 0 && size % page_size == 0)) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_DAMAGED,
                    "%s/" DATABASE_NAME " was cut short: it has %lld bytes of %lld; put a backup "
                    "back",
                    folder->directory, (long long)size, (long long)(page_size * page_count));
}

/* Without a main file, SQLite would take a WAL that is there for one of the new file. */
static int without_database(const struct sqlite_folder *folder, struct complaint *complaint) {
    int64_t wal_size = folder_file_size(folder, WAL_NAME);
    int64_t journal_size = wal_size < 0 ? wal_size : folder_file_size(folder, JOURNAL_NAME);
    if (wal_size < 0 || journal_size < 0) {
        return folder_fail("look for what belongs to " DATABASE_NAME " in", folder->directory,
                           complaint);
    }
    if (wal_size > 0 || journal_size > 0) {
        return complain(complaint, STATUS_DAMAGED,
                        "%s has a -wal or -journal file but no " DATABASE_NAME ": put that back, "
                        "or move the rest away to start anew",
                        folder->directory);
    }
    return complain(complaint, STATUS_NOT_FOUND, "there is no " DATABASE_NAME " in %s",
                    folder->directory);
}

int folder_inspect(const struct sqlite_folder *folder, struct complaint *complaint) {
    int fd = openat(folder->directory_fd, DATABASE_NAME, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT
                   ? without_database(folder, complaint)
                   : folder_fail("open " DATABASE_NAME " in", folder->directory, complaint);
    }
    unsigned char header[HEADER_SIZE];
    ssize_t size = pread(fd, header, sizeof(header), 0);
    int status = size < 0 ? folder_fail("read " DATABASE_NAME " in", folder->directory, complaint)
                          : header_check(folder, header, (size_t)size, complaint);
    close(fd);
    if (status == STATUS_OK) {
        status = length_check(folder, header, complaint);
    }
    int64_t journal_size = status == STATUS_OK ? folder_file_size(folder, JOURNAL_NAME) : 0;
    if (journal_size < 0) {
        return folder_fail("look for " JOURNAL_NAME " in", folder->directory, complaint);
    }
    if (journal_size > 0) {
        /* The ledger never uses a rollback journal, and SQLite would play it back. */
        return complain(complaint, STATUS_DAMAGED,
                        "another program changed %s/" DATABASE_NAME " and did not finish (there "
                        "is a -journal file): put a backup back, or let sqlite3 repair it",
                        folder->directory);
    }
    return status;
}

/* ---- a new file ---- */

void folder_new_discard(const struct sqlite_folder *folder) {
    static const char *const names[] = {DATABASE_NEW_NAME, DATABASE_NEW_NAME "-wal",
                                        DATABASE_NEW_NAME "-journal"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unlinkat(folder->directory_fd, names[i], 0);
    }
}

int folder_bytes_write(int fd, const char *bytes, size_t size, int64_t at) {
    for (size_t done = 0; done < size;) {
        ssize_t written = pwrite(fd, bytes + done, size - done, (off_t)(at + (int64_t)done));
        if (written < 0 && errno != EINTR) {
            return STATUS_IO;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return STATUS_OK;
}

/* ---- the WAL ---- */

/* Byte by byte: where the file system could share the blocks instead (copy_file_range), the copy
 * would be no more on the disk than they are. */
static int wal_copy(int from, int to) {
    char part[PART_SIZE];
    int64_t at = 0;
    ssize_t size = 0;
    do {
        at += size;
        size = pread(from, part, sizeof(part), (off_t)at);
    } while (size > 0 && folder_bytes_write(to, part, (size_t)size, at) == STATUS_OK);
    return size == 0 ? STATUS_OK : STATUS_IO;
}

/* As SQLite does it; who may not give a file away keeps it, for himself alone. Negative, with
 * errno. */
static int rights_copy(int to, const struct stat *file) {
    struct stat made;
    if (fstat(to, &made)) {
        return STATUS_IO;
    }
    bool same = made.st_uid == file->st_uid && made.st_gid == file->st_gid;
    if (!same && fchown(to, file->st_uid, file->st_gid)) {
        return STATUS_OK;
    }
    return made.st_mode != file->st_mode && fchmod(to, file->st_mode & 0777) ? STATUS_IO
                                                                             : STATUS_OK;
}

/* The copy under its own name, with the rights of the one it is a copy of, synced. Negative, with
 * errno. */
static int wal_new_make(const struct sqlite_folder *folder, int from, const struct stat *file) {
    int to =
        openat(folder->directory_fd, WAL_NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool failed = to < 0 || rights_copy(to, file) < 0 || wal_copy(from, to) < 0 || fsync(to) != 0;
    int why = errno;
    if (to >= 0) {
        close(to);
    }
    errno = why;
    return failed ? STATUS_IO : STATUS_OK;
}

static int wal_replace(const struct sqlite_folder *folder, int from, const struct stat *file,
                       struct complaint *complaint) {
    unlinkat(folder->directory_fd, WAL_NEW_NAME, 0); /* a power cut left it */
    if (wal_new_make(folder, from, file) < 0 ||
        renameat(folder->directory_fd, WAL_NEW_NAME, folder->directory_fd, WAL_NAME)) {
        int status = folder_fail("make " WAL_NEW_NAME " in", folder->directory, complaint);
        unlinkat(folder->directory_fd, WAL_NEW_NAME, 0);
        return status;
    }
    return folder_sync(folder, complaint);
}

/* SQLite would not follow a link either. */
int folder_wal_renew(const struct sqlite_folder *folder, struct complaint *complaint) {
    static const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    assert(!folder->existing_only);
    int from = openat(folder->directory_fd, WAL_NAME, flags);
    if (from < 0 && errno == ENOENT) {
        return STATUS_OK;
    }
    struct stat file = {.st_size = 0};
    int status = STATUS_OK;
    if (from < 0 || fstat(from, &file)) {
        status = folder_fail("open " WAL_NAME " in", folder->directory, complaint);
    } else if (!S_ISREG(file.st_mode)) {
        status = complain(complaint, STATUS_IO, "%s/" WAL_NAME " is no file", folder->directory);
    } else if (file.st_size > 0) {
        status = wal_replace(folder, from, &file, complaint);
    }
    if (from >= 0) {
        close(from);
    }
    return status;
}

void folder_wal_discard_empty(const struct sqlite_folder *folder) {
    assert(!folder->existing_only);
    if (folder_file_size(folder, WAL_NAME) == 0) {
        unlinkat(folder->directory_fd, WAL_NAME, 0);
    }
}

int folder_new_begin(const struct sqlite_folder *folder, struct complaint *complaint) {
    assert(!folder->existing_only);
    folder_new_discard(folder);
    /* SQLite would make it readable for all; its WAL takes the mode of the main file. */
    int fd = openat(folder->directory_fd, DATABASE_NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                    0600);
    if (fd < 0) {
        return folder_fail("make " DATABASE_NEW_NAME " in", folder->directory, complaint);
    }
    close(fd);
    return STATUS_OK;
}

int folder_new_adopt(const struct sqlite_folder *folder, struct complaint *complaint) {
    assert(!folder->existing_only);
    if (renameat(folder->directory_fd, DATABASE_NEW_NAME, folder->directory_fd, DATABASE_NAME)) {
        return folder_fail("rename " DATABASE_NEW_NAME " in", folder->directory, complaint);
    }
    return folder_sync(folder, complaint);
}

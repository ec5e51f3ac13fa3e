/* A copy of the record while it is in use: `coupon backup`, through ledger.h.
 *
 * SQLite's own ways do not serve: the server's connection is the only one (sqlite_open.c),
 * and through it the writer's thread would have to read and write the whole copy while claims
 * wait. So another process copies the two files as they lie there, which is right because:
 *
 *   1  With the hold (sqlite_hold.c) nobody writes to coupon.db: its copy is what it was
 *      when the hold was taken, and every commit not folded by then is in coupon.db-wal.
 *   2  A commit adds frames behind the last committed one. Frames once committed are written
 *      over only after everything was folded, from the first on, with new salts in the WAL's
 *      header before any of them. Under the hold that can happen once, when all was folded
 *      before it began. The header is read before and after the copying of the WAL: if it is
 *      the same, no frame in the copy is older than another one before it.
 *   3  What a commit under way left half written in the copy has no valid chain of checksums
 *      up to a commit frame, so recovery stops before it, as after a power cut.
 *   4  If the hold was broken meanwhile, 1 and 2 say nothing, and it starts over.
 *
 * So the copy has every commit that was complete when it began, and some later ones, in order
 * and without a gap. It grows in TARGET/coupon.new; opening it as a ledger recovers the WAL
 * and folds it in; it is checked, and only then gets its name. A backup that was killed is
 * thus never taken for a whole one, and the next one removes what it left.
 *
 * Secrets beside the record (admin-token) are not copied. Not for: a process that has a ledger
 * in DIRECTORY open, whose lock (POSIX) SQLite would lose; tests may. */
#include "ledger/sqlite_ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_NAME  "coupon.new"
#define PIECE_SIZE ((size_t)1 << 20)
/* Each new attempt is due to a start of the server, a WAL at its limit, or a full disk. */
#define STARTS_OVER_MAX 3

struct backup {
    struct sqlite_folder source; /* never locked: a backup keeps no server from starting */
    char target[PATH_MAX];       /* without links, absolute */
    char work[FOLDER_PATH_SIZE];
    int target_fd;
    int work_fd;
    bool target_is_ours; /* made here: removed again after a failure */
    bool work_is_ours;
    char *piece; /* PIECE_SIZE */
    int64_t copied;
    int64_t total;
    int (*progress)(void *context, int64_t copied, int64_t total);
    void *context;
};

static int tell_progress(struct backup *backup, struct complaint *complaint) {
    int status = backup->progress ? backup->progress(backup->context, backup->copied, backup->total)
                                  : STATUS_OK;
    return status < 0 ? complain(complaint, status, "the backup was interrupted") : STATUS_OK;
}

/* ---- where from, where to ---- */

static int source_open(struct backup *backup, const char *directory, struct complaint *complaint) {
    struct sqlite_folder *source = &backup->source;
    if (strlen(directory) >= PATH_MAX) {
        return complain(complaint, STATUS_IO, "the path of the data folder is too long");
    }
    source->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source->directory_fd < 0 && errno == ENOENT) {
        return complain(complaint, STATUS_NOT_FOUND, "there is no folder %s", directory);
    }
    if (source->directory_fd < 0 || !realpath(directory, source->directory)) {
        return folder_fail("open the folder", directory, complaint);
    }
    return folder_has_database(source, complaint);
}

/* Whether the folder is DIRECTORY or lies somewhere in it. Negative, with errno: it cannot be
 * told. */
static int lies_in_source(const struct backup *backup, int folder_fd) {
    struct stat source;
    struct stat at = {.st_ino = 0};
    struct stat below;
    bool inside = false;
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool failed = fstat(backup->source.directory_fd, &source) != 0;
    do {
        below = at;
        failed = failed || fd < 0 || fstat(fd, &at) != 0;
        inside = !failed && at.st_dev == source.st_dev && at.st_ino == source.st_ino;
        int above = failed || inside ? -1 : openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        failed = failed || (!inside && above < 0);
        int why = errno;
        close(fd);
        errno = why;
        fd = above;
    } while (!failed && !inside && (at.st_dev != below.st_dev || at.st_ino != below.st_ino));
    if (fd >= 0) {
        close(fd);
    }
    return failed ? STATUS_IO : inside;
}

/* Whether there is a name in the folder other than `allowed`. Negative, with errno: it cannot be
 * told. */
static int has_other_than(int folder_fd, const char *allowed) {
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    const struct dirent *entry;
    if (!names) {
        int unopened = errno;
        if (fd >= 0) {
            close(fd);
        }
        errno = unopened;
        return STATUS_IO;
    }
    errno = 0;
    while (!found && (entry = readdir(names)) != NULL) {
        found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                strcmp(entry->d_name, allowed) != 0;
    }
    int why = errno; /* the end of the names is none */
    closedir(names);
    errno = why;
    return found ? 1 : why ? STATUS_IO : 0;
}

static int target_check(const struct backup *backup, struct complaint *complaint) {
    int inside = lies_in_source(backup, backup->target_fd);
    int used = inside < 0 ? inside : has_other_than(backup->target_fd, WORK_NAME);
    if (inside < 0 || used < 0) {
        return folder_fail("look at the folder", backup->target, complaint);
    }
    if (inside) {
        return complain(complaint, STATUS_INVALID,
                        "%s is the data folder or lies in it: choose another place",
                        backup->target);
    }
    if (used) {
        return complain(complaint, STATUS_EXISTS,
                        "%s is not empty: name a folder that does not exist yet", backup->target);
    }
    return STATUS_OK;
}

static int target_open(struct backup *backup, const char *target, struct complaint *complaint) {
    backup->target_is_ours = mkdir(target, 0700) == 0;
    if (!backup->target_is_ours && errno != EEXIST) {
        return folder_fail("make the folder", target, complaint);
    }
    backup->target_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (backup->target_fd < 0 || !realpath(target, backup->target)) {
        return folder_fail("open the folder", target, complaint);
    }
    int size = snprintf(backup->work, sizeof(backup->work), "%s/" WORK_NAME, backup->target);
    assert(size > 0 && (size_t)size < sizeof(backup->work));
    return target_check(backup, complaint);
}

static void work_clear(const struct backup *backup) {
    static const char *const names[] = {DATABASE_NAME, WAL_NAME, LOCK_NAME, HOLD_NAME};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unlinkat(backup->work_fd, names[i], 0);
    }
}

/* The folder where the copy grows, for us alone, emptied of what a killed backup left. */
static int work_open(struct backup *backup, struct complaint *complaint) {
    backup->work_is_ours = mkdirat(backup->target_fd, WORK_NAME, 0700) == 0;
    if (!backup->work_is_ours && errno != EEXIST) {
        return folder_fail("make the folder", backup->work, complaint);
    }
    backup->work_fd =
        openat(backup->target_fd, WORK_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (backup->work_fd < 0) {
        return folder_fail("open the folder", backup->work, complaint);
    }
    if (flock(backup->work_fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK) {
            return folder_fail("lock the folder", backup->work, complaint);
        }
        backup->work_is_ours = false; /* though made here */
        return complain(complaint, STATUS_BUSY, "another backup is being made in %s",
                        backup->target);
    }
    backup->work_is_ours = true;
    work_clear(backup);
    int used = has_other_than(backup->work_fd, ".");
    if (used < 0) {
        return folder_fail("look at the folder", backup->work, complaint);
    }
    if (used) {
        backup->work_is_ours = false;
        return complain(complaint, STATUS_EXISTS, "%s is not empty: remove it first", backup->work);
    }
    return target_check(backup, complaint); /* nobody was faster than our lock */
}

/* ---- copying ---- */

static int piece_write(const struct backup *backup, int fd, size_t size, int64_t at,
                       struct complaint *complaint) {
    if (folder_bytes_write(fd, backup->piece, size, at)) {
        return folder_fail("write to", backup->work, complaint);
    }
    /* The disk begins now, so that no fsync of the server's has to wait for all of it. */
    (void)sync_file_range(fd, (off_t)at, (off_t)size, SYNC_FILE_RANGE_WRITE);
    return STATUS_OK;
}

/* As many bytes as `from` has at the beginning; it may grow, and be cut when the hold breaks. */
static int bytes_copy(struct backup *backup, int from, int to, struct complaint *complaint) {
    struct stat file;
    if (fstat(from, &file)) {
        return folder_fail("read from", backup->source.directory, complaint);
    }
    (void)posix_fadvise(from, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (int64_t at = 0; at < file.st_size;) {
        int64_t left = file.st_size - at;
        size_t wanted = left < (int64_t)PIECE_SIZE ? (size_t)left : PIECE_SIZE;
        ssize_t size = pread(from, backup->piece, wanted, (off_t)at);
        if (size < 0 && errno != EINTR) {
            return folder_fail("read from", backup->source.directory, complaint);
        }
        if (size == 0) {
            break;
        }
        int status = size > 0 ? piece_write(backup, to, (size_t)size, at, complaint) : STATUS_OK;
        at += size > 0 ? size : 0;
        backup->copied += size > 0 ? size : 0;
        if (status == STATUS_OK) {
            status = tell_progress(backup, complaint);
        }
        if (status < 0) {
            return status;
        }
    }
    return STATUS_OK;
}

static int copy_begin(const struct backup *backup, const char *name, int *ret_to,
                      struct complaint *complaint) {
    *ret_to =
        openat(backup->work_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *ret_to < 0 ? folder_fail("write to", backup->work, complaint) : STATUS_OK;
}

static int database_copy(struct backup *backup, int *ret_to, struct complaint *complaint) {
    int from = openat(backup->source.directory_fd, DATABASE_NAME, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        return folder_fail("open " DATABASE_NAME " in", backup->source.directory, complaint);
    }
    int status = copy_begin(backup, DATABASE_NAME, ret_to, complaint);
    if (status == STATUS_OK) {
        status = bytes_copy(backup, from, *ret_to, complaint);
    }
    close(from);
    return status;
}

struct wal_header {
    unsigned char bytes[WAL_HEADER_SIZE]; /* zeros where the file is shorter */
};

static struct wal_header wal_header_read(int fd) {
    struct wal_header header = {{0}};
    (void)!pread(fd, header.bytes, sizeof(header.bytes), 0);
    return header;
}

static bool wal_header_equal(const struct wal_header *a, const struct wal_header *b) {
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Point 2 above. Changing twice it shows a broken hold: STATUS_CONFLICT. */
static int wal_bytes_copy(struct backup *backup, int from, int to, struct complaint *complaint) {
    for (int turn = 0; turn < 2; turn++) {
        int64_t copied = backup->copied;
        struct wal_header before = wal_header_read(from);
        int status = bytes_copy(backup, from, to, complaint);
        if (status < 0) {
            return status;
        }
        struct wal_header after = wal_header_read(from);
        struct wal_header copy = wal_header_read(to);
        if (wal_header_equal(&before, &after) && wal_header_equal(&before, &copy)) {
            return STATUS_OK;
        }
        backup->copied = copied;
        if (ftruncate(to, 0)) {
            return folder_fail("write to", backup->work, complaint);
        }
    }
    return complain(complaint, STATUS_CONFLICT, "the WAL was started over twice");
}

/* Without a WAL, or with an empty one, coupon.db has everything. */
static int wal_copy(struct backup *backup, int *ret_to, struct complaint *complaint) {
    int from = openat(backup->source.directory_fd, WAL_NAME, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        return errno == ENOENT
                   ? STATUS_OK
                   : folder_fail("open " WAL_NAME " in", backup->source.directory, complaint);
    }
    int status = copy_begin(backup, WAL_NAME, ret_to, complaint);
    if (status == STATUS_OK) {
        status = wal_bytes_copy(backup, from, *ret_to, complaint);
    }
    close(from);
    return status;
}

/* The hold is given back before the copies are synced: that may take as long as copying. */
static int copy_under_hold(struct backup *backup, int *ret_database, int *ret_wal,
                           struct complaint *complaint) {
    struct sqlite_folder *source = &backup->source;
    int status = folder_hold_take(source, complaint);
    if (status < 0) {
        return status;
    }
    status = folder_inspect(source, complaint);
    backup->copied = 0;
    backup->total = folder_file_size(source, DATABASE_NAME) + folder_file_size(source, WAL_NAME);
    if (status == STATUS_OK) {
        status = database_copy(backup, ret_database, complaint);
    }
    if (status == STATUS_OK) {
        status = wal_copy(backup, ret_wal, complaint);
    }
    /* What looks damaged may be a fold that did not wait. */
    if ((status == STATUS_OK || status == STATUS_DAMAGED) && !folder_hold_is_whole(source)) {
        status = STATUS_CONFLICT;
    }
    folder_hold_release(source);
    return status;
}

static int copy_once(struct backup *backup, struct complaint *complaint) {
    int database = -1;
    int wal = -1;
    work_clear(backup);
    int status = copy_under_hold(backup, &database, &wal, complaint);
    if (status == STATUS_OK && (fsync(database) || (wal >= 0 && fsync(wal)))) {
        status = folder_fail("make durable what is in", backup->work, complaint);
    }
    if (database >= 0) {
        close(database);
    }
    if (wal >= 0) {
        close(wal);
    }
    return status;
}

static int copy_files(struct backup *backup, struct complaint *complaint) {
    for (int attempt = 0; attempt <= STARTS_OVER_MAX; attempt++) {
        int status = copy_once(backup, complaint);
        if (status != STATUS_CONFLICT) {
            return status;
        }
    }
    return complain(complaint, STATUS_CONFLICT,
                    "the server could not wait for the backup %d times (event=backup-broken in its "
                    "log): try again when there is less to do, or let it keep more in its log "
                    "(--backup-log-max)",
                    STARTS_OVER_MAX + 1);
}

/* ---- from two copied files to a ledger ---- */

/* Called by SQLite while it works on the copy. */
static int give_up(void *context) {
    struct backup *backup = context;
    return tell_progress(backup, NULL) < 0;
}

static int copy_check(struct backup *backup, struct ledger *ledger, struct complaint *complaint) {
    enum { STEPS = 100000 }; /* of SQLite's machine, less than a millisecond */
    sqlite3_progress_handler(sqlite_of(ledger)->db, STEPS, give_up, backup);
    int status = ledger_check(ledger, complaint);
    sqlite3_progress_handler(sqlite_of(ledger)->db, 0, NULL, NULL);
    return status;
}

/* Opening recovers the WAL and folds it; closing leaves one file. */
static int copy_complete(struct backup *backup, struct complaint *complaint) {
    struct ledger_sqlite_options options = {
        .directory = backup->work, .no_new = true, .synced = true};
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(&options, &ledger, complaint);
    if (status == STATUS_OK) {
        status = copy_check(backup, ledger, complaint);
        int closed = ledger_close(ledger, status == STATUS_OK ? complaint : NULL);
        status = status == STATUS_OK ? closed : status;
    }
    int stopped = tell_progress(backup, NULL);
    return stopped < 0 ? tell_progress(backup, complaint) : status;
}

/* The copy's name makes it a backup; then both folders are made durable. */
static int copy_adopt(struct backup *backup, struct complaint *complaint) {
    if (renameat(backup->work_fd, DATABASE_NAME, backup->target_fd, DATABASE_NAME)) {
        return folder_fail("rename " DATABASE_NAME " in", backup->work, complaint);
    }
    work_clear(backup);
    unlinkat(backup->target_fd, WORK_NAME, AT_REMOVEDIR);
    int above = openat(backup->target_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool durable = fsync(backup->target_fd) == 0 && above >= 0 && fsync(above) == 0;
    int status =
        durable ? STATUS_OK : folder_fail("make durable the folder", backup->target, complaint);
    if (above >= 0) {
        close(above);
    }
    if (status < 0) {
        unlinkat(backup->target_fd, DATABASE_NAME, 0);
    }
    return status;
}

static void backup_close(struct backup *backup, const char *target, bool failed) {
    if (failed && backup->work_is_ours) {
        work_clear(backup);
        unlinkat(backup->target_fd, WORK_NAME, AT_REMOVEDIR);
    }
    if (failed && backup->target_is_ours) {
        rmdir(target); /* only if it is empty */
    }
    if (backup->work_fd >= 0) {
        close(backup->work_fd);
    }
    if (backup->target_fd >= 0) {
        close(backup->target_fd);
    }
    folder_close(&backup->source);
    free(backup->piece);
    free(backup);
}

int ledger_sqlite_backup(const char *directory, const char *target,
                         int (*progress)(void *context, int64_t copied, int64_t total),
                         void *context, struct complaint *complaint) {
    assert(directory && target);
    struct backup *backup = calloc(1, sizeof(*backup));
    if (!backup) {
        return complain(complaint, STATUS_NO_MEMORY, "no memory for a backup");
    }
    *backup = (struct backup){
        .source = {.directory_fd = -1, .lock_fd = -1, .hold_fd = -1, .existing_only = true},
        .target_fd = -1,
        .work_fd = -1,
        .piece = malloc(PIECE_SIZE),
        .progress = progress,
        .context = context,
    };
    int status = backup->piece ? source_open(backup, directory, complaint)
                               : complain(complaint, STATUS_NO_MEMORY, "no memory for a backup");
    if (status == STATUS_OK) {
        status = target_open(backup, target, complaint);
    }
    if (status == STATUS_OK) {
        status = work_open(backup, complaint);
    }
    if (status == STATUS_OK) {
        status = copy_files(backup, complaint);
    }
    if (status == STATUS_OK) {
        status = copy_complete(backup, complaint);
    }
    if (status == STATUS_OK) {
        status = copy_adopt(backup, complaint);
    }
    backup_close(backup, target, status < 0);
    return status;
}

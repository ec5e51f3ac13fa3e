/* The hold: what keeps the main file still while a backup copies it, for the backup and for
 * whoever folds the WAL.
 *
 * With a WAL only a checkpoint writes to the main file, and only the commit after a complete
 * one writes over frames of the WAL. So while nothing is folded both files can be copied by
 * reading them, and commits go on. DIRECTORY/coupon.hold is an empty file for its lock:
 *
 *   backup   flock(LOCK_SH), waiting; kept while it copies
 *   ledger   flock(LOCK_EX | LOCK_NB) for one fold; refused: folds another time
 *
 * A lock ends with its process, so there is no stale hold. A fold that cannot wait (a start,
 * a WAL at its limit, a full disk) overrules it: the ledger removes the name, makes a new
 * file and locks that. The backup then finds that its lock is on a file without a name, and
 * knows its copy for a mixture. That needs no room on the disk, cannot be missed, and nothing
 * the backup does or fails to do can keep the server from folding.
 *
 * The file stays when all is closed. existing_only opens fold nothing and do not look at it. */
#include "ledger/sqlite_ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOLD_NEW_NAME HOLD_NAME ".new"

void folder_hold_release(struct sqlite_folder *folder) {
    if (folder->hold_fd >= 0) {
        close(folder->hold_fd); /* its lock goes with it */
    }
    folder->hold_fd = -1;
}

/* STATUS_CONFLICT: the file we have locked bears the name no more. */
static int hold_is_named(const struct sqlite_folder *folder, struct complaint *complaint) {
    int named = folder_names(folder, HOLD_NAME, folder->hold_fd);
    return named < 0   ? folder_fail("look at " HOLD_NAME " in", folder->directory, complaint)
           : named > 0 ? STATUS_OK
                       : STATUS_CONFLICT;
}

/* ---- the backup's side ---- */

/* Owned as the main file is: root makes backups too, and the server must be able to open it.
 * It appears under its name when it is complete. */
static int hold_make(const struct sqlite_folder *folder, bool *ret_read_only,
                     struct complaint *complaint) {
    struct stat database;
    struct stat made;
    *ret_read_only = false;
    if (fstatat(folder->directory_fd, DATABASE_NAME, &database, 0)) {
        return errno == ENOENT
                   ? complain(complaint, STATUS_NOT_FOUND, "there is no " DATABASE_NAME " in %s",
                              folder->directory)
                   : folder_fail("look at " DATABASE_NAME " in", folder->directory, complaint);
    }
    unlinkat(folder->directory_fd, HOLD_NEW_NAME, 0); /* of a backup that was killed */
    int fd = openat(folder->directory_fd, HOLD_NEW_NAME,
                    O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool made_it =
        fd >= 0 && fstat(fd, &made) == 0 &&
        (made.st_uid == database.st_uid || fchown(fd, database.st_uid, database.st_gid) == 0) &&
        linkat(folder->directory_fd, HOLD_NEW_NAME, folder->directory_fd, HOLD_NAME, 0) == 0;
    /* EEXIST and ENOENT: another backup does the same at this moment. */
    bool failed = !made_it && errno != EEXIST && errno != ENOENT;
    *ret_read_only = failed && errno == EROFS;
    int status =
        failed ? folder_fail("make " HOLD_NAME " in", folder->directory, complaint) : STATUS_OK;
    if (fd >= 0) {
        unlinkat(folder->directory_fd, HOLD_NEW_NAME, 0);
        close(fd);
    }
    return status;
}

/* Takes the lock on the file that bears the name now; STATUS_CONFLICT: it bears it no more.
 * In a folder that cannot be written to, whoever could fold could not write either: no lock. */
static int hold_try(struct sqlite_folder *folder, struct complaint *complaint) {
    folder->hold_fd = openat(folder->directory_fd, HOLD_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (folder->hold_fd < 0 && errno == ENOENT) {
        bool read_only;
        int status = hold_make(folder, &read_only, complaint);
        return read_only ? STATUS_OK : status == STATUS_OK ? STATUS_CONFLICT : status;
    }
    if (folder->hold_fd < 0) {
        return folder_fail("open " HOLD_NAME " in", folder->directory, complaint);
    }
    if (flock(folder->hold_fd, LOCK_SH)) {
        return errno == EINTR ? complain(complaint, STATUS_STOPPED, "interrupted")
                              : folder_fail("lock " HOLD_NAME " in", folder->directory, complaint);
    }
    return hold_is_named(folder, complaint);
}

int folder_hold_take(struct sqlite_folder *folder, struct complaint *complaint) {
    assert(folder->hold_fd < 0);
    for (;;) {
        int status = hold_try(folder, complaint);
        if (status == STATUS_OK) {
            return STATUS_OK;
        }
        folder_hold_release(folder);
        if (status != STATUS_CONFLICT) {
            return status;
        }
    }
}

bool folder_hold_is_whole(const struct sqlite_folder *folder) {
    return folder->hold_fd < 0 || folder_names(folder, HOLD_NAME, folder->hold_fd) > 0;
}

/* ---- the ledger's side ---- */

/* STATUS_BUSY: a backup has the lock; the file stays open. */
static int fold_try(struct sqlite_folder *folder, struct complaint *complaint) {
    if (folder->hold_fd < 0) {
        folder->hold_fd = openat(folder->directory_fd, HOLD_NAME,
                                 O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (folder->hold_fd < 0) {
        return folder_fail("open " HOLD_NAME " in", folder->directory, complaint);
    }
    if (flock(folder->hold_fd, LOCK_EX | LOCK_NB)) {
        return errno == EWOULDBLOCK
                   ? complain(complaint, STATUS_BUSY, "a backup holds %s", folder->directory)
                   : folder_fail("lock " HOLD_NAME " in", folder->directory, complaint);
    }
    return hold_is_named(folder, complaint);
}

static int fold_begin(struct sqlite_folder *folder, bool overrule, bool *ret_overruled,
                      struct complaint *complaint) {
    for (;;) {
        int status = fold_try(folder, complaint);
        if (status == STATUS_OK || (status == STATUS_BUSY && !overrule)) {
            return status;
        }
        if (status == STATUS_BUSY) {
            if (unlinkat(folder->directory_fd, HOLD_NAME, 0) && errno != ENOENT) {
                return folder_fail("remove " HOLD_NAME " in", folder->directory, complaint);
            }
            *ret_overruled = true;
        } else if (status != STATUS_CONFLICT) {
            return status;
        }
        folder_hold_release(folder); /* and again, with the file that bears the name then */
    }
}

int sqlite_fold_begin(struct sqlite_ledger *ledger, bool overrule, struct complaint *complaint) {
    assert(!ledger->existing_only);
    bool overruled = false;
    bool was_held = ledger->held;
    int status = fold_begin(&ledger->folder, overrule, &overruled, complaint);
    ledger->held = status == STATUS_BUSY;
    if (ledger->held_changed && (overruled || (ledger->held && !was_held))) {
        ledger->held_changed(ledger->held_context, overruled,
                             folder_file_size(&ledger->folder, WAL_NAME));
    }
    return status;
}

void sqlite_fold_end(struct sqlite_ledger *ledger) {
    if (flock(ledger->folder.hold_fd, LOCK_UN)) {
        folder_hold_release(&ledger->folder); /* its lock goes with it */
    }
}

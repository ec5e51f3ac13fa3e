/* Opening and closing the SQLite ledger: settings, recovery, what is verified before the
 * first call. For the issuer and verify, through ledger.h.
 *
 * Debian's SQLite 3.40 can lose commits when two connections reset a WAL at once, so there
 * is one connection, it holds the file exclusively, and it alone checkpoints. Exclusive also
 * means that the wal-index is on the heap: there is no -shm file. */
#include "ledger/sqlite_ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define URI_SIZE (3 * FOLDER_PATH_SIZE + 32)
/* How long the WAL may get for a backup's sake, unless the options say otherwise. */
#define HELD_SIZE_MAX (INT64_C(1) << 30)

static const struct ledger_operations sqlite_operations = {
    .close = sqlite_close,
    .latest_us = sqlite_latest_us,
    .append = sqlite_append,
    .import = sqlite_import,
    .coupon_create = sqlite_coupon_create,
    .creation_read = sqlite_creation_read,
    .coupon_change = sqlite_coupon_change,
    .coupon_read = sqlite_coupon_read,
    .coupons_read = sqlite_coupons_read,
    .issue_read = sqlite_issue_read,
    .issues_read = sqlite_issues_read,
    .audits_read = sqlite_audits_read,
    .visit = sqlite_visit,
    .probe = sqlite_probe,
    .tend = sqlite_tend,
    .check = sqlite_check,
};

/* ---- settings ---- */

struct setting {
    const char *text;
    const char *answer; /* what SQLite must say; NULL: nothing that matters */
};

/* Before the first look at the file, which is where the wal-index's place is decided. */
static const struct setting settings_first[] = {
    {"PRAGMA locking_mode = EXCLUSIVE", "exclusive"},
    {"PRAGMA trusted_schema = OFF", NULL},
    {"PRAGMA cell_size_check = ON", NULL},
    {"PRAGMA mmap_size = 0", NULL},
    {"PRAGMA cache_size = -16384", NULL}, /* KiB: the right edges and the coupons */
    {"PRAGMA temp_store = MEMORY", NULL},
};

/* Durability (I3). SQLite answers, and the answer is compared: asking is not having. */
static const struct setting settings_writing[] = {
    {"PRAGMA journal_mode = WAL", "wal"},
    {"PRAGMA synchronous = FULL", NULL},
    {"PRAGMA synchronous", "2"},
    {"PRAGMA wal_autocheckpoint = 0", "0"}, /* sqlite_tend decides when */
    {"PRAGMA journal_size_limit = -1", NULL},
    {"PRAGMA secure_delete = OFF", NULL}, /* nothing here is a secret that was deleted */
    {"PRAGMA foreign_keys = OFF", NULL},  /* sqlite_append names the coupon of every row */
};

static const struct setting settings_reading[] = {
    {"PRAGMA query_only = ON", NULL},
};

/* Whether the statement's row says what it must. */
static int setting_compare(struct sqlite_ledger *ledger, const struct setting *setting,
                           sqlite3_stmt *statement, struct complaint *complaint) {
    const char *answer = (const char *)sqlite3_column_text(statement, 0);
    if (!setting->answer || (answer && strcmp(answer, setting->answer) == 0)) {
        return STATUS_OK;
    }
    return complain(complaint, STATUS_IO,
                    "%s cannot hold a ledger: SQLite answers %s to %s (a network or read-only "
                    "file system?)",
                    ledger->folder.directory, answer ? answer : "nothing", setting->text);
}

static int setting_apply(struct sqlite_ledger *ledger, const struct setting *setting,
                         struct complaint *complaint) {
    sqlite3_stmt *statement = NULL;
    bool answered = setting->answer == NULL;
    int status = STATUS_OK;
    int result = sqlite3_prepare_v2(ledger->db, setting->text, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    if (result == SQLITE_ROW) {
        answered = true;
        status = setting_compare(ledger, setting, statement, complaint);
        /* The row comes before the change is committed, which may fail yet. */
        result = sqlite3_step(statement);
    }
    if (result != SQLITE_DONE) {
        status = sqlite_fail(ledger, result, "prepare", complaint);
    }
    sqlite3_finalize(statement);
    assert(status < 0 || answered);
    return status;
}

static int settings_apply(struct sqlite_ledger *ledger, const struct setting *settings,
                          size_t count, struct complaint *complaint) {
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = setting_apply(ledger, &settings[i], complaint);
    }
    return status;
}

/* ---- the connection ---- */

/* Told by SQLite after every commit. */
static int wal_grew(void *context, sqlite3 *db, const char *name, int frames) {
    struct sqlite_ledger *ledger = context;
    assert(ledger->db == db);
    (void)name;
    ledger->wal_frames = frames;
    return SQLITE_OK;
}

/* "file:///…?immutable=1": SQLite reads the main file only and makes, locks and writes
 * nothing. Right when there is no WAL to read and our own lock keeps writers out. */
static void uri_immutable(const char *path, char ret_uri[static URI_SIZE]) {
    size_t size = (size_t)snprintf(ret_uri, URI_SIZE, "file://");
    for (const char *byte = path; *byte; byte++) {
        bool plain = strchr("?#%", *byte) == NULL;
        size += (size_t)snprintf(ret_uri + size, URI_SIZE - size, plain ? "%c" : "%%%02X",
                                 (unsigned char)*byte);
    }
    size += (size_t)snprintf(ret_uri + size, URI_SIZE - size, "?immutable=1");
    assert(size < URI_SIZE);
}

/* Closing must not fold or remove a WAL before the file is known to be ours, nor after an
 * ambiguous failure, nor ever for verify. */
static void wal_keep(struct sqlite_ledger *ledger, int keep) {
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep, NULL);
    sqlite3_file_control(ledger->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
}

static int connection_open(struct sqlite_ledger *ledger, const char *name, const char *vfs,
                           struct complaint *complaint) {
    assert(!ledger->db);
    char path[FOLDER_PATH_SIZE];
    char uri[URI_SIZE];
    folder_path(&ledger->folder, name, path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int64_t wal_size = folder_file_size(&ledger->folder, WAL_NAME);
    if (wal_size < 0) {
        return folder_fail("look for " WAL_NAME " in", ledger->folder.directory, complaint);
    }
    bool immutable = ledger->existing_only && wal_size == 0;
    if (immutable) {
        uri_immutable(path, uri);
        flags |= SQLITE_OPEN_URI;
    }
    int result = sqlite3_open_v2(immutable ? uri : path, &ledger->db, flags, vfs);
    if (result != SQLITE_OK) {
        return sqlite_fail(ledger, result, "open", complaint);
    }
    wal_keep(ledger, 1);
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* Nothing of ours: one that somebody put into the file could undo what is promised. */
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_file *file = NULL;
    sqlite3_file_control(ledger->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    assert(file && file->pMethods);
    ledger->pads_frames =
        (file->pMethods->xDeviceCharacteristics(file) & SQLITE_IOCAP_POWERSAFE_OVERWRITE) == 0;
    return settings_apply(ledger, settings_first, COUNT_OF(settings_first), complaint);
}

/* What folder_inspect read from the main file may be older than what the WAL holds. */
static int identity_check(struct sqlite_ledger *ledger, struct complaint *complaint) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(ledger->db,
                                    "SELECT application_id, user_version FROM "
                                    "pragma_application_id, pragma_user_version",
                                    -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    int64_t application_id = 0;
    int64_t version = 0;
    if (result == SQLITE_ROW) {
        application_id = sqlite3_column_int64(statement, 0);
        version = sqlite3_column_int64(statement, 1);
    }
    int status = result == SQLITE_ROW ? STATUS_OK : sqlite_fail(ledger, result, "read", complaint);
    sqlite3_finalize(statement);
    if (status < 0) {
        return status;
    }
    if (application_id != SQLITE_LEDGER_APPLICATION_ID || version < 1) {
        return complain(complaint, STATUS_DAMAGED,
                        "%s/" DATABASE_NAME " and its -wal file do not belong together: put a "
                        "backup back",
                        ledger->folder.directory);
    }
    if (version > SQLITE_LEDGER_VERSION) {
        return complain(complaint, STATUS_NEWER,
                        "a newer coupon began to use %s/" DATABASE_NAME " (schema %d, this "
                        "program knows %u): run that version",
                        ledger->folder.directory, (int)version, SQLITE_LEDGER_VERSION);
    }
    if (version < SQLITE_LEDGER_VERSION && ledger->existing_only) {
        return complain(complaint, STATUS_CONFLICT,
                        "%s/" DATABASE_NAME " is of an older version: start the server on it once",
                        ledger->folder.directory);
    }
    return STATUS_OK;
}

int sqlite_fold(struct sqlite_ledger *ledger, struct complaint *complaint) {
    int frames = -1;
    int folded = -1;
    int result =
        sqlite3_wal_checkpoint_v2(ledger->db, "main", SQLITE_CHECKPOINT_TRUNCATE, &frames, &folded);
    if (result != SQLITE_OK) {
        return sqlite_fail(ledger, result, "fold the WAL into", complaint);
    }
    if (frames != 0 || folded != 0) {
        return complain(complaint, STATUS_BUSY, "%d of %d pages of the WAL could not be folded in",
                        frames - folded, frames);
    }
    ledger->wal_frames = 0;
    ledger->wal_frames_retry = 0;
    return STATUS_OK;
}

/* What recovery found in the WAL, which is on the disk by now (sqlite_vfs.c), is in the main file
 * and synced before anything is believed. A backup starts over then: nobody's start waits for
 * one. */
static int fold_recovered(struct sqlite_ledger *ledger, struct complaint *complaint) {
    int status = sqlite_fold_begin(ledger, true, complaint);
    if (status == STATUS_OK) {
        FAILPOINT("sqlite-recovered");
        status = sqlite_fold(ledger, complaint);
        FAILPOINT("sqlite-folded");
        sqlite_fold_end(ledger);
    }
    return status;
}

/* From a connection to a file that is ours to one that writes durably. */
static int connection_make_durable(struct sqlite_ledger *ledger, struct complaint *complaint) {
    int status = settings_apply(ledger, settings_writing, COUNT_OF(settings_writing), complaint);
    if (status == STATUS_OK) {
        sqlite3_wal_hook(ledger->db, wal_grew, ledger);
        status = sqlite_migrate(ledger, sqlite_migrations, SQLITE_LEDGER_VERSION, complaint);
    }
    if (status == STATUS_OK) {
        status = fold_recovered(ledger, complaint);
    }
    return status;
}

/* ---- a new ledger ---- */

static int connection_close(struct sqlite_ledger *ledger, struct complaint *complaint) {
    sqlite_statements_finalize(ledger);
    int result = sqlite3_close(ledger->db);
    assert(result != SQLITE_BUSY); /* every statement was finalized */
    ledger->db = NULL;
    return result == SQLITE_OK ? STATUS_OK : sqlite_fail(ledger, result, "close", complaint);
}

static int ledger_make(struct sqlite_ledger *ledger, const char *vfs, struct complaint *complaint) {
    int status = folder_new_begin(&ledger->folder, complaint);
    if (status == STATUS_OK) {
        status = connection_open(ledger, DATABASE_NEW_NAME, vfs, complaint);
    }
    if (status == STATUS_OK) {
        status = connection_make_durable(ledger, complaint);
    }
    if (status == STATUS_OK) {
        wal_keep(ledger, 0);
    }
    int closed = connection_close(ledger, status == STATUS_OK ? complaint : NULL);
    status = status == STATUS_OK ? closed : status;
    if (status == STATUS_OK) {
        status = folder_new_adopt(&ledger->folder, complaint);
    }
    if (status < 0) {
        folder_new_discard(&ledger->folder);
    }
    return status;
}

/* ---- open ---- */

static int ledger_begin(struct sqlite_ledger *ledger, const struct ledger_sqlite_options *options,
                        struct complaint *complaint) {
    int status = folder_inspect(&ledger->folder, complaint);
    const char *vfs = ledger->vfs.name;
    int registered = sqlite_vfs_register(&ledger->vfs, options->vfs, complaint);
    status = registered < 0 ? registered : status;
    if (status == STATUS_NOT_FOUND && !ledger->existing_only && !options->no_new) {
        status = ledger_make(ledger, vfs, complaint);
    }
    if (status == STATUS_OK) {
        ledger->vfs.renews = ledger->existing_only || options->synced ? NULL : &ledger->folder;
        status = connection_open(ledger, DATABASE_NAME, vfs, complaint);
    }
    if (status == STATUS_OK) {
        status = identity_check(ledger, complaint);
    }
    if (status == STATUS_OK && ledger->existing_only) {
        status = settings_apply(ledger, settings_reading, COUNT_OF(settings_reading), complaint);
    } else if (status == STATUS_OK) {
        status = connection_make_durable(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = sqlite_rows_register(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = sqlite_statements_prepare(ledger, complaint);
    }
    if (status == STATUS_OK && !ledger->existing_only) {
        status = folder_sync(&ledger->folder, complaint);
    }
    return status;
}

/* For who writes to a ledger but makes none; before folder_open would make the folder. */
static int existing_check(const char *directory, struct complaint *complaint) {
    char path[FOLDER_PATH_SIZE];
    snprintf(path, sizeof(path), "%s/" DATABASE_NAME, directory);
    if (access(path, F_OK) == 0) {
        return STATUS_OK;
    }
    return errno == ENOENT || errno == ENOTDIR
               ? complain(complaint, STATUS_NOT_FOUND, "there is no " DATABASE_NAME " in %s: %s",
                          directory, strerror(errno))
               : folder_fail("look for " DATABASE_NAME " in", directory, complaint);
}

/* Gives up an open that failed; what the files hold stays as it was found. */
static void ledger_abandon(struct sqlite_ledger *ledger, bool had_wal) {
    (void)connection_close(ledger, NULL);
    sqlite_vfs_unregister(&ledger->vfs);
    if (!had_wal && !ledger->existing_only && ledger->folder.lock_fd >= 0) {
        folder_wal_discard_empty(&ledger->folder);
    }
    folder_close(&ledger->folder);
    free(ledger);
}

int ledger_sqlite_open(const struct ledger_sqlite_options *options, struct ledger **ret_ledger,
                       struct complaint *complaint) {
    assert(options->directory);
    assert(ret_ledger);
    struct sqlite_ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger) {
        return complain(complaint, STATUS_NO_MEMORY, "no memory for the ledger");
    }
    ledger->ledger.operations = &sqlite_operations;
    ledger->existing_only = options->existing_only;
    ledger->held_size_max = options->held_size_max > 0 ? options->held_size_max : HELD_SIZE_MAX;
    ledger->held_changed = options->held;
    ledger->held_context = options->held_context;
    bool had_wal = false;
    int status = options->no_new ? existing_check(options->directory, complaint) : STATUS_OK;
    if (status == STATUS_OK) {
        status =
            folder_open(&ledger->folder, options->directory, options->existing_only, complaint);
    }
    if (status == STATUS_OK) {
        had_wal = folder_file_size(&ledger->folder, WAL_NAME) != 0;
        status = ledger_begin(ledger, options, complaint);
    }
    if (status < 0) {
        ledger_abandon(ledger, had_wal);
        return status;
    }
    *ret_ledger = &ledger->ledger;
    return STATUS_OK;
}

int sqlite_close(struct ledger *base, struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    int status = STATUS_OK;
    if (!ledger->existing_only && !ledger->broken) {
        status = sqlite_fold_begin(ledger, false, complaint);
        status = status == STATUS_OK ? sqlite_fold(ledger, complaint) : status;
        /* An unfolded WAL stays for the next open. */
        wal_keep(ledger, status < 0);
        status = ledger->held ? STATUS_OK : status; /* a backup goes on, and all is safe */
    }
    int closed = connection_close(ledger, status == STATUS_OK ? complaint : NULL);
    status = status == STATUS_OK ? closed : status;
    sqlite_vfs_unregister(&ledger->vfs);
    if (status == STATUS_OK && !ledger->existing_only && !ledger->broken) {
        status = folder_sync(&ledger->folder, complaint);
    }
    folder_close(&ledger->folder);
    free(ledger);
    return status;
}

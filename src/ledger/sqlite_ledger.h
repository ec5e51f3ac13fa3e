/* What the files of the SQLite ledger share. Not for anyone else: outside this folder there
 * is only ledger.h.
 *
 *   sqlite_folder.c       the data folder: lock, what lies in it before SQLite sees it
 *   sqlite_hold.c         what keeps the WAL from being folded while a backup copies
 *   sqlite_backup.c       a copy of the record while it is in use
 *   sqlite_open.c         connection, settings, recovery, closing
 *   sqlite_schema.c       migrations, and the texts of all statements
 *   sqlite_transaction.c  begin, commit, abort; which failures are known and which are not
 *   sqlite_vfs.c          the VFS under it: joins writes to the WAL, has it copied at a start
 *   sqlite_rows.c         the rows of an append, as a table for its INSERT
 *   sqlite_write.c        appends, imports, creations, changes, the probe, checkpoints
 *   sqlite_read.c         small reads
 *   sqlite_visit.c        the whole record, in order
 */
#ifndef COUPON_LEDGER_SQLITE_LEDGER_H
#define COUPON_LEDGER_SQLITE_LEDGER_H

#include "ledger/ledger.h"

#include <limits.h>
#include <sqlite3.h>

/* "Coup" in the file's header (SQLite file format, 1.3.17): whose file it is. */
#define SQLITE_LEDGER_APPLICATION_ID UINT32_C(0x436f7570)
/* Counts the migrations in sqlite_schema.c. */
#define SQLITE_LEDGER_VERSION UINT32_C(2)

#define DATABASE_NAME     "coupon.db"
#define DATABASE_NEW_NAME "coupon.db.new" /* while it is being made; renamed when complete */
#define WAL_NAME          DATABASE_NAME "-wal"
#define WAL_NEW_NAME      WAL_NAME ".new" /* the same */
#define LOCK_NAME         "coupon.lock"
#define HOLD_NAME         "coupon.hold"
#define FOLDER_PATH_SIZE  (PATH_MAX + 32)
#define WAL_HEADER_SIZE   32 /* SQLite file format, section 4.1 */

/* ---- sqlite_folder.c ---- */

struct sqlite_folder {
    char directory[PATH_MAX]; /* without links, absolute */
    int directory_fd;         /* -1: none */
    int lock_fd;              /* -1: none */
    int hold_fd;              /* -1: none */
    bool lock_is_ours;        /* made for an existing_only open: removed again */
    bool existing_only;
};

/* Makes the folder where that is allowed and takes its lock. After a failure folder_close
 * may be called. STATUS_BUSY, STATUS_NOT_FOUND, STATUS_IO. */
int MUST_CHECK folder_open(struct sqlite_folder *folder, const char *directory, bool existing_only,
                           struct complaint *complaint);
void folder_close(struct sqlite_folder *folder);

/* Whether there is a coupon.db. STATUS_NOT_FOUND, STATUS_IO. */
int MUST_CHECK folder_has_database(const struct sqlite_folder *folder, struct complaint *complaint);

/* Looks at the ledger's file without SQLite and changes nothing. STATUS_NOT_FOUND there is
 * none; STATUS_DAMAGED it is not a ledger; STATUS_NEWER; STATUS_IO. */
int MUST_CHECK folder_inspect(const struct sqlite_folder *folder, struct complaint *complaint);

void folder_path(const struct sqlite_folder *folder, const char *name,
                 char ret_path[static FOLDER_PATH_SIZE]);
/* Bytes of the file; 0 when there is none; -1, with errno, when that cannot be told. */
int64_t folder_file_size(const struct sqlite_folder *folder, const char *name);
/* An empty DATABASE_NEW_NAME, whatever an interrupted attempt left. STATUS_IO, STATUS_FULL. */
int MUST_CHECK folder_new_begin(const struct sqlite_folder *folder, struct complaint *complaint);
/* Gives DATABASE_NEW_NAME its final name, durably. */
int MUST_CHECK folder_new_adopt(const struct sqlite_folder *folder, struct complaint *complaint);
void folder_new_discard(const struct sqlite_folder *folder);
/* Puts a copy of the WAL, synced, in its place, durably; the old one stays until then. Where there
 * is none, or an empty one, nothing is done. Nobody else may have it open to write. STATUS_IO,
 * STATUS_FULL. */
int MUST_CHECK folder_wal_renew(const struct sqlite_folder *folder, struct complaint *complaint);
/* Removes an empty -wal file that a refused open left. */
void folder_wal_discard_empty(const struct sqlite_folder *folder);
/* Makes the names in the folder durable. */
int MUST_CHECK folder_sync(const struct sqlite_folder *folder, struct complaint *complaint);
/* Whether the name in the folder leads to the open file. Negative, with errno: it cannot be told.
 */
int MUST_CHECK folder_names(const struct sqlite_folder *folder, const char *name, int fd);
/* Writes all the bytes there. Negative, with errno. */
int MUST_CHECK folder_bytes_write(int fd, const char *bytes, size_t size, int64_t at);
/* "cannot DOING PATH: …" for errno. STATUS_FULL, STATUS_IO. */
int folder_fail(const char *doing, const char *path, struct complaint *complaint);

/* ---- sqlite_hold.c ---- */

/* A backup's side. Takes the hold, after a fold that is under way. STATUS_STOPPED: a signal
 * came instead. STATUS_IO, STATUS_FULL. Where nobody like us can write it takes none. */
int MUST_CHECK folder_hold_take(struct sqlite_folder *folder, struct complaint *complaint);
/* Whether nobody has overruled the hold since it was taken. */
bool folder_hold_is_whole(const struct sqlite_folder *folder);
/* Takes note of none, too. */
void folder_hold_release(struct sqlite_folder *folder);

/* ---- the ledger ---- */

enum sqlite_statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_ISSUES_INSERT,
    SQL_ISSUED_UPDATE,
    SQL_ID_LAST,
    SQL_COUPON_INSERT,
    SQL_COUPON_UPDATE,
    SQL_REVISION_INSERT,
    SQL_CREATION_INSERT,
    SQL_AUDIT_INSERT,
    SQL_IMPORT_INSERT,
    SQL_PROBE_UPDATE,
    SQL_LATEST_READ,
    SQL_CREATION_READ,
    SQL_COUPON_READ,
    SQL_COUPONS_READ,
    SQL_ISSUE_READ,
    SQL_ISSUES_READ,
    SQL_AUDITS_READ,
    SQL_VISIT_TOTAL,
    SQL_VISIT_COUPONS,
    SQL_VISIT_REVISIONS,
    SQL_VISIT_IMPORTS,
    SQL_VISIT_ISSUES,
    SQL_VISIT_HOLDERS,
    SQL_COUNT,
};

/* What the virtual table issue_rows shows: the rows of the append that is under way. */
struct sqlite_rows {
    const struct issue_row *issues;
    size_t count;
    size_t position; /* of the row that was read last */
};

/* A VFS of one ledger's own, over another; see sqlite_vfs.c. */
struct sqlite_vfs {
    sqlite3_vfs vfs;   /* first */
    sqlite3_vfs *real; /* NULL: not registered */
    char name[32];
    const struct sqlite_folder *renews; /* whose WAL is renewed before it is read; NULL: nobody's */
    struct complaint unrenewed;         /* why that could not be done; "" it could */
    uint64_t reads_failed;              /* how often the disk could not read */
};

struct sqlite_ledger {
    struct ledger ledger; /* first */
    struct sqlite_vfs vfs;
    struct sqlite_folder folder;
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT];
    struct sqlite_rows rows;
    bool existing_only;   /* nothing may be written */
    bool broken;          /* an ambiguous failure happened; every call says so */
    bool pads_frames;     /* the VFS promises no POWERSAFE_OVERWRITE: see commit_failure_is_known */
    int wal_frames;       /* in the WAL and not yet in the main file */
    int wal_frames_retry; /* after a failed checkpoint: not urgent before there are so many */
    bool held;            /* a backup kept the last fold that was due from being done */
    int64_t held_size_max; /* as in the options, and the next two; never 0 */
    void (*held_changed)(void *context, bool broken, int64_t wal_size);
    void *held_context;
};

/* ---- sqlite_hold.c, the ledger's side ---- */

/* Before anything that writes to the main file. STATUS_BUSY: a backup holds it, so it must
 * not be written to; with `overrule` the backup's hold is broken instead. */
int MUST_CHECK sqlite_fold_begin(struct sqlite_ledger *ledger, bool overrule,
                                 struct complaint *complaint);
void sqlite_fold_end(struct sqlite_ledger *ledger);

/* ---- sqlite_schema.c ---- */

/* One step from version i to i + 1 is a list of SQL texts that ends with NULL. */
typedef const char *const *sqlite_migration;

/* Brings the file to `count` by the steps it lacks, each in a transaction of its own. */
int MUST_CHECK sqlite_migrate(struct sqlite_ledger *ledger, const sqlite_migration *migrations,
                              uint32_t count, struct complaint *complaint);
/* The migrations of this version: SQLITE_LEDGER_VERSION of them. */
extern const sqlite_migration sqlite_migrations[];
/* Prepares every statement. STATUS_DAMAGED when the file's tables are not what it claims. */
int MUST_CHECK sqlite_statements_prepare(struct sqlite_ledger *ledger, struct complaint *complaint);
void sqlite_statements_finalize(struct sqlite_ledger *ledger);

/* ---- sqlite_vfs.c ---- */

/* Makes the VFS known to SQLite as vfs->name, over the one of this name (NULL: the default).
 * It must stay where it is until it is unregistered. STATUS_INVALID, STATUS_NO_MEMORY. */
int MUST_CHECK sqlite_vfs_register(struct sqlite_vfs *vfs, const char *real_name,
                                   struct complaint *complaint);
void sqlite_vfs_unregister(struct sqlite_vfs *vfs); /* also one that never was registered */

/* ---- sqlite_rows.c ---- */

/* Makes the table issue_rows known to the connection; it shows ledger->rows. */
int MUST_CHECK sqlite_rows_register(struct sqlite_ledger *ledger, struct complaint *complaint);

/* ---- sqlite_transaction.c ---- */

/* Our status for an (extended) result code of SQLite. */
int sqlite_status(int result);
/* The status for `result`, with "cannot DOING FILE: …" as the complaint. */
int sqlite_fail(struct sqlite_ledger *ledger, int result, const char *doing,
                struct complaint *complaint);
/* From now on every call returns STATUS_AMBIGUOUS, as this one does. */
int sqlite_break(struct sqlite_ledger *ledger, const char *why, struct complaint *complaint);
/* What a call on a broken ledger returns. */
int sqlite_refuse(struct complaint *complaint);

/* Steps a statement that returns no rows and resets it. SQLITE_OK or the failure. */
int MUST_CHECK sqlite_run(sqlite3_stmt *statement);
int MUST_CHECK sqlite_begin(struct sqlite_ledger *ledger, struct complaint *complaint);
int MUST_CHECK sqlite_commit(struct sqlite_ledger *ledger, struct complaint *complaint);
/* Rolls back after the failure `status` and returns it; STATUS_AMBIGUOUS if it cannot. */
int sqlite_abort(struct sqlite_ledger *ledger, int status, struct complaint *complaint);

/* ---- binding and decoding, shared by writes, reads and visits ---- */

/* Parameters of a kept statement. The text is not copied: it must last until the step. A
 * text of size 0 becomes NULL. They cannot fail but by a programmer's mistake. */
void sqlite_bind_integer(sqlite3_stmt *statement, int parameter, int64_t value);
void sqlite_bind_text(sqlite3_stmt *statement, int parameter, struct slice text);

/* The columns sqlite_coupon_decode expects, in its order. */
#define COUPON_COLUMNS                                                                             \
    "id, title, total_quantity, issued_quantity, discount_amount, min_available_amount, "          \
    "date_issue_start, date_issue_end, paused, metadata, version, date_created, date_updated, "    \
    "date_archived"
/* The columns sqlite_issue_decode expects; the coupon's id is known to the caller. */
#define ISSUE_COLUMNS "rank_no, user_id, request_key, date_issued"

/* STATUS_DAMAGED when a value is not what the schema promises; *ret_coupon is written on
 * success only. */
int MUST_CHECK sqlite_coupon_decode(sqlite3_stmt *statement, struct coupon_record *ret_coupon);
/* The same; the row's texts last until the statement's next step. */
int MUST_CHECK sqlite_issue_decode(sqlite3_stmt *statement, uint64_t coupon_id,
                                   struct issue_row *ret_issue);
/* Reads an integer within the bounds, or STATUS_DAMAGED. */
int MUST_CHECK sqlite_integer_decode(sqlite3_stmt *statement, int column, int64_t min, int64_t max,
                                     int64_t *ret_value);

/* ---- the calls, as in struct ledger_operations ---- */

static inline struct sqlite_ledger *sqlite_of(struct ledger *ledger) {
    return (struct sqlite_ledger *)ledger;
}

/* sqlite_open.c */
int sqlite_close(struct ledger *ledger, struct complaint *complaint);
/* Folds the whole WAL into the main file and empties it; STATUS_OK only if that is complete
 * and durable. */
int MUST_CHECK sqlite_fold(struct sqlite_ledger *ledger, struct complaint *complaint);

/* sqlite_write.c */
int sqlite_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                  const struct issued_count *counts, size_t coupon_count,
                  struct complaint *complaint);
int sqlite_import(struct ledger *ledger, const struct coupon_import *import,
                  const struct slice *users, struct complaint *complaint);
int sqlite_coupon_create(struct ledger *ledger, struct coupon_record *coupon,
                         const struct creation_key *key, const struct audit *audit,
                         struct complaint *complaint);
int sqlite_coupon_change(struct ledger *ledger, const struct coupon_record *coupon,
                         const struct audit *audit, struct complaint *complaint);
int sqlite_probe(struct ledger *ledger, struct complaint *complaint);
int sqlite_tend(struct ledger *ledger, bool idle, struct complaint *complaint);

/* sqlite_read.c */
int sqlite_latest_us(struct ledger *ledger, int64_t *ret_latest_us);
int sqlite_creation_read(struct ledger *ledger, const struct creation_key *key,
                         uint64_t *ret_coupon_id);
int sqlite_coupon_read(struct ledger *ledger, uint64_t coupon_id, struct coupon_record *ret_coupon);
int sqlite_coupons_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                        struct coupon_record *ret_coupons, size_t *ret_count);
int sqlite_issue_read(struct ledger *ledger, struct issue_reference reference,
                      struct issue_record *ret_issue);
int sqlite_issues_read(struct ledger *ledger, struct issue_reference after, size_t limit,
                       struct issue_record *ret_issues, size_t *ret_count);
int sqlite_audits_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                       struct audit_record *ret_audits, size_t *ret_count);
int sqlite_check(struct ledger *ledger, struct complaint *complaint);

/* sqlite_visit.c */
int sqlite_visit(struct ledger *ledger, const struct ledger_visitor *visitor,
                 struct complaint *complaint);

#endif

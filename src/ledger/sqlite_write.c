/* What changes the SQLite ledger: appends, creations, changes, the probe, and the
 * checkpoints between them. For the issuer's writer thread, through ledger.h.
 *
 * No OR IGNORE, OR REPLACE or ON CONFLICT anywhere: they would turn a contradiction into a
 * false success. */
#include "ledger/sqlite_ledger.h"

#include <stdlib.h>

/* A checkpoint of so many frames (4 KiB each) is due when nobody waits, and when somebody
 * does. With commits of 2,048 rows bench/ledger_bench showed stalls of 7-13 ms at 1,000,
 * 19-21 ms at 2,000 and 26-48 ms at 4,000, and no difference in rows a second. */
#define WAL_FRAMES_IDLE   250
#define WAL_FRAMES_FORCED 1000
/* A WAL that grew longer than this while a backup ran is cut when it is folded. */
#define WAL_FRAMES_KEPT 4000
#define WAL_FRAME_SIZE  (24 + 4096) /* SQLite file format, section 4.1 */

/* ---- binding ---- */

void sqlite_bind_integer(sqlite3_stmt *statement, int parameter, int64_t value) {
    int result = sqlite3_bind_int64(statement, parameter, value);
    assert(result == SQLITE_OK);
}

void sqlite_bind_text(sqlite3_stmt *statement, int parameter, struct slice text) {
    assert(text.size <= INT_MAX);
    int result = text.size == 0 ? sqlite3_bind_null(statement, parameter)
                                : sqlite3_bind_text(statement, parameter, text.bytes,
                                                    (int)text.size, SQLITE_STATIC);
    assert(result == SQLITE_OK);
}

/* ---- issues ---- */

/* One run of one statement, which reads the rows from ledger->rows (sqlite_rows.c). */
static int rows_insert(struct sqlite_ledger *ledger, const struct issue_row *issues, size_t count,
                       struct complaint *complaint) {
    if (count == 0) {
        return STATUS_OK;
    }
    ledger->rows = (struct sqlite_rows){.issues = issues, .count = count};
    int result = sqlite_run(ledger->statements[SQL_ISSUES_INSERT]);
    size_t last = ledger->rows.position;
    ledger->rows = (struct sqlite_rows){.issues = NULL};
    if (result == SQLITE_OK) {
        assert(sqlite3_changes64(ledger->db) == (int64_t)count);
        return STATUS_OK;
    }
    last = last < count ? last : count - 1;
    char doing[96];
    sqlite3_snprintf(sizeof(doing), doing, "add coupon %lld rank %u to",
                     (long long)issues[last].reference.coupon_id, issues[last].reference.rank);
    return sqlite_fail(ledger, result, doing, complaint);
}

/* The CHECK on issued_quantity is the last guard of I1. */
static int counts_update(struct sqlite_ledger *ledger, const struct issued_count *counts,
                         size_t count, struct complaint *complaint) {
    sqlite3_stmt *statement = ledger->statements[SQL_ISSUED_UPDATE];
    for (size_t i = 0; i < count; i++) {
        sqlite_bind_integer(statement, 1, (int64_t)counts[i].coupon_id);
        sqlite_bind_integer(statement, 2, counts[i].issued_quantity);
        int result = sqlite_run(statement);
        if (result != SQLITE_OK) {
            char doing[96];
            sqlite3_snprintf(sizeof(doing), doing, "raise coupon %lld to %u issues in",
                             (long long)counts[i].coupon_id, counts[i].issued_quantity);
            return sqlite_fail(ledger, result, doing, complaint);
        }
        if (sqlite3_changes(ledger->db) != 1) {
            return complain(complaint, STATUS_CONFLICT,
                            "the ledger has no coupon %llu, or not fewer than %u issues of it",
                            (unsigned long long)counts[i].coupon_id, counts[i].issued_quantity);
        }
    }
    return STATUS_OK;
}

int sqlite_append(struct ledger *base, const struct issue_row *issues, size_t issue_count,
                  const struct issued_count *counts, size_t coupon_count,
                  struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    int status = sqlite_begin(ledger, complaint);
    if (status < 0) {
        return status;
    }
    status = ledger_rows_check(issues, issue_count, complaint);
    if (status == STATUS_OK) {
        status = rows_insert(ledger, issues, issue_count, complaint);
    }
    if (status == STATUS_OK) {
        FAILPOINT("sqlite-rows-written");
        status = counts_update(ledger, counts, coupon_count, complaint);
    }
    return status < 0 ? sqlite_abort(ledger, status, complaint) : sqlite_commit(ledger, complaint);
}

/* ---- audits ---- */

/* The row that tells who did it; the coupon's own row is written already. */
static int audit_insert(struct sqlite_ledger *ledger, const struct audit *audit, uint64_t id,
                        const char *action, int64_t changed_us, struct complaint *complaint) {
    if (!audit) {
        return STATUS_OK;
    }
    sqlite3_stmt *statement = ledger->statements[SQL_AUDIT_INSERT];
    sqlite_bind_integer(statement, 1, (int64_t)id);
    sqlite_bind_text(statement, 2, audit->admin);
    sqlite_bind_text(statement, 3, slice_of(action));
    sqlite_bind_integer(statement, 4, changed_us);
    sqlite_bind_text(statement, 5, audit->request);
    int result = sqlite_run(statement);
    if (result != SQLITE_OK) {
        return sqlite_fail(ledger, result, "add an audit to", complaint);
    }
    assert(sqlite3_changes(ledger->db) == 1);
    return STATUS_OK;
}

/* ---- imports ---- */

static int import_rows_insert(struct sqlite_ledger *ledger, const struct coupon_import *import,
                              const struct slice *users, struct issue_row *rows,
                              struct complaint *complaint) {
    size_t count = (size_t)import->last_rank - import->first_rank + 1;
    int status = STATUS_OK;
    for (size_t at = 0; status == STATUS_OK && at < count; at += LEDGER_IMPORT_ROWS) {
        size_t size = count - at < LEDGER_IMPORT_ROWS ? count - at : LEDGER_IMPORT_ROWS;
        ledger_import_rows(import, users, at, size, rows);
        status = ledger_rows_check(rows, size, complaint);
        if (status == STATUS_OK) {
            status = rows_insert(ledger, rows, size, complaint);
        }
    }
    return status;
}

static int import_insert(struct sqlite_ledger *ledger, const struct coupon_import *import,
                         struct complaint *complaint) {
    sqlite3_stmt *statement = ledger->statements[SQL_IMPORT_INSERT];
    sqlite_bind_integer(statement, 1, (int64_t)import->coupon_id);
    sqlite_bind_integer(statement, 2, import->first_rank);
    sqlite_bind_integer(statement, 3, import->last_rank);
    sqlite_bind_integer(statement, 4, import->imported_us);
    int result = sqlite_run(statement);
    return result == SQLITE_OK ? STATUS_OK
                               : sqlite_fail(ledger, result, "add an import to", complaint);
}

static int import_write(struct sqlite_ledger *ledger, const struct coupon_import *import,
                        const struct slice *users, struct issue_row *rows,
                        struct complaint *complaint) {
    struct issued_count issued = {import->coupon_id, import->last_rank};
    char request[64];
    sqlite3_snprintf(sizeof(request), request, "{\"firstRank\":%u,\"lastRank\":%u}",
                     import->first_rank, import->last_rank);
    struct audit audit = {.admin = slice_of("import"), .request = slice_of(request)};
    int status = import_rows_insert(ledger, import, users, rows, complaint);
    if (status == STATUS_OK) {
        status = counts_update(ledger, &issued, 1, complaint);
    }
    if (status == STATUS_OK) {
        status = import_insert(ledger, import, complaint);
    }
    if (status == STATUS_OK) {
        status = audit_insert(ledger, &audit, import->coupon_id, "issues-imported",
                              import->imported_us, complaint);
    }
    return status;
}

int sqlite_import(struct ledger *base, const struct coupon_import *import,
                  const struct slice *users, struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    struct issue_row *rows = calloc(LEDGER_IMPORT_ROWS, sizeof(*rows));
    if (!rows) {
        return complain(complaint, STATUS_NO_MEMORY, "not enough memory for an import");
    }
    int status = sqlite_begin(ledger, complaint);
    if (status == STATUS_OK) {
        status = import_write(ledger, import, users, rows, complaint);
        status =
            status < 0 ? sqlite_abort(ledger, status, complaint) : sqlite_commit(ledger, complaint);
    }
    free(rows);
    return status;
}

/* ---- coupons ---- */

/* Parameters 1 to 10 of a creation and of a change. */
static void coupon_bind(sqlite3_stmt *statement, const struct coupon_record *coupon, uint64_t id) {
    assert(id >= 1 && id <= JSON_INTEGER_MAX);
    sqlite_bind_integer(statement, 1, (int64_t)id);
    int result = sqlite3_bind_text(statement, 2, coupon->title, -1, SQLITE_STATIC);
    assert(result == SQLITE_OK);
    if (coupon->total_quantity == COUPON_UNLIMITED) {
        result = sqlite3_bind_null(statement, 3);
        assert(result == SQLITE_OK);
    } else {
        sqlite_bind_integer(statement, 3, coupon->total_quantity);
    }
    sqlite_bind_integer(statement, 4, coupon->discount_amount);
    sqlite_bind_integer(statement, 5, coupon->min_available_amount);
    sqlite_bind_integer(statement, 6, coupon->issue_start_us);
    sqlite_bind_integer(statement, 7, coupon->issue_end_us);
    sqlite_bind_integer(statement, 8, coupon->paused ? 1 : 0);
    sqlite_bind_text(statement, 9, slice_of(coupon->metadata));
    sqlite_bind_integer(statement, 10, coupon->updated_us);
}

static int revision_insert(struct sqlite_ledger *ledger, uint64_t id, struct complaint *complaint) {
    sqlite3_stmt *statement = ledger->statements[SQL_REVISION_INSERT];
    sqlite_bind_integer(statement, 1, (int64_t)id);
    int result = sqlite_run(statement);
    if (result != SQLITE_OK) {
        return sqlite_fail(ledger, result, "add a revision to", complaint);
    }
    assert(sqlite3_changes(ledger->db) == 1); /* the coupon was written just now */
    return STATUS_OK;
}

static int creation_insert(struct sqlite_ledger *ledger, const struct creation_key *key,
                           uint64_t id, int64_t created_us, struct complaint *complaint) {
    sqlite3_stmt *statement = ledger->statements[SQL_CREATION_INSERT];
    sqlite_bind_text(statement, 1, key->key);
    sqlite_bind_integer(statement, 2, (int64_t)id);
    int result = sqlite3_bind_blob(statement, 3, key->request_digest, sizeof(key->request_digest),
                                   SQLITE_STATIC);
    assert(result == SQLITE_OK);
    sqlite_bind_integer(statement, 4, created_us);
    result = sqlite_run(statement);
    return result == SQLITE_OK ? STATUS_OK
                               : sqlite_fail(ledger, result, "add a creation key to", complaint);
}

/* Ids are never used twice: the next one is above all there ever were. */
static int id_next(struct sqlite_ledger *ledger, uint64_t *ret_id, struct complaint *complaint) {
    sqlite3_stmt *statement = ledger->statements[SQL_ID_LAST];
    int result = sqlite3_step(statement);
    int64_t last = result == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    if (result != SQLITE_ROW) {
        return sqlite_fail(ledger, result, "read the coupons of", complaint);
    }
    if (last >= JSON_INTEGER_MAX) {
        return complain(complaint, STATUS_FULL, "there is no coupon id above %lld: name a free one",
                        (long long)last);
    }
    *ret_id = (uint64_t)last + 1;
    return STATUS_OK;
}

static int coupon_insert(struct sqlite_ledger *ledger, const struct coupon_record *coupon,
                         uint64_t id, struct complaint *complaint) {
    sqlite3_stmt *statement = ledger->statements[SQL_COUPON_INSERT];
    coupon_bind(statement, coupon, id);
    sqlite_bind_integer(statement, 11, coupon->created_us);
    int result = sqlite_run(statement);
    if (result == SQLITE_CONSTRAINT_PRIMARYKEY || result == SQLITE_CONSTRAINT_ROWID) {
        return complain(complaint, STATUS_EXISTS, "there is a coupon %llu already",
                        (unsigned long long)id);
    }
    if (result == SQLITE_OK) {
        return STATUS_OK;
    }
    int status = sqlite_fail(ledger, result, "add a coupon to", complaint);
    return status == STATUS_CONFLICT ? STATUS_INVALID : status; /* a CHECK on its values */
}

int sqlite_coupon_create(struct ledger *base, struct coupon_record *coupon,
                         const struct creation_key *key, const struct audit *audit,
                         struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (coupon->id > JSON_INTEGER_MAX) {
        return complain(complaint, STATUS_INVALID, "a coupon id is at most 2^53-1");
    }
    int status = sqlite_begin(ledger, complaint);
    if (status < 0) {
        return status;
    }
    uint64_t id = coupon->id;
    if (id == 0) {
        status = id_next(ledger, &id, complaint);
    }
    if (status == STATUS_OK) {
        status = coupon_insert(ledger, coupon, id, complaint);
    }
    if (status == STATUS_OK) {
        status = revision_insert(ledger, id, complaint);
    }
    if (status == STATUS_OK && key && key->key.size > 0) {
        status = creation_insert(ledger, key, id, coupon->created_us, complaint);
    }
    if (status == STATUS_OK) {
        status = audit_insert(ledger, audit, id, "coupon-created", coupon->created_us, complaint);
    }
    status =
        status < 0 ? sqlite_abort(ledger, status, complaint) : sqlite_commit(ledger, complaint);
    if (status == STATUS_OK) {
        coupon->id = id;
        coupon->version = 1;
        coupon->issued_quantity = 0;
        coupon->archived_us = 0;
    }
    return status;
}

/* Why no row had this id and the version before. */
static int change_refused(struct sqlite_ledger *ledger, const struct coupon_record *coupon,
                          struct complaint *complaint) {
    struct coupon_record present;
    int status = sqlite_coupon_read(&ledger->ledger, coupon->id, &present);
    if (status == STATUS_OK) {
        return complain(complaint, STATUS_CONFLICT, "coupon %llu is at version %u, not %u",
                        (unsigned long long)coupon->id, present.version, coupon->version - 1);
    }
    return complain(complaint, status, "coupon %llu cannot be changed: %s",
                    (unsigned long long)coupon->id, status_name(status));
}

static int coupon_update(struct sqlite_ledger *ledger, const struct coupon_record *coupon,
                         struct complaint *complaint) {
    sqlite3_stmt *statement = ledger->statements[SQL_COUPON_UPDATE];
    coupon_bind(statement, coupon, coupon->id);
    sqlite_bind_integer(statement, 11, coupon->version);
    if (coupon->archived_us != 0) {
        sqlite_bind_integer(statement, 12, coupon->archived_us);
    } else {
        sqlite_bind_text(statement, 12, (struct slice){NULL, 0}); /* NULL */
    }
    int result = sqlite_run(statement);
    if (result != SQLITE_OK) {
        int status = sqlite_fail(ledger, result, "change a coupon in", complaint);
        return status == STATUS_CONFLICT ? STATUS_INVALID : status; /* a CHECK on its values */
    }
    return sqlite3_changes(ledger->db) == 1 ? STATUS_OK : change_refused(ledger, coupon, complaint);
}

int sqlite_coupon_change(struct ledger *base, const struct coupon_record *coupon,
                         const struct audit *audit, struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    int status = sqlite_begin(ledger, complaint);
    if (status < 0) {
        return status;
    }
    status = coupon_update(ledger, coupon, complaint);
    if (status == STATUS_OK) {
        status = revision_insert(ledger, coupon->id, complaint);
    }
    if (status == STATUS_OK) {
        const char *action = coupon->archived_us ? "coupon-archived" : "coupon-changed";
        status = audit_insert(ledger, audit, coupon->id, action, coupon->updated_us, complaint);
    }
    return status < 0 ? sqlite_abort(ledger, status, complaint) : sqlite_commit(ledger, complaint);
}

/* ---- housekeeping ---- */

/* A failed fsync may have dropped pages of commits that were told, and the kernel reports it
 * once: ambiguous. After any other failure the WAL still holds everything, and the next
 * checkpoint begins where the last complete one ended. */
static int checkpoint_failed(struct sqlite_ledger *ledger, int result,
                             struct complaint *complaint) {
    if (result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_DIR_FSYNC) {
        return sqlite_break(ledger, sqlite3_errmsg(ledger->db), complaint);
    }
    ledger->wal_frames_retry = ledger->wal_frames + WAL_FRAMES_IDLE;
    return sqlite_fail(ledger, result, "fold the WAL into", complaint);
}

/* PASSIVE is complete here, as nobody else reads; the next write then starts the WAL over
 * from its first frame. TRUNCATE would give its blocks back only to ask for them again. */
static int checkpoint(struct sqlite_ledger *ledger, struct complaint *complaint) {
    int mode = ledger->wal_frames > WAL_FRAMES_KEPT ? SQLITE_CHECKPOINT_TRUNCATE
                                                    : SQLITE_CHECKPOINT_PASSIVE;
    int frames = -1;
    int folded = -1;
    FAILPOINT("sqlite-checkpoint");
    int result = sqlite3_wal_checkpoint_v2(ledger->db, "main", mode, &frames, &folded);
    if (result != SQLITE_OK) {
        return checkpoint_failed(ledger, result, complaint);
    }
    assert(frames == folded); /* one connection, and no read of it is under way */
    FAILPOINT("sqlite-checkpointed");
    ledger->wal_frames = 0;
    ledger->wal_frames_retry = 0;
    return STATUS_OK;
}

/* STATUS_BUSY: a backup holds the file. */
static int fold_some(struct sqlite_ledger *ledger, bool overrule, struct complaint *complaint) {
    int status = sqlite_fold_begin(ledger, overrule, complaint);
    if (status == STATUS_OK) {
        status = checkpoint(ledger, complaint);
        sqlite_fold_end(ledger);
    } else if (status != STATUS_BUSY) {
        ledger->wal_frames_retry = ledger->wal_frames + WAL_FRAMES_IDLE;
    }
    return status;
}

int sqlite_probe(struct ledger *base, struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->held && !ledger->broken) {
        /* What a backup keeps in the WAL is room that may be missing now. */
        (void)fold_some(ledger, true, complaint);
    }
    int status = sqlite_begin(ledger, complaint);
    if (status < 0) {
        return status;
    }
    int result = sqlite_run(ledger->statements[SQL_PROBE_UPDATE]);
    if (result != SQLITE_OK) {
        status = sqlite_fail(ledger, result, "write to", complaint);
    } else if (sqlite3_changes(ledger->db) != 1) {
        status = complain(complaint, STATUS_DAMAGED, "the ledger's probe row is gone");
    }
    return status < 0 ? sqlite_abort(ledger, status, complaint) : sqlite_commit(ledger, complaint);
}

int sqlite_tend(struct ledger *base, bool idle, struct complaint *complaint) {
    struct sqlite_ledger *ledger = sqlite_of(base);
    if (ledger->broken) {
        return sqlite_refuse(complaint);
    }
    int due = idle                                           ? WAL_FRAMES_IDLE
              : ledger->wal_frames_retry > WAL_FRAMES_FORCED ? ledger->wal_frames_retry
                                                             : WAL_FRAMES_FORCED;
    if (ledger->existing_only || ledger->wal_frames < due) {
        return STATUS_OK;
    }
    bool overrule = (int64_t)ledger->wal_frames * WAL_FRAME_SIZE >= ledger->held_size_max;
    int status = fold_some(ledger, overrule, complaint);
    return status == STATUS_BUSY ? STATUS_OK : status;
}

/* Transactions of the SQLite ledger: which failures are known ("nothing was written, use it
 * again") and which are ambiguous ("nobody knows, stop"), the two cases of I8.
 *
 * What SQLite does, with a WAL, a heap wal-index and synchronous=FULL (its wal.c, walFrames):
 * COMMIT writes the changed pages as frames behind the last committed one, the last of them
 * marked as commit frame; syncs the WAL; enters the frames into the wal-index; moves its own
 * end mark. When a step fails it rolls back by itself: the end mark stays, and the next
 * transaction overwrites the frames. But they are in the file meanwhile, and recovery, which
 * goes by checksums alone, takes every transaction whose commit frame is whole. Hence:
 *
 *   before COMMIT          No commit frame exists (a spilled page is not one). Known, once
 *                          the transaction is over; a rollback that does not end it leaves a
 *                          connection nobody can reason about, so that is ambiguous.
 *   COMMIT: FULL           A write came back short. The commit frame is the last to be
 *                          written, so it is not, and what was written is cut off again
 *                          (sqlite_vfs.c): known. Except where SQLite pads a
 *                          commit to the sector with copies of the commit frame, because the
 *                          VFS does not promise POWERSAFE_OVERWRITE; then the short one may
 *                          be a copy behind a whole commit frame: ambiguous. A sync never
 *                          answers FULL; the unix VFS makes IOERR_FSYNC of every failure.
 *   COMMIT: BUSY           Refused before anything was written: known.
 *   COMMIT: CONSTRAINT     Deferred foreign keys, checked before anything is written: known.
 *   COMMIT: NOMEM          May come from growing the heap wal-index, and that is after the
 *                          commit frame was written and synced: ambiguous.
 *   COMMIT: IOERR, others  The commit frame may be whole, in the page cache or on the disk,
 *                          and after a failed fsync nobody can ask which: ambiguous.
 *
 * After an ambiguous failure nothing more is done to the file: closing neither folds nor
 * removes the WAL, and the next open finds by recovery what is there and makes it durable. */
#include "ledger/sqlite_ledger.h"

int sqlite_status(int result) {
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STATUS_OK;
    case SQLITE_NOMEM:
        return STATUS_NO_MEMORY;
    case SQLITE_FULL:
        return STATUS_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STATUS_BUSY;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return STATUS_CONFLICT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* our statements are right, so the tables are not */
        return STATUS_DAMAGED;
    case SQLITE_IOERR:
        /* CORRUPTFS is what SQLite makes of EIO when it reads: the disk's failure, not the file's
         */
        return result == SQLITE_IOERR_NOMEM ? STATUS_NO_MEMORY : STATUS_IO;
    default:
        assert(result != SQLITE_MISUSE);
        return STATUS_IO;
    }
}

static const char *advice(int status) {
    switch (status) {
    case STATUS_FULL:
        return "; make room on the disk";
    case STATUS_BUSY:
        return "; another program has it open: end that one first";
    case STATUS_DAMAGED:
        return "; stop, keep a copy of the folder, and put a backup back";
    case STATUS_IO:
        return "; look into the system's log for the disk";
    default:
        return "";
    }
}

int sqlite_fail(struct sqlite_ledger *ledger, int result, const char *doing,
                struct complaint *complaint) {
    assert(result != SQLITE_OK);
    int status = sqlite_status(result);
    if (ledger->vfs.unrenewed.text[0] != '\0') { /* it never came to be opened */
        return complain(complaint, status, "%s%s", ledger->vfs.unrenewed.text,
                        status == STATUS_FULL ? advice(status) : "");
    }
    /* Without a connection (no memory for one) there is only the code. */
    const char *why = ledger->db ? sqlite3_errmsg(ledger->db) : sqlite3_errstr(result);
    int system = ledger->db ? sqlite3_system_errno(ledger->db) : 0;
    if (status == STATUS_IO && system != 0) {
        return complain(complaint, status, "cannot %s %s/" DATABASE_NAME ": %s (SQLite %d): %s%s",
                        doing, ledger->folder.directory, why, result, strerror(system),
                        advice(status));
    }
    return complain(complaint, status, "cannot %s %s/" DATABASE_NAME ": %s (SQLite %d)%s", doing,
                    ledger->folder.directory, why, result, advice(status));
}

int sqlite_break(struct sqlite_ledger *ledger, const char *why, struct complaint *complaint) {
    ledger->broken = true;
    return complain(complaint, STATUS_AMBIGUOUS,
                    "it is unknown whether the last change to %s/" DATABASE_NAME
                    " is on the disk (%s); it must be opened anew, and the disk looked at",
                    ledger->folder.directory, why);
}

int sqlite_refuse(struct complaint *complaint) {
    return complain(complaint, STATUS_AMBIGUOUS,
                    "the ledger stopped after a failure whose outcome is unknown; open it anew");
}

int sqlite_run(sqlite3_stmt *statement) {
    int result = sqlite3_step(statement);
    sqlite3_reset(statement);
    return result == SQLITE_DONE || result == SQLITE_ROW ? SQLITE_OK : result;
}

int sqlite_begin(struct sqlite_ledger *ledger, struct complaint *complaint) {
    assert(!ledger->existing_only);
    if (ledger->broken) {
        return sqlite_refuse(complaint);
    }
    assert(sqlite3_get_autocommit(ledger->db));
    int result = sqlite_run(ledger->statements[SQL_BEGIN]);
    if (result == SQLITE_OK) {
        return STATUS_OK;
    }
    return sqlite_abort(ledger, sqlite_fail(ledger, result, "begin to write to", complaint),
                        complaint);
}

int sqlite_abort(struct sqlite_ledger *ledger, int status, struct complaint *complaint) {
    assert(status < 0);
    int result = SQLITE_OK;
    if (!sqlite3_get_autocommit(ledger->db)) { /* else SQLite rolled back by itself */
        result = sqlite_run(ledger->statements[SQL_ROLLBACK]);
    }
    if (!sqlite3_get_autocommit(ledger->db)) {
        return sqlite_break(ledger, sqlite3_errstr(result), complaint);
    }
    return status;
}

/* The table at the head of this file. */
static bool commit_failure_is_known(const struct sqlite_ledger *ledger, int result) {
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_CONSTRAINT:
        return true;
    case SQLITE_FULL:
        return !ledger->pads_frames;
    default:
        return false;
    }
}

int sqlite_commit(struct sqlite_ledger *ledger, struct complaint *complaint) {
    assert(!sqlite3_get_autocommit(ledger->db));
    FAILPOINT("sqlite-commit");
    int result = sqlite_run(ledger->statements[SQL_COMMIT]);
    if (result == SQLITE_OK) {
        FAILPOINT("sqlite-committed");
        return STATUS_OK;
    }
    if (!commit_failure_is_known(ledger, result)) {
        return sqlite_break(ledger, sqlite3_errmsg(ledger->db), complaint);
    }
    return sqlite_abort(ledger, sqlite_fail(ledger, result, "commit to", complaint), complaint);
}

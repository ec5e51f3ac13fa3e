/* Transactions of the PostgreSQL ledger: which failures are known ("nothing was written, use it
 * again") and which are ambiguous, the two cases of I8, and which are done again.
 *
 *   before COMMIT is sent   The server rolls back what it has, at once or when it notices that
 *                           we are gone: known. For 40P01 (deadlock), 40001 (serialization) and
 *                           55P03 (lock timeout) the same again may succeed: replayed. So may
 *                           what was lost in BEGIN: nothing was sent yet.
 *                           Also when the server is found to have ended the session meanwhile.
 *   COMMIT: COMMIT          Durable, as the settings were checked. Except with a warning, which
 *                           the server adds when somebody makes it stop waiting for a synchronous
 *                           standby: committed here, perhaps not there, and a failover may lose
 *                           it: ambiguous.
 *   COMMIT: an ERROR        The server aborted instead: known. An error behind the point of no
 *                           return is a PANIC there, and no answer here.
 *   COMMIT: no answer       Lost, or given up at the deadline, or FATAL: the commit record may
 *                           be on the disk: ambiguous. */
#include "ledger/postgres_ledger.h"

#define ATTEMPTS_MAX 5

int postgres_abort(struct postgres_ledger *ledger, int status) {
    assert(status < 0);
    if (!ledger->connection) {
        return status; /* and the transaction ended with it */
    }
    bool replay = ledger->replay; /* of the failure, not of this */
    if (PQtransactionStatus(ledger->connection) != PQTRANS_IDLE &&
        postgres_run_text(ledger, "ROLLBACK", NULL) < 0) {
        postgres_disconnect(ledger);
    }
    ledger->replay = replay;
    return status;
}

static int ambiguous(struct postgres_ledger *ledger, struct complaint *complaint) {
    return complain(complaint, STATUS_AMBIGUOUS,
                    "it is unknown whether %s kept the last change (%s in COMMIT); the record "
                    "tells, once it can be reached",
                    ledger->name, ledger->why);
}

static int commit(struct postgres_ledger *ledger, struct complaint *complaint) {
    PGresult *result;
    if (!postgres_is_alive(ledger)) { /* so it will not take a COMMIT any more */
        if (!ledger->ended) {
            postgres_note(ledger, PQerrorMessage(ledger->connection));
        }
        postgres_disconnect(ledger);
        return postgres_fail(ledger, STATUS_IO, "commit to", complaint);
    }
    FAILPOINT("sql-commit");
    ledger->session.in_commit = true; /* so that it is known as such when it is lost */
    int status = postgres_run_text(ledger, "COMMIT", &result);
    ledger->session.in_commit = false;
    if (status < 0 && ledger->lost) {
        return ambiguous(ledger, complaint);
    }
    if (status < 0) {
        status = postgres_fail(ledger, status, "commit to", complaint);
        return postgres_abort(ledger, status);
    }
    FAILPOINT("sql-committed");
    bool committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    if (!committed) {
        return complain(complaint, STATUS_IO, "%s rolled a transaction back", ledger->name);
    }
    return ledger->warned ? ambiguous(ledger, complaint) : STATUS_OK;
}

static int attempt(struct postgres_ledger *ledger, postgres_change change, void *context,
                   struct complaint *complaint) {
    ledger->replay = false;
    int status = postgres_connect(ledger, complaint);
    if (status < 0) {
        ledger->replay = false;
        return status;
    }
    status = postgres_run_text(ledger, "BEGIN READ WRITE", NULL); /* READ COMMITTED, as settled */
    if (status < 0) {
        status = postgres_fail(ledger, status, "begin to write to", complaint);
        ledger->replay = ledger->lost && !ledger->late;
        return status;
    }
    status = change(ledger, context, complaint);
    return status < 0 ? postgres_abort(ledger, status) : commit(ledger, complaint);
}

int postgres_transact(struct postgres_ledger *ledger, postgres_change change, void *context,
                      struct complaint *complaint) {
    assert(!ledger->options.existing_only);
    int status = STATUS_OK;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        status = attempt(ledger, change, context, complaint);
        if (status == STATUS_OK || status == STATUS_AMBIGUOUS || !ledger->replay) {
            break;
        }
    }
    return status;
}

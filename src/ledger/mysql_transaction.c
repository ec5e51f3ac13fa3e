/* Transactions of the MariaDB and MySQL ledger: which failures are known ("nothing was
 * written, use it again") and which are ambiguous ("nobody knows"), the two cases of I8.
 *
 *   before COMMIT            The server commits nothing without being told, and it never was:
 *                            known, also when the connection is gone and ROLLBACK with it.
 *   COMMIT: no answer        It may have arrived or not: ambiguous.
 *   COMMIT: deadlock, lock   Refused before it began (a certification that failed in a Galera
 *                            cluster, a backup's lock that did not go away): known.
 *   COMMIT: read-only        The server has become a replica meanwhile, and looks at that
 *                            before it commits: known.
 *   COMMIT: other errors     Something failed on the way, and how far it came the error does
 *                            not tell: ambiguous.
 *
 * A session that was lost with a transaction open may still be at work for a while: the next
 * one ends it first (mysql_connection.c), so that what it reads is final. */
#include "ledger/mysql_ledger.h"

#include <time.h>

/* A transaction that the server undid for another's sake is done again so often, and while
 * three times of what a lock is waited for have not passed. */
#define REPLAYS_MAX       10
#define REPLAY_LOCK_WAITS 3

static int begin(struct mysql_ledger *ledger, struct complaint *complaint) {
    assert(!ledger->options.existing_only);
    assert(!ledger->in_transaction);
    for (int attempt = 0;; attempt++) {
        int status = maria_connect_again(ledger, complaint);
        if (status < 0) {
            return status;
        }
        status = maria_send_text(ledger, "START TRANSACTION");
        if (status == STATUS_OK) {
            ledger->in_transaction = true;
            return STATUS_OK;
        }
        /* A connection that nobody used may be gone since long: nothing was begun on it. */
        if (!ledger->lost || attempt > 0) {
            return maria_fail(ledger, status, "begin to write to", complaint);
        }
    }
}

/* Undoes what was begun, after the failure `status`, which it returns. */
static int undo(struct mysql_ledger *ledger, int status) {
    assert(status < 0);
    if (ledger->in_transaction && maria_send_text(ledger, "ROLLBACK") < 0) {
        maria_disconnect(ledger); /* which rolls back as well */
    }
    ledger->in_transaction = false;
    return status;
}

static int commit(struct mysql_ledger *ledger, struct complaint *complaint, bool *ret_replay) {
    assert(ledger->in_transaction);
    FAILPOINT("sql-commit");
    int status = maria_send_text(ledger, "COMMIT");
    if (status == STATUS_OK) {
        FAILPOINT("sql-committed");
        ledger->in_transaction = false;
        return STATUS_OK;
    }
    if ((ledger->connection && ledger->replay) || maria_error_is_read_only(ledger->error)) {
        *ret_replay = ledger->replay;
        return undo(ledger, maria_fail(ledger, STATUS_IO, "commit to", complaint));
    }
    maria_disconnect(ledger);
    return complain(complaint, STATUS_AMBIGUOUS,
                    "it is unknown whether the last change to %s is in it: %s (%s %u) was the "
                    "answer to COMMIT; the record must be read again",
                    ledger->name, ledger->why, ledger->is_mariadb ? "MariaDB" : "MySQL",
                    ledger->error);
}

static int transact_once(struct mysql_ledger *ledger, mysql_change change, void *context,
                         struct complaint *complaint, bool *ret_replay) {
    *ret_replay = false;
    int status = begin(ledger, complaint);
    if (status < 0) {
        return status;
    }
    status = change(ledger, context, complaint);
    if (status < 0) {
        *ret_replay = ledger->replay;
        return undo(ledger, status);
    }
    return commit(ledger, complaint, ret_replay);
}

/* Lets the other of two that fell over each other get ahead. */
static void pause_before(int attempt) {
    struct timespec pause = {0, (long)attempt * 1000000};
    nanosleep(&pause, NULL);
}

int maria_transact(struct mysql_ledger *ledger, mysql_change change, void *context,
                   struct complaint *complaint) {
    int64_t until_us = clock_monotonic_us() + REPLAY_LOCK_WAITS * ledger->options.lock_timeout_us;
    for (int attempt = 0;; attempt++) {
        bool replay = false;
        int status = transact_once(ledger, change, context, complaint, &replay);
        if (status == STATUS_OK || !replay || attempt == REPLAYS_MAX ||
            clock_monotonic_us() >= until_us) {
            return status;
        }
        pause_before(attempt);
    }
}

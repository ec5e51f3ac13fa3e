/* Sends statements to PostgreSQL and waits for their answers, never for ever; tells what an
 * error means. For the other files of this store. */
#include "ledger/postgres_ledger.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what went wrong ---- */

void postgres_note(struct postgres_ledger *ledger, const char *why) {
    snprintf(ledger->why, sizeof(ledger->why), "%s", why && why[0] ? why : "no reason was given");
    size_t size = strlen(ledger->why);
    while (size > 0 && ledger->why[size - 1] == '\n') {
        ledger->why[--size] = '\0';
    }
    for (char *byte = ledger->why; *byte; byte++) {
        if (*byte == '\n' || *byte == '\t') {
            *byte = ' ';
        }
    }
}

/* Whether the SQLSTATE is of this class, or this one (PostgreSQL's appendix A). */
static bool state_is(const struct postgres_ledger *ledger, const char *state) {
    return strncmp(ledger->sqlstate, state, strlen(state)) == 0;
}

static int status_of_state(const struct postgres_ledger *ledger) {
    if (state_is(ledger, "23") || state_is(ledger, "22")) {
        return STATUS_CONFLICT; /* a key or a CHECK; a value that no column takes */
    }
    if (state_is(ledger, "53200")) {
        return STATUS_NO_MEMORY;
    }
    if (state_is(ledger, "53100") || state_is(ledger, "54")) {
        return STATUS_FULL;
    }
    if (state_is(ledger, "42501")) {
        return STATUS_INVALID; /* this user may not */
    }
    if (state_is(ledger, "42") || state_is(ledger, "XX001") || state_is(ledger, "XX002")) {
        return STATUS_DAMAGED; /* our statements are right, so the tables are not */
    }
    return STATUS_IO;
}

/* Deadlock, serialization failure, a lock that was not given in time. */
static bool state_is_replayed(const struct postgres_ledger *ledger) {
    return state_is(ledger, "40001") || state_is(ledger, "40P01") || state_is(ledger, "55P03");
}

/* The session can no longer be used, or should not: a server that only reads may have become
 * one by a failover, and the new primary is found by connecting anew. */
static bool state_ends_session(const struct postgres_ledger *ledger, const PGresult *result) {
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return PQstatus(ledger->connection) == CONNECTION_BAD ||
           (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)) ||
           state_is(ledger, "25006");
}

static void field_copy(const PGresult *result, int field, char *room, size_t room_size) {
    const char *text = PQresultErrorField(result, field);
    snprintf(room, room_size, "%s", text ? text : "");
}

/* The status of an answer that is an error; NULL: none came. */
static int failure(struct postgres_ledger *ledger, const PGresult *result) {
    if (!result) {
        ledger->lost = true;
        postgres_disconnect(ledger);
        return STATUS_IO;
    }
    field_copy(result, PG_DIAG_SQLSTATE, ledger->sqlstate, sizeof(ledger->sqlstate));
    field_copy(result, PG_DIAG_CONSTRAINT_NAME, ledger->constraint, sizeof(ledger->constraint));
    field_copy(result, PG_DIAG_MESSAGE_DETAIL, ledger->detail, sizeof(ledger->detail));
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    postgres_note(ledger, primary ? primary : PQresultErrorMessage(result));
    if (state_ends_session(ledger, result)) {
        ledger->lost = true;
        postgres_disconnect(ledger);
        return STATUS_IO;
    }
    ledger->replay = state_is_replayed(ledger);
    return status_of_state(ledger);
}

static const char *advice(int status) {
    switch (status) {
    case STATUS_FULL:
        return "; make room on the server's disk";
    case STATUS_INVALID:
        return "; give this user the right to it";
    case STATUS_DAMAGED:
        return "; stop, and look at the database";
    default:
        return "";
    }
}

int postgres_fail(const struct postgres_ledger *ledger, int status, const char *doing,
                  struct complaint *complaint) {
    if (status == STATUS_NO_MEMORY && ledger->sqlstate[0] == '\0') {
        return complain(complaint, status, "not enough memory to %s %s", doing, ledger->name);
    }
    return complain(complaint, status, "cannot %s %s: %s%s%s%s%s", doing, ledger->name, ledger->why,
                    ledger->sqlstate[0] ? " (" : "", ledger->sqlstate,
                    ledger->sqlstate[0] ? ")" : "", advice(status));
}

/* ---- there and back ---- */

/* Sends what is left to send and waits until something can be taken without waiting. False:
 * the deadline came first. An error is found by whoever takes. */
static bool answer_wait(PGconn *connection, int64_t deadline_us) {
    for (;;) {
        int left = PQflush(connection);
        if (left < 0 || (left == 0 && !PQisBusy(connection))) {
            return true;
        }
        int64_t wait_us = deadline_us - clock_monotonic_us();
        if (wait_us <= 0) {
            return false;
        }
        struct pollfd poll_fd = {.fd = PQsocket(connection),
                                 .events = (short)(left > 0 ? POLLIN | POLLOUT : POLLIN)};
        if (poll(&poll_fd, 1, (int)(wait_us / 1000) + 1) < 0 && errno != EINTR) {
            return false;
        }
        if (PQconsumeInput(connection) == 0) {
            return true;
        }
    }
}

/* The answer to what was sent: the last result, or the first that is an error. NULL: none. */
static PGresult *answer_take(struct postgres_ledger *ledger) {
    int64_t deadline_us = clock_monotonic_us() + ledger->patience_us;
    PGresult *kept = NULL;
    for (;;) {
        if (!answer_wait(ledger->connection, deadline_us)) {
            PQclear(kept);
            postgres_note(ledger, "the server did not answer in time");
            ledger->late = true;
            return NULL;
        }
        PGresult *next = PQgetResult(ledger->connection);
        if (!next) {
            break;
        }
        if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
            PQclear(next);
        } else {
            PQclear(kept);
            kept = next;
        }
    }
    if (!kept) {
        postgres_note(ledger, PQerrorMessage(ledger->connection));
    }
    return kept;
}

static void before_sending(struct postgres_ledger *ledger) {
    assert(ledger->connection);
    ledger->lost = ledger->late = ledger->replay = ledger->warned = false;
    ledger->sqlstate[0] = ledger->constraint[0] = ledger->detail[0] = ledger->why[0] = '\0';
}

/* Takes the answer to what was sent (`sent` as libpq's functions return it). */
static int finish(struct postgres_ledger *ledger, int sent, PGresult **ret_result) {
    PGresult *result = NULL;
    if (sent) {
        result = answer_take(ledger);
    } else {
        postgres_note(ledger, PQerrorMessage(ledger->connection));
    }
    ExecStatusType type = PQresultStatus(result);
    if (type != PGRES_COMMAND_OK && type != PGRES_TUPLES_OK) {
        int status = failure(ledger, result);
        PQclear(result);
        return status;
    }
    if (ret_result) {
        *ret_result = result;
    } else {
        PQclear(result);
    }
    return STATUS_OK;
}

/* ---- statements ---- */

/* A prepared statement is named after its number. */
static void statement_name(enum postgres_statement statement, char ret_name[static 16]) {
    snprintf(ret_name, 16, "coupon_%d", (int)statement);
}

int postgres_run(struct postgres_ledger *ledger, enum postgres_statement statement,
                 const struct postgres_values *values, PGresult **ret_result) {
    static const int binary[POSTGRES_VALUES_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    char name[16];
    statement_name(statement, name);
    before_sending(ledger);
    int sent = values ? PQsendQueryPrepared(ledger->connection, name, values->count, values->bytes,
                                            values->sizes, binary, 1)
                      : PQsendQueryPrepared(ledger->connection, name, 0, NULL, NULL, NULL, 1);
    return finish(ledger, sent, ret_result);
}

int postgres_run_change(struct postgres_ledger *ledger, enum postgres_statement statement,
                        const struct postgres_values *values, uint64_t *ret_changed) {
    PGresult *result;
    int status = postgres_run(ledger, statement, values, &result);
    if (status == STATUS_OK) {
        *ret_changed = strtoull(PQcmdTuples(result), NULL, 10);
        PQclear(result);
    }
    return status;
}

int postgres_run_text(struct postgres_ledger *ledger, const char *text, PGresult **ret_result) {
    before_sending(ledger);
    return finish(ledger, PQsendQuery(ledger->connection, text), ret_result);
}

int postgres_prepare(struct postgres_ledger *ledger, enum postgres_statement statement,
                     const char *text) {
    char name[16];
    statement_name(statement, name);
    before_sending(ledger);
    return finish(ledger, PQsendPrepare(ledger->connection, name, text, 0, NULL), NULL);
}

int postgres_read(struct postgres_ledger *ledger, enum postgres_statement statement,
                  const struct postgres_values *values, PGresult **ret_result) {
    int status = postgres_connect(ledger, NULL);
    if (status == STATUS_OK) {
        status = postgres_run(ledger, statement, values, ret_result);
        if (status < 0 && ledger->lost && !ledger->late) {
            status = postgres_connect(ledger, NULL);
            if (status == STATUS_OK) {
                status = postgres_run(ledger, statement, values, ret_result);
            }
        }
    }
    return status;
}

/* The connection to PostgreSQL: made, looked at before it is used, made again when it was lost;
 * the session's settings, and whether the server's are durable (I3). For the other files of
 * this store.
 *
 * A session that was lost may still be at work at the server: a COMMIT on its way may yet
 * succeed, and its locks stay until the server notices. So the next session ends it first and,
 * when it was in COMMIT, waits for that: what is read afterwards is final. It is known by its
 * pid and by when it began, so that no other session is taken for it. */
#include "ledger/postgres_ledger.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_PAUSE_FIRST_US (US_PER_SECOND / 20)
#define RETRY_PAUSE_MAX_US   US_PER_SECOND
#define LEFT_WAIT_MS         5000
/* How much longer than the server, which ends a statement itself, we wait for its answer. */
#define PATIENCE_MORE_US (2 * US_PER_SECOND)

void postgres_disconnect(struct postgres_ledger *ledger) {
    if (!ledger->connection) {
        return;
    }
    if (ledger->session.pid != 0) {
        ledger->left = ledger->session;
        ledger->session = (struct postgres_session){.pid = 0};
    }
    PQfinish(ledger->connection);
    ledger->connection = NULL;
}

/* A server that ended the session by itself left words (notice_take) and an end of file to be
 * read; each takes a reading of its own, and PQisBusy looks at what was read. */
bool postgres_is_alive(struct postgres_ledger *ledger) {
    struct pollfd poll_fd = {.fd = PQsocket(ledger->connection), .events = POLLIN};
    for (int i = 0; i < 3 && poll(&poll_fd, 1, 0) == 1; i++) {
        if (PQconsumeInput(ledger->connection) == 0) {
            return false;
        }
    }
    bool busy = PQisBusy(ledger->connection) != 0;
    return !busy && !ledger->ended && PQstatus(ledger->connection) == CONNECTION_OK;
}

/* ---- the session's settings ---- */

/* A warning with a COMMIT means that it is not all it should be: with synchronous replication
 * the wait for the standby was cut short. FATAL without a question is the session's end. Words
 * for a person have other severities. */
static void notice_take(void *context, const PGresult *result) {
    struct postgres_ledger *ledger = context;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    bool warning = severity && strcmp(severity, "WARNING") == 0;
    bool end = severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
    ledger->warned |= warning;
    ledger->ended |= end;
    if (warning || end) {
        postgres_note(ledger, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    }
}

/* Every statement goes by a key. A plan without it would be chosen while a table is small, or
 * its statistics are old, and be kept while it grows: so there is none. */
static int session_settle(struct postgres_ledger *ledger, struct complaint *complaint) {
    const struct ledger_sql_options *options = &ledger->options;
    char text[640];
    int size = snprintf(text, sizeof(text),
                        "SET statement_timeout = %lld; SET lock_timeout = %lld;"
                        "SET idle_in_transaction_session_timeout = %lld;"
                        "SET default_transaction_isolation = 'read committed';"
                        "SET default_transaction_read_only = %s;"
                        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off",
                        (long long)(options->statement_timeout_us / 1000),
                        (long long)(options->lock_timeout_us / 1000),
                        (long long)(options->idle_timeout_us / 1000),
                        options->existing_only ? "on" : "off");
    assert(size > 0 && (size_t)size < sizeof(text));
    int status = postgres_run_text(ledger, text, NULL);
    return status < 0 ? postgres_fail(ledger, status, "begin a session with", complaint)
                      : STATUS_OK;
}

/* ---- what the server promises ---- */

enum server_column {
    SERVER_VERSION,
    SERVER_ENCODING,
    SERVER_IS_STANDBY,
    SERVER_FSYNC,
    SERVER_FULL_PAGE_WRITES,
    SERVER_SYNCHRONOUS_COMMIT,
    SERVER_HAS_STANDBYS,
    SERVER_PID,
    SERVER_BEGAN_US,
};

static const char server_text[] =
    "SELECT current_setting('server_version_num'), current_setting('server_encoding'),"
    " pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes'),"
    " current_setting('synchronous_commit'), current_setting('synchronous_standby_names') <> '',"
    " pid, (extract(epoch FROM backend_start) * 1000000)::bigint"
    " FROM pg_stat_activity WHERE pid = pg_backend_pid()";

static bool server_says(const PGresult *result, enum server_column column, const char *word) {
    return strcmp(PQgetvalue(result, 0, (int)column), word) == 0;
}

static int weak_complain(const struct postgres_ledger *ledger, const char *setting,
                         const char *value, struct complaint *complaint) {
    return complain(complaint, STATUS_INVALID,
                    "%s has %s = %s: it may lose what it confirmed; change that, or accept it with "
                    "--allow-weak-durability",
                    ledger->name, setting, value);
}

/* Keeps I3. With standbys, `local` and `remote_write` confirm what a failover may lose. */
static int durability_check(const struct postgres_ledger *ledger, const PGresult *result,
                            struct complaint *complaint) {
    if (ledger->options.existing_only || ledger->options.weak_durability) {
        return STATUS_OK;
    }
    if (!server_says(result, SERVER_FSYNC, "on")) {
        return weak_complain(ledger, "fsync", "off", complaint);
    }
    if (!server_says(result, SERVER_FULL_PAGE_WRITES, "on")) {
        return weak_complain(ledger, "full_page_writes", "off", complaint);
    }
    bool standbys = server_says(result, SERVER_HAS_STANDBYS, "t");
    bool weak = server_says(result, SERVER_SYNCHRONOUS_COMMIT, "off") ||
                (standbys && (server_says(result, SERVER_SYNCHRONOUS_COMMIT, "local") ||
                              server_says(result, SERVER_SYNCHRONOUS_COMMIT, "remote_write")));
    return weak ? weak_complain(ledger, "synchronous_commit",
                                PQgetvalue(result, 0, SERVER_SYNCHRONOUS_COMMIT), complaint)
                : STATUS_OK;
}

static int server_judge(struct postgres_ledger *ledger, const PGresult *result,
                        struct complaint *complaint) {
    if (PQntuples(result) != 1) {
        return complain(complaint, STATUS_INVALID, "%s does not tell about this session",
                        ledger->name);
    }
    ledger->session = (struct postgres_session){
        .pid = (int)strtol(PQgetvalue(result, 0, SERVER_PID), NULL, 10),
        .began_us = strtoll(PQgetvalue(result, 0, SERVER_BEGAN_US), NULL, 10)};
    if (strtol(PQgetvalue(result, 0, SERVER_VERSION), NULL, 10) < POSTGRES_VERSION_MIN) {
        return complain(complaint, STATUS_INVALID, "%s is older than PostgreSQL 14", ledger->name);
    }
    if (!server_says(result, SERVER_ENCODING, "UTF8")) {
        return complain(complaint, STATUS_INVALID,
                        "%s has encoding %s: make a database with ENCODING 'UTF8'", ledger->name,
                        PQgetvalue(result, 0, SERVER_ENCODING));
    }
    if (server_says(result, SERVER_IS_STANDBY, "t") && !ledger->options.existing_only) {
        return complain(complaint, STATUS_INVALID,
                        "%s is a standby, which only reads: name the primary, or all servers with "
                        "?target_session_attrs=read-write",
                        ledger->name);
    }
    ledger->ledger.shows_unsynced =
        !ledger->options.existing_only && server_says(result, SERVER_HAS_STANDBYS, "t");
    return durability_check(ledger, result, complaint);
}

static int server_check(struct postgres_ledger *ledger, struct complaint *complaint) {
    PGresult *result;
    int status = postgres_run_text(ledger, server_text, &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "ask about the settings of", complaint);
    }
    status = server_judge(ledger, result, complaint);
    PQclear(result);
    return status;
}

/* ---- the session before ---- */

static int left_end(struct postgres_ledger *ledger, struct complaint *complaint) {
    if (ledger->left.pid == 0) {
        return STATUS_OK;
    }
    char text[320];
    snprintf(text, sizeof(text),
             "SELECT pg_terminate_backend(pid, %d) FROM pg_stat_activity WHERE pid = %d"
             " AND (extract(epoch FROM backend_start) * 1000000)::bigint = %lld",
             ledger->left.in_commit ? LEFT_WAIT_MS : 0, ledger->left.pid,
             (long long)ledger->left.began_us);
    PGresult *result;
    int status = postgres_run_text(ledger, text, &result);
    if (status < 0) {
        return postgres_fail(ledger, status, "end a session that was lost with", complaint);
    }
    bool ended = PQntuples(result) == 0 || PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (!ended && ledger->left.in_commit) {
        return complain(complaint, STATUS_IO,
                        "%s still has the session %d, whose COMMIT has no answer yet", ledger->name,
                        ledger->left.pid);
    }
    ledger->left.pid = 0;
    return STATUS_OK;
}

/* ---- connecting ---- */

/* What comes before the URL may be changed by it, what comes after may not. */
static PGconn *connection_begin(const struct postgres_ledger *ledger) {
    char connect_timeout[24];
    char user_timeout[24];
    const struct ledger_sql_options *options = &ledger->options;
    int64_t silent_us = options->statement_timeout_us + PATIENCE_MORE_US;
    snprintf(connect_timeout, sizeof(connect_timeout), "%lld",
             (long long)((options->connect_timeout_us + US_PER_SECOND - 1) / US_PER_SECOND));
    snprintf(user_timeout, sizeof(user_timeout), "%lld", (long long)(silent_us / 1000));
    const char *const settings[][2] = {
        {"connect_timeout", connect_timeout}, /* libpq makes 2 s of 1 s */
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", user_timeout},
        {"fallback_application_name", "coupon"},
        {"dbname", options->url},
        {"client_encoding", "UTF8"},
        {NULL, NULL},
    };
    const char *names[COUNT_OF(settings)];
    const char *values[COUNT_OF(settings)];
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        names[i] = settings[i][0];
        values[i] = settings[i][1];
    }
    return PQconnectdbParams(names, values, 1);
}

static int connection_make(struct postgres_ledger *ledger, struct complaint *complaint) {
    ledger->sqlstate[0] = '\0';
    ledger->ended = false;
    ledger->connection = connection_begin(ledger);
    if (!ledger->connection) {
        return complain(complaint, STATUS_NO_MEMORY, "no memory for a connection");
    }
    if (PQstatus(ledger->connection) != CONNECTION_OK ||
        PQsetnonblocking(ledger->connection, 1) != 0) {
        postgres_note(ledger, PQerrorMessage(ledger->connection));
        return postgres_fail(ledger, STATUS_IO, "connect to", complaint);
    }
    ledger->ledger.sessions++;
    PQsetNoticeReceiver(ledger->connection, notice_take, ledger);
    ledger->patience_us = ledger->options.statement_timeout_us + PATIENCE_MORE_US;
    int status = session_settle(ledger, complaint);
    if (status == STATUS_OK) {
        status = server_check(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = left_end(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = postgres_migrate(ledger, complaint);
    }
    if (status == STATUS_OK) {
        status = postgres_statements_prepare(ledger, complaint);
    }
    return status;
}

static void retry_later(struct postgres_ledger *ledger) {
    int64_t pause_us =
        ledger->retry_pause_us == 0 ? RETRY_PAUSE_FIRST_US : ledger->retry_pause_us * 2;
    ledger->retry_pause_us = pause_us < RETRY_PAUSE_MAX_US ? pause_us : RETRY_PAUSE_MAX_US;
    ledger->retry_at_us = clock_monotonic_us() + ledger->retry_pause_us;
}

/* Gives up a session in which nothing was begun, and so leaves nothing behind. */
static void connection_abandon(struct postgres_ledger *ledger) {
    ledger->session = (struct postgres_session){.pid = 0};
    postgres_disconnect(ledger);
}

int postgres_connect(struct postgres_ledger *ledger, struct complaint *complaint) {
    if (ledger->connection && postgres_is_alive(ledger) &&
        PQtransactionStatus(ledger->connection) == PQTRANS_IDLE) {
        return STATUS_OK;
    }
    postgres_disconnect(ledger);
    if (ledger->retry_pause_us > 0 && clock_monotonic_us() < ledger->retry_at_us) {
        return complain(complaint, STATUS_IO, "%s cannot be reached: %s; it is tried again soon",
                        ledger->name, ledger->why);
    }
    int status = connection_make(ledger, complaint);
    if (status == STATUS_OK) {
        ledger->retry_pause_us = 0;
        return STATUS_OK;
    }
    connection_abandon(ledger);
    retry_later(ledger);
    return !ledger->opened || status == STATUS_NO_MEMORY ? status : STATUS_IO;
}

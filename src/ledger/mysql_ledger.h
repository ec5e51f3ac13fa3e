/* What the files of the MariaDB and MySQL ledger share. Not for anyone else: outside this
 * folder there are only ledger.h and open.h.
 *
 *   mysql_open.c         opening and closing; the table of operations
 *   mysql_url.c          where the server is, who we are there, and how to speak to it
 *   mysql_connection.c   connecting, and again; settings of the session, checks of the server's
 *   mysql_schema.c       migrations, and the texts of all statements
 *   mysql_query.c        values into statements, rows out of results, what errors mean
 *   mysql_transaction.c  begin, commit, abort, replay; which failures are known
 *   mysql_write.c        appends, imports, creations, changes, the probe
 *   mysql_read.c         small reads, and the check
 *   mysql_partitions.c   cursors, epochs, rejects
 *   mysql_settle.c       the steps of a settlement, and what users hold
 *   mysql_visit.c        the whole record, in order, as of one moment
 *
 * The client's library (libmariadb) has taken the names that begin with mysql_; functions here
 * begin with maria_. Statements travel as text with the values quoted in one place
 * (maria_run), not prepared: nothing has to be made again on a new connection, and a proxy
 * between us and the server needs no memory either. */
#ifndef COUPON_LEDGER_MYSQL_LEDGER_H
#define COUPON_LEDGER_MYSQL_LEDGER_H

#include "ledger/ledger.h"
#include "ledger/open.h"

#include <mysql.h>

/* Counts the migrations in mysql_schema.c. */
#define MYSQL_LEDGER_VERSION 1
/* Slots of the distributed protocol: a coupon's is its id modulo this. */
#define MYSQL_PARTITIONS PARTITION_COUNT

enum mysql_statement {
    MARIA_COUNT_RAISE,
    MARIA_CHANGES_LOCK,
    MARIA_COUPON_ID_LAST,
    MARIA_AUDIT_ID_LAST,
    MARIA_COUPON_INSERT,
    MARIA_COUPON_UPDATE,
    MARIA_REVISION_INSERT,
    MARIA_CREATION_INSERT,
    MARIA_AUDIT_INSERT,
    MARIA_IMPORT_INSERT,
    MARIA_PROBE_UPDATE,
    MARIA_LATEST_READ,
    MARIA_CREATION_READ,
    MARIA_COUPON_READ,
    MARIA_COUPONS_READ,
    MARIA_ISSUE_READ,
    MARIA_ISSUES_READ,
    MARIA_AUDITS_READ,
    MARIA_VISIT_TOTAL,
    MARIA_VISIT_COUPONS,
    MARIA_VISIT_REVISIONS,
    MARIA_VISIT_IMPORTS,
    MARIA_VISIT_HOLDERS,
    MARIA_CHECK,
    MARIA_CURSOR_LOCK,
    MARIA_CURSOR_MOVE,
    MARIA_NOW_READ,
    MARIA_HOLDING_READ,
    MARIA_HOLDINGS_READ,
    MARIA_CURSORS_READ,
    MARIA_EPOCH_RAISE,
    MARIA_EPOCH_RAISE_ANY,
    MARIA_REJECTS_READ,
    MARIA_REJECTS_COUNT,
    MARIA_REJECT_DELETE,
    MARIA_STATEMENT_COUNT,
};

/* ---- mysql_url.c ---- */

enum mysql_tls {
    MYSQL_TLS_OFF,        /* not asked for */
    MYSQL_TLS_UNVERIFIED, /* encrypted, to whoever answers */
    MYSQL_TLS_VERIFIED,   /* encrypted, to a server with a certificate for its name */
};

/* Every text is owned; NULL: not given. */
struct mysql_url {
    char *user;
    char *password;
    char *host;
    char *database;
    char *socket;
    char *tls_ca; /* file with the certificates to trust; NULL: the system's */
    unsigned port;
    enum mysql_tls tls;
};

/* STATUS_INVALID: the complaint says what is wrong and shows nothing of it. Also after a
 * failure maria_url_done must be called. */
int MUST_CHECK maria_url_parse(struct mysql_url *url, const char *text,
                               struct complaint *complaint);
void maria_url_done(struct mysql_url *url);

/* ---- the ledger ---- */

struct mysql_ledger {
    struct ledger ledger;              /* first */
    struct ledger_sql_options options; /* no 0 among the timeouts; the url is NULL */
    struct mysql_url url;
    char name[256];        /* for complaints: mysql://USER@HOST:PORT/DATABASE */
    char session_lock[48]; /* held by our session at the server, see mysql_connection.c */
    MYSQL *connection;     /* NULL: none, or lost */
    bool is_mariadb;       /* else MySQL; known once connected */
    bool in_transaction;
    bool lost;              /* the last statement failed because the connection did */
    bool replay;            /* the last statement failed for what another session did */
    unsigned error;         /* of the last failure: the server's or the library's number */
    char why[256];          /* and its words */
    int64_t retry_at_us;    /* after a failed attempt to connect: not before this moment */
    int64_t retry_pause_us; /* doubles, up to a second; 0: the last attempt succeeded */
    struct complaint retry_complaint; /* of that attempt */
    size_t statement_size_max;        /* of an INSERT of issues */
    struct buffer statement;
};

/* ---- mysql_query.c: values ---- */

enum mysql_value_kind { VALUE_NULL, VALUE_INTEGER, VALUE_TEXT, VALUE_BYTES };

/* A value of a statement. A text is UTF-8; bytes have no character set. */
struct mysql_value {
    enum mysql_value_kind kind;
    int64_t integer;
    struct slice text;
};

static inline struct mysql_value value_integer(int64_t integer) {
    return (struct mysql_value){.kind = VALUE_INTEGER, .integer = integer};
}
/* Size 0 becomes NULL. */
static inline struct mysql_value value_text(struct slice text) {
    return (struct mysql_value){.kind = text.size ? VALUE_TEXT : VALUE_NULL, .text = text};
}
static inline struct mysql_value value_bytes(struct slice bytes) {
    return (struct mysql_value){.kind = bytes.size ? VALUE_BYTES : VALUE_NULL, .text = bytes};
}

#define VALUES(...)                                                                                \
    (const struct mysql_value[]){__VA_ARGS__},                                                     \
        sizeof((const struct mysql_value[]){__VA_ARGS__}) / sizeof(struct mysql_value)

/* Adds the value as a literal. The ledger is connected: its character set rules the quoting. */
void maria_value_append(struct mysql_ledger *ledger, struct buffer *text,
                        const struct mysql_value *value);

/* ---- mysql_query.c: statements ----
 *
 * A negative answer tells what the failure means for the caller and leaves the server's words
 * in ledger->why; maria_fail makes a complaint of them. A connection that was lost is closed
 * by then, and the transaction with it. */

/* Runs text that returns no rows; tells how many rows it changed. */
int MUST_CHECK maria_send(struct mysql_ledger *ledger, struct slice text, uint64_t *ret_changed);
/* The same for a literal text whose changes nobody counts. */
int MUST_CHECK maria_send_text(struct mysql_ledger *ledger, const char *text);
/* Runs a kept statement, its ?1, ?2 … replaced by the values. */
int MUST_CHECK maria_run(struct mysql_ledger *ledger, enum mysql_statement statement,
                         const struct mysql_value *values, size_t count, uint64_t *ret_changed);

/* Whether the server says by this error that it only reads, also in answer to a COMMIT: nothing was
 * written then. The connection is closed, as whoever is the primary now is elsewhere. */
bool maria_error_is_read_only(unsigned error);

/* The rows of an answer, all of them in this process's memory. */
struct mysql_rows {
    MYSQL_RES *result; /* owned; NULL: none */
    MYSQL_ROW row;
    const unsigned long *sizes;
};

int MUST_CHECK maria_query_text(struct mysql_ledger *ledger, struct slice text,
                                struct mysql_rows *ret_rows);
int MUST_CHECK maria_query(struct mysql_ledger *ledger, enum mysql_statement statement,
                           const struct mysql_value *values, size_t count,
                           struct mysql_rows *ret_rows);
/* maria_query for a read by itself: connects where it must, and asks once more on a new
 * connection when the old one turns out to be lost. */
int MUST_CHECK maria_read(struct mysql_ledger *ledger, enum mysql_statement statement,
                          const struct mysql_value *values, size_t count,
                          struct mysql_rows *ret_rows);
bool maria_rows_next(struct mysql_rows *rows); /* false: there is no further row */
void maria_rows_done(struct mysql_rows *rows); /* also of rows that are done already */

/* "cannot DOING mysql://…: WHY (MariaDB NUMBER); what to do". Returns `status`. */
int maria_fail(struct mysql_ledger *ledger, int status, const char *doing,
               struct complaint *complaint);

/* ---- mysql_query.c: decoding; STATUS_DAMAGED when a value is not what the schema promises,
 * results are written on success only ---- */

int MUST_CHECK maria_integer_decode(const struct mysql_rows *rows, unsigned column, int64_t min,
                                    int64_t max, int64_t *ret_value);
/* NULL becomes `absent`. */
int MUST_CHECK maria_optional_decode(const struct mysql_rows *rows, unsigned column, int64_t min,
                                     int64_t max, int64_t absent, int64_t *ret_value);
/* The bytes last as long as the rows; NULL has none. */
int MUST_CHECK maria_text_decode(const struct mysql_rows *rows, unsigned column, size_t size_min,
                                 size_t size_max, struct slice *ret_text);
/* Room for the largest text and its terminator. A zero inside would hide what follows it, so
 * it is damage. */
int MUST_CHECK maria_text_copy(const struct mysql_rows *rows, unsigned column, size_t size_max,
                               char *room);

/* ---- mysql_connection.c ---- */

/* Connects, with the session's settings and a look at the server's. STATUS_INVALID,
 * STATUS_NOT_FOUND: no such database, STATUS_IO, STATUS_NO_MEMORY. */
int MUST_CHECK maria_connect(struct mysql_ledger *ledger, struct complaint *complaint);
/* How long the server lets a transaction of ours (MySQL: our session) be without a statement. */
int MUST_CHECK maria_idle_set(struct mysql_ledger *ledger, int64_t idle_us);
/* Closes the connection; what it had begun, the server rolls back. */
void maria_disconnect(struct mysql_ledger *ledger);
/* For a call on an open ledger: connects unless it is connected. Within the pause after a
 * failed attempt it fails at once; any failure is STATUS_IO or STATUS_NO_MEMORY. */
int MUST_CHECK maria_connect_again(struct mysql_ledger *ledger, struct complaint *complaint);

/* ---- mysql_schema.c ---- */

extern const char *const maria_statements[MARIA_STATEMENT_COUNT];

/* One step from version i to i + 1. `tables` can be repeated after a crash in their middle,
 * since the server commits each by itself; `rows` are one transaction with the new version.
 * Both end with NULL. */
struct mysql_migration {
    const char *const *tables;
    const char *const *rows;
};
extern const struct mysql_migration maria_migrations[];

/* What version the tables have; 0: they are being made, or nothing is there. STATUS_NEWER;
 * STATUS_INVALID: tables of these names that are not ours. */
int MUST_CHECK maria_version_read(struct mysql_ledger *ledger, uint32_t *ret_version,
                                  struct complaint *complaint);
/* Brings the database to version `count` under a lock that other nodes wait for. */
int MUST_CHECK maria_migrate(struct mysql_ledger *ledger, const struct mysql_migration *migrations,
                             uint32_t count, struct complaint *complaint);

/* ---- mysql_transaction.c ---- */

/* What a transaction does between its begin and its commit. It may be called again with the
 * same context after a rollback, and must not keep anything of the attempt before. */
typedef int (*mysql_change)(struct mysql_ledger *ledger, void *context,
                            struct complaint *complaint);

/* One transaction around the change. Replayed, a bounded time, when the server undid it for
 * another session's sake. STATUS_AMBIGUOUS: its COMMIT has no answer; the next call begins on
 * a new connection. */
int MUST_CHECK maria_transact(struct mysql_ledger *ledger, mysql_change change, void *context,
                              struct complaint *complaint);

/* ---- decoding of whole rows, mysql_read.c ---- */

/* The columns maria_coupon_decode expects, in its order. */
#define MYSQL_COUPON_COLUMNS                                                                       \
    "id, title, total_quantity, issued_quantity, discount_amount, min_available_amount, "          \
    "date_issue_start, date_issue_end, paused, metadata, version, date_created, date_updated, "    \
    "date_archived"
/* The server's clock, in whichever time zone the session is. */
#define MYSQL_CLOCK_US "timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6))"
/* The columns maria_issue_decode expects; the coupon's id is known to the caller. */
#define MYSQL_ISSUE_COLUMNS "rank_no, user_id, request_key, date_issued"

int MUST_CHECK maria_coupon_decode(const struct mysql_rows *rows, struct coupon_record *ret_coupon);
/* The row's texts last as long as the rows. */
int MUST_CHECK maria_issue_decode(const struct mysql_rows *rows, uint64_t coupon_id,
                                  struct issue_row *ret_issue);
/* The same with room of its own. */
int MUST_CHECK maria_issue_copy(const struct mysql_rows *rows, uint64_t coupon_id,
                                struct issue_record *ret_issue);

/* ---- the calls, as in struct ledger_operations ---- */

static inline struct mysql_ledger *mysql_of(struct ledger *ledger) {
    return (struct mysql_ledger *)ledger;
}

/* mysql_write.c */
int maria_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                 const struct issued_count *counts, size_t coupon_count,
                 struct complaint *complaint);
int maria_import(struct ledger *ledger, const struct coupon_import *import,
                 const struct slice *users, struct complaint *complaint);
int maria_coupon_create(struct ledger *ledger, struct coupon_record *coupon,
                        const struct creation_key *key, const struct audit *audit,
                        struct complaint *complaint);
int maria_coupon_change(struct ledger *ledger, const struct coupon_record *coupon,
                        const struct audit *audit, struct complaint *complaint);
int maria_probe(struct ledger *ledger, struct complaint *complaint);
/* For a transaction that has begun; the counts in the order of their coupons' ids. */
int MUST_CHECK maria_issues_write(struct mysql_ledger *ledger, const struct issue_row *issues,
                                  size_t issue_count, const struct issued_count *counts,
                                  size_t coupon_count, struct complaint *complaint);
/* Locks the coupons in the order of their ids. */
int MUST_CHECK maria_coupons_lock(struct mysql_ledger *ledger, const uint64_t *ids, size_t count,
                                  struct complaint *complaint);
int maria_tend(struct ledger *ledger, bool idle, struct complaint *complaint);

/* mysql_read.c */
int maria_latest_us(struct ledger *ledger, int64_t *ret_latest_us);
int maria_creation_read(struct ledger *ledger, const struct creation_key *key,
                        uint64_t *ret_coupon_id);
int maria_coupon_read(struct ledger *ledger, uint64_t coupon_id, struct coupon_record *ret_coupon);
int maria_coupons_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                       struct coupon_record *ret_coupons, size_t *ret_count);
int maria_issue_read(struct ledger *ledger, struct issue_reference reference,
                     struct issue_record *ret_issue);
int maria_issues_read(struct ledger *ledger, struct issue_reference after, size_t limit,
                      struct issue_record *ret_issues, size_t *ret_count);
int maria_audits_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                      struct audit_record *ret_audits, size_t *ret_count);
int maria_check(struct ledger *ledger, struct complaint *complaint);

/* mysql_settle.c */
extern const struct ledger_shared_operations maria_shared_operations;

/* mysql_partitions.c */
extern const struct ledger_partition_operations maria_partition_operations;

/* mysql_visit.c */
int maria_visit(struct ledger *ledger, const struct ledger_visitor *visitor,
                struct complaint *complaint);

#endif

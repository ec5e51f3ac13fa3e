/* What the files of the PostgreSQL ledger share. Not for anyone else: outside this folder there
 * is only ledger.h.
 *
 *   postgres_open.c         opening and closing; the table of operations
 *   postgres_connection.c   connecting, and again; settings of the session, checks of the server's
 *   postgres_schema.c       migrations, and the texts of all statements
 *   postgres_query.c        statements there and answers back, what errors mean
 *   postgres_values.c       values into statements, rows out of answers
 *   postgres_transaction.c  begin, commit, abort, replay; which failures are known
 *   postgres_write.c        appends, imports, creations, changes, the probe
 *   postgres_read.c         small reads, and the check
 *   postgres_partitions.c   cursors, epochs, rejects
 *   postgres_settle.c       the steps of a settlement, and what users hold
 *   postgres_visit.c        the whole record, in order, as of one moment
 *
 * One connection. Everything on it is sent without blocking and waited for with a deadline, so
 * that a server which is silent does not keep the caller for ever. */
#ifndef COUPON_LEDGER_POSTGRES_LEDGER_H
#define COUPON_LEDGER_POSTGRES_LEDGER_H

#include "ledger/ledger.h"

#include <libpq-fe.h>

/* Counts the migrations in postgres_schema.c. */
#define POSTGRES_LEDGER_VERSION 1
/* Slots of the distributed protocol: a coupon's is its id modulo this. */
#define POSTGRES_PARTITIONS PARTITION_COUNT
/* pg_terminate_backend that waits came with it. */
#define POSTGRES_VERSION_MIN 140000

/* Key of an advisory lock, which is the database's own: "Coup" (0x436f7570) and a number. */
#define POSTGRES_LOCK_MIGRATE "1131378032001"

enum postgres_statement {
    PG_ISSUES_INSERT,
    PG_COUPONS_LOCK,
    PG_ISSUED_UPDATE,
    PG_CHANGES_LOCK,
    PG_ID_LAST,
    PG_COUPON_INSERT,
    PG_COUPON_UPDATE,
    PG_REVISION_INSERT,
    PG_CREATION_INSERT,
    PG_AUDIT_INSERT,
    PG_IMPORT_INSERT,
    PG_PROBE_UPDATE,
    PG_LATEST_READ,
    PG_CREATION_READ,
    PG_COUPON_READ,
    PG_COUPONS_READ,
    PG_ISSUE_READ,
    PG_ISSUES_READ,
    PG_AUDITS_READ,
    PG_VISIT_TOTAL,
    PG_VISIT_COUPONS,
    PG_VISIT_REVISIONS,
    PG_VISIT_IMPORTS,
    PG_VISIT_ORPHANS,
    PG_CHECK,
    PG_CURSOR_LOCK,
    PG_CURSOR_MOVE,
    PG_SETTLE_COUPONS,
    PG_SETTLE_HOLDERS,
    PG_REJECTS_INSERT,
    PG_REJECT_RAW_INSERT,
    PG_NOW_READ,
    PG_HOLDING_READ,
    PG_HOLDINGS_READ,
    PG_CURSORS_READ,
    PG_EPOCH_RAISE,
    PG_EPOCH_RAISE_ANY,
    PG_REJECTS_READ,
    PG_REJECTS_COUNT,
    PG_REJECT_DELETE,
    PG_COUNT,
};

/* A session of ours at the server. */
struct postgres_session {
    int pid; /* 0: none */
    int64_t began_us;
    bool in_commit; /* when it was lost */
};

struct postgres_ledger {
    struct ledger ledger;              /* first */
    struct ledger_sql_options options; /* the URL is our copy; no 0 in the times */
    char name[256];                    /* for complaints: postgresql://HOST:PORT/DATABASE */
    PGconn *connection;                /* NULL: none, or lost */
    bool opened;                       /* the first connection was made: the schema is ours */
    bool ended;                        /* the server said that it ends the session */
    struct postgres_session session;
    struct postgres_session left; /* lost, and perhaps still at work */
    int64_t retry_at_us;          /* after a failed attempt to connect: not before this moment */
    int64_t retry_pause_us;       /* doubles, up to a second; 0: the last attempt succeeded */
    int64_t patience_us;          /* for the answer to a statement */
    /* of the statement that was run last */
    bool lost;   /* it failed because the connection did */
    bool late;   /* it was given up: no answer came in time */
    bool replay; /* it failed for what another session did: the same again may succeed */
    bool warned; /* the server sent a warning with its answer; `why` has it */
    char sqlstate[6];
    char constraint[64];
    char detail[256];
    char why[256];
    struct buffer columns[6]; /* of the rows of a statement */
};

/* ---- postgres_values.c: values of a statement, in PostgreSQL's binary format ---- */

#define POSTGRES_VALUES_MAX 12

/* The texts are not copied: they must last until the statement was sent. */
struct postgres_values {
    int count;
    const char *bytes[POSTGRES_VALUES_MAX]; /* NULL: NULL */
    int sizes[POSTGRES_VALUES_MAX];
    char room[POSTGRES_VALUES_MAX][8];
};

void values_integer(struct postgres_values *values, int64_t integer);
void values_boolean(struct postgres_values *values, bool boolean);
void values_bytes(struct postgres_values *values, const void *bytes, size_t size);
void values_text(struct postgres_values *values, struct slice text); /* size 0 becomes NULL */
void values_null(struct postgres_values *values);

/* bigint[] and text[]. Begin with the number of elements, then add as many. Out of memory is
 * found at values_array. */
void array_begin_integers(struct buffer *array, size_t count);
void array_begin_texts(struct buffer *array, size_t count);
void array_integer(struct buffer *array, int64_t integer);
void array_text(struct buffer *array, struct slice text); /* size 0 becomes NULL */
int MUST_CHECK values_array(struct postgres_values *values, const struct buffer *array);

/* ---- postgres_values.c: rows of an answer; STATUS_DAMAGED when a value is not what the schema
 * promises, results are written on success only ---- */

struct postgres_row {
    const PGresult *result;
    int number;
};

int MUST_CHECK row_integer(struct postgres_row row, int column, int64_t min, int64_t max,
                           int64_t *ret_value);
/* NULL becomes `absent`. */
int MUST_CHECK row_optional(struct postgres_row row, int column, int64_t min, int64_t max,
                            int64_t absent, int64_t *ret_value);
int MUST_CHECK row_boolean(struct postgres_row row, int column, bool *ret_value);
/* The bytes last as long as the result; NULL has none. */
int MUST_CHECK row_text(struct postgres_row row, int column, size_t size_min, size_t size_max,
                        struct slice *ret_text);
/* Room for the largest text and its terminator. */
int MUST_CHECK row_text_copy(struct postgres_row row, int column, size_t size_max, char *room);

/* The columns postgres_coupon_decode expects, in its order. */
#define PG_COUPON_COLUMNS                                                                          \
    "id, title, total_quantity, issued_quantity, discount_amount, min_available_amount, "          \
    "date_issue_start, date_issue_end, paused, metadata, version, date_created, date_updated, "    \
    "date_archived"
/* The columns postgres_issue_decode expects; the coupon's id is known to the caller. */
#define PG_ISSUE_COLUMNS "rank_no, user_id, request_key, date_issued"

int MUST_CHECK postgres_coupon_decode(struct postgres_row row, struct coupon_record *ret_coupon);
/* The row's texts last as long as the result. */
int MUST_CHECK postgres_issue_decode(struct postgres_row row, uint64_t coupon_id,
                                     struct issue_row *ret_issue);
/* The same with room of its own. */
int MUST_CHECK postgres_issue_copy(struct postgres_row row, uint64_t coupon_id,
                                   struct issue_record *ret_issue);

/* ---- postgres_query.c ----
 *
 * A negative answer tells what the failure means and leaves the server's words in the ledger;
 * postgres_fail makes a complaint of them. A connection that was lost is closed by then, and
 * the transaction with it. A result is the caller's to PQclear. */

/* Runs a prepared statement on a ledger that is connected. */
int MUST_CHECK postgres_run(struct postgres_ledger *ledger, enum postgres_statement statement,
                            const struct postgres_values *values, PGresult **ret_result);
/* The same for one whose answer is only how many rows it changed. */
int MUST_CHECK postgres_run_change(struct postgres_ledger *ledger,
                                   enum postgres_statement statement,
                                   const struct postgres_values *values, uint64_t *ret_changed);
/* Runs a text, which may be several statements; the answer (as text) is the last one's.
 * `ret_result` may be NULL. */
int MUST_CHECK postgres_run_text(struct postgres_ledger *ledger, const char *text,
                                 PGresult **ret_result);
int MUST_CHECK postgres_prepare(struct postgres_ledger *ledger, enum postgres_statement statement,
                                const char *text);
/* postgres_run for a read by itself: connects where it must, and asks once more on a new
 * connection when the old one turns out to be lost. */
int MUST_CHECK postgres_read(struct postgres_ledger *ledger, enum postgres_statement statement,
                             const struct postgres_values *values, PGresult **ret_result);
/* "cannot DOING postgresql://…: WHY (SQLSTATE); what to do". Returns `status`. */
int postgres_fail(const struct postgres_ledger *ledger, int status, const char *doing,
                  struct complaint *complaint);
/* Keeps words of the server or of libpq as the reason, on one line. */
void postgres_note(struct postgres_ledger *ledger, const char *why);

/* ---- postgres_connection.c ---- */

/* Connects unless it is connected: settings of the session, what the server promises, the
 * schema, prepared statements. Within the pause after a failed attempt STATUS_IO at once. From
 * a ledger that was opened it is STATUS_IO or STATUS_NO_MEMORY, whatever is wrong. */
int MUST_CHECK postgres_connect(struct postgres_ledger *ledger, struct complaint *complaint);
/* Whether the server has not ended the session, as far as is known here without asking it. */
bool postgres_is_alive(struct postgres_ledger *ledger);
/* Closes the connection; what it had begun, the server rolls back. Takes note of none, too. */
void postgres_disconnect(struct postgres_ledger *ledger);

/* ---- postgres_schema.c ---- */

/* Makes the tables or brings them up to date, unless the ledger is existing_only. */
int MUST_CHECK postgres_migrate(struct postgres_ledger *ledger, struct complaint *complaint);
int MUST_CHECK postgres_statements_prepare(struct postgres_ledger *ledger,
                                           struct complaint *complaint);

/* ---- postgres_transaction.c ---- */

/* What a transaction does between its begin and its commit. It may be called again with the
 * same context after a rollback, and must not keep anything of the attempt before. */
typedef int (*postgres_change)(struct postgres_ledger *ledger, void *context,
                               struct complaint *complaint);

/* One transaction around the change, replayed a bounded number of times when the server undid
 * it for another session's sake. STATUS_AMBIGUOUS: its COMMIT has no answer. */
int MUST_CHECK postgres_transact(struct postgres_ledger *ledger, postgres_change change,
                                 void *context, struct complaint *complaint);
/* Rolls back what is open, after the failure `status`, which is returned. */
int postgres_abort(struct postgres_ledger *ledger, int status);

/* ---- the calls, as in struct ledger_operations ---- */

static inline struct postgres_ledger *postgres_of(struct ledger *ledger) {
    return (struct postgres_ledger *)ledger;
}

/* postgres_write.c */
int postgres_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                    const struct issued_count *counts, size_t coupon_count,
                    struct complaint *complaint);
int postgres_import(struct ledger *ledger, const struct coupon_import *import,
                    const struct slice *users, struct complaint *complaint);
int postgres_coupon_create(struct ledger *ledger, struct coupon_record *coupon,
                           const struct creation_key *key, const struct audit *audit,
                           struct complaint *complaint);
int postgres_coupon_change(struct ledger *ledger, const struct coupon_record *coupon,
                           const struct audit *audit, struct complaint *complaint);
int postgres_probe(struct ledger *ledger, struct complaint *complaint);
/* For a transaction that has begun. */
int MUST_CHECK postgres_coupons_lock(struct postgres_ledger *ledger, const uint64_t *ids,
                                     size_t count, struct complaint *complaint);
/* … and has locked the coupons. */
int MUST_CHECK postgres_issues_write(struct postgres_ledger *ledger, const struct issue_row *issues,
                                     size_t issue_count, const struct issued_count *counts,
                                     size_t coupon_count, struct complaint *complaint);
int postgres_tend(struct ledger *ledger, bool idle, struct complaint *complaint);

/* postgres_read.c */
int postgres_latest_us(struct ledger *ledger, int64_t *ret_latest_us);
int postgres_creation_read(struct ledger *ledger, const struct creation_key *key,
                           uint64_t *ret_coupon_id);
int postgres_coupon_read(struct ledger *ledger, uint64_t coupon_id,
                         struct coupon_record *ret_coupon);
int postgres_coupons_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                          struct coupon_record *ret_coupons, size_t *ret_count);
int postgres_issue_read(struct ledger *ledger, struct issue_reference reference,
                        struct issue_record *ret_issue);
int postgres_issues_read(struct ledger *ledger, struct issue_reference after, size_t limit,
                         struct issue_record *ret_issues, size_t *ret_count);
int postgres_audits_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                         struct audit_record *ret_audits, size_t *ret_count);
int postgres_check(struct ledger *ledger, struct complaint *complaint);

/* postgres_settle.c */
extern const struct ledger_shared_operations postgres_shared_operations;

/* postgres_partitions.c */
extern const struct ledger_partition_operations postgres_partition_operations;

/* postgres_visit.c */
int postgres_visit(struct ledger *ledger, const struct ledger_visitor *visitor,
                   struct complaint *complaint);

#endif

/* sql_server: the SQL server of a run: the tables of the record, sessions with their transactions
 * and row locks, READ COMMITTED, keys and CHECKs as the schema has them. A model of
 * what PostgreSQL and MariaDB promise; not for their SQL (tests/contract).
 *
 * In some runs what is committed is durable before anybody sees it. In the others it is seen first
 * and durable when the log is synced, as in InnoDB, and as in PostgreSQL when somebody ends the
 * session that waits for its standby: a crash, or a fail-over, takes back what was seen.
 *
 * A session's writes are kept apart until its COMMIT, so others do not see them; whoever locks a
 * row has it until then. Called by sql_store.c, which is the way there and back. */
#ifndef SIM_DISTRIBUTED_SQL_SERVER_H
#define SIM_DISTRIBUTED_SQL_SERVER_H

#include "sim/distributed/sql_tables.h"

struct sql_server {
    bool up;
    int64_t clock_skew_us; /* of its clock, which may step */
    int64_t slow_until_us; /* statements take long until then */
    bool shows_unsynced;   /* a COMMIT is seen by all before its log is on the disk */
    uint64_t crashes;
    struct sql_tables shown;  /* by statements */
    struct sql_tables record; /* what a crash leaves */
};

struct sql_session {
    struct sql_session *next;
    struct process *process;
    bool open;
    bool in_transaction;
    bool in_commit;  /* COMMIT is on its way */
    uint64_t number; /* of its present transaction: an answer is for one */
    int64_t heard_us;
    int64_t idle_timeout_us;
    struct sql_writes writes; /* that nobody else sees */
};

struct sql_server *sql_server(void);
void sql_server_begin(void);
/* A coupon as of the beginning of the run. */
void sql_coupon_add(const struct coupon_record *coupon);
struct sql_coupon *sql_coupon_find(uint64_t coupon_id);           /* as shown; NULL */
const struct sql_coupon *sql_coupon_recorded(uint64_t coupon_id); /* as in the record; NULL */
int64_t sql_clock_us(void);

struct sql_session *sql_session_new(struct process *process, int64_t idle_timeout_us);
/* Rolls back, drops locks; its next statement finds it ended. */
void sql_session_end(struct sql_session *session);
void sql_begin(struct sql_session *session);
void sql_rollback(struct sql_session *session);
/* What it wrote is there for everybody. It is in the record, for ever, at the moment that this
 * returns, unless the server crashes before: now_us(), or later where it shows what it has not
 * synced. */
int64_t sql_commit(struct sql_session *session);
/* One row of no session's, committed at once. */
void sql_cursor_write(const struct ledger_cursor *cursor);
/* The process is no more: its sessions end soon, a COMMIT on its way may come first. */
void sql_process_died(struct process *process);
/* All sessions end, and what was not synced is no more; it is down until it is started. */
void sql_server_crash(void);
void sql_server_start(void);

/* Takes the lock, if it is free or its own. */
bool sql_lock(struct sql_session *session, struct sql_session **locked_by);
/* The statement of a settlement: raises counts, inserts rows. STATUS_CONFLICT: a key is taken, or
 * no coupon has fewer. */
int sql_write(struct sql_session *session, const struct issue_row *rows, size_t row_count,
              const struct issued_count *counts, size_t count_count, struct complaint *complaint);
void sql_rejects_add(struct sql_session *session, const struct ledger_cursor *cursor,
                     const struct settle_claim *const *rejects, size_t count);
/* Ends transactions in which nobody said anything for too long. */
void sql_end_idle(void);

#endif

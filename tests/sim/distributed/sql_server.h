/* sql_server: the SQL server of a run: the tables of the record, sessions with their transactions
 * and row locks, READ COMMITTED, keys and CHECKs as the schema has them. What is committed is
 * durable. A model of what PostgreSQL and MariaDB promise; not for their SQL (tests/contract).
 *
 * A session's writes are kept apart until its COMMIT, so others do not see them; whoever locks a
 * row has it until then. Called by sql_store.c, which is the way there and back. */
#ifndef SIM_DISTRIBUTED_SQL_SERVER_H
#define SIM_DISTRIBUTED_SQL_SERVER_H

#include "ledger/ledger.h"
#include "sim/distributed/scheduler.h"

struct sql_session;

struct sql_issue {
    struct issue_row row;
    int64_t committed_us;   /* the world's time */
    int64_t epoch_since_us; /* the epoch that settled it began; 0: the first */
};

struct sql_coupon {
    struct coupon_record record;
    struct sql_issue *issues; /* by rank */
    size_t issue_count;
    size_t issue_capacity;
    struct coupon_revision *revisions;
    size_t revision_count;
    size_t revision_capacity;
    struct sql_session *locked_by;
};

struct sql_partition {
    uint64_t epoch;
    int64_t epoch_since_us; /* 0: it is the first, or none */
    uint64_t n;
    struct sql_session *locked_by;
};

#define SQL_COUPONS_MAX 8

struct sql_server {
    bool up;
    int64_t clock_skew_us; /* of its clock, which may step */
    int64_t slow_until_us; /* statements take long until then */
    struct sql_partition partitions[PARTITION_COUNT];
    struct sql_coupon *coupons[SQL_COUPONS_MAX]; /* by id */
    size_t coupon_count;
    struct reject_record *rejects; /* by place */
    size_t reject_count;
    size_t reject_capacity;
};

/* What a transaction has written and nobody else sees. */
struct sql_session {
    struct sql_session *next;
    struct process *process;
    bool open;
    bool in_transaction;
    bool in_commit;  /* COMMIT is on its way */
    uint64_t number; /* of its present transaction: an answer is for one */
    int64_t heard_us;
    int64_t idle_timeout_us;
    struct issue_row *rows;
    size_t row_count;
    size_t row_capacity;
    struct issued_count counts[SQL_COUPONS_MAX];
    size_t count_count;
    struct reject_record *rejects;
    size_t reject_count;
    size_t reject_capacity;
    struct ledger_cursor cursor; /* that is written … */
    bool writes_cursor;
    bool raises_epoch;                  /* … or begins anew */
    const struct coupon_record *change; /* of a coupon */
};

struct sql_server *sql_server(void);
void sql_server_begin(void);
/* A coupon as of the beginning of the run. */
void sql_coupon_add(const struct coupon_record *coupon);
struct sql_coupon *sql_coupon_find(uint64_t coupon_id); /* NULL */
const struct sql_issue *sql_issue_of(const struct sql_coupon *coupon, struct slice user_id);
int64_t sql_clock_us(void);
/* Of the coupon's last issue or change. */
int64_t sql_coupon_latest_us(const struct sql_coupon *coupon);

struct sql_session *sql_session_new(struct process *process, int64_t idle_timeout_us);
/* Rolls back, drops locks; its next statement finds it ended. */
void sql_session_end(struct sql_session *session);
void sql_begin(struct sql_session *session);
void sql_rollback(struct sql_session *session);
/* What it wrote is there, for everybody and for ever. */
void sql_commit(struct sql_session *session);
/* The process is no more: its sessions end soon, a COMMIT on its way may come first. */
void sql_process_died(struct process *process);
/* All sessions end; it is down until it is started. */
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

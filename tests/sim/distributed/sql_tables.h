/* sql_tables: the tables of the record, and what a transaction writes into them. There are two of
 * them in a run: the one that statements see, and the one that a crash leaves, which the oracle
 * watches and judges by. Not for sessions, locks and the log between the two: sql_server.h. */
#ifndef SIM_DISTRIBUTED_SQL_TABLES_H
#define SIM_DISTRIBUTED_SQL_TABLES_H

#include "ledger/ledger.h"
#include "sim/distributed/scheduler.h"

struct sql_session;

struct sql_issue {
    struct issue_row row;
    int64_t committed_us;   /* the world's time; in the record: when it was durable */
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

struct sql_tables {
    bool is_record; /* the oracle is told what is written */
    struct sql_partition partitions[PARTITION_COUNT];
    struct sql_coupon *coupons[SQL_COUPONS_MAX]; /* by id */
    size_t coupon_count;
    struct reject_record *rejects; /* by place */
    size_t reject_count;
    size_t reject_capacity;
};

/* What a transaction writes: its memory is the world's. */
struct sql_writes {
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
    bool probes;                        /* a row that nobody reads */
};

/* Below, at or above 0: a is before b, the same, behind it. */
int sql_place_order(const struct reject_place *a, const struct reject_place *b);

bool sql_writes_nothing(const struct sql_writes *writes);

/* Of the world's memory: room for `more` of an array that grows. */
void *sql_grown(void *array, size_t count, size_t more, size_t *capacity, size_t size);

void sql_tables_coupon_add(struct sql_tables *tables, const struct coupon_record *record);
struct sql_coupon *sql_tables_coupon(const struct sql_tables *tables, uint64_t id); /* NULL */
const struct sql_issue *sql_issue_of(const struct sql_coupon *coupon, struct slice user_id);
/* Of the coupon's last issue or change. */
int64_t sql_coupon_latest_us(const struct sql_coupon *coupon);

void sql_tables_write(struct sql_tables *tables, const struct sql_writes *writes);
/* Takes back what only `shown` has. Nobody may hold a lock. */
void sql_tables_take_back(struct sql_tables *shown, const struct sql_tables *record);

#endif

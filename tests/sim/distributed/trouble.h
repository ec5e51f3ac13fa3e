/* trouble: what goes wrong in a run: how often, when, and how often it really did. Each run has
 * some kinds of it and not others, drawn from its seed, so that rare ones meet in pairs and some
 * runs have none (swarm testing: Groce and others, 2012). For all parts of the simulation. */
#ifndef SIM_DISTRIBUTED_TROUBLE_H
#define SIM_DISTRIBUTED_TROUBLE_H

#include "sim/distributed/redis_servers.h"

enum trouble {
    /* the network to Redis */
    TROUBLE_REDIS_LATE,
    TROUBLE_REDIS_REQUEST_LOST,
    TROUBLE_REDIS_ANSWER_LOST,
    TROUBLE_REDIS_APART, /* a process cannot reach a server for a while */
    TROUBLE_HINT_LOST,
    TROUBLE_HINT_LATE,
    /* Redis */
    TROUBLE_REDIS_PAUSED,
    TROUBLE_REDIS_FULL,
    TROUBLE_REDIS_DISK_FAILED,
    TROUBLE_REDIS_EMPTIED,
    TROUBLE_REDIS_EVICTED,
    TROUBLE_REDIS_NEW_REPLID,
    TROUBLE_REDIS_RESTART,
    TROUBLE_REDIS_FAILOVER,
    TROUBLE_REDIS_SPLIT,
    TROUBLE_REDIS_FAIL_BACK, /* the old master is master again */
    TROUBLE_REDIS_CLOCK_STEP,
    /* the SQL server */
    TROUBLE_SQL_LATE,
    TROUBLE_SQL_CONNECTION_LOST,
    TROUBLE_SQL_DEADLOCK,
    TROUBLE_SQL_LOCK_TIMEOUT,
    TROUBLE_SQL_LOST_BEFORE_COMMIT,
    TROUBLE_SQL_COMMIT_ANSWER_LOST,
    TROUBLE_SQL_COMMIT_REFUSED,
    TROUBLE_SQL_CRASH_BEFORE_COMMIT,
    TROUBLE_SQL_CRASH_AFTER_COMMIT,
    TROUBLE_SQL_CRASH,
    TROUBLE_SQL_SLOW,
    TROUBLE_SQL_SYNC_LATE, /* what was committed is seen, and not durable for long */
    TROUBLE_SQL_CRASH_BEFORE_SYNC,
    TROUBLE_SQL_CLOCK_STEP,
    /* programs */
    TROUBLE_WORKER_KILLED,
    TROUBLE_WORKER_PAUSED,
    TROUBLE_WORKER_STOPPED,
    TROUBLE_SETTLER_KILLED, /* within its transaction, worker or node */
    TROUBLE_SETTLER_PAUSED,
    TROUBLE_NODE_KILLED,
    TROUBLE_NODE_PAUSED,
    TROUBLE_NODE_STOPPED,
    /* people */
    TROUBLE_ANSWER_LOST, /* on its way to the client */
    TROUBLE_CLIENT_GIVES_UP,
    TROUBLE_COUPON_PAUSED,
    TROUBLE_QUANTITY_RAISED,
    TROUBLE_QUANTITY_NARROWED,
    TROUBLE_PERIOD_CHANGED,
    /* what comes of the others by itself: counted, not drawn */
    TROUBLE_SQL_IDLE_ENDED,
    TROUBLE_SQL_TAKEN_BACK, /* a crash has undone what was seen */
    TROUBLE_WORKERS_MEET,
    TROUBLE_ADMISSION_LOST,
    TROUBLE_LATE_SETTLEMENT, /* of an epoch that is over: dropped */
    TROUBLE_COUNT
};
const char *trouble_name(enum trouble what);

/* Draws the run's kinds and times, of a run without Redis those that it can have. They end at
 * `until_us`. */
void trouble_begin(int64_t until_us, bool with_redis);
/* Whether this kind happens here and now; counts it. */
bool trouble_strikes(enum trouble what);
void trouble_count(enum trouble what);
/* How often each has happened in all runs of this program. */
const uint64_t *trouble_counts(void);
/* Nothing in this run takes anything from Redis that it was told, or opens a gate late: then
 * every admission must be settled. */
bool trouble_redis_keeps_all(void);
/* A gate may not be closed, or not be seen closed, when a coupon is changed in this run. */
bool trouble_redis_may_be_deaf(void);
/* All is well from now on: servers are up and reachable, programs run. */
void trouble_end(void);

/* ---- the network ---- */

int64_t trouble_redis_delay(void);
int64_t trouble_hint_delay(void); /* besides */
int64_t trouble_sql_delay(void);
int64_t trouble_sql_sync(void); /* of the log, behind what was shown */
bool trouble_is_apart(const struct process *process, const struct redis_server *server);
/* A settlement of this process has written all of its rows. */
void trouble_settler(struct process *process);
void trouble_sql_crash(void); /* it is back after a while */

#endif

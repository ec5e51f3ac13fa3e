/* strategy: what a design fills, and what it is given to work with.
 *
 * The designs are those of the original system's story, each in a file of its own that says what
 * it does, what a claim costs and where it breaks: race.c, sql_lock.c, redis_lock.c, sorted_set.c,
 * set.c, set_lock.c, lua.c. All run alike (pool.c): behind the project's own HTTP and API, by a
 * pool of threads, each with connections of its own that it waits for.
 *
 * Not for: anybody's use. They are here to be measured and to be seen breaking, by
 * `./dev bench strategies`; src/issuer is what is to be used. */
#ifndef COUPON_STRATEGIES_STRATEGY_H
#define COUPON_STRATEGIES_STRATEGY_H

#include "issuer/issuer.h"

#include <hiredis/hiredis.h>
#include <mysql.h>

/* ---- a design ---- */

struct desk;

struct strategy {
    const char *name;
    const char *summary;
    bool uses_redis;
    bool queues; /* success is told once Redis has it, and drain.c writes the rows */
    /* After every connection to Redis that was opened; may be NULL. */
    int (*redis_opened)(struct desk *desk);
    /* Leaves verdict, rank and issued_at_us in the claim. STATUS_NOT_FOUND: there is no such
     * coupon; any other failure is a server's, and what it wrote is not known. */
    int (*claim)(struct desk *desk, struct claim *claim);
};

extern const struct strategy strategy_race;
extern const struct strategy strategy_sql_lock;
extern const struct strategy strategy_redis_lock;
extern const struct strategy strategy_sorted_set;
extern const struct strategy strategy_set;
extern const struct strategy strategy_set_lock;
extern const struct strategy strategy_lua;

/* ---- what a claim is judged by (judge.c) ---- */

struct coupon {
    int64_t total; /* COUPON_UNLIMITED */
    int64_t issued;
    int64_t start_us;
    int64_t end_us;
};

/* Whether the period has begun and not ended; the refusal is left otherwise. */
bool judge_period(const struct coupon *coupon, struct claim *claim);
/* Whether fewer than the total are issued; the refusal is left otherwise. */
bool judge_quantity(const struct coupon *coupon, int64_t issued, struct claim *claim);
/* What the SQL designs ask before they write: the period, the user, the quantity. */
bool judge_all(const struct coupon *coupon, bool holds_one, struct claim *claim);
/* The answers. The Redis designs do not know what a user holds, only that it is one. */
void judged_issued(struct claim *claim, int64_t rank);
void judged_already_issued(struct claim *claim);

/* ---- what a thread works with: connections that it waits for ---- */

/* redis://USER:PASSWORD@HOST:PORT or mysql://USER:PASSWORD@HOST:PORT/DATABASE, taken apart. */
struct address {
    char user[128];
    char password[128];
    char host[128];
    char database[64];
    uint16_t port;
};
int MUST_CHECK address_read(const char *url, const char *scheme, struct address *ret_address,
                            struct complaint *complaint);

/* A connection that failed is closed, which rolls back what it was about, and the next claim opens
 * it anew. One thread's. */
struct desk {
    const struct strategy *strategy;
    const struct address *redis_address;
    const struct address *sql_address;
    redisContext *redis; /* NULL: not open, as is the next */
    MYSQL *sql;
    char script[41]; /* the name that Redis gave it (lua.c) */
    struct {
        uint64_t id; /* 0: none */
        int64_t until_us;
        struct coupon coupon;
    } cached;
    struct complaint why; /* of the last failure */
    bool failed;          /* the last claim did */
};

/* Opens what the design uses. STATUS_IO with desk->why. */
int MUST_CHECK desk_open(struct desk *desk);
void desk_close(struct desk *desk);

/* ---- SQL (store_sql.c). All: STATUS_IO, and then the connection is closed. ---- */

/* A statement; text goes into it by sql_text. STATUS_EXISTS: a key is taken. */
int MUST_CHECK sql_run(struct desk *desk, const char *format, ...) PRINTF_LIKE(2, 3);
int MUST_CHECK sql_run_long(struct desk *desk, struct slice statement);
/* The first row's values; STATUS_NOT_FOUND: no row. A NULL is -1, as COUPON_UNLIMITED. */
int MUST_CHECK sql_read(struct desk *desk, int64_t *ret_values, size_t count, const char *format,
                        ...) PRINTF_LIKE(4, 5);
/* As a literal without its quotes: `room` has twice the text's size and 1. */
const char *sql_text(struct desk *desk, struct slice text, char *room);
int MUST_CHECK sql_open(struct desk *desk);
void sql_close(struct desk *desk);

#define SQL_TEXT_ROOM(size_max) (2 * (size_max) + 1)

/* ---- the two tables (tables.c) ---- */

int MUST_CHECK tables_make(struct desk *desk);
/* `lock`: "" or "FOR UPDATE". */
int MUST_CHECK coupon_read(struct desk *desk, uint64_t coupon_id, const char *lock,
                           struct coupon *ret_coupon);
/* The same, up to a second old: what the Redis designs judge the period and the total by. */
int MUST_CHECK coupon_read_cached(struct desk *desk, uint64_t coupon_id, struct coupon *ret_coupon);
int MUST_CHECK issue_exists(struct desk *desk, const struct claim *claim, bool *ret_exists);
int MUST_CHECK issue_insert(struct desk *desk, const struct claim *claim);
/* JOB_COUPON_CREATE and JOB_COUPON_READ; STATUS_NOT_FOUND for all others. */
int MUST_CHECK tables_command(struct desk *desk, struct command *command);

/* ---- Redis (store_redis.c). All: STATUS_IO, and then the connection is closed. ---- */

int MUST_CHECK redis_open(struct desk *desk);
void redis_close(struct desk *desk);
/* As redisCommand of hiredis. NULL: failed, an error that Redis answers included. */
redisReply *redis_ask(struct desk *desk, const char *format, ...);
/* An integer that is answered; OK is 1. STATUS_CONFLICT: nil. */
int MUST_CHECK redis_number(struct desk *desk, int64_t *ret_number, const char *format, ...);

/* The list of what was promised and has no row yet, and an entry of it: "COUPON TIME USER". */
#define QUEUE          "strategies:queue"
#define QUEUE_ROOM_MAX (USER_ID_MAX + 64)
size_t redis_entry(const struct claim *claim, char room[static QUEUE_ROOM_MAX]);
int MUST_CHECK redis_queue(struct desk *desk, const struct claim *claim);

/* ---- shared by designs ---- */

/* Lets `claim_within` have the claim while this thread holds the coupon's lock in Redis.
 * STATUS_BUSY: it could not be had for ten seconds. (redis_lock.c) */
int MUST_CHECK redis_lock_around(struct desk *desk, struct claim *claim,
                                 int (*claim_within)(struct desk *, struct claim *));
int MUST_CHECK race_claim(struct desk *desk, struct claim *claim);
int MUST_CHECK set_claim(struct desk *desk, struct claim *claim);

/* ---- the worker of the designs that queue (drain.c) ---- */

struct drain;
/* Writes rows from the queue in a thread of its own until it is stopped. */
int MUST_CHECK drain_start(const struct address *redis, const struct address *sql,
                           struct drain **ret_drain, struct complaint *complaint);
void drain_stop(struct drain *drain); /* after the transaction under way; takes NULL */
/* Until the queue is empty, in this thread. */
int MUST_CHECK drain_all(const struct address *redis, const struct address *sql, uint64_t *ret_rows,
                         struct complaint *complaint);

/* ---- the issuer (pool.c) ---- */

struct pool_options {
    const struct strategy *strategy;
    struct address redis;
    struct address sql;
    unsigned threads;
    bool drains;
};
/* Opens every connection and makes the tables, then is READY for good: a server that goes away
 * makes claims fail, each for itself. */
int MUST_CHECK pool_start(const struct pool_options *options, struct issuer **ret_issuer,
                          struct complaint *complaint);

#endif

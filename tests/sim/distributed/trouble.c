/* Draws and does what goes wrong: see trouble.h. */
#include "sim/distributed/trouble.h"

#include "sim/distributed/people.h"
#include "sim/distributed/programs.h"
#include "sim/distributed/redis_client.h"
#include "sim/distributed/sql_server.h"

#define APART_MAX 16

/* How often a kind strikes where it can (one in `one_in`), or how many times in a run. */
struct kind {
    const char *name;
    unsigned one_in; /* 0: not drawn at its place … */
    unsigned times;  /* … but so often, at most, at drawn moments */
    bool loses;      /* Redis may forget what it was told, or a gate be opened late */
};

static const struct kind kinds[TROUBLE_COUNT] = {
    [TROUBLE_REDIS_LATE] = {"redis-late", 60, 0, true},
    [TROUBLE_REDIS_REQUEST_LOST] = {"redis-request-lost", 400, 0, false},
    [TROUBLE_REDIS_ANSWER_LOST] = {"redis-answer-lost", 400, 0, false},
    [TROUBLE_REDIS_APART] = {"redis-apart", 0, 3, false},
    [TROUBLE_HINT_LOST] = {"hint-lost", 25, 0, false},
    [TROUBLE_HINT_LATE] = {"hint-late", 10, 0, false},
    [TROUBLE_REDIS_PAUSED] = {"redis-paused", 0, 2, false},
    [TROUBLE_REDIS_FULL] = {"redis-full", 0, 1, false},
    [TROUBLE_REDIS_DISK_FAILED] = {"redis-disk-failed", 0, 1, false},
    [TROUBLE_REDIS_EMPTIED] = {"redis-emptied", 0, 2, true},
    [TROUBLE_REDIS_EVICTED] = {"redis-evicted", 0, 4, true},
    [TROUBLE_REDIS_NEW_REPLID] = {"redis-new-replid", 0, 2, true},
    [TROUBLE_REDIS_RESTART] = {"redis-restart", 0, 2, true},
    [TROUBLE_REDIS_FAILOVER] = {"redis-failover", 0, 2, true},
    [TROUBLE_REDIS_SPLIT] = {"redis-split", 0, 2, true},
    [TROUBLE_REDIS_FAIL_BACK] = {"redis-fail-back", 0, 1, true},
    [TROUBLE_REDIS_CLOCK_STEP] = {"redis-clock-step", 0, 2, false},
    [TROUBLE_SQL_LATE] = {"sql-late", 60, 0, false},
    [TROUBLE_SQL_CONNECTION_LOST] = {"sql-connection-lost", 250, 0, false},
    [TROUBLE_SQL_DEADLOCK] = {"sql-deadlock", 60, 0, false},
    [TROUBLE_SQL_LOCK_TIMEOUT] = {"sql-lock-timeout", 60, 0, false},
    [TROUBLE_SQL_LOST_BEFORE_COMMIT] = {"sql-lost-before-commit", 40, 0, false},
    [TROUBLE_SQL_COMMIT_ANSWER_LOST] = {"sql-commit-answer-lost", 40, 0, false},
    [TROUBLE_SQL_COMMIT_REFUSED] = {"sql-commit-refused", 40, 0, false},
    [TROUBLE_SQL_CRASH_BEFORE_COMMIT] = {"sql-crash-before-commit", 100, 0, false},
    [TROUBLE_SQL_CRASH_AFTER_COMMIT] = {"sql-crash-after-commit", 100, 0, false},
    [TROUBLE_SQL_CRASH] = {"sql-crash", 0, 2, false},
    [TROUBLE_SQL_SLOW] = {"sql-slow", 0, 2, false},
    [TROUBLE_SQL_SYNC_LATE] = {"sql-sync-late", 20, 0, false},
    [TROUBLE_SQL_CRASH_BEFORE_SYNC] = {"sql-crash-before-sync", 3, 0, false},
    [TROUBLE_SQL_CLOCK_STEP] = {"sql-clock-step", 0, 2, false},
    [TROUBLE_WORKER_KILLED] = {"worker-killed", 0, 4, false},
    [TROUBLE_WORKER_PAUSED] = {"worker-paused", 0, 4, true},
    [TROUBLE_WORKER_STOPPED] = {"worker-stopped", 0, 1, false},
    [TROUBLE_SETTLER_KILLED] = {"settler-killed", 60, 0, false},
    [TROUBLE_SETTLER_PAUSED] = {"settler-paused", 60, 0, false},
    [TROUBLE_NODE_KILLED] = {"node-killed", 0, 2, false},
    [TROUBLE_NODE_PAUSED] = {"node-paused", 0, 3, true},
    [TROUBLE_NODE_STOPPED] = {"node-stopped", 0, 1, false},
    [TROUBLE_ANSWER_LOST] = {"answer-lost", 12, 0, false},
    [TROUBLE_CLIENT_GIVES_UP] = {"client-gives-up", 8, 0, false},
    [TROUBLE_COUPON_PAUSED] = {"coupon-paused", 0, 2, false},
    [TROUBLE_QUANTITY_RAISED] = {"quantity-raised", 0, 2, false},
    [TROUBLE_QUANTITY_NARROWED] = {"quantity-narrowed", 0, 2, false},
    [TROUBLE_PERIOD_CHANGED] = {"period-changed", 0, 2, false},
    [TROUBLE_SQL_IDLE_ENDED] = {"sql-idle-ended", 0, 0, false},
    [TROUBLE_SQL_TAKEN_BACK] = {"sql-taken-back", 0, 0, false},
    [TROUBLE_WORKERS_MEET] = {"workers-meet", 0, 0, false},
    [TROUBLE_ADMISSION_LOST] = {"admission-lost", 0, 0, false},
    [TROUBLE_LATE_SETTLEMENT] = {"late-settlement", 0, 0, false},
};

static struct {
    bool enabled[TROUBLE_COUNT];
    bool over;
    bool keeps_all;
    int64_t redis_delay_us;
    int64_t sql_delay_us;
    struct {
        const struct process *process;
        const struct redis_server *server;
        int64_t until_us;
    } apart[APART_MAX];
    size_t apart_count;
    uint64_t counts[TROUBLE_COUNT]; /* of all runs */
} world;

const char *trouble_name(enum trouble what) {
    return kinds[what].name;
}

const uint64_t *trouble_counts(void) {
    return world.counts;
}

void trouble_count(enum trouble what) {
    world.counts[what]++;
    trace("trouble %s", kinds[what].name);
}

bool trouble_strikes(enum trouble what) {
    if (!world.enabled[what] || world.over || !random_chance(dice(), 1, kinds[what].one_in)) {
        return false;
    }
    trouble_count(what);
    return true;
}

bool trouble_redis_keeps_all(void) {
    return world.keeps_all;
}

bool trouble_redis_may_be_deaf(void) {
    for (enum trouble what = TROUBLE_REDIS_LATE; what <= TROUBLE_REDIS_FAIL_BACK; what++) {
        if (world.enabled[what]) {
            return true;
        }
    }
    return false;
}

/* ---- the network ---- */

/* Mostly near the usual, sometimes several times that. */
static int64_t delay(int64_t usual_us) {
    int64_t drawn_us = random_between(dice(), usual_us / 2, usual_us * 3 / 2);
    return random_chance(dice(), 1, 40) ? drawn_us * 6 : drawn_us;
}

int64_t trouble_redis_delay(void) {
    int64_t late_us =
        trouble_strikes(TROUBLE_REDIS_LATE) ? random_between(dice(), 5000, 400000) : 0;
    return delay(world.redis_delay_us) + late_us;
}

int64_t trouble_hint_delay(void) {
    return trouble_strikes(TROUBLE_HINT_LATE) ? random_between(dice(), 1000, 300000) : 0;
}

int64_t trouble_sql_delay(void) {
    int64_t late_us = trouble_strikes(TROUBLE_SQL_LATE) ? random_between(dice(), 5000, 300000) : 0;
    return delay(world.sql_delay_us) + late_us;
}

bool trouble_is_apart(const struct process *process, const struct redis_server *server) {
    for (size_t i = 0; i < world.apart_count && !world.over; i++) {
        if (world.apart[i].process == process && world.apart[i].server == server &&
            world.apart[i].until_us > now_us()) {
            return true;
        }
    }
    return false;
}

static void part(struct process *process, struct redis_server *server, int64_t for_us) {
    if (world.apart_count < APART_MAX) {
        world.apart[world.apart_count].process = process;
        world.apart[world.apart_count].server = server;
        world.apart[world.apart_count++].until_us = now_us() + for_us;
        clients_cut_process(process, server);
    }
}

/* ---- what befalls Redis ---- */

static struct redis_server *replica_of(const struct redis_server *master) {
    for (unsigned i = 0; server_at(i); i++) {
        if (server_at(i)->up && server_at(i)->following == master) {
            return server_at(i);
        }
    }
    return NULL;
}

static void on_start(void *context, uint64_t word) {
    struct redis_server *server = context;
    (void)word;
    if (server->up) {
        return;
    }
    struct redis_server *master = server_master();
    if (master) {
        server_follow(server, master);
        trace("redis %u follows %u", server->number, master->number);
    } else {
        size_t lost = server_start(server);
        trace("redis %u is back, %zu changes lost", server->number, lost);
    }
}

static void promote(struct redis_server *replica) {
    size_t behind = server_promote(replica);
    trace("redis %u is promoted, %zu changes behind", replica->number, behind);
}

static void on_promote(void *context, uint64_t word) {
    struct redis_server *replica = context;
    (void)word;
    if (replica->up && !replica->master && !server_master()) {
        promote(replica);
    }
}

/* The old master goes on, apart from some, until somebody tells it. */
static void on_demote(void *context, uint64_t word) {
    struct redis_server *old = context;
    struct redis_server *master = NULL;
    (void)word;
    for (unsigned i = 0; server_at(i); i++) {
        bool other = server_at(i) != old && server_at(i)->up && server_at(i)->master;
        master = other ? server_at(i) : master;
    }
    if (master && old->up && old->master) {
        server_follow(old, master);
        trace("redis %u follows %u", old->number, master->number);
    }
}

static bool fail_over(struct redis_server *master) {
    struct redis_server *replica = replica_of(master);
    if (!replica) {
        return false;
    }
    server_crash(master);
    event_at(now_us() + random_between(dice(), 5000, 600000), NULL, on_promote, replica, 0);
    event_at(now_us() + random_between(dice(), 700000, 1500000), NULL, on_start, master, 0);
    return true;
}

static bool split(struct redis_server *master) {
    struct redis_server *replica = replica_of(master);
    if (!replica) {
        return false;
    }
    int64_t for_us = random_between(dice(), 50000, 1500000);
    promote(replica);
    for (struct program *program = programs_first(); program; program = program->next) {
        bool sees_old = random_chance(dice(), 1, 2);
        part(program->process, sees_old ? replica : master, for_us);
    }
    event_at(now_us() + for_us, NULL, on_demote, master, 0);
    return true;
}

/* A planned one: the master steps down for a replica. */
static bool fail_back(struct redis_server *master) {
    struct redis_server *replica = replica_of(master);
    if (!replica) {
        return false;
    }
    promote(replica);
    server_follow(master, replica);
    return true;
}

static void on_full_over(void *context, uint64_t word) {
    struct redis_server *server = context;
    (void)word;
    server->full = server->disk_failed = false;
}

static bool befall_redis(enum trouble what) {
    struct redis_server *master = server_master();
    if (!master) {
        return false;
    }
    switch (what) {
    case TROUBLE_REDIS_APART: {
        struct program *program =
            program_any(random_chance(dice(), 1, 2) ? PROGRAM_NODE : PROGRAM_WORKER);
        if (program) {
            part(program->process, master, random_between(dice(), 5000, 1200000));
        }
        return program;
    }
    case TROUBLE_REDIS_PAUSED:
        master->paused_until_us = now_us() + random_between(dice(), 2000, 1500000);
        return true;
    case TROUBLE_REDIS_FULL:
    case TROUBLE_REDIS_DISK_FAILED:
        *(what == TROUBLE_REDIS_FULL ? &master->full : &master->disk_failed) = true;
        event_at(now_us() + random_between(dice(), 10000, 800000), NULL, on_full_over, master, 0);
        return true;
    case TROUBLE_REDIS_EMPTIED:
        server_empty(master);
        return true;
    case TROUBLE_REDIS_EVICTED: {
        struct slice key = redis_data_evict(master->data);
        trace("redis %u forgets %.*s", master->number, (int)key.size, key.bytes);
        return key.size > 0;
    }
    case TROUBLE_REDIS_NEW_REPLID:
        server_new_replid(master);
        return true;
    case TROUBLE_REDIS_RESTART:
        server_crash(master);
        event_at(now_us() + random_between(dice(), 1000, 400000), NULL, on_start, master, 0);
        return true;
    case TROUBLE_REDIS_FAILOVER:
        return fail_over(master);
    case TROUBLE_REDIS_SPLIT:
        return split(master);
    case TROUBLE_REDIS_FAIL_BACK:
        return fail_back(master);
    case TROUBLE_REDIS_CLOCK_STEP:
        master->clock_skew_us = random_between(dice(), -300000, 300000);
        return true;
    default:
        return false;
    }
}

/* ---- what befalls the SQL server and the programs ---- */

static void on_sql_start(void *context, uint64_t word) {
    (void)context;
    (void)word;
    sql_server_start();
}

void trouble_sql_crash(void) {
    sql_server_crash();
    event_at(now_us() + random_between(dice(), 2000, 1200000), NULL, on_sql_start, NULL, 0);
}

static void on_crash_before_sync(void *context, uint64_t word) {
    (void)context;
    (void)word;
    if (!world.over && sql_server()->up) {
        trouble_sql_crash();
    }
}

int64_t trouble_sql_sync(void) {
    if (!trouble_strikes(TROUBLE_SQL_SYNC_LATE)) {
        return random_between(dice(), 50, 3000);
    }
    int64_t late_us = random_between(dice(), 5000, 1500000);
    if (trouble_strikes(TROUBLE_SQL_CRASH_BEFORE_SYNC)) {
        event_at(now_us() + random_between(dice(), 1000, late_us), NULL, on_crash_before_sync, NULL,
                 0);
    }
    return late_us;
}

static bool befall_sql(enum trouble what) {
    switch (what) {
    case TROUBLE_SQL_CRASH:
        trouble_sql_crash();
        return true;
    case TROUBLE_SQL_SLOW:
        sql_server()->slow_until_us = now_us() + random_between(dice(), 5000, 1500000);
        return true;
    case TROUBLE_SQL_CLOCK_STEP:
        sql_server()->clock_skew_us = random_between(dice(), -300000, 300000);
        return true;
    default:
        return false;
    }
}

static bool befall_program(enum trouble what) {
    bool worker = what == TROUBLE_WORKER_KILLED || what == TROUBLE_WORKER_PAUSED ||
                  what == TROUBLE_WORKER_STOPPED;
    struct program *program = program_any(worker ? PROGRAM_WORKER : PROGRAM_NODE);
    if (!program) {
        return false;
    }
    if (what == TROUBLE_WORKER_KILLED || what == TROUBLE_NODE_KILLED) {
        program_kill(program);
    } else if (what == TROUBLE_WORKER_STOPPED || what == TROUBLE_NODE_STOPPED) {
        program_stop(program);
    } else {
        program_pause(program, random_between(dice(), 2000, worker ? 9000000 : 1500000));
    }
    return true;
}

static void on_settler(void *context, uint64_t what) {
    struct program *program = program_of(context);
    if (!program || !program->process->alive) {
        return;
    }
    if (what == TROUBLE_SETTLER_KILLED) {
        program_kill(program);
    } else {
        program_pause(program, random_between(dice(), 100000, 8 * US_PER_SECOND));
    }
}

void trouble_settler(struct process *process) {
    for (enum trouble what = TROUBLE_SETTLER_KILLED; what <= TROUBLE_SETTLER_PAUSED; what++) {
        if (trouble_strikes(what)) {
            event_at(now_us(), NULL, on_settler, process, what);
        }
    }
}

static bool befall_coupon(enum trouble what) {
    operator_change(what == TROUBLE_COUPON_PAUSED       ? CHANGE_PAUSE
                    : what == TROUBLE_QUANTITY_RAISED   ? CHANGE_RAISE
                    : what == TROUBLE_QUANTITY_NARROWED ? CHANGE_NARROW
                                                        : CHANGE_PERIOD);
    return true;
}

static void on_trouble(void *context, uint64_t word) {
    enum trouble what = (enum trouble)word;
    (void)context;
    if (world.over) {
        return;
    }
    bool befell = what <= TROUBLE_REDIS_CLOCK_STEP ? befall_redis(what)
                  : what <= TROUBLE_SQL_CLOCK_STEP ? befall_sql(what)
                  : what <= TROUBLE_NODE_STOPPED   ? befall_program(what)
                                                   : befall_coupon(what);
    if (befell) {
        trouble_count(what);
    }
}

static void on_idle_look(void *context, uint64_t word) {
    (void)context;
    (void)word;
    sql_end_idle();
    event_at(now_us() + 250000, NULL, on_idle_look, NULL, 0);
}

/* ---- a run ---- */

/* Some runs have nothing, some all of it, most some kinds. */
static void kinds_draw(bool with_redis) {
    uint64_t sort = random_below(dice(), 20);
    uint64_t likely = sort == 0 ? 0 : sort == 1 ? 8 : 1 + random_below(dice(), 3);
    bool keeps_all = random_chance(dice(), 1, 3);
    world.keeps_all = true;
    for (enum trouble what = 0; what < TROUBLE_COUNT; what++) {
        bool drawn = (kinds[what].one_in > 0 || kinds[what].times > 0) &&
                     (with_redis || what > TROUBLE_REDIS_CLOCK_STEP);
        world.enabled[what] =
            drawn && random_below(dice(), 8) < likely && !(keeps_all && kinds[what].loses);
        world.keeps_all &= !world.enabled[what] || !kinds[what].loses;
    }
}

void trouble_begin(int64_t until_us, bool with_redis) {
    world.over = false;
    world.apart_count = 0;
    world.redis_delay_us = random_between(dice(), 40, 400);
    world.sql_delay_us = random_between(dice(), 80, 1200);
    kinds_draw(with_redis);
    for (enum trouble what = 0; what < TROUBLE_COUNT; what++) {
        uint64_t times = world.enabled[what] && kinds[what].times > 0
                             ? 1 + random_below(dice(), kinds[what].times)
                             : 0;
        for (uint64_t i = 0; i < times; i++) {
            event_at(random_between(dice(), now_us(), until_us), NULL, on_trouble, NULL, what);
        }
    }
    event_at(now_us() + 250000, NULL, on_idle_look, NULL, 0);
}

/* One master, which the others follow. */
static void redis_settle(void) {
    struct redis_server *newest = NULL;
    for (unsigned i = 0; server_at(i); i++) {
        struct redis_server *server = server_at(i);
        server->paused_until_us = 0;
        server->full = server->disk_failed = false;
        newest = server->up && server->master ? server : newest;
    }
    for (unsigned i = 0; !newest && server_at(i); i++) {
        if (server_at(i)->up) {
            promote(server_at(i));
            newest = server_at(i);
        }
    }
    if (!newest) {
        newest = server_at(0);
        server_start(newest);
    }
    for (unsigned i = 0; server_at(i); i++) {
        if (server_at(i) != newest && server_at(i)->following != newest) {
            server_follow(server_at(i), newest);
        }
    }
}

void trouble_end(void) {
    world.over = true;
    redis_settle();
    sql_server_start();
    sql_server()->slow_until_us = 0;
    programs_resume();
    trace("all is well");
}

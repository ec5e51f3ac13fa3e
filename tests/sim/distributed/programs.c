/* Lives of nodes and workers: see programs.h. */
#include "sim/distributed/programs.h"

#include "issuer/reader.h"
#include "sim/distributed/oracle.h"
#include "sim/distributed/people.h"
#include "sim/distributed/sql_server.h"
#include "worker/worker.h"

static struct {
    struct program *first;
    bool with_redis;
    uint64_t settlements; /* of all runs */
} world;

struct program *programs_first(void) {
    return world.first;
}

struct program *program_of(const struct process *process) {
    struct program *program = world.first;
    while (program && program->process != process) {
        program = program->next;
    }
    return program;
}

struct program *program_any(enum program_kind kind) {
    struct program *found = NULL;
    uint64_t count = 0;
    for (struct program *program = world.first; program; program = program->next) {
        if (program->kind == kind && program->process->alive && !program->stopping) {
            found = random_below(dice(), ++count) == 0 ? program : found;
        }
    }
    return found;
}

/* ---- starting ---- */

/* A node's table of coupons has a quarter of a million places, which its reader walks every
 * second: here there are a few. */
int __real_reader_start(struct reader *reader, struct ledger *ledger, size_t coupons_max,
                        int64_t refresh_interval_us);
int __wrap_reader_start(struct reader *reader, struct ledger *ledger, size_t coupons_max,
                        int64_t refresh_interval_us);
int __wrap_reader_start(struct reader *reader, struct ledger *ledger, size_t coupons_max,
                        int64_t refresh_interval_us) {
    (void)coupons_max;
    return __real_reader_start(reader, ledger, 2 * SQL_COUPONS_MAX, refresh_interval_us);
}

static void on_start(void *context, uint64_t word);
static void on_kill(void *context, uint64_t word);

static struct ledger_sql_options ledger_options(void) {
    return (struct ledger_sql_options){.url = "the model's"};
}

/* The program ends with an error, and is started again. */
static void fail_to_start(struct program *program) {
    trace("%s cannot start", program->process->name);
    event_at(now_us() + 1, NULL, on_kill, program->process, 0);
}

static int start_redis_issuer(struct program *program) {
    struct issuer_redis_options options;
    struct complaint complaint = {0};
    issuer_redis_options_default(&options);
    options.redis_url = "the model's";
    options.ledger = ledger_options();
    options.answer_timeout_us = program->answer_timeout_us;
    return issuer_redis_start(&options, &program->issuer, &complaint);
}

static int start_sql_issuer(struct program *program) {
    struct issuer_sql_options options;
    struct complaint complaint = {0};
    issuer_sql_options_default(&options);
    options.ledger = ledger_options();
    return issuer_sql_start(&options, &program->issuer, &complaint);
}

static void run_node(void *context) {
    struct program *program = context;
    if (world.with_redis ? start_redis_issuer(program) : start_sql_issuer(program)) {
        fail_to_start(program);
    }
}

static void run_worker(void *context) {
    struct program *program = context;
    struct worker_options options;
    struct complaint complaint = {0};
    worker_options_default(&options);
    options.link.redis.url = "the model's";
    options.link.ledger = ledger_options();
    options.check_interval_us = 2 * US_PER_SECOND;
    struct worker *worker;
    if (worker_new(&options, &worker, &complaint)) {
        fail_to_start(program);
        return;
    }
    program->worker = worker;
    worker_run(worker);
    world.settlements += worker_figures(worker).settlements;
    program->worker = NULL;
    worker_free(worker);
    process_ended(program->process);
    if (program->process->allocation_count > 0) {
        oracle_violation("%s left %zu pieces of memory", program->process->name,
                         program->process->allocation_count);
    }
    event_at(now_us() + random_between(dice(), 1000, 500000), NULL, on_start, program, 0);
}

static void life_begin(struct program *program) {
    bool node = program->kind == PROGRAM_NODE;
    struct slice name = world_text("%s %u", node ? "node" : "worker", program->number);
    program->process = process_new(name.bytes);
    program->process->clock_skew_us = random_between(dice(), -5 * US_PER_SECOND, US_PER_SECOND);
    program->issuer = NULL;
    program->worker = NULL;
    program->stopping = false;
    trace("%s starts", name.bytes);
    fiber_new(program->process, node ? run_node : run_worker, program);
}

static void on_start(void *context, uint64_t word) {
    struct program *program = context;
    (void)word;
    if (!program->process->alive) {
        life_begin(program);
    }
}

/* ---- ending ---- */

static void life_end(struct program *program) {
    trace("%s is killed", program->process->name);
    people_cut_off(program->process);
    process_kill(program->process);
    sql_process_died(program->process);
    program->issuer = NULL;
    program->worker = NULL;
    event_at(now_us() + random_between(dice(), 1000, 900000), NULL, on_start, program, 0);
}

static void on_kill(void *context, uint64_t word) {
    struct program *program = program_of(context);
    (void)word;
    if (program && program->process->alive) {
        life_end(program);
    }
}

void program_kill(struct program *program) {
    life_end(program);
}

static void stop_node(void *context) {
    struct program *program = context;
    struct issuer *issuer = program->issuer;
    int status = issuer_stop(issuer, NULL);
    assert(status == STATUS_OK);
    program->issuer = NULL;
    issuer_free(issuer);
    process_ended(program->process);
    if (program->process->allocation_count > 0) {
        oracle_violation("%s left %zu pieces of memory", program->process->name,
                         program->process->allocation_count);
    }
    trace("%s has stopped", program->process->name);
    event_at(now_us() + random_between(dice(), 1000, 500000), NULL, on_start, program, 0);
}

static void stop_worker(void *context) {
    struct program *program = context;
    if (program->worker) {
        worker_stop(program->worker);
    }
}

void program_stop(struct program *program) {
    bool node = program->kind == PROGRAM_NODE;
    if (node ? !program->issuer : !program->worker) {
        life_end(program); /* it has no handler for the signal yet */
        return;
    }
    trace("%s is stopped", program->process->name);
    program->stopping = true;
    fiber_new(program->process, node ? stop_node : stop_worker, program);
}

/* ---- pausing ---- */

static void on_resume(void *context, uint64_t word) {
    struct process *process = context;
    (void)word;
    if (process->alive && process->paused) {
        trace("%s wakes", process->name);
        process_resume(process);
    }
}

void program_pause(struct program *program, int64_t for_us) {
    if (!program->process->paused) {
        trace("%s sleeps for %lld us", program->process->name, (long long)for_us);
        process_pause(program->process);
        event_at(now_us() + for_us, NULL, on_resume, program->process, 0);
    }
}

/* Whether another worker is awake. */
static bool is_spare(const struct program *worker) {
    for (const struct program *program = world.first; program; program = program->next) {
        if (program != worker && program->kind == PROGRAM_WORKER && program->process->alive &&
            !program->process->paused) {
            return worker->kind == PROGRAM_WORKER;
        }
    }
    return false;
}

/* But some workers, who are not needed: they find a world that has gone on without them. */
void programs_resume(void) {
    for (struct program *program = world.first; program; program = program->next) {
        if (!is_spare(program) || random_chance(dice(), 1, 2)) {
            on_resume(program->process, 0);
        }
    }
}

uint64_t programs_settlements(void) {
    return world.settlements;
}

/* ---- a run ---- */

static void program_add(enum program_kind kind, unsigned number) {
    struct program *program = world_alloc(sizeof(*program));
    program->kind = kind;
    program->number = number;
    program->answer_timeout_us = random_between(dice(), 300000, 3 * US_PER_SECOND);
    program->next = world.first;
    world.first = program;
    life_begin(program);
}

void programs_begin(unsigned node_count, unsigned worker_count, bool with_redis) {
    world.first = NULL;
    world.with_redis = with_redis;
    for (unsigned i = 0; i < node_count; i++) {
        program_add(PROGRAM_NODE, i);
    }
    for (unsigned i = 0; i < worker_count; i++) {
        program_add(PROGRAM_WORKER, i);
    }
}

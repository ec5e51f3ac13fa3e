/* One simulated life of the server, from its seed. See run.h. */
#include "sim/run.h"

#include "sim/bugs.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct run run;

/* Data folders with an empty ledger, made once: of each page size that is tried. */
enum { IMAGES = 4 };
static struct disk *images[IMAGES];

/* ---- small things ---- */

void run_plan(int64_t in_us, enum event_kind kind, uint32_t subject) {
    assert(in_us >= 0);
    events_plan(&run.events,
                (struct event){.at_us = world->now_us + in_us, .kind = kind, .subject = subject});
}

bool run_chance(unsigned permille) {
    return random_chance(&run.random, permille, 1000);
}

int64_t run_between(int64_t low, int64_t high) {
    return random_between(&run.random, low, high);
}

void run_violated(const char *format, ...) {
    char text[sizeof(run.violation)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    world_trace("VIOLATION: %s", text);
    if (!run.violation[0]) {
        memcpy(run.violation, text, sizeof(text));
    }
}

void name_write(uint32_t name, char ret_text[static NAME_SIZE]) {
    snprintf(ret_text, NAME_SIZE, "u%u", name);
}

uint32_t name_read(struct slice text) {
    uint64_t name = 0;
    struct slice digits = {text.bytes + 1, text.size - 1};
    return text.size > 1 && slice_to_u64(digits, UINT32_MAX - 1, &name) == STATUS_OK
               ? (uint32_t)name
               : NOBODY;
}

/* ---- the folder at first ---- */

static void make_ledger(void) {
    struct ledger_sqlite_options options = {.directory = WORLD_FOLDER, .vfs = WORLD_VFS};
    struct ledger *ledger = NULL;
    struct complaint complaint;
    if (ledger_sqlite_open(&options, &ledger, &complaint) || ledger_close(ledger, &complaint)) {
        fprintf(stderr, "sim: no ledger to begin with: %s\n", complaint.text);
        abort();
    }
}

/* Small pages: more of them for the same issues, deeper trees, more frames a commit. */
static void change_page_size(int size) {
    char sql[128];
    sqlite3 *db = NULL;
    snprintf(sql, sizeof(sql),
             "PRAGMA journal_mode = DELETE; PRAGMA page_size = %d; VACUUM;"
             "PRAGMA journal_mode = WAL",
             size);
    if (sqlite3_open_v2(WORLD_FOLDER "/coupon.db", &db, SQLITE_OPEN_READWRITE, WORLD_VFS) ||
        sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) ||
        sqlite3_exec(db, sql, NULL, NULL, NULL)) {
        fprintf(stderr, "sim: no pages of %d bytes: %s\n", size, sqlite3_errmsg(db));
        abort();
    }
    sqlite3_close(db);
}

void run_prepare(void) {
    static const int sizes[IMAGES] = {512, 1024, 2048, 4096};
    world_sqlite_prepare();
    for (size_t i = 0; i < IMAGES; i++) {
        world_begin(i, disk_new());
        world_sqlite_reseed();
        make_ledger();
        if (sizes[i] != 4096) {
            change_page_size(sizes[i]);
        }
        disk_sync_everything(world->disk);
        images[i] = disk_copy(world->disk);
        world_end();
    }
    events_init(&run.events);
}

/* ---- the plan ---- */

static void draw_plan(struct plan *plan) {
    static const unsigned batch_sizes[] = {1, 4, 16, BATCH_MAX};
    *plan = (struct plan){
        .length_us = run_between(30000, run_chance(800) ? 160000 : 500000),
        .personas = (unsigned)run_between(10, run_chance(700) ? 90 : PERSONAS_MAX - COUPONS_MAX),
        .loops = (unsigned)run_between(1, LOOPS_MAX),
        .batch_max = batch_sizes[run_between(0, COUNT_OF(batch_sizes) - 1)],
        .coupons = (unsigned)run_between(1, 4),
        .queue_max = (size_t)run_between(2, run_chance(500) ? 12 : 400),
        .network_us = run_between(10, 2000),
        .patience_us = run_between(2000, 60000),
        .operate_us = run_between(2000, 40000),
        .read_us = run_between(1000, 20000),
        .keys = (unsigned)run_between(0, 1000),
        .again = (unsigned)run_between(0, 600),
        .fresh = run_chance(100),
    };
    plan->names = (unsigned)run_between(plan->personas / 2 + 1, plan->personas);
    weather_plan(plan);
}

static void begin(uint64_t seed, bool traces) {
    static const unsigned scales[] = {1, 20, 60, 250};
    struct events events = run.events;
    memset(&run, 0, sizeof(run));
    run.events = events;
    run.seed = seed;
    events_clear(&run.events);
    random_begin(&run.random, seed);
    draw_plan(&run.plan);
    struct disk *disk = run.plan.fresh ? disk_new() : disk_copy(images[run_between(0, IMAGES - 1)]);
    world_begin(random_next(&run.random), disk);
    world->traces = traces;
    world->log_scale = scales[run_between(0, COUNT_OF(scales) - 1)];
    world->powersafe = run_chance(800);
    disk_set_garbles(disk, !world->powersafe);
    bugs_begin();
    world_sqlite_reseed();
    for (size_t i = 0; i < sizeof(run.server.digest_key.bytes); i++) {
        run.server.digest_key.bytes[i] = (unsigned char)run_between(0, 255);
    }
    world_trace("seed %llu: %u people, %u coupons, queue %zu, %s folder%s",
                (unsigned long long)seed, run.plan.personas, run.plan.coupons, run.plan.queue_max,
                run.plan.fresh ? "no" : "a", world->powersafe ? "" : ", sectors may be garbled");
}

/* ---- the life ---- */

static void happen(const struct event *event) {
    switch (event->kind) {
    case EVENT_ASK:
        crowd_ask(event->subject);
        break;
    case EVENT_ARRIVE:
        crowd_arrive(event->subject, event->incarnation);
        break;
    case EVENT_LOOP:
        crowd_loop(event->subject, event->incarnation);
        break;
    case EVENT_WRITER:
        server_turn(event->incarnation);
        break;
    case EVENT_REPLY:
        crowd_reply(event->subject);
        break;
    case EVENT_PATIENCE:
        crowd_patience(event->subject);
        break;
    case EVENT_OPERATE:
        operators_act();
        break;
    case EVENT_OPERATED:
        operators_answered(event->subject);
        break;
    case EVENT_READ:
        readers_act();
        break;
    case EVENT_WEATHER:
        weather_act();
        break;
    case EVENT_START:
        server_start();
        break;
    case EVENT_STOP:
        server_stop(event->incarnation);
        break;
    }
}

/* All faults end; what is wrong with the clock its operator sets right. */
static void heal(void) {
    world_disarm_all();
    world->clock_stuck_us = 0;
    run.healed = true;
    run.plan.patience_us = 100 * US_PER_SECOND;
    run.plan.queue_max = 100000;
    run.server.writer.queue.claims_max = run.plan.queue_max;
    world_trace("all is well again");
}

/* Until nothing is planned any more. */
static void live(void) {
    enum { EVENTS_MAX = 200000 };
    struct event event;
    for (size_t i = 0; !run.violation[0] && events_take(&run.events, &event); i++) {
        world->now_us = event.at_us > world->now_us ? event.at_us : world->now_us;
        if (!run.healed && world->now_us >= run.heal_at_us) {
            heal();
        }
        run.step++;
        happen(&event);
        if (i == EVENTS_MAX) {
            run_violated("it does not come to an end");
        }
    }
}

/* When all is well, everybody gets an answer: of every coupon one more is asked for. */
static void ask_at_last(void) {
    uint32_t first = run.attempt_count;
    for (size_t i = 0; i < run.coupon_count && run.persona_count < PERSONAS_MAX; i++) {
        uint32_t number = (uint32_t)run.persona_count++;
        run.personas[number] =
            (struct persona){.name = PERSONAS_MAX - 1, .coupon = i, .tries_left = 1};
        run_plan(run_between(0, 1000), EVENT_ASK, number);
    }
    live();
    if (run.server.state != SERVER_UP || run.server.writer.core->state != ISSUER_READY) {
        run_violated("all is well, and the server is not ready");
    }
    for (uint32_t i = first; !run.violation[0] && i < run.attempt_count; i++) {
        const struct attempt *attempt = &run.attempts[i];
        if (!attempt->echo &&
            (attempt->state != ATTEMPT_ANSWERED || attempt->claim.verdict >= VERDICT_ADMITTED)) {
            run_violated("all is well, and attempt %u got no answer", i);
        }
    }
}

/* The last of it: the power goes, and takes what it can. */
static void end_server(void) {
    if (run.server.state == SERVER_UP) {
        if (!run.violation[0]) {
            oracle_compare();
        }
        server_crash(false);
    }
    if (run_chance(500)) {
        disk_cut_all(world->disk);
    } else {
        disk_cut(world->disk, &world->random, &world->damage);
    }
}

static void fill_result(struct run_result *result) {
    result->failed = run.violation[0] != '\0';
    memcpy(result->violation, run.violation, sizeof(result->violation));
    result->trace_hash = world->trace_hash;
    result->attempts = run.attempt_count;
    result->io_count = world->io_count;
    result->starts = run.server.incarnation;
    memcpy(result->hits, world->hits, sizeof(result->hits));
}

void run_do(uint64_t seed, bool traces, struct run_result *ret_result) {
    *ret_result = (struct run_result){.failed = false};
    begin(seed, traces);
    operators_begin();
    crowd_begin();
    run.heal_at_us = run.plan.length_us;
    run_plan(0, EVENT_START, 0);
    run_plan(run_between(0, 2000), EVENT_OPERATE, 0);
    run_plan(run_between(0, 5000), EVENT_READ, 0);
    if (run.plan.weather_us) {
        run_plan(run_between(0, run.plan.weather_us), EVENT_WEATHER, 0);
    }
    run.server.start_planned = true;
    if (run.plan.fresh) {
        weather_before();
    }
    live();
    if (!run.violation[0]) {
        ask_at_last();
    }
    end_server();
    if (!run.violation[0]) {
        oracle_judge(ret_result);
    }
    fill_result(ret_result);
    crowd_done();
    world_end();
}

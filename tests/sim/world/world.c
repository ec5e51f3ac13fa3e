/* The world of a run: what is armed, what an I/O meets, how a process dies. See world.h. */
#include "sim/world/world.h"

#include "support/allocation.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct world *world;
static struct world the_world;
static struct armed dying; /* the crash that io_begin found */

/* 2027-01-15T08:00:00Z: where simulated wall clocks begin. */
static const int64_t WALL_BEGIN_US = INT64_C(1800000000000000);

void world_begin(uint64_t seed, struct disk *disk) {
    assert(!world);
    the_world = (struct world){.disk = disk, .log_scale = 1, .powersafe = true};
    random_begin(&the_world.random, seed);
    world = &the_world;
}

void world_end(void) {
    disk_free(world->disk);
    world = NULL;
}

/* ---- trace ---- */

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
static void hash_line(const char *text, size_t size) {
    uint64_t hash = world->trace_hash ^ UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    }
    world->trace_hash = hash;
}

void world_trace(const char *format, ...) {
    char line[1024];
    va_list arguments;
    long long now_us = world->now_us;
    int head = snprintf(line, sizeof(line), "%6lld.%03lld ms  ", now_us / 1000, now_us % 1000);
    va_start(arguments, format);
    vsnprintf(line + head, sizeof(line) - (size_t)head, format, arguments);
    va_end(arguments);
    hash_line(line, strlen(line));
    if (world->traces) {
        puts(line);
    }
}

void world_hit(enum fault fault) {
    world->hits[fault]++;
    world_trace("    hit %s", fault_name(fault));
}

bool world_enter_simulator(void) {
    bool before = world && world->in_product;
    if (world) {
        world->in_product = false;
    }
    return before;
}

void world_leave_simulator(bool *in_product_before) {
    if (world) {
        world->in_product = *in_product_before;
    }
}

/* ---- what is armed ---- */

void world_arm(const struct armed *armed) {
    size_t place = 0;
    while (place < ARMED_MAX - 1 && world->armed[place].times > 0) {
        place++;
    }
    if (world->armed[place].times > 0) {
        memmove(&world->armed[0], &world->armed[1], sizeof(world->armed) - sizeof(world->armed[0]));
    }
    world->armed[place] = *armed;
}

void world_disarm_all(void) {
    memset(world->armed, 0, sizeof(world->armed));
    world->slow_until_us = 0;
    world->held_until_us = 0;
}

static bool is_over(struct armed *armed) {
    if (armed->times > 0 && armed->until_us && world->now_us >= armed->until_us) {
        armed->times = 0;
    }
    return armed->times == 0;
}

/* Whether its turn has come; counts it down. */
static bool strikes(struct armed *armed) {
    if (armed->skip > 0) {
        armed->skip--;
        return false;
    }
    armed->times--;
    return true;
}

bool memory_fails(enum fault fault) {
    if (!world || !world->in_product || world->dead) {
        return false;
    }
    for (size_t i = 0; i < ARMED_MAX; i++) {
        struct armed *armed = &world->armed[i];
        if (armed->times > 0 && armed->fault == fault && !is_over(armed) && strikes(armed)) {
            world->failures++;
            world_hit(fault);
            return true;
        }
    }
    return false;
}

bool allocation_fails(void) {
    if (!memory_fails(FAULT_NO_MEMORY)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

/* ---- time ---- */

static void take_time(enum io_sort sort) {
    struct random *random = &world->random;
    if (sort == IO_DB_SYNC || sort == IO_LOG_SYNC || sort == IO_NAMES_SYNC) {
        bool slow = world->now_us < world->slow_until_us;
        world->now_us += random_between(random, 100, 3000) * (slow ? 100 : 1);
        if (slow) {
            world_hit(FAULT_SLOW_DISK);
        }
    } else {
        world->now_us += random_between(random, 0, 4);
    }
}

int64_t world_wall_clock(void *unused) {
    (void)unused;
    return world->clock_stuck_us ? world->clock_stuck_us
                                 : WALL_BEGIN_US + world->now_us + world->clock_offset_us;
}

/* ---- crashes ---- */

static void note_damage(const struct disk_damage *before) {
    static const enum fault of_writes[] = {FAULT_LOST_WRITE, FAULT_TORN_WRITE,
                                           FAULT_REORDERED_WRITE, FAULT_LOST_NAME};
    const struct disk_damage *now = &world->damage;
    uint64_t counts[] = {now->lost - before->lost, now->torn - before->torn,
                         now->reordered - before->reordered, now->names - before->names};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        if (counts[i] > 0) {
            world_hit(of_writes[i]);
        }
    }
}

void world_power_cut(void) {
    struct disk_damage before = world->damage;
    disk_cut(world->disk, &world->random, &world->damage);
    world_hit(FAULT_POWER_CUT);
    note_damage(&before);
}

void world_crash(bool power) {
    world->dead = true;
    if (power) {
        world_power_cut();
    } else {
        world_hit(FAULT_KILL);
    }
    world_trace("the process ends%s", power ? ", and the machine's power with it" : "");
}

void world_die(void) {
    assert(!world->dead);
    world_hit(dying.fault);
    if (world->folding) {
        world_hit(FAULT_CRASH_CHECKPOINT);
    }
    if (world->phase == PHASE_STARTING) {
        world_hit(FAULT_CRASH_RECOVERY);
    } else if (world->phase == PHASE_STOPPING) {
        world_hit(FAULT_CRASH_STOP);
    }
    world_crash(dying.power);
}

static const char *sort_name(enum io_sort sort) {
    static const char *const names[IO_SORTS] = {"open",    "read",      "db write", "log write",
                                                "db sync", "log sync",  "truncate", "delete",
                                                "rename",  "names sync"};
    return names[sort];
}

/* The crash at an I/O of this sort: the faults are in the order of the sorts. */
static enum fault crash_of(enum io_sort sort) {
    static_assert(FAULT_CRASH_NAMES_SYNC - FAULT_CRASH_OPEN == IO_NAMES_SYNC - IO_OPEN, "order");
    return (enum fault)(FAULT_CRASH_OPEN + (int)sort);
}

static bool is_crash(enum fault fault) {
    return fault >= FAULT_CRASH_OPEN && fault <= FAULT_CRASH_NAMES_SYNC;
}

static enum io_fate fate_of_crash(const struct armed *armed, enum io_sort sort) {
    static const enum io_fate fates[] = {IO_DEAD, IO_DIES_IN_IT, IO_DIES_AFTER};
    dying = *armed;
    dying.fault = crash_of(sort);
    enum io_fate fate = fates[random_below(&world->random, 3)];
    world_trace("    crash %s %s",
                fate == IO_DEAD         ? "before"
                : fate == IO_DIES_IN_IT ? "in"
                                        : "after",
                sort_name(sort));
    if (fate == IO_DEAD) {
        world_die();
    }
    return fate;
}

static enum io_fate fate_of(struct armed *armed, enum io_sort sort) {
    if (is_crash(armed->fault)) {
        return fate_of_crash(armed, sort);
    }
    world->failures++;
    world_hit(armed->fault);
    world_trace("    %s at %s", fault_name(armed->fault), sort_name(sort));
    return armed->fault == FAULT_DISK_FULL || armed->fault == FAULT_SHORT_WRITE ? IO_FULL
                                                                                : IO_FAILS;
}

enum io_fate io_begin(enum io_sort sort, bool grows) {
    if (world->dead) {
        return IO_DEAD;
    }
    world->io_count++;
    take_time(sort);
    for (size_t i = 0; i < ARMED_MAX; i++) {
        struct armed *armed = &world->armed[i];
        bool meant = armed->times > 0 && (armed->sorts & 1U << sort) && !is_over(armed) &&
                     (armed->fault != FAULT_DISK_FULL || grows);
        if (meant && strikes(armed)) {
            return fate_of(armed, sort);
        }
    }
    return IO_WORKS;
}

/* ---- what is done to a file, whoever asks for it ---- */

/* Some first bytes of a write that does not come to its end; often nearly all. */
static void write_part(unsigned file, const void *bytes, size_t size, size_t at) {
    size_t part = (size_t)random_below(&world->random, size);
    if (part < size / 2) {
        size_t missing = 1 + (size_t)random_below(&world->random, 400);
        part = missing < size ? size - missing : part;
    }
    if (part > 0) {
        disk_write(world->disk, file, bytes, part, at);
    }
}

enum io_fate io_write(unsigned file, bool is_log, const void *bytes, size_t size, size_t at) {
    bool grows = at + size > disk_size(world->disk, file);
    enum io_fate fate = io_begin(is_log ? IO_LOG_WRITE : IO_DB_WRITE, grows);
    if (fate == IO_WORKS || fate == IO_DIES_AFTER) {
        disk_write(world->disk, file, bytes, size, at);
    } else if (fate != IO_DEAD) {
        write_part(file, bytes, size, at);
    }
    if (fate == IO_DIES_IN_IT || fate == IO_DIES_AFTER) {
        world_die();
    }
    return fate;
}

enum io_fate io_sync(unsigned file, bool is_log) {
    bool skips = is_log ? world->plants_fsync_skip : world->plants_db_sync_skip;
    enum io_fate fate = io_begin(is_log ? IO_LOG_SYNC : IO_DB_SYNC, false);
    if ((fate == IO_WORKS || fate == IO_DIES_AFTER) && !skips) {
        disk_sync(world->disk, file);
    } else if (fate == IO_FAILS || fate == IO_FULL) {
        disk_sync_fails(world->disk, file, &world->random);
    }
    if (fate == IO_DIES_IN_IT || fate == IO_DIES_AFTER) {
        world_die();
    }
    return fate;
}

/* What goes wrong in a run, and when. Each run draws which kinds it has at all ("swarm testing",
 * Groce and others 2012): a run with everything in it would never get far. See run.h. */
#include "sim/run.h"

#define BIT(fault) (UINT64_C(1) << (fault))

static_assert(FAULTS <= 64, "bits of plan.weather");

/* Those that weather_act brings; others come by themselves or from the crowd. */
static const enum fault brought[] = {
    FAULT_CRASH_IDLE,     FAULT_CRASH_OPEN,       FAULT_CRASH_READ,
    FAULT_CRASH_DB_WRITE, FAULT_CRASH_LOG_WRITE,  FAULT_CRASH_DB_SYNC,
    FAULT_CRASH_LOG_SYNC, FAULT_CRASH_TRUNCATE,   FAULT_CRASH_DELETE,
    FAULT_CRASH_RENAME,   FAULT_CRASH_NAMES_SYNC, FAULT_CRASH_RECOVERY,
    FAULT_READ_EIO,       FAULT_WRITE_EIO,        FAULT_SHORT_WRITE,
    FAULT_SYNC_EIO,       FAULT_DISK_FULL,        FAULT_FOLDER_EIO,
    FAULT_SLOW_DISK,      FAULT_BACKUP_HOLDS,     FAULT_SQLITE_NO_MEMORY,
    FAULT_NO_MEMORY,      FAULT_CLOCK_BACK,       FAULT_CLOCK_FORWARD,
    FAULT_CLOCK_STUCK,    FAULT_CLOCK_FAR_BEHIND, FAULT_PAUSE,
    FAULT_CLEAN_STOP,     FAULT_IMPORT,
};

void weather_plan(struct plan *plan) {
    static const unsigned permilles[] = {0, 60, 150, 300, 600};
    unsigned permille = permilles[run_between(0, COUNT_OF(permilles) - 1)];
    for (unsigned i = 0; i < FAULTS; i++) {
        plan->weather |= run_chance(permille) ? BIT(i) : 0;
    }
    plan->weather_us = permille ? run_between(2000, 40000) : 0;
}

/* ---- the disk ---- */

static void arm(enum fault fault, unsigned sorts, unsigned skip_max, unsigned times_max) {
    struct armed armed = {
        .fault = fault,
        .sorts = sorts,
        .skip = (unsigned)run_between(0, skip_max),
        .times = (unsigned)run_between(1, times_max),
    };
    world_arm(&armed);
}

static void arm_crash(unsigned sorts, unsigned skip_max) {
    struct armed armed = {
        .fault = FAULT_CRASH_OPEN,
        .sorts = sorts,
        .skip = (unsigned)run_between(0, skip_max),
        .times = 1,
        .power = run_chance(600),
    };
    world_arm(&armed);
}

/* A crash, and then another while the server comes up again. */
static void crash_twice(void) {
    server_crash(run_chance(500));
    arm_crash(IO_ANY, 60);
}

static void fill_disk(void) {
    struct armed armed = {
        .fault = FAULT_DISK_FULL,
        .sorts = 1U << IO_LOG_WRITE | 1U << IO_DB_WRITE | 1U << IO_OPEN,
        .times = 1000000,
        .until_us = world->now_us + run_between(1000, 40000),
    };
    world_arm(&armed);
}

/* ---- time ---- */

static void step_clock(int64_t by_us) {
    world->clock_offset_us += by_us;
    world_trace("the wall clock is set by %lld us", (long long)by_us);
}

static void stop_clock(void) {
    world->clock_stuck_us = world->clock_stuck_us ? 0 : world_wall_clock(NULL);
    world_trace("the wall clock %s", world->clock_stuck_us ? "stands still" : "goes again");
}

static void pause_process(void) {
    int64_t for_us = run_chance(200) ? run_between(1, 5 * US_PER_SECOND) : run_between(1, 50000);
    if (run.server.state == SERVER_UP) {
        world_trace("the process stands still for %lld us", (long long)for_us);
        world->now_us += for_us;
        world_hit(FAULT_PAUSE);
    }
}

static void bring_time(enum fault fault) {
    switch (fault) {
    case FAULT_CLOCK_BACK:
        step_clock(-run_between(1, run_chance(500) ? 5000 : 30 * US_PER_SECOND));
        break;
    case FAULT_CLOCK_FORWARD:
        step_clock(run_between(1, run_chance(800) ? 20000 : 400 * US_PER_SECOND));
        world_hit(FAULT_CLOCK_FORWARD);
        break;
    case FAULT_CLOCK_STUCK:
        stop_clock();
        break;
    case FAULT_CLOCK_FAR_BEHIND:
        step_clock(-run_between(61 * US_PER_SECOND, 300 * US_PER_SECOND));
        server_crash(false);
        break;
    default:
        pause_process();
        break;
    }
}

/* ---- all of it ---- */

static void bring_disk(enum fault fault) {
    switch (fault) {
    case FAULT_READ_EIO:
        arm(fault, 1U << IO_READ, 20, 3);
        break;
    case FAULT_WRITE_EIO:
        arm(fault, 1U << IO_LOG_WRITE | 1U << IO_DB_WRITE | 1U << IO_TRUNCATE, 6, 2);
        break;
    case FAULT_SHORT_WRITE:
        arm(fault, 1U << IO_LOG_WRITE | 1U << IO_DB_WRITE, 6, 2);
        break;
    case FAULT_SYNC_EIO:
        arm(fault, 1U << IO_LOG_SYNC | 1U << IO_DB_SYNC, 3, 1);
        break;
    case FAULT_DISK_FULL:
        fill_disk();
        break;
    case FAULT_FOLDER_EIO:
        arm(fault, 1U << IO_OPEN | 1U << IO_DELETE | 1U << IO_RENAME | 1U << IO_NAMES_SYNC, 4, 2);
        break;
    case FAULT_SLOW_DISK:
        world->slow_until_us = world->now_us + run_between(1000, 300000);
        break;
    case FAULT_BACKUP_HOLDS:
        world->held_file = 0;
        world->held_until_us = world->now_us + run_between(5000, 200000);
        break;
    case FAULT_SQLITE_NO_MEMORY:
        arm(fault, 0, run_chance(500) ? 30 : 3000, 3);
        break;
    default:
        arm(FAULT_NO_MEMORY, 0, 12, 2);
        break;
    }
}

static void bring(enum fault fault) {
    world_trace("weather: %s", fault_name(fault));
    if (fault == FAULT_CRASH_IDLE) {
        server_crash(run_chance(500));
    } else if (fault == FAULT_CRASH_RECOVERY) {
        crash_twice();
    } else if (fault >= FAULT_CRASH_OPEN && fault <= FAULT_CRASH_NAMES_SYNC) {
        arm_crash(1U << (IO_OPEN + (fault - FAULT_CRASH_OPEN)), 5);
    } else if (fault >= FAULT_READ_EIO && fault <= FAULT_NO_MEMORY) {
        bring_disk(fault);
    } else if (fault >= FAULT_CLOCK_BACK && fault <= FAULT_PAUSE) {
        bring_time(fault);
    } else {
        run.wants_import = run.wants_import || fault == FAULT_IMPORT;
        server_stop(run.server.incarnation);
    }
}

void weather_before(void) {
    if (run_chance(300)) {
        arm_crash(IO_ANY, 80);
    } else if (run_chance(300)) {
        arm_crash(1U << IO_RENAME | 1U << IO_NAMES_SYNC | 1U << IO_DELETE, 2);
    }
}

void weather_act(void) {
    if (run.healed) {
        return;
    }
    enum fault fault = brought[run_between(0, COUNT_OF(brought) - 1)];
    for (size_t i = 0; i < 40 && !(run.plan.weather & BIT(fault)); i++) {
        fault = brought[run_between(0, COUNT_OF(brought) - 1)];
    }
    if (run.plan.weather & BIT(fault)) {
        bring(fault);
    }
    run_plan(run_between(1, 2 * run.plan.weather_us), EVENT_WEATHER, 0);
}

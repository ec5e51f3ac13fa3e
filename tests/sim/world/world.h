/* world: time, disk, memory and what is to fail in them, of the one run that is under way.
 *
 * The simulator links the real server code with some calls of the system replaced (the linker's
 * --wrap): they find the world here. Everything random in it comes from the run's seed. One run
 * at a time, one thread. For the simulation of the embedded server only. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "sim/world/disk.h"
#include "sim/world/faults.h"

#define WORLD_FOLDER "/sim/data" /* the data folder, on the simulated disk */
#define WORLD_VFS    "sim"

/* What an input or output is to the disk. */
enum io_sort {
    IO_OPEN, /* and whatever looks at names only */
    IO_READ,
    IO_DB_WRITE,
    IO_LOG_WRITE,
    IO_DB_SYNC,
    IO_LOG_SYNC,
    IO_TRUNCATE,
    IO_DELETE,
    IO_RENAME,
    IO_NAMES_SYNC,
    IO_SORTS
};
#define IO_ANY ((1U << IO_SORTS) - 1)

/* One thing that is to go wrong. */
struct armed {
    enum fault fault;
    unsigned sorts;   /* bits: I/Os of these sorts … */
    unsigned skip;    /* … so many pass first, or allocations */
    unsigned times;   /* then so many fail; 0: nothing is armed here */
    bool power;       /* of a crash: with a power cut */
    int64_t until_us; /* then it is over, whatever is left; 0: no end */
};
#define ARMED_MAX 12

/* What the server is doing, for the count of crashes. */
enum phase { PHASE_SERVING, PHASE_STARTING, PHASE_STOPPING };

struct world {
    int64_t now_us; /* simulated time; moved on by events and by the disk's work */
    struct random random;
    struct disk *disk;
    struct disk_damage damage;
    struct armed armed[ARMED_MAX];
    enum phase phase;
    bool folding;           /* the log is being folded */
    bool dead;              /* the process ended in the midst of its code; nothing works */
    bool in_product;        /* the server's code runs: its allocations may fail */
    bool plants_fsync_skip; /* planted bugs of the disk: see bugs.h */
    bool plants_db_sync_skip;
    bool plants_names_sync_skip;
    bool plants_log_renewal_skip;
    bool plants_log_copy_sync_skip;
    bool powersafe;        /* as the VFS promises */
    unsigned log_scale;    /* each frame of the log counts so often: folds come sooner */
    int64_t slow_until_us; /* syncs take long */
    unsigned held_file;    /* a backup has its lock on this one … */
    int64_t held_until_us; /* … until then */
    int64_t clock_offset_us;
    int64_t clock_stuck_us; /* the wall clock shows this; 0: it goes */
    uint64_t io_count;
    uint64_t failures; /* of disk and memory, injected, that had an effect */
    uint64_t hits[FAULTS];
    uint64_t trace_hash;
    bool traces; /* printed, too */
};

extern struct world *world; /* NULL: no run is under way, and calls go to the system */

/* A new world from a seed, with the disk given (taken over). */
void world_begin(uint64_t seed, struct disk *disk);
void world_end(void);

/* One line: an event, with the time. It is part of the run's hash whether printed or not. */
void world_trace(const char *format, ...) PRINTF_LIKE(1, 2);
void world_hit(enum fault fault);

/* Arms a fault; the oldest gives way where there is no room. */
void world_arm(const struct armed *armed);
void world_disarm_all(void);

/* ---- for what stands in for the system ---- */

/* The simulator's own code, called by the server's: its allocations are not the server's. */
#define IN_SIMULATOR                                                                               \
    bool in_product_before __attribute__((unused, cleanup(world_leave_simulator))) =               \
        world_enter_simulator()
bool world_enter_simulator(void);
void world_leave_simulator(bool *in_product_before);

/* What becomes of an I/O that begins now. */
enum io_fate {
    IO_WORKS,
    IO_FAILS,      /* EIO; of a write a part may be done */
    IO_FULL,       /* ENOSPC; of a write a part may be done */
    IO_DEAD,       /* the process is not there any more */
    IO_DIES_IN_IT, /* do a part, then world_die */
    IO_DIES_AFTER, /* do it, then world_die */
};
/* `grows`: it would need room on the disk. */
enum io_fate io_begin(enum io_sort sort, bool grows);
/* A write and a sync as io_begin has it, the part and the death included. */
enum io_fate io_write(unsigned file, bool is_log, const void *bytes, size_t size, size_t at);
enum io_fate io_sync(unsigned file, bool is_log);
/* The process ends here and now, as the crash that io_begin found is to be. */
void world_die(void);
/* Ends it between two turns. */
void world_crash(bool power);
/* The disk as after a power cut, without a process that could notice. */
void world_power_cut(void);

/* True: this allocation fails. */
bool memory_fails(enum fault fault);

/* The machine's wall clock, for the server's clock_source. */
int64_t world_wall_clock(void *unused);

/* SQLite with the world's disk, memory and random numbers. Once in a process. */
void world_sqlite_prepare(void);
/* SQLite's random numbers from the run's seed. */
void world_sqlite_reseed(void);

#endif

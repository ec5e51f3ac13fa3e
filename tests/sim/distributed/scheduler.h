/* scheduler: simulated time, processes and threads for one run of the simulation.
 *
 * Everything that happens is an event at a simulated moment, in one queue; a thread of the product
 * is a fiber, which runs until it waits for something. So the whole world is one thread of this
 * program, and what it does depends on the seed alone: no pointer, no real clock, no address
 * decides anything. Not for: what Redis, a SQL server or a client do (redis_*, sql_*, people.c).
 * Called by all of them, and by shims.c in the place of pthread, the clock and malloc.
 *
 * There is one scheduler at a time: what stands in for pthread_create() has no place to be given
 * one. Its state lives from scheduler_begin() to scheduler_end(). */
#ifndef SIM_DISTRIBUTED_SCHEDULER_H
#define SIM_DISTRIBUTED_SCHEDULER_H

#include "base/base.h"
#include "sim/world/random.h"

struct fiber;

/* A program that runs: a node, a worker. It can stop for a while, or for ever, at any event. */
struct process {
    struct process *next;
    const char *name;
    bool alive;
    bool paused;
    int64_t clock_skew_us; /* of its CLOCK_REALTIME */
    int64_t boot_us;       /* its CLOCK_MONOTONIC begins here */
    struct fiber *fibers;
    struct allocation *allocations;
    size_t allocation_count;
    struct deferred *deferred_first; /* events that came while it was paused */
    struct deferred *deferred_last;
};

typedef void event_action(void *context, uint64_t word);

/* ---- one run ---- */

void scheduler_begin(uint64_t seed);
void scheduler_end(void);
/* Until `until_us`, or until `events_max` events of this run have happened: then false. */
bool MUST_CHECK scheduler_run(int64_t until_us, uint64_t events_max);
void scheduler_stop(void); /* after the present event */
uint64_t scheduler_events(void);

int64_t now_us(void);
int64_t realtime_us(void); /* the true one, which no process may know exactly */
int64_t process_monotonic_us(const struct process *process);
struct random *dice(void);
/* Memory until scheduler_end(); zeroed. Never NULL: the program ends when there is none. */
void *world_alloc(size_t size);
struct slice world_copy(struct slice text);
struct slice PRINTF_LIKE(1, 2) world_text(const char *format, ...);

/* ---- events ---- */

/* Calls action(context, word) then. Of an owner that is dead it is dropped, of one that is paused
 * it waits. NULL: of the world, always. */
void event_at(int64_t at_us, struct process *owner, event_action *action, void *context,
              uint64_t word);
/* The same for a deadline: who was paused finds it passed before it finds what arrived. */
void event_deadline(int64_t at_us, struct process *owner, event_action *action, void *context,
                    uint64_t word);

/* ---- processes ---- */

struct process *process_new(const char *name);
/* At once, wherever its threads are; its memory is gone. */
void process_kill(struct process *process);
/* All its threads have ended by themselves. */
void process_ended(struct process *process);
void process_pause(struct process *process);
void process_resume(struct process *process);
struct process *process_self(void); /* of the present fiber; NULL: the world */

/* ---- fibers ---- */

struct fiber *fiber_new(struct process *process, void (*run)(void *context), void *context);
struct fiber *fiber_self(void); /* NULL: within an event */
void fiber_sleep(int64_t for_us);
/* Waits to be woken. False: `until_us` came first (INT64_MAX: never). */
bool fiber_wait(const void *for_what, int64_t until_us);
/* Soon, not now. Who does not wait for this is not woken. */
void fiber_wake(struct fiber *fiber, const void *for_what);
/* One, or all, of those that wait for this, in the order in which they began to. */
void fibers_wake(const void *for_what, bool all);
bool fiber_is_over(const struct fiber *fiber);

/* ---- the product's memory, for shims.c: real blocks that a killed process gives back ---- */

void *process_memory(size_t size, bool zeroed);
void *process_memory_again(void *memory, size_t size);
void process_memory_free(void *memory);

/* ---- the trace ---- */

/* A line of what happens, with its moment: into the run's hash, and printed when asked for. */
void PRINTF_LIKE(1, 2) trace(const char *format, ...);
void trace_print(bool print);
uint64_t trace_hash(void);

#endif

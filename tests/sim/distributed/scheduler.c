/* Events, processes and fibers: see scheduler.h. A fiber is a stack of its own, entered and left
 * with _setjmp() and _longjmp(), which unlike swapcontext() ask nothing of the kernel. */
#include "sim/distributed/scheduler.h"

#include "sim/distributed/fibers.h"
#include "sim/distributed/real.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* More than a wake-up takes on a busy machine, so that threads meet in every order. */
static const int64_t WAKE_US_MAX = 40;

struct event {
    int64_t at_us;
    uint64_t order; /* of those at the same moment, and its own name */
    struct process *owner;
    event_action *action;
    void *context;
    uint64_t word;
    bool deadline;
};

struct deferred {
    struct deferred *next;
    struct event event;
};

/* In front of every piece of the product's memory. */
struct allocation {
    struct allocation *previous;
    struct allocation *next;
    struct process *owner; /* NULL: nobody's */
    size_t size;
};

struct fiber {
    struct fiber *next; /* of its process */
    struct process *process;
    void (*run)(void *context);
    void *context;
    struct fiber_stack stack;
    const void *waits_for;
    uint64_t turn; /* counts its waits: a wake-up is for one */
    bool woken;
    bool over;
};

#define ARENA_BLOCK_SIZE ((size_t)1 << 20)

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t size;
    max_align_t bytes[];
};

static struct {
    int64_t now_us;
    uint64_t order;
    uint64_t events;
    struct random dice;
    struct event *heap;
    size_t heap_count;
    size_t heap_capacity;
    struct process *processes;
    struct fiber *running;
    struct arena_block *blocks; /* kept from run to run; `block` is the one in use */
    struct arena_block *block;
    bool stopped;
    bool print;
    uint64_t hash;
} scheduler;

int64_t now_us(void) {
    return scheduler.now_us;
}

struct random *dice(void) {
    return &scheduler.dice;
}

uint64_t scheduler_events(void) {
    return scheduler.events;
}

/* ---- memory ---- */

static struct arena_block *block_new(size_t size) {
    struct arena_block *block = __real_malloc(sizeof(*block) + size);
    if (!block) {
        fprintf(stderr, "simulate-distributed: out of memory\n");
        exit(2);
    }
    *block = (struct arena_block){.size = size};
    return block;
}

void *world_alloc(size_t size) {
    size = (size + 15) & ~(size_t)15;
    struct arena_block *block = scheduler.block;
    while (block && block->used + size > block->size) {
        block = block->next;
    }
    if (!block) {
        block = block_new(size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE);
        struct arena_block **place = &scheduler.blocks;
        while (*place) {
            place = &(*place)->next;
        }
        *place = block;
    }
    scheduler.block = block;
    char *memory = (char *)block->bytes + block->used;
    block->used += size;
    memset(memory, 0, size);
    return memory;
}

struct slice world_copy(struct slice text) {
    char *bytes = world_alloc(text.size + 1);
    memcpy(bytes, text.size > 0 ? text.bytes : "", text.size);
    return (struct slice){bytes, text.size};
}

struct slice world_text(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert(size >= 0 && (size_t)size < sizeof(text));
    return world_copy((struct slice){text, (size_t)size});
}

/* ---- events: a binary heap ---- */

static bool is_before(const struct event *a, const struct event *b) {
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void heap_push(struct event event) {
    if (scheduler.heap_count == scheduler.heap_capacity) {
        scheduler.heap_capacity = scheduler.heap_capacity ? 2 * scheduler.heap_capacity : 1024;
        scheduler.heap =
            __real_realloc(scheduler.heap, scheduler.heap_capacity * sizeof(scheduler.heap[0]));
        assert(scheduler.heap);
    }
    size_t at = scheduler.heap_count++;
    while (at > 0 && is_before(&event, &scheduler.heap[(at - 1) / 2])) {
        scheduler.heap[at] = scheduler.heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    scheduler.heap[at] = event;
}

static struct event heap_pop(void) {
    struct event first = scheduler.heap[0];
    struct event last = scheduler.heap[--scheduler.heap_count];
    size_t at = 0;
    for (size_t child = 1; child < scheduler.heap_count; child = 2 * at + 1) {
        if (child + 1 < scheduler.heap_count &&
            is_before(&scheduler.heap[child + 1], &scheduler.heap[child])) {
            child++;
        }
        if (!is_before(&scheduler.heap[child], &last)) {
            break;
        }
        scheduler.heap[at] = scheduler.heap[child];
        at = child;
    }
    scheduler.heap[at] = last;
    return first;
}

static void event_add(int64_t at_us, struct process *owner, event_action *action, void *context,
                      uint64_t word, bool deadline) {
    heap_push((struct event){
        .at_us = at_us > scheduler.now_us ? at_us : scheduler.now_us,
        .order = scheduler.order++,
        .owner = owner,
        .action = action,
        .context = context,
        .word = word,
        .deadline = deadline,
    });
}

void event_at(int64_t at_us, struct process *owner, event_action *action, void *context,
              uint64_t word) {
    event_add(at_us, owner, action, context, word, false);
}

void event_deadline(int64_t at_us, struct process *owner, event_action *action, void *context,
                    uint64_t word) {
    event_add(at_us, owner, action, context, word, true);
}

static void defer(const struct event *event) {
    struct process *owner = event->owner;
    struct deferred *deferred = world_alloc(sizeof(*deferred));
    deferred->event = *event;
    if (owner->deferred_last) {
        owner->deferred_last->next = deferred;
    } else {
        owner->deferred_first = deferred;
    }
    owner->deferred_last = deferred;
}

bool scheduler_run(int64_t until_us, uint64_t events_max) {
    scheduler.stopped = false;
    while (scheduler.heap_count > 0 && scheduler.heap[0].at_us <= until_us && !scheduler.stopped) {
        struct event event = heap_pop();
        scheduler.now_us = event.at_us;
        if (event.owner && !event.owner->alive) {
            continue;
        }
        if (event.owner && event.owner->paused) {
            defer(&event);
            continue;
        }
        if (++scheduler.events > events_max) {
            return false;
        }
        event.action(event.context, event.word);
    }
    if (!scheduler.stopped && scheduler.now_us < until_us) {
        scheduler.now_us = until_us;
    }
    return true;
}

void scheduler_stop(void) {
    scheduler.stopped = true;
}

/* ---- processes ---- */

struct process *process_new(const char *name) {
    struct process *process = world_alloc(sizeof(*process));
    process->name = name;
    process->alive = true;
    process->boot_us = random_between(dice(), -3600 * US_PER_SECOND, 0);
    process->next = scheduler.processes;
    scheduler.processes = process;
    return process;
}

static void process_clear(struct process *process) {
    for (struct fiber *fiber = process->fibers; fiber; fiber = fiber->next) {
        if (!fiber->over) {
            fiber->over = true;
            fiber_stack_return(&fiber->stack);
        }
    }
    while (process->allocations) {
        process_memory_free(process->allocations + 1);
    }
}

void process_kill(struct process *process) {
    assert(!scheduler.running); /* nobody ends the process that runs */
    if (process->alive) {
        process->alive = false;
        process_clear(process);
    }
}

void process_ended(struct process *process) {
    process->alive = false;
}

void process_pause(struct process *process) {
    process->paused = true;
}

/* Its loops look at their timers before they look at what arrived. */
void process_resume(struct process *process) {
    if (!process->paused) {
        return;
    }
    process->paused = false;
    struct deferred *first = process->deferred_first;
    process->deferred_first = process->deferred_last = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (struct deferred *deferred = first; deferred; deferred = deferred->next) {
            const struct event *event = &deferred->event;
            if (event->deadline == (pass == 0)) {
                event_add(scheduler.now_us, process, event->action, event->context, event->word,
                          event->deadline);
            }
        }
    }
}

struct process *process_self(void) {
    return scheduler.running ? scheduler.running->process : NULL;
}

/* ---- fibers ---- */

static void fiber_begin(void *context) {
    struct fiber *fiber = context;
    fiber->run(fiber->context);
    fiber->over = true;
    fibers_wake(fiber, true);
    fiber_stack_leave(&fiber->stack);
}

static void fiber_go(struct fiber *fiber) {
    assert(!scheduler.running && !fiber->over);
    scheduler.running = fiber;
    fiber_stack_enter(&fiber->stack);
    scheduler.running = NULL;
    if (fiber->over) {
        fiber_stack_return(&fiber->stack);
    }
}

static void on_first(void *context, uint64_t word) {
    struct fiber *fiber = context;
    (void)word;
    if (!fiber->over) {
        fiber_go(fiber);
    }
}

struct fiber *fiber_new(struct process *process, void (*run)(void *context), void *context) {
    struct fiber *fiber = world_alloc(sizeof(*fiber));
    *fiber = (struct fiber){.process = process, .run = run, .context = context};
    fiber_stack_take(&fiber->stack, fiber_begin, fiber);
    struct fiber **place = &process->fibers;
    while (*place) {
        place = &(*place)->next;
    }
    *place = fiber;
    event_at(now_us() + random_between(dice(), 1, WAKE_US_MAX), process, on_first, fiber, 0);
    return fiber;
}

struct fiber *fiber_self(void) {
    return scheduler.running;
}

bool fiber_is_over(const struct fiber *fiber) {
    return fiber->over;
}

static void on_wake(void *context, uint64_t turn) {
    struct fiber *fiber = context;
    if (!fiber->over && fiber->turn == turn && fiber->woken) {
        fiber_go(fiber);
    }
}

static void on_timeout(void *context, uint64_t turn) {
    struct fiber *fiber = context;
    if (!fiber->over && fiber->turn == turn && !fiber->woken) {
        fiber_go(fiber);
    }
}

bool fiber_wait(const void *for_what, int64_t until_us) {
    struct fiber *fiber = scheduler.running;
    assert(fiber && !fiber->over);
    fiber->waits_for = for_what;
    fiber->woken = false;
    fiber->turn++;
    if (until_us != INT64_MAX) {
        event_deadline(until_us, fiber->process, on_timeout, fiber, fiber->turn);
    }
    fiber_stack_leave(&fiber->stack);
    fiber->waits_for = NULL;
    return fiber->woken;
}

void fiber_sleep(int64_t for_us) {
    bool woken = fiber_wait(&scheduler, now_us() + for_us);
    assert(!woken);
}

void fiber_wake(struct fiber *fiber, const void *for_what) {
    if (!fiber->over && fiber->waits_for == for_what && !fiber->woken) {
        fiber->woken = true;
        event_at(now_us() + random_between(dice(), 0, WAKE_US_MAX), fiber->process, on_wake, fiber,
                 fiber->turn);
    }
}

void fibers_wake(const void *for_what, bool all) {
    for (struct process *process = scheduler.processes; process; process = process->next) {
        for (struct fiber *fiber = process->fibers; fiber; fiber = fiber->next) {
            bool waits = !fiber->over && fiber->waits_for == for_what && !fiber->woken;
            fiber_wake(fiber, for_what);
            if (waits && !all) {
                return;
            }
        }
    }
}

/* ---- the product's memory ---- */

static void allocation_link(struct allocation *allocation, struct process *owner) {
    allocation->owner = owner;
    allocation->previous = NULL;
    allocation->next = owner ? owner->allocations : NULL;
    if (owner) {
        if (owner->allocations) {
            owner->allocations->previous = allocation;
        }
        owner->allocations = allocation;
        owner->allocation_count++;
    }
}

static void allocation_unlink(struct allocation *allocation) {
    struct process *owner = allocation->owner;
    if (!owner) {
        return;
    }
    if (allocation->next) {
        allocation->next->previous = allocation->previous;
    }
    *(allocation->previous ? &allocation->previous->next : &owner->allocations) = allocation->next;
    owner->allocation_count--;
}

void *process_memory(size_t size, bool zeroed) {
    struct allocation *allocation = zeroed ? __real_calloc(1, sizeof(*allocation) + size)
                                           : __real_malloc(sizeof(*allocation) + size);
    if (!allocation) {
        return NULL;
    }
    allocation->size = size;
    allocation_link(allocation, process_self());
    return allocation + 1;
}

void process_memory_free(void *memory) {
    if (memory) {
        struct allocation *allocation = (struct allocation *)memory - 1;
        allocation_unlink(allocation);
        __real_free(allocation);
    }
}

void *process_memory_again(void *memory, size_t size) {
    void *moved = process_memory(size, false);
    if (moved && memory) {
        size_t before = ((struct allocation *)memory - 1)->size;
        memcpy(moved, memory, before < size ? before : size);
        process_memory_free(memory);
    }
    return moved;
}

/* ---- the trace ---- */

void trace_print(bool print) {
    scheduler.print = print;
}

uint64_t trace_hash(void) {
    return scheduler.hash;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
void trace(const char *format, ...) {
    char text[400];
    int size =
        snprintf(text, sizeof(text), "%3lld.%06lld ", (long long)(scheduler.now_us / US_PER_SECOND),
                 (long long)(scheduler.now_us % US_PER_SECOND));
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(text + size, sizeof(text) - (size_t)size, format, arguments);
    va_end(arguments);
    assert(size > 0 && more >= 0);
    for (const char *at = text; *at; at++) {
        scheduler.hash = (scheduler.hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    }
    if (scheduler.print) {
        printf("%s\n", text);
    }
}

/* ---- one run ---- */

void scheduler_begin(uint64_t seed) {
    random_begin(&scheduler.dice, seed);
    scheduler.now_us = 10 * US_PER_SECOND;
    scheduler.order = 0;
    scheduler.events = 0;
    scheduler.heap_count = 0;
    scheduler.processes = NULL;
    scheduler.hash = UINT64_C(14695981039346656037);
    for (struct arena_block *block = scheduler.blocks; block; block = block->next) {
        block->used = 0;
    }
    scheduler.block = scheduler.blocks;
}

void scheduler_end(void) {
    for (struct process *process = scheduler.processes; process; process = process->next) {
        process->alive = false;
        process_clear(process);
    }
}

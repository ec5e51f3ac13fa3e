/* engine_arena: memory of one coupon that is never given back but as a whole.
 *
 * Blocks are cut off chunks, one after the other. A chunk is as large as all before it
 * together, up to 2 MiB; chunks of 2 MiB are aligned to it, so that each can be one huge
 * page. That matters at millions of issues: a look-up by hash misses the processor's table of
 * pages (TLB) every time when they are of 4 KiB, and hardly ever when they are of 2 MiB.
 *
 *    filling, 4 KiB at a time ──> full ──engine_arena_make_huge──> one huge page
 *                 └─────────────────┴──────────────┬──────────────────────┘
 *                                         engine_arena_retire ──> retired ──release──> given back
 *
 * A chunk does not begin as a huge page: to clear 2 MiB at once takes 0.3 ms, and 7 (measured)
 * in a virtual machine that is lent its memory as it touches it. A claim must not wait for
 * that. Not for: outside src/engine. Called by the issues, the index and engine.c. */
#ifndef COUPON_ENGINE_ARENA_H
#define COUPON_ENGINE_ARENA_H

#include "engine/engine_memory.h"

struct engine_chunk;

struct engine_arena {
    struct engine_chunk *newest; /* a list by age; owned */
    struct engine_chunk *oldest;
    size_t size; /* of all chunks together, their heads left out */
};

void engine_arena_init(struct engine_arena *arena);

/* Aligned to a cache line, not zeroed. `size` is a multiple of a line, at most 1 MiB. NULL: no
 * memory, nothing changed. */
void *engine_arena_take(struct engine_arena *arena, struct engine_memory *memory, size_t size);

/* Puts all chunks on memory->retired, in no time; the arena is empty again. */
void engine_arena_retire(struct engine_arena *arena, struct engine_memory *memory);

/* Gives some of memory->retired back. */
void engine_arena_release(struct engine_memory *memory);

/* Makes one of memory->full a huge page. Nothing may be retired: it would be work for what is
 * about to go. */
void engine_arena_make_huge(struct engine_memory *memory);

#endif

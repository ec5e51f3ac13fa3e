/* engine_memory: every allocation of the engine, counted.
 *
 * Not for: anything outside src/engine. Called by the issues, the index, the arenas and the
 * coupon map, so that engine_figures can tell what the allocator really gave, headers
 * included. */
#ifndef COUPON_ENGINE_MEMORY_H
#define COUPON_ENGINE_MEMORY_H

#include "base/base.h"

#define ENGINE_CACHE_LINE 64

struct engine_memory {
    size_t bytes;                 /* held now */
    struct engine_chunk *retired; /* the arenas' (engine_arena.h), of removed coupons … */
    struct engine_chunk *full;    /* … and those that could be huge pages */
};

/* realloc: NULL when there is no memory, then `block` is as it was. `size` > 0. */
void *engine_memory_resize(struct engine_memory *memory, void *block, size_t size);

/* Aligned to a cache line, not zeroed. `size` is a multiple of it. NULL: no memory. */
void *engine_memory_lines(struct engine_memory *memory, size_t size);

void engine_memory_free(struct engine_memory *memory, void *block); /* takes NULL */

#endif

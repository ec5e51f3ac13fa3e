/* engine_arena: see the header. */
#include "engine/engine_arena.h"

#include <stdalign.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older kernels refuse it */
#endif

#define CHUNK_SIZE_MAX (UINT64_C(2) << 20) /* a huge page */
/* To unmap 2 MiB of small pages takes 0.1 ms (measured). */
#define RELEASED_AT_ONCE 4

/* Stands at the beginning of its chunk. */
struct engine_chunk {
    alignas(ENGINE_CACHE_LINE) struct engine_chunk *older; /* of its arena, then: retired */
    struct engine_chunk *full_next;                        /* of all chunks that are full … */
    struct engine_chunk **full_link;                       /* … and what points here, or NULL */
    size_t size;                                           /* with this head */
    size_t used;
    size_t counted; /* in memory->bytes; the small ones are counted by the allocator */
};

static_assert(sizeof(struct engine_chunk) == ENGINE_CACHE_LINE, "blocks stay aligned");

/* ---- chunks ---------------------------------------------------------------------------- */

static bool is_huge(const struct engine_chunk *chunk) {
    return chunk->size == CHUNK_SIZE_MAX;
}

static void count(struct engine_memory *memory, struct engine_chunk *chunk, size_t counted) {
    memory->bytes += counted - chunk->counted;
    chunk->counted = counted;
}

/* 2 MiB at a multiple of it. They take no memory yet: pages come as they are touched, small
 * ones also where the system would make them huge by itself. */
static struct engine_chunk *huge_map(void) {
    char *mapped =
        mmap(NULL, 2 * CHUNK_SIZE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)mapped & (CHUNK_SIZE_MAX - 1);
    if (before > 0)
        munmap(mapped, before);
    munmap(mapped + before + CHUNK_SIZE_MAX, CHUNK_SIZE_MAX - before);
    madvise(mapped + before, CHUNK_SIZE_MAX, MADV_NOHUGEPAGE); /* refused without huge pages */
    return (struct engine_chunk *)(void *)(mapped + before);
}

static struct engine_chunk *chunk_new(struct engine_memory *memory, size_t size) {
    struct engine_chunk *chunk =
        size == CHUNK_SIZE_MAX ? huge_map() : engine_memory_lines(memory, size);
    if (!chunk)
        return NULL;
    *chunk = (struct engine_chunk){.size = size, .used = sizeof *chunk};
    if (is_huge(chunk))
        count(memory, chunk, chunk->used);
    return chunk;
}

static void full_unlink(struct engine_chunk *chunk) {
    if (!chunk->full_link)
        return;
    *chunk->full_link = chunk->full_next;
    if (chunk->full_next)
        chunk->full_next->full_link = chunk->full_link;
    chunk->full_link = NULL;
}

static void full_link(struct engine_memory *memory, struct engine_chunk *chunk) {
    chunk->full_next = memory->full;
    chunk->full_link = &memory->full;
    if (chunk->full_next)
        chunk->full_next->full_link = &chunk->full_next;
    memory->full = chunk;
}

static void chunk_free(struct engine_memory *memory, struct engine_chunk *chunk) {
    full_unlink(chunk);
    if (!is_huge(chunk)) {
        engine_memory_free(memory, chunk);
        return;
    }
    count(memory, chunk, 0);
    munmap(chunk, CHUNK_SIZE_MAX);
}

/* Where the kernel has no page to give, or cannot, the chunk stays as it is; it may yet be
 * made huge in the background. */
static void chunk_make_huge(struct engine_memory *memory, struct engine_chunk *chunk) {
    madvise(chunk, CHUNK_SIZE_MAX, MADV_HUGEPAGE);
    if (madvise(chunk, CHUNK_SIZE_MAX, MADV_COLLAPSE) == 0)
        count(memory, chunk, CHUNK_SIZE_MAX);
}

/* ---- arenas ---------------------------------------------------------------------------- */

void engine_arena_init(struct engine_arena *arena) {
    *arena = (struct engine_arena){.newest = NULL};
}

static bool chunk_add(struct engine_arena *arena, struct engine_memory *memory, size_t size) {
    size_t size_max = CHUNK_SIZE_MAX - sizeof(struct engine_chunk);
    size_t doubled = arena->size < size_max ? arena->size : size_max;
    size = size > doubled ? size : doubled;
    struct engine_chunk *chunk = chunk_new(memory, sizeof *chunk + size);
    if (!chunk)
        return false;
    if (arena->newest && is_huge(arena->newest))
        full_link(memory, arena->newest);
    chunk->older = arena->newest;
    arena->newest = chunk;
    arena->oldest = arena->oldest ? arena->oldest : chunk;
    arena->size += size;
    return true;
}

void *engine_arena_take(struct engine_arena *arena, struct engine_memory *memory, size_t size) {
    assert(size > 0 && size % ENGINE_CACHE_LINE == 0);
    assert(size <= CHUNK_SIZE_MAX / 2);
    if ((!arena->newest || arena->newest->size - arena->newest->used < size) &&
        !chunk_add(arena, memory, size))
        return NULL;
    struct engine_chunk *chunk = arena->newest;
    void *block = (char *)chunk + chunk->used;
    chunk->used += size;
    if (is_huge(chunk))
        count(memory, chunk, chunk->used);
    return block;
}

void engine_arena_retire(struct engine_arena *arena, struct engine_memory *memory) {
    if (!arena->newest)
        return;
    arena->oldest->older = memory->retired;
    memory->retired = arena->newest;
    engine_arena_init(arena);
}

void engine_arena_release(struct engine_memory *memory) {
    for (size_t i = 0; memory->retired && i < RELEASED_AT_ONCE; i++) {
        struct engine_chunk *chunk = memory->retired;
        memory->retired = chunk->older;
        chunk_free(memory, chunk);
    }
}

void engine_arena_make_huge(struct engine_memory *memory) {
    assert(!memory->retired);
    struct engine_chunk *chunk = memory->full;
    if (!chunk)
        return;
    full_unlink(chunk);
    chunk_make_huge(memory, chunk);
}

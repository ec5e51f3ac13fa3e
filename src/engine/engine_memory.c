/* engine_memory: see the header. The size of a block is asked of the allocator rather than
 * remembered: that is what the block costs, and it needs no room of its own. */
#include "engine/engine_memory.h"

#include <malloc.h>
#include <stdlib.h>

/* What glibc takes for a block: what may be used and the size it keeps in front. */
static size_t block_bytes(void *block) {
    return block ? malloc_usable_size(block) + sizeof(size_t) : 0;
}

void *engine_memory_resize(struct engine_memory *memory, void *block, size_t size) {
    assert(size > 0);
    size_t before = block_bytes(block);
    void *resized = realloc(block, size);
    if (resized) {
        assert(memory->bytes >= before);
        memory->bytes += block_bytes(resized) - before;
    }
    return resized;
}

void *engine_memory_lines(struct engine_memory *memory, size_t size) {
    assert(size > 0 && size % ENGINE_CACHE_LINE == 0);
    void *block = aligned_alloc(ENGINE_CACHE_LINE, size);
    if (block)
        memory->bytes += block_bytes(block);
    return block;
}

void engine_memory_free(struct engine_memory *memory, void *block) {
    assert(memory->bytes >= block_bytes(block));
    memory->bytes -= block_bytes(block);
    free(block);
}

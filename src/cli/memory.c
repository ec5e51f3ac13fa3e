/* An allocator for libuv that ends the process with words. */
#include "cli/memory.h"
#include "cli/options.h"

#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

/* Of what this program uses of libuv only the table of descriptors is reallocated, and libuv 1.44
 * calls abort() when that fails (maybe_resize of unix/core.c). Any thread: other threads may be in
 * the midst of something, so nothing is tidied up. */
static void *reallocate_or_end(void *memory, size_t size) {
    void *grown = realloc(memory, size);
    if (!grown) {
        log_event(LOG_ERROR, "out-of-memory",
                  LOG_TEXT("why", "there is no memory to watch another descriptor"),
                  LOG_NUMBER("bytes", size));
        _exit(EXIT_CODE_FAILED);
    }
    return grown;
}

void memory_begin(void) {
    (void)uv_replace_allocator(malloc, reallocate_or_end, calloc, free); /* fails for NULLs only */
}

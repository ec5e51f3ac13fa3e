/* See shim_memory.h. */
#include "shim_memory.h"

#include "support/allocation.h"

#include <assert.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>

static struct fault *faults;
static _Thread_local bool is_own;

bool allocation_fails(void) {
    return faults && !is_own && fault_strikes(faults, FAULT_ALLOCATE);
}

/* ---- SQLite's ---- */

static void *sqlite_malloc(int size) {
    return allocation_fails() ? NULL : __real_malloc((size_t)size);
}

static void *sqlite_realloc(void *memory, int size) {
    return allocation_fails() ? NULL : __real_realloc(memory, (size_t)size);
}

static int sqlite_size(void *memory) {
    return (int)malloc_usable_size(memory);
}

static int sqlite_round_up(int size) {
    return (size + 7) & ~7;
}

static int sqlite_begin(void *context) {
    (void)context;
    return SQLITE_OK;
}

static void sqlite_end(void *context) {
    (void)context;
}

void shim_memory_install(struct fault *fault) {
    static const sqlite3_mem_methods methods = {
        .xMalloc = sqlite_malloc,
        .xFree = free,
        .xRealloc = sqlite_realloc,
        .xSize = sqlite_size,
        .xRoundup = sqlite_round_up,
        .xInit = sqlite_begin,
        .xShutdown = sqlite_end,
    };
    /* Lookaside would serve small requests out of a room that was taken once. */
    int result = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    assert(result == SQLITE_OK);
    result = sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    assert(result == SQLITE_OK);
    result = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    assert(result == SQLITE_OK);
    faults = fault;
}

void shim_memory_own(bool own) {
    is_own = own;
}

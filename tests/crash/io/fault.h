/* fault: which call of a program's fails, and how. One struct of plain numbers, which the shims
 * count in and the runners arm: it lies in memory that processes share, or in a mapped file
 * (process.py knows its layout too).
 *
 * Not for: doing the call (shim_vfs.c, shim_system.c, shim_memory.c). */
#ifndef COUPON_TESTS_CRASH_IO_FAULT_H
#define COUPON_TESTS_CRASH_IO_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What a call does; bits of `operations`. */
enum fault_operation {
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_TRUNCATE,
    FAULT_SYNC,
    FAULT_DELETE,
    FAULT_ACCESS,
    FAULT_SIZE, /* fstat and its like */
    FAULT_LOCK,
    FAULT_CLOSE,
    FAULT_NAME,     /* rename, link, mkdir, rmdir */
    FAULT_ALLOCATE, /* malloc and its like */
    FAULT_OPERATIONS,
};

/* What a struck call says. */
enum fault_error {
    FAULT_IO,      /* the operation's own error: EIO, SQLITE_IOERR_WRITE … */
    FAULT_FULL,    /* no room: ENOSPC, SQLITE_FULL */
    FAULT_MEMORY,  /* no memory: NULL, SQLITE_IOERR_NOMEM */
    FAULT_BUSY,    /* a lock that another one has */
    FAULT_PARTIAL, /* success, but of half of the bytes, as write(2) may */
    FAULT_LIE,     /* success, and nothing was done: for the checkers' own tests */
};

#define FAULT_ROOT_SIZE 256

struct fault {
    int64_t operations;    /* which are counted, and may be struck */
    int64_t first;         /* the call of this number is struck, from 1 on; 0: none … */
    int64_t last;          /* … and each one up to this */
    int64_t error;         /* enum fault_error */
    int64_t half;          /* the first write that is struck writes half of its bytes before */
    _Atomic int64_t calls; /* counted since it was armed */
    _Atomic int64_t hits;
    _Atomic int64_t hits_of[FAULT_OPERATIONS];
    char root[FAULT_ROOT_SIZE]; /* only of files under this folder; "": of none (shim_system.c) */
};

/* Counts the call; whether it is to fail. */
static inline bool fault_strikes(struct fault *fault, enum fault_operation operation) {
    if (!(fault->operations >> operation & 1)) {
        return false;
    }
    int64_t call = atomic_fetch_add(&fault->calls, 1) + 1;
    if (fault->first == 0 || call < fault->first || call > fault->last) {
        return false;
    }
    atomic_fetch_add(&fault->hits, 1);
    atomic_fetch_add(&fault->hits_of[operation], 1);
    return true;
}

/* Whether this strike, which fault_strikes told of just now, is to leave half of a write. */
static inline bool fault_halves(struct fault *fault) {
    return fault->half != 0 && atomic_load(&fault->hits) == 1;
}

#endif

/* The faults in a server that knows nothing of them: loaded before its libraries (LD_PRELOAD),
 * armed by process.py through the file that COUPON_FAULT_FILE names, which holds a struct fault.
 * Without that variable nothing happens.
 *
 * Allocations are counted here too: malloc, calloc, realloc, aligned_alloc and posix_memalign of
 * every library, as glibc's own are reachable under other names. */
#include "shim_system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static bool no_memory(void) {
    if (!system_fault || !fault_strikes(system_fault, FAULT_ALLOCATE)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) {
    return no_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return no_memory() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    return no_memory() ? NULL : __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return no_memory() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size) {
    void *memory = no_memory() ? NULL : __libc_memalign(alignment, size);
    if (!memory) {
        return ENOMEM;
    }
    *ret_memory = memory;
    return 0;
}

static void __attribute__((constructor)) preload_begin(void) {
    const char *path = getenv("COUPON_FAULT_FILE");
    if (!path) {
        return;
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *memory =
        fd < 0 ? MAP_FAILED
               : mmap(NULL, sizeof(struct fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        static const char text[] = "preload: COUPON_FAULT_FILE cannot be mapped\n";
        (void)!syscall(SYS_write, STDERR_FILENO, text, sizeof(text) - 1);
        _exit(2);
    }
    close(fd);
    system_fault = memory;
}

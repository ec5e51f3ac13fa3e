/* What the linker's --wrap took the names of: the C library's own. For the scheduler and main.c. */
#ifndef SIM_DISTRIBUTED_REAL_H
#define SIM_DISTRIBUTED_REAL_H

#include <stddef.h>
#include <time.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
int __real_clock_gettime(clockid_t id, struct timespec *ret_time);

#endif

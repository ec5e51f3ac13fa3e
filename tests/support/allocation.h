/* allocation: malloc, calloc, realloc and aligned_alloc of a test program, which fail when it says
 * so. Links with the dependency failing_allocations (meson.build): the linker leads the program's
 * own calls here (--wrap), not those of shared libraries. Not for what fails by its size or by
 * the function called; unit/http/faults.h has that. */
#ifndef COUPON_TESTS_SUPPORT_ALLOCATION_H
#define COUPON_TESTS_SUPPORT_ALLOCATION_H

#include <stdbool.h>
#include <stddef.h>

/* Supplied by the program: asked once before each allocation, by the thread that makes it. True:
 * the caller gets NULL, and errno as this leaves it. It must not allocate. */
bool allocation_fails(void);

/* What never fails. free(3) takes what they return. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);

#endif

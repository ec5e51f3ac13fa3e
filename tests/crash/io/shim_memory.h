/* shim_memory: the allocations of the program's own code and of SQLite, with a fault in front of
 * each. */
#ifndef COUPON_TESTS_CRASH_IO_SHIM_MEMORY_H
#define COUPON_TESTS_CRASH_IO_SHIM_MEMORY_H

#include "fault.h"

/* Before SQLite is used. From then on every thread's allocations are counted, but for those
 * that a thread makes between shim_memory_own(true) and shim_memory_own(false): a test's own. */
void shim_memory_install(struct fault *fault);
void shim_memory_own(bool own);

#endif

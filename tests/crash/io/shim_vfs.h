/* shim_vfs: SQLite's own VFS with a fault in front of every call. */
#ifndef COUPON_TESTS_CRASH_IO_SHIM_VFS_H
#define COUPON_TESTS_CRASH_IO_SHIM_VFS_H

#include "fault.h"

#define SHIM_VFS "shim"

/* Makes it known to SQLite as SHIM_VFS, and the default, so that a backup's connection has it
 * too. `fault` lasts as long as the process; files lie under the unix VFS. */
void shim_vfs_register(struct fault *fault);

#endif

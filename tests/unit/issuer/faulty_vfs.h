/* A SQLite VFS for the tests of the running issuer: the system's own, but its write-ahead
 * log can be told to fail, or to keep the writer waiting inside a sync, which is how a test
 * knows that a commit is under way without sleeping. Any thread may call any of these. */
#ifndef TEST_ISSUER_FAULTY_VFS_H
#define TEST_ISSUER_FAULTY_VFS_H

#include <stddef.h>

#define FAULTY_VFS "faulty"

void faulty_vfs_register(void);
/* From now on: 0 (works) or the SQLite code that every such call on the log fails with. */
void faulty_vfs_write_fails(int result);
void faulty_vfs_write_fails_once(int result);
void faulty_vfs_sync_fails(int result);
/* The next sync of the log waits inside until it is released. */
void faulty_vfs_hold(void);
void faulty_vfs_wait_until_held(void);
void faulty_vfs_release(void);
size_t faulty_vfs_syncs(void); /* of the log, since the program began */

#endif

/* shim_system: the C library's calls on files, with a fault in front and a listener behind, for
 * the files under fault->root alone. Linked into a program it takes the place of the library's
 * for the program and all it links to; as a library of its own it is preloaded into the server
 * (preload.c). */
#ifndef COUPON_TESTS_CRASH_IO_SHIM_SYSTEM_H
#define COUPON_TESTS_CRASH_IO_SHIM_SYSTEM_H

#include "fault.h"

#include <stddef.h>
#include <sys/types.h>

/* Told of what was done, after it worked. Paths are relative to the root; "" is the root. */
struct system_listener {
    void (*opened)(const char *path, ino_t inode, bool made, bool emptied);
    void (*wrote)(ino_t inode, const void *bytes, size_t size, int64_t at);
    void (*truncated)(ino_t inode, int64_t size);
    void (*synced)(const char *path, ino_t inode, bool is_folder);
    void (*linked)(const char *from, const char *to);
    void (*renamed)(const char *from, const char *to);
    void (*unlinked)(const char *path); /* a folder, too */
    void (*folder_made)(const char *path);
};

/* Both NULL at first: every call is the kernel's own. Set while no other thread runs. */
extern struct fault *system_fault;
extern const struct system_listener *system_listener;

#endif

/* disk: what may be found on a disk after the power went. It follows a stream; what was synced is
 * there, and of what was not each part may be there or not.
 *
 * What SQLite rests on, and so what is kept to here (sqlite.org: psow.html, atomiccommit.html):
 *   - fsync of a file brings all that was written to it, in any order until then;
 *   - a write that was not synced may be there in part, by sectors of 512 bytes or less, in any
 *     order among others; within the bytes that were written there may be anything (old, new,
 *     garbage), but no byte beside them changes ("powersafe overwrite", which SQLite's unix VFS
 *     promises, and which lets it write commits without padding);
 *   - a file may have grown though what made it grow is not there;
 *   - removing and renaming are whole or not at all, and are certain once their folder was synced.
 * POSIX promises no more for the names in a folder, so a file's sync brings not its name. */
#ifndef COUPON_TESTS_CRASH_IO_DISK_H
#define COUPON_TESTS_CRASH_IO_DISK_H

#include "stream.h"

struct disk;

struct disk *disk_new(void);
void disk_free(struct disk *disk);
/* The next event; one that is not of the disk does nothing. Events outlive the disk.
 * `lies`: syncs do nothing (for the checkers' own test). */
void disk_follow(struct disk *disk, const struct stream_event *event, bool lies);
/* Takes what lies in the folder as synced, under this path. */
void disk_adopt(struct disk *disk, const char *folder, const char *path);

/* Writes what a power cut now might leave to a new folder of this name; which of all that might
 * be depends on the seed. Names the damage in a static room. */
const char *disk_image(const struct disk *disk, uint64_t seed, const char *folder);

#endif

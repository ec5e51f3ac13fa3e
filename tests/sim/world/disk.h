/* disk: files in memory that tell what a power cut may do to them.
 *
 * Every file has the content that programs see and the content that is on the platter, and
 * between them the writes and truncations since its last sync; the one folder has the same for
 * its names. A power cut keeps of what was not synced any part: whole writes or none, the first
 * few, any sectors of any of them in any order, a part of a sector. Pessimistic where POSIX is:
 * syncing a file does not sync its name.
 *
 * Pure: no fault comes by itself, no time, no SQLite. io.h decides what fails; vfs.c and folder.c
 * bring SQLite and the ledger's system calls here. One thread.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim/world/random.h"

#define DISK_SECTOR    512
#define DISK_NAME_SIZE 64
#define DISK_FILES_MAX 16 /* names at one time; a data folder has seven */

struct disk;

/* What power cuts did, for the count of faults that really happened. */
struct disk_damage {
    uint64_t cuts;
    uint64_t lost;      /* writes of which nothing was left */
    uint64_t torn;      /* of which a part was */
    uint64_t reordered; /* that survived a lost earlier one of the same file */
    uint64_t names;     /* creations, removals and renames that were lost */
};

/* Memory that cannot be had ends the program. */
struct disk *disk_new(void);
void disk_free(struct disk *disk); /* takes NULL */
/* Everything of `from`, synced or not. */
struct disk *disk_copy(const struct disk *from);

/* Whether a sector that a power cut tears may be garbled where nobody wrote to it (a device
 * without "powersafe overwrite"). */
void disk_set_garbles(struct disk *disk, bool garbles);

/* ---- names; a file stays usable by its number while it has none ---- */

/* The file's number (> 0); 0: there is none. */
unsigned disk_find(const struct disk *disk, const char *name);
unsigned disk_create(struct disk *disk, const char *name); /* there is none yet */
void disk_unlink(struct disk *disk, const char *name);     /* there is one */
void disk_rename(struct disk *disk, const char *from, const char *to);
void disk_sync_names(struct disk *disk);

/* ---- content ---- */

size_t disk_size(const struct disk *disk, unsigned file);
/* The number of bytes there were. */
size_t disk_read(const struct disk *disk, unsigned file, void *bytes, size_t size, size_t at);
void disk_write(struct disk *disk, unsigned file, const void *bytes, size_t size, size_t at);
void disk_truncate(struct disk *disk, unsigned file, size_t size);
void disk_sync(struct disk *disk, unsigned file);
void disk_sync_everything(struct disk *disk); /* names, too */
/* A sync that fails, as Linux does it: of what was pending each part is on the platter or never
 * will be, programs see all of it as before, and no later sync brings it there. On a disk that
 * garbles it stays pending. */
void disk_sync_fails(struct disk *disk, unsigned file, struct random *random);
/* Writes and truncations of this file since its last sync. */
size_t disk_pending(const struct disk *disk, unsigned file);

/* ---- power ---- */

/* Nothing that was not synced is left … */
void disk_cut_all(struct disk *disk);
/* … or any part of it. What a cut keeps is on the platter afterwards. */
void disk_cut(struct disk *disk, struct random *random, struct disk_damage *damage);

#endif

/* For the tests of holds and backups: a ledger that writes while something copies it. */
#ifndef COUPON_TESTS_LEDGER_SUPPORT_WORLD_H
#define COUPON_TESTS_LEDGER_SUPPORT_WORLD_H

#include "support.h"

#include "ledger/sqlite_ledger.h"

#define WAL        "coupon.db-wal"
#define FRAME_SIZE (4096 + 24)

/* A ledger with coupon 1, and the place for a copy of it. */
struct world {
    char *folder;
    char *room;      /* for copies */
    const char *vfs; /* of world_open */
    struct ledger *ledger;
    uint32_t issued;
    int held; /* how often it was told */
    int broken;
    int64_t wal_size; /* as told last */
};

/* For cmocka: a world with an open ledger and coupon 1 in it, without issues. */
int world_setup(void **state);
int world_teardown(void **state);                            /* closes the ledger, NULL too */
void world_open(struct world *world, int64_t held_size_max); /* 0: the default */

/* Issues so many ranks more, in one commit. */
void issue(struct world *world, uint32_t count);
void tend(struct world *world, bool idle);
int frames_of(const struct world *world); /* in the WAL and not folded */
/* Commits until so many frames wait to be folded. */
void issue_frames(struct world *world, int frames);
/* All is folded, and the WAL's old frames and header are in their places. */
void fold_everything(struct world *world);
int64_t size_of(const char *folder, const char *name); /* 0: no such file */

#endif

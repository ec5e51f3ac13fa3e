#include "support_world.h"

#include <stdlib.h>
#include <sys/stat.h>

#define PER_COMMIT 50 /* issues; a few frames */

static void on_held(void *context, bool broken, int64_t wal_size) {
    struct world *world = context;
    *(broken ? &world->broken : &world->held) += 1;
    world->wal_size = wal_size;
}

void world_open(struct world *world, int64_t held_size_max) {
    struct ledger_sqlite_options options = {.directory = world->folder,
                                            .vfs = world->vfs,
                                            .held_size_max = held_size_max,
                                            .held = on_held,
                                            .held_context = world};
    assert_int_equal(ledger_sqlite_open(&options, &world->ledger, &complaint), STATUS_OK);
}

int world_setup(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    world->folder = folder_new();
    world->room = folder_new();
    world_open(world, 0);
    add_coupon(world->ledger, COUPON_UNLIMITED);
    *state = world;
    return 0;
}

int world_teardown(void **state) {
    struct world *world = *state;
    ledger_close(world->ledger, NULL);
    folder_remove(world->folder);
    folder_remove(world->room);
    free(world);
    faults_clear();
    return 0;
}

void issue(struct world *world, uint32_t count) {
    assert_int_equal(append_ranks(world->ledger, 1, world->issued + 1, count), STATUS_OK);
    world->issued += count;
}

void tend(struct world *world, bool idle) {
    assert_int_equal(ledger_tend(world->ledger, idle, &complaint), STATUS_OK);
}

int frames_of(const struct world *world) {
    return sqlite_of(world->ledger)->wal_frames;
}

void issue_frames(struct world *world, int frames) {
    while (frames_of(world) < frames) {
        issue(world, PER_COMMIT);
    }
}

void fold_everything(struct world *world) {
    issue_frames(world, 1000);
    tend(world, false);
    assert_int_equal(frames_of(world), 0);
    assert_true(exists(world->folder, WAL));
}

int64_t size_of(const char *folder, const char *name) {
    struct stat file;
    return stat(path_of(folder, name), &file) ? 0 : (int64_t)file.st_size;
}

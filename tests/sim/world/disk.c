/* Files, their pending changes, and power cuts. See disk.h. */
#include "sim/world/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct content {
    unsigned char *bytes;
    size_t size;
    size_t capacity;
};

struct change {
    bool truncates;
    size_t at;   /* of a write; the new size of a truncation */
    size_t size; /* of a write; its bytes lie in the file's pool … */
    size_t pool_at;
};

struct file {
    struct content seen;
    struct content platter;
    struct change *changes; /* since the last sync */
    size_t change_count;
    size_t change_capacity;
    struct content pool;
};

struct name {
    char text[DISK_NAME_SIZE];
    unsigned file; /* 0: free */
};

enum name_change_kind { NAME_CREATED, NAME_REMOVED, NAME_MOVED };

struct name_change {
    enum name_change_kind kind;
    char text[DISK_NAME_SIZE];
    char to[DISK_NAME_SIZE];
    unsigned file;
};

#define NAME_CHANGES_MAX 64

struct disk {
    struct name seen[DISK_FILES_MAX];
    struct name platter[DISK_FILES_MAX];
    struct name_change changes[NAME_CHANGES_MAX];
    size_t change_count;
    struct file *files; /* by number; 0 is not used */
    size_t file_count;
    bool garbles;
};

/* ---- memory ---- */

static void *grown(void *block, size_t size) {
    void *larger = realloc(block, size);
    if (!larger) {
        fprintf(stderr, "sim: no memory for the simulated disk\n");
        abort();
    }
    return larger;
}

static void content_resize(struct content *content, size_t size) {
    if (size > content->capacity) {
        size_t capacity = content->capacity ? content->capacity : 4096;
        while (capacity < size) {
            capacity *= 2;
        }
        content->bytes = grown(content->bytes, capacity);
        content->capacity = capacity;
    }
    if (size > content->size) {
        memset(content->bytes + content->size, 0, size - content->size);
    }
    content->size = size;
}

static void content_write(struct content *content, const void *bytes, size_t size, size_t at) {
    if (size == 0) {
        return;
    }
    if (at + size > content->size) {
        content_resize(content, at + size);
    }
    memcpy(content->bytes + at, bytes, size);
}

static void content_copy(struct content *to, const struct content *from) {
    content_resize(to, 0);
    content_write(to, from->bytes, from->size, 0);
}

static void file_clear(struct file *file) {
    file->change_count = 0;
    content_resize(&file->pool, 0);
}

struct disk *disk_new(void) {
    struct disk *disk = grown(NULL, sizeof(*disk));
    *disk = (struct disk){.file_count = 1};
    disk->files = grown(NULL, sizeof(disk->files[0]));
    disk->files[0] = (struct file){.change_count = 0};
    return disk;
}

void disk_free(struct disk *disk) {
    if (!disk) {
        return;
    }
    for (size_t i = 0; i < disk->file_count; i++) {
        free(disk->files[i].seen.bytes);
        free(disk->files[i].platter.bytes);
        free(disk->files[i].pool.bytes);
        free(disk->files[i].changes);
    }
    free(disk->files);
    free(disk);
}

struct disk *disk_copy(const struct disk *from) {
    struct disk *disk = grown(NULL, sizeof(*disk));
    *disk = *from;
    disk->files = grown(NULL, from->file_count * sizeof(disk->files[0]));
    for (size_t i = 0; i < from->file_count; i++) {
        const struct file *file = &from->files[i];
        struct file *copy = &disk->files[i];
        *copy = (struct file){.change_count = file->change_count,
                              .change_capacity = file->change_count};
        content_copy(&copy->seen, &file->seen);
        content_copy(&copy->platter, &file->platter);
        content_copy(&copy->pool, &file->pool);
        if (file->change_count > 0) {
            size_t size = file->change_count * sizeof(file->changes[0]);
            copy->changes = grown(NULL, size);
            memcpy(copy->changes, file->changes, size);
        }
    }
    return disk;
}

void disk_set_garbles(struct disk *disk, bool garbles) {
    disk->garbles = garbles;
}

/* ---- names ---- */

static struct name *name_find(struct name *names, const char *text) {
    for (size_t i = 0; i < DISK_FILES_MAX; i++) {
        if (names[i].file && strcmp(names[i].text, text) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

static void name_put(struct name *names, const char *text, unsigned file) {
    struct name *name = name_find(names, text);
    for (size_t i = 0; !name && i < DISK_FILES_MAX; i++) {
        name = names[i].file ? NULL : &names[i];
    }
    assert(name);
    snprintf(name->text, sizeof(name->text), "%s", text);
    name->file = file;
}

static void name_drop(struct name *names, const char *text) {
    struct name *name = name_find(names, text);
    if (name) {
        name->file = 0;
    }
}

static void name_apply(struct name *names, const struct name_change *change) {
    switch (change->kind) {
    case NAME_CREATED:
        name_put(names, change->text, change->file);
        break;
    case NAME_REMOVED:
        name_drop(names, change->text);
        break;
    case NAME_MOVED:
        name_drop(names, change->text);
        name_put(names, change->to, change->file);
        break;
    }
}

static void name_change(struct disk *disk, enum name_change_kind kind, const char *text,
                        const char *to, unsigned file) {
    if (disk->change_count == NAME_CHANGES_MAX) { /* a journal that is full is written */
        disk_sync_names(disk);
    }
    struct name_change *change = &disk->changes[disk->change_count++];
    change->kind = kind;
    change->file = file;
    snprintf(change->text, sizeof(change->text), "%s", text);
    snprintf(change->to, sizeof(change->to), "%s", to);
    name_apply(disk->seen, change);
}

unsigned disk_find(const struct disk *disk, const char *name) {
    const struct name *found = name_find((struct name *)disk->seen, name);
    return found ? found->file : 0;
}

unsigned disk_create(struct disk *disk, const char *name) {
    assert(!disk_find(disk, name));
    unsigned file = (unsigned)disk->file_count++;
    disk->files = grown(disk->files, disk->file_count * sizeof(disk->files[0]));
    disk->files[file] = (struct file){.change_count = 0};
    name_change(disk, NAME_CREATED, name, "", file);
    return file;
}

void disk_unlink(struct disk *disk, const char *name) {
    assert(disk_find(disk, name));
    name_change(disk, NAME_REMOVED, name, "", 0);
}

void disk_rename(struct disk *disk, const char *from, const char *to) {
    unsigned file = disk_find(disk, from);
    assert(file);
    name_change(disk, NAME_MOVED, from, to, file);
}

void disk_sync_names(struct disk *disk) {
    memcpy(disk->platter, disk->seen, sizeof(disk->platter));
    disk->change_count = 0;
}

/* ---- content ---- */

static struct file *file_of(const struct disk *disk, unsigned file) {
    assert(file > 0 && file < disk->file_count);
    return &disk->files[file];
}

size_t disk_size(const struct disk *disk, unsigned file) {
    return file_of(disk, file)->seen.size;
}

size_t disk_read(const struct disk *disk, unsigned file, void *bytes, size_t size, size_t at) {
    const struct content *seen = &file_of(disk, file)->seen;
    if (at >= seen->size) {
        return 0;
    }
    size_t there = seen->size - at < size ? seen->size - at : size;
    memcpy(bytes, seen->bytes + at, there);
    return there;
}

static struct change *change_add(struct file *file) {
    if (file->change_count == file->change_capacity) {
        file->change_capacity = file->change_capacity * 2 + 16;
        file->changes = grown(file->changes, file->change_capacity * sizeof(file->changes[0]));
    }
    return &file->changes[file->change_count++];
}

void disk_write(struct disk *disk, unsigned number, const void *bytes, size_t size, size_t at) {
    struct file *file = file_of(disk, number);
    *change_add(file) = (struct change){.at = at, .size = size, .pool_at = file->pool.size};
    content_write(&file->pool, bytes, size, file->pool.size);
    content_write(&file->seen, bytes, size, at);
}

void disk_truncate(struct disk *disk, unsigned number, size_t size) {
    struct file *file = file_of(disk, number);
    *change_add(file) = (struct change){.truncates = true, .at = size};
    content_resize(&file->seen, size);
}

static void change_apply(struct file *file, const struct change *change) {
    if (change->truncates) {
        content_resize(&file->platter, change->at);
    } else {
        content_write(&file->platter, file->pool.bytes + change->pool_at, change->size, change->at);
    }
}

void disk_sync(struct disk *disk, unsigned number) {
    struct file *file = file_of(disk, number);
    for (size_t i = 0; i < file->change_count; i++) {
        change_apply(file, &file->changes[i]);
    }
    file_clear(file);
}

void disk_sync_everything(struct disk *disk) {
    disk_sync_names(disk);
    for (unsigned i = 1; i < disk->file_count; i++) {
        disk_sync(disk, i);
    }
}

size_t disk_pending(const struct disk *disk, unsigned file) {
    return file_of(disk, file)->change_count;
}

/* ---- power ---- */

/* What a cut leaves of a file's pending changes: none, all, the first few, any sectors. */
enum keeping { KEEP_NONE, KEEP_ALL, KEEP_FIRST, KEEP_SECTORS, KEEPINGS };

struct cut {
    struct disk *disk;
    struct random *random;
    struct disk_damage *damage;
    struct file *file;
    bool lost_one; /* of this file, so that what survives after it is reordered */
};

/* A part of one sector's bytes came through; where the device garbles, the others of the sector
 * are anything. */
static void keep_torn(struct cut *cut, const unsigned char *bytes, size_t size, size_t at) {
    size_t kept = (size_t)random_below(cut->random, size + 1);
    bool from_the_end = random_chance(cut->random, 300, 1000);
    size_t skip = from_the_end ? size - kept : 0;
    if (cut->disk->garbles) {
        size_t sector = at - at % DISK_SECTOR;
        unsigned char garbage[DISK_SECTOR];
        size_t end = at + size > cut->file->platter.size ? at + size : cut->file->platter.size;
        end = end < sector + DISK_SECTOR ? end : sector + DISK_SECTOR;
        for (size_t i = 0; i < end - sector; i++) {
            garbage[i] = (unsigned char)random_next(cut->random);
        }
        content_write(&cut->file->platter, garbage, end - sector, sector);
    }
    content_write(&cut->file->platter, bytes + skip, kept, at + skip);
}

/* The sectors of one write, each for itself. True: something of it is left, so that *all tells
 * whether it is whole. */
static bool keep_sectors(struct cut *cut, const struct change *change, unsigned permille,
                         bool *all) {
    const unsigned char *bytes = cut->file->pool.bytes + change->pool_at;
    bool any = false;
    *all = true;
    for (size_t done = 0; done < change->size;) {
        size_t at = change->at + done;
        size_t size = DISK_SECTOR - at % DISK_SECTOR;
        size = size < change->size - done ? size : change->size - done;
        if (random_chance(cut->random, permille, 1000)) {
            content_write(&cut->file->platter, bytes + done, size, at);
            any = true;
        } else {
            *all = false;
            if (random_chance(cut->random, 100, 1000)) {
                keep_torn(cut, bytes + done, size, at);
                any = true;
            }
        }
        done += size;
    }
    /* the size may be there without the bytes */
    if (!*all && change->at + change->size > cut->file->platter.size &&
        random_chance(cut->random, 300, 1000)) {
        content_resize(&cut->file->platter, change->at + change->size);
    }
    return any;
}

static void note(struct cut *cut, bool any, bool all) {
    cut->damage->lost += !any;
    cut->damage->torn += any && !all;
    cut->damage->reordered += any && cut->lost_one;
    cut->lost_one = cut->lost_one || !any;
}

static void cut_change(struct cut *cut, const struct change *change, unsigned permille) {
    bool all = false;
    bool any = false;
    if (change->truncates) {
        any = all = random_chance(cut->random, permille, 1000);
        if (any) {
            change_apply(cut->file, change);
        }
    } else {
        any = keep_sectors(cut, change, permille, &all);
    }
    note(cut, any, all);
}

static void cut_file(struct cut *cut) {
    static const unsigned permilles[] = {50, 500, 950};
    struct file *file = cut->file;
    size_t count = file->change_count;
    if (count == 0) {
        return;
    }
    enum keeping keeping = (enum keeping)random_below(cut->random, KEEPINGS);
    unsigned permille = keeping == KEEP_NONE      ? 0
                        : keeping == KEEP_SECTORS ? permilles[random_below(cut->random, 3)]
                                                  : 1000;
    size_t first = keeping == KEEP_FIRST ? (size_t)random_below(cut->random, count) : count;
    for (size_t i = 0; i < count; i++) {
        bool at_the_edge = keeping == KEEP_FIRST && i == first;
        unsigned of_this = at_the_edge ? 500 : i > first ? 0 : permille;
        if (of_this == 1000) {
            change_apply(file, &file->changes[i]);
            note(cut, true, true);
        } else if (of_this == 0) {
            note(cut, false, false);
        } else {
            cut_change(cut, &file->changes[i], of_this);
        }
    }
    file_clear(file);
}

static bool touches(const struct name_change *a, const struct name_change *b) {
    return strcmp(a->text, b->text) == 0 ||
           (a->kind == NAME_MOVED && strcmp(a->to, b->text) == 0) ||
           (b->kind == NAME_MOVED && strcmp(a->text, b->to) == 0) ||
           (a->kind == NAME_MOVED && b->kind == NAME_MOVED && strcmp(a->to, b->to) == 0);
}

/* Changes of names come through whole or not at all, those of one name in their order. */
static void cut_names(struct cut *cut) {
    struct disk *disk = cut->disk;
    bool lost[NAME_CHANGES_MAX] = {false};
    unsigned permille = (unsigned)random_below(cut->random, 5) * 250;
    for (size_t i = 0; i < disk->change_count; i++) {
        lost[i] = !random_chance(cut->random, permille, 1000);
        for (size_t before = 0; before < i; before++) {
            lost[i] =
                lost[i] || (lost[before] && touches(&disk->changes[before], &disk->changes[i]));
        }
        if (!lost[i]) {
            name_apply(disk->platter, &disk->changes[i]);
        }
        cut->damage->names += lost[i];
    }
    disk->change_count = 0;
}

/* Programs see the platter again. */
static void power_on(struct disk *disk) {
    memcpy(disk->seen, disk->platter, sizeof(disk->seen));
    disk->change_count = 0;
    for (size_t i = 1; i < disk->file_count; i++) {
        file_clear(&disk->files[i]);
        content_copy(&disk->files[i].seen, &disk->files[i].platter);
    }
}

void disk_cut_all(struct disk *disk) {
    power_on(disk);
}

void disk_cut(struct disk *disk, struct random *random, struct disk_damage *damage) {
    struct cut cut = {.disk = disk, .random = random, .damage = damage};
    damage->cuts++;
    cut_names(&cut);
    for (size_t i = 1; i < disk->file_count; i++) {
        cut.file = &disk->files[i];
        cut.lost_one = false;
        cut_file(&cut);
    }
    power_on(disk);
}

void disk_sync_fails(struct disk *disk, unsigned number, struct random *random) {
    if (disk->garbles) {
        return; /* such a device keeps what it could not write as what is to be written */
    }
    struct disk_damage unused = {0};
    struct cut cut = {
        .disk = disk, .random = random, .damage = &unused, .file = file_of(disk, number)};
    cut_file(&cut);
}

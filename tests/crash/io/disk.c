/* See disk.h. */
#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR_SIZE 512
#define FOLDER      ((ino_t)1) /* what a folder's name leads to here */

struct disk_file {
    ino_t inode;
    struct buffer synced;
    const struct stream_event **changes; /* writes and truncations since */
    size_t change_count;
    size_t change_capacity;
};

struct name {
    char *path;
    ino_t inode;
};

/* A change of a folder that was not synced since: first `removed`, then `set`. */
struct name_change {
    const char *removed; /* NULL: none */
    const char *set;     /* NULL: none */
    ino_t inode;
    const char *folder_of; /* the path whose folder's sync makes it certain */
};

struct names {
    struct name *list;
    size_t count;
    size_t capacity;
};

struct disk {
    struct disk_file *files;
    size_t file_count;
    size_t file_capacity;
    struct names live;
    struct names synced;
    struct name_change *changes;
    size_t change_count;
    size_t change_capacity;
};

/* Room for one more. */
#define GROW(array, count, capacity)                                                               \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity)*2 + 16;                                                        \
            (array) = realloc((array), (capacity) * sizeof(*(array)));                             \
            assert(array);                                                                         \
        }                                                                                          \
    } while (0)

/* ---- names ---- */

static ino_t names_find(const struct names *names, const char *path) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].path, path) == 0) {
            return names->list[i].inode;
        }
    }
    return 0;
}

static void names_remove(struct names *names, const char *path) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].path, path) == 0) {
            free(names->list[i].path);
            names->list[i] = names->list[--names->count];
            return;
        }
    }
}

static void names_set(struct names *names, const char *path, ino_t inode) {
    names_remove(names, path);
    GROW(names->list, names->count, names->capacity);
    char *copy = strdup(path);
    assert(copy);
    names->list[names->count++] = (struct name){copy, inode};
}

static void names_apply(struct names *names, const struct name_change *change) {
    if (change->removed) {
        names_remove(names, change->removed);
    }
    if (change->set) {
        names_set(names, change->set, change->inode);
    }
}

static void names_done(struct names *names) {
    for (size_t i = 0; i < names->count; i++) {
        free(names->list[i].path);
    }
    free(names->list);
}

/* Whether `path` lies directly in the folder. */
static bool lies_in(const char *path, const char *folder) {
    size_t size = strlen(folder);
    if (size > 0 && (strncmp(path, folder, size) != 0 || path[size] != '/')) {
        return false;
    }
    return strchr(path + size + (size > 0), '/') == NULL;
}

static void change_names(struct disk *disk, struct name_change change) {
    names_apply(&disk->live, &change);
    GROW(disk->changes, disk->change_count, disk->change_capacity);
    disk->changes[disk->change_count++] = change;
}

static void sync_folder(struct disk *disk, const char *folder) {
    size_t kept = 0;
    for (size_t i = 0; i < disk->change_count; i++) {
        if (lies_in(disk->changes[i].folder_of, folder)) {
            names_apply(&disk->synced, &disk->changes[i]);
        } else {
            disk->changes[kept++] = disk->changes[i];
        }
    }
    disk->change_count = kept;
}

/* ---- files ---- */

static struct disk_file *file_find(const struct disk *disk, ino_t inode) {
    for (size_t i = 0; i < disk->file_count; i++) {
        if (disk->files[i].inode == inode) {
            return &disk->files[i];
        }
    }
    return NULL;
}

static struct disk_file *file_add(struct disk *disk, ino_t inode) {
    GROW(disk->files, disk->file_count, disk->file_capacity);
    struct disk_file *file = &disk->files[disk->file_count++];
    *file = (struct disk_file){.inode = inode};
    return file;
}

static void bytes_resize(struct buffer *bytes, size_t size) {
    if (size > bytes->size) {
        int status = buffer_reserve(bytes, size - bytes->size);
        assert(status == STATUS_OK);
        memset(bytes->bytes + bytes->size, 0, size - bytes->size);
    }
    bytes->size = size;
}

static void bytes_put(struct buffer *bytes, size_t at, const char *from, size_t size) {
    if (at + size > bytes->size) {
        bytes_resize(bytes, at + size);
    }
    memcpy(bytes->bytes + at, from, size);
}

static void change_file(struct disk *disk, const struct stream_event *event) {
    struct disk_file *file = file_find(disk, event->inode);
    assert(file);
    GROW(file->changes, file->change_count, file->change_capacity);
    file->changes[file->change_count++] = event;
}

static void sync_file(struct disk_file *file) {
    for (size_t i = 0; file && i < file->change_count; i++) {
        const struct stream_event *change = file->changes[i];
        if (change->kind == STREAM_TRUNCATE) {
            bytes_resize(&file->synced, (size_t)change->at);
        } else {
            bytes_put(&file->synced, (size_t)change->at, change->bytes, change->size);
        }
    }
    if (file) {
        file->change_count = 0;
    }
}

/* ---- following ---- */

struct disk *disk_new(void) {
    struct disk *disk = calloc(1, sizeof(*disk));
    assert(disk);
    return disk;
}

void disk_free(struct disk *disk) {
    for (size_t i = 0; i < disk->file_count; i++) {
        buffer_done(&disk->files[i].synced);
        free(disk->files[i].changes);
    }
    names_done(&disk->live);
    names_done(&disk->synced);
    free(disk->files);
    free(disk->changes);
    free(disk);
}

void disk_follow(struct disk *disk, const struct stream_event *event, bool lies) {
    switch (event->kind) {
    case STREAM_MADE:
        file_add(disk, event->inode);
        change_names(disk, (struct name_change){.set = event->path,
                                                .inode = event->inode,
                                                .folder_of = event->path});
        break;
    case STREAM_WRITE:
    case STREAM_TRUNCATE:
        change_file(disk, event);
        break;
    case STREAM_SYNC:
        sync_file(lies ? NULL : file_find(disk, event->inode));
        break;
    case STREAM_SYNC_FOLDER:
        sync_folder(disk, event->path);
        break;
    case STREAM_LINK:
    case STREAM_RENAME:
        change_names(
            disk, (struct name_change){.removed = event->kind == STREAM_RENAME ? event->path : NULL,
                                       .set = event->to,
                                       .inode = names_find(&disk->live, event->path),
                                       .folder_of = event->to});
        break;
    case STREAM_UNLINK:
        change_names(disk, (struct name_change){.removed = event->path, .folder_of = event->path});
        break;
    case STREAM_FOLDER_MADE:
        change_names(disk, (struct name_change){
                               .set = event->path, .inode = FOLDER, .folder_of = event->path});
        break;
    case STREAM_PENDING:
    case STREAM_TOLD:
    case STREAM_FOLDER:
    case STREAM_BACKUP:
    case STREAM_BACKUP_DONE:
        break;
    }
}

static void adopt_file(struct disk *disk, const char *path, const char *name) {
    struct stat facts;
    char piece[16384];
    ssize_t size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = fstat(fd, &facts);
    assert(result == 0);
    struct disk_file *file = file_add(disk, facts.st_ino);
    while ((size = read(fd, piece, sizeof(piece))) > 0) {
        buffer_append(&file->synced, piece, (size_t)size);
    }
    close(fd);
    names_set(&disk->live, name, facts.st_ino);
    names_set(&disk->synced, name, facts.st_ino);
}

void disk_adopt(struct disk *disk, const char *folder, const char *path) {
    char from[PATH_MAX];
    char name[PATH_MAX];
    DIR *names = opendir(folder);
    const struct dirent *entry;
    assert(names);
    names_set(&disk->live, path, FOLDER);
    names_set(&disk->synced, path, FOLDER);
    while ((entry = readdir(names)) != NULL) {
        if (entry->d_type == DT_REG) {
            snprintf(from, sizeof(from), "%s/%s", folder, entry->d_name);
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
            adopt_file(disk, from, name);
        }
    }
    closedir(names);
}

/* ---- chance ---- */

struct chance {
    uint64_t state;
};

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t chance_next(struct chance *chance) {
    uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t chance_below(struct chance *chance, size_t limit) {
    return (size_t)(chance_next(chance) % limit);
}

static bool chance_of(struct chance *chance, unsigned percent) {
    return chance_below(chance, 100) < percent;
}

/* ---- images ---- */

enum fate { FATE_THERE, FATE_LOST, FATE_GARBAGE };

/* How a power cut is dealt with, for all files of an image. */
struct damage {
    enum { DAMAGE_NONE, DAMAGE_ALL, DAMAGE_TAIL, DAMAGE_SOME } style;
    unsigned there_percent;   /* SOME: of the sectors */
    unsigned garbage_percent; /* of those that are not */
    bool grows;               /* a file is as long as it was though its bytes are not there */
    bool grows_with_garbage;
    const char *style_name;
};

static struct damage damage_choose(struct chance *chance) {
    static const char *const names[] = {"nothing lost", "all lost", "tail lost", "some lost"};
    static const unsigned percents[] = {5, 30, 50, 80, 97};
    struct damage damage = {.there_percent = percents[chance_below(chance, COUNT_OF(percents))],
                            .garbage_percent = chance_of(chance, 50) ? 0 : 30,
                            .grows = chance_of(chance, 50),
                            .grows_with_garbage = chance_of(chance, 50)};
    size_t style = chance_below(chance, 8);
    damage.style = style == 0   ? DAMAGE_NONE
                   : style == 1 ? DAMAGE_ALL
                   : style < 4  ? DAMAGE_TAIL
                                : DAMAGE_SOME;
    damage.style_name = names[damage.style];
    return damage;
}

static void put_garbage(struct chance *chance, struct buffer *bytes, size_t at, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char byte = (char)chance_next(chance);
        bytes_put(bytes, at + i, &byte, 1);
    }
}

static enum fate fate_of(struct chance *chance, const struct damage *damage, size_t unit,
                         size_t cut) {
    bool there = damage->style == DAMAGE_NONE   ? true
                 : damage->style == DAMAGE_TAIL ? unit < cut
                 : damage->style == DAMAGE_SOME ? chance_of(chance, damage->there_percent)
                                                : false;
    bool torn = damage->style == DAMAGE_SOME || (damage->style == DAMAGE_TAIL && unit == cut);
    if (there) {
        return FATE_THERE;
    }
    return torn && chance_of(chance, damage->garbage_percent) ? FATE_GARBAGE : FATE_LOST;
}

/* One sector, or the part of it that was written. */
static void piece_land(struct chance *chance, const struct damage *damage, enum fate fate,
                       const struct stream_event *write, size_t offset, size_t size,
                       struct buffer *bytes) {
    size_t at = (size_t)write->at + offset;
    if (fate == FATE_THERE) {
        bytes_put(bytes, at, write->bytes + offset, size);
    } else if (fate == FATE_GARBAGE) {
        put_garbage(chance, bytes, at, size);
    } else if (damage->grows && at + size > bytes->size) {
        size_t before = bytes->size;
        bytes_resize(bytes, at + size);
        if (damage->grows_with_garbage && before < at + size) {
            size_t from = before > at ? before : at;
            put_garbage(chance, bytes, from, at + size - from);
        }
    }
}

static size_t piece_size(const struct stream_event *write, size_t offset) {
    size_t left = write->size - offset;
    size_t room = SECTOR_SIZE - ((size_t)write->at + offset) % SECTOR_SIZE;
    return left < room ? left : room;
}

static size_t unit_count(const struct disk_file *file) {
    size_t units = 0;
    for (size_t i = 0; i < file->change_count; i++) {
        const struct stream_event *change = file->changes[i];
        units += change->kind == STREAM_TRUNCATE ? 1 : change->size / SECTOR_SIZE + 2;
    }
    return units;
}

/* The file as it may be found. */
static struct buffer file_image(struct chance *chance, const struct damage *damage,
                                const struct disk_file *file) {
    struct buffer bytes = {0};
    size_t unit = 0;
    size_t cut = chance_below(chance, unit_count(file) + 1);
    buffer_append(&bytes, file->synced.bytes, file->synced.size);
    for (size_t i = 0; i < file->change_count; i++) {
        const struct stream_event *change = file->changes[i];
        if (change->kind == STREAM_TRUNCATE) {
            if (fate_of(chance, damage, unit++, cut) == FATE_THERE) {
                bytes_resize(&bytes, (size_t)change->at);
            }
            continue;
        }
        for (size_t offset = 0; offset < change->size;) {
            size_t size = piece_size(change, offset);
            enum fate fate = fate_of(chance, damage, unit++, cut);
            piece_land(chance, damage, fate, change, offset, size, &bytes);
            offset += size;
        }
    }
    return bytes;
}

/* The names as they may be found: what was synced, and all, none, the first or some of the rest. */
static struct names names_image(struct chance *chance, const struct disk *disk) {
    struct names names = {0};
    size_t style = chance_below(chance, 4);
    size_t cut = chance_below(chance, disk->change_count + 1);
    for (size_t i = 0; i < disk->synced.count; i++) {
        names_set(&names, disk->synced.list[i].path, disk->synced.list[i].inode);
    }
    for (size_t i = 0; i < disk->change_count; i++) {
        bool there = style == 0   ? true
                     : style == 1 ? false
                     : style == 2 ? i < cut
                                  : chance_of(chance, 50);
        if (there) {
            names_apply(&names, &disk->changes[i]);
        }
    }
    return names;
}

static void write_file(const char *path, const struct buffer *bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) { /* else the folder is not there, and so the file cannot be reached */
        ssize_t size = write(fd, bytes->bytes, bytes->size);
        assert(size == (ssize_t)bytes->size);
        close(fd);
    }
}

static int by_length(const void *a, const void *b) {
    size_t length_a = strlen(((const struct name *)a)->path);
    size_t length_b = strlen(((const struct name *)b)->path);
    return (length_a > length_b) - (length_a < length_b);
}

const char *disk_image(const struct disk *disk, uint64_t seed, const char *folder) {
    static char what[128];
    struct chance chance = {seed};
    struct damage damage = damage_choose(&chance);
    struct names names = names_image(&chance, disk);
    char path[PATH_MAX];
    mkdir(folder, 0700);
    qsort(names.list, names.count, sizeof(names.list[0]), by_length); /* folders before theirs */
    for (size_t i = 0; i < names.count; i++) {
        const struct disk_file *file = file_find(disk, names.list[i].inode);
        snprintf(path, sizeof(path), "%s/%s", folder, names.list[i].path);
        if (names.list[i].inode == FOLDER) {
            mkdir(path, 0700);
        } else if (file) {
            struct buffer bytes = file_image(&chance, &damage, file);
            write_file(path, &bytes);
            buffer_done(&bytes);
        }
    }
    names_done(&names);
    snprintf(what, sizeof(what), "%s (%u %% there, %u %% garbage%s)", damage.style_name,
             damage.there_percent, damage.garbage_percent,
             damage.grows ? ", files as long as they were" : "");
    return what;
}

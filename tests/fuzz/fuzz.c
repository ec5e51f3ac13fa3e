/* See fuzz.h. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

/* ---- choices ---- */

static struct slice take(struct slice *input, size_t size) {
    size = size < input->size ? size : input->size;
    struct slice taken = {input->bytes, size};
    if (size > 0) {
        *input = (struct slice){input->bytes + size, input->size - size};
    }
    return taken;
}

uint8_t fuzz_byte(struct slice *input) {
    struct slice one = take(input, 1);
    return one.size ? (uint8_t)one.bytes[0] : 0;
}

uint64_t fuzz_u64(struct slice *input) {
    struct slice bytes = take(input, sizeof(uint64_t));
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        value = value << 8 | (uint8_t)bytes.bytes[i];
    }
    return value;
}

uint64_t fuzz_number(struct slice *input, uint64_t max) {
    uint64_t value = max <= UINT8_MAX ? fuzz_byte(input) : fuzz_u64(input);
    return max == UINT64_MAX ? value : value % (max + 1);
}

struct slice fuzz_text(struct slice *input) {
    size_t size = fuzz_byte(input);
    return take(input, size);
}

static struct slice take_until(struct slice *input, char stop) {
    const char *end = input->size ? memchr(input->bytes, stop, input->size) : NULL;
    struct slice part = take(input, end ? (size_t)(end - input->bytes) : input->size);
    take(input, 1);
    return part;
}

struct slice fuzz_line(struct slice *input) {
    return take_until(input, '\n');
}

struct slice fuzz_word(struct slice *input) {
    return take_until(input, ' ');
}

char *fuzz_exact(struct slice text) {
    char *copy = malloc(text.size ? text.size : 1);
    assert(copy != NULL);
    if (text.size > 0) {
        memcpy(copy, text.bytes, text.size);
    }
    return copy;
}

char *fuzz_terminated(struct slice text) {
    char *copy = strndup(text.size ? text.bytes : "", text.size);
    assert(copy != NULL);
    return copy;
}

/* ---- files ---- */

static char folder[128];

static void folder_remove(void) {
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (listing) {
        closedir(listing);
    }
    rmdir(folder);
}

const char *fuzz_folder(void) {
    if (folder[0] == '\0') {
        const char *given = getenv("COUPON_FUZZ_PARENT"); /* run.py removes all that is in it */
        const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        const char *parent = given ? given : memory;
        snprintf(folder, sizeof(folder), "%s/coupon-fuzz-XXXXXX", parent);
        const char *made = mkdtemp(folder);
        assert(made != NULL);
        atexit(folder_remove);
    }
    return folder;
}

/* ---- the mutator for lines ---- */

enum { LINES_MAX = 256 };

struct lines {
    struct slice list[LINES_MAX];
    size_t count;
};

/* xorshift: a choice more out of libFuzzer's seed. */
static size_t choose(unsigned *seed, size_t count) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return count ? *seed % count : 0;
}

static void split(struct slice text, struct lines *ret_lines) {
    ret_lines->count = 0;
    while (text.size > 0 && ret_lines->count < LINES_MAX - 1) {
        ret_lines->list[ret_lines->count++] = fuzz_line(&text);
    }
}

static void insert(struct lines *lines, size_t at, struct slice line) {
    memmove(&lines->list[at + 1], &lines->list[at], (lines->count - at) * sizeof(line));
    lines->list[at] = line;
    lines->count++;
}

static void drop(struct lines *lines, size_t at) {
    lines->count--;
    memmove(&lines->list[at], &lines->list[at + 1], (lines->count - at) * sizeof(lines->list[0]));
}

static size_t join(const struct lines *lines, uint8_t *data, size_t max_size) {
    size_t size = 0;
    for (size_t i = 0; i < lines->count; i++) {
        struct slice line = lines->list[i];
        if (size + line.size + 1 > max_size) {
            break;
        }
        if (line.size > 0) {
            memcpy(data + size, line.bytes, line.size);
        }
        data[size + line.size] = '\n';
        size += line.size + 1;
    }
    return size;
}

enum { CHANGE_ROOM = 4096 };

/* Has libFuzzer change one line's bytes, in a room of their own. */
static struct slice changed(struct slice line, char room[static CHANGE_ROOM]) {
    size_t size = line.size < CHANGE_ROOM ? line.size : CHANGE_ROOM;
    if (size > 0) {
        memcpy(room, line.bytes, size);
    }
    return (struct slice){room, LLVMFuzzerMutate((uint8_t *)room, size, CHANGE_ROOM)};
}

static void change_lines(struct lines *lines, unsigned *seed, struct slice sample,
                         char room[static CHANGE_ROOM]) {
    size_t at = choose(seed, lines->count);
    size_t other = choose(seed, lines->count);
    struct slice line = lines->count ? lines->list[at] : sample;
    switch (lines->count ? choose(seed, 8) : 0) {
    case 0:
        insert(lines, at, sample);
        return;
    case 1:
        insert(lines, other, line);
        return;
    case 2:
        drop(lines, at);
        return;
    case 3:
        lines->list[at] = lines->list[other];
        lines->list[other] = line;
        return;
    case 4:
        lines->list[at] = sample;
        return;
    default:
        lines->list[at] = changed(line, room);
        return;
    }
}

size_t fuzz_mutate_lines(uint8_t *data, size_t size, size_t max_size, unsigned seed,
                         const char *const *samples, size_t sample_count) {
    struct lines lines;
    char room[2][CHANGE_ROOM];
    char *copy = fuzz_exact((struct slice){(const char *)data, size});
    seed |= 1;
    split((struct slice){copy, size}, &lines);
    for (size_t i = 0; i < 1 + choose(&seed, 2); i++) {
        struct slice sample = slice_of(samples[choose(&seed, sample_count)]);
        change_lines(&lines, &seed, sample, room[i]);
    }
    size_t new_size = join(&lines, data, max_size);
    free(copy);
    return new_size;
}

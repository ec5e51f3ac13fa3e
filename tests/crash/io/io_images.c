/* io-images: the story (story.h) runs once, without faults, and everything that it asks of the
 * disk is recorded. Then, for each of those events, the power goes there: several images of what
 * may be found (disk.h) are opened by the real ledger, as a start does and as verify does, and
 * compared with what had been told by then. Nothing told may be missing; what was asked for and
 * not told yet may be there, whole, or not at all. A backup is whole or not there.
 *
 * Of some images the opening itself is recorded, and interrupted the same way.
 *
 *   io-images [--images N] [--first N] [--every N] [--seed N] [--only EVENT] [--lie] [--result
 * FILE]
 *
 * --images: how many in all, about; --first, --every: a slice of the events; --lie: an fsync that
 * does nothing, which must be caught. Called by run.py, and by the gate. Exit code 0: all images
 * were right; 1: one was not; 2: wrong use. */
#include "disk.h"
#include "judge.h"
#include "runner.h"
#include "shim_memory.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_EVERY  12 /* of so many images one is interrupted again … */
#define AGAIN_IMAGES 3  /* … in so many ways */
#define TOLD_CODE    9  /* of a process that has counted what it found */

struct options {
    int64_t images;
    int64_t first;
    int64_t every;
    int64_t only; /* this event alone; 0: all */
    uint64_t seed;
    bool lie;
    const char *result;
};

/* What was told at an event. */
struct moment {
    size_t told;
    size_t pending;        /* 0: nothing is asked for */
    const char *folder;    /* where the record lies */
    const char *backup;    /* the newest one; NULL: none was begun */
    size_t backup_version; /* what is in it */
    bool backup_done;
};

/* In memory that the children share. */
struct tally {
    _Atomic uint64_t images;
    _Atomic uint64_t again; /* images of the opening of an image */
    _Atomic uint64_t violations;
    _Atomic uint64_t with_pending; /* found with what was not told yet */
    _Atomic uint64_t without_record;
    _Atomic uint64_t events_cut;
};

static struct tally *tally;

static bool is_there(const char *folder, const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* ---- recording ---- */

static void record_begin(struct stream *stream, struct fault *fault, const char *root) {
    snprintf(fault->root, sizeof(fault->root), "%s", root);
    stream_record(stream);
    system_fault = fault;
    system_listener = &stream_system_listener;
}

static void record_end(void) {
    system_listener = NULL;
    system_fault = NULL;
    stream_record(NULL);
}

static void record_story(struct stream *stream) {
    static struct fault fault; /* counts nothing */
    char root[] = RUNNER_FOLDER;
    runner_folder_make(root);
    struct story story = {.root = root,
                          .fault = &fault,
                          .mend_after = STORY_NEVER,
                          .listener = &stream_story_listener};
    record_begin(stream, &fault, root);
    story_run(&story);
    record_end();
    runner_folder_remove(root);
}

/* ---- judging an image ---- */

static bool wrong(const char *what, const char *why) {
    fprintf(stderr, "violation: %s: %s\n", what, why);
    return false;
}

static const char *version_text(const struct stream *stream, size_t version) {
    return stream->versions[version].bytes;
}

/* Whether the text is what was told, or with it what was asked for. */
static bool is_right(const struct stream *stream, const struct moment *moment, const char *text) {
    bool told = strcmp(text, version_text(stream, moment->told)) == 0;
    bool pending = moment->pending > 0 && strcmp(text, version_text(stream, moment->pending)) == 0;
    if (!told && pending) {
        atomic_fetch_add(&tally->with_pending, 1);
    }
    return told || pending;
}

/* As it lies there, by readers that change nothing. */
static bool judge_lying(const struct stream *stream, const struct moment *moment,
                        const char *folder, struct buffer *ret_text) {
    struct complaint complaint = {0};
    if (!is_there(folder, "coupon.db")) {
        atomic_fetch_add(&tally->without_record, 1);
        buffer_append(ret_text, "", 1);
        return moment->told == 0 || wrong("the record is not there", folder);
    }
    int status = judge_read(folder, true, ret_text, &complaint);
    if (status) {
        return wrong("it cannot be read", complaint.text);
    }
    if (!is_right(stream, moment, ret_text->bytes)) {
        return wrong("it is not what was told",
                     text_difference(version_text(stream, moment->told), ret_text->bytes));
    }
    int code = judge_verify(folder);
    return code == 0 || wrong("verify finds violations", folder);
}

/* As a start opens it, and makes one where there is none. */
static bool judge_opened(const char *folder, const char *expected) {
    struct complaint complaint = {0};
    struct buffer text = {0};
    struct ledger *ledger = NULL;
    struct ledger_sqlite_options options = {.directory = folder};
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    if (status == STATUS_OK) {
        status = ledger_text(ledger, &text, &complaint);
    }
    if (status == STATUS_OK) {
        status = ledger_check(ledger, &complaint);
    }
    if (ledger) {
        int closed = ledger_close(ledger, status ? NULL : &complaint);
        status = status ? status : closed;
    }
    bool right = status ? wrong("it does not open", complaint.text)
                 : strcmp(text.bytes, expected) == 0
                     ? true
                     : wrong("opened it is something else", text_difference(expected, text.bytes));
    buffer_done(&text);
    return right;
}

static bool judge_backup(const struct stream *stream, const struct moment *moment,
                         const char *image) {
    char path[PATH_MAX];
    struct buffer text = {0};
    struct complaint complaint = {0};
    if (!moment->backup) {
        return true;
    }
    snprintf(path, sizeof(path), "%s/%s", image, moment->backup);
    if (!is_there(path, "coupon.db")) {
        return !moment->backup_done || wrong("a backup that was told is not there", path);
    }
    int status = judge_read(path, true, &text, &complaint);
    bool right = status ? wrong("a backup cannot be read", complaint.text)
                 : strcmp(text.bytes, version_text(stream, moment->backup_version)) == 0
                     ? judge_verify(path) == 0 || wrong("verify finds violations", path)
                     : wrong("a backup is something else", path);
    buffer_done(&text);
    return right;
}

/* What an interrupted backup left is no hindrance to the next one. */
static bool judge_next_backup(const struct moment *moment, const char *folder, const char *image) {
    char path[PATH_MAX];
    struct complaint complaint = {0};
    if (!moment->backup || moment->backup_done) {
        return true;
    }
    snprintf(path, sizeof(path), "%s/%s", image, moment->backup);
    if (is_there(path, "coupon.db")) {
        return true;
    }
    int status = ledger_sqlite_backup(folder, path, NULL, NULL, &complaint);
    return status == STATUS_OK || wrong("the next backup fails", complaint.text);
}

/* The opening of this image is interrupted in its turn, at any event. */
static bool judge_again(const struct stream *stream, const struct moment *moment,
                        const char *folder, const char *expected, uint64_t seed) {
    static struct fault fault;
    struct stream opening = {0};
    struct disk *disk = disk_new();
    char image[] = RUNNER_FOLDER;
    char below[PATH_MAX];
    bool right;
    disk_adopt(disk, folder, "");
    record_begin(&opening, &fault, folder);
    right = judge_opened(folder, expected);
    record_end();
    for (size_t i = 0, kept = 0; right && i < opening.count; i++) {
        disk_follow(disk, &opening.events[i], false);
        /* spread over the whole of it */
        if ((i + 1) * AGAIN_IMAGES / opening.count == kept) {
            continue;
        }
        kept = (i + 1) * AGAIN_IMAGES / opening.count;
        struct buffer text = {0};
        memcpy(image + sizeof(image) - 7, "XXXXXX", 6);
        runner_folder_make(image);
        snprintf(below, sizeof(below), "%s/again", image);
        disk_image(disk, seed + i, below);
        right = judge_lying(stream, moment, below, &text) && judge_opened(below, text.bytes);
        atomic_fetch_add(&tally->again, 1);
        buffer_done(&text);
        runner_folder_remove(image);
    }
    disk_free(disk);
    stream_done(&opening);
    return right;
}

static bool judge_image(const struct stream *stream, const struct moment *moment, const char *image,
                        uint64_t seed) {
    char folder[PATH_MAX];
    struct buffer text = {0};
    snprintf(folder, sizeof(folder), "%s/%s", image, moment->folder);
    bool right = judge_lying(stream, moment, folder, &text) && judge_backup(stream, moment, image);
    if (right) {
        bool again = seed % AGAIN_EVERY == 0 && is_there(folder, "coupon.db");
        right = again ? judge_again(stream, moment, folder, text.bytes, seed)
                      : judge_opened(folder, text.bytes);
    }
    right = right && judge_next_backup(moment, folder, image);
    buffer_done(&text);
    return right;
}

/* ---- the events ---- */

static void moment_follow(struct moment *moment, const struct stream *stream,
                          const struct stream_event *event) {
    switch (event->kind) {
    case STREAM_PENDING:
        moment->pending = event->version;
        break;
    case STREAM_TOLD:
        moment->told = moment->pending;
        moment->pending = 0;
        break;
    case STREAM_FOLDER:
        moment->folder = event->path;
        break;
    case STREAM_BACKUP:
        moment->backup = event->path;
        moment->backup_version = moment->told;
        moment->backup_done = false;
        break;
    case STREAM_BACKUP_DONE:
        moment->backup_done = true;
        break;
    case STREAM_MADE:
    case STREAM_WRITE:
    case STREAM_TRUNCATE:
    case STREAM_SYNC:
    case STREAM_SYNC_FOLDER:
    case STREAM_LINK:
    case STREAM_RENAME:
    case STREAM_UNLINK:
    case STREAM_FOLDER_MADE:
        break;
    }
    assert(moment->told < stream->version_count);
}

static uint64_t seed_of(uint64_t seed, size_t event, uint64_t image) {
    return seed * UINT64_C(1000000007) + event * UINT64_C(1009) + image;
}

/* In a process of its own: the images of one event. */
static void __attribute__((noreturn))
judge_event(const struct stream *stream, const struct disk *disk, const struct moment *moment,
            size_t event, uint64_t images, const struct options *options, const char *root) {
    char image[PATH_MAX];
    bool right = true;
    alarm(300);
    for (uint64_t i = 0; i < images; i++) {
        uint64_t seed = seed_of(options->seed, event, i);
        snprintf(image, sizeof(image), "%s/%llu", root, (unsigned long long)i);
        const char *damage = disk_image(disk, seed, image);
        atomic_fetch_add(&tally->images, 1);
        if (!judge_image(stream, moment, image, seed)) {
            fprintf(stderr, "not right: event %zu, image %llu, %s\n", event, (unsigned long long)i,
                    damage);
            atomic_fetch_add(&tally->violations, 1);
            right = false;
        }
        runner_folder_remove(image);
    }
    fflush(stderr);
    _exit(right ? 0 : TOLD_CODE);
}

static void cut_power(const struct stream *stream, const struct disk *disk,
                      const struct moment *moment, size_t event, uint64_t images,
                      const struct options *options) {
    char root[] = RUNNER_FOLDER;
    runner_folder_make(root);
    pid_t child = fork();
    if (child == 0) {
        judge_event(stream, disk, moment, event, images, options, root);
    }
    int state = runner_wait(child);
    runner_folder_remove(root);
    atomic_fetch_add(&tally->events_cut, 1);
    /* Else its images were not judged to the end. */
    if (!WIFEXITED(state) || (WEXITSTATUS(state) != 0 && WEXITSTATUS(state) != TOLD_CODE)) {
        fprintf(stderr, "not right: event %zu: %s %d\n", event,
                WIFEXITED(state) ? "exit code" : "signal",
                WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
        atomic_fetch_add(&tally->violations, 1);
    }
}

static size_t disk_events(const struct stream *stream) {
    size_t count = 0;
    for (size_t i = 0; i < stream->count; i++) {
        count += stream_is_of_disk(&stream->events[i]);
    }
    return count;
}

/* So many of the images fall to the event of this number that they come to the whole at the end. */
static uint64_t images_of(const struct options *options, size_t number, size_t count) {
    uint64_t until = (uint64_t)options->images * (number + 1) / count;
    return until - (uint64_t)options->images * number / count;
}

static void tell(size_t event, size_t count) {
    if (runner_tells()) {
        fprintf(stderr, "event %zu of %zu: %llu images, %llu not right\n", event, count,
                (unsigned long long)atomic_load(&tally->images),
                (unsigned long long)atomic_load(&tally->violations));
    }
}

static void cut_everywhere(const struct stream *stream, const struct options *options) {
    struct disk *disk = disk_new();
    struct moment moment = {.folder = "data"};
    size_t count = disk_events(stream);
    size_t number = 0; /* of the events of the disk */
    for (size_t i = 0; i < stream->count && !runner_stopped(); i++) {
        const struct stream_event *event = &stream->events[i];
        disk_follow(disk, event, options->lie);
        moment_follow(&moment, stream, event);
        bool chosen = (int64_t)number >= options->first - 1 &&
                      ((int64_t)number - options->first + 1) % options->every == 0 &&
                      (options->only == 0 || options->only == (int64_t)i);
        uint64_t images = chosen ? images_of(options, number, count) : 0;
        number += stream_is_of_disk(event);
        if (stream_is_of_disk(event) && images > 0) {
            cut_power(stream, disk, &moment, i, images, options);
            tell(number, count);
        }
    }
    disk_free(disk);
}

/* ---- the whole ---- */

static void write_result(const struct options *options, size_t events, double seconds) {
    FILE *file = runner_result(options->result);
    if (file) {
        fprintf(file,
                "{\"part\":\"io-images\",\"events\":%zu,\"events_cut\":%llu,\"images\":%llu,"
                "\"images_of_openings\":"
                "%llu,\"found_with_untold\":%llu,\"before_the_record\":%llu,\"violations\":%llu,"
                "\"seed\":%llu,\"complete\":%s,\"seconds\":%.0f}\n",
                events, (unsigned long long)atomic_load(&tally->events_cut),
                (unsigned long long)atomic_load(&tally->images),
                (unsigned long long)atomic_load(&tally->again),
                (unsigned long long)atomic_load(&tally->with_pending),
                (unsigned long long)atomic_load(&tally->without_record),
                (unsigned long long)atomic_load(&tally->violations),
                (unsigned long long)options->seed, runner_stopped() ? "false" : "true", seconds);
        fclose(file);
    }
}

static bool options_read(int argc, char **argv, struct options *options) {
    static const struct option names[] = {
        {"images", required_argument, NULL, 'i'}, {"first", required_argument, NULL, 'f'},
        {"every", required_argument, NULL, 'e'},  {"seed", required_argument, NULL, 's'},
        {"only", required_argument, NULL, 'o'},   {"result", required_argument, NULL, 'r'},
        {"lie", no_argument, NULL, 'l'},          {NULL, 0, NULL, 0}};
    bool good = true;
    int name;
    *options = (struct options){.images = 20000, .first = 1, .every = 1, .seed = 1};
    while (good && (name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        good = name == 'i'   ? (options->images = strtoll(optarg, NULL, 10)) > 0
               : name == 'f' ? (options->first = strtoll(optarg, NULL, 10)) > 0
               : name == 'e' ? (options->every = strtoll(optarg, NULL, 10)) > 0
               : name == 'o' ? (options->only = strtoll(optarg, NULL, 10)) > 0
               : name == 's' ? (options->seed = strtoull(optarg, NULL, 10)) > 0
               : name == 'r' ? (options->result = optarg) != NULL
                             : name == 'l' && (options->lie = true);
    }
    return good && optind == argc;
}

int main(int argc, char **argv) {
    struct options options;
    struct stream stream = {0};
    if (!options_read(argc, argv, &options) || sodium_init() < 0) {
        fprintf(stderr, "usage: io-images [--images N] [--first N] [--every N] [--seed N] [--only "
                        "EVENT] [--lie] [--result FILE]\n");
        return 2;
    }
    tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(tally != MAP_FAILED);
    runner_begin("io-images");
    judge_silence();
    time_t begin = time(NULL);
    record_story(&stream);
    size_t events = disk_events(&stream);
    cut_everywhere(&stream, &options);
    write_result(&options, events, difftime(time(NULL), begin));
    fprintf(stderr, "%zu events, %llu images and %llu of their openings, %llu not right\n", events,
            (unsigned long long)atomic_load(&tally->images),
            (unsigned long long)atomic_load(&tally->again),
            (unsigned long long)atomic_load(&tally->violations));
    stream_done(&stream);
    return atomic_load(&tally->violations) > 0 ? 1 : 0;
}

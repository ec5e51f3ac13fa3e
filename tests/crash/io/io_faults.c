/* io-faults: the story (story.h), again and again, each time with another call failing: the first,
 * the second, … until a run meets no fault; once, or from there on for ever; for every kind of
 * failure. Each run is a process of its own, so that a crash or a leak of one is told as that
 * run's.
 *
 *   io-faults [--kind NAME]… [--mode NAME] [--first N] [--every N] [--runs N] [--result FILE]
 *             [--plant]
 *
 * --runs: so many of each kind and mode, evenly spread; --plant: a refusal is believed to be a
 * success, which must be caught. Called by run.py, and by the gate with --runs. Exit code 0: all
 * runs kept every promise; 1: one did not; 2: wrong use. */
#include "judge.h"
#include "runner.h"
#include "shim_memory.h"
#include "shim_system.h"
#include "shim_vfs.h"
#include "story.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum layer { LAYER_VFS, LAYER_SYSTEM, LAYER_MEMORY };

#define BIT(operation) (1 << (operation))
#define ALL_CALLS      (BIT(FAULT_ALLOCATE) - 1)
#define MAKES_NAMES    (BIT(FAULT_OPEN) | BIT(FAULT_NAME))

struct kind {
    const char *name;
    enum layer layer;
    int operations;
    enum fault_error error;
    bool half;
};

/* Which operations are struck, and what they say. */
static const struct kind kinds[] = {
    {"vfs-any", LAYER_VFS, ALL_CALLS, FAULT_IO, false},
    {"vfs-memory", LAYER_VFS, ALL_CALLS, FAULT_MEMORY, false},
    {"vfs-full", LAYER_VFS, BIT(FAULT_WRITE), FAULT_FULL, false},
    {"vfs-full-half", LAYER_VFS, BIT(FAULT_WRITE), FAULT_FULL, true},
    {"vfs-write-half", LAYER_VFS, BIT(FAULT_WRITE), FAULT_IO, true},
    {"vfs-sync", LAYER_VFS, BIT(FAULT_SYNC), FAULT_IO, false},
    {"vfs-read", LAYER_VFS, BIT(FAULT_READ), FAULT_IO, false},
    {"vfs-lock", LAYER_VFS, BIT(FAULT_LOCK), FAULT_BUSY, false},
    {"system-any", LAYER_SYSTEM, ALL_CALLS, FAULT_IO, false},
    {"system-full", LAYER_SYSTEM, BIT(FAULT_WRITE) | BIT(FAULT_TRUNCATE) | MAKES_NAMES, FAULT_FULL,
     false},
    {"system-full-half", LAYER_SYSTEM, BIT(FAULT_WRITE), FAULT_FULL, true},
    {"system-short", LAYER_SYSTEM, BIT(FAULT_WRITE), FAULT_PARTIAL, false},
    {"system-sync", LAYER_SYSTEM, BIT(FAULT_SYNC), FAULT_IO, false},
    {"memory", LAYER_MEMORY, BIT(FAULT_ALLOCATE), FAULT_MEMORY, false},
};

/* How long it fails, and what comes then. */
static const struct mode {
    const char *name;
    bool ever;
    int mend_after;
} modes[] = {
    {"once", false, STORY_NEVER}, {"until-mended", true, 5}, {"for-ever", true, STORY_NEVER}};

struct options {
    bool chosen[COUNT_OF(kinds)];
    int64_t first;
    int64_t every;
    int64_t runs;     /* 0: all */
    const char *mode; /* NULL: all */
    const char *result;
    bool plant;
};

struct tally {
    struct fault fault; /* first: what the shims see */
    uint64_t asks;
    uint64_t refused;
    uint64_t unknown;
    uint64_t found;
    uint64_t restarts;
};

static struct {
    uint64_t runs;
    uint64_t hits;
    uint64_t violations;
    uint64_t modes_done;
    uint64_t modes_struck; /* at least one call */
    struct tally sums;
} total;

/* ---- one run ---- */

static void __attribute__((noreturn))
run_child(struct tally *tally, const struct kind *kind, const struct mode *mode, bool plant,
          const char *root) {
    struct story story = {.root = root,
                          .vfs = kind->layer == LAYER_VFS ? SHIM_VFS : NULL,
                          .fault = &tally->fault,
                          .mend_after = mode->mend_after,
                          .planted = plant};
    alarm(120); /* a run that hangs has failed */
    if (kind->layer == LAYER_VFS) {
        shim_vfs_register(&tally->fault);
    } else if (kind->layer == LAYER_SYSTEM) {
        system_fault = &tally->fault;
        snprintf(tally->fault.root, sizeof(tally->fault.root), "%s", root);
    } else {
        shim_memory_install(&tally->fault);
    }
    story_run(&story);
    tally->asks = story.asks;
    tally->refused = story.refused;
    tally->unknown = story.unknown;
    tally->found = story.found;
    tally->restarts = story.restarts;
    exit(0); /* where a sanitizer looks for leaks */
}

/* Whether the run was as it must be. */
static bool run_once(struct tally *tally, const struct kind *kind, const struct mode *mode,
                     int64_t n, bool plant) {
    char root[] = RUNNER_FOLDER;
    bool for_ever = mode->ever || n == INT64_MAX; /* which is beyond all calls: none fails */
    runner_folder_make(root);
    *tally = (struct tally){.fault = {.operations = kind->operations,
                                      .first = n,
                                      .last = for_ever ? INT64_MAX : n + (kind->half ? 1 : 0),
                                      .error = kind->error,
                                      .half = kind->half}};
    pid_t child = fork();
    if (child == 0) {
        run_child(tally, kind, mode, plant, root);
    }
    int state = runner_wait(child);
    runner_folder_remove(root);
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) {
        return true;
    }
    fprintf(stderr, "not kept: %s %s call %lld: %s %d\n", kind->name, mode->name, (long long)n,
            WIFEXITED(state) ? "exit code" : "signal",
            WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
    return false;
}

static void count_run(const struct tally *tally, bool kept) {
    total.runs++;
    total.violations += kept ? 0 : 1;
    total.hits += (uint64_t)atomic_load(&tally->fault.hits);
    total.sums.asks += tally->asks;
    total.sums.refused += tally->refused;
    total.sums.unknown += tally->unknown;
    total.sums.found += tally->found;
    total.sums.restarts += tally->restarts;
}

static void tell(const struct kind *kind, const struct mode *mode, int64_t n) {
    if (runner_tells()) {
        fprintf(stderr, "%s %s: call %lld, %llu runs, %llu not kept\n", kind->name, mode->name,
                (long long)n, (unsigned long long)total.runs, (unsigned long long)total.violations);
    }
}

/* Which calls are struck. */
struct stretch {
    int64_t first;
    int64_t stride;
    int64_t last; /* or before, when a run meets none */
};

/* A run without a fault tells how many calls there are; each mode is struck at others of them. */
static struct stretch stretch_of(struct tally *tally, const struct kind *kind, size_t mode,
                                 const struct options *options) {
    static int64_t calls[COUNT_OF(kinds)];
    if (options->runs == 0) {
        return (struct stretch){options->first, options->every, INT64_MAX};
    }
    int64_t *known = &calls[kind - kinds];
    if (*known == 0) {
        bool kept = run_once(tally, kind, &modes[0], INT64_MAX, false);
        count_run(tally, kept);
        *known = atomic_load(&tally->fault.calls);
    }
    int64_t stride = *known > options->runs ? *known / options->runs : 1;
    int64_t offset = stride * (2 * (int64_t)mode + 1) / (2 * (int64_t)COUNT_OF(modes));
    return (struct stretch){1 + offset, stride, *known};
}

/* Until a run ends before its call comes. */
static void run_mode(struct tally *tally, const struct kind *kind, size_t mode_index,
                     const struct options *options) {
    const struct mode *mode = &modes[mode_index];
    struct stretch stretch = stretch_of(tally, kind, mode_index, options);
    int64_t n = stretch.first;
    uint64_t runs = total.runs;
    uint64_t violations = total.violations;
    uint64_t hits = total.hits;
    bool hit = true;
    for (; hit && n <= stretch.last && !runner_stopped(); n += stretch.stride) {
        bool kept = run_once(tally, kind, mode, n, options->plant);
        hit = atomic_load(&tally->fault.hits) > 0;
        count_run(tally, kept);
        tell(kind, mode, n);
    }
    fprintf(stderr, "%s %s: %llu runs, up to call %lld (of %lld), %llu not kept\n", kind->name,
            mode->name, (unsigned long long)(total.runs - runs), (long long)(n - stretch.stride),
            (long long)atomic_load(&tally->fault.calls),
            (unsigned long long)(total.violations - violations));
    total.modes_done += runner_stopped() ? 0 : 1;
    total.modes_struck += !runner_stopped() && total.hits > hits;
}

/* ---- the whole ---- */

static void write_result(const char *path, double seconds) {
    FILE *file = runner_result(path);
    if (file) {
        fprintf(file,
                "{\"part\":\"io-faults\",\"runs\":%llu,\"faults\":%llu,\"asks\":%llu,"
                "\"refused\":%llu,\"unknown\":%llu,\"unknown_found_made\":%llu,\"restarts\":%llu,"
                "\"kinds_and_modes\":%llu,\"kinds_and_modes_struck\":%llu,\"violations\":%llu,"
                "\"complete\":%s,\"seconds\":%.0f}\n",
                (unsigned long long)total.runs, (unsigned long long)total.hits,
                (unsigned long long)total.sums.asks, (unsigned long long)total.sums.refused,
                (unsigned long long)total.sums.unknown, (unsigned long long)total.sums.found,
                (unsigned long long)total.sums.restarts, (unsigned long long)total.modes_done,
                (unsigned long long)total.modes_struck, (unsigned long long)total.violations,
                runner_stopped() ? "false" : "true", seconds);
        fclose(file);
    }
}

static bool choose(struct options *options, const char *name) {
    bool found = false;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        size_t size = strlen(name); /* a name's beginning chooses all that begin so */
        if (strncmp(kinds[i].name, name, size) == 0) {
            options->chosen[i] = found = true;
        }
    }
    return found;
}

static bool is_mode(const char *name) {
    bool found = false;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        found = found || strcmp(modes[i].name, name) == 0;
    }
    return found;
}

static bool options_read(int argc, char **argv, struct options *options) {
    static const struct option names[] = {
        {"kind", required_argument, NULL, 'k'},  {"first", required_argument, NULL, 'f'},
        {"every", required_argument, NULL, 'e'}, {"runs", required_argument, NULL, 'n'},
        {"mode", required_argument, NULL, 'm'},  {"result", required_argument, NULL, 'r'},
        {"plant", no_argument, NULL, 'p'},       {NULL, 0, NULL, 0}};
    bool any = false;
    bool good = true;
    int name;
    *options = (struct options){.first = 1, .every = 1};
    while (good && (name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        good = name == 'k'   ? (any = choose(options, optarg))
               : name == 'f' ? (options->first = strtoll(optarg, NULL, 10)) > 0
               : name == 'e' ? (options->every = strtoll(optarg, NULL, 10)) > 0
               : name == 'n' ? (options->runs = strtoll(optarg, NULL, 10)) > 0
               : name == 'm' ? is_mode(options->mode = optarg)
               : name == 'r' ? (options->result = optarg) != NULL
                             : name == 'p' && (options->plant = true);
    }
    for (size_t i = 0; !any && i < COUNT_OF(kinds); i++) {
        options->chosen[i] = true;
    }
    return good && optind == argc;
}

int main(int argc, char **argv) {
    struct options options;
    if (!options_read(argc, argv, &options) || sodium_init() < 0) {
        fprintf(stderr, "usage: io-faults [--kind NAME]… [--mode NAME] [--first N] [--every N] "
                        "[--runs N] [--result FILE] [--plant]\n");
        return 2;
    }
    struct tally *tally =
        mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(tally != MAP_FAILED);
    runner_begin("io-faults");
    judge_silence();
    time_t begin = time(NULL);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        for (size_t m = 0; options.chosen[k] && m < COUNT_OF(modes) && !runner_stopped(); m++) {
            if (!options.mode || strcmp(options.mode, modes[m].name) == 0) {
                run_mode(tally, &kinds[k], m, &options);
            }
        }
    }
    write_result(options.result, difftime(time(NULL), begin));
    return total.violations > 0 ? 1 : 0;
}

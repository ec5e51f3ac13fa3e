/* simulate-distributed: the distributed protocol (docs/scaling.md) on simulated time, one run a
 * seed, judged by an oracle.
 *
 *   simulate-distributed [--seed N | --seeds N [--first N] | --seconds S] [--jobs N] [--trace]
 *                        [--bug NAME] [--result FILE]
 *
 * Real: src/issuer/redis*.c, sql.c (in a quarter of the runs), reader, change; src/worker;
 * src/partition; the decisions of src/ledger/settle.c; src/redis/coupon.lua in Lua 5.1; the history
 * checker. A model: Redis' data, replicas and files; its client; the SQL server and the stores' way
 * to it; libuv's loops; threads, locks and clocks (one fiber after the other, at simulated
 * moments); HTTP, of which only batches of claims and lost answers are left.
 *
 * With --bug it ends at the first violation: that is what it looks for. After SIGINT and SIGTERM it
 * tells what it has.
 *
 * Exit code 0: no violation. 1: there was one, and how to see it again is printed. 2: wrong use. */
#include "redis/redis.h"
#include "sim/distributed/bugs.h"
#include "sim/distributed/lua_host.h"
#include "sim/distributed/people.h"
#include "sim/distributed/real.h"
#include "sim/distributed/run.h"
#include "sim/distributed/trouble.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct options {
    uint64_t first;
    uint64_t seeds;
    int64_t seconds; /* 0: no end but `seeds` */
    unsigned jobs;
    bool trace;
    const char *result;
};

/* What one job found; handed to its parent as it is. */
struct tally {
    uint64_t runs;
    uint64_t failed;
    uint64_t first_failed; /* a seed */
    uint64_t jobs_lost;    /* crashed, or were killed: their seeds were not judged */
    uint64_t events;
    uint64_t claims;
    uint64_t hash; /* of the runs' hashes, whatever their order */
    uint64_t troubles[TROUBLE_COUNT];
    char first[400];
};

#define JOBS_MAX 256

static volatile sig_atomic_t stop_asked;
static pid_t jobs[JOBS_MAX]; /* of the first process */
static volatile sig_atomic_t job_count;

static int64_t wall_us(void) {
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

/* ---- options ---- */

static void print_usage(FILE *to) {
    fprintf(to, "usage: simulate-distributed [--seed N | --seeds N [--first N] | --seconds S]\n"
                "                            [--jobs N] [--trace] [--bug NAME] [--result FILE]\n"
                "planted bugs:");
    for (enum bug bug = BUG_NONE + 1; bug < BUG_COUNT; bug++) {
        fprintf(to, " %s", bug_name(bug));
    }
    fprintf(to, "\n");
}

static int refuse(const char *word) {
    fprintf(stderr, "simulate-distributed: %s is unknown, or its value is wrong\n", word);
    print_usage(stderr);
    return 2;
}

static bool take_number(const char *text, uint64_t *ret_number) {
    return text && slice_to_u64(slice_of(text), UINT64_MAX, ret_number) == STATUS_OK;
}

static bool take_bug(const char *name) {
    enum bug bug = name ? bug_find(name) : BUG_COUNT;
    if (bug == BUG_COUNT) {
        return false;
    }
    bug_plant(bug);
    return true;
}

/* Takes the option and its value; how many words these were, 0: none that is known. */
static int take_option(struct options *options, const char *name, const char *value) {
    uint64_t number;
    if (strcmp(name, "--trace") == 0) {
        options->trace = true;
        return 1;
    }
    if (strcmp(name, "--bug") == 0) {
        return take_bug(value) ? 2 : 0;
    }
    if (strcmp(name, "--result") == 0) {
        options->result = value;
        return value ? 2 : 0;
    }
    if (!take_number(value, &number)) {
        return 0;
    }
    if (strcmp(name, "--seed") == 0) {
        options->first = number;
        options->seeds = 1;
    } else if (strcmp(name, "--first") == 0) {
        options->first = number;
    } else if (strcmp(name, "--seeds") == 0) {
        options->seeds = number;
    } else if (strcmp(name, "--seconds") == 0 && number <= 1000000) {
        options->seconds = (int64_t)number;
    } else if (strcmp(name, "--jobs") == 0 && number >= 1 && number <= JOBS_MAX) {
        options->jobs = (unsigned)number;
    } else {
        return 0;
    }
    return 2;
}

static int options_read(int count, char **words, struct options *options) {
    for (int i = 1; i < count;) {
        int taken = take_option(options, words[i], i + 1 < count ? words[i + 1] : NULL);
        if (taken == 0) {
            return refuse(words[i]);
        }
        i += taken;
    }
    if (options->seeds == 0) {
        options->seeds = options->seconds > 0 ? UINT64_MAX : 1000;
    }
    if (options->trace) {
        options->jobs = 1;
    }
    return 0;
}

/* ---- runs ---- */

/* The jobs are asked too: who ends us may know of this process only. */
static void on_signal(int number) {
    stop_asked = 1;
    for (int i = 0; i < job_count; i++) {
        kill(jobs[i], number);
    }
}

static volatile uint64_t present_seed;

/* An assertion of the product failed, or worse: its seed is told. */
static void on_crash(int number) {
    char digits[24];
    size_t at = sizeof(digits);
    digits[--at] = '\n';
    for (uint64_t left = present_seed; at > 0; left /= 10) {
        digits[--at] = (char)('0' + left % 10);
        if (left < 10) {
            break;
        }
    }
    static const char text[] = "simulate-distributed: crashed in seed ";
    ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
    written += write(STDERR_FILENO, digits + at, sizeof(digits) - at);
    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

static void tally_add(struct tally *tally, uint64_t seed, const struct run_result *result) {
    tally->runs++;
    tally->events += result->events;
    tally->hash += result->hash * UINT64_C(0x9e3779b97f4a7c15) ^ seed;
    if (result->violations > 0) {
        if (tally->failed++ == 0 || seed < tally->first_failed) {
            tally->first_failed = seed;
            memcpy(tally->first, result->first, sizeof(tally->first));
        }
        if (tally->failed <= 5) {
            fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, result->first);
        }
    }
}

/* Every `jobs`th seed, from the job's own number on. */
static void job_run(const struct options *options, unsigned number, struct tally *tally) {
    int64_t until_us =
        options->seconds > 0 ? wall_us() + options->seconds * US_PER_SECOND : INT64_MAX;
    int64_t word_us = wall_us() + 5 * US_PER_SECOND;
    trace_print(options->trace);
    for (uint64_t i = number; i < options->seeds && !stop_asked; i += options->jobs) {
        uint64_t seed = options->first + i;
        present_seed = seed;
        struct run_result result = run(seed);
        tally_add(tally, seed, &result);
        int64_t now = wall_us();
        if (now >= until_us || (tally->failed > 0 && !bug_is(BUG_NONE))) {
            break;
        }
        if (number == 0 && now >= word_us) {
            fprintf(stderr, "simulate-distributed: %llu seeds, %llu with violations\n",
                    (unsigned long long)(tally->runs * options->jobs),
                    (unsigned long long)tally->failed);
            word_us = now + 5 * US_PER_SECOND;
        }
    }
    tally->claims = people_claims();
    memcpy(tally->troubles, trouble_counts(), sizeof(tally->troubles));
}

static void tally_merge(struct tally *sum, const struct tally *more) {
    if (more->failed > 0 && (sum->failed == 0 || more->first_failed < sum->first_failed)) {
        sum->first_failed = more->first_failed;
        memcpy(sum->first, more->first, sizeof(sum->first));
    }
    sum->runs += more->runs;
    sum->failed += more->failed;
    sum->events += more->events;
    sum->claims += more->claims;
    sum->hash += more->hash;
    for (size_t i = 0; i < TROUBLE_COUNT; i++) {
        sum->troubles[i] += more->troubles[i];
    }
}

/* A job that ends without its tally has crashed: a violation too. */
static int jobs_run(const struct options *options, struct tally *sum) {
    int pipes[JOBS_MAX];
    for (unsigned i = 0; i < options->jobs; i++) {
        int ends[2];
        if (pipe(ends)) {
            return 2;
        }
        pid_t child = fork();
        if (child == 0) {
            job_count = 0;
            struct tally tally = {.runs = 0};
            job_run(options, i, &tally);
            _exit(write(ends[1], &tally, sizeof(tally)) == (ssize_t)sizeof(tally) ? 0 : 2);
        }
        close(ends[1]);
        pipes[i] = ends[0];
        if (child > 0) {
            jobs[i] = child;
            job_count = (int)i + 1;
        }
    }
    for (unsigned i = 0; i < options->jobs; i++) {
        struct tally tally;
        ssize_t size = 0;
        while (size < (ssize_t)sizeof(tally)) {
            ssize_t got = read(pipes[i], (char *)&tally + size, sizeof(tally) - (size_t)size);
            if (got <= 0 && !(got < 0 && stop_asked)) {
                break;
            }
            size += got > 0 ? got : 0;
        }
        if (size == (ssize_t)sizeof(tally)) {
            tally_merge(sum, &tally);
        } else {
            sum->jobs_lost++;
        }
        close(pipes[i]);
    }
    while (wait(NULL) > 0) {
    }
    if (sum->jobs_lost > 0) {
        fprintf(stderr, "simulate-distributed: %llu jobs were lost\n",
                (unsigned long long)sum->jobs_lost);
    }
    return sum->jobs_lost > 0;
}

/* ---- the end ---- */

static unsigned kinds_hit(const struct tally *tally) {
    unsigned count = 0;
    for (size_t i = 0; i < TROUBLE_COUNT; i++) {
        count += tally->troubles[i] > 0;
    }
    return count;
}

static int result_write(const struct options *options, const struct tally *tally, int64_t took_us) {
    FILE *file = fopen(options->result, "w");
    if (!file) {
        fprintf(stderr, "simulate-distributed: %s cannot be written\n", options->result);
        return 2;
    }
    fprintf(file,
            "{\"part\":\"sim-distributed\",\"seeds\":%llu,\"violations\":%llu,"
            "\"fault_kinds\":%u,\"claims\":%llu,\"events\":%llu,\"seconds\":%.1f",
            (unsigned long long)tally->runs, (unsigned long long)(tally->failed + tally->jobs_lost),
            kinds_hit(tally), (unsigned long long)tally->claims, (unsigned long long)tally->events,
            (double)took_us / 1e6);
    for (enum trouble what = 0; what < TROUBLE_COUNT; what++) {
        fprintf(file, ",\"hit %s\":%llu", trouble_name(what),
                (unsigned long long)tally->troubles[what]);
    }
    fprintf(file, "}\n");
    return fclose(file) == 0 ? 0 : 2;
}

static void report(const struct tally *tally, int64_t took_us) {
    printf("seeds %llu, violations %llu, fault kinds %u of %d, claims %llu, events %llu, "
           "%.1f s, hash %016llx\n",
           (unsigned long long)tally->runs, (unsigned long long)tally->failed, kinds_hit(tally),
           TROUBLE_COUNT, (unsigned long long)tally->claims, (unsigned long long)tally->events,
           (double)took_us / 1e6, (unsigned long long)tally->hash);
    if (tally->failed > 0) {
        printf("seed %llu: %s\nagain: simulate-distributed --seed %llu --trace",
               (unsigned long long)tally->first_failed, tally->first,
               (unsigned long long)tally->first_failed);
        printf(bug_is(BUG_NONE) ? "%s\n" : " --bug %s\n",
               bug_is(BUG_NONE) ? "" : bug_name(bug_planted()));
    }
}

int main(int count, char **words) {
    struct options options = {.first = 1, .jobs = 1};
    struct complaint complaint = {0};
    struct tally tally = {.runs = 0};
    int64_t began_us = wall_us();
    char *library = NULL;
    if (count > 1 && strcmp(words[1], "--help") == 0) {
        print_usage(stdout);
        return 0;
    }
    int code = options_read(count, words, &options);
    if (code) {
        return code;
    }
    /* blocks that a run gives back are given to the next one */
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    if (bug_library(redis_coupon_library.text, &library, &complaint) ||
        lua_host_begin(library, &complaint)) {
        fprintf(stderr, "simulate-distributed: %s\n", complaint.text);
        return 2;
    }
    if (options.jobs == 1) {
        job_run(&options, 0, &tally);
    } else {
        code = jobs_run(&options, &tally);
    }
    int64_t took_us = wall_us() - began_us;
    report(&tally, took_us);
    lua_host_end();
    free(library);
    if (options.result && result_write(&options, &tally, took_us)) {
        return 2;
    }
    return code ? code : tally.failed > 0;
}

/* simulate: runs the simulation of the embedded server, seed by seed.
 *
 *   simulate [--seed N] [--seeds N] [--first N] [--seconds S] [--jobs N] [--trace] [--bug NAME]
 *            [--result FILE]
 *
 * A seed that fails is printed with what was violated and the end of its trace; --seed N runs it
 * again, exactly, with the whole trace. Exit code 0: every promise was kept, 1: one was not, 2:
 * wrong use. Not for: what a run is (run.h). */
#include "sim/bugs.h"
#include "sim/run.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX   64
#define LINES_KEPT 60

struct options {
    uint64_t first;
    uint64_t seeds; /* 0: until the seconds are over */
    bool one;       /* --seed */
    bool traces;
    double seconds; /* 0: until the seeds are done */
    unsigned jobs;
    const char *bug;
    const char *result;
};

/* What one job has done, in memory that all share. */
struct tally {
    uint64_t seeds;
    uint64_t attempts;
    uint64_t issues;
    uint64_t io_count;
    uint64_t starts;
    uint64_t hits[FAULTS];
    uint64_t hashes; /* of all traces, together */
    uint64_t seed;   /* under way, or failed */
    bool failed;
    pid_t process;
    char violation[1024];
};

static struct {
    struct options options;
    struct tally *tallies;
    struct tally *mine;
    _Atomic bool *stops;
    double begin;
} simulation;

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- one job ---- */

/* An assertion of the server failed, or worse. */
static void on_crash(int signal) {
    struct tally *mine = simulation.mine;
    mine->failed = true;
    snprintf(mine->violation, sizeof(mine->violation), "the program itself ended with signal %d",
             signal);
    _exit(1);
}

static void add(struct tally *tally, const struct run_result *result) {
    tally->seeds++;
    tally->attempts += result->attempts;
    tally->issues += result->issues;
    tally->io_count += result->io_count;
    tally->starts += result->starts;
    tally->hashes += result->trace_hash;
    for (size_t i = 0; i < FAULTS; i++) {
        tally->hits[i] += result->hits[i];
    }
}

static bool is_over(void) {
    double seconds = simulation.options.seconds;
    return *simulation.stops || (seconds > 0 && seconds_now() - simulation.begin >= seconds);
}

static void catch_crashes(void) {
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        signal(signals[i], on_crash);
    }
    signal(SIGINT, SIG_IGN); /* the first process tells when to stop */
    signal(SIGTERM, SIG_IGN);
}

static void work(unsigned job) {
    const struct options *options = &simulation.options;
    struct tally *mine = simulation.mine = &simulation.tallies[job];
    static struct run_result result;
    catch_crashes();
    for (uint64_t i = job; (options->seeds == 0 || i < options->seeds) && !is_over();
         i += options->jobs) {
        mine->seed = options->first + i;
        run_do(mine->seed, false, &result);
        add(mine, &result);
        if (result.failed) {
            mine->failed = true;
            memcpy(mine->violation, result.violation, sizeof(mine->violation));
            _exit(1);
        }
    }
    _exit(0);
}

/* ---- telling ---- */

static void print_replay(uint64_t seed) {
    const char *bug = simulation.options.bug;
    printf("replay it with: simulate --seed %llu%s%s\n", (unsigned long long)seed,
           bug ? " --bug " : "", bug ? bug : "");
}

/* The end of the failed seed's trace, from running it again in a process of its own. */
static void print_trace(uint64_t seed) {
    static char lines[LINES_KEPT][1024];
    int pipe_fds[2];
    size_t count = 0;
    fflush(stdout);
    if (pipe(pipe_fds)) {
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        static struct run_result result;
        dup2(pipe_fds[1], STDOUT_FILENO);
        close(pipe_fds[0]);
        setvbuf(stdout, NULL, _IOLBF, 0);
        run_do(seed, true, &result);
        fflush(stdout);
        _exit(0);
    }
    close(pipe_fds[1]);
    FILE *trace = fdopen(pipe_fds[0], "r");
    while (trace && fgets(lines[count % LINES_KEPT], sizeof(lines[0]), trace)) {
        count++;
    }
    for (size_t i = count > LINES_KEPT ? count - LINES_KEPT : 0; i < count; i++) {
        fputs(lines[i % LINES_KEPT], stdout);
    }
    if (trace) {
        fclose(trace);
    }
    waitpid(child, NULL, 0);
}

static struct tally sum(void) {
    struct tally all = {0};
    for (unsigned i = 0; i < simulation.options.jobs; i++) {
        const struct tally *tally = &simulation.tallies[i];
        all.seeds += tally->seeds;
        all.attempts += tally->attempts;
        all.issues += tally->issues;
        all.io_count += tally->io_count;
        all.starts += tally->starts;
        all.hashes += tally->hashes;
        for (size_t at = 0; at < FAULTS; at++) {
            all.hits[at] += tally->hits[at];
        }
        if (tally->failed && (!all.failed || tally->seed < all.seed)) {
            all.failed = true;
            all.seed = tally->seed;
            memcpy(all.violation, tally->violation, sizeof(all.violation));
        }
    }
    return all;
}

static unsigned kinds_hit(const struct tally *all) {
    unsigned kinds = 0;
    for (size_t i = 0; i < FAULTS; i++) {
        kinds += all->hits[i] > 0;
    }
    return kinds;
}

static void write_result(const struct tally *all, double seconds) {
    const char *path = simulation.options.result;
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) {
        if (path) {
            perror(path);
            exit(2);
        }
        return;
    }
    fprintf(file,
            "{\"part\":\"sim\",\"seeds\":%llu,\"violations\":%d,\"fault_kinds\":%u,"
            "\"seconds\":%.0f,\"claims\":%llu,\"issues\":%llu,\"ios\":%llu,\"starts\":%llu",
            (unsigned long long)all->seeds, all->failed ? 1 : 0, kinds_hit(all), seconds,
            (unsigned long long)all->attempts, (unsigned long long)all->issues,
            (unsigned long long)all->io_count, (unsigned long long)all->starts);
    for (size_t i = 0; i < FAULTS; i++) {
        fprintf(file, ",\"%s\":%llu", fault_name((enum fault)i), (unsigned long long)all->hits[i]);
    }
    fprintf(file, "}\n");
    fclose(file);
}

static int tell(void) {
    struct tally all = sum();
    double seconds = seconds_now() - simulation.begin;
    printf("%llu seeds, %llu claims, %llu issues, %llu I/Os, %llu starts, %.1f s\n",
           (unsigned long long)all.seeds, (unsigned long long)all.attempts,
           (unsigned long long)all.issues, (unsigned long long)all.io_count,
           (unsigned long long)all.starts, seconds);
    printf("%u of %d kinds of faults hit:", kinds_hit(&all), FAULTS);
    for (size_t i = 0; i < FAULTS; i++) {
        printf(" %s %llu", fault_name((enum fault)i), (unsigned long long)all.hits[i]);
    }
    printf("\nhash of all traces: %016llx\n", (unsigned long long)all.hashes);
    write_result(&all, seconds);
    if (!all.failed) {
        return 0;
    }
    print_trace(all.seed);
    printf("seed %llu: VIOLATION: %s\n", (unsigned long long)all.seed, all.violation);
    print_replay(all.seed);
    return 1;
}

/* ---- all jobs ---- */

static void on_stop(int signal) {
    (void)signal;
    *simulation.stops = true;
}

static void show_progress(void) {
    struct tally all = sum();
    fprintf(stderr, "sim: %llu seeds in %.0f s\n", (unsigned long long)all.seeds,
            seconds_now() - simulation.begin);
}

/* One that found something ends the others; so does one that is gone without a word, killed by the
 * system for instance: its seeds were not judged. */
static void note_end(pid_t process, int status) {
    struct tally *tally = simulation.tallies;
    while (tally->process != process) {
        tally++;
    }
    if (status != 0) {
        *simulation.stops = true;
        if (!tally->failed) {
            tally->failed = true;
            snprintf(tally->violation, sizeof(tally->violation), "its job was ended, by signal %d",
                     WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        }
    }
}

/* Until every job is over. */
static void wait_for_jobs(unsigned running) {
    double next = simulation.begin + 2;
    while (running > 0) {
        int status = 0;
        struct timespec breath = {.tv_nsec = 20000000};
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended > 0) {
            running--;
            note_end(ended, status);
            continue;
        }
        nanosleep(&breath, NULL);
        if (seconds_now() >= next) {
            show_progress();
            next += 5;
        }
    }
}

/* Not all could be started: part of the seeds would be left out. */
static void __attribute__((noreturn)) exit_without_jobs(unsigned started) {
    *simulation.stops = true;
    wait_for_jobs(started);
    exit(2);
}

static int run_jobs(void) {
    struct sigaction stop = {.sa_handler = on_stop};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    fflush(stdout);
    for (unsigned i = 0; i < simulation.options.jobs; i++) {
        pid_t child = fork();
        if (child == 0) {
            work(i);
        }
        if (child < 0) {
            perror("simulate: fork");
            exit_without_jobs(i);
        }
        simulation.tallies[i].process = child;
    }
    wait_for_jobs(simulation.options.jobs);
    return tell();
}

/* One seed, in this process, with its trace. */
static int run_one(void) {
    static struct run_result result;
    uint64_t seed = simulation.options.first;
    setvbuf(stdout, NULL, _IOLBF, 0);
    run_do(seed, simulation.options.traces, &result);
    add(&simulation.tallies[0], &result);
    printf("seed %llu: %llu claims, %llu issues, trace hash %016llx\n", (unsigned long long)seed,
           (unsigned long long)result.attempts, (unsigned long long)result.issues,
           (unsigned long long)result.trace_hash);
    if (result.failed) {
        printf("seed %llu: VIOLATION: %s\n", (unsigned long long)seed, result.violation);
    }
    simulation.tallies[0].failed = result.failed;
    struct tally all = sum();
    write_result(&all, seconds_now() - simulation.begin);
    return result.failed ? 1 : 0;
}

/* ---- options ---- */

static void print_usage(FILE *to) {
    fprintf(to, "usage: simulate [--seed N] [--seeds N] [--first N] [--seconds S] [--jobs N]\n"
                "                [--trace] [--bug NAME] [--result FILE]\n"
                "planted bugs:");
    for (unsigned i = 0; bugs_name(i); i++) {
        fprintf(to, " %s", bugs_name(i));
    }
    fprintf(to, "\n");
}

static bool read_number(const char *text, uint64_t max, uint64_t *ret_number) {
    return slice_to_u64(slice_of(text), max, ret_number) == STATUS_OK;
}

enum simulate_option { SEED = 1, SEEDS, FIRST, SECONDS, JOBS, TRACE, BUG, RESULT };

static bool take_option(struct options *options, int option, const char *argument) {
    uint64_t number = 0;
    switch (option) {
    case SEED:
        options->one = options->traces = true;
        return read_number(argument, UINT64_MAX, &options->first);
    case SEEDS:
        return read_number(argument, UINT64_MAX, &options->seeds) && options->seeds > 0;
    case FIRST:
        return read_number(argument, UINT64_MAX, &options->first);
    case SECONDS:
        options->seconds = strtod(argument, NULL);
        return options->seconds > 0;
    case JOBS:
        options->jobs = read_number(argument, JOBS_MAX, &number) ? (unsigned)number : 0;
        return options->jobs > 0;
    case TRACE:
        options->traces = true;
        return true;
    case BUG:
        options->bug = argument;
        return bugs_choose(argument);
    case RESULT:
        options->result = argument;
        return true;
    default:
        return false;
    }
}

static bool read_options(struct options *options, int argc, char **argv) {
    static const struct option known[] = {{"seed", required_argument, NULL, SEED},
                                          {"seeds", required_argument, NULL, SEEDS},
                                          {"first", required_argument, NULL, FIRST},
                                          {"seconds", required_argument, NULL, SECONDS},
                                          {"jobs", required_argument, NULL, JOBS},
                                          {"trace", no_argument, NULL, TRACE},
                                          {"bug", required_argument, NULL, BUG},
                                          {"result", required_argument, NULL, RESULT},
                                          {NULL, 0, NULL, 0}};
    *options = (struct options){.first = 1, .jobs = 1};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (!take_option(options, option, optarg)) {
            return false;
        }
    }
    if (options->seeds == 0 && options->seconds <= 0) {
        options->seeds = 1000;
    }
    return optind == argc;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (!read_options(&simulation.options, argc, argv)) {
        print_usage(stderr);
        return 2;
    }
    size_t size = sizeof(struct tally) * JOBS_MAX + sizeof(bool);
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("simulate: mmap");
        return 2;
    }
    simulation.tallies = shared;
    simulation.stops = (_Atomic bool *)(simulation.tallies + JOBS_MAX);
    simulation.begin = seconds_now();
    run_prepare();
    return simulation.options.one ? run_one() : run_jobs();
}

/* engine_bench: what a claim costs in the engine, alone and in one thread, as JSON lines.
 *
 * Not for: anything with a disk or a socket in it (ledger_bench.c, suite/parts/http.py).
 * Called by a person:
 *     build/release/bench/engine-bench [claims | warm]
 * and by ./dev bench (suite/parts/engine.py), with "claims": only the cost of a claim and the
 * memory of an issue at three sizes, prefetched as the issuer does it. One run is one turn.
 *
 * "warm" touches a gigabyte before and keeps it, so that what the kernel takes to hand out
 * memory (a page fault may cost 0.2 us on bare metal and 15 us in a nested guest) is left
 * out.
 *
 * Claims come in batches of 256, each prefetched some claims ahead of its decision, as in
 * src/issuer/step.c. */
#include "engine/engine.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BATCH       256
#define ROUNDS      4000 /* batches a figure */
#define COUPON      1
#define ISSUES_MAX  10000000
#define ISSUES_LAST 16000000

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood, 2014): as good as a keyed digest for cost, and cheaper. */
static uint64_t mix(uint64_t value) {
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static struct digest user_of(uint64_t number) {
    return (struct digest){mix(2 * number), mix(2 * number + 1)};
}

static void require(int status) {
    if (status < 0) {
        fprintf(stderr, "engine_bench: status %d\n", status);
        exit(1);
    }
}

static struct engine *engine_make(size_t coupons, uint32_t total) {
    struct engine *engine;
    struct engine_terms terms = {.end_us = INT64_MAX, .total_quantity = total};
    require(engine_new(coupons, &engine));
    for (size_t i = 0; i < coupons; i++)
        require(engine_coupon_add(engine, COUPON + i, &terms));
    return engine;
}

struct claim {
    uint64_t coupon_id;
    struct digest user;
};

enum steps { STEPS_NONE, STEPS_ONE, STEPS_TWO };

/* One batch; every verdict must be the expected one. */
static void batch_decide(struct engine *engine, const struct claim *claims, enum steps steps,
                         enum engine_verdict expected) {
    for (size_t i = 0; steps >= STEPS_ONE && i < ENGINE_PREFETCH_AHEAD; i++)
        engine_prefetch(engine, claims[i].coupon_id, claims[i].user);
    for (size_t i = 0; i < BATCH; i++) {
        struct engine_decision decision;
        size_t ahead = i + ENGINE_PREFETCH_AHEAD;
        size_t holding_ahead = i + ENGINE_PREFETCH_HOLDING_AHEAD;
        if (steps >= STEPS_ONE && ahead < BATCH)
            engine_prefetch(engine, claims[ahead].coupon_id, claims[ahead].user);
        if (steps >= STEPS_TWO && holding_ahead < BATCH)
            engine_prefetch_holding(engine, claims[holding_ahead].coupon_id,
                                    claims[holding_ahead].user);
        require(engine_decide(engine, claims[i].coupon_id, claims[i].user, 1, &decision));
        if (decision.verdict != expected)
            require(STATUS_DAMAGED);
    }
}

/* Grants users [from, to) of the one coupon. Returns the nanoseconds. */
static int64_t grow(struct engine *engine, uint64_t from, uint64_t to) {
    struct claim claims[BATCH];
    int64_t spent = 0;
    for (uint64_t next = from; next < to; next += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            claims[i] = (struct claim){COUPON, user_of(next + i)};
        int64_t start = now_ns();
        batch_decide(engine, claims, STEPS_TWO, ENGINE_GRANTED);
        engine_commit(engine);
        spent += now_ns() - start;
    }
    return spent;
}

/* A figure at a size that stays: what is granted is taken back outside the measured time. */
static double measure(struct engine *engine, uint64_t issues, enum engine_verdict verdict,
                      enum steps steps) {
    static uint64_t drawn;
    struct claim claims[BATCH];
    int64_t spent = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BATCH; i++) {
            uint64_t number = mix(++drawn);
            number = verdict == ENGINE_ALREADY_ISSUED ? number % issues : number | 1ULL << 62;
            claims[i] = (struct claim){COUPON, user_of(number)};
        }
        int64_t start = now_ns();
        batch_decide(engine, claims, steps, verdict);
        spent += now_ns() - start;
        engine_abort(engine);
    }
    return (double)spent / (ROUNDS * BATCH);
}

/* What the issuer leaves to quiet turns. */
static void rest(struct engine *engine) {
    while (engine_tend(engine, true)) {
    }
}

static void report_claims(struct engine *engine, uint64_t issues, enum steps steps) {
    static const char *names[] = {"none", "one", "two"};
    struct engine_terms open = {.end_us = INT64_MAX, .total_quantity = ENGINE_UNLIMITED};
    struct engine_terms full = open;
    full.total_quantity = engine_issued(engine, COUPON);
    measure(engine, issues, ENGINE_GRANTED, steps); /* grows what the batch will need */
    double fresh = measure(engine, issues, ENGINE_GRANTED, steps);
    double duplicate = measure(engine, issues, ENGINE_ALREADY_ISSUED, steps);
    require(engine_coupon_change(engine, COUPON, &full));
    double sold_out = measure(engine, issues, ENGINE_SOLD_OUT, steps);
    require(engine_coupon_change(engine, COUPON, &open));
    printf("{\"bench\":\"claim\",\"issues\":%llu,\"prefetch_steps\":\"%s\","
           "\"fresh_ns\":%.1f,\"duplicate_ns\":%.1f,\"sold_out_ns\":%.1f}\n",
           (unsigned long long)issues, names[steps], fresh, duplicate, sold_out);
}

static size_t resident_bytes(void) {
    char line[128] = "";
    FILE *file = fopen("/proc/self/statm", "r"); /* pages: all, resident, … */
    if (!file || !fgets(line, sizeof line, file))
        require(STATUS_IO);
    fclose(file);
    const char *second = strchr(line, ' ');
    return second ? strtoul(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

static void report_memory(const struct engine *engine, size_t resident_before) {
    struct engine_figures figures = engine_figures(engine);
    double issues = (double)figures.issues;
    printf("{\"bench\":\"memory\",\"issues\":%.0f,\"bytes_an_issue\":%.2f,"
           "\"resident_bytes_an_issue\":%.2f}\n",
           issues, (double)figures.memory_bytes / issues,
           (double)(resident_bytes() - resident_before) / issues);
}

static void report_rest(struct engine *engine, uint64_t issues) {
    int64_t longest = 0;
    int64_t sum = 0;
    size_t parts = 0;
    for (bool more = true; more; parts++) {
        int64_t start = now_ns();
        more = engine_tend(engine, true);
        int64_t spent = now_ns() - start;
        longest = spent > longest ? spent : longest;
        sum += spent;
    }
    printf("{\"bench\":\"tend\",\"issues\":%llu,\"parts\":%zu,\"ms\":%.2f,\"longest_ms\":%.2f}\n",
           (unsigned long long)issues, parts, (double)sum / 1e6, (double)longest / 1e6);
}

/* Claims, duplicates and sold-out answers at each size, and the growing in between. */
static void bench_sizes(void) {
    static const uint64_t sizes[] = {1024,    1024000,  2048000,  4096000,
                                     8192000, 10240000, 12288000, ISSUES_LAST};
    size_t resident = resident_bytes();
    struct engine *engine = engine_make(1, ENGINE_UNLIMITED);
    uint64_t issued = 0;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        int64_t spent = grow(engine, issued, sizes[i]);
        printf("{\"bench\":\"growing\",\"from\":%llu,\"to\":%llu,\"ns\":%.1f}\n",
               (unsigned long long)issued, (unsigned long long)sizes[i],
               (double)spent / (double)(sizes[i] - issued));
        issued = sizes[i];
        report_memory(engine, resident);
        bool reported = issued == 1024 || issued == 1024000 || issued == 10240000;
        if (reported) {
            report_claims(engine, issued, STEPS_TWO); /* in pages of 4 KiB, then in huge ones */
            report_rest(engine, issued);
        }
        for (enum steps steps = STEPS_NONE; reported && steps <= STEPS_TWO; steps++)
            report_claims(engine, issued, steps);
    }
    int64_t start = now_ns();
    engine_coupon_remove(engine, COUPON);
    printf("{\"bench\":\"remove\",\"issues\":%llu,\"ms\":%.2f}\n", (unsigned long long)issued,
           (double)(now_ns() - start) / 1e6);
    report_rest(engine, issued);
    engine_free(engine);
}

/* What ./dev bench asks for. */
static void bench_claims(void) {
    static const uint64_t sizes[] = {1024, 1024000, 10240000};
    size_t resident = resident_bytes();
    struct engine *engine = engine_make(1, ENGINE_UNLIMITED);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        grow(engine, i ? sizes[i - 1] : 0, sizes[i]);
        rest(engine);
        report_memory(engine, resident);
        report_claims(engine, sizes[i], STEPS_TWO);
    }
    engine_free(engine);
}

/* The slowest stretch of 65,536 claims while growing: where many pages split at once. */
static void bench_wave(void) {
    struct engine *engine = engine_make(1, ENGINE_UNLIMITED);
    double worst = 0;
    uint64_t worst_at = 0;
    double bytes_max = 0;
    for (uint64_t issued = 0; issued < ISSUES_LAST; issued += 65536) {
        double ns = (double)grow(engine, issued, issued + 65536) / 65536;
        if (ns > worst && issued > 0) {
            worst = ns;
            worst_at = issued;
        }
        struct engine_figures figures = engine_figures(engine);
        double bytes = (double)figures.memory_bytes / (double)figures.issues;
        if (figures.issues >= 1000000 && bytes > bytes_max)
            bytes_max = bytes;
    }
    printf("{\"bench\":\"wave\",\"worst_ns\":%.1f,\"at\":%llu,\"bytes_an_issue_max\":%.2f}\n",
           worst, (unsigned long long)worst_at, bytes_max);
    engine_free(engine);
}

static long switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw + usage.ru_nvcsw;
}

/* The longest single call from 1 to 10 million issues, nothing prefetched. A call in which
 * the thread lost the processor tells nothing about the engine and is counted apart. */
static void bench_longest(void) {
    struct engine *engine = engine_make(1, ENGINE_UNLIMITED);
    int64_t longest = 0;
    int64_t longest_switched = 0;
    uint64_t longest_at = 0;
    size_t over_100_us = 0;
    long switched = switches();
    for (uint64_t i = 0; i < ISSUES_MAX; i++) {
        struct engine_decision decision;
        struct digest user = user_of(i);
        int64_t start = now_ns();
        require(engine_decide(engine, COUPON, user, 1, &decision));
        int64_t spent = now_ns() - start;
        if (i % 2048 == 0)
            engine_commit(engine);
        if (spent < 20000 && i % 64 > 0)
            continue;
        bool lost = switches() != switched;
        switched = switches();
        over_100_us += !lost && spent > 100000;
        int64_t *seen = lost ? &longest_switched : &longest;
        if (!lost && spent > longest)
            longest_at = i;
        *seen = spent > *seen ? spent : *seen;
    }
    printf("{\"bench\":\"longest\",\"issues\":%d,\"us\":%.1f,\"at\":%llu,\"over_100_us\":%zu,"
           "\"us_when_switched_away\":%.1f}\n",
           ISSUES_MAX, (double)longest / 1e3, (unsigned long long)longest_at, over_100_us,
           (double)longest_switched / 1e3);
    engine_free(engine);
}

/* A million claims spread at random over so many coupons, asked once and once more. */
static void bench_coupons(size_t coupons) {
    struct engine *engine = engine_make(coupons, ENGINE_UNLIMITED);
    struct claim claims[BATCH];
    double ns[2];
    for (size_t pass = 0; pass < 2; pass++) {
        int64_t spent = 0;
        for (uint64_t next = 0; next < 1024000; next += BATCH) {
            for (size_t i = 0; i < BATCH; i++)
                claims[i] = (struct claim){COUPON + mix(next + i) % coupons, user_of(next + i)};
            int64_t start = now_ns();
            batch_decide(engine, claims, STEPS_TWO,
                         pass == 0 ? ENGINE_GRANTED : ENGINE_ALREADY_ISSUED);
            engine_commit(engine);
            spent += now_ns() - start;
        }
        ns[pass] = (double)spent / 1024000;
    }
    printf("{\"bench\":\"coupons\",\"coupons\":%zu,\"issues\":1024000,\"fresh_ns\":%.1f,"
           "\"duplicate_ns\":%.1f,\"bytes_an_issue\":%.1f}\n",
           coupons, ns[0], ns[1], (double)engine_figures(engine).memory_bytes / 1024000);
    engine_free(engine);
}

/* The longest gap between two looks at the clock within two seconds: what the machine itself
 * adds to the figures below. */
static void bench_machine(void) {
    int64_t longest = 0;
    size_t over_100_us = 0;
    int64_t last = now_ns();
    for (int64_t end = last + INT64_C(2000000000); last < end;) {
        int64_t now = now_ns();
        longest = now - last > longest ? now - last : longest;
        over_100_us += now - last > 100000;
        last = now;
    }
    printf("{\"bench\":\"machine\",\"longest_gap_us\":%.1f,\"over_100_us_in_2_s\":%zu}\n",
           (double)longest / 1e3, over_100_us);
}

/* Makes the allocator own touched memory that it does not give back. */
static void heap_warm(void) {
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    size_t size = (size_t)1000 << 20;
    char *block = malloc(size);
    if (!block)
        require(STATUS_NO_MEMORY);
    memset(block, 1, size);
    __asm__ volatile("" : : "r"(block) : "memory"); /* or the compiler drops it all */
    free(block);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && strcmp(argv[1], "claims") == 0) {
        bench_claims();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "warm") == 0)
        heap_warm();
    bench_machine();
    bench_sizes();
    bench_longest();
    bench_wave();
    bench_coupons(1);
    bench_coupons(1000);
    bench_coupons(100000);
    return 0;
}

/* Measures the SQLite ledger on the disk it is given, and fills one for other measurements.
 * Prints one JSON object a line. For people and ./dev bench (suite/parts/ledger.py and
 * restart.py); not a test.
 *
 *   ledger-bench append FOLDER SECONDS   what the disk needs for a sync by itself, then rows
 *                                        a second, CPU time a row and the longest checkpoint
 *                                        by commit size, so many seconds each
 *   ledger-bench visit FOLDER ROWS       the time to open and to read a long record
 *   ledger-bench fill FOLDER ROWS        makes a record of one coupon with so many issues
 *
 * The folder must not hold a ledger. */
#include "ledger/ledger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH_MAX 2048
#define USER_SIZE 24
#define SYNCS     1000

struct bench {
    struct ledger *ledger;
    struct complaint complaint;
    uint64_t coupon_id;
    uint32_t rank;
    int64_t stall_us_max;
    uint64_t tends;
    int64_t append_ns; /* CPU of ledger_append and ledger_tend, user and system */
    char users[BATCH_MAX][USER_SIZE];
    struct issue_row rows[BATCH_MAX];
};

static void check(struct bench *bench, int status, const char *doing) {
    if (status < 0) {
        fprintf(stderr, "%s: %s: %s\n", doing, status_name(status), bench->complaint.text);
        exit(1);
    }
}

static void open_ledger(struct bench *bench, const char *directory) {
    struct ledger_sqlite_options options = {.directory = directory};
    check(bench, ledger_sqlite_open(&options, &bench->ledger, &bench->complaint), "open");
}

static void new_coupon(struct bench *bench) {
    struct coupon_record coupon = {.title = "bench",
                                   .total_quantity = COUPON_UNLIMITED,
                                   .issue_start_us = 0,
                                   .issue_end_us = TIME_US_MAX};
    check(bench, ledger_coupon_create(bench->ledger, &coupon, NULL, NULL, &bench->complaint),
          "create");
    bench->coupon_id = coupon.id;
    bench->rank = 0;
}

/* CPU time of this thread, user and system: what the disk and other processes take is not in
 * it. */
static int64_t cpu_ns(void) {
    struct timespec now;
    int result = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    assert(result == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* One commit, and the housekeeping a busy writer does after it. */
static void append(struct bench *bench, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t rank = ++bench->rank;
        /* an account number of ten digits, in no order */
        int size = snprintf(bench->users[i], USER_SIZE, "%010" PRIu32, rank * UINT32_C(2654435761));
        bench->rows[i] = (struct issue_row){.reference = {bench->coupon_id, rank},
                                            .user_id = {bench->users[i], (size_t)size},
                                            .issued_at_us = INT64_C(1760000000000000) + rank};
    }
    struct issued_count issued = {bench->coupon_id, bench->rank};
    int64_t start_ns = cpu_ns();
    check(bench, ledger_append(bench->ledger, bench->rows, count, &issued, 1, &bench->complaint),
          "append");
    int64_t before_us = clock_monotonic_us();
    check(bench, ledger_tend(bench->ledger, false, &bench->complaint), "tend");
    int64_t stall_us = clock_monotonic_us() - before_us;
    bench->append_ns += cpu_ns() - start_ns;
    bench->tends += stall_us > 100;
    bench->stall_us_max = stall_us > bench->stall_us_max ? stall_us : bench->stall_us_max;
}

static void bench_append(struct bench *bench, size_t batch, int64_t seconds) {
    new_coupon(bench);
    bench->stall_us_max = 0;
    bench->tends = 0;
    bench->append_ns = 0;
    int64_t start_us = clock_monotonic_us();
    int64_t spent_us = 0;
    while (spent_us < seconds * US_PER_SECOND) {
        append(bench, batch);
        spent_us = clock_monotonic_us() - start_us;
    }
    printf("{\"bench\":\"append\",\"rowsPerCommit\":%zu,\"rowsPerSecond\":%.0f,"
           "\"cpuNsPerRow\":%.0f,\"commitsPerSecond\":%.0f,\"checkpoints\":%" PRIu64
           ",\"stallMaxUs\":%" PRId64 "}\n",
           batch, bench->rank * 1e6 / (double)spent_us,
           (double)bench->append_ns / (double)bench->rank,
           bench->rank / (double)batch * 1e6 / (double)spent_us, bench->tends, bench->stall_us_max);
    fflush(stdout);
}

static int count_issue(void *context, const struct issue_row *issue) {
    uint64_t *bytes = context;
    *bytes += issue->user_id.size;
    return STATUS_OK;
}

static void fill(struct bench *bench, uint32_t rows) {
    new_coupon(bench);
    bench->stall_us_max = 0;
    bench->tends = 0;
    while (bench->rank < rows) {
        uint32_t left = rows - bench->rank;
        append(bench, left < BATCH_MAX ? left : BATCH_MAX);
    }
}

static void bench_visit(struct bench *bench, const char *directory, uint32_t rows) {
    fill(bench, rows);
    printf("{\"bench\":\"checkpoint\",\"checkpoints\":%" PRIu64 ",\"stallMaxUs\":%" PRId64 "}\n",
           bench->tends, bench->stall_us_max);
    check(bench, ledger_close(bench->ledger, &bench->complaint), "close");
    int64_t start_us = clock_monotonic_us();
    open_ledger(bench, directory);
    int64_t opened_us = clock_monotonic_us();
    int64_t latest_us = 0;
    check(bench, ledger_latest_us(bench->ledger, &latest_us), "latest");
    int64_t latest_done_us = clock_monotonic_us();
    printf("{\"bench\":\"open\",\"us\":%" PRId64 ",\"latestUs\":%" PRId64 "}\n",
           opened_us - start_us, latest_done_us - opened_us);
    for (int round = 0; round < 3; round++) {
        struct coupon_record coupon;
        check(bench, ledger_coupon_read(bench->ledger, bench->coupon_id, &coupon), "read");
        uint64_t bytes = 0;
        struct ledger_visitor visitor = {.context = &bytes, .issue = count_issue};
        int64_t visit_us = clock_monotonic_us();
        check(bench, ledger_visit(bench->ledger, &visitor, &bench->complaint), "visit");
        visit_us = clock_monotonic_us() - visit_us;
        uint64_t visited = bytes / 10;
        printf("{\"bench\":\"visit\",\"rows\":%" PRIu64 ",\"seconds\":%.3f,\"nsPerRow\":%.1f}\n",
               visited, (double)visit_us / 1e6, (double)visit_us * 1e3 / (double)visited);
        fflush(stdout);
    }
}

static int compare_us(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void bench_sync(const char *directory) {
    static int64_t times_us[SYNCS];
    static char page[4096];
    char path[4096];
    snprintf(path, sizeof(path), "%s/sync.tmp", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    for (size_t i = 0; i < SYNCS; i++) {
        int64_t start_us = clock_monotonic_us();
        if (pwrite(fd, page, sizeof(page), (off_t)(i * sizeof(page))) < 0 || fdatasync(fd)) {
            perror(path);
            exit(1);
        }
        times_us[i] = clock_monotonic_us() - start_us;
    }
    close(fd);
    unlink(path);
    qsort(times_us, SYNCS, sizeof(times_us[0]), compare_us);
    printf("{\"bench\":\"fdatasync\",\"p50Us\":%" PRId64 ",\"p99Us\":%" PRId64 "}\n",
           times_us[SYNCS / 2], times_us[SYNCS * 99 / 100]);
}

static void bench_appends(struct bench *bench, const char *directory, int64_t seconds) {
    static const size_t batches[] = {16, 64, 128, 256, BATCH_MAX};
    bench_sync(directory);
    for (size_t i = 0; i < COUNT_OF(batches); i++) {
        bench_append(bench, batches[i], seconds);
    }
}

int main(int argc, char **argv) {
    static struct bench bench;
    uint64_t number = 0;
    if (argc != 4 || slice_to_u64(slice_of(argv[3]), UINT32_MAX, &number) < 0) {
        fprintf(stderr, "use: ledger-bench append FOLDER SECONDS | visit FOLDER ROWS | "
                        "fill FOLDER ROWS\n");
        return 2;
    }
    struct slice what = slice_of(argv[1]);
    open_ledger(&bench, argv[2]);
    if (slice_is(what, "append")) {
        bench_appends(&bench, argv[2], (int64_t)number);
    } else if (slice_is(what, "visit")) {
        bench_visit(&bench, argv[2], (uint32_t)number);
    } else {
        fill(&bench, (uint32_t)number);
    }
    check(&bench, ledger_close(bench.ledger, &bench.complaint), "close");
    return 0;
}

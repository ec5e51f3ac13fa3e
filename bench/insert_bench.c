/* insert-bench: one connection that inserts rows into MariaDB as fast as it takes them, so many a
 * commit. Prints one JSON object.
 *
 *   insert-bench PORT USER DATABASE ROWS ROWS_A_COMMIT PREFIX    the password on stdin
 *
 * The table `inserts` has the columns and keys of coupon_issues, and its rows the sizes that
 * issues from the queue have. It is made when it is missing; no user and no rank comes twice.
 * Not for: our ledger (ledger-bench). Here is the least that somebody has to do who writes the same
 * rows: no cursor, no counts, no judging, and all statements are made before the clock starts. The
 * measure of how fast workers drain a queue. Called by suite/parts/distributed.py. */
#include "base/base.h"

#include <inttypes.h>
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define ROW_SIZE_MAX  160
#define HEAD_SIZE_MAX 160

struct plan {
    unsigned port;
    const char *user;
    const char *database;
    size_t rows;
    size_t rows_a_commit;
    const char *prefix;
    char password[256];
};

struct statement {
    char *text;
    size_t size;
};

static void die(const char *why) {
    fprintf(stderr, "insert-bench: %s\n", why);
    exit(1);
}

static void die_of(MYSQL *connection) {
    die(mysql_error(connection));
}

/* ---- before the clock starts ---- */

static void query(MYSQL *connection, const char *text) {
    if (mysql_real_query(connection, text, strlen(text))) {
        die_of(connection);
    }
}

static MYSQL *connection_open(const struct plan *plan) {
    MYSQL *connection = mysql_init(NULL);
    if (!connection || !mysql_real_connect(connection, "127.0.0.1", plan->user, plan->password,
                                           plan->database, plan->port, NULL, 0)) {
        die_of(connection);
    }
    query(connection, "CREATE TABLE IF NOT EXISTS inserts LIKE coupon_issues");
    return connection;
}

/* Where the ranks go on. */
static uint64_t next_rank(MYSQL *connection) {
    query(connection, "SELECT coalesce(max(rank_no), 0) + 1 FROM inserts WHERE coupon_id = 1");
    MYSQL_RES *result = mysql_store_result(connection);
    MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
    if (!row) {
        die_of(connection);
    }
    uint64_t rank = strtoull(row[0], NULL, 10);
    mysql_free_result(result);
    return rank;
}

/* Rows from rank `first` on; users have the 24 characters that bench/claims.lua gives them. */
static struct statement statement_make(const struct plan *plan, uint64_t first, size_t rows) {
    size_t room = HEAD_SIZE_MAX + rows * ROW_SIZE_MAX;
    char *text = malloc(room);
    if (!text) {
        die("not enough memory");
    }
    size_t size = (size_t)snprintf(text, room,
                                   "INSERT INTO inserts (coupon_id, rank_no, user_id, claim_id,"
                                   " request_key, date_issued) VALUES ");
    for (size_t i = 0; i < rows; i++) {
        uint64_t rank = first + i;
        size += (size_t)snprintf(text + size, room - size,
                                 "%s(1,%" PRIu64 ",_binary'%-14.14s%010" PRIu64
                                 "',_binary'%016x%016" PRIx64 "',NULL,%" PRId64 ")",
                                 i > 0 ? "," : "", rank, plan->prefix, rank, 0x5eed, rank,
                                 INT64_C(1800000000000000) + (int64_t)rank);
    }
    assert(size < room);
    return (struct statement){text, size};
}

/* ---- the whole ---- */

static uint64_t number_of(const char *text, uint64_t max) {
    uint64_t number = 0;
    if (slice_to_u64(slice_of(text), max, &number) < 0 || number == 0) {
        fprintf(stderr, "insert-bench: %s is no number from 1 to %" PRIu64 "\n", text, max);
        exit(2);
    }
    return number;
}

static struct plan read_plan(char **argv) {
    struct plan plan = {.port = (unsigned)number_of(argv[1], 65535),
                        .user = argv[2],
                        .database = argv[3],
                        .rows = number_of(argv[4], 100000000),
                        .rows_a_commit = number_of(argv[5], 10000),
                        .prefix = argv[6]};
    if (!fgets(plan.password, sizeof(plan.password), stdin)) {
        die("wants a password");
    }
    plan.password[strcspn(plan.password, "\r\n")] = '\0';
    return plan;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "use: %s PORT USER DATABASE ROWS ROWS_A_COMMIT PREFIX <PASSWORD\n",
                argv[0]);
        return 2;
    }
    struct plan plan = read_plan(argv);
    MYSQL *connection = connection_open(&plan);
    uint64_t rank = next_rank(connection);
    size_t count = (plan.rows + plan.rows_a_commit - 1) / plan.rows_a_commit;
    struct statement *statements = calloc(count, sizeof(*statements));
    if (!statements) {
        die("not enough memory");
    }
    for (size_t i = 0, left = plan.rows; i < count; i++) {
        size_t rows = left < plan.rows_a_commit ? left : plan.rows_a_commit;
        statements[i] = statement_make(&plan, rank, rows);
        rank += rows;
        left -= rows;
    }
    double prepared = cpu_seconds();
    int64_t began_us = clock_monotonic_us();
    for (size_t i = 0; i < count; i++) { /* each its own transaction */
        if (mysql_real_query(connection, statements[i].text, statements[i].size)) {
            die_of(connection);
        }
    }
    int64_t ended_us = clock_monotonic_us();
    printf("{\"rows\":%zu,\"seconds\":%.6f,\"client_cpu_s\":%.6f}\n", plan.rows,
           (double)(ended_us - began_us) / 1e6, cpu_seconds() - prepared);
    mysql_close(connection);
    return 0;
}

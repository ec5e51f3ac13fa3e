/* See support.h. */
#include "support.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- folders ---- */

void folder_make(char ret_folder[static FOLDER_SIZE]) {
    const char *root = getenv("TMPDIR");
    snprintf(ret_folder, FOLDER_SIZE, "%s/coupon-issuer-XXXXXX", root ? root : "/tmp");
    assert_non_null(mkdtemp(ret_folder));
}

void folder_remove(const char *folder) {
    char path[FOLDER_SIZE + 264];
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            assert_int_equal(unlink(path), 0);
        }
    }
    closedir(directory);
    assert_int_equal(rmdir(folder), 0);
}

void folder_sql(const char *folder, const char *format, ...) {
    char path[FOLDER_SIZE + 16];
    sqlite3 *db = NULL;
    va_list arguments;
    va_start(arguments, format);
    char *text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    snprintf(path, sizeof(path), "%s/coupon.db", folder);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL),
                     SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    }
    sqlite3_free(text);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- the test ledger ---- */

static struct test_ledger *test_ledger_of(struct ledger *ledger) {
    return (struct test_ledger *)ledger;
}

/* Counts the call; true when it is to fail. */
static bool is_to_fail(struct test_ledger *test, enum operation operation, int *ret_status) {
    test->operations[operation].calls++;
    if (test->operations[operation].times == 0) {
        return false;
    }
    if (test->operations[operation].times != FOR_EVER) {
        test->operations[operation].times--;
    }
    *ret_status = test->operations[operation].status;
    return true;
}

/* Returns from the operation with its failure, or with what the real ledger says. */
#define DELEGATE(operation, complaint, call)                                                       \
    do {                                                                                           \
        struct test_ledger *test = test_ledger_of(ledger);                                         \
        int failure = STATUS_OK;                                                                   \
        bool fails = is_to_fail(test, (operation), &failure);                                      \
        int status = STATUS_OK;                                                                    \
        if (!fails || test->operations[(operation)].done_all_the_same) {                           \
            status = (call);                                                                       \
        }                                                                                          \
        return fails ? complain((complaint), failure, "the test wants it so") : status;            \
    } while (0)

static int test_close(struct ledger *ledger, struct complaint *complaint) {
    int status = ledger_close(test_ledger_of(ledger)->real, complaint);
    free(ledger);
    return status;
}

static int test_latest_us(struct ledger *ledger, int64_t *ret_latest_us) {
    DELEGATE(OPERATION_LATEST, NULL, ledger_latest_us(test->real, ret_latest_us));
}

static int test_append(struct ledger *ledger, const struct issue_row *issues, size_t issue_count,
                       const struct issued_count *counts, size_t coupon_count,
                       struct complaint *complaint) {
    struct test_ledger *noted = test_ledger_of(ledger);
    noted->row_count = issue_count;
    noted->count_count = coupon_count;
    memcpy(noted->counts, counts, coupon_count * sizeof(counts[0]));
    DELEGATE(OPERATION_APPEND, complaint,
             ledger_append(test->real, issues, issue_count, counts, coupon_count, complaint));
}

static int test_coupon_create(struct ledger *ledger, struct coupon_record *coupon,
                              const struct creation_key *key, const struct audit *audit,
                              struct complaint *complaint) {
    DELEGATE(OPERATION_CREATE, complaint,
             ledger_coupon_create(test->real, coupon, key, audit, complaint));
}

static int test_creation_read(struct ledger *ledger, const struct creation_key *key,
                              uint64_t *ret_coupon_id) {
    DELEGATE(OPERATION_CREATION_READ, NULL, ledger_creation_read(test->real, key, ret_coupon_id));
}

static int test_coupon_change(struct ledger *ledger, const struct coupon_record *coupon,
                              const struct audit *audit, struct complaint *complaint) {
    DELEGATE(OPERATION_CHANGE, complaint,
             ledger_coupon_change(test->real, coupon, audit, complaint));
}

static int test_coupon_read(struct ledger *ledger, uint64_t coupon_id,
                            struct coupon_record *ret_coupon) {
    DELEGATE(OPERATION_COUPON_READ, NULL, ledger_coupon_read(test->real, coupon_id, ret_coupon));
}

static int test_coupons_read(struct ledger *ledger, uint64_t after_id, size_t limit,
                             struct coupon_record *ret_coupons, size_t *ret_count) {
    DELEGATE(OPERATION_COUPONS_READ, NULL,
             ledger_coupons_read(test->real, after_id, limit, ret_coupons, ret_count));
}

static int test_issue_read(struct ledger *ledger, struct issue_reference reference,
                           struct issue_record *ret_issue) {
    DELEGATE(OPERATION_ISSUE_READ, NULL, ledger_issue_read(test->real, reference, ret_issue));
}

static int test_issues_read(struct ledger *ledger, struct issue_reference after, size_t limit,
                            struct issue_record *ret_issues, size_t *ret_count) {
    DELEGATE(OPERATION_ISSUES_READ, NULL,
             ledger_issues_read(test->real, after, limit, ret_issues, ret_count));
}

static int test_visit(struct ledger *ledger, const struct ledger_visitor *visitor,
                      struct complaint *complaint) {
    DELEGATE(OPERATION_VISIT, complaint, ledger_visit(test->real, visitor, complaint));
}

static int test_probe(struct ledger *ledger, struct complaint *complaint) {
    DELEGATE(OPERATION_PROBE, complaint, ledger_probe(test->real, complaint));
}

static int test_tend(struct ledger *ledger, bool idle, struct complaint *complaint) {
    DELEGATE(OPERATION_TEND, complaint, ledger_tend(test->real, idle, complaint));
}

static int test_check(struct ledger *ledger, struct complaint *complaint) {
    DELEGATE(OPERATION_CHECK, complaint, ledger_check(test->real, complaint));
}

static const struct ledger_operations test_operations = {
    .close = test_close,
    .latest_us = test_latest_us,
    .append = test_append,
    .coupon_create = test_coupon_create,
    .creation_read = test_creation_read,
    .coupon_change = test_coupon_change,
    .coupon_read = test_coupon_read,
    .coupons_read = test_coupons_read,
    .issue_read = test_issue_read,
    .issues_read = test_issues_read,
    .visit = test_visit,
    .probe = test_probe,
    .tend = test_tend,
    .check = test_check,
};

static struct test_ledger *test_ledger_open(const char *folder) {
    struct test_ledger *test = calloc(1, sizeof(*test));
    struct complaint complaint = {0};
    assert_non_null(test);
    test->ledger.operations = &test_operations;
    struct ledger_sqlite_options options = {.directory = folder};
    if (ledger_sqlite_open(&options, &test->real, &complaint)) {
        fail_msg("%s", complaint.text);
    }
    return test;
}

void ledger_fails(struct test_ledger *ledger, enum operation operation, int status,
                  uint32_t times) {
    ledger->operations[operation].status = status;
    ledger->operations[operation].times = times;
}

void ledger_works(struct test_ledger *ledger) {
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        ledger->operations[i].times = 0;
        ledger->operations[i].done_all_the_same = false;
    }
}

/* ---- a core in a folder ---- */

void world_open(struct world *world) {
    struct digest_key key;
    memset(key.bytes, (int)++world->reopened, sizeof(key.bytes));
    world->ledger = test_ledger_open(world->folder);
    assert_int_equal(core_new(&world->ledger->ledger, world->coupons_max, &key, &world->core),
                     STATUS_OK);
}

void world_close(struct world *world) {
    struct complaint complaint = {0};
    if (core_close(world->core, &complaint)) {
        fail_msg("%s", complaint.text);
    }
    core_free(world->core);
    world->core = NULL;
    world->ledger = NULL;
}

static void world_load(struct world *world) {
    if (core_load(world->core, NULL, NULL)) {
        fail_msg("%s", world->core->why.text);
    }
    assert_int_equal(world->core->state, ISSUER_READY);
}

void world_reload(struct world *world) {
    world_close(world);
    world_open(world);
    world_load(world);
}

void world_init(struct world *world, size_t coupons_max) {
    *world = (struct world){.coupons_max = coupons_max};
    folder_make(world->folder);
    world_open(world);
    world_load(world);
}

void world_done(struct world *world) {
    if (world->core) {
        world_close(world);
    }
    folder_remove(world->folder);
}

int world_setup(void **state) {
    struct world *world = malloc(sizeof(*world));
    assert_non_null(world);
    world_init(world, 64);
    *state = world;
    return 0;
}

int world_teardown(void **state) {
    world_done(*state);
    free(*state);
    return 0;
}

struct digest world_user(const struct world *world, const char *user) {
    return digest_of(&world->core->digest_key, slice_of(user));
}

const char *verdict_name(enum verdict verdict) {
    static const char *const names[] = {
        [VERDICT_ISSUED] = "issued",
        [VERDICT_REPLAYED] = "replayed",
        [VERDICT_ALREADY_ISSUED] = "already issued",
        [VERDICT_NO_SUCH_COUPON] = "no such coupon",
        [VERDICT_PAUSED] = "paused",
        [VERDICT_NOT_STARTED] = "not started",
        [VERDICT_ENDED] = "ended",
        [VERDICT_SOLD_OUT] = "sold out",
        [VERDICT_STORAGE_UNAVAILABLE] = "storage unavailable",
        [VERDICT_OUTCOME_UNKNOWN] = "outcome unknown",
    };
    assert_in_range(verdict, 0, COUNT_OF(names) - 1);
    return names[verdict];
}

const char *state_name(enum issuer_state state) {
    static const char *const names[] = {
        [ISSUER_STARTING] = "starting",     [ISSUER_READY] = "ready",
        [ISSUER_UNWRITABLE] = "unwritable", [ISSUER_BROKEN] = "broken",
        [ISSUER_STOPPING] = "stopping",
    };
    assert_in_range(state, 0, COUNT_OF(names) - 1);
    return names[state];
}

/* ---- short calls ---- */

struct coupon_record coupon_example(uint64_t id, int64_t total, int64_t start_us, int64_t end_us) {
    return (struct coupon_record){
        .id = id,
        .title = "A coupon",
        .total_quantity = total,
        .discount_amount = 1000,
        .min_available_amount = 10000,
        .issue_start_us = start_us,
        .issue_end_us = end_us,
    };
}

struct command command_of(enum job_kind kind) {
    return (struct command){.job = {.kind = kind}};
}

int command_do(struct world *world, int64_t now_us, struct command *command) {
    while (!core_command(world->core, now_us, command)) {
        assert_int_equal(command->status, STATUS_BUSY);
    }
    return command->status;
}

void coupon_make(struct world *world, uint64_t id, int64_t total) {
    struct command command = command_of(JOB_COUPON_CREATE);
    command.coupon = coupon_example(id, total, 0, US_PER_SECOND);
    assert_int_equal(command_do(world, 1, &command), STATUS_OK);
    assert_int_equal(command.coupon.id, id);
}

struct claim claim_of(const struct world *world, uint64_t coupon_id, const char *user,
                      const char *request_key) {
    return (struct claim){
        .coupon_id = coupon_id,
        .user = world_user(world, user),
        .user_id = slice_of(user),
        .request_key = slice_of(request_key),
    };
}

void step_claims(struct world *world, int64_t now_us, struct claim *claims, size_t count) {
    struct claim_batch batch = {.job = {.kind = JOB_CLAIMS}, .claims = claims, .count = count};
    struct job_list batches = {0};
    job_list_push(&batches, &batch.job);
    issuer_step(world->core, now_us, &batches);
}

enum verdict step_one(struct world *world, int64_t now_us, uint64_t coupon_id, const char *user) {
    struct claim claim = claim_of(world, coupon_id, user, "");
    step_claims(world, now_us, &claim, 1);
    return claim.verdict;
}

void issue_many(struct world *world, uint64_t coupon_id, uint32_t count) {
    static struct claim claims[CLAIM_BATCH_MAX];
    static char users[CLAIM_BATCH_MAX][16];
    for (uint32_t done = 0; done < count;) {
        size_t size = 0;
        for (; size < CLAIM_BATCH_MAX && done < count; size++, done++) {
            snprintf(users[size], sizeof(users[size]), "u%u", done + 1);
            claims[size] = claim_of(world, coupon_id, users[size], "");
        }
        step_claims(world, 100 + done, claims, size);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(claims[i].verdict, VERDICT_ISSUED);
        }
    }
}

static void assert_rows_are_held(struct world *world, struct issue_reference after,
                                 uint32_t *count) {
    static struct issue_record rows[LEDGER_SLICE_MAX];
    size_t row_count = 0;
    assert_int_equal(
        ledger_issues_read(&world->ledger->ledger, after, LEDGER_SLICE_MAX, rows, &row_count),
        STATUS_OK);
    for (size_t i = 0; i < row_count; i++) {
        uint32_t rank = 0;
        int64_t issued_at_us = 0;
        assert_int_equal(rows[i].reference.rank, ++*count);
        assert_int_equal(engine_holding(world->core->engine, after.coupon_id,
                                        world_user(world, rows[i].user_id), &rank, &issued_at_us),
                         STATUS_OK);
        assert_int_equal(rank, rows[i].reference.rank);
        assert_int_equal(issued_at_us, rows[i].issued_at_us);
    }
    if (row_count == LEDGER_SLICE_MAX) {
        after.rank = rows[row_count - 1].reference.rank;
        assert_rows_are_held(world, after, count);
    }
}

void assert_coupon_agrees(struct world *world, uint64_t coupon_id, uint32_t count) {
    struct coupon_record coupon;
    uint32_t rows = 0;
    assert_int_equal(engine_issued(world->core->engine, coupon_id), count);
    assert_int_equal(board_read(world->core->board, coupon_id, &coupon), STATUS_OK);
    assert_int_equal(coupon.issued_quantity, count);
    assert_int_equal(ledger_coupon_read(&world->ledger->ledger, coupon_id, &coupon), STATUS_OK);
    assert_int_equal(coupon.issued_quantity, count);
    assert_rows_are_held(world, (struct issue_reference){.coupon_id = coupon_id}, &rows);
    assert_int_equal(rows, count);
}

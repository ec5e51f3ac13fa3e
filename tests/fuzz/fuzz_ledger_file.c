/* A damaged record: a good file, changed as the lines of the input say, then opened, visited and
 * verified, and written to. Nothing may crash; a refusal says what it is; who only reads changes
 * not a byte; and what `coupon verify` calls good is good by a plain recount of I1, I2 and I4.
 *
 *   wal                        the newest issues are in the log only; else there is none
 *   sql UPDATE …               runs with the file's own checks off
 *   set PAGE OFFSET HEX        bytes of the file; log OFFSET HEX: of the log
 *   copy PAGE PAGE             one page over another
 *   cut SIZE                   the file ends there
 */
#include "cli/options.h"
#include "fuzz.h"
#include "ledger/ledger.h"

#include <ctype.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE 4096
#define START_US  INT64_C(1000000000000000)

enum { COUPONS = 3, ISSUES = 40, IMPORTED = 5, IN_THE_LOG = 10 };

static const char *folder;
static struct buffer good[2]; /* the file without and with … */
static struct buffer good_log;

/* ---- files ---- */

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static struct buffer file_read(const char *name) {
    struct buffer bytes;
    char room[16384];
    ssize_t size = 0;
    buffer_init(&bytes);
    int fd = open(path_of(name), O_RDONLY);
    while (fd >= 0 && (size = read(fd, room, sizeof(room))) > 0) {
        buffer_append(&bytes, room, (size_t)size);
    }
    assert(size == 0 && !bytes.failed);
    if (fd >= 0) {
        close(fd);
    }
    return bytes;
}

static void file_write(const char *name, struct slice bytes) {
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert(fd >= 0);
    ssize_t size = write(fd, bytes.bytes, bytes.size);
    assert(size == (ssize_t)bytes.size);
    close(fd);
}

static void files_remove(void) {
    static const char *const names[] = {"coupon.db",         "coupon.db-wal", "coupon.db-shm",
                                        "coupon.db-journal", "coupon.db.new", "coupon.db.new-wal",
                                        "coupon.db-wal.new"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unlink(path_of(names[i]));
    }
}

/* ---- a good record ---- */

static struct ledger *ledger_open(bool existing_only) {
    struct ledger_sqlite_options options = {.directory = folder, .existing_only = existing_only};
    struct ledger *ledger = NULL;
    int status = ledger_sqlite_open(&options, &ledger, NULL);
    assert(status == STATUS_OK);
    return ledger;
}

/* Ranks first … last of a coupon, a user each. */
static int issues_append(struct ledger *ledger, uint64_t coupon_id, uint32_t first, uint32_t last) {
    char users[ISSUES + 2][16];
    struct issue_row rows[ISSUES + 2];
    size_t count = 0;
    for (uint32_t rank = first; rank <= last; rank++, count++) {
        snprintf(users[count], sizeof(users[count]), "user-%u", rank);
        rows[count] = (struct issue_row){.reference = {coupon_id, rank},
                                         .user_id = slice_of(users[count]),
                                         .request_key = slice_of(rank % 3 ? "" : "key"),
                                         .issued_at_us = START_US + rank};
    }
    struct issued_count total = {coupon_id, last};
    return ledger_append(ledger, rows, count, &total, 1, NULL);
}

static void import_some(struct ledger *ledger, uint64_t coupon_id) {
    char texts[IMPORTED][16];
    struct slice users[IMPORTED];
    struct coupon_import import = {coupon_id, 1, IMPORTED, START_US};
    for (int i = 0; i < IMPORTED; i++) {
        snprintf(texts[i], sizeof(texts[i]), "guest-%d", i);
        users[i] = slice_of(texts[i]);
    }
    int status = ledger_import(ledger, &import, users, NULL);
    assert(status == STATUS_OK);
}

static void coupon_make(struct ledger *ledger, uint64_t id) {
    struct coupon_record coupon = {
        .id = id,
        .title = "a coupon",
        .total_quantity = id == 1 ? ISSUES + 1 : COUPON_UNLIMITED,
        .issue_start_us = START_US,
        .issue_end_us = START_US + US_PER_SECOND,
        .created_us = START_US,
        .updated_us = START_US,
        .metadata = "{\"a\":1}",
    };
    struct creation_key key = {.key = slice_of(id == 1 ? "one" : "other")};
    struct audit audit = {slice_of("admin"), slice_of("{}")};
    int status = ledger_coupon_create(ledger, &coupon, id < 3 ? &key : NULL, &audit, NULL);
    assert(status == STATUS_OK);
    if (id == 2) {
        coupon.version++;
        coupon.paused = true;
        status = ledger_coupon_change(ledger, &coupon, &audit, NULL);
        assert(status == STATUS_OK);
    }
}

static void record_make(void) {
    struct ledger *ledger = ledger_open(false);
    for (uint64_t id = 1; id <= COUPONS; id++) {
        coupon_make(ledger, id);
    }
    import_some(ledger, 3);
    int status = issues_append(ledger, 1, 1, ISSUES - IN_THE_LOG);
    assert(status == STATUS_OK);
    status = ledger_close(ledger, NULL);
    assert(status == STATUS_OK);
    good[1] = file_read("coupon.db");
    ledger = ledger_open(false);
    status = issues_append(ledger, 1, ISSUES - IN_THE_LOG + 1, ISSUES);
    assert(status == STATUS_OK);
    good_log = file_read("coupon.db-wal"); /* as a kill would leave it */
    status = ledger_close(ledger, NULL);
    assert(status == STATUS_OK);
    good[0] = file_read("coupon.db");
    assert(good[0].size > 5 * PAGE_SIZE && good_log.size > PAGE_SIZE);
}

/* ---- damage ---- */

static uint64_t number_take(struct slice *line) {
    uint64_t number = 0;
    int status = slice_to_u64(fuzz_word(line), UINT32_MAX, &number);
    return status == STATUS_OK ? number : 0;
}

static void set_bytes(struct buffer *file, size_t at, struct slice hexadecimal) {
    for (size_t i = 0; i + 1 < hexadecimal.size && at < file->size; i += 2, at++) {
        char digits[3] = {hexadecimal.bytes[i], hexadecimal.bytes[i + 1]};
        file->bytes[at] = (char)strtoul(digits, NULL, 16);
    }
}

static void copy_page(struct buffer *file, size_t from, size_t to) {
    size_t pages = file->size / PAGE_SIZE;
    if (from < pages && to < pages && from != to) {
        memcpy(file->bytes + to * PAGE_SIZE, file->bytes + from * PAGE_SIZE, PAGE_SIZE);
    }
}

/* Nothing that leaves the file: no other database, no setting but these. */
static int may(void *context, int action, const char *first, const char *second,
               const char *database, const char *trigger) {
    (void)context;
    (void)second;
    (void)database;
    (void)trigger;
    bool other = action == SQLITE_ATTACH || action == SQLITE_DETACH;
    bool setting = action == SQLITE_PRAGMA && strcasecmp(first, "user_version") != 0 &&
                   strcasecmp(first, "application_id") != 0 &&
                   strcasecmp(first, "writable_schema") != 0;
    return other || setting ? SQLITE_DENY : SQLITE_OK;
}

static int too_long(void *context) {
    (void)context;
    return 1;
}

static void run_sql(struct slice text) {
    sqlite3 *db = NULL;
    char *terminated = fuzz_terminated(text);
    int failed = sqlite3_open(path_of("coupon.db"), &db);
    assert(failed == SQLITE_OK);
    sqlite3_exec(db,
                 "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF;"
                 "PRAGMA ignore_check_constraints = ON",
                 NULL, NULL, NULL);
    sqlite3_set_authorizer(db, may, NULL);
    sqlite3_progress_handler(db, 20000, too_long, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 100000);
    (void)sqlite3_exec(db, terminated, NULL, NULL, NULL);
    sqlite3_close(db);
    free(terminated);
}

/* The file as the lines want it; the log only where there is one. */
static void damage(struct slice input) {
    struct slice first = fuzz_line(&input);
    bool with_log = slice_is(first, "wal");
    bool touched = false;
    struct buffer file = {0};
    struct buffer log = {0};
    buffer_slice(&log, buffer_view(&good_log));
    file_write("coupon.db", buffer_view(&good[with_log]));
    while (input.size > 0) {
        struct slice line = fuzz_line(&input);
        struct slice word = fuzz_word(&line);
        if (slice_is(word, "sql") && !with_log && !touched) {
            run_sql(line);
            continue;
        }
        if (!touched) {
            file = file_read("coupon.db");
            touched = true;
        }
        size_t page = (size_t)number_take(&line);
        if (slice_is(word, "set")) {
            size_t offset = (size_t)number_take(&line);
            set_bytes(&file, page * PAGE_SIZE + offset, line);
        } else if (slice_is(word, "copy")) {
            copy_page(&file, page, (size_t)number_take(&line));
        } else if (slice_is(word, "log")) {
            set_bytes(&log, page, line);
        } else if (slice_is(word, "cut")) {
            file.size = page < file.size ? page : file.size;
        }
    }
    if (touched) {
        file_write("coupon.db", buffer_view(&file));
    }
    if (with_log) {
        file_write("coupon.db-wal", buffer_view(&log));
    }
    buffer_done(&file);
    buffer_done(&log);
}

/* ---- a plain recount ---- */

struct recount {
    struct coupon_record coupon; /* id 0: none yet */
    uint32_t rows;
    bool good; /* I1, I2, I4 hold so far */
    char users[512][USER_ID_MAX + 1];
};

static void recount_end(struct recount *recount) {
    const struct coupon_record *coupon = &recount->coupon;
    bool within = coupon->total_quantity == COUPON_UNLIMITED ||
                  recount->rows <= (uint64_t)coupon->total_quantity;
    recount->good =
        recount->good && (coupon->id == 0 || (recount->rows == coupon->issued_quantity && within));
}

static int recount_coupon(void *context, const struct coupon_record *coupon) {
    struct recount *recount = context;
    assert(coupon->id > recount->coupon.id && coupon->id <= (uint64_t)JSON_INTEGER_MAX);
    assert(memchr(coupon->title, '\0', sizeof(coupon->title)) != NULL);
    assert(memchr(coupon->metadata, '\0', sizeof(coupon->metadata)) != NULL);
    assert(coupon->issue_start_us >= TIME_US_MIN && coupon->issue_end_us <= TIME_US_MAX);
    recount_end(recount);
    recount->coupon = *coupon;
    recount->rows = 0;
    return STATUS_OK;
}

static int recount_issue(void *context, const struct issue_row *issue) {
    struct recount *recount = context;
    assert(issue->reference.coupon_id == recount->coupon.id);
    assert(issue->user_id.size <= USER_ID_MAX && issue->request_key.size <= REQUEST_KEY_MAX);
    recount->good = recount->good && issue->reference.rank == recount->rows + 1;
    for (uint32_t i = 0; i < recount->rows && i < COUNT_OF(recount->users); i++) {
        recount->good = recount->good && !slice_is(issue->user_id, recount->users[i]);
    }
    if (recount->rows < COUNT_OF(recount->users)) {
        snprintf(recount->users[recount->rows], USER_ID_MAX + 1, "%.*s", (int)issue->user_id.size,
                 issue->user_id.bytes);
    }
    recount->rows++;
    return STATUS_OK;
}

/* Visits an open ledger. Tells whether it is good. */
static bool visit(struct ledger *ledger) {
    static struct recount recount;
    struct complaint complaint = {{0}};
    struct ledger_visitor visitor = {.context = &recount,
                                     .archived_too = true,
                                     .coupon = recount_coupon,
                                     .issue = recount_issue};
    recount = (struct recount){.good = true};
    int status = ledger_visit(ledger, &visitor, &complaint);
    recount_end(&recount);
    assert((status == STATUS_OK) == (complaint.text[0] == '\0'));
    assert(status == STATUS_OK || status == STATUS_DAMAGED || status == STATUS_IO);
    status = status == STATUS_OK ? ledger_check(ledger, &complaint) : status;
    return status == STATUS_OK && recount.good;
}

/* ---- what is done with it ---- */

/* NULL, after a refusal that says what it is. */
static struct ledger *try_open(bool existing_only) {
    struct ledger_sqlite_options options = {.directory = folder, .existing_only = existing_only};
    struct ledger *ledger = NULL;
    struct complaint complaint = {{0}};
    int status = ledger_sqlite_open(&options, &ledger, &complaint);
    assert((status == STATUS_OK) == (ledger != NULL));
    assert((status == STATUS_OK) == (complaint.text[0] == '\0'));
    assert(status == STATUS_OK || status == STATUS_DAMAGED || status == STATUS_NEWER ||
           status == STATUS_CONFLICT || status == STATUS_IO);
    return ledger;
}

static bool read_only(void) {
    struct buffer file = file_read("coupon.db");
    struct buffer log = file_read("coupon.db-wal");
    char *arguments[] = {"--data", (char *)folder};
    struct ledger *ledger = try_open(true);
    bool is_good = ledger && visit(ledger);
    int closed = ledger_close(ledger, NULL);
    assert(closed == STATUS_OK);
    int code = command_verify(2, arguments);
    assert(code == EXIT_CODE_OK || code == EXIT_CODE_FAILED || code == EXIT_CODE_USAGE);
    assert(code != EXIT_CODE_OK || is_good);
    struct buffer file_after = file_read("coupon.db");
    struct buffer log_after = file_read("coupon.db-wal");
    assert(slice_equal(buffer_view(&file), buffer_view(&file_after)));
    assert(slice_equal(buffer_view(&log), buffer_view(&log_after)));
    buffer_done(&file);
    buffer_done(&log);
    buffer_done(&file_after);
    buffer_done(&log_after);
    return code == EXIT_CODE_OK;
}

/* As a server would: reads, and appends one issue where the record looks as it did. */
static void write_too(bool was_good) {
    struct ledger *ledger = try_open(false);
    if (!ledger) {
        assert(!was_good);
        return;
    }
    bool is_good = visit(ledger);
    assert(is_good || !was_good);
    struct coupon_record coupon;
    int64_t latest_us;
    int status = ledger_latest_us(ledger, &latest_us);
    status = status == STATUS_OK ? ledger_coupon_read(ledger, 1, &coupon) : status;
    if (status == STATUS_OK && coupon.issued_quantity == ISSUES) {
        status = issues_append(ledger, 1, ISSUES + 1, ISSUES + 1);
        assert(status == STATUS_OK || !was_good || coupon.total_quantity == ISSUES);
        bool still_good = visit(ledger);
        assert(still_good || !is_good);
    }
    (void)ledger_close(ledger, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    folder = fuzz_folder();
    record_make();
    files_remove();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    damage((struct slice){(const char *)data, size});
    write_too(read_only());
    files_remove();
    return 0;
}

/* ---- damage that is worth having ---- */

static const char *const samples[] = {
    "wal",
    "cut 8192",
    "copy 3 4",
    "set 0 60 00000002",
    "set 4 100 ff",
    "set 5 3 0001",
    "set 2 4000 7f",
    "log 100 00",
    "log 24 ffffffff",
    "sql UPDATE coupon_issues SET rank_no = 3 WHERE rank_no = 2 AND coupon_id = 3",
    "sql UPDATE coupon_issues SET user_id = 'user-1' WHERE rank_no = 7",
    "sql UPDATE coupon_issues SET user_id = '' WHERE rank_no = 7",
    "sql UPDATE coupon_issues SET date_issued = 0 WHERE rank_no = 9",
    "sql UPDATE coupon_issues SET request_key = hex(zeroblob(70))",
    "sql DELETE FROM coupon_issues WHERE rank_no = 4",
    "sql INSERT INTO coupon_issues VALUES (1, 41, 'x', NULL, NULL, 1000000000000050)",
    "sql INSERT INTO coupon_issues VALUES (9, 1, 'x', 'c', NULL, 5)",
    "sql UPDATE coupons SET issued_quantity = 41 WHERE id = 1",
    "sql UPDATE coupons SET total_quantity = 5 WHERE id = 1",
    "sql UPDATE coupons SET title = hex(zeroblob(200))",
    "sql UPDATE coupons SET metadata = hex(zeroblob(2000))",
    "sql UPDATE coupons SET metadata = '[' WHERE id = 2",
    "sql UPDATE coupons SET paused = 7, version = 0",
    "sql UPDATE coupons SET date_issue_start = 9223372036854775807",
    "sql UPDATE coupons SET date_archived = 1000000000000001 WHERE id = 1",
    "sql UPDATE coupons SET total_quantity = -1, issued_quantity = 4294967296 WHERE id = 1",
    "sql DELETE FROM coupons WHERE id = 2",
    "sql DELETE FROM coupon_revisions WHERE coupon_id = 1",
    "sql UPDATE coupon_revisions SET first_rank = 9 WHERE coupon_id = 1",
    "sql UPDATE coupon_revisions SET total_quantity = 3, version = 2 WHERE coupon_id = 1",
    "sql UPDATE coupon_imports SET last_rank = 2",
    "sql DELETE FROM coupon_imports",
    "sql UPDATE audits SET admin = '', action = 'x'",
    "sql DROP TABLE audits",
    "sql DROP TABLE coupon_issues",
    "sql CREATE TABLE t(a)",
    "sql ALTER TABLE coupons ADD COLUMN more TEXT",
    "sql PRAGMA user_version = 2",
    "sql PRAGMA application_id = 7",
    "sql PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a)'",
    "sql CREATE TRIGGER r AFTER INSERT ON coupon_issues BEGIN DELETE FROM coupon_issues; END",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return fuzz_mutate_lines(data, size, max_size, seed, samples, COUNT_OF(samples));
}

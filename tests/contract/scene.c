#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define USABLE_WAIT_MS 15000
#define ROOM           50 /* rows of one read */

void assert_ok(int status, const char *what) {
    if (status != STATUS_OK) {
        fail_msg("%s: %s: %s", what, status_name(status), complaint.text);
    }
}

/* ---- issues ---- */

static uint64_t issued_of(struct scene *scene, uint64_t coupon_id) {
    assert_ok(ledger_coupon_read(scene->ledger, coupon_id, &scene->coupon), "read a coupon");
    return scene->coupon.issued_quantity;
}

static uint64_t look_appended(struct scene *scene) {
    return ranks_of(scene->ledger, scene->appended);
}
static void prepare_append(struct scene *scene) {
    scene->seen = issued_of(scene, scene->appended);
}
static int run_append(struct scene *scene) {
    uint32_t before = (uint32_t)scene->seen;
    struct issue_row rows[USERS] = {0};
    for (uint32_t i = 0; i < USERS; i++) {
        uint32_t rank = before + i + 1;
        snprintf(scene->texts[i][0], sizeof(scene->texts[i][0]), "u%u", rank);
        snprintf(scene->texts[i][1], sizeof(scene->texts[i][1]), "k%u", rank);
        rows[i] = (struct issue_row){.reference = {scene->appended, rank},
                                     .user_id = slice_of(scene->texts[i][0]),
                                     .issued_at_us = NOW_US + rank};
        if (rank % 2 == 1) {
            rows[i].request_key = slice_of(scene->texts[i][1]);
        }
    }
    struct issued_count count = {scene->appended, before + USERS};
    return ledger_append(scene->ledger, rows, USERS, &count, 1, &complaint);
}

static void prepare_claims(struct scene *scene, uint64_t coupon_id) {
    scene->serial++;
    for (uint32_t i = 0; i < USERS; i++) {
        snprintf(scene->texts[i][0], 32, "user-%u-%u", scene->serial, i);
        snprintf(scene->texts[i][1], 32, "claim-%u-%u", scene->serial, i);
        scene->claims[i] = claim_of(coupon_id, scene->texts[i][0], scene->texts[i][1]);
        scene->claims[i].n = scene->serial;
        scene->claims[i].index = i;
    }
}
static void prepare_settle(struct scene *scene) {
    prepare_claims(scene, scene->settled);
}
static int settle_claims(struct scene *scene, bool fresh) {
    struct settlement settlement = {.claims = scene->claims, .count = USERS, .fresh = fresh};
    return ledger_settle(scene->ledger, &settlement, &complaint);
}
static int run_settle(struct scene *scene) {
    return settle_claims(scene, true);
}
static int run_settle_looking(struct scene *scene) {
    return settle_claims(scene, false);
}
static uint64_t look_settled(struct scene *scene) {
    return sound_issues(scene->ledger, scene->settled);
}

/* The last of the claims is refused: its user holds what the first got. */
static void prepare_queue(struct scene *scene) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    assert_ok(ledger_cursors_read(scene->ledger, cursors), "read the cursors");
    scene->cursor = cursors[partition_of(scene->queued)];
    prepare_claims(scene, scene->queued);
    scene->claims[USERS - 1].user_id = scene->claims[0].user_id;
}
static int run_queue(struct scene *scene) {
    struct settlement settlement = {.claims = scene->claims,
                                    .count = USERS,
                                    .fresh = true,
                                    .cursor = &scene->cursor,
                                    .cursor_n = scene->cursor.n + 1};
    return ledger_settle(scene->ledger, &settlement, &complaint);
}
/* Issues, rejects and the cursor's place: all of them or none. */
static uint64_t look_queued(struct scene *scene) {
    uint64_t rejects;
    struct ledger_cursor cursors[PARTITION_COUNT];
    assert_ok(ledger_rejects_count(scene->ledger, &rejects), "count the rejects");
    assert_ok(ledger_cursors_read(scene->ledger, cursors), "read the cursors");
    uint64_t issues = sound_issues(scene->ledger, scene->queued);
    assert_int_equal(issues, rejects * (USERS - 1));
    assert_int_equal(cursors[partition_of(scene->queued)].n, rejects);
    return issues;
}

static void prepare_import(struct scene *scene) {
    scene->seen = issued_of(scene, scene->imported);
    scene->serial++;
}
static int run_import(struct scene *scene) {
    uint32_t before = (uint32_t)scene->seen;
    struct slice users[2];
    for (int i = 0; i < 2; i++) {
        snprintf(scene->texts[i][0], 32, "import-%u-%d", scene->serial, i);
        users[i] = slice_of(scene->texts[i][0]);
    }
    struct coupon_import import = {scene->imported, before + 1, before + 2, NOW_US + US_PER_SECOND};
    return ledger_import(scene->ledger, &import, users, &complaint);
}
static uint64_t look_imported(struct scene *scene) {
    return issued_of(scene, scene->imported);
}

/* ---- coupons, partitions ---- */

static uint64_t rows_of(struct scene *scene, const char *sql) {
    char *answer = session_ask(scene->session, sql);
    uint64_t count = strtoull(answer, NULL, 10);
    free(answer);
    return count;
}

static void prepare_create(struct scene *scene) {
    scene->coupon = coupon_example(10);
    snprintf(scene->texts[0][0], 32, "creation-%u", ++scene->serial);
}
static int run_create(struct scene *scene) {
    struct creation_key key = {.key = slice_of(scene->texts[0][0]), .request_digest = {7}};
    struct audit audit = {.admin = slice_of("admin"), .request = slice_of("{}")};
    return ledger_coupon_create(scene->ledger, &scene->coupon, &key, &audit, &complaint);
}
/* A coupon has its first revision, its key and its audit. */
static uint64_t look_created(struct scene *scene) {
    uint64_t count = rows_of(scene, "SELECT count(*) FROM coupons WHERE total_quantity = 10");
    assert_int_equal(count, rows_of(scene, "SELECT count(*) FROM coupon_revisions WHERE "
                                           "total_quantity = 10"));
    assert_int_equal(count, rows_of(scene, "SELECT count(*) FROM audits WHERE action = "
                                           "'coupon-created'"));
    return count;
}

static void prepare_change(struct scene *scene) {
    (void)issued_of(scene, scene->changed);
    scene->coupon.version++;
    scene->coupon.updated_us++;
}
static int run_change(struct scene *scene) {
    struct audit audit = {.admin = slice_of("admin"), .request = slice_of("{}")};
    return ledger_coupon_change(scene->ledger, &scene->coupon, &audit, &complaint);
}
static uint64_t look_changed(struct scene *scene) {
    (void)issued_of(scene, scene->changed);
    return scene->coupon.version;
}

static uint64_t look_epoch(struct scene *scene) {
    struct ledger_cursor cursors[PARTITION_COUNT];
    assert_ok(ledger_cursors_read(scene->ledger, cursors), "read the cursors");
    scene->cursor = cursors[63];
    return scene->cursor.epoch;
}
static void prepare_epoch(struct scene *scene) {
    (void)look_epoch(scene);
}
static int run_epoch(struct scene *scene) {
    return ledger_epoch_raise(scene->ledger, &scene->cursor, &complaint);
}

static uint64_t look_dropped(struct scene *scene) {
    return 1 - rows_of(scene, "SELECT count(*) FROM coupon_rejects WHERE claim_id = 'drop'");
}
static void prepare_drop(struct scene *scene) {
    if (look_dropped(scene) == 1) {
        assert_sql(scene->state,
                   "INSERT INTO coupon_rejects (p, epoch, n, idx, claim_id, coupon_id, user_id, "
                   "reason) VALUES (5, 1, 1, 1, 'drop', 5, 'someone', 'paused')",
                   "");
    }
}
static int run_drop(struct scene *scene) {
    struct reject_place place = {.partition = 5, .epoch = 1, .n = 1, .index = 1};
    return ledger_reject_drop(scene->ledger, &place, &complaint);
}

static int run_probe(struct scene *scene) {
    return ledger_probe(scene->ledger, &complaint);
}
static uint64_t look_nothing(struct scene *scene) {
    (void)scene;
    return 0;
}

const struct writing writings[WRITING_COUNT] = {
    {"append", prepare_append, run_append, look_appended, USERS},
    {"settle", prepare_settle, run_settle, look_settled, USERS},
    {"settle, looking", prepare_settle, run_settle_looking, look_settled, USERS},
    {"settle a queue", prepare_queue, run_queue, look_queued, USERS - 1},
    {"import", prepare_import, run_import, look_imported, 2},
    {"create", prepare_create, run_create, look_created, 1},
    {"change", prepare_change, run_change, look_changed, 1},
    {"raise an epoch", prepare_epoch, run_epoch, look_epoch, 1},
    {"drop a reject", prepare_drop, run_drop, look_dropped, 1},
    {"probe", NULL, run_probe, look_nothing, 0},
};

/* ---- reads ---- */

static int run_coupon(struct scene *scene) {
    int status = ledger_coupon_read(scene->ledger, scene->settled, &scene->coupon);
    scene->seen = scene->coupon.issued_quantity;
    return status;
}
static int run_coupons(struct scene *scene) {
    static struct coupon_record coupons[ROOM];
    size_t count = 0;
    int status = ledger_coupons_read(scene->ledger, 0, ROOM, coupons, &count);
    scene->seen = count;
    return status;
}
static int run_issue(struct scene *scene) {
    static struct issue_record issue;
    struct issue_reference first = {scene->settled, 1};
    int status = ledger_issue_read(scene->ledger, first, &issue);
    scene->seen = (uint64_t)issue.issued_at_us;
    return status;
}
static int run_issues(struct scene *scene) {
    static struct issue_record issues[ROOM];
    size_t count = 0;
    struct issue_reference all = {scene->settled, 0};
    int status = ledger_issues_read(scene->ledger, all, ROOM, issues, &count);
    scene->seen = count;
    return status;
}
static int run_audits(struct scene *scene) {
    static struct audit_record audits[ROOM];
    size_t count = 0;
    int status = ledger_audits_read(scene->ledger, 0, ROOM, audits, &count);
    scene->seen = count;
    return status;
}
static int run_latest(struct scene *scene) {
    int64_t latest_us = 0;
    int status = ledger_latest_us(scene->ledger, &latest_us);
    scene->seen = (uint64_t)latest_us;
    return status;
}
static int run_now(struct scene *scene) {
    int64_t now_us = 0;
    int status = ledger_now_us(scene->ledger, &now_us);
    scene->seen = now_us > NOW_US;
    return status;
}
static int run_holding(struct scene *scene) {
    static struct issue_record issue;
    int status = ledger_holding_read(scene->ledger, scene->settled, slice_of("the-first"), &issue);
    scene->seen = issue.reference.rank;
    return status;
}
static int run_holdings(struct scene *scene) {
    static struct issue_record issues[ROOM];
    size_t count = 0;
    int status =
        ledger_holdings_read(scene->ledger, slice_of("the-first"), 0, ROOM, issues, &count);
    scene->seen = count;
    return status;
}
static int run_look(struct scene *scene) {
    struct settle_claim claims[] = {claim_of(scene->settled, "the-first", "first"),
                                    claim_of(scene->settled, "nobody", "other")};
    int status = ledger_look(scene->ledger, claims, 2, &complaint);
    scene->seen = (uint64_t)claims[0].outcome * 100 + (uint64_t)claims[1].outcome;
    return status;
}
static int run_cursors(struct scene *scene) {
    struct ledger_cursor cursors[PARTITION_COUNT] = {0};
    int status = ledger_cursors_read(scene->ledger, cursors);
    scene->seen = cursors[partition_of(scene->queued)].n;
    return status;
}
static int run_rejects(struct scene *scene) {
    static struct reject_record rejects[ROOM];
    static const struct reject_place before;
    size_t count = 0;
    int status = ledger_rejects_read(scene->ledger, &before, ROOM, rejects, &count);
    scene->seen = count;
    return status;
}
static int run_reject(struct scene *scene) {
    static struct reject_record reject;
    struct reject_place place = {.partition = 5, .epoch = 1, .n = 1, .index = 1};
    int status = ledger_reject_read(scene->ledger, &place, &reject);
    scene->seen = reject.coupon_id;
    return status;
}
static int run_rejects_count(struct scene *scene) {
    scene->seen = 0;
    return ledger_rejects_count(scene->ledger, &scene->seen);
}
static int run_creation(struct scene *scene) {
    struct creation_key key = {.key = slice_of("the-first"), .request_digest = {7}};
    scene->seen = 0;
    return ledger_creation_read(scene->ledger, &key, &scene->seen);
}
#define COUNTS(name, type)                                                                         \
    static int name(void *context, const struct type *row) {                                       \
        (void)row;                                                                                 \
        ++*(uint64_t *)context;                                                                    \
        return STATUS_OK;                                                                          \
    }
COUNTS(count_coupon, coupon_record)
COUNTS(count_revision, coupon_revision)
COUNTS(count_import, coupon_import)
COUNTS(count_issue, issue_row)
static int run_visit(struct scene *scene) {
    uint64_t count = 0;
    struct ledger_visitor visitor = {.context = &count,
                                     .archived_too = true,
                                     .coupon = count_coupon,
                                     .revision = count_revision,
                                     .import = count_import,
                                     .issue = count_issue};
    int status = ledger_visit(scene->ledger, &visitor, &complaint);
    scene->seen = count;
    return status;
}
static int run_check(struct scene *scene) {
    scene->seen = 0;
    return ledger_check(scene->ledger, &complaint);
}
int run_open(struct scene *scene) {
    struct ledger_sql_options options = {.url = url_of(scene->state)};
    struct ledger *another = NULL;
    scene->seen = 0;
    int status = ledger_open_url(&options, &another, &complaint);
    assert_true((status == STATUS_OK) == (another != NULL));
    if (another != NULL) {
        assert_int_equal(ledger_close(another, &complaint), STATUS_OK);
    }
    return status;
}

const struct reading reads[READ_COUNT] = {
    {"a coupon", run_coupon},
    {"coupons", run_coupons},
    {"an issue", run_issue},
    {"issues", run_issues},
    {"audits", run_audits},
    {"latest", run_latest},
    {"now", run_now},
    {"a holding", run_holding},
    {"holdings", run_holdings},
    {"look", run_look},
    {"cursors", run_cursors},
    {"rejects", run_rejects},
    {"a reject", run_reject},
    {"count of rejects", run_rejects_count},
    {"a creation", run_creation},
    {"visit", run_visit},
    {"check", run_check},
    {"open", run_open},
};

/* ---- the scene ---- */

/* A ledger that lost its connection makes it anew, at once or after a pause. */
void wait_until_usable(struct scene *scene, const char *after) {
    int status = STATUS_IO;
    for (int i = 0; i < USABLE_WAIT_MS / 10 && status != STATUS_OK; i++) {
        status = ledger_probe(scene->ledger, &complaint);
        if (status != STATUS_OK) {
            usleep(10000);
        }
    }
    assert_ok(status, after);
}

void scene_begin(struct scene *scene, void **state) {
    *scene = (struct scene){.state = state, .ledger = ledger_of(state)};
    scene->session = session_begin(state);
    scene->appended = add_coupon(scene->ledger, COUPON_UNLIMITED);
    scene->imported = add_coupon(scene->ledger, COUPON_UNLIMITED);
    scene->changed = add_coupon(scene->ledger, COUPON_UNLIMITED);
    scene->settled = add_open_coupon(scene->ledger, COUPON_UNLIMITED);
    scene->queued = add_open_coupon(scene->ledger, COUPON_UNLIMITED);
    struct settle_claim first = claim_of(scene->settled, "the-first", "first");
    settle(scene->ledger, &first, 1, true);
    prepare_create(scene);
    snprintf(scene->texts[0][0], 32, "the-first");
    assert_ok(run_create(scene), "create");
}

void scene_fill(struct scene *scene) {
    prepare_drop(scene);
    prepare_import(scene);
    assert_ok(run_import(scene), "import");
}

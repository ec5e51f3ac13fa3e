/* Each call of the ledger, with each statement it sends failing in turn in each way, and each of
 * its allocations: what it returns is true. OK: it is done. A known failure: it is not. Ambiguous:
 * it is done or it is not, never by halves, and the same again tells. Afterwards the same ledger
 * works. For the stores that are SQL servers; the file's are tests/unit/ledger's. */
#include "failing.h"
#include "scene.h"

#include <stdio.h>

static bool is_known_failure(int status) {
    return status == STATUS_IO || status == STATUS_FULL || status == STATUS_NO_MEMORY;
}

/* Fails the nth statement of the call. Whether it has so many. */
static bool fail_writing(struct scene *scene, const struct writing *writing, enum failing_how how,
                         unsigned nth) {
    char what[80];
    snprintf(what, sizeof(what), "%s, %s at %u", writing->name, failing_name(how), nth);
    if (writing->prepare) {
        writing->prepare(scene);
    }
    uint64_t before = writing->look(scene);
    if (writing->prepare) {
        writing->prepare(scene);
    }
    failing_arm(how, nth);
    int status = writing->run(scene);
    bool failed = failing_disarm();
    wait_until_usable(scene, what);
    uint64_t step = writing->look(scene) - before;
    bool done = step == writing->step;
    if (step != 0 && !done) {
        fail_msg("%s: done by halves: %llu", what, (unsigned long long)step);
    }
    if (writing->step > 0 && (status == STATUS_OK) != done && status != STATUS_AMBIGUOUS) {
        fail_msg("%s: %s, but it is %s", what, status_name(status), done ? "done" : "not done");
    }
    if (!failed) {
        assert_ok(status, what);
    }
    if (status == STATUS_AMBIGUOUS && (how == FAILING_DEADLOCK || how == FAILING_MEMORY)) {
        fail_msg("%s: nothing is ambiguous about it", what);
    }
    if ((how == FAILING_CUT_BEFORE || how == FAILING_MEMORY) && status != STATUS_OK &&
        status != STATUS_AMBIGUOUS && !is_known_failure(status)) {
        fail_msg("%s: %s is no known failure", what, status_name(status));
    }
    return failed;
}

/* Fails every statement of each call; the ways take turns. */
static void fail_writings(void **state, const enum failing_how *ways, unsigned count) {
    struct scene scene;
    scene_begin(&scene, state);
    for (size_t i = 0; i < COUNT_OF(writings); i++) {
        unsigned nth = 1;
        while (fail_writing(&scene, &writings[i], ways[(nth + i) % count], nth)) {
            assert_true(++nth < STATEMENTS_MAX);
        }
        assert_true(nth > 1 || ways[0] == FAILING_MEMORY);
    }
    session_end(scene.session);
}

static void a_write_is_true_about_itself_when_the_connection_is_lost(void **state) {
    fail_writings(state, &(enum failing_how){FAILING_CUT_BEFORE}, 1);
}

static void a_write_is_true_about_itself_when_its_answer_is_lost(void **state) {
    fail_writings(state, &(enum failing_how){FAILING_CUT_AFTER}, 1);
}

static void a_write_is_true_about_itself_when_it_meets_a_deadlock(void **state) {
    fail_writings(state, &(enum failing_how){FAILING_DEADLOCK}, 1);
}

static void a_write_is_true_about_itself_when_there_is_no_memory(void **state) {
    fail_writings(state, &(enum failing_how){FAILING_MEMORY}, 1);
}

static void a_write_is_true_about_itself_whatever_the_server_says(void **state) {
    static const enum failing_how ways[] = {
        FAILING_DISK_FULL, FAILING_NO_TABLE,   FAILING_KEY,    FAILING_SERVER_MEMORY,
        FAILING_FORBIDDEN, FAILING_TABLE_FULL, FAILING_VALUE,  FAILING_DAMAGE,
        FAILING_CHANGED,   FAILING_READ_ONLY,  FAILING_KILLED, FAILING_SHUTDOWN};
    fail_writings(state, ways, COUNT_OF(ways));
}

static void fail_reads(struct scene *scene, size_t i, enum failing_how how) {
    assert_ok(reads[i].run(scene), reads[i].name);
    uint64_t right = scene->seen;
    for (unsigned nth = 1;; nth++) {
        assert_true(nth < STATEMENTS_MAX);
        failing_arm(how, nth);
        int status = reads[i].run(scene);
        bool failed = failing_disarm();
        if (status == STATUS_OK) {
            assert_int_equal(scene->seen, right);
        }
        if (!failed) {
            assert_ok(status, reads[i].name);
            return;
        }
        wait_until_usable(scene, reads[i].name);
    }
}

static void a_read_fails_or_tells_what_is_there(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    scene_fill(&scene);
    static const enum failing_how ways[] = {FAILING_CUT_BEFORE, FAILING_CUT_AFTER,
                                            FAILING_DISK_FULL, FAILING_MEMORY};
    for (size_t i = 0; i < COUNT_OF(reads); i++) {
        for (size_t way = 0; way < COUNT_OF(ways); way++) {
            fail_reads(&scene, i, ways[way]);
        }
    }
    session_end(scene.session);
}

/* A database for each try would be slow: the tables are dropped instead. */
static void tables_are_made_whole_or_not_at_all(void **state) {
    struct scene scene = {.state = state, .ledger = ledger_of(state)};
    bool failed = true;
    for (unsigned nth = 1; failed; nth++) {
        assert_true(nth < STATEMENTS_MAX);
        assert_sql(state,
                   "DROP TABLE IF EXISTS coupon_issues, coupon_imports, coupon_revisions, "
                   "coupon_rejects, coupon_creations, audits, partitions, coupons, "
                   "ledger_version, probes",
                   "");
        failing_arm(nth % 2 == 0 ? FAILING_CUT_BEFORE : FAILING_DISK_FULL, nth);
        int status = run_open(&scene);
        failed = failing_disarm();
        assert_true(status == STATUS_OK || failed);
        assert_ok(run_open(&scene), "open after a failure");
    }
}

static void a_ledger_opens_whole_or_not_at_all(void **state) {
    struct scene scene = {.state = state, .ledger = ledger_of(state)};
    static const enum failing_how ways[] = {FAILING_CUT_BEFORE, FAILING_CUT_AFTER,
                                            FAILING_DISK_FULL, FAILING_FORBIDDEN};
    bool failed = true;
    for (unsigned nth = 1; failed; nth++) {
        assert_true(nth < STATEMENTS_MAX);
        failing_arm(ways[nth % COUNT_OF(ways)], nth);
        int status = run_open(&scene);
        failed = failing_disarm();
        assert_true((status == STATUS_OK) == !failed);
    }
    do {
        failing_arm(FAILING_MEMORY, 1 + scene.serial++);
        int status = run_open(&scene);
        failed = failing_disarm();
        assert_true(status == (failed ? STATUS_NO_MEMORY : STATUS_OK));
    } while (failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(a_write_is_true_about_itself_when_the_connection_is_lost),
        with_ledger(a_write_is_true_about_itself_when_its_answer_is_lost),
        with_ledger(a_write_is_true_about_itself_when_it_meets_a_deadlock),
        with_ledger(a_write_is_true_about_itself_when_there_is_no_memory),
        with_ledger(a_write_is_true_about_itself_whatever_the_server_says),
        with_ledger(a_read_fails_or_tells_what_is_there),
        with_ledger(a_ledger_opens_whole_or_not_at_all),
        with_ledger(tables_are_made_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

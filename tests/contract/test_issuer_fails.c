/* The SQL issuer on a real server, with each statement that a job makes it send failing in turn:
 * what it answers is true (I3, I8), and it is ready again by itself. Not here: what the store makes
 * of such a failure (test_calls_fail.c). */
#include "claims.h"
#include "failing.h"
#include "issuer/issuer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READY_WAIT_MS  20000
#define STATEMENTS_MAX 100
#define CROWD          3
#define ROOM           10

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

struct scene {
    struct ledger *ledger; /* a look past the issuer */
    struct issuer *issuer;
    uint64_t coupon_id;
    unsigned serial;
    struct waiting waiting;
    char users[CROWD][32];
    struct claim claims[CROWD];
};

/* ---- the issuer ---- */

static void note_done(struct job *job) {
    struct waiting *waiting = job->context;
    pthread_mutex_lock(&waiting->lock);
    waiting->done = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

static void do_job(struct scene *scene, struct job *job) {
    struct waiting *waiting = &scene->waiting;
    waiting->done = false;
    job->done = note_done;
    job->context = waiting;
    assert_int_equal(issuer_submit(scene->issuer, job), STATUS_OK);
    pthread_mutex_lock(&waiting->lock);
    while (!waiting->done) {
        pthread_cond_wait(&waiting->changed, &waiting->lock);
    }
    pthread_mutex_unlock(&waiting->lock);
}

static void wait_until_ready(struct scene *scene) {
    for (int i = 0; i < READY_WAIT_MS && issuer_state(scene->issuer) != ISSUER_READY; i++) {
        usleep(1000);
    }
    assert_int_equal(issuer_state(scene->issuer), ISSUER_READY);
}

static struct issuer_sql_options options_of(void **state) {
    struct issuer_sql_options options;
    issuer_sql_options_default(&options);
    options.ledger.url = url_of(state);
    options.probe_interval_us = US_PER_SECOND / 100;
    options.refresh_interval_us = 3600 * US_PER_SECOND;
    return options;
}

static void scene_begin(struct scene *scene, void **state) {
    *scene =
        (struct scene){.ledger = ledger_of(state),
                       .waiting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false}};
    scene->coupon_id = add_open_coupon(scene->ledger, COUPON_UNLIMITED);
    struct issuer_sql_options options = options_of(state);
    assert_int_equal(issuer_sql_start(&options, &scene->issuer, &complaint), STATUS_OK);
    wait_until_ready(scene);
}

static void stop(struct issuer *issuer) {
    assert_int_equal(issuer_stop(issuer, &complaint), STATUS_OK);
    issuer_free(issuer);
}

static void scene_end(struct scene *scene) {
    stop(scene->issuer);
    assert_true(sound_issues(scene->ledger, scene->coupon_id) > 0);
}

/* ---- claims ---- */

/* Claims of new users, or of those who held one before; true when the failure was reached. */
static bool claim_failing(struct scene *scene, bool again, enum failing_how how, unsigned nth) {
    scene->serial += again ? 0 : 1;
    for (unsigned i = 0; i < CROWD; i++) {
        snprintf(scene->users[i], sizeof(scene->users[i]), "user-%u-%u", scene->serial, i);
        scene->claims[i] =
            (struct claim){.coupon_id = scene->coupon_id, .user_id = slice_of(scene->users[i])};
    }
    struct claim_batch batch = {
        .job = {.kind = JOB_CLAIMS}, .claims = scene->claims, .count = CROWD};
    failing_arm(how, nth);
    do_job(scene, &batch.job);
    return failing_disarm();
}

static void assert_verdict_is_true(struct scene *scene, const struct claim *claim) {
    struct issue_record held;
    int status = ledger_holding_read(scene->ledger, scene->coupon_id, claim->user_id, &held);
    switch (claim->verdict) {
    case VERDICT_ISSUED:
    case VERDICT_ALREADY_ISSUED:
        assert_int_equal(status, STATUS_OK);
        assert_int_equal(held.reference.rank, claim->rank);
        assert_int_equal(held.issued_at_us, claim->issued_at_us);
        return;
    case VERDICT_STORAGE_UNAVAILABLE:
        assert_int_equal(status, STATUS_NOT_FOUND);
        return;
    case VERDICT_OUTCOME_UNKNOWN:
        assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
        return;
    default:
        fail_msg("verdict %d", (int)claim->verdict);
    }
}

static void every_verdict_is_true_when(void **state, enum failing_how how) {
    struct scene scene;
    scene_begin(&scene, state);
    bool failed = true;
    unsigned told =
        0; /* claims that got an issue though something failed, and those that did not */
    unsigned refused = 0;
    for (unsigned nth = 1; failed; nth++) {
        assert_true(nth < STATEMENTS_MAX);
        failed = claim_failing(&scene, false, how, nth);
        for (size_t i = 0; i < CROWD; i++) {
            assert_verdict_is_true(&scene, &scene.claims[i]);
            told += scene.claims[i].verdict == VERDICT_ISSUED;
            refused += scene.claims[i].verdict != VERDICT_ISSUED;
        }
        if (!failed) {
            assert_int_equal(scene.claims[0].verdict, VERDICT_ISSUED);
        }
        wait_until_ready(&scene);
    }
    assert_true(told >= CROWD);
    assert_int_equal(refused % CROWD, 0);
    scene_end(&scene);
}

#define VERDICTS(name, how)                                                                        \
    static void name(void **state) {                                                               \
        every_verdict_is_true_when(state, how);                                                    \
    }
VERDICTS(every_verdict_is_true_when_the_connection_is_lost, FAILING_CUT_BEFORE)
VERDICTS(every_verdict_is_true_when_an_answer_is_lost, FAILING_CUT_AFTER)
VERDICTS(every_verdict_is_true_when_the_servers_disk_is_full, FAILING_DISK_FULL)
VERDICTS(every_verdict_is_true_when_there_is_no_memory, FAILING_MEMORY)

/* A coupon that refused lately is looked at before it is locked. */
static void a_look_that_fails_refuses_nobody(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    assert_false(claim_failing(&scene, false, FAILING_CUT_BEFORE, STATEMENTS_MAX));
    scene.coupon_id = add_open_coupon(scene.ledger, 0);
    (void)claim_failing(&scene, false, FAILING_CUT_BEFORE, STATEMENTS_MAX);
    assert_int_equal(scene.claims[0].verdict, VERDICT_SOLD_OUT);
    assert_true(claim_failing(&scene, true, FAILING_DISK_FULL, 1));
    assert_int_equal(scene.claims[0].verdict, VERDICT_STORAGE_UNAVAILABLE);
    wait_until_ready(&scene);
    assert_int_equal(issuer_figures(scene.issuer).commit_failures, 1);
    stop(scene.issuer);
}

/* One claim, and how many statements it took. */
static unsigned statements_of(struct scene *scene, const char *user, enum verdict verdict) {
    struct claim claim = {.coupon_id = scene->coupon_id, .user_id = slice_of(user)};
    struct claim_batch batch = {.job = {.kind = JOB_CLAIMS}, .claims = &claim, .count = 1};
    failing_arm(FAILING_CUT_BEFORE, STATEMENTS_MAX);
    do_job(scene, &batch.job);
    unsigned count = STATEMENTS_MAX - failing_left();
    assert_false(failing_disarm());
    assert_int_equal(claim.verdict, verdict);
    return count;
}

/* For a second, which may be over too soon on a busy machine: then it is tried again. A coupon that
 * is sold out locks nobody's row meanwhile, and who holds one and asks again changes nothing of it.
 */
static void a_coupon_that_refused_is_looked_at_and_not_locked(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    scene.coupon_id = add_open_coupon(scene.ledger, 1);
    (void)statements_of(&scene, "holder", VERDICT_ISSUED);
    assert_int_equal(issuer_figures(scene.issuer).commit_rows.sum, 1);
    unsigned settled = statements_of(&scene, "first", VERDICT_SOLD_OUT);
    unsigned looked = settled;
    for (int i = 0; i < STATEMENTS_MAX && looked == settled; i++) {
        (void)statements_of(&scene, "second", VERDICT_SOLD_OUT);
        (void)statements_of(&scene, "holder", VERDICT_ALREADY_ISSUED);
        looked = statements_of(&scene, "third", VERDICT_SOLD_OUT);
    }
    assert_true(looked < settled);
    scene_end(&scene);
}

/* As another node's operator does it. */
static void pause_past_the_issuer(struct scene *scene, bool paused) {
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(scene->ledger, scene->coupon_id, &coupon), STATUS_OK);
    coupon.version++;
    coupon.paused = paused;
    assert_int_equal(ledger_coupon_change(scene->ledger, &coupon, NULL, &complaint), STATUS_OK);
}

static void who_is_refused_no_more_is_issued_to_at_once(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    for (unsigned i = 0; i < 3; i++) {
        char user[16];
        snprintf(user, sizeof(user), "user-%u", i);
        pause_past_the_issuer(&scene, true);
        (void)statements_of(&scene, user, VERDICT_PAUSED);
        pause_past_the_issuer(&scene, false);
        (void)statements_of(&scene, user, VERDICT_ISSUED);
    }
    scene_end(&scene);
}

static void the_defaults_are_those_that_are_told(void **state) {
    struct issuer_sql_options sql;
    struct issuer_redis_options redis;
    (void)state;
    issuer_sql_options_default(&sql);
    issuer_redis_options_default(&redis);
    assert_int_equal(sql.queue_max, 65536);
    assert_int_equal(sql.probe_interval_us, 250000);
    assert_int_equal(sql.refresh_interval_us, 1000000);
    assert_int_equal(sql.outcome_timeout_us, 5000000);
    assert_int_equal(redis.queue_max, 65536);
    assert_int_equal(redis.answer_timeout_us, 3000000);
    assert_int_equal(redis.refresh_interval_us, 1000000);
}

static void who_asks_while_nothing_can_be_written_is_told_so(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    stop(scene.issuer);
    struct issuer_sql_options options = options_of(state);
    options.probe_interval_us = 3600 * US_PER_SECOND;
    assert_int_equal(issuer_sql_start(&options, &scene.issuer, &complaint), STATUS_OK);
    wait_until_ready(&scene);
    for (unsigned nth = 1; claim_failing(&scene, false, FAILING_DISK_FULL, nth) &&
                           scene.claims[0].verdict == VERDICT_ISSUED;
         nth++) {
        assert_true(nth < STATEMENTS_MAX);
    }
    assert_int_equal(scene.claims[0].verdict, VERDICT_STORAGE_UNAVAILABLE);
    assert_int_equal(issuer_state(scene.issuer), ISSUER_UNWRITABLE);
    uint64_t steps = issuer_figures(scene.issuer).step_claims.sum;
    (void)claim_failing(&scene, false, FAILING_DISK_FULL, STATEMENTS_MAX);
    assert_int_equal(scene.claims[0].verdict, VERDICT_STORAGE_UNAVAILABLE);
    assert_int_equal(issuer_figures(scene.issuer).step_claims.sum, steps); /* none was taken */
    struct command command = {.job = {.kind = JOB_COUPON_CREATE},
                              .coupon = coupon_example(COUPON_UNLIMITED)};
    do_job(&scene, &command.job);
    assert_int_equal(command.status, STATUS_IO);
    stop(scene.issuer);
}

/* What another program has written is published, without archived coupons. */
static void quantities_are_published_as_they_are_in_the_ledger(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    stop(scene.issuer);
    uint64_t second = add_open_coupon(scene.ledger, 5);
    struct settle_claim claims[] = {claim_of(scene.coupon_id, "a", "1"), claim_of(second, "a", "2"),
                                    claim_of(second, "b", "3")};
    settle(scene.ledger, claims, COUNT_OF(claims), true);
    struct issuer_sql_options options = options_of(state);
    options.refresh_interval_us = US_PER_SECOND / 100;
    assert_int_equal(issuer_sql_start(&options, &scene.issuer, &complaint), STATUS_OK);
    struct coupon_quantities found[ROOM];
    size_t count = 0;
    for (int i = 0; i < READY_WAIT_MS && issuer_figures(scene.issuer).issues != 3; i++) {
        usleep(1000);
    }
    count = issuer_quantities(scene.issuer, 0, ROOM, found);
    assert_int_equal(count, 2);
    assert_true(found[0].coupon_id == scene.coupon_id && found[0].issued_quantity == 1);
    assert_true(found[1].coupon_id == second && found[1].issued_quantity == 2);
    assert_int_equal(found[1].total_quantity, 5);
    struct coupon_record archived;
    assert_int_equal(ledger_coupon_read(scene.ledger, second, &archived), STATUS_OK);
    archived.version++;
    archived.archived_us = archived.updated_us;
    assert_int_equal(ledger_coupon_change(scene.ledger, &archived, NULL, &complaint), STATUS_OK);
    for (int i = 0; i < READY_WAIT_MS && issuer_figures(scene.issuer).coupons != 1; i++) {
        usleep(1000);
    }
    assert_int_equal(issuer_quantities(scene.issuer, 0, ROOM, found), 1);
    assert_int_equal(found[0].coupon_id, scene.coupon_id);
    scene_end(&scene);
}

/* ---- commands ---- */

struct room {
    struct coupon_record coupons[ROOM];
    struct issue_record issues[ROOM];
    struct audit_record audits[ROOM];
};

static struct command command_of(struct scene *scene, enum job_kind kind, struct room *room) {
    struct command command = {.job = {.kind = kind},
                              .coupon = coupon_example(COUPON_UNLIMITED),
                              .reference = {scene->coupon_id, 0},
                              .user_id = slice_of("holder"),
                              .limit = ROOM,
                              .coupons = room->coupons,
                              .issues = room->issues,
                              .audits = room->audits};
    if (kind == JOB_COUPON_CHANGE) {
        command.patch_set = PATCH_DISCOUNT_AMOUNT;
        command.coupon.discount_amount = (int64_t)++scene->serial;
    }
    if (kind == JOB_COUPON_READ || kind == JOB_COUPON_CHANGE) {
        command.coupon.id = scene->coupon_id;
    }
    if (kind == JOB_ISSUE_READ) {
        command.reference.rank = 1;
    }
    return command;
}

static bool is_failure(int status) {
    return status == STATUS_IO || status == STATUS_FULL || status == STATUS_NO_MEMORY ||
           status == STATUS_AMBIGUOUS;
}

static void assert_answer(struct scene *scene, const struct command *command) {
    struct coupon_record coupon;
    switch (command->job.kind) {
    case JOB_COUPON_CREATE:
    case JOB_COUPON_READ:
    case JOB_COUPON_CHANGE:
        assert_int_equal(ledger_coupon_read(scene->ledger, command->coupon.id, &coupon), STATUS_OK);
        assert_int_equal(coupon.version, command->coupon.version);
        assert_int_equal(coupon.discount_amount, command->coupon.discount_amount);
        return;
    case JOB_COUPONS_READ:
        assert_true(command->coupon_count > 0);
        return;
    case JOB_HOLDING_READ:
        assert_true(command->known);
        /* fall through */
    case JOB_ISSUE_READ:
    case JOB_CLAIM_READ:
        assert_int_equal(command->issue.reference.rank, 1);
        return;
    case JOB_ISSUES_READ:
        assert_int_equal(command->issue_count, 1);
        return;
    case JOB_USER_ISSUES_READ:
        assert_int_equal(command->holding_count, 1);
        return;
    case JOB_AUDITS_READ:
    case JOB_CLAIMS:
        return;
    }
}

/* Where it could not connect again it does not try for some milliseconds. */
static void wait_until_reading(struct scene *scene, struct room *room) {
    int status = STATUS_IO;
    for (int i = 0; i < READY_WAIT_MS && status != STATUS_OK; i++) {
        struct command command = command_of(scene, JOB_COUPON_READ, room);
        do_job(scene, &command.job);
        status = command.status;
        usleep(status ? 1000 : 0);
    }
    assert_int_equal(status, STATUS_OK);
}

static void a_command_fails_or_its_answer_is_true(void **state) {
    static struct room room;
    static const enum failing_how ways[] = {FAILING_CUT_BEFORE, FAILING_DISK_FULL, FAILING_MEMORY};
    struct scene scene;
    scene_begin(&scene, state);
    struct settle_claim first = claim_of(scene.coupon_id, "holder", "first");
    settle(scene.ledger, &first, 1, true);
    for (enum job_kind kind = JOB_COUPON_CREATE; kind <= JOB_CLAIM_READ; kind++) {
        for (size_t way = 0; way < COUNT_OF(ways); way++) {
            bool failed = true;
            for (unsigned nth = 1; failed; nth++) {
                assert_true(nth < STATEMENTS_MAX);
                struct command command = command_of(&scene, kind, &room);
                failing_arm(ways[way], nth);
                do_job(&scene, &command.job);
                failed = failing_disarm();
                if (command.status == STATUS_OK) {
                    assert_answer(&scene, &command);
                } else {
                    assert_true(failed && is_failure(command.status));
                }
                free(command.holdings);
                wait_until_ready(&scene);
                wait_until_reading(&scene, &room);
            }
        }
    }
    scene_end(&scene);
}

/* ---- the start ---- */

static void a_start_that_fails_says_why_and_leaves_nothing_behind(void **state) {
    static const enum failing_how ways[] = {FAILING_CUT_BEFORE, FAILING_DISK_FULL, FAILING_MEMORY};
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        bool failed = true;
        for (unsigned nth = 1; failed; nth += 3) { /* most are the ledger's, and tested there */
            struct issuer *issuer = NULL;
            struct issuer_sql_options options = options_of(state);
            complaint.text[0] = '\0';
            failing_arm(ways[way], nth);
            int status = issuer_sql_start(&options, &issuer, &complaint);
            failed = failing_disarm();
            if (status == STATUS_OK) {
                stop(issuer);
            } else {
                assert_true(failed && issuer == NULL && complaint.text[0] != '\0');
            }
        }
    }
}

static void every_allocation_of_a_start_may_fail(void **state) {
    bool failed = true;
    for (unsigned nth = 1; failed; nth++) {
        struct issuer *issuer = NULL;
        struct issuer_sql_options options = options_of(state);
        failing_arm(FAILING_MEMORY, nth);
        int status = issuer_sql_start(&options, &issuer, &complaint);
        failed = failing_disarm();
        if (status == STATUS_OK) {
            stop(issuer);
        } else {
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_null(issuer);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_ledger(every_verdict_is_true_when_the_connection_is_lost),
        with_ledger(every_verdict_is_true_when_an_answer_is_lost),
        with_ledger(every_verdict_is_true_when_the_servers_disk_is_full),
        with_ledger(every_verdict_is_true_when_there_is_no_memory),
        with_ledger(a_look_that_fails_refuses_nobody),
        with_ledger(a_coupon_that_refused_is_looked_at_and_not_locked),
        with_ledger(who_is_refused_no_more_is_issued_to_at_once),
        cmocka_unit_test(the_defaults_are_those_that_are_told),
        with_ledger(who_asks_while_nothing_can_be_written_is_told_so),
        with_ledger(quantities_are_published_as_they_are_in_the_ledger),
        with_ledger(a_command_fails_or_its_answer_is_true),
        with_ledger(a_start_that_fails_says_why_and_leaves_nothing_behind),
        with_ledger(every_allocation_of_a_start_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

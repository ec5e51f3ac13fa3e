/* The redis issuer and the queue behind it without memory or threads: each allocation fails in
 * turn, and what is told is true and comes in time; and a ledger that cannot be asked. */
#include "redis_scene.h"
#include "scripted.h"
#include "support/allocation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FAILURES_MAX 2000

/* ---- what fails ---- */

enum whose { ISSUERS, TESTS }; /* of the issuer's threads, or of the test's */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    pthread_t test;
    enum whose whose;
    unsigned left; /* until it fails; 0: none will */
    bool failed;
} armed;

static void arm(enum whose whose, unsigned nth) {
    pthread_mutex_lock(&lock);
    armed.test = pthread_self();
    armed.whose = whose;
    armed.left = nth;
    armed.failed = false;
    pthread_mutex_unlock(&lock);
}

/* Whether it was reached. */
static bool disarm(void) {
    pthread_mutex_lock(&lock);
    armed.left = 0;
    bool failed = armed.failed;
    pthread_mutex_unlock(&lock);
    return failed;
}

bool allocation_fails(void) {
    pthread_mutex_lock(&lock);
    bool meant = armed.left > 0 &&
                 (pthread_equal(pthread_self(), armed.test) != 0) == (armed.whose == TESTS);
    bool due = meant && --armed.left == 0;
    armed.failed = armed.failed || due;
    pthread_mutex_unlock(&lock);
    return due;
}

/* Counts as one: what the system refuses. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument) {
    return allocation_fails() ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}

int __real_uv_loop_init(uv_loop_t *loop);
int __wrap_uv_loop_init(uv_loop_t *loop);
int __wrap_uv_loop_init(uv_loop_t *loop) {
    return allocation_fails() ? UV_ENOMEM : __real_uv_loop_init(loop);
}

/* ---- the start ---- */

static void every_allocation_of_a_start_may_fail(void **state) {
    struct scene scene;
    bool failed = true;
    unsigned refused = 0;
    scene_begin(&scene, state);
    for (unsigned nth = 1; failed; nth++) {
        struct issuer *issuer = NULL;
        struct issuer_redis_options options = scene_options(&scene, state);
        complaint.text[0] = '\0';
        arm(TESTS, nth);
        int status = issuer_redis_start(&options, &issuer, &complaint);
        failed = disarm();
        assert_true(nth < FAILURES_MAX);
        if (status == STATUS_OK) {
            assert_int_equal(issuer_stop(issuer, &complaint), STATUS_OK);
            issuer_free(issuer);
        } else {
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_true(failed && issuer == NULL && complaint.text[0] != '\0');
            refused++;
        }
    }
    assert_true(refused > 10);
    scene_end(&scene);
}

/* ---- claims ---- */

/* Who got no place for want of memory is told so, and nobody waits for a deadline. */
static void assert_true_verdict(struct scene *scene, const struct claim *claim) {
    struct issue_record held;
    int status = ledger_holding_read(scene->ledger, scene->coupon_id, claim->user_id, &held);
    if (claim->verdict == VERDICT_ISSUED) {
        assert_int_equal(status, STATUS_OK);
        assert_int_equal(held.reference.rank, claim->rank);
        assert_int_equal(held.issued_at_us, claim->issued_at_us);
    } else {
        assert_int_equal(claim->verdict, VERDICT_OVERLOADED);
        assert_int_equal(status, STATUS_NOT_FOUND);
    }
}

static void every_verdict_is_true_whichever_allocation_fails(struct scene *scene, enum whose whose,
                                                             bool anew) {
    bool failed = true;
    unsigned issued = 0;
    for (unsigned nth = 1; failed; nth++) {
        struct crowd crowd;
        char user[32];
        snprintf(user, sizeof(user), "user-%d-%u", (int)whose, nth);
        assert_true(nth < FAILURES_MAX);
        if (anew) {
            redis_empty(scene); /* the gate is opened, and the coupon loaded */
        }
        arm(whose, nth);
        crowd_begin(scene, &crowd, user, 2);
        crowd_settled(scene, &crowd);
        failed = disarm();
        assert_true_verdict(scene, &crowd.claims[0]);
        assert_true_verdict(scene, &crowd.claims[1]);
        issued += crowd.claims[0].verdict == VERDICT_ISSUED;
    }
    assert_true(issued > 1);
}

static void verdicts_are_true_when_the_issuer_has_no_memory(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    scene_start(&scene, state, LONG_MS);
    every_verdict_is_true_whichever_allocation_fails(&scene, ISSUERS, true);
    scene_end(&scene);
}

/* Who holds one is told so by the ledger, which has to be asked. */
static void a_holder_is_told_so_or_that_there_is_no_memory(void **state) {
    struct scene scene;
    bool failed = true;
    unsigned told = 0;
    scene_begin(&scene, state);
    scene_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "holder", VERDICT_ISSUED, 1);
    for (unsigned nth = 1; failed; nth++) {
        assert_true(nth < FAILURES_MAX);
        arm(ISSUERS, nth);
        struct claim again = claim_once(&scene, "holder");
        failed = disarm();
        assert_true(again.verdict == VERDICT_ALREADY_ISSUED || again.verdict == VERDICT_OVERLOADED);
        assert_true(again.verdict == VERDICT_OVERLOADED || again.rank == 1);
        told += again.verdict == VERDICT_ALREADY_ISSUED;
    }
    assert_true(told > 1);
    scene_end(&scene);
}

static void verdicts_are_true_when_the_worker_has_no_memory(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    scene_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "first", VERDICT_ISSUED, 1);
    every_verdict_is_true_whichever_allocation_fails(&scene, TESTS, false);
    scene_end(&scene);
}

/* ---- a ledger that cannot be asked ---- */

static void run_sql(void **state, const char *sql) {
    void *session = session_begin(state);
    free(session_ask(session, sql));
    session_end(session);
}

/* A refusal that may be wrong, as Redis does not know all holders, is never passed on. */
static void a_refusal_that_cannot_be_looked_up_is_none(void **state) {
    struct scene scene;
    struct crowd crowd;
    scene_begin(&scene, state);
    struct issuer_redis_options options = scene_options(&scene, state);
    options.refresh_interval_us = US_PER_SECOND / 50;
    options.answer_timeout_us = US_PER_SECOND / 2;
    scene_start_with(&scene, &options);
    (void)claim_once(&scene, "first");
    run_sql(state, "ALTER TABLE partitions RENAME TO away");
    wait_until(issuer_state(scene.issuer) == ISSUER_UNWRITABLE);
    scripted("coupon_claim", SCRIPTED_SAYS, "*5|$2|ok|$1|0|$1|0|$1|0|$1|o|", 1);
    crowd_begin(&scene, &crowd, "second", 1);
    crowd_unsettled(&scene, &crowd);
    assert_int_equal(crowd.claims[0].verdict, VERDICT_STORAGE_UNAVAILABLE);
    run_sql(state, "ALTER TABLE away RENAME TO partitions");
    wait_until(issuer_state(scene.issuer) == ISSUER_READY);
    scene_stop(&scene);
    scene_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "second", VERDICT_ISSUED, 2);
    scene_end(&scene);
}

/* All in one ledger, as in test_redis_issuer.c. */
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_a_start_may_fail),
        cmocka_unit_test(verdicts_are_true_when_the_issuer_has_no_memory),
        cmocka_unit_test(a_holder_is_told_so_or_that_there_is_no_memory),
        cmocka_unit_test(verdicts_are_true_when_the_worker_has_no_memory),
        cmocka_unit_test(a_refusal_that_cannot_be_looked_up_is_none),
    };
    return cmocka_run_group_tests(tests, place_setup, place_teardown);
}

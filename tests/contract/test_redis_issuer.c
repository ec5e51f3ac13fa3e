/* What the redis issuer tells claimers when Redis answers late, not at all, or in another form than
 * coupon.lua does, and when the ledger is silent: never a refusal that is not true (I6), never two
 * issues (I2), and by itself ready again. */
#include "redis_scene.h"
#include "scripted.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool says_why(struct scene *scene, const char *words) {
    pthread_mutex_lock(&scene->lock);
    bool says = strstr(scene->why, words) != NULL;
    pthread_mutex_unlock(&scene->lock);
    return says;
}

/* ---- answers of another form ---- */

static void an_answer_of_another_form_refuses_nobody_for_good(void **state) {
    static const struct {
        const char *answer;
        const char *why;
    } cases[] = {
        {":5|", "another form"},
        {"$2|ok|", "another form"},
        {"*0|", "another form"},
        {"*1|:1|", "another form"},
        {"*1|$5|maybe|", "another form"},
        {"*4|$2|ok|$1|0|$1|1|$1|0|", "another form"},
        {"*6|$2|ok|$1|0|$1|1|$1|0|$1|p|$1|p|", "another form"},
        {"*5|$2|ok|$1|0|$1|1|$1|0|:7|", "another form"},
        {"-ERR it is so|", "ERR it is so"},
    };
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char user[16];
        snprintf(user, sizeof(user), "user-%zu", i);
        scripted("coupon_claim", SCRIPTED_SAYS, cases[i].answer, 1);
        assert_claimed(&scene, user, VERDICT_STORAGE_UNAVAILABLE, 0);
        wait_until(issuer_state(scene.issuer) == ISSUER_UNWRITABLE);
        assert_true(says_why(&scene, cases[i].why));
        assert_claimed(&scene, user, VERDICT_ISSUED, i + 2);
        wait_until(issuer_state(scene.issuer) == ISSUER_READY);
    }
    scene_end(&scene);
}

static void a_verdict_of_another_form_is_looked_up_in_the_ledger(void **state) {
    static const char *const verdicts[] = {"",     "x",     "a",       "a:0:0", "a:1", "a:x:0",
                                           "a1:0", "d:1:x", "d:c:0:0", "s",     "s:x", "s:1x"};
    static char answers[COUNT_OF(verdicts)][64];
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    for (size_t i = 0; i < COUNT_OF(verdicts); i++) {
        char user[16];
        snprintf(user, sizeof(user), "user-%zu", i);
        snprintf(answers[i], sizeof(answers[i]), "*5|$2|ok|$1|0|$1|1|$1|0|$%zu|%s|",
                 strlen(verdicts[i]), verdicts[i]);
        uint64_t asked_again = issuer_figures(scene.issuer).queue.asked_again;
        uint64_t admitted = issuer_figures(scene.issuer).queue.admitted;
        scripted("coupon_claim", SCRIPTED_SAYS, answers[i], 1);
        assert_claimed(&scene, user, VERDICT_ISSUED, i + 2);
        assert_int_equal(issuer_figures(scene.issuer).queue.asked_again, asked_again + 1);
        assert_int_equal(issuer_figures(scene.issuer).queue.admitted, admitted + 1);
        assert_true(scripted_end());
        scripted("coupon_claim", SCRIPTED_SAYS, answers[i], 1);
        assert_claimed(&scene, user, VERDICT_ALREADY_ISSUED, i + 2);
        assert_true(scripted_end());
    }
    scene_end(&scene);
}

/* Whether the place is settled already is then learned from the ledger. */
static void a_count_of_settled_entries_that_cannot_be_read_costs_nothing(void **state) {
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    scripted("coupon_claim", SCRIPTED_DOES, "*5|$2|ok|$1|x|$1|1|$1|0|$5|a:2:0|", 1);
    assert_claimed(&scene, "second", VERDICT_ISSUED, 2);
    scene_end(&scene);
}

/* ---- answers that are lost ---- */

static uint64_t entries_of(struct scene *scene) {
    struct partition_status status;
    struct ledger_cursor cursors[PARTITION_COUNT];
    assert_int_equal(ledger_cursors_read(scene->ledger, cursors), STATUS_OK);
    assert_int_equal(partition_status_read(scene->worker, scene->partition,
                                           cursors[scene->partition].epoch, &status, &complaint),
                     STATUS_OK);
    return status.n;
}

static void a_claim_whose_answer_is_lost_is_admitted_once(void **state) {
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    scripted("coupon_claim", SCRIPTED_LOST, NULL, 2);
    assert_claimed(&scene, "second", VERDICT_ISSUED, 2);
    assert_int_equal(entries_of(&scene), 2);
    scene_end(&scene);
}

static void a_call_that_is_not_taken_is_made_again(void **state) {
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    scripted("coupon_claim", SCRIPTED_NOT_TAKEN, NULL, 2);
    assert_claimed(&scene, "second", VERDICT_ISSUED, 2);
    scripted("coupon_claim", SCRIPTED_NOT_DONE, NULL, 1);
    assert_claimed(&scene, "third", VERDICT_ISSUED, 3);
    scene_end(&scene);
}

/* And not more often than every RETRY_MS, whatever the reason that it was not done. */
static void a_call_that_cannot_be_made_is_tried_again_after_a_while(void **state) {
    enum { RETRY_MS = 50 };
    struct scene scene;
    scene_warm(&scene, state, SHORT_MS);
    scripted("coupon_claim", SCRIPTED_NOT_DONE, NULL, OFTEN);
    int64_t begin_us = clock_monotonic_us();
    assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_STORAGE_UNAVAILABLE);
    unsigned tries = OFTEN - scripted_left();
    assert_in_range(tries, 2, 1 + (clock_monotonic_us() - begin_us) / 1000 / RETRY_MS);
    assert_false(scripted_end());
    assert_claimed(&scene, "second", VERDICT_ISSUED, 2);
    scene_end(&scene);
}

/* Who may have been admitted is not told that nothing was done. */
static void what_may_have_been_admitted_is_called_unknown(void **state) {
    struct scene scene;
    scene_warm(&scene, state, SHORT_MS);
    scripted("coupon_claim", SCRIPTED_LOST, NULL, 1);
    scripted("coupon_claim", SCRIPTED_SAYS, "*0|", 1);
    assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_OUTCOME_UNKNOWN);
    assert_claimed(&scene, "second", VERDICT_ALREADY_ISSUED, 2);
    scripted("coupon_claim", SCRIPTED_LOST, NULL, 1);
    scripted("coupon_claim", SCRIPTED_NOT_DONE, NULL, OFTEN);
    assert_int_equal(verdict_unsettled(&scene, "third"), VERDICT_OUTCOME_UNKNOWN);
    assert_false(scripted_end());
    assert_claimed(&scene, "third", VERDICT_ALREADY_ISSUED, 3);
    scene_end(&scene);
}

/* The call without an answer may be carried out when the coupon has started. */
static void who_may_be_admitted_yet_is_not_told_that_it_has_not_started(void **state) {
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    scripted("coupon_claim", SCRIPTED_SAYS, "*5|$2|ok|$1|0|$1|1|$1|0|$18|s:1900000000000000|", 1);
    assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_NOT_STARTED);
    scripted("coupon_claim", SCRIPTED_LOST, NULL, 1);
    scripted("coupon_claim", SCRIPTED_SAYS, "*5|$2|ok|$1|0|$1|1|$1|0|$18|s:1900000000000000|", 1);
    assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_OUTCOME_UNKNOWN);
    worker_turn(&scene);
    assert_claimed(&scene, "second", VERDICT_ALREADY_ISSUED, 2);
    assert_true(scripted_end());
    scene_end(&scene);
}

/* Nor that there is no such coupon: the id may be given to one. */
static void who_may_be_admitted_yet_is_not_told_that_there_is_no_coupon(void **state) {
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    uint64_t known = scene.coupon_id;
    scene.coupon_id = known + PARTITION_COUNT; /* of the same partition */
    assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_NO_SUCH_COUPON);
    scripted("coupon_claim", SCRIPTED_LOST, NULL, 1);
    assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_OUTCOME_UNKNOWN);
    assert_true(scripted_end());
    scene.coupon_id = known;
    scene_end(&scene);
}

/* All seats are taken, and the one who has the seat is not settled: that is not sold out (I6). */
static void who_finds_all_seats_taken_waits_and_is_not_told_sold_out(void **state) {
    struct scene scene;
    struct crowd holder;
    scene_begin(&scene, state);
    scene.coupon_id = add_open_coupon(scene.ledger, 1);
    scene.partition = partition_of(scene.coupon_id);
    scene_start(&scene, state, SHORT_MS);
    crowd_begin(&scene, &holder, "holder", 1);
    assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_OVERLOADED);
    scripted("coupon_claim", SCRIPTED_LOST, NULL, 1);
    assert_int_equal(verdict_unsettled(&scene, "third"), VERDICT_OUTCOME_UNKNOWN);
    crowd_unsettled(&scene, &holder);
    assert_int_equal(holder.claims[0].verdict, VERDICT_ADMITTED);
    assert_int_equal(holder.claims[0].queue_n, 1);
    worker_turn(&scene);
    assert_claimed(&scene, "second", VERDICT_SOLD_OUT, 0);
    assert_claimed(&scene, "holder", VERDICT_ALREADY_ISSUED, 1);
    assert_int_equal(issuer_figures(scene.issuer).queue.late, 1);
    scene_end(&scene);
}

/* Redis' refusal by this moment of its clock, when it does not know all who hold one. */
static const char *ended_at(int64_t redis_us) {
    static char answer[80];
    snprintf(answer, sizeof(answer), "*5|$2|ok|$1|0|$1|0|$16|%lld|$1|e|", (long long)redis_us);
    return answer;
}

static void a_refusal_is_looked_at_by_the_clock_that_refused(void **state) {
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    const char *answer = ended_at(server_now_us(scene.ledger) + 48 * HOUR_US);
    scripted("coupon_claim", SCRIPTED_SAYS, answer, 2);
    assert_claimed(&scene, "late", VERDICT_ENDED, 0);
    assert_claimed(&scene, "first", VERDICT_ALREADY_ISSUED, 1);
    assert_true(scripted_end());
    assert_int_equal(issuer_figures(scene.issuer).queue.asked_again, 0);
    scene_end(&scene);
}

/* The two do not agree until one of them changes: no reason to ask thousands of times. */
static void what_redis_refuses_and_the_ledger_does_not_is_asked_again_at_leisure(void **state) {
    struct scene scene;
    scene_warm(&scene, state, SHORT_MS);
    scripted("coupon_claim", SCRIPTED_SAYS, ended_at(server_now_us(scene.ledger)), OFTEN);
    assert_int_equal(verdict_unsettled(&scene, "late"), VERDICT_OVERLOADED);
    assert_true(scripted_left() > OFTEN / 2);
    assert_false(scripted_end());
    assert_claimed(&scene, "late", VERDICT_ISSUED, 2);
    scene_end(&scene);
}

static void ids_that_no_coupon_can_have_are_asked_of_nobody(void **state) {
    static const uint64_t ids[] = {0, (uint64_t)JSON_INTEGER_MAX + 1, UINT64_MAX};
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    uint64_t known = scene.coupon_id;
    uint64_t calls = issuer_figures(scene.issuer).step_claims.sum;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        scene.coupon_id = ids[i];
        assert_int_equal(verdict_unsettled(&scene, "second"), VERDICT_NO_SUCH_COUPON);
    }
    assert_int_equal(issuer_figures(scene.issuer).step_claims.sum, calls);
    scene.coupon_id = known;
    scene_end(&scene);
}

/* ---- what the keeper does for claims ---- */

static void a_coupon_that_cannot_be_loaded_is_loaded_when_it_can(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    scene_start(&scene, state, LONG_MS);
    scripted("coupon_load", SCRIPTED_SAYS, "-ERR not now|", 1);
    scripted("coupon_load", SCRIPTED_NOT_DONE, NULL, 1);
    scripted("coupon_load", SCRIPTED_SAYS, "*3|$6|closed|$1|1|$6|replid|", 1);
    scripted("coupon_load", SCRIPTED_LOST, NULL, 1);
    assert_claimed(&scene, "first", VERDICT_ISSUED, 1);
    scene_end(&scene);
}

static void a_gate_that_cannot_be_opened_is_opened_when_it_can(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    scene_start(&scene, state, LONG_MS);
    scripted("coupon_status", SCRIPTED_SAYS, "*1|$2|ok|", 1);
    scripted("coupon_open", SCRIPTED_SAYS, "*2|$2|ok|$1|x|", 1);
    scripted("coupon_open", SCRIPTED_SAYS, "*3|$6|closed|$1|1|$6|replid|", 1);
    scripted("coupon_open", SCRIPTED_LOST, NULL, 1);
    assert_claimed(&scene, "first", VERDICT_ISSUED, 1);
    scene_end(&scene);
}

/* Longer than a claim waits: nothing was admitted, and it is told so. */
static void a_claim_does_not_wait_for_the_keeper_beyond_its_deadline(void **state) {
    struct scene scene;
    scene_begin(&scene, state);
    scene_start(&scene, state, SHORT_MS);
    scripted("coupon_open", SCRIPTED_LATE, "0.5", 1);
    assert_int_equal(verdict_unsettled(&scene, "first"), VERDICT_STORAGE_UNAVAILABLE);
    wait_until(scripted_is_met());
    scripted("coupon_load", SCRIPTED_LATE, "0.5", 1);
    struct crowd crowds[2];
    crowd_begin(&scene, &crowds[0], "second", 1);
    crowd_begin(&scene, &crowds[1], "third", 1); /* the coupon is being loaded already */
    for (size_t i = 0; i < COUNT_OF(crowds); i++) {
        crowd_unsettled(&scene, &crowds[i]);
        assert_int_equal(crowds[i].claims[0].verdict, VERDICT_STORAGE_UNAVAILABLE);
    }
    scene_stop(&scene); /* while it is */
    scene_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "first", VERDICT_ISSUED, 1);
    scene_end(&scene);
}

static void who_comes_while_redis_is_asked_waits_no_longer_than_it_may(void **state) {
    struct scene scene;
    struct crowd asked, gathered;
    scene_warm(&scene, state, LONG_MS);
    scene_stop_and_start(&scene, state, SHORT_MS);
    scripted("coupon_claim", SCRIPTED_LATE, "0.5", 1);
    crowd_begin(&scene, &asked, "asked", 1);
    wait_until(scripted_is_met());
    crowd_begin(&scene, &gathered, "gathered", 1);
    crowd_unsettled(&scene, &gathered);
    assert_int_equal(gathered.claims[0].verdict, VERDICT_STORAGE_UNAVAILABLE);
    crowd_unsettled(&scene, &asked);
    assert_int_equal(asked.claims[0].verdict, VERDICT_ADMITTED);
    worker_turn(&scene);
    assert_claimed(&scene, "asked", VERDICT_ALREADY_ISSUED, 2);
    assert_claimed(&scene, "gathered", VERDICT_ISSUED, 3);
    scene_end(&scene);
}

/* ---- messages ---- */

static void publish(struct scene *scene, const char *message) {
    redis_do(scene, (const char *const[]){"PUBLISH", PARTITION_CHANNEL_SETTLED, message}, 3);
}

/* Who waits is told by a message that is about its own entry, and by no other. Each says something
 * of the entry behind the last one: a lie, which is looked up or passed over. */
static void messages_that_are_not_about_a_claim_do_not_answer_it(void **state) {
    static const char *const messages[] = {
        "garbage %02u",
        "%02u 1 x",
        "%02u 1 %u 7 x 0123456789abcdef0123456789abcdef",
        "%02u 1 0",
        "%02u 2 %u",
        "%02u 1 %u 7 1760000000000000 0123456789abcdef0123456789abcdef", /* of another node */
        "%02u 1 %u 7 1760000000000000 short",
        "%02u 1 %u 0 0 -",
        "%02u 1 9 0 0 -",
    };
    struct scene scene;
    scene_warm(&scene, state, LONG_MS);
    for (unsigned i = 0; i < COUNT_OF(messages); i++) {
        char text[128], user[16];
        struct crowd crowd;
        snprintf(user, sizeof(user), "user-%u", i);
        crowd_begin(&scene, &crowd, user, 1);
        wait_until(entries_of(&scene) == i + 2);
        snprintf(text, sizeof(text), messages[i], scene.partition, i + 1);
        publish(&scene, text);
        assert_false(handed_is_done(&crowd.handed));
        crowd_settled(&scene, &crowd);
        assert_int_equal(crowd.claims[0].verdict, VERDICT_ISSUED);
        assert_int_equal(crowd.claims[0].rank, i + 2);
    }
    scene_end(&scene);
}

static void a_claim_that_was_lost_with_its_queue_is_admitted_anew(void **state) {
    struct scene scene;
    struct crowd crowd;
    uint64_t epoch = 0;
    scene_warm(&scene, state, LONG_MS);
    crowd_begin(&scene, &crowd, "second", 2);
    wait_until(entries_of(&scene) == 2);
    redis_empty(&scene);
    assert_int_equal(partition_reopen(scene.worker, scene.partition, true, &epoch, &complaint),
                     STATUS_OK);
    assert_int_equal(epoch, 2);
    crowd_settled(&scene, &crowd);
    assert_int_equal(crowd.claims[0].verdict, VERDICT_ISSUED);
    assert_int_equal(crowd.claims[0].rank + crowd.claims[1].rank, 2 + 3);
    assert_true(issuer_figures(scene.issuer).queue.asked_again >= 1);
    scene_end(&scene);
}

/* ---- a ledger that does not answer ---- */

static void nobody_waits_for_a_silent_ledger_beyond_the_deadline(void **state) {
    struct scene scene;
    struct crowd crowd;
    scene_warm(&scene, state, LONG_MS);
    scene_stop_and_start(&scene, state, SHORT_MS);
    void *locked = partitions_locked(state);
    crowd_begin(&scene, &crowd, "second", 1);
    crowd_unsettled(&scene, &crowd);
    assert_int_equal(crowd.claims[0].verdict, VERDICT_ADMITTED);
    assert_true(crowd.claims[0].queue_epoch == 1 && crowd.claims[0].queue_n == 2);
    scripted("coupon_claim", SCRIPTED_SAYS, "*5|$2|ok|$1|0|$1|1|$1|0|$1|x|", 1);
    assert_int_equal(verdict_unsettled(&scene, "third"), VERDICT_STORAGE_UNAVAILABLE);
    wait_until(issuer_state(scene.issuer) == ISSUER_UNWRITABLE);
    assert_true(says_why(&scene, "the SQL server does not answer"));
    session_end(locked);
    assert_claimed(&scene, "third", VERDICT_ISSUED, 3);
    wait_until(issuer_state(scene.issuer) == ISSUER_READY);
    assert_claimed(&scene, "second", VERDICT_ALREADY_ISSUED, 2);
    scene_end(&scene);
}

/* Warm, and with room for so many questions. The next answers to a crowd send it to the ledger. */
static void scene_unsure(struct scene *scene, void **state, size_t room,
                         int64_t answer_timeout_ms) {
    scene_warm(scene, state, LONG_MS);
    scene_stop(scene);
    struct issuer_redis_options options = scene_options(scene, state);
    options.queue_max = room;
    options.answer_timeout_us = answer_timeout_ms * 1000;
    scene_start_with(scene, &options);
    assert_claimed(scene, "first", VERDICT_ALREADY_ISSUED, 1);
    wait_until(issuer_figures(scene->issuer).queue.questions == 0);
    scripted("coupon_claim", SCRIPTED_SAYS, "*8|$2|ok|$1|0|$1|1|$1|0|$1|x|$1|x|$1|x|$1|x|", 1);
}

static void assert_crowd(const struct crowd *crowd, enum verdict verdict) {
    for (size_t i = 0; i < CROWD_MAX; i++) {
        assert_int_equal(crowd->claims[i].verdict, verdict);
    }
}

/* Questions outlive the claims that wait for their answers, and may not grow for ever. */
static void the_ledger_is_asked_about_as_many_claims_as_may_wait(void **state) {
    enum { ROOM = 2 };
    struct scene scene;
    struct crowd crowd;
    scene_unsure(&scene, state, ROOM, SHORT_MS);
    void *locked = partitions_locked(state);
    crowd_begin(&scene, &crowd, "crowd", CROWD_MAX); /* all at once: it is alone */
    wait_until(issuer_figures(scene.issuer).queue.questions == ROOM);
    crowd_unsettled(&scene, &crowd);
    assert_crowd(&crowd, VERDICT_STORAGE_UNAVAILABLE);
    session_end(locked);
    wait_until(issuer_figures(scene.issuer).queue.questions == 0);
    scene_stop_and_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "crowd-0", VERDICT_ISSUED, 2);
    scene_end(&scene);
}

/* Who finds no room for a question is asked about when there is some. */
static void whoever_finds_no_room_for_a_question_is_asked_about_later(void **state) {
    struct scene scene;
    struct crowd crowd;
    scene_unsure(&scene, state, 1, LONG_MS);
    crowd_begin(&scene, &crowd, "crowd", CROWD_MAX);
    crowd_settled(&scene, &crowd);
    assert_crowd(&crowd, VERDICT_ISSUED);
    assert_true(scripted_end());
    scene_end(&scene);
}

static void a_stop_answers_what_is_in_hand(void **state) {
    struct scene scene;
    struct crowd crowd, late;
    scene_warm(&scene, state, LONG_MS);
    scene_stop_and_start(&scene, state, SHORT_MS);
    void *locked = partitions_locked(state);
    crowd_begin(&scene, &crowd, "second", 1);
    assert_int_equal(issuer_stop(scene.issuer, &complaint), STATUS_OK);
    assert_true(handed_is_done(&crowd.handed));
    assert_int_equal(crowd.claims[0].verdict, VERDICT_ADMITTED);
    late.claims[0] = crowd.claims[0];
    late.batch = (struct claim_batch){
        .job = {.kind = JOB_CLAIMS, .done = never_done}, .claims = late.claims, .count = 1};
    assert_int_equal(issuer_submit(scene.issuer, &late.batch.job), STATUS_STOPPED);
    assert_int_equal(issuer_figures(scene.issuer).queue_depth, 0);
    issuer_free(scene.issuer);
    session_end(locked);
    scene_start(&scene, state, LONG_MS);
    assert_claimed(&scene, "second", VERDICT_ALREADY_ISSUED, 2);
    scene_end(&scene);
}

/* All in one ledger: every coupon has a partition of its own, whose first epoch is 1. */
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_of_another_form_refuses_nobody_for_good),
        cmocka_unit_test(a_verdict_of_another_form_is_looked_up_in_the_ledger),
        cmocka_unit_test(a_count_of_settled_entries_that_cannot_be_read_costs_nothing),
        cmocka_unit_test(a_claim_whose_answer_is_lost_is_admitted_once),
        cmocka_unit_test(a_call_that_is_not_taken_is_made_again),
        cmocka_unit_test(a_call_that_cannot_be_made_is_tried_again_after_a_while),
        cmocka_unit_test(what_may_have_been_admitted_is_called_unknown),
        cmocka_unit_test(who_may_be_admitted_yet_is_not_told_that_it_has_not_started),
        cmocka_unit_test(who_may_be_admitted_yet_is_not_told_that_there_is_no_coupon),
        cmocka_unit_test(who_finds_all_seats_taken_waits_and_is_not_told_sold_out),
        cmocka_unit_test(ids_that_no_coupon_can_have_are_asked_of_nobody),
        cmocka_unit_test(a_coupon_that_cannot_be_loaded_is_loaded_when_it_can),
        cmocka_unit_test(a_gate_that_cannot_be_opened_is_opened_when_it_can),
        cmocka_unit_test(a_claim_does_not_wait_for_the_keeper_beyond_its_deadline),
        cmocka_unit_test(who_comes_while_redis_is_asked_waits_no_longer_than_it_may),
        cmocka_unit_test(messages_that_are_not_about_a_claim_do_not_answer_it),
        cmocka_unit_test(a_claim_that_was_lost_with_its_queue_is_admitted_anew),
        cmocka_unit_test(nobody_waits_for_a_silent_ledger_beyond_the_deadline),
        cmocka_unit_test(the_ledger_is_asked_about_as_many_claims_as_may_wait),
        cmocka_unit_test(whoever_finds_no_room_for_a_question_is_asked_about_later),
        cmocka_unit_test(a_refusal_is_looked_at_by_the_clock_that_refused),
        cmocka_unit_test(what_redis_refuses_and_the_ledger_does_not_is_asked_again_at_leisure),
        cmocka_unit_test(a_stop_answers_what_is_in_hand),
    };
    return cmocka_run_group_tests(tests, place_setup, place_teardown);
}

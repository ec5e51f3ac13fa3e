/* The queue between Redis and the ledger (src/partition) when something is missing in it, when a
 * worker ended between its COMMIT and telling Redis, when another was faster, and when Redis
 * answers in another form than coupon.lua does. */
#include "redis_scene.h"
#include "scripted.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLAIMS_MAX 4

/* ---- claims, made of Redis without an issuer ---- */

struct place {
    struct scene scene;
    struct partition_link *other; /* of another worker */
    uint64_t epoch;
    unsigned serial;
    char verdicts[CLAIMS_MAX][64];
};

static int verdicts_take(void *context, const redisReply *reply) {
    struct place *place = context;
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_true(reply->elements > 4 && reply->elements <= 4 + CLAIMS_MAX);
    for (size_t i = 4; i < reply->elements; i++) {
        snprintf(place->verdicts[i - 4], sizeof(place->verdicts[0]), "%s", reply->element[i]->str);
    }
    return STATUS_OK;
}

/* Claims of these users, as one call; place->verdicts has what Redis says. */
static void claim(struct place *place, const char *const *users, size_t count) {
    uint64_t id = place->scene.coupon_id;
    struct partition_key gate = partition_key_gate(place->scene.partition);
    struct partition_key meta = partition_key_meta(id);
    struct partition_key holders = partition_key_holders(id, place->epoch);
    struct partition_key queue = partition_key_queue(place->scene.partition, place->epoch);
    char numbers[3][24], names[CLAIMS_MAX][40];
    struct slice words[10 + 3 * CLAIMS_MAX] = {
        slice_of("FCALL"),         slice_of("coupon_claim"),  slice_of("4"),
        partition_key_view(&gate), partition_key_view(&meta), partition_key_view(&holders),
        partition_key_view(&queue)};
    snprintf(numbers[0], sizeof(numbers[0]), "%llu", (unsigned long long)place->epoch);
    snprintf(numbers[1], sizeof(numbers[1]), "%llu", (unsigned long long)id);
    snprintf(numbers[2], sizeof(numbers[2]), "%zu", count);
    for (size_t i = 0; i < 3; i++) {
        words[7 + i] = slice_of(numbers[i]);
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "%032x", ++place->serial);
        words[10 + 3 * i] = slice_of(names[i]);
        words[11 + 3 * i] = slice_of(users[i]);
        words[12 + 3 * i] = slice_of("");
    }
    assert_int_equal(partition_call(place->scene.worker, words[3], words, 10 + 3 * count,
                                    verdicts_take, place, &complaint),
                     STATUS_OK);
}

static char claim_one(struct place *place, const char *user) {
    claim(place, &user, 1);
    return place->verdicts[0][0];
}

/* ---- the place ---- */

static void load(struct place *place) {
    struct scene *scene = &place->scene;
    assert_int_equal(
        partition_reopen(scene->worker, scene->partition, false, &place->epoch, &complaint),
        STATUS_OK);
    assert_int_equal(partition_load(scene->worker, scene->coupon_id, place->epoch, &complaint),
                     STATUS_OK);
}

/* With a coupon of so many, its gate open and the coupon loaded. */
static void place_begin(struct place *place, void **state, int64_t total_quantity) {
    *place = (struct place){.epoch = 0};
    scene_begin(&place->scene, state);
    place->scene.coupon_id = add_open_coupon(place->scene.ledger, total_quantity);
    place->scene.partition = partition_of(place->scene.coupon_id);
    struct issuer_redis_options same = scene_options(&place->scene, state);
    struct partition_link_options options = {.redis = {.url = same.redis_url},
                                             .ledger = same.ledger};
    assert_int_equal(partition_link_open(&options, &place->other, &complaint), STATUS_OK);
    load(place);
}

static void place_end(struct place *place) {
    partition_link_close(place->other);
    scene_end(&place->scene);
}

static struct partition_status status_of(struct place *place) {
    struct partition_status status;
    assert_int_equal(partition_status_read(place->scene.worker, place->scene.partition,
                                           place->epoch, &status, &complaint),
                     STATUS_OK);
    return status;
}

static int settle_by(struct place *place, struct partition_link *link,
                     struct partition_progress *ret_progress) {
    partition_heard(link, place->scene.partition, place->epoch);
    return partition_settle(link, place->scene.partition, ret_progress, &complaint);
}

static void settle_well(struct place *place, uint64_t entries, uint64_t issued) {
    struct partition_progress progress;
    assert_int_equal(settle_by(place, place->scene.worker, &progress), STATUS_OK);
    assert_int_equal(progress.entries, entries);
    assert_int_equal(progress.issued, issued);
}

/* A command on the partition's queue. */
static void queue_do(struct place *place, const char *command, const char *id, bool adds) {
    struct partition_key queue = partition_key_queue(place->scene.partition, place->epoch);
    const char *words[] = {command, queue.text, id, "junk", "x"};
    redis_do(&place->scene, words, adds ? 5 : id ? 3 : 2);
}

/* ---- a worker that ended before it told Redis ---- */

/* Three seats, of which others take two without Redis knowing, one of them "b". */
static void settle_untold(struct place *place) {
    struct settle_claim direct[] = {claim_of(place->scene.coupon_id, "b", "direct-1"),
                                    claim_of(place->scene.coupon_id, "x", "direct-2")};
    settle(place->scene.ledger, direct, COUNT_OF(direct), true);
    claim(place, (const char *const[]){"a", "b"}, 2);
    assert_int_equal(claim_one(place, "c"), 'a');
    scripted("coupon_settled", SCRIPTED_NOT_DONE, NULL, 1);
    settle_well(place, 2, 1); /* b has one already, and c finds none left */
    assert_int_equal(status_of(place).settled_n, 0);
}

static void expect_told(struct place *place) {
    assert_int_equal(status_of(place).settled_n, 2);
    assert_int_equal(claim_one(place, "a"), 'd');
    assert_int_equal(claim_one(place, "b"), 'd'); /* who holds one stays known */
    assert_int_equal(claim_one(place, "c"), 'o'); /* forgotten, and all are issued */
    assert_int_equal(claim_one(place, "d"), 'o');
}

static void what_a_worker_could_not_tell_is_told_by_the_next(void **state) {
    struct place place;
    place_begin(&place, state, 3);
    settle_untold(&place);
    assert_int_equal(claim_one(&place, "d"), 'f'); /* Redis does not know yet */
    assert_int_equal(partition_catch_up(place.other, place.scene.partition, &complaint), STATUS_OK);
    expect_told(&place);
    assert_int_equal(partition_catch_up(place.other, place.scene.partition, &complaint), STATUS_OK);
    expect_told(&place);
    place_end(&place);
}

/* More than the way from Redis carries in time would fail again and again. */
static void after_a_read_that_failed_fewer_entries_are_read(void **state) {
    struct place place;
    struct partition_progress progress;
    place_begin(&place, state, COUPON_UNLIMITED);
    for (int i = 0; i < 80; i++) {
        char user[24];
        snprintf(user, sizeof(user), "user-%d", i);
        assert_int_equal(claim_one(&place, user), 'a');
    }
    scripted("XRANGE", SCRIPTED_LOST, NULL, 2);
    assert_int_not_equal(settle_by(&place, place.scene.worker, &progress), STATUS_OK);
    assert_int_not_equal(settle_by(&place, place.scene.worker, &progress), STATUS_OK);
    assert_true(scripted_end());
    settle_well(&place, 16, 16); /* of 64 */
    settle_well(&place, 32, 32);
    settle_well(&place, 32, 32);
    place_end(&place);
}

/* As if the coupon had one seat more by now. */
static void claim_beyond(struct place *place, const char *user) {
    struct partition_key meta = partition_key_meta(place->scene.coupon_id);
    redis_do(&place->scene, (const char *const[]){"HSET", meta.text, "total", "4"}, 4);
    assert_int_equal(claim_one(place, user), 'a');
}

/* Whoever settles next finds that Redis has not heard of what was settled before. */
static void the_next_settlement_tells_what_was_not_told(void **state) {
    struct place place;
    struct partition_progress progress;
    place_begin(&place, state, 3);
    settle_untold(&place);
    claim_beyond(&place, "d");
    assert_int_equal(settle_by(&place, place.other, &progress), STATUS_OK);
    assert_int_equal(progress.rejected, 1);
    assert_int_equal(status_of(&place).settled_n, 3);
    assert_int_equal(claim_one(&place, "a"), 'd');
    assert_int_equal(claim_one(&place, "c"), 'a'); /* forgotten, as is "d", whose seat is free */
    place_end(&place);
}

/* It tells only of what is settled. */
static void what_waits_still_is_not_told_as_settled(void **state) {
    struct place place;
    place_begin(&place, state, 3);
    settle_untold(&place);
    claim_beyond(&place, "d");
    assert_int_equal(partition_catch_up(place.other, place.scene.partition, &complaint), STATUS_OK);
    assert_int_equal(status_of(&place).settled_n, 2);
    assert_int_equal(status_of(&place).queued, 1);
    assert_int_equal(claim_one(&place, "d"), 'd');
    settle_well(&place, 1, 0);
    assert_int_equal(status_of(&place).settled_n, 3);
    place_end(&place);
}

static void run_sql(void **state, const char *sql) {
    void *session = session_begin(state);
    free(session_ask(session, sql));
    session_end(session);
}

/* As with a server that shows what others have committed before it is durable. Without its table no
 * barrier can be had. */
static void redis_is_told_what_is_durable_and_no_sooner(void **state) {
    struct place place;
    place_begin(&place, state, 3);
    settle_untold(&place);
    partition_link_ledger(place.other)->shows_unsynced = true;
    run_sql(state, "ALTER TABLE probes RENAME TO away");
    assert_true(partition_catch_up(place.other, place.scene.partition, &complaint) < 0);
    assert_int_equal(status_of(&place).settled_n, 0);
    assert_true(partition_load(place.other, place.scene.coupon_id, place.epoch, &complaint) < 0);
    run_sql(state, "ALTER TABLE away RENAME TO probes; UPDATE probes SET count = 0");
    assert_int_equal(partition_catch_up(place.other, place.scene.partition, &complaint), STATUS_OK);
    assert_sql(state, "SELECT count FROM probes", "2"); /* the cursor, and how many are issued */
    expect_told(&place);
    assert_int_equal(partition_load(place.other, place.scene.coupon_id, place.epoch, &complaint),
                     STATUS_OK);
    assert_sql(state, "SELECT count FROM probes", "3");
    assert_int_equal(partition_catch_up(place.other, place.scene.partition, &complaint), STATUS_OK);
    assert_sql(state, "SELECT count FROM probes", "3"); /* nothing was to be told */
    place_end(&place);
}

static void no_more_barriers(void *state) {
    run_sql(state, "ALTER TABLE probes RENAME TO away");
}

/* Behind the cursor's barrier others may settle more, and the count is read then. */
static void how_many_are_issued_is_told_when_it_is_durable(void **state) {
    struct place place;
    place_begin(&place, state, 3);
    settle_untold(&place);
    partition_link_ledger(place.other)->shows_unsynced = true;
    scripted_before("XRANGE", no_more_barriers, state);
    assert_true(partition_catch_up(place.other, place.scene.partition, &complaint) < 0);
    assert_int_equal(status_of(&place).settled_n, 0);
    run_sql(state, "ALTER TABLE away RENAME TO probes");
    assert_int_equal(partition_catch_up(place.other, place.scene.partition, &complaint), STATUS_OK);
    expect_told(&place);
    place_end(&place);
}

static void what_was_rejected_must_be_known_before_redis_is_told(void **state) {
    struct place place;
    place_begin(&place, state, 3);
    settle_untold(&place);
    run_sql(state, "ALTER TABLE coupon_rejects RENAME TO away");
    assert_true(partition_catch_up(place.other, place.scene.partition, &complaint) < 0);
    assert_int_equal(status_of(&place).settled_n, 0);
    run_sql(state, "ALTER TABLE away RENAME TO coupon_rejects");
    assert_int_equal(partition_catch_up(place.other, place.scene.partition, &complaint), STATUS_OK);
    expect_told(&place);
    place_end(&place);
}

/* ---- what is missing in a queue ---- */

static void settled_entries_that_are_gone_want_a_rebuild(void **state) {
    struct place place;
    place_begin(&place, state, 3);
    settle_untold(&place);
    queue_do(&place, "XDEL", "1-0", false);
    assert_complains(STATUS_CONFLICT,
                     partition_catch_up(place.other, place.scene.partition, &complaint));
    assert_says("before they were settled");
    queue_do(&place, "XDEL", "2-0", false);
    queue_do(&place, "XADD", "8-0", true);
    queue_do(&place, "XADD", "9-0", true);
    assert_complains(STATUS_CONFLICT,
                     partition_catch_up(place.other, place.scene.partition, &complaint));
    assert_says("before Redis was told");
    assert_int_equal(status_of(&place).settled_n, 0);
    place_end(&place);
}

static void a_rebuild_goes_on_where_entries_are_missing(void **state) {
    struct place place;
    struct partition_progress progress;
    uint64_t epoch = 0;
    place_begin(&place, state, COUPON_UNLIMITED);
    assert_int_equal(claim_one(&place, "a"), 'a');
    assert_int_equal(claim_one(&place, "b"), 'a');
    queue_do(&place, "XDEL", "1-0", false);
    assert_complains(STATUS_CONFLICT, settle_by(&place, place.scene.worker, &progress));
    assert_says("entry 1 of epoch 1 is missing");
    assert_int_equal(
        partition_reopen(place.scene.worker, place.scene.partition, true, &epoch, &complaint),
        STATUS_OK);
    assert_int_equal(epoch, 2);
    load(&place);
    assert_int_equal(claim_one(&place, "b"), 'a');
    settle_well(&place, 1, 1);
    place_end(&place);
}

static void settle_elsewhere(void *context) {
    struct place *place = context;
    struct partition_progress progress;
    assert_int_equal(settle_by(place, place->other, &progress), STATUS_OK);
    assert_int_equal(progress.entries, 1);
    assert_int_equal(claim_one(place, "b"), 'a');
}

/* Between its look at the cursor and its look at the queue. */
static void what_another_has_settled_is_not_missing(void **state) {
    struct place place;
    struct partition_progress progress;
    place_begin(&place, state, COUPON_UNLIMITED);
    assert_int_equal(claim_one(&place, "a"), 'a');
    scripted_before("XRANGE", settle_elsewhere, &place);
    assert_int_equal(settle_by(&place, place.scene.worker, &progress), STATUS_OK);
    assert_true(progress.entries == 0 && progress.more);
    settle_well(&place, 1, 1);
    assert_int_equal(sound_issues(place.scene.ledger, place.scene.coupon_id), 2);
    place_end(&place);
}

/* ---- answers of another form ---- */

static void entries_without_a_number_are_not_passed_over(void **state) {
    static const struct {
        const char *answer;
        int status;
    } cases[] = {
        {":1|", STATUS_DAMAGED},
        {"*1|:5|", STATUS_CONFLICT},
        {"*1|*1|$3|1-0|", STATUS_CONFLICT},
        {"*1|*2|:1|*0|", STATUS_CONFLICT},
        {"*1|*2|$3|1-5|*0|", STATUS_CONFLICT},
        {"*1|*2|$2|-0|*0|", STATUS_CONFLICT},
        {"-ERR not now|", STATUS_INVALID},
    };
    struct place place;
    struct partition_progress progress;
    place_begin(&place, state, COUPON_UNLIMITED);
    assert_int_equal(claim_one(&place, "a"), 'a');
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        scripted("XRANGE", SCRIPTED_SAYS, cases[i].answer, 1);
        assert_complains(cases[i].status, settle_by(&place, place.scene.worker, &progress));
        assert_int_equal(progress.entries, 0);
    }
    settle_well(&place, 1, 1);
    place_end(&place);
}

/* It is kept as a reject, and what stands behind it is settled. */
static void an_entry_of_another_form_is_rejected(void **state) {
    static const char *const answers[] = {
        "*1|*2|$3|1-0|:5|",
        "*1|*2|$3|2-0|*4|:1|$1|x|$6|claims|:1|",
        "*1|*2|+3-0|*2|+claims|+junk|",
        "*1|*2|$3|4-0|*6|$6|coupon|$1|7|$7|time_us|$1|5|$6|claims|$1|x|",
    };
    struct place place;
    struct partition_progress progress;
    place_begin(&place, state, COUPON_UNLIMITED);
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        char user[8];
        snprintf(user, sizeof(user), "u%zu", i);
        assert_int_equal(claim_one(&place, user), 'a');
        scripted("XRANGE", SCRIPTED_SAYS, answers[i], 1);
        assert_int_equal(settle_by(&place, place.scene.worker, &progress), STATUS_OK);
        assert_true(progress.rejected == 1 && progress.issued == 0);
        assert_int_equal(status_of(&place).settled_n, i + 1);
    }
    assert_int_equal(claim_one(&place, "last"), 'a');
    settle_well(&place, 1, 1);
    place_end(&place);
}

static void a_status_of_another_form_is_damage(void **state) {
    static const char *const answers[] = {
        ":1|",
        "*0|",
        "*1|:1|",
        "*1|$2|no|",
        "*1|$2|ok|",
        "*2|$2|ok|:1|",
        "*2|$2|ok|$1|x|",
        "*3|$2|ok|$1|1|$1|x|",
        "*4|$2|ok|$1|1|$1|1|$1|x|",
        "*5|$2|ok|$1|1|$1|1|$1|1|$1|x|",
        "*6|$2|ok|$1|1|$1|1|$1|1|$1|1|$1|x|",
        "*7|$2|ok|$1|1|$1|1|$1|1|$1|1|$1|1|$1|x|",
    };
    struct place place;
    struct partition_status status;
    place_begin(&place, state, COUPON_UNLIMITED);
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        scripted("coupon_status", SCRIPTED_SAYS, answers[i], 1);
        assert_int_equal(partition_status_read(place.scene.worker, place.scene.partition,
                                               place.epoch, &status, &complaint),
                         STATUS_DAMAGED);
    }
    place_end(&place);
}

/* ---- gates and coupons ---- */

static void a_gate_that_does_not_stay_open_is_given_up_for_now(void **state) {
    struct place place;
    uint64_t epoch = 0;
    place_begin(&place, state, COUPON_UNLIMITED);
    redis_empty(&place.scene);
    scripted("coupon_open", SCRIPTED_SAYS, "*3|$6|closed|$1|1|$6|replid|", 7);
    int status =
        partition_reopen(place.scene.worker, place.scene.partition, false, &epoch, &complaint);
    (void)scripted_end();
    assert_int_equal(status, STATUS_IO);
    assert_says("did not stay open");
    load(&place);
    assert_true(place.epoch > 2);
    assert_int_equal(claim_one(&place, "a"), 'a');
    settle_well(&place, 1, 1);
    place_end(&place);
}

static void a_coupon_whose_last_issue_is_missing_is_not_loaded(void **state) {
    struct place place;
    char sql[128];
    place_begin(&place, state, COUPON_UNLIMITED);
    assert_int_equal(claim_one(&place, "a"), 'a');
    settle_well(&place, 1, 1);
    assert_int_equal(partition_load(place.other, place.scene.coupon_id, place.epoch, &complaint),
                     STATUS_OK);
    snprintf(sql, sizeof(sql), "UPDATE coupon_issues SET rank_no = %s WHERE coupon_id = %llu",
             "rank_no + 1", (unsigned long long)place.scene.coupon_id);
    run_sql(state, sql);
    assert_complains(STATUS_DAMAGED,
                     partition_load(place.other, place.scene.coupon_id, place.epoch, &complaint));
    snprintf(sql, sizeof(sql), "UPDATE coupon_issues SET rank_no = %s WHERE coupon_id = %llu",
             "rank_no - 1", (unsigned long long)place.scene.coupon_id);
    run_sql(state, sql);
    place_end(&place);
}

/* All in one ledger: every coupon has a partition of its own, whose first epoch is 1. */
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_worker_could_not_tell_is_told_by_the_next),
        cmocka_unit_test(after_a_read_that_failed_fewer_entries_are_read),
        cmocka_unit_test(the_next_settlement_tells_what_was_not_told),
        cmocka_unit_test(what_waits_still_is_not_told_as_settled),
        cmocka_unit_test(redis_is_told_what_is_durable_and_no_sooner),
        cmocka_unit_test(how_many_are_issued_is_told_when_it_is_durable),
        cmocka_unit_test(what_was_rejected_must_be_known_before_redis_is_told),
        cmocka_unit_test(settled_entries_that_are_gone_want_a_rebuild),
        cmocka_unit_test(a_rebuild_goes_on_where_entries_are_missing),
        cmocka_unit_test(what_another_has_settled_is_not_missing),
        cmocka_unit_test(entries_without_a_number_are_not_passed_over),
        cmocka_unit_test(an_entry_of_another_form_is_rejected),
        cmocka_unit_test(a_status_of_another_form_is_damage),
        cmocka_unit_test(a_gate_that_does_not_stay_open_is_given_up_for_now),
        cmocka_unit_test(a_coupon_whose_last_issue_is_missing_is_not_loaded),
    };
    return cmocka_run_group_tests(tests, place_setup, place_teardown);
}

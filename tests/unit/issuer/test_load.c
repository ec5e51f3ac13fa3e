/* Memory rebuilt from the record (core_load): what it takes, and what it refuses by name. */
#include "support.h"

#include <stdio.h>

/* Loading a record that was damaged must fail with this sentence in its complaint, and
 * nothing may be handed out on top of it. */
static void expect_refusal(struct world *world, int status, const char *sentence) {
    struct command command = command_of(JOB_COUPON_READ);
    command.coupon.id = 1;
    world_open(world);
    assert_int_equal(core_load(world->core, NULL, NULL), status);
    if (!strstr(world->core->why.text, sentence)) {
        fail_msg("\"%s\" is not in \"%s\"", sentence, world->core->why.text);
    }
    assert_int_equal(world->core->state, ISSUER_BROKEN);
    assert_int_equal(step_one(world, 500, 1, "new"), VERDICT_OUTCOME_UNKNOWN);
    assert_int_equal(command_do(world, 500, &command), STATUS_IO);
    core_probe(world->core);
    assert_int_equal(world->core->state, ISSUER_BROKEN);
}

static void an_empty_record_is_loaded(void **state) {
    struct world *world = *state;
    world_reload(world);
    assert_int_equal(board_count(world->core->board), 0);
    assert_int_equal(step_one(world, 1, 1, "ann"), VERDICT_NO_SUCH_COUPON);
}

/* The issues wait in a ring of 32 on their way to the engine. */
static void every_filling_of_the_ring_is_loaded(void **state) {
    struct world *world = *state;
    static const uint32_t sizes[] = {0, 1, 31, 32, 33, 0, 63, 64, 65, 2, 1000};
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        coupon_make(world, i + 1, COUPON_UNLIMITED);
        issue_many(world, i + 1, sizes[i]);
    }
    world_reload(world);
    assert_int_equal(board_count(world->core->board), COUNT_OF(sizes));
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_coupon_agrees(world, i + 1, sizes[i]);
        struct claim claim = claim_of(world, i + 1, "the next", "");
        step_claims(world, 900000, &claim, 1);
        assert_int_equal(claim.verdict, VERDICT_ISSUED);
        assert_int_equal(claim.rank, sizes[i] + 1);
    }
}

static void terms_and_archiving_survive_a_new_start(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 3);
    coupon_make(world, 2, 3);
    issue_many(world, 1, 3);
    issue_many(world, 2, 2);
    struct command command = command_of(JOB_COUPON_CHANGE);
    command.coupon.id = 2;
    command.patch_set = PATCH_ARCHIVED;
    assert_int_equal(command_do(world, 900, &command), STATUS_OK);
    command = command_of(JOB_COUPON_CHANGE);
    command.coupon.id = 1;
    command.coupon.paused = true;
    command.patch_set = PATCH_PAUSED;
    assert_int_equal(command_do(world, 900, &command), STATUS_OK);
    world_reload(world);
    assert_int_equal(board_count(world->core->board), 1);
    assert_coupon_agrees(world, 1, 3);
    assert_int_equal(step_one(world, 901, 1, "new"), VERDICT_PAUSED);
    assert_int_equal(step_one(world, 901, 2, "new"), VERDICT_NO_SUCH_COUPON);
}

static void a_gap_between_ranks_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    coupon_make(world, 2, COUPON_UNLIMITED);
    issue_many(world, 2, 40);
    world_close(world);
    folder_sql(world->folder, "DELETE FROM coupon_issues WHERE rank_no = 7");
    expect_refusal(world, STATUS_DAMAGED, "rank 8 of coupon 2 is not the next rank");
}

static void a_missing_first_rank_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 2);
    world_close(world);
    folder_sql(world->folder, "DELETE FROM coupon_issues WHERE rank_no = 1");
    expect_refusal(world, STATUS_DAMAGED, "rank 2 of coupon 1 is not the next rank");
}

static void a_missing_last_rank_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    coupon_make(world, 2, COUPON_UNLIMITED);
    issue_many(world, 1, 33);
    world_close(world);
    folder_sql(world->folder, "DELETE FROM coupon_issues WHERE rank_no = 33");
    expect_refusal(world, STATUS_DAMAGED, "coupon 1 counts 33 issues and has 32");
}

static void a_count_that_is_too_low_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 5);
    world_close(world);
    folder_sql(world->folder, "UPDATE coupons SET issued_quantity = 4");
    expect_refusal(world, STATUS_DAMAGED, "coupon 1 counts 4 issues and has 5");
}

static void a_user_with_two_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 100);
    world_close(world);
    folder_sql(world->folder, "UPDATE coupon_issues SET user_id = 'u3' WHERE rank_no = 90");
    expect_refusal(world, STATUS_DAMAGED,
                   "rank 90 of coupon 1 goes to a user who holds one already");
}

static void a_user_with_two_in_a_row_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 2);
    world_close(world);
    folder_sql(world->folder, "UPDATE coupon_issues SET user_id = 'u1'");
    expect_refusal(world, STATUS_DAMAGED,
                   "rank 2 of coupon 1 goes to a user who holds one already");
}

static void issues_of_no_coupon_are_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    coupon_make(world, 2, COUPON_UNLIMITED);
    issue_many(world, 2, 2);
    world_close(world);
    folder_sql(world->folder, "DELETE FROM coupons WHERE id = 2");
    expect_refusal(world, STATUS_DAMAGED, "coupon 2");
}

static void a_count_above_the_quantity_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    issue_many(world, 1, 5);
    world_close(world);
    folder_sql(world->folder, "UPDATE coupons SET total_quantity = 4");
    expect_refusal(world, STATUS_DAMAGED, "coupon 1");
}

/* 2^32 + 5: cut to 32 bits it would be sold out after five. */
static void a_quantity_above_all_ranks_is_damage(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 100);
    world_close(world);
    folder_sql(world->folder, "UPDATE coupons SET total_quantity = 4294967301");
    expect_refusal(world, STATUS_DAMAGED, "coupon 1");
}

static void more_coupons_than_there_is_room_for_are_refused(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    coupon_make(world, 2, 5);
    coupon_make(world, 3, 5);
    world_close(world);
    world->coupons_max = 2;
    expect_refusal(world, STATUS_FULL, "coupon 3 does not fit into memory");
}

static void a_record_that_cannot_be_read_is_refused(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    world_close(world);
    world_open(world);
    ledger_fails(world->ledger, OPERATION_VISIT, STATUS_IO, 1);
    assert_int_equal(core_load(world->core, NULL, NULL), STATUS_IO);
    assert_int_equal(world->core->state, ISSUER_BROKEN);
    assert_string_equal(world->core->why.text, "the test wants it so");
}

struct progress {
    uint64_t calls;
    uint64_t visited;
    uint64_t total;
};

static void note_progress(void *context, uint64_t visited, uint64_t total) {
    *(struct progress *)context = (struct progress){
        .calls = ((struct progress *)context)->calls + 1, .visited = visited, .total = total};
}

static void a_long_record_tells_how_far_it_is(void **state) {
    struct world *world = *state;
    struct progress progress = {0};
    coupon_make(world, 1, COUPON_UNLIMITED);
    coupon_make(world, 2, COUPON_UNLIMITED);
    issue_many(world, 1, 60000);
    issue_many(world, 2, 40500);
    world_close(world);
    world_open(world);
    assert_int_equal(core_load(world->core, note_progress, &progress), STATUS_OK);
    assert_int_equal(progress.calls, 1);
    assert_int_equal(progress.visited, 100000);
    assert_int_equal(progress.total, 100500);
    assert_int_equal(engine_figures(world->core->engine).issues, 100500);
}

static void a_reading_that_is_given_up_is_no_verdict_on_the_record(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 2500);
    world_close(world);
    world_open(world);
    world->core->hurry = true;
    assert_int_equal(core_load(world->core, NULL, NULL), STATUS_STOPPED);
    assert_int_equal(world->core->state, ISSUER_STARTING);
    /* what was read so far answers nobody */
    struct command holding = command_of(JOB_HOLDING_READ);
    holding.reference.coupon_id = 1;
    holding.user_id = slice_of("u2500");
    holding.user = world_user(world, "u2500");
    assert_int_equal(command_do(world, 1, &holding), STATUS_STOPPED);
    world_reload(world);
    assert_coupon_agrees(world, 1, 2500);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(an_empty_record_is_loaded),
        WITH_WORLD(a_reading_that_is_given_up_is_no_verdict_on_the_record),
        WITH_WORLD(every_filling_of_the_ring_is_loaded),
        WITH_WORLD(terms_and_archiving_survive_a_new_start),
        WITH_WORLD(a_gap_between_ranks_is_damage),
        WITH_WORLD(a_missing_first_rank_is_damage),
        WITH_WORLD(a_missing_last_rank_is_damage),
        WITH_WORLD(a_count_that_is_too_low_is_damage),
        WITH_WORLD(a_user_with_two_is_damage),
        WITH_WORLD(a_user_with_two_in_a_row_is_damage),
        WITH_WORLD(issues_of_no_coupon_are_damage),
        WITH_WORLD(a_count_above_the_quantity_is_damage),
        WITH_WORLD(a_quantity_above_all_ranks_is_damage),
        WITH_WORLD(more_coupons_than_there_is_room_for_are_refused),
        WITH_WORLD(a_record_that_cannot_be_read_is_refused),
        WITH_WORLD(a_long_record_tells_how_far_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

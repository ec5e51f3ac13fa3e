/* Operators' changes and single reads, through core_command. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- create ---- */

static struct command creation(uint64_t id, const char *key, unsigned char request) {
    struct command command = command_of(JOB_COUPON_CREATE);
    command.coupon = coupon_example(id, 5, 0, US_PER_SECOND);
    command.key.key = slice_of(key);
    memset(command.key.request_digest, request, sizeof(command.key.request_digest));
    return command;
}

static struct coupon_record read_record(struct world *world, uint64_t id) {
    struct coupon_record coupon;
    assert_int_equal(ledger_coupon_read(world->ledger->real, id, &coupon), STATUS_OK);
    return coupon;
}

static void archive(struct world *world, uint64_t id) {
    struct command command = command_of(JOB_COUPON_CHANGE);
    command.coupon.id = id;
    command.patch_set = PATCH_ARCHIVED;
    assert_int_equal(command_do(world, 900000, &command), STATUS_OK);
    assert_int_equal(command.coupon.archived_us, 900000);
}

static void a_coupon_is_made_with_a_given_or_the_next_id(void **state) {
    struct world *world = *state;
    static const uint64_t asked[] = {0, 0, 40, 0, 7, 0};
    static const uint64_t made[] = {1, 2, 40, 41, 7, 42};
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        struct command command = creation(asked[i], "", 0);
        command.coupon.issued_quantity = 3; /* what is sent does not count */
        command.coupon.version = 9;
        command.coupon.archived_us = 9;
        assert_int_equal(command_do(world, 77, &command), STATUS_OK);
        assert_int_equal(command.coupon.id, made[i]);
        assert_int_equal(command.coupon.version, 1);
        assert_int_equal(command.coupon.issued_quantity, 0);
        assert_int_equal(command.coupon.archived_us, 0);
        assert_int_equal(command.coupon.created_us, 77);
        assert_int_equal(command.coupon.updated_us, 77);
        assert_false(command.replayed);
        assert_coupon_agrees(world, made[i], 0);
        assert_int_equal(step_one(world, 78, made[i], "ann"), VERDICT_ISSUED);
    }
}

static void a_taken_id_stays_taken_when_archived(void **state) {
    struct world *world = *state;
    coupon_make(world, 3, 5);
    struct command again = creation(3, "", 0);
    assert_int_equal(command_do(world, 1, &again), STATUS_EXISTS);
    archive(world, 3);
    again = creation(3, "", 0);
    assert_int_equal(command_do(world, 1, &again), STATUS_EXISTS);
    assert_int_equal(world->core->state, ISSUER_READY);
    struct command next = creation(0, "", 0);
    assert_int_equal(command_do(world, 1, &next), STATUS_OK);
    assert_int_equal(next.coupon.id, 4);
}

static void a_creation_key_makes_one_coupon(void **state) {
    struct world *world = *state;
    struct command first = creation(0, "spring", 1);
    assert_int_equal(command_do(world, 1, &first), STATUS_OK);
    issue_many(world, 1, 2);
    struct command again = creation(0, "spring", 1);
    assert_int_equal(command_do(world, 2, &again), STATUS_OK);
    assert_true(again.replayed);
    assert_int_equal(again.coupon.id, 1);
    assert_int_equal(again.coupon.issued_quantity, 2); /* as it is now */
    assert_int_equal(again.coupon.created_us, 1);
    struct command other = creation(0, "spring", 2);
    assert_int_equal(command_do(world, 3, &other), STATUS_CONFLICT);
    world_reload(world);
    again = creation(0, "spring", 1);
    assert_int_equal(command_do(world, 4, &again), STATUS_OK);
    assert_true(again.replayed);
    archive(world, 1);
    again = creation(0, "spring", 1);
    assert_int_equal(command_do(world, 5, &again), STATUS_OK);
    assert_int_equal(again.coupon.archived_us, 900000);
    assert_int_equal(board_count(world->core->board), 0);
    assert_int_equal(world->core->state, ISSUER_READY);
}

static void a_refused_creation_does_not_use_up_its_key(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    struct command taken = creation(1, "spring", 1);
    assert_int_equal(command_do(world, 1, &taken), STATUS_EXISTS);
    ledger_fails(world->ledger, OPERATION_CREATE, STATUS_FULL, 1);
    struct command unwritten = creation(2, "spring", 1);
    assert_int_equal(command_do(world, 1, &unwritten), STATUS_FULL);
    core_probe(world->core);
    ledger_fails(world->ledger, OPERATION_CREATE, STATUS_FULL, 1);
    struct command unnamed = creation(0, "spring", 1); /* ids are left: it is the disk */
    assert_int_equal(command_do(world, 1, &unnamed), STATUS_FULL);
    core_probe(world->core);
    struct command other = creation(2, "spring", 2);
    assert_int_equal(command_do(world, 1, &other), STATUS_OK);
    assert_false(other.replayed);
}

static void a_creation_key_of_no_coupon_is_damage(void **state) {
    struct world *world = *state;
    struct command first = creation(0, "spring", 1);
    assert_int_equal(command_do(world, 1, &first), STATUS_OK);
    world_close(world);
    folder_sql(world->folder, "DELETE FROM coupon_revisions; DELETE FROM coupons");
    world_open(world);
    assert_int_equal(core_load(world->core, NULL, NULL), STATUS_OK);
    struct command again = creation(0, "spring", 1);
    assert_int_equal(command_do(world, 2, &again), STATUS_DAMAGED);
    assert_int_equal(world->core->state, ISSUER_READY);
}

static void as_many_coupons_are_made_as_there_is_room_for(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 2);
    struct command first = creation(0, "spring", 1);
    assert_int_equal(command_do(&world, 1, &first), STATUS_OK);
    coupon_make(&world, 2, 5);
    struct command third = creation(0, "", 0);
    assert_int_equal(command_do(&world, 1, &third), STATUS_INVALID);
    assert_string_equal(third.field, "id");
    assert_non_null(third.why);
    struct command named = creation(7, "", 0);
    assert_int_equal(command_do(&world, 1, &named), STATUS_INVALID);
    struct command taken = creation(2, "", 0);
    assert_int_equal(command_do(&world, 1, &taken), STATUS_EXISTS);
    struct command again = creation(0, "spring", 1); /* makes none, so it is answered */
    assert_int_equal(command_do(&world, 1, &again), STATUS_OK);
    archive(&world, 2);
    third = creation(0, "", 0);
    assert_int_equal(command_do(&world, 1, &third), STATUS_OK);
    assert_int_equal(third.coupon.id, 3);
    world_done(&world);
}

/* The ledger says FULL, but no write failed: claims must go on. */
static void an_operator_who_used_the_last_id_stops_nobody(void **state) {
    struct world *world = *state;
    coupon_make(world, (uint64_t)JSON_INTEGER_MAX, 5);
    struct command next = creation(0, "", 0);
    assert_int_equal(command_do(world, 1, &next), STATUS_INVALID);
    assert_string_equal(next.field, "id");
    assert_int_equal(world->core->state, ISSUER_READY);
    assert_int_equal(step_one(world, 2, (uint64_t)JSON_INTEGER_MAX, "ann"), VERDICT_ISSUED);
    coupon_make(world, 9, 5);
    ledger_fails(world->ledger, OPERATION_CREATE, STATUS_FULL, 1); /* a full disk, with an id */
    struct command unwritten = creation(10, "", 0);
    assert_int_equal(command_do(world, 1, &unwritten), STATUS_FULL);
    assert_int_equal(world->core->state, ISSUER_UNWRITABLE);
}

/* ---- change ---- */

static const struct coupon_record patched = {
    .title = "Another title",
    .total_quantity = 77,
    .discount_amount = 78,
    .min_available_amount = 79,
    .issue_start_us = 80,
    .issue_end_us = 81,
    .paused = true,
    .metadata = "{\"a\":1}",
};

static struct command change_of(uint64_t id, unsigned patch_set) {
    struct command command = command_of(JOB_COUPON_CHANGE);
    command.coupon = patched;
    command.coupon.id = id;
    command.patch_set = patch_set;
    return command;
}

/* What the coupon must be like after the patch, written out once more. */
static struct coupon_record apply(struct coupon_record coupon, unsigned set) {
    coupon.total_quantity =
        set & PATCH_TOTAL_QUANTITY ? patched.total_quantity : coupon.total_quantity;
    coupon.issue_start_us =
        set & PATCH_ISSUE_START ? patched.issue_start_us : coupon.issue_start_us;
    coupon.issue_end_us = set & PATCH_ISSUE_END ? patched.issue_end_us : coupon.issue_end_us;
    coupon.discount_amount =
        set & PATCH_DISCOUNT_AMOUNT ? patched.discount_amount : coupon.discount_amount;
    coupon.min_available_amount = set & PATCH_MIN_AVAILABLE_AMOUNT ? patched.min_available_amount
                                                                   : coupon.min_available_amount;
    coupon.paused = set & PATCH_PAUSED ? patched.paused : coupon.paused;
    if (set & PATCH_TITLE) {
        memcpy(coupon.title, patched.title, sizeof(coupon.title));
    }
    if (set & PATCH_METADATA) {
        memcpy(coupon.metadata, patched.metadata, sizeof(coupon.metadata));
    }
    return coupon;
}

static void assert_same_coupon(const struct coupon_record *a, const struct coupon_record *b) {
    assert_int_equal(a->id, b->id);
    assert_string_equal(a->title, b->title);
    assert_int_equal(a->total_quantity, b->total_quantity);
    assert_int_equal(a->issued_quantity, b->issued_quantity);
    assert_int_equal(a->discount_amount, b->discount_amount);
    assert_int_equal(a->min_available_amount, b->min_available_amount);
    assert_int_equal(a->issue_start_us, b->issue_start_us);
    assert_int_equal(a->issue_end_us, b->issue_end_us);
    assert_int_equal(a->paused, b->paused);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->created_us, b->created_us);
    assert_int_equal(a->updated_us, b->updated_us);
    assert_int_equal(a->archived_us, b->archived_us);
    assert_string_equal(a->metadata, b->metadata);
}

static void expect_change(struct world *world, uint64_t id, unsigned set) {
    struct coupon_record published;
    struct coupon_record expected = apply(read_record(world, id), set);
    struct command command = change_of(id, set);
    assert_int_equal(command_do(world, 500, &command), STATUS_OK);
    expected.version++;
    expected.updated_us = 500;
    struct coupon_record recorded = read_record(world, id);
    assert_int_equal(board_read(world->core->board, id, &published), STATUS_OK);
    assert_same_coupon(&command.coupon, &expected);
    assert_same_coupon(&recorded, &expected);
    assert_same_coupon(&published, &expected);
}

static void each_patch_bit_changes_its_member_only(void **state) {
    struct world *world = *state;
    uint64_t id = 0;
    for (unsigned bit = PATCH_TITLE; bit < PATCH_ARCHIVED; bit *= 2) {
        coupon_make(world, ++id, 5);
        issue_many(world, id, 3);
        expect_change(world, id, bit);
        assert_coupon_agrees(world, id, 3);
    }
    coupon_make(world, ++id, COUPON_UNLIMITED);
    expect_change(world, id, PATCH_ARCHIVED - 1); /* all of them at once */
    expect_change(world, id, 0);                  /* and none, which is a version too */
}

static void metadata_and_a_quantity_can_be_taken_away(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    expect_change(world, 1, PATCH_METADATA);
    struct command command = command_of(JOB_COUPON_CHANGE);
    command.coupon.id = 1;
    command.coupon.total_quantity = COUPON_UNLIMITED;
    command.patch_set = PATCH_METADATA | PATCH_TOTAL_QUANTITY;
    assert_int_equal(command_do(world, 600, &command), STATUS_OK);
    struct coupon_record recorded = read_record(world, 1);
    assert_string_equal(recorded.metadata, "");
    assert_int_equal(recorded.total_quantity, COUPON_UNLIMITED);
    issue_many(world, 1, 9);
}

static void a_condition_on_the_version_is_kept(void **state) {
    struct world *world = *state;
    static const uint32_t versions[] = {9, 1};
    coupon_make(world, 1, 5);
    struct command command = change_of(1, PATCH_TITLE);
    command.if_versions = versions;
    command.if_version_count = 0;
    assert_int_equal(command_do(world, 2, &command), STATUS_CONFLICT);
    command.if_version_count = 1;
    assert_int_equal(command_do(world, 2, &command), STATUS_CONFLICT);
    assert_int_equal(read_record(world, 1).version, 1);
    command.if_version_count = 2;
    assert_int_equal(command_do(world, 2, &command), STATUS_OK);
    command = change_of(1, PATCH_TITLE);
    command.if_versions = versions;
    command.if_version_count = 2;
    assert_int_equal(command_do(world, 2, &command), STATUS_CONFLICT);
    assert_int_equal(read_record(world, 1).version, 2);
    assert_int_equal(world->core->state, ISSUER_READY);
}

static void expect_refused(struct world *world, struct command *command, const char *field) {
    struct coupon_record before = read_record(world, command->coupon.id);
    assert_int_equal(command_do(world, 700, command), STATUS_INVALID);
    assert_string_equal(command->field, field);
    assert_non_null(command->why);
    struct coupon_record after = read_record(world, command->coupon.id);
    assert_same_coupon(&after, &before);
    assert_int_equal(world->core->state, ISSUER_READY);
}

static void a_quantity_never_falls_below_what_is_issued(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    issue_many(world, 1, 3);
    struct command command = change_of(1, PATCH_TOTAL_QUANTITY);
    command.coupon.total_quantity = 2;
    expect_refused(world, &command, "totalQuantity");
    assert_int_equal(step_one(world, 500, 1, "ann"), VERDICT_ISSUED);
    command = change_of(1, PATCH_TOTAL_QUANTITY);
    command.coupon.total_quantity = 4;
    assert_int_equal(command_do(world, 500, &command), STATUS_OK);
    assert_int_equal(step_one(world, 500, 1, "bob"), VERDICT_SOLD_OUT);
    assert_coupon_agrees(world, 1, 4);
}

static void a_period_never_ends_before_it_starts(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5); /* from 0 to a second */
    struct command command = change_of(1, PATCH_ISSUE_START);
    command.coupon.issue_start_us = US_PER_SECOND;
    expect_refused(world, &command, "issueStart");
    command = change_of(1, PATCH_ISSUE_END);
    command.coupon.issue_end_us = 0;
    expect_refused(world, &command, "issueEnd");
    command = change_of(1, PATCH_ISSUE_START | PATCH_ISSUE_END);
    command.coupon.issue_start_us = 90;
    command.coupon.issue_end_us = 90;
    expect_refused(world, &command, "issueEnd");
    command.coupon.issue_end_us = 91;
    assert_int_equal(command_do(world, 90, &command), STATUS_OK);
    assert_int_equal(step_one(world, 90, 1, "ann"), VERDICT_ISSUED);
    assert_int_equal(step_one(world, 91, 1, "bob"), VERDICT_ENDED);
}

static void an_archived_coupon_is_final(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    issue_many(world, 1, 2);
    struct command command = change_of(1, PATCH_ARCHIVED | PATCH_TITLE);
    assert_int_equal(command_do(world, 800, &command), STATUS_OK);
    assert_int_equal(command.coupon.archived_us, 800);
    assert_string_equal(read_record(world, 1).title, patched.title);
    assert_int_equal(board_count(world->core->board), 0);
    assert_false(engine_coupon_known(world->core->engine, 1));
    assert_int_equal(step_one(world, 500, 1, "u1"), VERDICT_NO_SUCH_COUPON);
    command = change_of(1, PATCH_TITLE);
    expect_refused(world, &command, "archived");
    command = change_of(1, PATCH_ARCHIVED);
    expect_refused(world, &command, "archived");
}

static void a_change_of_no_coupon_finds_none(void **state) {
    struct world *world = *state;
    struct command command = change_of(4, PATCH_TITLE);
    assert_int_equal(command_do(world, 1, &command), STATUS_NOT_FOUND);
    command = change_of((uint64_t)JSON_INTEGER_MAX, PATCH_TITLE);
    assert_int_equal(command_do(world, 1, &command), STATUS_NOT_FOUND);
    command = change_of(0, PATCH_TITLE);
    assert_int_equal(command_do(world, 1, &command), STATUS_NOT_FOUND);
}

/* ---- reads ---- */

static void a_coupon_is_read_archived_or_not(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    issue_many(world, 1, 2);
    for (int archived = 0; archived < 2; archived++) {
        struct command command = command_of(JOB_COUPON_READ);
        command.coupon.id = 1;
        assert_int_equal(command_do(world, 1, &command), STATUS_OK);
        assert_int_equal(command.coupon.issued_quantity, 2);
        assert_int_equal(command.coupon.archived_us != 0, archived);
        if (!archived) {
            archive(world, 1);
        }
    }
    struct command command = command_of(JOB_COUPON_READ);
    command.coupon.id = 2;
    assert_int_equal(command_do(world, 1, &command), STATUS_NOT_FOUND);
}

static void coupons_are_listed_in_pages_by_id(void **state) {
    struct world *world = *state;
    struct coupon_record page[2];
    uint64_t after_id = 0;
    for (uint64_t id = 5; id > 0; id--) {
        coupon_make(world, id * 10, 5);
    }
    archive(world, 20);
    for (uint64_t seen = 0; seen < 5;) {
        struct command command = command_of(JOB_COUPONS_READ);
        command.after_id = after_id;
        command.limit = 2;
        command.coupons = page;
        assert_int_equal(command_do(world, 1, &command), STATUS_OK);
        assert_int_equal(command.coupon_count, seen < 4 ? 2 : 1);
        for (size_t i = 0; i < command.coupon_count; i++) {
            assert_int_equal(page[i].id, ++seen * 10);
        }
        after_id = page[command.coupon_count - 1].id;
    }
    struct command command = command_of(JOB_COUPONS_READ);
    command.after_id = after_id;
    command.limit = 2;
    command.coupons = page;
    assert_int_equal(command_do(world, 1, &command), STATUS_OK);
    assert_int_equal(command.coupon_count, 0);
}

static void an_issue_is_read_by_its_rank(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    struct claim claim = claim_of(world, 1, "ann", "key");
    step_claims(world, 33, &claim, 1);
    archive(world, 1);
    struct command command = command_of(JOB_ISSUE_READ);
    command.reference = (struct issue_reference){.coupon_id = 1, .rank = 1};
    assert_int_equal(command_do(world, 1, &command), STATUS_OK);
    assert_string_equal(command.issue.user_id, "ann");
    assert_string_equal(command.issue.request_key, "key");
    assert_int_equal(command.issue.issued_at_us, 33);
    static const struct issue_reference missing[] = {{1, 0}, {1, 2}, {2, 1}, {0, 1}};
    for (size_t i = 0; i < COUNT_OF(missing); i++) {
        command = command_of(JOB_ISSUE_READ);
        command.reference = missing[i];
        assert_int_equal(command_do(world, 1, &command), STATUS_NOT_FOUND);
    }
}

static struct command holding_of(const struct world *world, uint64_t coupon_id, const char *user) {
    struct command command = command_of(JOB_HOLDING_READ);
    command.reference.coupon_id = coupon_id;
    command.user = world_user(world, user);
    command.user_id = slice_of(user);
    return command;
}

static void a_holding_is_read_from_memory(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    issue_many(world, 1, 2);
    struct command command = holding_of(world, 1, "u2");
    assert_int_equal(command_do(world, 1, &command), STATUS_OK);
    assert_true(command.known);
    assert_int_equal(command.issue.reference.coupon_id, 1);
    assert_int_equal(command.issue.reference.rank, 2);
    assert_int_equal(command.issue.issued_at_us, 102);
    assert_string_equal(command.issue.user_id, "u2");
    assert_int_equal(world->ledger->operations[OPERATION_ISSUES_READ].calls, 0);
    command = holding_of(world, 1, "u3");
    assert_int_equal(command_do(world, 1, &command), STATUS_NOT_FOUND);
    assert_true(command.known);
    command = holding_of(world, 2, "u1");
    assert_int_equal(command_do(world, 1, &command), STATUS_NOT_FOUND);
    assert_false(command.known);
}

/* An archived coupon's issues are searched in slices of 1,000, one a turn, with claims and
 * other commands between them. */
static void expect_turns(struct world *world, const char *user, uint32_t rank, unsigned turns) {
    struct command command = holding_of(world, 1, user);
    command.reference.rank = 12345; /* of the submitter's; means nothing here */
    for (unsigned i = 1; i < turns; i++) {
        assert_false(core_command(world->core, 1, &command));
        assert_int_equal(step_one(world, 200, 2, user),
                         i == 1 ? VERDICT_ISSUED : VERDICT_ALREADY_ISSUED);
    }
    assert_true(core_command(world->core, 1, &command));
    assert_true(command.known);
    assert_int_equal(command.status, rank > 0 ? STATUS_OK : STATUS_NOT_FOUND);
    if (rank > 0) {
        assert_int_equal(command.issue.reference.coupon_id, 1);
        assert_int_equal(command.issue.reference.rank, rank);
        assert_string_equal(command.issue.user_id, user);
    }
}

static void an_archived_holding_is_found_slice_by_slice(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    coupon_make(world, 2, COUPON_UNLIMITED);
    issue_many(world, 1, 2500);
    archive(world, 1);
    expect_turns(world, "u1", 1, 1);
    expect_turns(world, "u1000", 1000, 1);
    expect_turns(world, "u1001", 1001, 2);
    expect_turns(world, "u2000", 2000, 2);
    expect_turns(world, "u2500", 2500, 3);
    expect_turns(world, "nobody", 0, 3);
    world_reload(world);
    expect_turns(world, "u2499", 2499, 3);
}

static void a_full_last_slice_takes_one_turn_more(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    coupon_make(world, 2, COUPON_UNLIMITED);
    issue_many(world, 1, 1000);
    archive(world, 1);
    expect_turns(world, "nobody", 0, 2);
    expect_turns(world, "u1000", 1000, 1);
}

static void a_search_ends_when_the_record_cannot_be_read(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 1500);
    archive(world, 1);
    struct command command = holding_of(world, 1, "u1500");
    assert_false(core_command(world->core, 1, &command));
    ledger_fails(world->ledger, OPERATION_ISSUES_READ, STATUS_IO, 1);
    assert_true(core_command(world->core, 1, &command));
    assert_int_equal(command.status, STATUS_IO);
    ledger_fails(world->ledger, OPERATION_COUPON_READ, STATUS_IO, 1);
    command = holding_of(world, 1, "u1500");
    assert_true(core_command(world->core, 1, &command));
    assert_int_equal(command.status, STATUS_IO);
    assert_false(command.known);
}

static void reads_work_while_writing_does_not(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, 5);
    ledger_fails(world->ledger, OPERATION_APPEND, STATUS_FULL, 1);
    assert_int_equal(step_one(world, 1, 1, "ann"), VERDICT_STORAGE_UNAVAILABLE);
    assert_int_equal(world->core->state, ISSUER_UNWRITABLE);
    struct command read = command_of(JOB_COUPON_READ);
    read.coupon.id = 1;
    assert_int_equal(command_do(world, 1, &read), STATUS_OK);
    struct command holding = holding_of(world, 1, "ann");
    assert_int_equal(command_do(world, 1, &holding), STATUS_NOT_FOUND);
    struct command change = change_of(1, PATCH_TITLE);
    assert_int_equal(command_do(world, 1, &change), STATUS_IO);
    struct command create = creation(0, "", 0);
    assert_int_equal(command_do(world, 1, &create), STATUS_IO);
    world->core->state = ISSUER_BROKEN;
    assert_int_equal(command_do(world, 1, &read), STATUS_IO);
}

static void a_long_search_is_given_up_in_a_hurry(void **state) {
    struct world *world = *state;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 2500);
    archive(world, 1);
    struct command near = holding_of(world, 1, "u1000"), far = holding_of(world, 1, "u2500");
    assert_false(core_command(world->core, 1, &far));
    world->core->hurry = true;
    assert_int_equal(command_do(world, 1, &near), STATUS_OK); /* one turn is always had */
    assert_true(core_command(world->core, 1, &far));
    assert_int_equal(far.status, STATUS_STOPPED);
}

/* When one has ended, whatever it came to, another may be begun. */
static void as_many_searches_as_may_be_are_under_way(void **state) {
    struct world *world = *state;
    struct command searches[8], one_more;
    coupon_make(world, 1, COUPON_UNLIMITED);
    issue_many(world, 1, 1500);
    archive(world, 1);
    for (size_t i = 0; i < COUNT_OF(searches); i++) {
        searches[i] = holding_of(world, 1, i % 2 ? "u1500" : "nobody");
        assert_false(core_command(world->core, 1, &searches[i]));
    }
    for (size_t i = 0; i < COUNT_OF(searches); i++) {
        one_more = holding_of(world, 1, "u1500");
        assert_int_equal(command_do(world, 1, &one_more), STATUS_FULL);
        ledger_fails(world->ledger, OPERATION_ISSUES_READ, STATUS_IO, i == 7);
        assert_true(core_command(world->core, 1, &searches[i]));
        searches[i] = holding_of(world, 1, "u1500");
        assert_false(core_command(world->core, 1, &searches[i]));
    }
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_coupon_is_made_with_a_given_or_the_next_id),
        WITH_WORLD(a_taken_id_stays_taken_when_archived),
        WITH_WORLD(a_creation_key_makes_one_coupon),
        WITH_WORLD(a_refused_creation_does_not_use_up_its_key),
        WITH_WORLD(a_creation_key_of_no_coupon_is_damage),
        cmocka_unit_test(as_many_coupons_are_made_as_there_is_room_for),
        WITH_WORLD(an_operator_who_used_the_last_id_stops_nobody),
        WITH_WORLD(each_patch_bit_changes_its_member_only),
        WITH_WORLD(metadata_and_a_quantity_can_be_taken_away),
        WITH_WORLD(a_condition_on_the_version_is_kept),
        WITH_WORLD(a_quantity_never_falls_below_what_is_issued),
        WITH_WORLD(a_period_never_ends_before_it_starts),
        WITH_WORLD(an_archived_coupon_is_final),
        WITH_WORLD(a_change_of_no_coupon_finds_none),
        WITH_WORLD(a_coupon_is_read_archived_or_not),
        WITH_WORLD(coupons_are_listed_in_pages_by_id),
        WITH_WORLD(an_issue_is_read_by_its_rank),
        WITH_WORLD(a_holding_is_read_from_memory),
        WITH_WORLD(a_long_search_is_given_up_in_a_hurry),
        WITH_WORLD(as_many_searches_as_may_be_are_under_way),
        WITH_WORLD(an_archived_holding_is_found_slice_by_slice),
        WITH_WORLD(a_full_last_slice_takes_one_turn_more),
        WITH_WORLD(a_search_ends_when_the_record_cannot_be_read),
        WITH_WORLD(reads_work_while_writing_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

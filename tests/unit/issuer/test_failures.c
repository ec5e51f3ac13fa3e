/* Golden traces of failing writes (I8): a known failure is taken back and recovered from, an
 * ambiguous one ends all issuing. No refusal of a failed step leaves either. */
#include "support.h"

#include "trace.h"

static void a_known_failure_takes_the_whole_step_back(void **state) {
    (void)state;
    check_trace("make 1 0..20 of 3 -> ok 1\n"
                "at 1: ann@1#k -> issued 1 at 1; 1 row, 1=1\n"
                "fail append full -> so be it\n"
                "at 2: bob@1 ann@1 ann@1#k cat@1 + dan@1 eve@9 -> storage unavailable, "
                "storage unavailable, storage unavailable, storage unavailable, "
                "storage unavailable, storage unavailable; 2 rows, 1=3\n"
                "state -> unwritable\n"
                "board 1 -> 1 issued, version 1\n"
                "record 1 -> ann@1#k\n"
                "probe -> ready\n"
                /* the same users get the ranks that were taken back, in the order they come now */
                "at 3: dan@1 cat@1 bob@1 ann@1 -> issued 2 at 3, issued 3 at 3, sold out, "
                "already issued 1 at 1; 2 rows, 1=3\n"
                "record 1 -> ann@1#k dan@3 cat@3\n"
                "reload -> ok\n"
                "board 1 -> 3 issued, version 1\n");
}

static void unwritable_refuses_everything_until_a_write_works(void **state) {
    (void)state;
    check_trace("make 1 0..20 of 3 -> ok 1\n"
                "at 1: ann@1 -> issued 1 at 1; 1 row, 1=1\n"
                "fail append io -> so be it\n"
                "at 2: bob@1 -> storage unavailable; 1 row, 1=2\n"
                "at 2: bob@1 ann@1 eve@9 -> "
                "storage unavailable, storage unavailable, storage unavailable; no write\n"
                "fail probe io -> so be it\n"
                "probe -> unwritable\n"
                "fail probe full -> so be it\n"
                "probe -> unwritable\n"
                "change 1 of 9 -> io\n"
                "make 2 0..20 of 9 -> io\n"
                "tend -> unwritable\n"
                "probe -> ready\n"
                "probe -> ready\n"
                "change 1 of 9 -> ok version 2\n"
                "at 3: bob@1 -> issued 2 at 3; 1 row, 1=2\n");
}

static void every_known_status_is_recovered_from(void **state) {
    (void)state;
    check_trace("make 1 0..20 of any -> ok 1\n"
                "fail append full -> so be it\n"
                "at 1: ann@1 -> storage unavailable; 1 row, 1=1\n"
                "probe -> ready\n"
                "fail append io -> so be it\n"
                "at 2: ann@1 -> storage unavailable; 1 row, 1=1\n"
                "probe -> ready\n"
                "fail append no-memory -> so be it\n"
                "at 3: ann@1 -> storage unavailable; 1 row, 1=1\n"
                "probe -> ready\n"
                "at 4: ann@1 ann@1 -> issued 1 at 4, already issued 1 at 4; 1 row, 1=1\n"
                "record 1 -> ann@4\n");
}

static void an_ambiguous_failure_ends_all_issuing(void **state) {
    (void)state;
    check_trace("make 1 0..20 of 1 -> ok 1\n"
                "fail append ambiguous -> so be it\n"
                "at 1: ann@1 bob@1 eve@9 -> "
                "outcome unknown, outcome unknown, outcome unknown; 1 row, 1=1\n"
                "state -> broken\n"
                "at 2: ann@1 bob@1 -> outcome unknown, outcome unknown; no write\n"
                "probe -> broken\n"
                "tend -> broken\n"
                "change 1 of 9 -> ambiguous\n"
                "at 3: ann@1 -> outcome unknown; no write\n"
                "state -> broken\n"
                "reload -> ok\n"
                "at 4: bob@1 ann@1 -> issued 1 at 4, sold out; 1 row, 1=1\n");
}

/* The same failure, but the rows had reached the disk: only the file could tell. */
static void what_was_written_all_the_same_holds_after_a_new_start(void **state) {
    (void)state;
    check_trace("make 1 0..20 of 1 -> ok 1\n"
                "fail append ambiguous after -> so be it\n"
                "at 1: ann@1#k bob@1 -> outcome unknown, outcome unknown; 1 row, 1=1\n"
                /* ann does hold one: "nothing was changed" would be false, however often asked */
                "at 2: ann@1#k ann@1 -> outcome unknown, outcome unknown; no write\n"
                "board 1 -> 0 issued, version 1\n"
                "reload -> ok\n"
                "board 1 -> 1 issued, version 1\n"
                "at 4: bob@1 ann@1 ann@1#k -> sold out, already issued 1 at 1, replayed 1 at 1; "
                "no write\n");
}

static void an_ambiguous_probe_or_checkpoint_breaks_too(void **state) {
    (void)state;
    check_trace("make 1 0..20 of any -> ok 1\n"
                "fail append full -> so be it\n"
                "at 1: ann@1 -> storage unavailable; 1 row, 1=1\n"
                "fail probe ambiguous -> so be it\n"
                "probe -> broken\n"
                "probe -> broken\n"
                "reload -> ok\n"
                "at 1: ann@1 -> issued 1 at 1; 1 row, 1=1\n"
                "fail tend ambiguous -> so be it\n"
                "tend -> broken\n"
                "at 1: bob@1 -> outcome unknown; no write\n");
}

static void a_checkpoint_that_has_to_wait_stops_nobody(void **state) {
    (void)state;
    check_trace("make 1 0..20 of any -> ok 1\n"
                "fail tend full for ever -> so be it\n"
                "tend -> ready\n"
                "at 1: ann@1 -> issued 1 at 1; 1 row, 1=1\n"
                "fail tend io for ever -> so be it\n"
                "tend -> ready\n"
                "at 1: bob@1 -> issued 2 at 1; 1 row, 1=2\n");
}

/* Nothing was written, but a ledger that contradicts memory cannot be gone on with. */
static void a_contradiction_is_not_taken_for_a_full_disk(void **state) {
    (void)state;
    check_trace("make 1 0..20 of any -> ok 1\n"
                "fail append conflict -> so be it\n"
                "at 1: ann@1 -> storage unavailable; 1 row, 1=1\n"
                "state -> broken\n"
                "reload -> ok\n"
                "fail append damaged -> so be it\n"
                "at 1: ann@1 -> storage unavailable; 1 row, 1=1\n"
                "state -> broken\n"
                "record 1 -> nobody\n");
}

static void a_replay_whose_key_cannot_be_read_is_not_guessed(void **state) {
    (void)state;
    check_trace("make 1 0..20 of any -> ok 1\n"
                "at 1: ann@1#k -> issued 1 at 1; 1 row, 1=1\n"
                "fail issue-read io -> so be it\n"
                "at 2: ann@1#k bob@1 ann@1#k ann@1 -> storage unavailable, issued 2 at 2, "
                "replayed 1 at 1, already issued 1 at 1; 1 row, 1=2\n"
                "state -> ready\n");
}

static void a_command_that_cannot_be_written_changes_nothing(void **state) {
    (void)state;
    check_trace("make 1 0..20 of 1 -> ok 1\n"
                "fail create full -> so be it\n"
                "make 2 0..20 of 1 -> full\n"
                "state -> unwritable\n"
                "probe -> ready\n"
                "at 1: ann@2 -> no such coupon; no write\n"
                "fail change io -> so be it\n"
                "change 1 paused -> io\n"
                "state -> unwritable\n"
                "probe -> ready\n"
                "board 1 -> 0 issued, version 1\n"
                "at 2: ann@1 -> issued 1 at 2; 1 row, 1=1\n"
                "make 2 0..20 of 1 -> ok 2\n"
                "fail change io -> so be it\n"
                "change 2 archived -> io\n"
                "probe -> ready\n"
                "at 2: ann@2 -> issued 1 at 2; 1 row, 2=1\n");
}

static void a_command_of_unknown_outcome_breaks(void **state) {
    (void)state;
    check_trace("make 1 0..20 of 1 -> ok 1\n"
                "fail change ambiguous after -> so be it\n"
                "change 1 paused -> ambiguous\n"
                "state -> broken\n"
                "at 2: ann@1 -> outcome unknown; no write\n"
                "change 1 paused -> ambiguous\n"
                "reload -> ok\n"
                "at 2: ann@1 -> paused; no write\n"
                "fail create ambiguous after -> so be it\n"
                "make 2 0..20 of 1 -> ambiguous\n"
                "state -> broken\n"
                "reload -> ok\n"
                "board 2 -> 0 issued, version 1\n");
}

static void broken_is_never_left(void **state) {
    struct world *world = *state;
    static const int statuses[] = {STATUS_FULL, STATUS_IO, STATUS_NO_MEMORY, STATUS_DAMAGED};
    core_failed(world->core, STATUS_AMBIGUOUS);
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        core_failed(world->core, statuses[i]);
        assert_int_equal(world->core->state, ISSUER_BROKEN);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_failure_takes_the_whole_step_back),
        cmocka_unit_test(unwritable_refuses_everything_until_a_write_works),
        cmocka_unit_test(every_known_status_is_recovered_from),
        cmocka_unit_test(an_ambiguous_failure_ends_all_issuing),
        cmocka_unit_test(what_was_written_all_the_same_holds_after_a_new_start),
        cmocka_unit_test(an_ambiguous_probe_or_checkpoint_breaks_too),
        cmocka_unit_test(a_checkpoint_that_has_to_wait_stops_nobody),
        cmocka_unit_test(a_contradiction_is_not_taken_for_a_full_disk),
        cmocka_unit_test(a_replay_whose_key_cannot_be_read_is_not_guessed),
        cmocka_unit_test(a_command_that_cannot_be_written_changes_nothing),
        cmocka_unit_test(a_command_of_unknown_outcome_breaks),
        cmocka_unit_test_setup_teardown(broken_is_never_left, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

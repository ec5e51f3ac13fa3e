/* The history checker: right histories are taken, planted corruptions found with their code, small
 * histories judged as the slow judge does, a million events judged at once. */
#include "corrupt.h"
#include "spoil.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STORIES_A_CORRUPTION 10
#define SEEDS_MAX            4000

static struct story_plan plan_of(uint64_t seed) {
    return (struct story_plan){.seed = seed,
                               .claims = 150,
                               .coupons = 4,
                               .users = 40,
                               .changes = 2 + seed % 8,
                               .crashes = seed % 2,
                               .width = (int64_t)(seed % 5) * 8,
                               .gap = 8,
                               .lost_percent = seed % 3 == 0 ? 0 : 3,
                               .failed_percent = seed % 4 == 0 ? 0 : 3,
                               .clocks = seed % 3 > 0};
}

/* Whether it is found in each of some stories. */
static bool plant(const struct corruption *corruption) {
    size_t planted = 0;
    size_t caught = 0;
    for (uint64_t seed = 1; seed <= SEEDS_MAX && planted < STORIES_A_CORRUPTION; seed++) {
        struct story_plan plan = plan_of(seed);
        struct story_random random = {seed};
        struct story *story = story_make(&plan);
        if (corruption->plant(story, &random)) {
            struct story_findings findings = story_judge(story);
            planted++;
            caught += findings.counts[corruption->code] > 0;
            if (findings.counts[corruption->code] == 0) {
                print_error("seed %llu, %s: expected %s, found %zu, first %s\n",
                            (unsigned long long)seed, corruption->name,
                            history_code_name(corruption->code), findings.all, findings.first);
            }
        }
        story_free(story);
    }
    if (planted < STORIES_A_CORRUPTION) {
        print_error("%s: only %zu stories could be spoiled so\n", corruption->name, planted);
    }
    return caught == STORIES_A_CORRUPTION;
}

static void each_corruption_of_the_record_is_found(void **state) {
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < record_corruption_count; i++) {
        bad += !plant(&record_corruptions[i]);
    }
    assert_int_equal(bad, 0);
}

static void each_corruption_of_an_answer_is_found(void **state) {
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < answer_corruption_count; i++) {
        bad += !plant(&answer_corruptions[i]);
    }
    assert_int_equal(bad, 0);
}

static void
there_are_at_least_fifty_corruptions_and_all_codes_but_one_are_among_them(void **state) {
    (void)state;
    bool planted[HISTORY_CODES] = {[HISTORY_CONTRADICTION] = true}; /* below, by hand */
    for (size_t i = 0; i < record_corruption_count; i++) {
        planted[record_corruptions[i].code] = true;
    }
    for (size_t i = 0; i < answer_corruption_count; i++) {
        planted[answer_corruptions[i].code] = true;
    }
    for (size_t i = 0; i < HISTORY_CODES; i++) {
        assert_true(planted[i]);
    }
    assert_true(record_corruption_count + answer_corruption_count >= 50);
}

static void right_histories_are_taken(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct story_plan plan = plan_of(seed);
        plan.claims = 1 + seed % 80;
        plan.coupons = 1 + seed % 5;
        plan.crashes = seed % 4;
        plan.width = (int64_t)(seed % 13) * 7;
        struct story *story = story_make(&plan);
        struct story_findings findings = story_judge(story);
        if (findings.all) {
            story_print(story);
            fail_msg("seed %llu: %s", (unsigned long long)seed, findings.first);
        }
        story->options.shared = true; /* which allows more */
        assert_int_equal(story_judge(story).all, 0);
        story_free(story);
    }
}

/* ---- small ones against the slow judge ---- */

static size_t cross_checks(void) {
    const char *wanted = getenv("COUPON_CHECKER_CROSS_CHECKS");
    return wanted ? strtoul(wanted, NULL, 10) : 60000;
}

static struct story *small_story(uint64_t seed) {
    struct story_random random = {seed * 77};
    struct story_plan plan = {.seed = seed,
                              .claims = 2 + seed % 6,
                              .coupons = 1,
                              .users = 1 + seed % 4,
                              .changes = seed % 4,
                              .crashes = seed % 5 == 0,
                              .width = (int64_t)(seed % 9) * 7,
                              .gap = 8,
                              .lost_percent = (unsigned)(seed % 4) * 8,
                              .failed_percent = (unsigned)(seed % 3) * 8};
    while (plan.claims + plan.changes + 1 > 8) {
        plan.claims--;
    }
    struct story *story = story_make(&plan);
    for (uint64_t i = story_below(&random, 4); i > 0; i--) {
        story_spoil(story, &random);
    }
    return story;
}

static void small_histories_are_judged_as_by_trying_every_order(void **state) {
    (void)state;
    size_t possible = 0;
    size_t impossible = 0;
    size_t unsure = 0;
    for (uint64_t seed = 1; seed <= cross_checks(); seed++) {
        struct story *story = small_story(seed);
        struct story_findings findings = story_judge(story);
        bool is_possible = story_is_possible(story);
        bool missed = !is_possible && findings.all == 0;
        if ((is_possible && findings.all) || (missed && findings.undecided == 0)) {
            story_print(story);
            fail_msg("seed %llu: it is %s; found: %s", (unsigned long long)seed,
                     is_possible ? "possible" : "impossible", findings.first);
        }
        unsure += missed;
        possible += is_possible;
        impossible += !is_possible;
        story_free(story);
    }
    print_message("# %zu possible, %zu impossible, of these %zu told as undecided\n", possible,
                  impossible, unsure);
    assert_true(possible > cross_checks() / 4);
    assert_true(impossible > cross_checks() / 4);
    assert_true(unsure < impossible / 100);
}

/* ---- by hand ---- */

static const struct history_terms one_coupon = {1, 0, 1000, false, false};

static size_t hand_change(struct history *history, int64_t at, int64_t until,
                          const struct history_change *change, uint32_t version) {
    size_t index;
    assert_int_equal(history_change_invoked(history, at, change, &index), 0);
    if (until) {
        assert_int_equal(history_change_returned(history, until, index, HISTORY_DONE, 1, version),
                         0);
    }
    return index;
}

static void hand_claim(struct history *history, int64_t at, int64_t until, const char *user,
                       enum verdict verdict) {
    size_t index;
    struct history_claim claim = {1, slice_of(user), {NULL, 0}};
    assert_int_equal(history_claim_invoked(history, at, &claim, &index), 0);
    if (until) {
        struct history_answer answer = {verdict, 0, 0};
        assert_int_equal(history_claim_returned(history, until, index, &answer), 0);
    }
}

static void hand_revision(struct history *history, uint32_t version, bool paused,
                          uint32_t first_rank) {
    struct coupon_revision revision = {1, version, 10, 1, 0, 1000, paused, false, first_rank};
    assert_int_equal(history_record_revision(history, &revision), 0);
}

static void count_codes(void *context, const struct history_violation *violation) {
    size_t *counts = context;
    counts[violation->code]++;
}

static void answers_that_are_possible_only_one_by_one_are_found(void **state) {
    (void)state;
    struct history *history;
    struct history_options options = {.shared = false};
    assert_int_equal(history_new(&options, &history), 0);
    struct history_change create = {1, true, 0, one_coupon};
    struct history_change pause = {1, false, PATCH_PAUSED, {.paused = true}};
    hand_change(history, 0, 1, &create, 1);
    hand_claim(history, 2, 0, "a", VERDICT_ISSUED);   /* never answered */
    hand_change(history, 3, 0, &pause, 2);            /* never answered */
    hand_claim(history, 5, 6, "b", VERDICT_PAUSED);   /* so it was paused by 6 … */
    hand_claim(history, 8, 9, "c", VERDICT_SOLD_OUT); /* … and not yet at 8 */
    hand_revision(history, 1, false, 1);
    hand_revision(history, 2, true, 2);
    struct coupon_record coupon = {.id = 1,
                                   .total_quantity = 1,
                                   .issued_quantity = 1,
                                   .issue_end_us = 1000,
                                   .paused = true,
                                   .version = 2};
    assert_int_equal(history_record_coupon(history, &coupon), 0);
    struct issue_row issue = {.reference = {1, 1}, .user_id = slice_of("a"), .issued_at_us = 10};
    assert_int_equal(history_record_issue(history, &issue), 0);
    size_t counts[HISTORY_CODES] = {0};
    assert_int_equal(history_check(history, count_codes, counts, NULL), 0);
    assert_int_equal(counts[HISTORY_CONTRADICTION], 1);
    history_free(history);
}

static void whoever_may_have_got_it_later_is_no_holder_who_was_refused(void **state) {
    (void)state;
    for (int64_t told_at = 0; told_at <= 4; told_at += 4) { /* 0: nobody saw when it was issued */
        struct history *history;
        struct history_options options = {.shared = true};
        assert_int_equal(history_new(&options, &history), 0);
        struct history_change create = {1, true, 0, one_coupon};
        hand_change(history, 0, 1, &create, 1);
        hand_claim(history, 2, told_at, "a", VERDICT_ISSUED);
        hand_claim(history, 5, 6, "a", VERDICT_SOLD_OUT); /* true only while this user holds it */
        hand_revision(history, 1, false, 1);
        struct coupon_record coupon = {
            .id = 1, .total_quantity = 1, .issued_quantity = 1, .issue_end_us = 1000, .version = 1};
        assert_int_equal(history_record_coupon(history, &coupon), 0);
        struct issue_row issue = {
            .reference = {1, 1}, .user_id = slice_of("a"), .issued_at_us = 10};
        assert_int_equal(history_record_issue(history, &issue), 0);
        size_t counts[HISTORY_CODES] = {0};
        assert_int_equal(history_check(history, count_codes, counts, NULL), 0);
        assert_int_equal(counts[HISTORY_HOLDER_REFUSED], told_at > 0);
        assert_int_equal(counts[HISTORY_SOLD_OUT_UNTRUE], told_at == 0);
        history_free(history);
    }
}

static void a_clock_that_steps_back_between_two_refusals_is_found(void **state) {
    (void)state;
    struct history *history;
    struct history_options options = {.shared = false};
    assert_int_equal(history_new(&options, &history), 0);
    struct history_change create = {1, true, 0, {1, 20, 1000, false, false}};
    hand_change(history, 0, 1, &create, 1);
    hand_claim(history, 5, 6, "b", VERDICT_ENDED);
    hand_claim(history, 8, 9, "c", VERDICT_NOT_STARTED);
    struct coupon_revision revision = {1, 1, 10, 1, 20, 1000, false, false, 1};
    assert_int_equal(history_record_revision(history, &revision), 0);
    struct coupon_record coupon = {
        .id = 1, .total_quantity = 1, .issue_start_us = 20, .issue_end_us = 1000, .version = 1};
    assert_int_equal(history_record_coupon(history, &coupon), 0);
    size_t counts[HISTORY_CODES] = {0};
    assert_int_equal(history_check(history, count_codes, counts, NULL), 0);
    assert_int_equal(counts[HISTORY_CONTRADICTION], 1);
    assert_int_equal(history_check(history, count_codes, counts, NULL), 0); /* and again */
    assert_int_equal(counts[HISTORY_CONTRADICTION], 2);
    history_free(history);
}

static void a_million_events_are_judged(void **state) {
    (void)state;
    struct story_plan plan = {.seed = 3,
                              .claims = 500000,
                              .coupons = 4,
                              .users = 200000,
                              .changes = 40,
                              .crashes = 3,
                              .width = 200,
                              .gap = 8,
                              .lost_percent = 2,
                              .failed_percent = 1};
    struct story *story = story_make(&plan);
    int64_t begin_us = clock_monotonic_us();
    struct story_findings findings = story_judge(story);
    print_message("# 1,000,000 events, %zu issues: %lld ms\n", story->issue_count,
                  (long long)(clock_monotonic_us() - begin_us) / 1000);
    assert_int_equal(findings.all, 0);
    assert_true(story->issue_count > 50000);
    story_free(story);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_histories_are_taken),
        cmocka_unit_test(each_corruption_of_the_record_is_found),
        cmocka_unit_test(each_corruption_of_an_answer_is_found),
        cmocka_unit_test(there_are_at_least_fifty_corruptions_and_all_codes_but_one_are_among_them),
        cmocka_unit_test(small_histories_are_judged_as_by_trying_every_order),
        cmocka_unit_test(answers_that_are_possible_only_one_by_one_are_found),
        cmocka_unit_test(whoever_may_have_got_it_later_is_no_holder_who_was_refused),
        cmocka_unit_test(a_clock_that_steps_back_between_two_refusals_is_found),
        cmocka_unit_test(a_million_events_are_judged),
    };
    return cmocka_run_group_tests_name("checker", tests, NULL, NULL);
}

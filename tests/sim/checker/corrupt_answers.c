/* Corruptions of what was told, or of the record against what was told. See corrupt.h. */
#include "corrupt.h"

/* ---- successes ---- */

static bool success_rolled_back(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_last_rank);
    struct coupon_revision *last = claim ? revision_at(story, claim->coupon_id, 0) : NULL;
    if (!last || last->first_rank > claim->rank) {
        return false;
    }
    remove_issue(story, issue_of(story, claim->coupon_id, claim->user));
    coupon_at(story, claim->coupon_id)->issued_quantity--;
    return true;
}

static bool success_made_up(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_refused);
    if (claim) {
        claim->verdict = VERDICT_ISSUED;
        claim->rank = coupon_at(story, claim->coupon_id)->issued_quantity + 1;
    }
    return claim != NULL;
}

static bool success_with_other_rank(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (claim) {
        claim->rank++;
    }
    return claim != NULL;
}

static bool success_with_other_date(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (claim) {
        claim->issued_at_us++;
    }
    return claim != NULL;
}

static bool winners_swapped(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || claim->rank < 2) {
        return false;
    }
    struct story_issue *first = issue_at(story, claim->coupon_id, claim->rank - 1);
    struct story_issue *second = issue_at(story, claim->coupon_id, claim->rank);
    second->user = first->user;
    first->user = claim->user;
    return true;
}

static bool success_told_twice(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_repeat);
    if (!claim || has_open(story, claim->coupon_id, claim->user)) {
        return false;
    }
    claim->verdict = VERDICT_ISSUED;
    return true;
}

static bool replay_told_as_new(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_replay);
    if (!claim || has_open(story, claim->coupon_id, claim->user)) {
        return false;
    }
    claim->verdict = VERDICT_ISSUED;
    return true;
}

/* ---- repeats ---- */

static bool repeat_of_nothing(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_refused);
    if (claim) {
        claim->verdict = VERDICT_ALREADY_ISSUED;
        claim->rank = 1;
    }
    return claim != NULL;
}

static bool replay_of_nothing(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_refused);
    if (claim) {
        claim->verdict = VERDICT_REPLAYED;
        claim->rank = 1;
        claim->key = 1;
    }
    return claim != NULL;
}

static bool repeat_with_other_rank(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_repeat);
    if (claim) {
        claim->rank++;
    }
    return claim != NULL;
}

static bool replay_with_other_date(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_replay);
    if (claim) {
        claim->issued_at_us--;
    }
    return claim != NULL;
}

static bool repeat_before_anybody_asked(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_repeat);
    if (claim) {
        claim->invoked_at = 1;
        claim->returned_at = 2;
    }
    return claim != NULL;
}

static bool replay_without_key(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_replay);
    if (claim) {
        claim->key = 0;
    }
    return claim != NULL;
}

static bool replay_with_other_key(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_replay);
    if (claim) {
        claim->key = 7;
    }
    return claim != NULL;
}

static bool repeat_told_as_replay(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_repeat);
    if (claim) {
        claim->verdict = VERDICT_REPLAYED;
    }
    return claim != NULL;
}

static bool replay_told_as_repeat(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_replay);
    if (claim) {
        claim->verdict = VERDICT_ALREADY_ISSUED;
    }
    return claim != NULL;
}

/* ---- order, and who asked ---- */

static bool later_asker_came_first(struct story *story, struct story_random *random) {
    struct story_claim *late = pick_claim(story, random, is_won);
    for (size_t i = 0; late && i < story->claim_count; i++) {
        struct story_claim *early = &story->claims[i];
        if (!is_won(story, early) || early->coupon_id != late->coupon_id ||
            early->returned_at >= late->invoked_at) {
            continue;
        }
        struct story_issue *first = issue_of(story, early->coupon_id, early->user);
        struct story_issue *second = issue_of(story, late->coupon_id, late->user);
        struct story_claim told = *early;
        *first = (struct story_issue){first->coupon_id, first->rank, late->user, late->key,
                                      first->issued_at_us};
        *second = (struct story_issue){second->coupon_id, second->rank, early->user, early->key,
                                       second->issued_at_us};
        early->rank = late->rank;
        early->issued_at_us = late->issued_at_us;
        late->rank = told.rank;
        late->issued_at_us = told.issued_at_us;
        return true;
    }
    return false;
}

static bool issued_to_who_never_asked(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (claim) {
        issue_of(story, claim->coupon_id, claim->user)->user = 4000;
    }
    return claim != NULL;
}

static bool winner_was_told_no(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || has_open(story, claim->coupon_id, claim->user)) {
        return false;
    }
    refuse_claim(claim, VERDICT_PAUSED);
    return true;
}

static bool winner_was_told_failure(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || has_open(story, claim->coupon_id, claim->user)) {
        return false;
    }
    refuse_claim(claim, VERDICT_STORAGE_UNAVAILABLE);
    return true;
}

static bool winner_was_told_overloaded(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || has_open(story, claim->coupon_id, claim->user)) {
        return false;
    }
    refuse_claim(claim, VERDICT_OVERLOADED);
    return true;
}

static bool issued_after_the_crash(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_last_rank);
    if (!claim || claim->rank < 2 || has_open(story, claim->coupon_id, claim->user) ||
        coupon_at(story, claim->coupon_id)->version > 1) {
        return false;
    }
    /* not answered, cut off by a crash before the coupon was made, and yet it has a rank */
    const struct story_issue *before = issue_at(story, claim->coupon_id, claim->rank - 1);
    for (size_t i = 0; i < story->claim_count; i++) {
        const struct story_claim *other = &story->claims[i];
        if (is_won(story, other) && other->coupon_id == claim->coupon_id &&
            other->rank == before->rank && other->invoked_at > 20) {
            refuse_claim(claim, VERDICT_OUTCOME_UNKNOWN);
            claim->returned_at = STORY_NEVER;
            claim->invoked_at = 5;
            story->crashes[story->crash_count++] = 10;
            return true;
        }
    }
    return false;
}

static bool record_has_another_key(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (claim) {
        issue_of(story, claim->coupon_id, claim->user)->key = 9;
    }
    return claim != NULL;
}

static bool record_lost_the_key(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || claim->key == 0) {
        return false;
    }
    issue_of(story, claim->coupon_id, claim->user)->key = 0;
    return true;
}

/* ---- refusals ---- */

static bool is_late_repeat(const struct story *story, const struct story_claim *claim) {
    const struct story_coupon *coupon = coupon_at((struct story *)story, claim->coupon_id);
    return (is_repeat(story, claim) || is_replay(story, claim)) && is_late(story, claim) &&
           !coupon->terms.archived;
}

static bool holder_told_sold_out(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_late_repeat);
    struct story_coupon *coupon = claim ? coupon_at(story, claim->coupon_id) : NULL;
    if (!coupon || coupon->terms.paused || coupon->terms.issue_start_us > 0 ||
        coupon->terms.total_quantity != coupon->issued_quantity ||
        !is_late(story, pick_claim(story, random, is_won))) {
        return false;
    }
    claim->invoked_at = 900000; /* when all is over */
    claim->returned_at = 900001;
    refuse_claim(claim, VERDICT_SOLD_OUT);
    story->clock_count = 0;
    return true;
}

static bool holder_told_paused(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_late_repeat);
    if (!claim || !coupon_at(story, claim->coupon_id)->terms.paused) {
        return false;
    }
    refuse_claim(claim, VERDICT_PAUSED);
    return true;
}

/* Whether any version of the coupon can be full, paused … */
static bool can_be(const struct story *story, uint64_t coupon_id, enum verdict verdict) {
    const struct story_coupon *coupon = coupon_at((struct story *)story, coupon_id);
    for (size_t i = 0; i < story->revision_count; i++) {
        const struct coupon_revision *revision = &story->revisions[i];
        bool full = revision->total_quantity != COUPON_UNLIMITED &&
                    revision->total_quantity <= coupon->issued_quantity;
        bool can = verdict == VERDICT_SOLD_OUT      ? full
                   : verdict == VERDICT_PAUSED      ? revision->paused
                   : verdict == VERDICT_NOT_STARTED ? revision->issue_start_us > 0
                   : verdict == VERDICT_ENDED       ? revision->issue_end_us < 2000000
                                                    : revision->archived;
        if (revision->coupon_id == coupon_id && can) {
            return true;
        }
    }
    return false;
}

static bool refused_without_reason(struct story *story, struct story_claim *claim,
                                   enum verdict verdict) {
    if (!claim || can_be(story, claim->coupon_id, verdict)) {
        return false;
    }
    claim->verdict = verdict;
    return true;
}

static bool sold_out_too_few_issued(struct story *story, struct story_random *random) {
    return refused_without_reason(story, pick_claim(story, random, is_refused), VERDICT_SOLD_OUT);
}

static bool paused_never_paused(struct story *story, struct story_random *random) {
    return refused_without_reason(story, pick_claim(story, random, is_refused), VERDICT_PAUSED);
}

static bool not_started_long_begun(struct story *story, struct story_random *random) {
    return refused_without_reason(story, pick_claim(story, random, is_refused),
                                  VERDICT_NOT_STARTED);
}

static bool ended_long_before_the_end(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_refused);
    if (!claim || !read_after(story, claim)) { /* else nobody knows the clock then */
        return false;
    }
    return refused_without_reason(story, claim, VERDICT_ENDED);
}

static bool refused_at(struct story *story, struct story_random *random, enum verdict verdict,
                       int64_t at) {
    struct story_claim *claim = pick_claim(story, random, is_refused);
    if (!claim || claim->verdict != verdict) {
        return false;
    }
    claim->invoked_at = at;
    claim->returned_at = at + 1;
    return true;
}

static bool sold_out_before_it_was(struct story *story, struct story_random *random) {
    return refused_at(story, random, VERDICT_SOLD_OUT, 1);
}

static bool paused_before_it_was(struct story *story, struct story_random *random) {
    return refused_at(story, random, VERDICT_PAUSED, 1);
}

static bool ended_before_it_did(struct story *story, struct story_random *random) {
    return refused_at(story, random, VERDICT_ENDED, 1);
}

static bool not_started_by_the_clock(struct story *story, struct story_random *random) {
    return story->clock_count > 0 && refused_at(story, random, VERDICT_NOT_STARTED, 900000);
}

static bool no_coupon_though_there_is(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_refused);
    if (!claim || !is_late(story, claim) ||
        can_be(story, claim->coupon_id, VERDICT_NO_SUCH_COUPON)) {
        return false;
    }
    claim->verdict = VERDICT_NO_SUCH_COUPON;
    return true;
}

static bool no_coupon_for_a_holder(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_late_repeat);
    if (claim) {
        refuse_claim(claim, VERDICT_NO_SUCH_COUPON);
    }
    return claim != NULL;
}

/* ---- operators ---- */

static struct story_change *pick_change(struct story *story, struct story_random *random,
                                        bool creates, enum history_outcome outcome) {
    size_t first = story_below(random, story->change_count);
    for (size_t i = 0; i < story->change_count; i++) {
        struct story_change *change = &story->changes[(first + i) % story->change_count];
        if (change->asked.creates == creates && change->outcome == outcome) {
            return change;
        }
    }
    return NULL;
}

static bool change_rolled_back(struct story *story, struct story_random *random) {
    struct story_change *change = pick_change(story, random, false, HISTORY_DONE);
    struct story_coupon *coupon = change ? coupon_at(story, change->asked.coupon_id) : NULL;
    if (!coupon || change->version != coupon->version) {
        return false;
    }
    remove_revision(story, revision_at(story, coupon->id, 0));
    const struct coupon_revision *last = revision_at(story, coupon->id, 0);
    coupon->version--;
    coupon->terms = (struct history_terms){last->total_quantity, last->issue_start_us,
                                           last->issue_end_us, last->paused, last->archived};
    return true;
}

static bool creation_lost(struct story *story, struct story_random *random) {
    struct story_change *change = pick_change(story, random, true, HISTORY_DONE);
    if (change) {
        change->asked.coupon_id = 60;
    }
    return change != NULL;
}

static bool change_of_other_terms(struct story *story, struct story_random *random) {
    struct story_change *change = pick_change(story, random, false, HISTORY_DONE);
    if (!change || !(change->asked.patch_set & (PATCH_PAUSED | PATCH_TOTAL_QUANTITY))) {
        return false;
    }
    change->asked.terms.paused = !change->asked.terms.paused;
    change->asked.terms.total_quantity += 1000;
    return true;
}

static bool creation_of_other_terms(struct story *story, struct story_random *random) {
    struct story_change *change = pick_change(story, random, true, HISTORY_DONE);
    if (change) {
        change->asked.terms.issue_start_us++;
    }
    return change != NULL;
}

static bool version_told_twice(struct story *story, struct story_random *random) {
    struct story_change *change = pick_change(story, random, false, HISTORY_DONE);
    if (change) {
        story->changes[story->change_count++] = *change;
    }
    return change != NULL;
}

static bool version_nobody_asked_for(struct story *story, struct story_random *random) {
    struct story_change *change = pick_change(story, random, false, HISTORY_DONE);
    if (!change) {
        return false;
    }
    change->outcome = HISTORY_REFUSED;
    for (size_t i = 0; i < story->change_count; i++) {
        if (story->changes[i].outcome == HISTORY_UNKNOWN) {
            return false; /* it may be theirs */
        }
    }
    return true;
}

static bool change_before_what_was_told(struct story *story, struct story_random *random) {
    struct story_change *change = pick_change(story, random, false, HISTORY_DONE);
    struct story_coupon *coupon = change ? coupon_at(story, change->asked.coupon_id) : NULL;
    if (!coupon || change->version != 2 || coupon->issued_quantity == 0 ||
        revision_at(story, coupon->id, 2)->first_rank < 2) {
        return false;
    }
    const struct story_issue *issue = issue_at(story, coupon->id, 1);
    for (size_t i = 0; i < story->claim_count; i++) {
        const struct story_claim *claim = &story->claims[i];
        if (is_won(story, claim) && claim->coupon_id == coupon->id && claim->user == issue->user &&
            claim->returned_at < change->invoked_at) {
            revision_at(story, coupon->id, 2)->first_rank = 1;
            return true;
        }
    }
    return false;
}

static bool answer_before_the_question(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (claim) {
        claim->returned_at = claim->invoked_at - 1;
    }
    return claim != NULL;
}

const struct corruption answer_corruptions[] = {
    {"a success was rolled back", HISTORY_SUCCESS_LOST, success_rolled_back},
    {"a success was made up", HISTORY_SUCCESS_LOST, success_made_up},
    {"a success told another rank", HISTORY_SUCCESS_OTHER, success_with_other_rank},
    {"a success told another date", HISTORY_SUCCESS_OTHER, success_with_other_date},
    {"two winners are swapped", HISTORY_SUCCESS_OTHER, winners_swapped},
    {"a repeat was told as a success", HISTORY_SUCCESS_TWICE, success_told_twice},
    {"a replay was told as a success", HISTORY_SUCCESS_TWICE, replay_told_as_new},
    {"a repeat of nothing", HISTORY_REPEAT_LOST, repeat_of_nothing},
    {"a replay of nothing", HISTORY_REPEAT_LOST, replay_of_nothing},
    {"a repeat told another rank", HISTORY_REPEAT_OTHER, repeat_with_other_rank},
    {"a replay told another date", HISTORY_REPEAT_OTHER, replay_with_other_date},
    {"a repeat before anybody asked", HISTORY_REPEAT_EARLY, repeat_before_anybody_asked},
    {"a replay without a key", HISTORY_REPLAY_WRONG, replay_without_key},
    {"a replay with another key", HISTORY_REPLAY_WRONG, replay_with_other_key},
    {"a repeat was told as a replay", HISTORY_REPLAY_WRONG, repeat_told_as_replay},
    {"a replay was told as a repeat", HISTORY_REPLAY_MISSED, replay_told_as_repeat},
    {"who asked later came first", HISTORY_RANK_ORDER, later_asker_came_first},
    {"issued after the crash that ended it", HISTORY_CHANGE_ORDER, issued_after_the_crash},
    {"issued to somebody who never asked", HISTORY_NOBODY_ASKED, issued_to_who_never_asked},
    {"the winner was told no", HISTORY_NOBODY_ASKED, winner_was_told_no},
    {"the winner was told of a failure", HISTORY_FAILED_ISSUED, winner_was_told_failure},
    {"the winner was told of overload", HISTORY_FAILED_ISSUED, winner_was_told_overloaded},
    {"the record has another key", HISTORY_KEY_OTHER, record_has_another_key},
    {"the record lost the key", HISTORY_KEY_OTHER, record_lost_the_key},
    {"a holder was told sold out", HISTORY_HOLDER_REFUSED, holder_told_sold_out},
    {"a holder was told paused", HISTORY_HOLDER_REFUSED, holder_told_paused},
    {"sold out, and too few are issued", HISTORY_SOLD_OUT_UNTRUE, sold_out_too_few_issued},
    {"sold out before it was", HISTORY_SOLD_OUT_UNTRUE, sold_out_before_it_was},
    {"paused, and never was", HISTORY_PAUSED_UNTRUE, paused_never_paused},
    {"paused before it was", HISTORY_PAUSED_UNTRUE, paused_before_it_was},
    {"not started, and long begun", HISTORY_NOT_STARTED_UNTRUE, not_started_long_begun},
    {"not started, against the clock", HISTORY_NOT_STARTED_UNTRUE, not_started_by_the_clock},
    {"ended, and has not", HISTORY_ENDED_UNTRUE, ended_long_before_the_end},
    {"ended before it did", HISTORY_ENDED_UNTRUE, ended_before_it_did},
    {"no such coupon, and there is", HISTORY_NO_COUPON_UNTRUE, no_coupon_though_there_is},
    {"no such coupon, to a holder", HISTORY_NO_COUPON_UNTRUE, no_coupon_for_a_holder},
    {"a change was rolled back", HISTORY_CHANGE_LOST, change_rolled_back},
    {"a creation was lost", HISTORY_CHANGE_LOST, creation_lost},
    {"a change has other terms", HISTORY_CHANGE_OTHER, change_of_other_terms},
    {"a creation has other terms", HISTORY_CHANGE_OTHER, creation_of_other_terms},
    {"one version was told to two", HISTORY_CHANGE_OTHER, version_told_twice},
    {"a version that nobody asked for", HISTORY_CHANGE_NOBODY, version_nobody_asked_for},
    {"a change before what was told", HISTORY_CHANGE_ORDER, change_before_what_was_told},
    {"an answer before the question", HISTORY_BROKEN, answer_before_the_question},
};
const size_t answer_corruption_count = COUNT_OF(answer_corruptions);

/* Corruptions of the record. See corrupt.h. */
#include "corrupt.h"

/* ---- ranks, users, counts ---- */

static bool last_rank_raised(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_last_rank);
    if (claim) {
        issue_of(story, claim->coupon_id, claim->user)->rank++;
    }
    return claim != NULL;
}

static bool middle_issue_gone(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || is_last_rank(story, claim)) {
        return false;
    }
    remove_issue(story, issue_of(story, claim->coupon_id, claim->user));
    coupon_at(story, claim->coupon_id)->issued_quantity--;
    return true;
}

static bool rank_given_twice(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || is_last_rank(story, claim)) {
        return false;
    }
    issue_of(story, claim->coupon_id, claim->user)->rank++;
    return true;
}

static bool ranks_begin_with_zero(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (claim) {
        issue_at(story, claim->coupon_id, 1)->rank = 0;
    }
    return claim != NULL;
}

static bool user_holds_two(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim || claim->rank == 1) {
        return false;
    }
    issue_at(story, claim->coupon_id, 1)->user = claim->user;
    return true;
}

static bool user_holds_a_second_at_the_end(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim) {
        return false;
    }
    struct story_coupon *coupon = coupon_at(story, claim->coupon_id);
    struct story_issue issue = *issue_at(story, coupon->id, coupon->issued_quantity);
    issue.rank = ++coupon->issued_quantity;
    issue.user = claim->user;
    story->issues[story->issue_count++] = issue;
    return true;
}

static bool count_too_high(struct story *story, struct story_random *random) {
    story->coupons[story_below(random, story->coupon_count)].issued_quantity++;
    return true;
}

static bool count_too_low(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (claim) {
        coupon_at(story, claim->coupon_id)->issued_quantity--;
    }
    return claim != NULL;
}

static bool one_more_than_there_are(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_refused);
    if (!claim || claim->verdict != VERDICT_SOLD_OUT) {
        return false;
    }
    struct story_coupon *coupon = coupon_at(story, claim->coupon_id);
    if (coupon->terms.total_quantity != coupon->issued_quantity) {
        return false;
    }
    struct story_issue issue = *issue_at(story, coupon->id, coupon->issued_quantity);
    issue.rank = ++coupon->issued_quantity;
    issue.user = 5000;
    story->issues[story->issue_count++] = issue;
    return true;
}

static bool quantity_below_issued(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    if (!claim) {
        return false;
    }
    struct story_coupon *coupon = coupon_at(story, claim->coupon_id);
    coupon->terms.total_quantity = coupon->issued_quantity - 1;
    for (uint32_t version = 1; version <= coupon->version; version++) {
        revision_at(story, coupon->id, version)->total_quantity = coupon->issued_quantity - 1;
    }
    return true;
}

/* ---- period and clock ---- */

static bool issued_before_start(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    for (uint32_t version = 1; claim && version <= 99; version++) {
        struct coupon_revision *revision = revision_at(story, claim->coupon_id, version);
        if (revision) {
            revision->issue_start_us = claim->issued_at_us + 1;
        }
    }
    return claim != NULL;
}

static bool issued_at_the_end(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    for (uint32_t version = 1; claim && version <= 99; version++) {
        struct coupon_revision *revision = revision_at(story, claim->coupon_id, version);
        if (revision) {
            revision->issue_end_us = claim->issued_at_us;
        }
    }
    return claim != NULL;
}

static bool issued_while_paused(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    for (uint32_t version = 1; claim && version <= 99; version++) {
        struct coupon_revision *revision = revision_at(story, claim->coupon_id, version);
        if (revision) {
            revision->paused = true;
        }
    }
    return claim != NULL;
}

static bool issued_when_archived(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_won);
    struct coupon_revision *revision = claim ? revision_at(story, claim->coupon_id, 0) : NULL;
    if (!revision || revision->first_rank > coupon_at(story, claim->coupon_id)->issued_quantity) {
        return false;
    }
    revision->archived = true;
    return true;
}

static bool dates_fall(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_last_rank);
    if (!claim || claim->rank < 2) {
        return false;
    }
    struct story_issue *first = issue_at(story, claim->coupon_id, 1);
    struct story_issue *last = issue_at(story, claim->coupon_id, claim->rank);
    int64_t date_us = first->issued_at_us;
    first->issued_at_us = last->issued_at_us;
    last->issued_at_us = date_us;
    return first->issued_at_us != last->issued_at_us;
}

static bool revision_dated_late(struct story *story, struct story_random *random) {
    struct story_coupon *coupon = &story->coupons[story_below(random, story->coupon_count)];
    struct coupon_revision *first = revision_at(story, coupon->id, 1);
    if (coupon->issued_quantity == 0 && coupon->version < 2) {
        return false;
    }
    first->changed_us += 1000000;
    return true;
}

static bool revision_dated_early(struct story *story, struct story_random *random) {
    struct story_coupon *coupon = &story->coupons[story_below(random, story->coupon_count)];
    struct coupon_revision *last = revision_at(story, coupon->id, 0);
    last->changed_us -= 1000000;
    return last->version > 1;
}

static bool dated_by_another_clock(struct story *story, struct story_random *random) {
    struct story_claim *claim = pick_claim(story, random, is_last_rank);
    if (!claim || !read_after(story, claim)) {
        return false;
    }
    issue_of(story, claim->coupon_id, claim->user)->issued_at_us += 1000000;
    claim->issued_at_us += 1000000;
    return true;
}

/* ---- revisions and coupons ---- */

static bool revision_gone(struct story *story, struct story_random *random) {
    struct story_coupon *coupon = &story->coupons[story_below(random, story->coupon_count)];
    if (coupon->version < 2) {
        return false;
    }
    remove_revision(story, revision_at(story, coupon->id,
                                       1 + (uint32_t)story_below(random, coupon->version - 1)));
    return true;
}

static bool all_revisions_gone(struct story *story, struct story_random *random) {
    struct story_coupon *coupon = &story->coupons[story_below(random, story->coupon_count)];
    for (uint32_t version = 1; version <= coupon->version; version++) {
        remove_revision(story, revision_at(story, coupon->id, version));
    }
    return true;
}

static bool first_rank_falls(struct story *story, struct story_random *random) {
    struct story_coupon *coupon = &story->coupons[story_below(random, story->coupon_count)];
    struct coupon_revision *last = revision_at(story, coupon->id, 0);
    if (last->version < 3 || revision_at(story, coupon->id, last->version - 1)->first_rank < 2) {
        return false;
    }
    last->first_rank = 1;
    return true;
}

static bool first_rank_beyond(struct story *story, struct story_random *random) {
    struct story_coupon *coupon = &story->coupons[story_below(random, story->coupon_count)];
    revision_at(story, coupon->id, 0)->first_rank = coupon->issued_quantity + 2;
    return true;
}

static bool coupon_has_another_version(struct story *story, struct story_random *random) {
    story->coupons[story_below(random, story->coupon_count)].version++;
    return true;
}

static bool coupon_has_other_terms(struct story *story, struct story_random *random) {
    struct story_coupon *coupon = &story->coupons[story_below(random, story->coupon_count)];
    coupon->terms.paused = !coupon->terms.paused;
    return true;
}

static bool coupon_gone(struct story *story, struct story_random *random) {
    size_t index = story_below(random, story->coupon_count);
    story->coupons[index] = story->coupons[--story->coupon_count];
    return true;
}

static bool issue_of_no_coupon(struct story *story, struct story_random *random) {
    story->issues[story->issue_count++] =
        (struct story_issue){77, 1, 1 + (uint32_t)story_below(random, 5), 0, 1000300};
    return true;
}

const struct corruption record_corruptions[] = {
    {"the last rank is one too high", HISTORY_RANKS_GAP, last_rank_raised},
    {"an issue in the middle is gone", HISTORY_RANKS_GAP, middle_issue_gone},
    {"a rank was given twice", HISTORY_RANKS_GAP, rank_given_twice},
    {"ranks begin with 0", HISTORY_RANKS_GAP, ranks_begin_with_zero},
    {"a user holds two", HISTORY_USER_TWICE, user_holds_two},
    {"a user got a second at the end", HISTORY_USER_TWICE, user_holds_a_second_at_the_end},
    {"the count is too high", HISTORY_COUNT_WRONG, count_too_high},
    {"the count is too low", HISTORY_COUNT_WRONG, count_too_low},
    {"one more was issued than there are", HISTORY_OVER_QUANTITY, one_more_than_there_are},
    {"the quantity is below what is issued", HISTORY_OVER_QUANTITY, quantity_below_issued},
    {"issued before the start", HISTORY_OUTSIDE_PERIOD, issued_before_start},
    {"issued at the end", HISTORY_OUTSIDE_PERIOD, issued_at_the_end},
    {"issued while paused", HISTORY_WHILE_PAUSED, issued_while_paused},
    {"issued when archived", HISTORY_WHILE_PAUSED, issued_when_archived},
    {"dates fall with the rank", HISTORY_CLOCK_BACK, dates_fall},
    {"a revision is dated after what it allowed", HISTORY_CLOCK_BACK, revision_dated_late},
    {"a revision is dated before the one before", HISTORY_CLOCK_BACK, revision_dated_early},
    {"issued by another clock than was read", HISTORY_TIME_IMPOSSIBLE, dated_by_another_clock},
    {"a revision is gone", HISTORY_REVISIONS_BAD, revision_gone},
    {"all revisions are gone", HISTORY_REVISIONS_BAD, all_revisions_gone},
    {"a revision begins before the one before", HISTORY_REVISIONS_BAD, first_rank_falls},
    {"a revision begins beyond the issues", HISTORY_REVISIONS_BAD, first_rank_beyond},
    {"the coupon has another version", HISTORY_REVISIONS_BAD, coupon_has_another_version},
    {"the coupon has other terms", HISTORY_REVISIONS_BAD, coupon_has_other_terms},
    {"the coupon's row is gone", HISTORY_ORPHAN, coupon_gone},
    {"an issue of no coupon", HISTORY_ORPHAN, issue_of_no_coupon},
};
const size_t record_corruption_count = COUNT_OF(record_corruptions);

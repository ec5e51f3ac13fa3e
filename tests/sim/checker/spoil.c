/* Random damage to a story. See spoil.h. */
#include "spoil.h"

static int64_t shift(struct story_random *random) {
    return (int64_t)story_below(random, 41) - 20;
}

static void spoil_claim(struct story_claim *claim, struct story_random *random) {
    static const enum verdict verdicts[] = {
        VERDICT_ISSUED,         VERDICT_REPLAYED, VERDICT_ALREADY_ISSUED,
        VERDICT_NO_SUCH_COUPON, VERDICT_PAUSED,   VERDICT_NOT_STARTED,
        VERDICT_ENDED,          VERDICT_SOLD_OUT, VERDICT_STORAGE_UNAVAILABLE,
        VERDICT_OUTCOME_UNKNOWN};
    switch (story_below(random, 8)) {
    case 0:
        claim->verdict = verdicts[story_below(random, COUNT_OF(verdicts))];
        claim->rank = 0;
        claim->issued_at_us = 0;
        break;
    case 1:
        claim->rank += claim->rank ? (uint32_t)story_below(random, 2) : 0;
        break;
    case 2:
        claim->issued_at_us += claim->issued_at_us ? 1 : 0;
        break;
    case 3:
        claim->user = 1 + (uint32_t)story_below(random, 3);
        break;
    case 4:
        claim->key = (uint32_t)story_below(random, 3);
        break;
    case 5:
        claim->invoked_at += shift(random);
        claim->returned_at += claim->returned_at == STORY_NEVER ? 0 : shift(random);
        break;
    default: {
        int64_t by = shift(random) * 2;
        claim->invoked_at += by;
        claim->returned_at += claim->returned_at == STORY_NEVER ? 0 : by;
        break;
    }
    }
    if (claim->returned_at < claim->invoked_at) {
        claim->returned_at = claim->invoked_at;
    }
}

static void spoil_change(struct story_change *change, struct story_random *random) {
    switch (story_below(random, 4)) {
    case 0:
        change->outcome = (enum history_outcome)story_below(random, 3);
        change->version =
            change->outcome == HISTORY_DONE ? 1 + (uint32_t)story_below(random, 3) : 0;
        change->version =
            change->asked.creates && change->outcome == HISTORY_DONE ? 1 : change->version;
        break;
    case 1:
        change->asked.terms.total_quantity++;
        break;
    default: {
        int64_t by = shift(random) * 2;
        change->invoked_at += by;
        change->returned_at += change->returned_at == STORY_NEVER ? 0 : by;
        break;
    }
    }
}

static void spoil_issues(struct story *story, struct story_random *random) {
    struct story_issue *issue = &story->issues[story_below(random, story->issue_count)];
    struct story_issue *other = &story->issues[story_below(random, story->issue_count)];
    uint32_t rank = issue->rank;
    switch (story_below(random, 6)) {
    case 0:
        issue->user = 1 + (uint32_t)story_below(random, 4);
        break;
    case 1:
        issue->key = (uint32_t)story_below(random, 3);
        break;
    case 2:
        issue->issued_at_us += shift(random) / 2;
        break;
    case 3:
        issue->rank = other->rank;
        other->rank = rank;
        break;
    case 4:
        *issue = story->issues[--story->issue_count];
        break;
    default:
        issue->rank++;
        break;
    }
}

static void spoil_revision(struct coupon_revision *revision, struct story_random *random) {
    switch (story_below(random, 5)) {
    case 0:
        revision->first_rank = 1 + (uint32_t)story_below(random, 3);
        break;
    case 1:
        revision->paused = !revision->paused;
        break;
    case 2:
        revision->total_quantity = 1 + (int64_t)story_below(random, 3);
        break;
    case 3:
        revision->changed_us += shift(random) / 2;
        break;
    default:
        revision->issue_end_us -= 2;
        break;
    }
}

/* What never returned tells nothing. */
static void forget_untold(struct story *story) {
    for (size_t i = 0; i < story->claim_count; i++) {
        struct story_claim *claim = &story->claims[i];
        if (claim->returned_at == STORY_NEVER) {
            claim->verdict = VERDICT_OUTCOME_UNKNOWN;
        }
        if (claim->verdict == VERDICT_OUTCOME_UNKNOWN) {
            claim->rank = 0;
            claim->issued_at_us = 0;
        }
    }
    for (size_t i = 0; i < story->change_count; i++) {
        struct story_change *change = &story->changes[i];
        if (change->returned_at == STORY_NEVER) {
            change->outcome = HISTORY_UNKNOWN;
        }
    }
}

void story_spoil(struct story *story, struct story_random *random) {
    switch (story_below(random, 10)) {
    case 0:
        if (story->change_count) {
            spoil_change(&story->changes[story_below(random, story->change_count)], random);
        }
        break;
    case 1:
        if (story->issue_count) {
            spoil_issues(story, random);
        }
        break;
    case 2:
        if (story->revision_count) {
            spoil_revision(&story->revisions[story_below(random, story->revision_count)], random);
        }
        break;
    case 3:
        if (story->coupon_count) {
            story->coupons[story_below(random, story->coupon_count)].issued_quantity +=
                (uint32_t)story_below(random, 2);
        }
        break;
    default:
        if (story->claim_count) {
            spoil_claim(&story->claims[story_below(random, story->claim_count)], random);
        }
        break;
    }
    forget_untold(story);
}

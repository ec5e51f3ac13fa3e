/* Finds in a story what a corruption needs. See corrupt.h. */
#include "corrupt.h"

struct story_claim *pick_claim(struct story *story, struct story_random *random, claim_test *test) {
    size_t first = story->claim_count ? story_below(random, story->claim_count) : 0;
    for (size_t i = 0; i < story->claim_count; i++) {
        struct story_claim *claim = &story->claims[(first + i) % story->claim_count];
        if (test(story, claim)) {
            return claim;
        }
    }
    return NULL;
}

struct story_issue *issue_of(struct story *story, uint64_t coupon_id, uint32_t user) {
    for (size_t i = 0; i < story->issue_count; i++) {
        if (story->issues[i].coupon_id == coupon_id && story->issues[i].user == user) {
            return &story->issues[i];
        }
    }
    return NULL;
}

struct story_issue *issue_at(struct story *story, uint64_t coupon_id, uint32_t rank) {
    for (size_t i = 0; i < story->issue_count; i++) {
        if (story->issues[i].coupon_id == coupon_id && story->issues[i].rank == rank) {
            return &story->issues[i];
        }
    }
    return NULL;
}

struct story_coupon *coupon_at(struct story *story, uint64_t coupon_id) {
    for (size_t i = 0; i < story->coupon_count; i++) {
        if (story->coupons[i].id == coupon_id) {
            return &story->coupons[i];
        }
    }
    return NULL;
}

struct coupon_revision *revision_at(struct story *story, uint64_t coupon_id, uint32_t version) {
    struct coupon_revision *last = NULL;
    for (size_t i = 0; i < story->revision_count; i++) {
        struct coupon_revision *revision = &story->revisions[i];
        if (revision->coupon_id == coupon_id && (version == 0 || revision->version == version)) {
            last = revision;
        }
    }
    return last;
}

bool has_holder(const struct story *story, const struct story_claim *claim) {
    return issue_of((struct story *)story, claim->coupon_id, claim->user) != NULL;
}

bool is_won(const struct story *story, const struct story_claim *claim) {
    (void)story;
    return claim->verdict == VERDICT_ISSUED;
}

bool is_repeat(const struct story *story, const struct story_claim *claim) {
    (void)story;
    return claim->verdict == VERDICT_ALREADY_ISSUED;
}

bool is_replay(const struct story *story, const struct story_claim *claim) {
    (void)story;
    return claim->verdict == VERDICT_REPLAYED;
}

bool is_refused(const struct story *story, const struct story_claim *claim) {
    return !has_holder(story, claim) && coupon_at((struct story *)story, claim->coupon_id) &&
           (claim->verdict == VERDICT_PAUSED || claim->verdict == VERDICT_NOT_STARTED ||
            claim->verdict == VERDICT_ENDED || claim->verdict == VERDICT_SOLD_OUT);
}

bool is_last_rank(const struct story *story, const struct story_claim *claim) {
    const struct story_coupon *coupon = coupon_at((struct story *)story, claim->coupon_id);
    return is_won(story, claim) && coupon && claim->rank == coupon->issued_quantity;
}

bool is_late(const struct story *story, const struct story_claim *claim) {
    for (size_t i = 0; i < story->change_count; i++) {
        const struct story_change *change = &story->changes[i];
        if (change->asked.coupon_id == claim->coupon_id &&
            change->returned_at >= claim->invoked_at) {
            return false;
        }
    }
    return claim->returned_at != STORY_NEVER;
}

bool read_after(const struct story *story, const struct story_claim *claim) {
    for (size_t i = 0; i < story->clock_count; i++) {
        if (story->clocks[i].at >= claim->returned_at) {
            return true;
        }
    }
    return false;
}

bool has_open(const struct story *story, uint64_t coupon_id, uint32_t user) {
    for (size_t i = 0; i < story->claim_count; i++) {
        const struct story_claim *claim = &story->claims[i];
        if (claim->coupon_id == coupon_id && claim->user == user &&
            (claim->verdict == VERDICT_OUTCOME_UNKNOWN ||
             claim->verdict == VERDICT_STORAGE_UNAVAILABLE)) {
            return true;
        }
    }
    return false;
}

void remove_issue(struct story *story, struct story_issue *issue) {
    *issue = story->issues[--story->issue_count];
}

void remove_revision(struct story *story, struct coupon_revision *revision) {
    *revision = story->revisions[--story->revision_count];
}

void refuse_claim(struct story_claim *claim, enum verdict verdict) {
    claim->verdict = verdict;
    claim->rank = 0;
    claim->issued_at_us = 0;
}
